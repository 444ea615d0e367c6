import { describe, expect, it } from 'vitest';
import { rebalancePolicyResource } from '../api/rebalance-policy.ts';
import { type PlanningFacts, planName, summarisePlanning } from './plan-status.ts';
import { clusterOf, topicsOf } from './planner/cluster-builder.ts';
import { type DetectionOptions, detect } from './planner/detection.ts';
import { BrokerRole, type PlannerInput } from './planner/input.ts';
import { plan } from './planner/plan.ts';

const OPTIONS: DetectionOptions = { band: { above: 0.09, below: 0.09 }, sustainedSeconds: 60, minActiveBrokers: 2 };
const EXPIRES = Date.parse('2026-11-21T11:00:00Z');

interface Parts {
  readonly input: PlannerInput;
  readonly unplanned?: NonNullable<PlanningFacts['look']>['picture']['unplanned'];
  readonly planned?: boolean;
  /** How long it has been like that. Default 60. */
  readonly seconds?: number;
  readonly minActiveBrokers?: number;
}

function summaryOf({ input, unplanned = [], planned = true, seconds = 60, minActiveBrokers = 2 }: Parts) {
  const options = { ...OPTIONS, minActiveBrokers };
  const first = detect({ input, options, previous: new Map(), nowSeconds: 0 });
  const detection = detect({ input, options, previous: first.state, nowSeconds: seconds });
  const made = planned
    ? { purpose: 'Balance' as const, plan: plan(input, { band: OPTIONS.band }), input, expiresAt: EXPIRES }
    : undefined;
  const summary = summarisePlanning({
    policy: 'prod',
    look: { picture: { input, unplanned }, detection },
    settings: { sustainedSeconds: 60, minActiveBrokers },
    made,
  });
  // Whatever it says, the API server must take it.
  const read = rebalancePolicyResource.schema.shape.status.safeParse(summary.status);
  expect(read.error?.issues).toBeUndefined();
  expect(read.data).toEqual(summary.status);
  return summary;
}

/** Brokers at that many topics of cpu 1, of 100. */
function at(...counts: readonly number[]): PlannerInput {
  return clusterOf(
    ['cpu'],
    Object.fromEntries(counts.map((count, broker) => [`b${broker}`, topicsOf(`/d/b${broker}-`, count, [1])])),
  );
}

function withImmovable(input: PlannerInput, why: (topic: string) => string | undefined): PlannerInput {
  const reasons: string[] = [];
  const of = Uint8Array.from(input.topics, (topic) => {
    const reason = why(topic);
    if (reason === undefined) return 0;
    if (!reasons.includes(reason)) reasons.push(reason);
    return reasons.indexOf(reason) + 1;
  });
  return { ...input, immovable: { of, reasons } };
}

describe('a balanced cluster', () => {
  it('is within the band, and shows how far from the mean it is', () => {
    const { status, balanced } = summaryOf({ input: at(52, 50, 48), planned: false });

    expect(balanced).toEqual({
      type: 'Balanced',
      status: 'True',
      reason: 'WithinBand',
      message: 'every resource of every broker is within its band',
    });
    expect(status).toEqual({ imbalance: { resource: 'cpu', currentPercent: 4 } });
  });

  it('forgets the plan of before', () => {
    expect(summaryOf({ input: at(52, 50, 48), planned: true }).status.plan).toBeUndefined();
  });

  it('is one that has been outside only for a while, too', () => {
    const { status, balanced } = summaryOf({ input: at(70, 50, 60), seconds: 20, planned: false });

    expect(balanced).toMatchObject({ status: 'True', reason: 'WithinBand' });
    expect(balanced.message).toBe(
      'broker b0 is 17 % above the mean in cpu, for less than a minute, and 1 more are outside; it counts once it lasts 60 s',
    );
    expect(status.imbalance?.currentPercent).toBe(17);
  });

  it('says what it does not know', () => {
    const unplanned = [{ resource: 'memory', reason: 'Unknown', message: 'x' }] as const;

    expect(summaryOf({ input: at(50, 50), unplanned }).balanced.message).toBe(
      'every resource of every broker is within its band; not known well enough to be counted: memory',
    );
  });

  it('says what no move would change', () => {
    const unplanned = [
      { resource: 'memory', reason: 'Unexplained', message: 'x' },
      { resource: 'networkIn', reason: 'Unexplained', message: 'x' },
    ] as const;

    expect(summaryOf({ input: at(50, 50), unplanned }).balanced.message).toBe(
      'every resource of every broker is within its band; not caused by topics, so not counted: memory, networkIn',
    );
  });

  it('is an idle one', () => {
    const unplanned = [
      { resource: 'cpu', reason: 'Idle', message: 'x' },
      { resource: 'memory', reason: 'Unknown', message: 'x' },
    ] as const;

    const { status, balanced } = summaryOf({ input: clusterOf([], { b0: {} }), unplanned, planned: false });

    expect(balanced).toMatchObject({ status: 'True', reason: 'WithinBand' });
    expect(balanced.message).toMatch(/; not known well enough to be counted: memory$/);
    expect(status).toEqual({});
  });
});

