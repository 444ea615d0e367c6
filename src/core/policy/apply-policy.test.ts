import { describe, expect, it } from 'vitest';
import {
  effectiveRebalance,
  type PlacementRuleSpec,
  type RebalanceSpec,
  type SpreadRuleSpec,
} from '../../api/rebalance.ts';
import { clusterOf, topicsOf } from '../planner/cluster-builder.ts';
import { createExplainer } from '../planner/explain.ts';
import { BrokerRole } from '../planner/input.ts';
import { plan } from '../planner/plan.ts';
import type { PlannerSnapshot } from '../planner/snapshot-reader.ts';
import { applyPolicy, type PolicyInput } from './apply-policy.ts';

/** b0 has 60 of 120; b2 is empty. Brokers b0 and b1 are slow, b2 is fast. */
const INPUT = clusterOf(['cpu'], { b0: topicsOf('/default/t', 60, [1]), b1: topicsOf('/default/u', 60, [1]), b2: {} });
const LABELS = [{ tier: 'slow' }, { tier: 'slow' }, { tier: 'fast', zone: 'a' }];

function snapshotOf(change: Partial<PlannerSnapshot> = {}): PlannerSnapshot {
  return {
    input: INPUT,
    labels: LABELS,
    reliable: new Uint8Array(120),
    connections: new Float64Array(120),
    ignored: [],
    ...change,
  };
}

function applied(rebalance: RebalanceSpec, change: Partial<PlannerSnapshot> = {}, more: Partial<PolicyInput> = {}) {
  return applyPolicy({
    snapshot: snapshotOf(change),
    rebalance: effectiveRebalance(rebalance),
    mode: 'Full',
    brokers: [],
    ...more,
  });
}

function reasonOf({ input }: ReturnType<typeof applied>, topic: string): string | undefined {
  const code = input.immovable?.of[input.topics.indexOf(topic)] ?? 0;
  return input.immovable?.reasons[code - 1];
}

function rule(name: string, pattern: string, labels: Record<string, string>, preferred = false): PlacementRuleSpec {
  return {
    name,
    topicPatterns: [pattern],
    brokerSelector: { matchLabels: labels },
    ...(preferred && { enforcement: 'Preferred' }),
  };
}

/** The value at one topic, `elsewhere` at all others. */
function only(topic: string, value: number, elsewhere: number): Float64Array {
  return Float64Array.from(INPUT.topics, (name) => (name === topic ? value : elsewhere));
}

describe('a policy', () => {
  it('sets the band', () => {
    expect(applied({ band: { abovePercent: 20 } }).options).toEqual({
      mode: 'Full',
      band: { above: 0.2, below: 0.09 },
    });
  });

  it('holds back what its patterns exclude', () => {
    const outcome = applied({ excludeTopicPatterns: ['/default/t1*'] });

    expect(reasonOf(outcome, '/default/t1')).toBe('Excluded');
    expect(reasonOf(outcome, '/default/t2')).toBeUndefined();
  });

  it('holds back connected topics, unless it allows them at their price', () => {
    const connections = only('/default/t1', 4, 0);

    expect(reasonOf(applied({}, { connections }), '/default/t1')).toBe('ConnectedClients');
    const allowed = applied({ connectedTopics: 'Allow' }, { connections });
    expect(reasonOf(allowed, '/default/t1')).toBeUndefined();
    expect(allowed.input.cost?.slice(0, 3)).toEqual(Float64Array.of(1, 5, 1));
  });

  it('makes reliable topics dearer, and plain ones all alike', () => {
    const reliable = Uint8Array.from(INPUT.topics, (name) => Number(name === '/default/t0'));

    expect(applied({}, { reliable }).input.cost?.slice(0, 2)).toEqual(Float64Array.of(2, 1));
    expect(applied({}).input.cost).toBeUndefined();
  });

  it('takes networkIn and networkOut for traffic, where the snapshot has them', () => {
    const of = (...resources: string[]) => ({ input: { ...INPUT, resources } });

    expect(applied({}, of('networkOut')).input.traffic).toEqual([0]);
    expect(applied({}, of('networkIn', 'cpu', 'networkOut')).input.traffic).toEqual([0, 2]);
    expect(applied({}).input.traffic).toBeUndefined();
  });

  it('holds back young topics and those that moved lately, where that is known', () => {
    const ageSeconds = only('/default/t0', 299, 300);
    const movedSecondsAgo = only('/default/t1', 899, 900);

    const outcome = applied({}, { ageSeconds, movedSecondsAgo });

    expect(reasonOf(outcome, '/default/t0')).toBe('TooYoung');
    expect(reasonOf(outcome, '/default/t1')).toBe('Cooldown');
    expect(reasonOf(outcome, '/default/t2')).toBeUndefined();
  });

  it('lets the reason of the snapshot stand', () => {
    const of = Uint8Array.from(INPUT.topics, (name) => Number(name === '/default/t0'));
    const input = { ...INPUT, immovable: { of, reasons: ['Backlog'] } };

    const outcome = applied({ excludeTopicPatterns: ['/default/t*'] }, { input });

    expect(reasonOf(outcome, '/default/t0')).toBe('Backlog');
    expect(reasonOf(outcome, '/default/t1')).toBe('Excluded');
  });

  it('holds nothing back that must leave its broker', () => {
    const outcome = applied({ excludeTopicPatterns: ['/default/*'] }, {}, { mode: 'Drain', brokers: [0] });

    expect(reasonOf(outcome, '/default/t0')).toBeUndefined();
    expect(reasonOf(outcome, '/default/u0')).toBe('Excluded');
    expect(plan(outcome.input, outcome.options).moves).toHaveLength(60);
  });

  it('moves nothing for balance with fewer brokers than it asks for', () => {
    const outcome = applied({ limits: { minActiveBrokers: 4 } });

    expect(plan(outcome.input, outcome.options).moves).toEqual([]);
    expect(outcome.notes).toEqual([
      '3 brokers take topics, and rebalance.limits.minActiveBrokers asks for 4: nothing moves for balance',
    ]);
  });
});

