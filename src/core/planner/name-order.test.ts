/** The same cluster, listed in any order, has the same plan. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clusterOf } from './cluster-builder.ts';
import { BrokerRole, type Plan, type PlannerInput } from './input.ts';
import { planInNameOrder } from './name-order.ts';

interface Broker {
  readonly name: string;
  readonly capacity: readonly number[];
  readonly background: readonly number[];
  readonly role: number;
  readonly allowed: number;
  readonly domain: number;
}

interface Topic {
  readonly name: string;
  readonly owner: string;
  readonly load: readonly number[];
  readonly immovable: number;
  readonly cost: number;
  readonly rule: number;
  readonly group: number;
}

function inputOf(brokers: readonly Broker[], topics: readonly Topic[]): PlannerInput {
  const names = brokers.map(({ name }) => name);
  const allowed = Uint8Array.from(brokers, (broker) => broker.allowed);
  return {
    resources: ['cpu', 'memory'],
    brokers: names,
    topics: topics.map(({ name }) => name),
    capacity: Float64Array.from(brokers.flatMap(({ capacity }) => capacity)),
    background: Float64Array.from(brokers.flatMap(({ background }) => background)),
    roles: Uint8Array.from(brokers, ({ role }) => role),
    loads: Float64Array.from(topics.flatMap(({ load }) => load)),
    owner: Int32Array.from(topics, ({ owner }) => names.indexOf(owner)),
    immovable: { of: Uint8Array.from(topics, ({ immovable }) => immovable), reasons: ['Excluded'] },
    cost: Float64Array.from(topics, ({ cost }) => cost),
    placement: {
      of: Int32Array.from(topics, ({ rule }) => rule),
      rules: [{ name: 'fast', allowed, preferred: allowed }],
    },
    spread: {
      of: Int32Array.from(topics, ({ group }) => group),
      groups: [{ name: 'zones', maxPerDomain: 3 }],
      domainOf: Int32Array.from(brokers, ({ domain }) => domain),
      domains: ['a', 'b'],
    },
  };
}

function told({ brokers, topics }: PlannerInput, { moves, blocked, ...rest }: Plan) {
  return {
    ...rest,
    moves: moves.map((move) => ({
      ...move,
      topic: topics[move.topic],
      from: brokers[move.from],
      to: brokers[move.to],
    })),
    blocked: blocked.map((one) => ({ ...one, topic: topics[one.topic] })),
  };
}

/** Few different values, so that there are ties to break. */
const clusters = fc.integer({ min: 2, max: 5 }).chain((count) => {
  const numbers = fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 4 }));
  const broker = fc.record({
    capacity: fc.constantFrom([20, 20], [40, 20]),
    background: numbers,
    role: fc.constantFrom(
      BrokerRole.Active,
      BrokerRole.Active,
      BrokerRole.Active,
      BrokerRole.Closed,
      BrokerRole.Draining,
    ),
    allowed: fc.constantFrom(0, 1, 1),
    domain: fc.nat({ max: 1 }),
  });
  const topic = fc.record({
    owner: fc.nat({ max: count - 1 }).map((index) => `b${index}`),
    load: numbers,
    immovable: fc.constantFrom(0, 0, 0, 1),
    cost: fc.constantFrom(1, 1, 2),
    rule: fc.constantFrom(-1, -1, 0),
    group: fc.constantFrom(-1, -1, 0),
  });
  const brokers = fc
    .array(broker, { minLength: count, maxLength: count })
    .map((list) => list.map((one, index): Broker => ({ ...one, name: `b${index}` })));
  const topics = fc
    .array(topic, { minLength: 4, maxLength: 30 })
    .map((list) => list.map((one, index): Topic => ({ ...one, name: `t${index}` })));
  return fc.record({ brokers, topics }).chain((cluster) =>
    fc.record({
      cluster: fc.constant(cluster),
      brokers: fc.shuffledSubarray(cluster.brokers, { minLength: count }),
      topics: fc.shuffledSubarray(cluster.topics, { minLength: cluster.topics.length }),
    }),
  );
});

describe('a plan', () => {
  it('is the same in whatever order brokers and topics are listed', () => {
    let moves = 0;
    fc.assert(
      fc.property(clusters, fc.boolean(), ({ cluster, brokers, topics }, scalesOut) => {
        const first = inputOf(cluster.brokers, cluster.topics);
        const other = inputOf(brokers, topics);
        const optionsOf = (input: PlannerInput) =>
          scalesOut ? ({ mode: 'ScaleOut', scaleOutTo: [input.brokers.indexOf('b0')] } as const) : {};

        const made = told(first, planInNameOrder(first, optionsOf(first)));

        expect(told(other, planInNameOrder(other, optionsOf(other)))).toEqual(made);
        moves += made.moves.length;
      }),
      { numRuns: 200 },
    );
    expect(moves).toBeGreaterThan(200);
  });

  it('heeds all that its input says, also the traffic of topics', () => {
    const alike = { b1: { d: [10, 1] }, b0: { c: [10, 1.01], b: [10, 1], a: [10, 1.02] } };
    const input = { ...clusterOf(['cpu', 'networkIn'], alike), traffic: [1] };

    const { moves } = planInNameOrder(input, { band: { above: 0.1, below: 0.1 } });

    expect(moves.map(({ topic }) => input.topics[topic])).toEqual(['b']);
  });
});