describe('an imbalanced cluster', () => {
  it('shows the plan: what is, what would be, what could be at best', () => {
    const input = at(90, 40, 60);
    const { status, balanced } = summaryOf({ input });
    const made = plan(input, { band: OPTIONS.band });

    expect(balanced).toMatchObject({ status: 'False', reason: 'Imbalanced' });
    expect(balanced.message).toMatch(
      /^broker b0 is 42 % above the mean in cpu, for 1 min, and 1 more are outside; \d+ moves would bring all within the band$/,
    );
    expect(status.imbalance).toEqual({ resource: 'cpu', currentPercent: 42, plannedPercent: 9, floorPercent: 0 });
    expect(status.plan).toEqual({
      name: planName('prod', made),
      moves: made.moves.length,
      minMoves: made.bounds.moves,
      bindingConstraint: made.bindingConstraint,
      expiresAt: '2026-11-21T11:00:00.000Z',
    });
    expect(status.plan?.name).toMatch(/^prod-[0-9a-f]{12}$/);
    expect(status.skipped).toBeUndefined();
  });

  it('says so when the plan is not there yet', () => {
    const { status, balanced } = summaryOf({ input: at(80, 40), planned: false });

    expect(balanced).toMatchObject({ reason: 'Imbalanced' });
    expect(balanced.message).toContain('a plan is being made');
    expect(status).toEqual({ imbalance: { resource: 'cpu', currentPercent: 33 } });
  });

  it('says so when there are too few brokers for any move', () => {
    const { status, balanced } = summaryOf({ input: at(80, 40), minActiveBrokers: 3 });

    expect(balanced.message).toContain('nothing moves with fewer than 3 active brokers');
    expect(balanced.reason).toBe('Imbalanced');
    expect(status.plan).toBeUndefined();
  });

  it('names what a plan cannot cure', () => {
    const giant = clusterOf(['cpu'], {
      b0: { '/d/giant': [90], ...topicsOf('/d/a', 30, [1]) },
      b1: topicsOf('/d/b', 10, [1]),
      b2: topicsOf('/d/c', 10, [1]),
    });

    const { status, balanced } = summaryOf({ input: giant });

    expect(balanced.reason).toBe('Imbalanced');
    expect(balanced.message).toMatch(/moves would help, and then: .*\/d\/giant/);
    expect(status.imbalance?.plannedPercent).toBe(status.imbalance?.floorPercent);
  });

  it('has only what may not move left, with the reasons, the most frequent first', () => {
    const input = withImmovable(at(80, 40, 60), (topic) => (topic.endsWith('7') ? 'ConnectedClients' : 'Cooldown'));

    const { status, balanced } = summaryOf({ input });

    expect(balanced).toMatchObject({ status: 'False', reason: 'OnlyUnmovableLeft' });
    expect(balanced.message).toContain('no topic that may move would help');
    expect(status.plan).toBeUndefined();
    expect(status.skipped?.map(({ reason, count }) => [reason, count])).toEqual([
      ['Cooldown', 162],
      ['ConnectedClients', 18],
    ]);
    expect(status.skipped?.[1]?.examples).toEqual(['/d/b0-7', '/d/b0-17', '/d/b0-27']);
  });

  it('names what a hard rule wants elsewhere in vain, once', () => {
    const two = at(80, 40);
    // Nowhere to go: the other broker drains, too.
    const blocked = { ...two, roles: Uint8Array.of(BrokerRole.Draining, BrokerRole.Draining) };
    const input = withImmovable(blocked, (topic) => (topic === '/d/b0-0' ? 'Cooldown' : undefined));
    const made = { purpose: 'Balance' as const, plan: plan(input), input, expiresAt: EXPIRES };
    const detection = { verdict: 'Imbalanced', outside: [], figures: [], state: new Map() } as const;

    const { status } = summarisePlanning({
      policy: 'prod',
      look: { picture: { input, unplanned: [] }, detection },
      settings: { sustainedSeconds: 60, minActiveBrokers: 2 },
      made,
    });

    expect(made.plan.blocked.length).toBeGreaterThan(100);
    expect(status.skipped?.reduce((sum, { count }) => sum + count, 0)).toBe(120);
  });

  it('names the rule that topics are against and that no broker satisfies', () => {
    const nowhere = { name: 'payments', allowed: Uint8Array.of(0, 0) };
    const two = at(80, 40);
    const of = Int32Array.from(two.topics, (topic) => (topic === '/d/b0-0' ? 0 : -1));
    const input = { ...two, placement: { of, rules: [nowhere] } };

    expect(summaryOf({ input }).status.skipped).toEqual([
      { reason: 'rule payments: no broker takes it: 1 NotAllowed', count: 1, examples: ['/d/b0-0'] },
    ]);
  });

  it('shows the resource that is worst', () => {
    const input = clusterOf(['cpu', 'memory', 'networkIn'], {
      b0: topicsOf('/d/a', 50, [1, 1.6, 1]),
      b1: topicsOf('/d/b', 50, [1, 0.4, 1.2]),
    });

    expect(summaryOf({ input }).status.imbalance).toMatchObject({ resource: 'memory', currentPercent: 60 });
  });

  it('is at worst not above the mean, while what drains has still to come', () => {
    const input = {
      ...at(40, 40, 40),
      roles: Uint8Array.of(BrokerRole.Active, BrokerRole.Active, BrokerRole.Draining),
    };

    expect(summaryOf({ input }).status.imbalance?.currentPercent).toBe(0);
  });

  it('shows sixteen reasons at most', () => {
    const input = withImmovable(at(80, 40), (topic) => `reason ${topic.length}${topic.at(-1)}`);

    expect(summaryOf({ input }).status.skipped).toHaveLength(16);
  });
});

describe('a cluster of which nothing is known', () => {
  it('is neither balanced nor imbalanced', () => {
    const unplanned = [{ resource: 'cpu', reason: 'Unknown', message: 'it is known of 0 of 3 brokers' }] as const;

    const { status, balanced } = summaryOf({ input: clusterOf([], { b0: {} }), unplanned, planned: false });

    expect(balanced).toEqual({
      type: 'Balanced',
      status: 'Unknown',
      reason: 'MetricsUnusable',
      message: 'nothing is known well enough: cpu: it is known of 0 of 3 brokers',
    });
    expect(status).toEqual({});
  });

  it('is one that was not looked at yet', () => {
    const facts = {
      policy: 'prod',
      look: undefined,
      settings: { sustainedSeconds: 60, minActiveBrokers: 2 },
      made: undefined,
    };

    expect(summarisePlanning(facts).balanced).toMatchObject({ status: 'Unknown', reason: 'MetricsUnusable' });
  });
});
