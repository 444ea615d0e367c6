/** Without the API server the leader goes on while fence and leader key are its own (design §4): topics never wait for Kubernetes. */
import { describe, expect, it } from 'vitest';
import { holdToBar } from '../process/bars.ts';
import { until } from '../process/until.ts';
import {
  commitEpochs,
  currentRevision,
  historyAfter,
  leaderValues,
  readFence,
  releases,
  unfencedWrites,
} from './etcd-history.ts';
import { untilCondition, useCluster } from './suite.ts';
import { assignedTwice, createTopics, topicNames, untilAssigned } from './topics.ts';

const cluster = useCluster();

/** Past every deadline of the Lease (8 s) and of a call to the API server (10 s); in the long runs past every patience. */
const OUTAGE_MS = process.env.TEST_TIER === 'full' ? 60_000 : 12_000;

/** Creates topics all through the outage; gives them and how long the slowest round took. */
async function createDuringOutage(name: string): Promise<{ topics: readonly string[]; slowestMs: number }> {
  const startedAt = performance.now();
  const topics: string[] = [];
  let slowestMs = 0;
  for (let round = 1; performance.now() - startedAt < OUTAGE_MS; round++) {
    const roundAt = performance.now();
    const batch = topicNames(`${name}-${round}`, 5);
    await createTopics(cluster().etcd, batch, round % 2 === 0 ? 'Reliable' : 'NonReliable');
    await untilAssigned(cluster(), batch);
    topics.push(...batch);
    slowestMs = Math.max(slowestMs, performance.now() - roundAt);
    await until(() => performance.now() - roundAt > 1_000, { what: 'the next second' });
  }
  return { topics, slowestMs };
}

describe('while the API server does not answer', () => {
  it.each(['stands still (SIGSTOP)', 'is dead (kill -9)'])(
    'because it %s, topics go on being assigned at once',
    async (how) => {
      const { controlPlane, etcd, history, policy } = cluster();
      const stopped = how.includes('SIGSTOP');
      const revision = await currentRevision(etcd);
      const fence = await readFence(etcd);
      const before = history.fold.topics.size;

      controlPlane.apiserver.kill(stopped ? 'SIGSTOP' : 'SIGKILL');
      const { topics, slowestMs } = await createDuringOutage(stopped ? 'stopped' : 'dead');
      const during = await historyAfter(etcd, revision);
      if (stopped) controlPlane.apiserver.kill('SIGCONT');
      else await controlPlane.apiserver.restart();

      // A broker's client gives up after 2.3 s (contract M1).
      holdToBar(`API server ${how}: the slowest round of 5 topics`, slowestMs, 2_000);
      // One and the same leader all the time: nobody could take the Lease.
      expect(new Set(commitEpochs(during))).toEqual(new Set([fence.epoch]));
      expect(leaderValues(during)).toEqual([]);
      await until(async () => (await policy()).status?.topics?.total === before + topics.length, {
        what: 'the status to count the new topics',
        intervalMs: 200,
      });
      await untilCondition(policy, { type: 'TopicsServed', status: 'True' });
      const after = topicNames(stopped ? 'after-stop' : 'after-death', 5);
      await createTopics(etcd, after);
      await untilAssigned(cluster(), [...topics, ...after]);
      const all = await historyAfter(etcd, revision);
      expect(unfencedWrites(all, fence)).toEqual([]);
      expect(leaderValues(all).filter((value) => value !== history.fold.leader)).toEqual([]);
      expect(releases(all)).toEqual([]);
      expect((await readFence(etcd)).epoch).toBe(fence.epoch);
      expect(assignedTwice(cluster())).toEqual([]);
      expect([...history.fold.doublyOwned]).toEqual([]);
    },
    OUTAGE_MS + 120_000,
  );
});
