/**
 * Two operators, each with its own way to the API server: who leads when one is ended, cut off, held up or misled
 * (design §4 and §9). The auditor sees every revision of the brokers' etcd.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type AttachedAuditor, attachAuditor, violations } from '../audit.ts';
import { currentRevision, type Fence, historyAfter, readFence, unfencedWrites } from '../operator/etcd-history.ts';
import { createTopics, topicNames } from '../operator/topics.ts';
import { holdToBar } from '../process/bars.ts';
import { until } from '../process/until.ts';
import { type Commits, followCommits, streamTopics } from './commits.ts';
import { type Operator, type OperatorCluster, startOperatorCluster } from './operators.ts';

let cluster: OperatorCluster;
let commits: Commits;
let audit: AttachedAuditor;

beforeAll(async () => {
  cluster = await startOperatorCluster({ brokers: 3 });
  commits = await followCommits(cluster.etcd);
  audit = await attachAuditor(cluster.etcd);
});

afterAll(async () => {
  await audit?.stop();
  await commits?.stop();
  await cluster?.stop();
});

let started = 0;
let operators: readonly Operator[] = [];
let leader: Operator;
let standby: Operator;
/** What stood when `leader` led alone. */
let before: { readonly fence: Fence; readonly revision: number };

beforeEach(async () => {
  const names = [++started, ++started].map((number) => `operator-${number}`);
  operators = await Promise.all(names.map((name) => cluster.startOperator(name)));
  const fence = await leadership(operators);
  const leads = (operator: Operator) => fence.holder.startsWith(`${operator.name}_`);
  [leader, standby] = operators.toSorted((a, b) => Number(leads(b)) - Number(leads(a))) as [Operator, Operator];
  before = { fence, revision: await currentRevision(cluster.etcd) };
  await untilServed('warm', 5);
});

afterEach(async ({ task }) => {
  for (const operator of task.result?.state === 'fail' ? operators : []) {
    process.stderr.write(`--- ${operator.name}\n${operator.process.logTail()}\n`);
  }
  await Promise.all(operators.map((operator) => operator.process.stop()));
  await audit.upToDate();
  expect(violations(audit.auditor)).toEqual([]);
  expect(unfencedWrites(await historyAfter(cluster.etcd, before.revision), before.fence)).toEqual([]);
});

/** Resolves when one of these holds Lease and fence. */
function leadership(among: readonly Operator[]): Promise<Fence> {
  return until(
    async () => {
      const fence = await readFence(cluster.etcd);
      const held = fence.holder === (await cluster.lease()).spec?.holderIdentity;
      return held && among.some(({ name }) => fence.holder.startsWith(`${name}_`)) ? fence : undefined;
    },
    { what: `${among.map(({ name }) => name).join(' or ')} to lead` },
  );
}

let served = 0;

/** Creates topics and resolves with the ms until all of them were assigned. */
async function untilServed(name: string, count: number): Promise<number> {
  const topics = topicNames(`${name}-${++served}`, count);
  const createdAt = performance.now();
  await createTopics(cluster.etcd, topics);
  await until(() => topics.every((topic) => commits.assignedAt.has(topic)), {
    what: 'new topics to be assigned',
  });
  return performance.now() - createdAt;
}

/** Ms from `since` to the first transaction of the leader after `before`. */
async function untilNextActs(since: number): Promise<number> {
  const next = await until(() => commits.made.find(({ epoch }) => epoch > before.fence.epoch), {
    what: 'the next leader to act',
    intervalMs: 10,
  });
  return next.at - since;
}

