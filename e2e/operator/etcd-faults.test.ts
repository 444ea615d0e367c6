/** The brokers' etcd stands still, dies, forgets its past: the operator says so, and nothing is assigned wrongly (design §1.3, §4). */
import { describe, expect, it } from 'vitest';
import { assignmentKey, deliveryKey, topicKey, unassignedKey } from '../../src/danube/keys.ts';
import { encodeDelivery, NULL_VALUE } from '../../src/danube/values.ts';
import { until } from '../process/until.ts';
import { currentRevision, type Fence, historyAfter, leaderValues, readFence, unfencedWrites } from './etcd-history.ts';
import { untilCondition, untilConditionGone, useCluster } from './suite.ts';
import { assignedTwice, createTopics, put, topicNames, untilAssigned } from './topics.ts';

const cluster = useCluster();

interface Start {
  readonly revision: number;
  readonly fence: Fence;
}

async function begin(): Promise<Start> {
  const { etcd } = cluster();
  return { fence: await readFence(etcd), revision: await currentRevision(etcd) };
}

/** Resolves when creation is well under way, with what to await later: many calls will fail. */
async function beginCreating(name: string, count: number): Promise<() => Promise<readonly string[]>> {
  const { etcd, history } = cluster();
  const topics = topicNames(name, count);
  const creating = Promise.allSettled(topics.map((topic) => createTopics(etcd, [topic], 'Reliable')));
  await until(() => topics.some((topic) => history.fold.owners.has(topic)), {
    what: `the first of ${count} topics to be assigned`,
    intervalMs: 1,
  });
  return async () => {
    await creating;
    await complete(topics);
    return topics;
  };
}

/** Writes what is still missing of topics whose creation was cut off, as a broker's client does by trying again. */
async function complete(topics: readonly string[]): Promise<void> {
  const { etcd } = cluster();
  const keys = new Set((await etcd.read('')).entries.map(({ key }) => key));
  const owned = (topic: string) =>
    [...cluster().history.fold.registered].some((id) => keys.has(assignmentKey(id, topic)));
  for (const topic of topics) {
    if (!keys.has(unassignedKey(topic)) && !owned(topic)) await put(etcd, unassignedKey(topic), NULL_VALUE);
    if (!keys.has(topicKey(topic))) await put(etcd, topicKey(topic), NULL_VALUE);
    if (!keys.has(deliveryKey(topic))) await put(etcd, deliveryKey(topic), encodeDelivery('Reliable'));
  }
}

async function expectRecovery(topics: readonly string[], { revision, fence }: Start): Promise<void> {
  const { etcd, history, policy } = cluster();
  await untilAssigned(cluster(), topics);
  await untilCondition(policy, { type: 'TopicsServed', status: 'True', reason: 'AllServed' });
  await untilCondition(policy, { type: 'Ready', status: 'True' });
  await untilConditionGone(policy, 'Reconciling');
  const since = await historyAfter(etcd, revision);
  expect(unfencedWrites(since, fence)).toEqual([]);
  expect(leaderValues(since).filter((value) => value !== history.fold.leader)).toEqual([]);
  expect(assignedTwice(cluster())).toEqual([]);
  expect([...history.fold.doublyOwned]).toEqual([]);
}

describe("when the brokers' etcd", () => {
  it('stands still (SIGSTOP) while topics are created, the policy says so, and all are assigned when it goes on', async () => {
    const { brokersEtcd, policy } = cluster();
    const start = await begin();
    const creation = await beginCreating('standstill', 300);

    brokersEtcd.kill('SIGSTOP');
    const stoppedAt = performance.now();
    const served = await untilCondition(policy, { type: 'TopicsServed', status: 'Unknown', reason: 'EtcdUnreachable' });
    const ready = await untilCondition(policy, { type: 'Ready', status: 'False', reason: 'EtcdUnreachable' });
    // Longer than the deadline of a call: what was sent may still arrive after we have given up on it.
    await until(() => performance.now() - stoppedAt > 8_000, { what: '8 s to pass' });
    brokersEtcd.kill('SIGCONT');

    expect(served.message).toContain(brokersEtcd.endpoint);
    expect(ready.message).toContain(brokersEtcd.endpoint);
    await expectRecovery(await creation(), start);
  });

  it('is killed (kill -9) while topics are created, and started again', async () => {
    const { brokersEtcd, policy } = cluster();
    const start = await begin();
    const creation = await beginCreating('killed', 300);

    brokersEtcd.kill('SIGKILL');
    const ready = await untilCondition(policy, { type: 'Ready', status: 'False', reason: 'EtcdUnreachable' });
    await brokersEtcd.restart();

    expect(ready.message).toContain(brokersEtcd.endpoint);
    await expectRecovery(await creation(), start);
  });

  it('forgets what happened while the operators could not look (compaction), they read everything anew', async () => {
    const { brokersEtcd, etcd, history, operatorPods, operatorPid } = cluster();
    const pids = (await operatorPods()).map(({ metadata }) => operatorPid(metadata.name));
    const topics = topicNames('compacted', 50);
    const { fence } = await begin();

    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    // Their watches end with it, and begin again at a revision that is gone by then.
    brokersEtcd.kill('SIGKILL');
    await brokersEtcd.restart();
    await createTopics(etcd, topics);
    await until(() => topics.every((topic) => history.fold.topics.has(topic)), {
      what: 'our own history to be complete',
    });
    const revision = await currentRevision(etcd);
    await compact(brokersEtcd.endpoint, revision);
    for (const pid of pids) process.kill(pid, 'SIGCONT');

    await expectRecovery(topics, { revision, fence });
  });
});

/** By etcd's HTTP gateway: the operator itself never compacts. */
async function compact(endpoint: string, revision: number): Promise<void> {
  const answer = await fetch(`${endpoint}/v3/kv/compaction`, {
    method: 'POST',
    body: JSON.stringify({ revision: String(revision), physical: true }),
  });
  expect(answer.status, await answer.text()).toBe(200);
}
