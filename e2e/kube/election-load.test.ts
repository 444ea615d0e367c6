/** Our own work must never hold up a renewal of the Lease: neither what comes at once, nor how much there is (design §9). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deliveryKey, topicKey, unassignedKey } from '../../src/danube/keys.ts';
import { encodeDelivery, NULL_VALUE } from '../../src/danube/values.ts';
import { commitBatch } from '../../src/etcd/batch.ts';
import type { Operation } from '../../src/etcd/port.ts';
import { readFence } from '../operator/etcd-history.ts';
import { topicNames } from '../operator/topics.ts';
import { holdToBar } from '../process/bars.ts';
import { until } from '../process/until.ts';
import { followCommits } from './commits.ts';
import { type OperatorCluster, startOperatorCluster } from './operators.ts';

let cluster: OperatorCluster;

beforeAll(async () => {
  cluster = await startOperatorCluster({ brokers: 3 });
});

afterAll(() => cluster?.stop());

describe('the work of the leader', () => {
  it('on 100,000 topics that are created at once never holds up its event loop for long', async () => {
    const topics = topicNames('crowd', 100_000);
    const created = topics.flatMap((topic): Operation[] => [
      { put: unassignedKey(topic), value: NULL_VALUE },
      { put: topicKey(topic), value: NULL_VALUE },
      { put: deliveryKey(topic), value: encodeDelivery('NonReliable') },
    ]);
    const leader = await cluster.startOperator('operator');
    const fence = await until(() => readFence(cluster.etcd), { what: 'the operator to lead' });
    const commits = await followCommits(cluster.etcd);
    await leader.metrics();
    const startedAt = performance.now();
    let longestSeconds = 0;
    const look = async () => {
      const metrics = await leader.metrics();
      longestSeconds = Math.max(longestSeconds, Number(/^nodejs_eventloop_lag_max_seconds (.+)$/m.exec(metrics)?.[1]));
    };

    const result = await commitBatch({ etcd: cluster.etcd, operations: created });
    const createdMs = performance.now() - startedAt;
    expect(result.outcome).toBe('applied');
    await until(
      async () => {
        await look();
        const assigned = commits.assignedAt.size;
        if (assigned < topics.length) throw new Error(`${assigned} are\n${leader.process.logTail()}`);
        return topics.every((topic) => commits.assignedAt.has(topic));
      },
      // Seconds, unless the machine has other things to do.
      { what: '100,000 topics to be assigned', timeoutMs: 240_000, intervalMs: 500 },
    );
    await look();

    const assignedMs = performance.now() - startedAt;
    process.stderr.write(
      `100,000 topics: created after ${Math.round(createdMs)} ms, assigned after ${Math.round(assignedMs)} ms\n`,
    );
    await commits.stop();
    expect(longestSeconds).toBeGreaterThan(0);
    // The Lease is renewed every second and is certain for six: so late is still in time.
    holdToBar('100,000 topics: the longest delay of the event loop', longestSeconds * 1000, 5_000);
    expect(await readFence(cluster.etcd)).toEqual(fence);
    expect((await cluster.lease()).spec?.holderIdentity).toBe(fence.holder);
  }, 330_000);
});
