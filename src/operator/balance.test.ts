import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { effectiveSpec } from '../api/rebalance-policy.ts';
import { judgeBrokers } from '../core/brokers.ts';
import { plan } from '../core/planner/plan.ts';
import { buildSnapshot } from '../core/snapshot-builder.ts';
import { createBalanceWatch } from './balance.ts';
import type { PlanningOutcome } from './planning.ts';
import type { Cluster } from './reporter.ts';

const spec = effectiveSpec({
  brokerSelector: { matchLabels: { app: 'danube' } },
  etcd: { endpoints: ['http://etcd.messaging.svc:2379'] },
  mode: 'Observe',
  rebalance: { sustainedSeconds: 60 },
});

const BROKERS = ['1', '2', '3'];

/**
 * Three brokers with 30 topics each; those of the first take three times the traffic while it is hot. The first look cannot know
 * whose figures those are, the present processes' or earlier ones', so what must last counts from the second.
 */
function clusterAt(second: number, isHot = true, ids: readonly string[] = BROKERS, topics = 30): Cluster {
  const trafficOf = (broker: string) => (isHot && broker === '1' ? 300_000 : 100_000);
  const topicsOf = (broker: string) => Array.from({ length: topics }, (_, index) => `/default/${broker}-${index}`);
  const snapshot = buildSnapshot({
    now: second,
    brokers: ids.map((id) => ({
      id,
      pod: `danube-${id}`,
      reportedAt: second,
      reportRevision: 1000 + second,
      topicLoads: Object.fromEntries(
        topicsOf(id).map((name) => [name, { messagesPerSecond: 100, bytesPerSecond: trafficOf(id) / 30 }]),
      ),
    })),
    pods: ids.map((id) => ({ name: `danube-${id}`, container: { runningSince: 1 } })),
    topics: ids.flatMap((id) => topicsOf(id).map((name) => ({ name, owners: [id] }))),
    agents: Object.fromEntries(
      ids.map((id) => [
        `danube-${id}`,
        { seenAt: second, cpuCores: trafficOf(id) / 100_000, cpuLimitCores: 4, memoryBytes: 1e9 },
      ]),
    ),
  });
  return { snapshot, brokers: judgeBrokers(snapshot) };
}

/** Plans at once, here; `outcomes` replace what would come back. */
function start(...outcomes: readonly PlanningOutcome[]) {
  const asked: string[][] = [];
  const heldBack: string[][] = [];
  const waiting = [...outcomes];
  const rules = { areBroken: false };
  const watch = createBalanceWatch({
    policy: 'prod',
    isAgainstRules: () => rules.areBroken,
    planning: {
      async plan(input, { options }) {
        asked.push([...input.topics]);
        const { of, reasons = [] } = input.immovable ?? {};
        heldBack.push(input.topics.map((_, topic) => reasons[(of?.[topic] ?? 0) - 1] ?? ''));
        return waiting.shift() ?? { kind: 'Planned', plan: plan(input, options), planMs: 1 };
      },
    },
    log: pino({ level: 'silent' }),
  });
  return {
    watch,
    asked,
    heldBack,
    waiting,
    rules,
    async lookFrom(first: number, last: number, { isHot = true, plans = true } = {}) {
      for (let second = first; second <= last; second += 10) await watch.look(clusterAt(second, isHot), spec, plans);
    },
  };
}

describe('what is watched of the load', () => {
  it('is nothing before the first look', () => {
    const { watch } = start();

    expect(watch.balance()).toBeUndefined();
    expect(watch.figures().size).toBe(0);
    expect(watch.summary(spec)).toMatchObject({ status: {}, balanced: { status: 'Unknown' } });
  });

  it('is how far each broker is from the mean', async () => {
    const { watch, lookFrom } = start();
    await lookFrom(1000, 1010);

    expect(watch.figures().get('cpu')?.maxOverMean).toBeCloseTo(1.8, 5);
    expect(watch.balance()?.brokers.get('1')?.levels.cpu).toBeCloseTo(1.8, 5);
  });
});