describe('maxBrokerUtilizationPercent', () => {
  /** b0 is full and draining; the others have room for 40 each below 60 %. */
  const capacity = Float64Array.of(100, 100, 100);
  const full = {
    ...clusterOf(['cpu'], {
      b0: topicsOf('/default/t', 100, [1]),
      b1: topicsOf('/default/u', 20, [1]),
      b2: topicsOf('/default/v', 20, [1]),
    }),
    capacity,
    roles: Uint8Array.of(BrokerRole.Draining, 0, 0),
  };
  const none = { input: full, reliable: new Uint8Array(140), connections: new Float64Array(140) };
  const limits = { maxBrokerUtilizationPercent: 60 };

  it('is how full a move may make a broker, also to empty another one', () => {
    const { input, options } = applied({ limits }, none);

    const made = plan(input, options);

    expect(options.headroom).toBe(0.6);
    expect(made.moves).toHaveLength(80);
    expect(made.blocked).toHaveLength(20);
    expect(made.blocked[0]?.because).toBe('no broker takes it: 2 Headroom');
    const stays = made.blocked[0]?.topic ?? -1;
    expect(createExplainer(input, options, made).whyNot(stays, 1)).toEqual({
      code: 'Headroom',
      text: 'b1 would be filled beyond 60 % of its capacity',
    });
  });

  it('does not count for what has no limit, and is none unless it is written', () => {
    const unlimited = applied({ limits }, { ...none, input: { ...full, unlimited: [0] } });
    const unsaid = applied({ aggressiveness: 'Low' }, none);

    expect(plan(unlimited.input, unlimited.options).blocked).toEqual([]);
    expect(plan(unsaid.input, unsaid.options).blocked).toEqual([]);
  });
});

describe('modes', () => {
  it('scale-out moves topics only to the brokers that are named', () => {
    const { input, options } = applied({}, {}, { mode: 'ScaleOut', brokers: [2] });

    const { moves } = plan(input, options);

    expect(moves.length).toBeGreaterThan(30);
    expect(moves.every(({ to }) => to === 2)).toBe(true);
  });

  it('drain empties what is named and what is draining', () => {
    const roles = Uint8Array.of(0, BrokerRole.Draining, 0);

    const outcome = applied({}, { input: { ...INPUT, roles } }, { mode: 'Drain', brokers: [0] });

    expect(outcome.input.roles).toEqual(Uint8Array.of(BrokerRole.Draining, BrokerRole.Draining, 0));
  });
});

