/** The cases in which other balancers are known to fail, from their own reports. */
import { describe, expect, it } from 'vitest';
import { messagingCluster } from '../../../bench/planner/workloads.ts';
import { clusterOf, topicsOf } from './cluster-builder.ts';
import { type DetectionState, detect } from './detection.ts';
import { brokerLoads } from './figures.ts';
import { BrokerRole, type Plan, type PlannerInput } from './input.ts';
import { domainsByLabel } from './labels.ts';
import { plan } from './plan.ts';

function afterMoves(input: PlannerInput, made: Plan, count = made.moves.length): PlannerInput {
  const owner = input.owner.slice();
  for (const { topic, to } of made.moves.slice(0, count)) owner[topic] = to;
  return { ...input, owner };
}

function withRoles(input: PlannerInput, role: number, brokers: readonly number[]): PlannerInput {
  const roles = new Uint8Array(input.brokers.length);
  for (const broker of brokers) roles[broker] = role;
  return { ...input, roles };
}

function topicCount(input: PlannerInput, broker: number): number {
  return input.owner.filter((owner) => owner === broker).length;
}

/** Topics of 10 on `count` brokers, each at the given load. */
function brokersAt(loads: readonly number[], topic = 1): PlannerInput {
  const entries = loads.map((load, broker) => [`b${broker}`, topicsOf(`b${broker}-t`, load / topic, [topic])] as const);
  return clusterOf(['cpu'], Object.fromEntries(entries));
}