describe('a plan', () => {
  it('is made once the load has been uneven for long enough, and told in the status', async () => {
    const { watch, asked, lookFrom } = start();

    await lookFrom(1000, 1060);
    expect(asked).toEqual([]);
    await lookFrom(1070, 1070);

    expect(asked).toHaveLength(1);
    const { status, balanced } = watch.summary(spec);
    expect(status.plan?.name).toMatch(/^prod-[0-9a-f]+$/);
    expect(status.plan?.moves).toBeGreaterThanOrEqual(status.plan?.minMoves ?? Number.POSITIVE_INFINITY);
    expect(balanced).toMatchObject({ status: 'False', reason: 'Imbalanced' });
  });

  it('is made anew when its time is over or the policy asks for another, and not before', async () => {
    const { asked, lookFrom, watch } = start();
    await lookFrom(1000, 1180);
    expect(asked).toHaveLength(1);

    await lookFrom(1190, 1200);
    expect(asked).toHaveLength(2);

    const wider = effectiveSpec({ ...spec, rebalance: { sustainedSeconds: 60, limits: { maxConcurrentMoves: 2 } } });
    await watch.look(clusterAt(1210), wider, true);
    expect(asked).toHaveLength(3);
  });

  it.each([
    [
      'the rules change',
      effectiveSpec({
        ...spec,
        placement: {
          rules: [
            {
              name: 'first',
              topicPatterns: ['/default/1-*'],
              brokerSelector: { matchLabels: { tier: 'fast' } },
              enforcement: 'Preferred',
            },
          ],
        },
      }),
      BROKERS,
    ],
    ['a broker comes', spec, [...BROKERS, '4']],
    ['a broker is gone', spec, ['1', '2']],
  ])('is made anew when %s', async (_what, changed, ids) => {
    const { asked, lookFrom, watch } = start();
    await lookFrom(1000, 1090);
    expect(asked).toHaveLength(1);

    await watch.look(clusterAt(1100, true, ids), changed, true);

    expect(asked).toHaveLength(2);
  });

  it('is made anew half a minute later at the earliest when the figures of a broker have come', async () => {
    const { asked, watch } = start();
    const lookFrom = async (first: number, last: number, isBlind: boolean) => {
      for (let second = first; second <= last; second += 10) {
        const { snapshot, brokers } = clusterAt(second);
        const agents = new Map(snapshot.agents);
        if (isBlind) agents.delete('uid-of-danube-3');
        await watch.look({ snapshot: { ...snapshot, agents }, brokers }, spec, true);
      }
    };
    await lookFrom(1000, 1070, true);
    expect(asked).toHaveLength(1);

    await lookFrom(1080, 1090, false);
    expect(asked).toHaveLength(1);
    await lookFrom(1100, 1120, false);

    expect(asked).toHaveLength(2);
  });

  it('that does not reach the band is made anew after half a minute, since what held it back may be over', async () => {
    const { asked, watch } = start();
    const stuck = {
      ...spec,
      rebalance: { ...spec.rebalance, excludeTopicPatterns: ['/default/1-1*', '/default/1-2*'] },
    };
    const lookUntil = async (first: number, last: number) => {
      for (let second = first; second <= last; second += 10) await watch.look(clusterAt(second), stuck, true);
    };
    await lookUntil(1000, 1090);
    expect(asked).toHaveLength(1);
    expect(watch.summary(stuck).status.plan?.moves).toBeGreaterThan(0);

    await lookUntil(1100, 1100);

    expect(asked).toHaveLength(2);
  });

  it('holds back topics that are younger than the policy wants', async () => {
    const { asked, heldBack, lookFrom, watch } = start();
    await lookFrom(1000, 1090);
    const { rebalance } = spec;
    const patient = { ...spec, rebalance: { ...rebalance, limits: { ...rebalance.limits, minTopicAgeSeconds: 60 } } };

    for (let second = 1100; second <= 1230; second += 10) {
      await watch.look(clusterAt(second, true, BROKERS, 31), patient, true);
    }

    const young = asked[1]?.filter((_, topic) => heldBack[1]?.[topic] === 'TooYoung');
    expect(young).toEqual(['/default/1-30', '/default/2-30', '/default/3-30']);
    expect(heldBack.at(-1)).not.toContain('TooYoung');
  });

  it('is dropped when its time is over and no other can be made', async () => {
    const { watch, waiting, lookFrom } = start();
    await lookFrom(1000, 1180);
    expect(watch.summary(spec).status.plan).toBeDefined();

    waiting.push({ kind: 'Failed', problem: 'no memory' });
    await lookFrom(1190, 1190);

    expect(watch.summary(spec).status.plan).toBeUndefined();
  });

  it('is gone when the load is even again', async () => {
    const { watch, lookFrom } = start();
    await lookFrom(1000, 1070);
    expect(watch.summary(spec).status.plan).toBeDefined();

    await lookFrom(1080, 1400, { isHot: false });

    expect(watch.summary(spec)).toMatchObject({ balanced: { status: 'True', reason: 'WithinBand' } });
    expect(watch.summary(spec).status.plan).toBeUndefined();
  });

  it('is not made by a replica that stands by, and at once when it leads', async () => {
    const { asked, lookFrom } = start();
    await lookFrom(1000, 1100, { plans: false });
    expect(asked).toEqual([]);

    await lookFrom(1110, 1110);

    expect(asked).toHaveLength(1);
  });

  it('that could not be made is tried again', async () => {
    const { asked, lookFrom, watch } = start({ kind: 'Failed', problem: 'no memory' });
    await lookFrom(1000, 1070);
    expect(asked).toHaveLength(1);
    expect(watch.summary(spec).status.plan).toBeUndefined();

    await lookFrom(1080, 1080);

    expect(asked).toHaveLength(2);
    expect(watch.summary(spec).status.plan).toBeDefined();
  });
});