describe('rules', () => {
  it('keep topics on the brokers that have all labels', () => {
    const rules = [rule('fast', '/default/t*', { tier: 'fast' })];

    const { input, options } = applied({}, {}, { placement: { rules } });

    const moved = plan(input, options).moves.filter(({ reason }) => reason === 'NotAllowed');
    expect(moved).toHaveLength(60);
    expect(moved.every(({ to }) => to === 2)).toBe(true);
  });

  it('must all be satisfied', () => {
    const rules = [
      rule('slow', '/default/*', { tier: 'slow' }),
      rule('zone', '/default/t*', { zone: 'a' }),
      rule('fast', '/default/u*', { tier: 'fast' }, true),
    ];

    const { input, notes } = applied({}, {}, { placement: { rules } });

    expect(input.placement?.rules).toEqual([
      { name: 'slow and zone', allowed: Uint8Array.of(0, 0, 0) },
      // No slow broker is fast: a preference that nothing can meet is none.
      { name: 'slow and fast', allowed: Uint8Array.of(1, 1, 0) },
    ]);
    expect(notes).toEqual([]);
  });

  it('may prefer brokers', () => {
    const rules = [rule('fast', '/default/t*', { tier: 'fast' }, true)];

    const { input } = applied({}, {}, { placement: { rules } });

    expect(input.placement?.rules).toEqual([
      { name: 'fast', allowed: Uint8Array.of(1, 1, 1), preferred: Uint8Array.of(0, 0, 1) },
    ]);
  });

  it('that mean nothing here are named', () => {
    const rules = [rule('none', '/other/*', { tier: 'slow' }), rule('nowhere', '/default/*', { tier: 'none' })];

    expect(applied({}, {}, { placement: { rules } }).notes).toEqual([
      'rule none covers no topic',
      'rule nowhere selects no broker: check its labels',
    ]);
  });
});

describe('spread rules', () => {
  const partitions = clusterOf(['cpu'], { b0: topicsOf('/shop/orders-part-', 4, [1]), b1: {}, b2: {} });
  const snapshot = { input: partitions, reliable: new Uint8Array(4), connections: new Float64Array(4) };
  const orders: SpreadRuleSpec = { name: 'orders', topicPatterns: ['/shop/orders'], maxPerBroker: 2 };

  it('move partitions apart that are together, and never together again', () => {
    const { input, options, notes } = applied({}, snapshot, { placement: { spread: [orders] } });

    const { moves, blocked } = plan(input, options);

    expect(moves.filter(({ reason }) => reason === 'Spread')).toHaveLength(2);
    expect(blocked).toEqual([]);
    expect(notes).toEqual([]);
  });

  it('keep them apart by domains of brokers, of which those without the label are one', () => {
    const labels = [{ zone: 'a' }, { zone: 'b' }, {}];
    const zoned = { ...orders, maxPerBroker: 1, topologyKey: 'zone', maxPerDomain: 1 };

    const { input, options, notes } = applied({}, { ...snapshot, labels }, { placement: { spread: [zoned] } });

    expect(input.spread).toMatchObject({ domains: ['no zone', 'zone=a', 'zone=b'], domainOf: Int32Array.of(1, 2, 0) });
    expect(notes).toEqual(['brokers without the label zone: 1; they count as one domain']);
    const made = plan(input, options);
    expect(made.moves).toHaveLength(2);
    expect(made.blocked).toEqual([expect.objectContaining({ wanted: 'Spread', rule: 'orders for /shop/orders' })]);
    expect(made.bindingConstraint).toMatch(
      /^topic \/shop\/orders-part-\d cannot leave broker b0 \(Spread, rule orders for \/shop\/orders\): no broker takes it/,
    );
    const explainer = createExplainer(input, options, made);
    expect(explainer.explain(made.moves[0]?.topic ?? -1).text).toContain(
      'too many topics of rule orders for /shop/orders',
    );
  });

  it('that mean nothing here, or cover the same topics, are named', () => {
    const all: SpreadRuleSpec = { name: 'all', topicPatterns: ['/shop/*'], scope: 'Topics', maxPerBroker: 9 };
    const none = { ...orders, name: 'none', topicPatterns: ['/none/*'] };

    expect(applied({}, snapshot, { placement: { spread: [orders, all, none] } }).notes).toEqual([
      'spread rule all counts for no topic',
      'spread rule none counts for no partition of a partitioned topic',
      'spread rules orders and all both cover 4 topics: the first one counts',
    ]);
  });
});
