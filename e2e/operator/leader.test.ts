/** Two replicas, one of which leads: whatever happens to it, the other goes on, and no two ever write at once (design §4). */
import { describe, expect, it } from 'vitest';
import { LEASES } from '../../src/kube/election.ts';
import type { DemoCluster } from '../demo/cluster.ts';
import { OPERATOR_NAMESPACE } from '../demo/manifests.ts';
import { holdToBar } from '../process/bars.ts';
import { isOwnerAlive, ownerTag } from '../process/owner.ts';
import { until } from '../process/until.ts';
import {
  commitEpochs,
  currentRevision,
  type Fence,
  historyAfter,
  leaderValues,
  readFence,
  unfencedWrites,
} from './etcd-history.ts';
import { useCluster } from './suite.ts';
import { assignedTwice, createTopics, liveOwner, put, topicNames, untilAssigned } from './topics.ts';

const cluster = useCluster();
const LEASE = { namespace: OPERATOR_NAMESPACE, name: 'danube-load-manager' };

interface Leader {
  readonly identity: string;
  readonly pod: string;
  readonly pid: number;
  /** Tells this process from a later one with the same pid. */
  readonly tag: string;
  readonly fence: Fence;
  readonly revision: number;
}

/** Who leads, once both replicas are there and the leader has the fence: the state that each test starts from. */
async function leaderOfTwo({ lease, operatorPods, operatorPid, etcd }: DemoCluster): Promise<Leader> {
  return until(
    async () => {
      const pods = await operatorPods();
      const ready = pods.filter(({ status }) =>
        status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True'),
      );
      const identity = (await lease()).spec?.holderIdentity ?? '';
      const fence = await readFence(etcd);
      const pod = identity.split('_')[0] ?? '';
      if (ready.length < 2 || fence.holder !== identity) return undefined;
      const pid = operatorPid(pod);
      return { identity, pod, pid, tag: ownerTag(pid), fence, revision: await currentRevision(etcd) };
    },
    { what: 'two operators to be Ready and one of them to lead', intervalMs: 100 },
  );
}

/** Resolves with the next holder of Lease and fence. */
async function nextLeader({ lease, etcd }: DemoCluster, old: Leader): Promise<Fence> {
  return until(
    async () => {
      const fence = await readFence(etcd);
      const holder = (await lease()).spec?.holderIdentity;
      return fence.epoch > old.fence.epoch && fence.holder === holder ? fence : undefined;
    },
    { what: `another operator than ${old.identity} to lead` },
  );
}

/** What must hold after every change of leader, by the history of etcd since `old` led alone. */
async function expectUnharmed(old: Leader): Promise<void> {
  const { etcd, history } = cluster();
  const since = await historyAfter(etcd, old.revision);
  expect(commitEpochs(since).at(-1)).toBe((await readFence(etcd)).epoch);
  expect(unfencedWrites(since, old.fence)).toEqual([]);
  const leaderId = history.fold.leader;
  expect(leaderValues(since).filter((value) => value !== leaderId)).toEqual([]);
  expect(assignedTwice(cluster())).toEqual([]);
  expect([...history.fold.doublyOwned]).toEqual([]);
}