describe('a balancer', () => {
  it('fills an idle newcomer beside ten brokers at 80 %, with moves to it alone', () => {
    const input = brokersAt([...Array.from({ length: 10 }, () => 80), 0], 4);

    const made = plan(input);

    expect(made.inBand).toBe(true);
    expect(made.moves.every(({ to }) => to === 10)).toBe(true);
    expect(made.moves.length).toBe(made.bounds.moves);
  });

  it('evens out a pair of 90 and 10 once, and has nothing left to do', () => {
    const input = brokersAt([90, 10], 2);

    const made = plan(input);
    const again = plan(afterMoves(input, made));

    expect(made.inBand).toBe(true);
    expect(made.moves.length).toBe(made.bounds.moves);
    expect(again.moves).toEqual([]);
  });

  it('does not pile what two hot brokers shed onto one: 40, 40, 40, 40, 69, 70', () => {
    const made = plan(brokersAt([40, 40, 40, 40, 69, 70]));

    expect(made.inBand).toBe(true);
    expect(new Set(made.moves.map(({ to }) => to)).size).toBeGreaterThan(1);
    expect(made.moves.every(({ from }) => from >= 4)).toBe(true);
    expect(made.moves.length).toBe(made.bounds.moves);
  });

  it('stops at load that no topic explains: 10, 50 and 70, of which 60 is foreign', () => {
    const input = { ...brokersAt([10, 50, 10]), background: Float64Array.from([0, 0, 60]) };

    const made = plan(input);

    expect(made.after[0]?.maxOverMean).toBeCloseTo(60 / (130 / 3));
    expect(made.gap.balance[0]).toBeCloseTo(0);
    expect(made.bindingConstraint).toBe('what may not move from broker b2: cpu cannot go below 1.38 × mean');
  });

  it('spreads 100 hot brokers over 100 new ones in one plan', () => {
    const made = plan(
      brokersAt([...Array.from({ length: 100 }, () => 80), ...Array.from({ length: 100 }, () => 0)], 4),
    );

    expect(made.inBand).toBe(true);
    expect(made.gap.moves).toBeLessThan(0.15);
  });

  it('empties one broker after another in a rolling restart, and ends in the band', () => {
    let input = brokersAt([40, 40, 40, 40], 2);
    let moves = 0;
    for (let broker = 0; broker < 4; broker++) {
      const draining = withRoles(input, BrokerRole.Draining, [broker]);
      const made = plan(draining);
      input = afterMoves(draining, made);
      moves += made.moves.length;

      expect(topicCount(input, broker)).toBe(0);
      expect(made.inBand).toBe(true);
    }

    const last = plan(withRoles(input, BrokerRole.Active, []));

    expect(last.inBand).toBe(true);
    expect(moves + last.moves.length).toBeLessThan(140);
  });

  it('plans anew when a target dies halfway, and leaves nothing on it', () => {
    const input = brokersAt([80, 80, 80, 0, 0], 2);
    const made = plan(input);
    const halfway = afterMoves(input, made, Math.floor(made.moves.length / 2));

    const lost = withRoles(halfway, BrokerRole.Draining, [3]);
    const next = plan(lost);

    const end = afterMoves(lost, next);
    expect(topicCount(halfway, 3)).toBeGreaterThan(0);
    expect(topicCount(end, 3)).toBe(0);
    expect(next.moves.every(({ to }) => to !== 3)).toBe(true);
    expect(next.inBand).toBe(true);
  });

  it('moves nothing for a spike of two minutes, and moves when it lasts', () => {
    const options = { band: { above: 0.09, below: 0.09 }, sustainedSeconds: 180, minActiveBrokers: 2 };
    const calm = brokersAt([50, 50, 50]);
    const spike = brokersAt([90, 50, 50]);
    let state: DetectionState = new Map();
    const look = (input: PlannerInput, nowSeconds: number) => {
      const seen = detect({ input, options, previous: state, nowSeconds });
      state = seen.state;
      return seen.verdict;
    };

    expect([0, 30, 60, 90, 120].map((second) => look(spike, second))).not.toContain('Imbalanced');
    expect(look(calm, 150)).toBe('WithinBand');
    expect(look(spike, 180)).toBe('NotSustained');
    expect(look(spike, 360)).toBe('Imbalanced');
  });

  it('follows a day of three time zones without moving topics to and fro', () => {
    const start = messagingCluster(
      { brokers: 20, topics: 2_000, width: 2, tail: { kind: 'Zipf', exponent: 0.6 }, cap: 0.05 },
      3,
    );
    let owner = plan(start).moves.reduce((owners, { topic, to }) => owners.with(topic, to), start.owner);
    const movesOfTopic = new Map<number, number>();
    for (let hour = 0; hour < 24; hour++) {
      const loads = start.loads.map((load, at) => {
        const zone = Math.floor(at / 2) % 3;
        return load * (1 + 0.5 * Math.sin(((hour + 8 * zone) / 24) * 2 * Math.PI));
      });
      const input = { ...start, loads, owner };
      const made = plan(input);
      owner = afterMoves(input, made).owner;
      for (const { topic } of made.moves) movesOfTopic.set(topic, (movesOfTopic.get(topic) ?? 0) + 1);

      expect(made.inBand).toBe(true);
    }

    const total = [...movesOfTopic.values()].reduce((sum, count) => sum + count, 0);
    expect(total).toBeLessThan(2_000 * 0.25);
  });

  it('says that one giant topic sets the balance, frees its broker of all else, and moves it nowhere', () => {
    const input = clusterOf(['cpu'], {
      b0: { giant: [88], small: [4] },
      b1: topicsOf('t', 20, [1]),
      b2: topicsOf('u', 20, [1]),
      b3: topicsOf('v', 20, [1]),
    });

    const made = plan(input);

    expect(made.moves.map(({ topic }) => input.topics[topic])).toEqual(['small']);
    expect(made.after[0]?.maxOverMean).toBeCloseTo(88 / 38);
    expect(made.gap.balance[0]).toBeCloseTo(0);
    expect(made.bindingConstraint).toBe('topic giant alone: cpu cannot go below 2.32 × mean');
  });

  it('leaves a broker alone whose reports are stale, and balances the others', () => {
    const input = brokersAt([90, 80, 10, 20], 2);
    const stale = input.owner.map((broker) => Number(broker === 0));
    const guarded = {
      ...withRoles(input, BrokerRole.Closed, [0]),
      immovable: { of: Uint8Array.from(stale), reasons: ['MetricsUnusable'] },
    };

    const made = plan(guarded, { band: { above: 0.3, below: 0.3 } });

    expect(made.moves.length).toBeGreaterThan(0);
    expect(made.moves.some(({ from, to }) => from === 0 || to === 0)).toBe(false);
    expect(made.after[0]?.maxOverMean).toBeCloseTo(90 / 50);
    expect(made.bindingConstraint).toBe('what may not move from broker b0: cpu cannot go below 1.80 × mean');
  });

  it('gives a broker of twice the size twice the load', () => {
    const input = clusterOf(
      ['cpu'],
      { b0: topicsOf('t', 60, [1]), b1: topicsOf('u', 60, [1]), b2: {} },
      { b0: [100], b1: [100], b2: [200] },
    );

    const made = plan(input);

    const sums = brokerLoads(afterMoves(input, made));
    expect(made.inBand).toBe(true);
    expect(sums[2]).toBeGreaterThanOrEqual(0.91 * 60);
    expect(made.moves.length).toBe(made.bounds.moves);
  });

  it('rebuilds a lost zone on the others, with no group crowded', () => {
    const labels = ['a', 'a', 'b', 'b', 'c', 'c'].map((zone) => ({ zone }));
    const base = brokersAt([30, 30, 30, 30, 30, 30], 2);
    const group = base.owner.map((_, topic) => (topic % 15 === 0 ? 0 : -1));
    const input = {
      ...withRoles(base, BrokerRole.Draining, [0, 1]),
      spread: { of: group, groups: [{ name: 'replicas', maxPerBroker: 2 }], ...domainsByLabel(labels, 'zone') },
    };

    const made = plan(input);

    const end = afterMoves(input, made);
    expect(topicCount(end, 0) + topicCount(end, 1)).toBe(0);
    for (let broker = 2; broker < 6; broker++) {
      const members = end.owner.filter((owner, topic) => owner === broker && group[topic] === 0).length;
      expect(members).toBeLessThanOrEqual(2);
    }
    expect(made.inBand).toBe(true);
  });

  it.each([
    { name: 'may not move', why: { immovable: (stuck: Uint8Array) => ({ of: stuck, reasons: ['Backlog'] }) } },
    {
      name: 'may live nowhere else',
      why: {
        placement: (stuck: Uint8Array) => ({
          of: Int32Array.from(stuck, (isStuck) => isStuck - 1),
          rules: [{ name: 'old', allowed: Uint8Array.of(1, 0, 0, 0, 0) }],
        }),
      },
    },
  ])('relieves a broker of 1.4 times its share beside a draining one whose load $name', ({ why }) => {
    const base = withRoles(brokersAt([100, 32, 20, 20, 20], 2), BrokerRole.Draining, [0]);
    const stuck = Uint8Array.from(base.owner, (owner) => Number(owner === 0));
    const input: PlannerInput = {
      ...base,
      ...(why.immovable && { immovable: why.immovable(stuck) }),
      ...(why.placement && { placement: why.placement(stuck) }),
    };
    const options = { band: { above: 0.09, below: 0.09 }, sustainedSeconds: 0, minActiveBrokers: 2 };

    const seen = detect({ input, options, previous: new Map(), nowSeconds: 0 });
    const made = plan(input);

    // 92 on four brokers: what stays on the draining one is nobody's share.
    expect(made.before[0]?.maxOverMean).toBeCloseTo(32 / 23);
    expect(seen.outside[0]).toMatchObject({ broker: 'b1', side: 'Above' });
    expect(made.moves.map(({ from }) => from)).toEqual([1, 1, 1, 1]);
    expect(made.inBand).toBe(true);
    expect(made.bounds.balance).toEqual([1]);
  });

  it('takes three of ten brokers out of service, and the others end in the band', () => {
    const shape = { brokers: 10, topics: 1_000, width: 3, tail: { kind: 'Zipf', exponent: 0.6 }, cap: 0.1 } as const;
    const input = withRoles(messagingCluster(shape, 8), BrokerRole.Draining, [7, 8, 9]);

    const made = plan(input);

    const end = afterMoves(input, made);
    expect(topicCount(end, 7) + topicCount(end, 8) + topicCount(end, 9)).toBe(0);
    expect(made.inBand).toBe(true);
    expect(made.gap.moves).toBeLessThan(0.2);
  });
});