describe('a plan for rules', () => {
  const ruled = effectiveSpec({
    ...spec,
    placement: {
      rules: [{ name: 'fast', topicPatterns: ['/default/2-1*'], brokerSelector: { matchLabels: { tier: 'fast' } } }],
    },
  });

  /** Only the Pod of broker 1 has the label, if any. */
  function evenAt(second: number, tier = 'fast'): Cluster {
    const { snapshot } = clusterAt(second, false);
    const pods = snapshot.pods.map((pod) => (pod.name === 'danube-1' ? { ...pod, labels: { tier } } : pod));
    return { snapshot: { ...snapshot, pods }, brokers: judgeBrokers({ ...snapshot, pods }) };
  }

  it('is made and told although the load is even, and moves what stands against them and nothing else', async () => {
    const { asked, watch, rules } = start();
    rules.areBroken = true;

    for (let second = 1000; second <= 1020; second += 10) await watch.look(evenAt(second), ruled, true);

    expect(asked).toHaveLength(1);
    const { status, balanced } = watch.summary(ruled);
    // Topics 1 and 10 to 19 of broker 2.
    expect(status.plan).toMatchObject({ moves: 11, minMoves: 11 });
    expect(balanced).toMatchObject({ status: 'True', reason: 'WithinBand' });
    expect(balanced.message).toContain('topics that rules want elsewhere and that can go there: 11');
  });

  it('names those that cannot go, with the rule', async () => {
    const { watch, rules } = start();
    rules.areBroken = true;

    for (let second = 1000; second <= 1020; second += 10) await watch.look(evenAt(second, 'slow'), ruled, true);

    const { status, balanced } = watch.summary(ruled);
    expect(status.plan).toBeUndefined();
    expect(status.skipped).toMatchObject([{ count: 11, reason: expect.stringContaining('rule fast: ') }]);
    expect(balanced.message).toContain('topics that rules want elsewhere and that cannot go: 11');
  });

  it('is gone once no topic stands against them, and gives way to one for balance', async () => {
    const { asked, watch, rules } = start();
    rules.areBroken = true;
    for (let second = 1000; second <= 1010; second += 10) await watch.look(evenAt(second), ruled, true);
    expect(watch.summary(ruled).status.plan).toBeDefined();

    rules.areBroken = false;
    await watch.look(evenAt(1020), ruled, true);
    expect(watch.summary(ruled).status).not.toHaveProperty('plan');

    rules.areBroken = true;
    for (let second = 1030; second <= 1120; second += 10) await watch.look(clusterAt(second), ruled, true);
    expect(asked.length).toBeGreaterThan(1);
    expect(watch.summary(ruled).balanced).toMatchObject({ status: 'False', reason: 'Imbalanced' });
  });
});