describe('when the leading operator', () => {
  it('is killed (kill -9), the other leads and assigns the topics of the gap', async () => {
    const old = await leaderOfTwo(cluster());
    const before = topicNames('before-kill', 20);
    await createTopics(cluster().etcd, before);
    await untilAssigned(cluster(), before);

    process.kill(old.pid, 'SIGKILL');
    const killedAt = performance.now();
    const gap = topicNames('kill-gap', 20);
    await createTopics(cluster().etcd, gap, 'Reliable');
    await untilAssigned(cluster(), gap);

    const tookMs = performance.now() - killedAt;
    const next = await nextLeader(cluster(), old);
    expect(next.epoch).toBe(old.fence.epoch + 1);
    expect(next.holder.split('_')[0]).not.toBe(old.pod);
    holdToBar('kill -9 of the leader: topics created since are assigned after', tookMs, 15_000);
    await expectUnharmed(old);
  });

  it('is told to stop (SIGTERM), the other leads at once', async () => {
    const old = await leaderOfTwo(cluster());

    process.kill(old.pid, 'SIGTERM');
    const toldAt = performance.now();
    const gap = topicNames('term-gap', 20);
    await createTopics(cluster().etcd, gap);
    await untilAssigned(cluster(), gap);
    const next = await nextLeader(cluster(), old);

    const tookMs = performance.now() - toldAt;
    expect(next.epoch).toBe(old.fence.epoch + 1);
    holdToBar('SIGTERM of the leader: topics created since are assigned after', tookMs, 5_000);
    // The old leader may have served all of the gap before it ended.
    const after = topicNames('term-after', 5);
    await createTopics(cluster().etcd, after);
    await untilAssigned(cluster(), after);
    await expectUnharmed(old);
  });

  it('stands still (SIGSTOP) until the other leads, and goes on, it writes nothing and ends', async () => {
    const old = await leaderOfTwo(cluster());
    process.kill(old.pid, 'SIGSTOP');
    // Waiting in its sockets when it goes on: what it would assign if nothing stopped it.
    const gap = topicNames('stop-gap', 20);
    await createTopics(cluster().etcd, gap);

    const next = await nextLeader(cluster(), old);
    await untilAssigned(cluster(), gap);
    // With the new leader out of the way, nothing but the fence keeps the old one from these.
    const nextPid = cluster().operatorPid(next.holder.split('_')[0] ?? '');
    process.kill(nextPid, 'SIGSTOP');
    const late = topicNames('stop-late', 20);
    await createTopics(cluster().etcd, late);
    process.kill(old.pid, 'SIGCONT');
    await until(() => !isOwnerAlive(old.tag), { what: 'the old leader to end' });
    expect(late.filter((topic) => liveOwner(cluster(), topic) !== undefined)).toEqual([]);
    process.kill(nextPid, 'SIGCONT');
    await untilAssigned(cluster(), late);

    expect(next.epoch).toBe(old.fence.epoch + 1);
    expect((await readFence(cluster().etcd)).epoch).toBe(next.epoch);
    await expectUnharmed(old);
  });
});

describe('when somebody', () => {
  it('takes the fence again and again in the midst of assignments, nothing is written under an old one', async () => {
    const { etcd } = cluster();
    const old = await leaderOfTwo(cluster());
    const topics = topicNames('fence-taken', 1000);
    const rounds = 5;

    // As a replica does that believes the Lease to be its own; ours leads on and must take a fence of its own each time.
    let taken = 0;
    for (let round = 0; round < rounds; round++) {
      const creating = createTopics(etcd, topics.slice(round * 200, (round + 1) * 200));
      const theirs = (await readFence(etcd)).epoch + 1;
      await put(etcd, '/danube-load-manager/fence', JSON.stringify({ epoch: theirs, holder: 'another-replica' }));
      await until(async () => (await readFence(etcd)).epoch > theirs, {
        what: 'the leader to take the fence again',
        intervalMs: 1,
      });
      taken = theirs;
      await creating;
    }
    await untilAssigned(cluster(), topics);

    const { fence } = await leaderOfTwo(cluster());
    // Each takes one, and none is taken for nothing.
    expect(fence).toMatchObject({ epoch: old.fence.epoch + 2 * rounds, holder: old.identity });
    expect(taken).toBe(fence.epoch - 1);
    await expectUnharmed(old);
  });

  it('deletes the Lease, one operator has it again and topics are assigned', async () => {
    const old = await leaderOfTwo(cluster());

    await cluster().client.delete(LEASES, LEASE);
    const topics = topicNames('lease-deleted', 20);
    await createTopics(cluster().etcd, topics);
    await untilAssigned(cluster(), topics);

    const { fence } = await leaderOfTwo(cluster());
    expect([old.fence.epoch, old.fence.epoch + 1]).toContain(fence.epoch);
    await expectUnharmed(old);
  });

  it('writes a foreign holder into the Lease, the leader ends and an operator leads when that holder does not renew', async () => {
    const old = await leaderOfTwo(cluster());

    const renewTime = new Date().toISOString().replace('Z', '000Z');
    await cluster().client.patch(
      LEASES,
      LEASE,
      { spec: { holderIdentity: 'somebody-else', renewTime, leaseDurationSeconds: 5 } },
      { type: 'merge' },
    );
    await until(() => !isOwnerAlive(old.tag), { what: 'the leader to end' });
    const topics = topicNames('lease-foreign', 20);
    await createTopics(cluster().etcd, topics);
    const next = await nextLeader(cluster(), old);
    await untilAssigned(cluster(), topics);

    expect(next.epoch).toBe(old.fence.epoch + 1);
    await expectUnharmed(old);
  });
});