describe('when the leader', () => {
  it('is told to stop (SIGTERM), the next one acts and no topic waits', async () => {
    const stream = streamTopics(cluster.etcd, commits, 'term');
    await untilServed('before', 5);

    leader.process.kill('SIGTERM');
    const actsMs = await untilNextActs(performance.now());
    const exit = await leader.process.exited;
    for (let round = 0; round < 5; round++) await untilServed('after', 5);
    const { longestMs, topics } = await stream.end();

    expect(exit.code).toBe(0);
    holdToBar('SIGTERM: the next leader acts after', actsMs, 1_000);
    holdToBar(`SIGTERM: of ${topics} topics the slowest was assigned after`, longestMs, 1_000);
  });

  it('is killed (kill -9), the next one acts when the Lease has expired', async () => {
    const stream = streamTopics(cluster.etcd, commits, 'kill');
    await untilServed('before', 5);

    leader.process.kill('SIGKILL');
    const actsMs = await untilNextActs(performance.now());
    const { longestMs } = await stream.end();

    holdToBar('kill -9: the next leader acts after', actsMs, 10_000);
    holdToBar('kill -9: the slowest topic was assigned after', longestMs, 12_000);
  });

  it('alone is cut off from the API server, the other takes over, and the first is refused by the fence and ends', async () => {
    const stream = streamTopics(cluster.etcd, commits, 'cut');
    leader.api.refuse();
    const actsMs = await untilNextActs(performance.now());
    const next = await leadership([standby]);
    await untilServed('after-cut', 20);
    const { longestMs } = await stream.end();
    holdToBar('API server cut from the leader: the next one acts after', actsMs, 10_000);
    // It cannot know of the Lease: etcd has told it by refusing what it wrote.
    expect(leader.process.exit()).toBeUndefined();
    expect(commits.made.at(-1)?.epoch).toBe(next.epoch);
    leader.api.heal();
    const exit = await leader.process.exited;

    holdToBar('API server cut from the leader: the slowest topic was assigned after', longestMs, 2_000);
    expect(next.epoch).toBe(before.fence.epoch + 1);
    expect(exit.code).toBe(1);
  });

  it('and the other are both cut off for longer than the Lease, topics are assigned as before and nobody ends', async () => {
    for (const { api } of operators) api.blackhole();
    const slowest: number[] = [];
    const cutAt = performance.now();
    while (performance.now() - cutAt < 12_000) slowest.push(await untilServed('isolated', 5));
    const health = await leader.health();
    for (const { api } of operators) api.heal();

    holdToBar('API server unreachable: the slowest topics were assigned after', Math.max(...slowest), 2_000);
    expect(health).toBe(200);
    const renewed = (await cluster.lease()).spec?.renewTime;
    await until(async () => (await cluster.lease()).spec?.renewTime !== renewed, {
      what: 'the leader to renew again',
    });
    expect(await leadership(operators)).toEqual(before.fence);
  });

  it('stands still for 12 s in its event loop, the other leads, and the first writes nothing and ends', async () => {
    const stream = streamTopics(cluster.etcd, commits, 'blocked');
    leader.disturb('block', 12_000);
    const actsMs = await untilNextActs(performance.now());
    const exit = await leader.process.exited;
    await stream.end();

    holdToBar('event loop blocked for 12 s: the next leader acts after', actsMs, 12_000);
    expect(exit.code).toBe(1);
    expect((await leadership([standby])).epoch).toBe(before.fence.epoch + 1);
    await untilServed('after-block', 20);
  });

  it.each([1, -1])('sees its wall clock jump by %d h, and so does the other, nothing changes', async (hours) => {
    for (const operator of operators) operator.disturb('clock', hours * 3_600_000);
    const startedAt = performance.now();
    const slowest: number[] = [];
    while (performance.now() - startedAt < 10_000) slowest.push(await untilServed('jump', 5));

    holdToBar(`clocks jump by ${hours} h: the slowest topics were assigned after`, Math.max(...slowest), 2_000);
    expect(await leadership(operators)).toEqual(before.fence);
    expect(operators.map((operator) => operator.process.exit())).toEqual([undefined, undefined]);
    expect(Math.abs(Date.now() - Date.parse((await cluster.lease()).spec?.renewTime ?? ''))).toBeGreaterThan(3_500_000);
  });
});
