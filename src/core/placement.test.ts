import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type RankingAlgorithm, rankingAlgorithms } from '../api/ranking.ts';
import type { PlacementSpec, SpreadRuleSpec } from '../api/rebalance.ts';
import type { AgentSample } from './agent-record.ts';
import { judgeBroker, judgeBrokers } from './brokers.ts';
import { createPlacement, rankingInputs } from './placement.ts';
import { compareScored, rankBrokers } from './rank-order.ts';
import { createScorer } from './ranking.ts';
import type { Balance, Snapshot } from './snapshot.ts';
import { type AgentParts, buildAgent, buildSnapshot, type SnapshotParts } from './snapshot-builder.ts';

function placementOf(parts: SnapshotParts, algorithm: RankingAlgorithm = 'DanubeFair') {
  const snapshot = buildSnapshot(parts);
  return createPlacement(snapshot, judgeBrokers(snapshot), { ranking: { algorithm } });
}

const topics = (owner: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({ name: `/default/${owner}${index}`, owners: [owner] }));

function inputOf(snapshot: Snapshot, id: string) {
  const [input] = rankingInputs(snapshot, [judgeBroker(snapshot, id)]);
  if (input === undefined) throw new Error('one broker has one input');
  return input;
}

const NOBODY = new Set<string>();
const TOPIC = '/default/t';

describe('a topic without an owner', () => {
  it('goes to the least loaded broker', () => {
    const placement = placementOf({
      brokers: [{ id: '1' }, { id: '2' }, { id: '3' }],
      topics: [...topics('1', 3), ...topics('2', 1), ...topics('3', 2)],
    });

    expect(placement.place(TOPIC, NOBODY)).toBe('2');
  });

  it('counts for that broker from then on, so that the next one may go elsewhere', () => {
    const placement = placementOf({ brokers: [{ id: '1' }, { id: '2' }], topics: topics('1', 2) });

    expect([1, 2, 3, 4].map(() => placement.place(TOPIC, NOBODY))).toEqual(['2', '2', '1', '2']);
  });

  it('goes to the next best broker if the best is to be avoided, and nowhere if all are', () => {
    const placement = placementOf({ brokers: [{ id: '1' }, { id: '2' }], topics: topics('2', 5) });

    expect(placement.place(TOPIC, new Set(['1']))).toBe('2');
    expect(placement.place(TOPIC, new Set(['1', '2']))).toBeUndefined();
  });

  it('goes only where topics are taken', () => {
    const placement = placementOf({
      brokers: [
        { id: '1', mode: 'draining' },
        { id: '2', reportedAt: false },
        { id: '3', registered: false },
      ],
    });

    expect(placement.place(TOPIC, NOBODY)).toBeUndefined();
  });
});

describe('a topic without an owner, by every ranking', () => {
  const agents = Object.fromEntries(
    [10, 40, 70].map((cpuPercent, index) => [
      `p${index}`,
      { cpuCores: cpuPercent / 100, cpuLimitCores: 1, memoryBytes: 500, memoryLimitBytes: 1000 },
    ]),
  );
  const parts: SnapshotParts = {
    pods: [0, 1, 2].map((index) => ({ name: `p${index}`, container: { runningSince: 0 } })),
    brokers: [0, 1, 2].map((index) => ({ id: String(index), pod: `p${index}` })),
    agents,
    topics: [...topics('0', 20), ...topics('1', 20), ...topics('2', 20)],
  };

  it.each(rankingAlgorithms)('%s: goes where ranking all of them anew after each one would put it', (algorithm) => {
    const ranking = { algorithm, ...(algorithm === 'Weighted' && { weights: { cpu: 2, topics: 1 } }) };
    const snapshot = buildSnapshot(parts);
    const placement = createPlacement(snapshot, judgeBrokers(snapshot), { ranking });
    const scorer = createScorer(ranking, rankingInputs(snapshot, [...judgeBrokers(snapshot).values()]));
    let inputs = rankingInputs(snapshot, [...judgeBrokers(snapshot).values()]);

    for (let count = 0; count < 200; count++) {
      // The brokers' own rank anew in full; ours go by the means of the start, as long as a burst lasts.
      const isOurs = algorithm === 'Weighted' || algorithm === 'Bottleneck';
      const scored = isOurs
        ? inputs.map((input) => ({ input, score: scorer.score(input) })).sort(compareScored)
        : rankBrokers(ranking, inputs).map(({ broker }) => ({ input: { broker } }));
      const expected = scored[0]?.input.broker;
      expect(placement.place(TOPIC, NOBODY)).toBe(expected);
      inputs = inputs.map((input) => (input.broker === expected ? scorer.withTopic(input) : input));
    }
  });

  it.each(['Weighted', 'Bottleneck'] as const)(
    '%s: a burst does not end on the broker that is idle now',
    (algorithm) => {
      const snapshot = buildSnapshot(parts);
      const placement = createPlacement(snapshot, judgeBrokers(snapshot), {
        ranking: { algorithm, weights: { cpu: 1 } },
      });

      const chosen = Array.from({ length: 300 }, () => placement.place(TOPIC, NOBODY));

      const counts = ['0', '1', '2'].map((id) => chosen.filter((it) => it === id).length);
      expect(Math.min(...counts)).toBeGreaterThan(70);
      expect(counts[0]).toBeGreaterThan(counts[2] ?? 0);
    },
  );
});

describe('a topic without an owner heeds the band', () => {
  const three = {
    brokers: [{ id: '1' }, { id: '2' }, { id: '3' }],
    topics: [...topics('1', 2), ...topics('2', 20), ...topics('3', 20)],
  };
  const counts: Readonly<Record<string, number>> = { '1': 2, '2': 20, '3': 20 };
  const balance = (levels: Readonly<Record<string, number>>): Balance => ({
    brokers: new Map(
      Object.entries(levels).map(([id, cpu]) => {
        const topicCount = counts[id] ?? 0;
        return [id, { levels: { cpu }, topics: topicCount, measuredTopics: topicCount }];
      }),
    ),
    highestLevel: 1.09,
  });

  it('it does not go to a broker above it, though that has the fewest topics', () => {
    const levels = { '1': 1.2, '2': 0.9, '3': 0.9 };

    expect(placementOf(three).place(TOPIC, NOBODY)).toBe('1');
    expect(placementOf({ ...three, balance: balance(levels) }).place(TOPIC, NOBODY)).toBe('2');
  });

  it('it goes there when all others are above it too, or are to be avoided', () => {
    expect(placementOf({ ...three, balance: balance({ '1': 1.2, '2': 1.3, '3': 1.1 }) }).place(TOPIC, NOBODY)).toBe(
      '1',
    );
    const placement = placementOf({ ...three, balance: balance({ '1': 1.2, '2': 0.9, '3': 0.9 }) });
    expect(placement.place(TOPIC, new Set(['2', '3']))).toBe('1');
  });

  it('a burst raises what is expected of a broker until it is above the band itself', () => {
    const placement = placementOf({ ...three, balance: balance({ '1': 0.9, '2': 0.9, '3': 0.9 }) });

    const chosen = Array.from({ length: 12 }, () => placement.place(TOPIC, NOBODY));

    // 14 topics on average: three or four more are a quarter of a broker's load.
    expect(new Set(chosen)).toEqual(new Set(['1', '2', '3']));
    expect(chosen.slice(0, 2)).toEqual(['1', '1']);
  });

  it('topics that came since the load model looked count as much as the others do', () => {
    const since = { ...three, topics: [...three.topics, ...topics('2', 25).slice(20)] };
    const levels = { '1': 1.2, '2': 0.9, '3': 0.9 };

    // Five more of 15.7 on average: broker 2 is at 0.9 + 0.3 by now.
    expect(placementOf({ ...since, balance: balance(levels) }).place(TOPIC, NOBODY)).toBe('3');
  });

  it('their number counts as soon as they have an owner, whatever is known of their load', () => {
    const many = { levels: { topics: 1 }, topics: 10, measuredTopics: 0 };
    const snapshot = buildSnapshot({
      brokers: [{ id: '1' }, { id: '2' }],
      topics: [...topics('1', 20), ...topics('2', 10)],
      balance: {
        brokers: new Map([
          ['1', many],
          ['2', many],
        ]),
        highestLevel: 2,
      },
    });

    const [first, second] = rankingInputs(snapshot, [...judgeBrokers(snapshot).values()]);

    // Ten more than the model saw, of fifteen on average.
    expect(first?.levels?.topics).toBeCloseTo(1 + 10 / 15, 9);
    expect(second?.levels?.topics).toBe(1);
  });

  it('topics of which nobody has ever heard anything add nothing: no broker reports them', () => {
    const silent = { levels: { cpu: 1 }, topics: 10, measuredTopics: 0 };
    const snapshot = buildSnapshot({
      brokers: [{ id: '1' }],
      topics: topics('1', 10),
      balance: { brokers: new Map([['1', silent]]), highestLevel: 1.05 },
    });

    expect(rankingInputs(snapshot, [...judgeBrokers(snapshot).values()])[0]?.levels).toEqual({ cpu: 1 });
  });

  it('a broker that the load model does not know counts as one at the mean', () => {
    const known = balance({ '1': 1.05, '2': 0.8 });
    const placement = createPlacement(
      buildSnapshot({ ...three, balance: known }),
      judgeBrokers(buildSnapshot({ ...three, balance: known })),
      { ranking: { algorithm: 'Bottleneck' } },
    );

    expect(placement.place(TOPIC, NOBODY)).toBe('2');
    expect(placement.place(TOPIC, new Set(['2']))).toBe('3');
  });
});

describe('a topic without an owner heeds the rules', () => {
  const fast = { topicPatterns: ['/payments/*'], brokerSelector: { matchLabels: { tier: 'fast' } } };
  const required: PlacementSpec = { rules: [{ name: 'payments', ...fast }] };
  const preferred: PlacementSpec = { rules: [{ name: 'payments', ...fast, enforcement: 'Preferred' }] };
  const pod = (name: string, tier: string) => ({ name, labels: { tier }, container: { runningSince: 0 } });
  /** Broker 1 is empty, brokers 2 and 3 are fast. */
  const parts: SnapshotParts = {
    pods: [pod('p1', 'slow'), pod('p2', 'fast'), pod('p3', 'fast')],
    brokers: ['1', '2', '3'].map((id) => ({ id, pod: `p${id}` })),
    topics: [...topics('2', 5), ...topics('3', 9)],
  };
  const paid = '/payments/cards';

  function under(placement: PlacementSpec, change: Partial<SnapshotParts> = {}) {
    const snapshot = buildSnapshot({ ...parts, ...change });
    return createPlacement(snapshot, judgeBrokers(snapshot), { ranking: { algorithm: 'DanubeFair' }, placement });
  }

  it('it goes to the least loaded broker that a Required rule allows, and others go where they like', () => {
    expect(under(required).place(paid, NOBODY)).toBe('2');
    expect(under(required).place('/default/t', NOBODY)).toBe('1');
  });

  it('a burst spreads over the brokers that are allowed', () => {
    const placement = under(required);

    const chosen = Array.from({ length: 10 }, () => placement.place(paid, NOBODY));

    expect(chosen.filter((id) => id === '2')).toHaveLength(7);
    expect(chosen.filter((id) => id === '3')).toHaveLength(3);
  });

  it('it goes nowhere if none is allowed, and the rule is named with what to do', () => {
    const placement = under(required, { pods: [pod('p1', 'slow'), pod('p2', 'slow'), pod('p3', 'slow')] });

    expect(placement.place(paid, NOBODY)).toBeUndefined();
    expect(placement.ruledOut(paid, NOBODY)).toEqual({
      rule: 'payments',
      message:
        'rule payments needs a broker with the label tier=fast: no broker Pod has it; ' +
        'start a broker with the label tier=fast, or change spec.placement.rules',
    });
    expect(placement.ruledOut('/default/t', NOBODY)).toBeUndefined();
  });

  it('the Pods that have the labels and take no topics now are named', () => {
    const placement = under(required, {
      brokers: [
        { id: '1', pod: 'p1' },
        { id: '2', pod: 'p2', mode: 'draining' },
      ],
      topics: [],
    });

    expect(placement.ruledOut(paid, NOBODY)?.message).toContain(
      'the Pods that have it take no topics now, see their BrokerLoads (p2, p3)',
    );
  });

  it('several rules are named together, with all that they ask for', () => {
    const zone = { name: 'zone', topicPatterns: ['/*/cards'], brokerSelector: { matchLabels: { zone: 'a' } } };
    const placement = under({ rules: [...(required.rules ?? []), zone] });

    expect(placement.ruledOut(paid, NOBODY)).toMatchObject({
      rule: 'payments and zone',
      message: expect.stringContaining('needs a broker with the labels tier=fast, zone=a: no broker Pod has them'),
    });
  });

  it('where all that are allowed must be avoided, these are named', () => {
    const placement = under(required);
    const avoid = new Set(['2', '3']);

    expect(placement.place(paid, avoid)).toBeUndefined();
    expect(placement.ruledOut(paid, avoid)?.message).toContain(
      'rule payments allows only broker 2, 3, where the topic was before',
    );
    // With nobody left at all it is not the rule's fault.
    expect(placement.ruledOut(paid, new Set(['1', '2', '3']))).toBeUndefined();
  });

  it('a Preferred rule is followed as long as one of its brokers takes topics, and then not', () => {
    expect(under(preferred).place(paid, NOBODY)).toBe('2');
    expect(under(preferred).place(paid, new Set(['2']))).toBe('3');
    expect(under(preferred).place(paid, new Set(['2', '3']))).toBe('1');
    const nobodyFast = under(preferred, { brokers: [{ id: '1', pod: 'p1' }], topics: [] });
    expect(nobodyFast.place(paid, NOBODY)).toBe('1');
    expect(nobodyFast.ruledOut(paid, NOBODY)).toBeUndefined();
  });

  it('the broker that a marker names gets it only if it is allowed', () => {
    expect(under(required).place(paid, NOBODY, '3')).toBe('3');
    expect(under(required).place(paid, NOBODY, '1')).toBe('2');
    expect(under(required).place(paid, new Set(['3']), '3')).toBe('2');
    expect(under(required).place(paid, NOBODY, 'gone')).toBe('2');
  });

  it('a broker whose Pod is not known has no labels', () => {
    const placement = under(required, { brokers: [{ id: '9' }], topics: [] });

    expect(placement.place(paid, NOBODY)).toBeUndefined();
    expect(placement.place('/default/t', NOBODY)).toBe('9');
  });
});

describe('a topic without an owner stays apart from others', () => {
  const zones = ['a', 'a', 'b'];
  const pods = zones.map((zone, index) => ({
    name: `p${index + 1}`,
    labels: { zone },
    container: { runningSince: 0 },
  }));
  const brokers = zones.map((_, index) => ({ id: String(index + 1), pod: `p${index + 1}` }));
  const orders: SpreadRuleSpec = { name: 'orders', topicPatterns: ['/shop/*'], maxPerBroker: 1 };
  const part = (index: number) => `/shop/orders-part-${index}`;

  function under(rule: SpreadRuleSpec, parts: SnapshotParts = {}, rules: PlacementSpec['rules'] = []) {
    const snapshot = buildSnapshot({ pods, brokers, ...parts });
    const placement: PlacementSpec = { rules, spread: [rule] };
    return createPlacement(snapshot, judgeBrokers(snapshot), { ranking: { algorithm: 'DanubeFair' }, placement });
  }

  it('by broker: from those that have an owner, and from those that were just placed', () => {
    const placement = under(orders, {
      topics: [{ name: part(0), owners: ['1'] }, ...topics('2', 5), ...topics('3', 9)],
    });

    // Broker 1 has least, and a partition of the topic.
    expect([1, 2, 3].map((index) => placement.place(part(index), NOBODY))).toEqual(['2', '3', undefined]);
    expect(placement.ruledOut(part(3), NOBODY)).toEqual({
      rule: 'orders',
      message:
        'rule orders for /shop/orders allows 1 to a broker, and no broker that may take it has room for one more; ' +
        'start a broker, raise the limit in spec.placement.spread, or set its whenUnsatisfiable to AssignAnyway',
    });
  });

  it('each partitioned topic on its own, and what is not partitioned not at all', () => {
    const placement = under(orders);

    for (const topic of ['/shop/a', '/shop/b']) {
      const chosen = [0, 1, 2].map((index) => placement.place(`${topic}-part-${index}`, NOBODY));
      expect(new Set(chosen)).toEqual(new Set(['1', '2', '3']));
    }
    for (let count = 0; count < 4; count++) expect(placement.place('/shop/plain', NOBODY)).toBeDefined();
  });

  it('by domain: brokers of one value of the label count together', () => {
    const placement = under({ ...orders, topologyKey: 'zone', maxPerDomain: 1 });

    const chosen = [0, 1, 2].map((index) => placement.place(part(index), NOBODY));

    expect(chosen).toEqual(['1', '3', undefined]);
    expect(placement.ruledOut(part(2), NOBODY)?.message).toContain('allows 1 to a broker and 1 to a value of zone');
  });

  it('where the brokers lack the label, which makes them one domain, that is said: it is easily taken for a label of nodes', () => {
    const zoned = { ...orders, topologyKey: 'topology.kubernetes.io/zone', maxPerDomain: 1 };
    const placement = under(zoned, { topics: [{ name: part(0), owners: ['1'] }] });

    expect(placement.place(part(1), NOBODY)).toBeUndefined();
    expect(placement.ruledOut(part(1), NOBODY)?.message).toBe(
      'rule orders for /shop/orders allows 1 to a broker and 1 to a value of topology.kubernetes.io/zone, and no broker that may take it ' +
        'has room for one more; 3 of these 3 brokers have no label topology.kubernetes.io/zone on their Pods and count as one domain; ' +
        'put the label topology.kubernetes.io/zone on the broker Pods, start a broker, raise the limit in spec.placement.spread, or set its ' +
        'whenUnsatisfiable to AssignAnyway',
    );
  });

  it('where other brokers would have room, the rule that keeps the topic from them is named, too', () => {
    const inB = { name: 'in-b', topicPatterns: ['/shop/*'], brokerSelector: { matchLabels: { zone: 'b' } } };
    const placement = under(orders, { topics: [{ name: part(0), owners: ['3'] }] }, [inB]);

    expect(placement.place(part(1), NOBODY)).toBeUndefined();
    expect(placement.ruledOut(part(1), NOBODY)).toEqual({
      rule: 'in-b and orders',
      message:
        'rule orders for /shop/orders allows 1 to a broker, and no broker that may take it has room for one more ' +
        '(rule in-b allows only those with the label zone=b); start a broker with the label zone=b, raise the limit in ' +
        'spec.placement.spread, or set its whenUnsatisfiable to AssignAnyway',
    });
  });

  it('all topics of a rule, if it says so', () => {
    const placement = under({ ...orders, scope: 'Topics' }, { topics: [{ name: '/shop/a', owners: ['2'] }] });

    expect(['/shop/b', '/shop/c-part-0', '/shop/d'].map((topic) => placement.place(topic, NOBODY))).toEqual([
      '1',
      '3',
      undefined,
    ]);
  });

  it('but not from those of a dead broker: they go elsewhere, too', () => {
    // Before the process that is there now it ran in the same Pod, in zone b.
    const dead = { id: '9', pod: 'p3', registered: false } as const;
    const placement = under(
      { ...orders, topologyKey: 'zone', maxPerDomain: 1 },
      { brokers: [...brokers, dead], topics: [{ name: part(0), owners: ['9'] }] },
    );

    expect([1, 2].map((index) => placement.place(part(index), NOBODY))).toEqual(['1', '3']);
  });

  it('also from one that went home, whatever the rule says', () => {
    const placement = under(orders);

    placement.note(part(0), '1');
    placement.note(part(1), 'elsewhere');

    expect([2, 3, 4].map((index) => placement.place(part(index), NOBODY))).toEqual(['2', '3', undefined]);
  });

  it('with AssignAnyway as long as that can be, and then it goes where fewest are', () => {
    const placement = under(
      { ...orders, whenUnsatisfiable: 'AssignAnyway', topologyKey: 'zone', maxPerDomain: 2 },
      { topics: topics('3', 50) },
    );

    const chosen = [0, 1, 2, 3, 4].map((index) => placement.place(part(index), NOBODY));

    // Zone a has two brokers: the fourth makes both zones equal.
    expect(chosen).toEqual(['1', '2', '3', '3', '1']);
    expect(placement.place(part(9), new Set(['1', '2', '3']))).toBeUndefined();
  });

  it('whatever the cluster: never closer than the rule says, and it waits only where no broker has room', () => {
    const wish = fc.record({
      zones: fc.array(fc.constantFrom('a', 'b', undefined), { minLength: 1, maxLength: 6 }),
      owners: fc.array(fc.nat(5), { maxLength: 8 }),
      placed: fc.integer({ min: 1, max: 12 }),
      maxPerBroker: fc.integer({ min: 1, max: 3 }),
      more: fc.nat(3),
    });
    fc.assert(
      fc.property(wish, ({ zones: labels, owners, placed, maxPerBroker, more }) => {
        const maxPerDomain = maxPerBroker + more;
        const ids = labels.map((_, index) => String(index));
        const zoneOf = (id: string) => labels[Number(id)];
        const counts = new Map(ids.map((id) => [id, owners.filter((owner) => owner === Number(id)).length]));
        const placement = under(
          { ...orders, maxPerBroker, topologyKey: 'zone', maxPerDomain },
          {
            pods: labels.map((zone, index) => ({
              name: `p${index}`,
              labels: zone === undefined ? {} : { zone },
              container: { runningSince: 0 },
            })),
            brokers: ids.map((id) => ({ id, pod: `p${id}` })),
            topics: owners.flatMap((owner, index) =>
              owner < ids.length ? [{ name: part(index), owners: [String(owner)] }] : [],
            ),
          },
        );

        for (let index = 0; index < placed; index++) {
          const hasRoom = (id: string) => {
            const inZone = ids
              .filter((other) => zoneOf(other) === zoneOf(id))
              .reduce((sum, other) => sum + (counts.get(other) ?? 0), 0);
            return (counts.get(id) ?? 0) < maxPerBroker && inZone < maxPerDomain;
          };
          const free = ids.filter(hasRoom);
          const chosen = placement.place(part(100 + index), NOBODY);
          if (free.length === 0) expect(chosen).toBeUndefined();
          else expect(free).toContain(chosen);
          if (chosen !== undefined) counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('the order of brokers', () => {
  it('is by score, then topics, then id, and ranks count from 1', () => {
    const input = inputOf(buildSnapshot({ brokers: [{ id: '1' }] }), '1');
    const brokers = [
      { ...input, broker: 'd', topicCount: 1 },
      { ...input, broker: 'c', topicCount: 1 },
      { ...input, broker: 'b', topicCount: 0, cpuPercent: 10 },
      { ...input, broker: 'a', topicCount: 5 },
    ];

    const ranks = rankBrokers({ algorithm: 'DanubeBalanced' }, brokers);

    expect(ranks).toEqual([
      { broker: 'c', score: 0, rank: 1 },
      { broker: 'd', score: 0, rank: 2 },
      { broker: 'a', score: 0, rank: 3 },
      { broker: 'b', score: 3, rank: 4 },
    ]);
    expect(rankBrokers({ algorithm: 'DanubeBalanced' }, brokers.toReversed())).toEqual(ranks);
  });
});

describe('what a broker is ranked by', () => {
  const snapshot = buildSnapshot({
    pods: [{ name: 'danube-0', container: { runningSince: 0 } }],
    brokers: [
      {
        id: '1',
        pod: 'danube-0',
        load: { bytesPerSecond: 2_500_000, connections: 7, backlogMessages: 40, messagesPerSecond: 9 },
      },
      { id: '2' },
    ],
    topics: topics('1', 3),
    agents: { 'danube-0': { cpuCores: 0.5, cpuLimitCores: 2, memoryBytes: 300, memoryLimitBytes: 400 } },
  });

  it('is assignments, its own report of traffic, and its agent’s CPU and memory', () => {
    expect(inputOf(snapshot, '1')).toEqual({
      broker: '1',
      topicCount: 3,
      megabytesPerSecond: 2.5,
      connections: 7,
      backlogMessages: 40,
      cpuPercent: 25,
      memoryPercent: 75,
      diskIo: 0,
      networkIo: 2.5,
      throughput: 2.5,
    });
  });

  it('is 0 where nothing is known', () => {
    const { broker, ...figures } = inputOf(snapshot, '2');

    expect(broker).toBe('2');
    expect(new Set(Object.values(figures))).toEqual(new Set([0]));
  });

  it.each([
    ['no limit and a node of unknown size', { cpuCores: 1, sample: { node: { cores: null, memoryBytes: null } } }],
    ['a limit of 0', { cpuCores: 1, cpuLimitCores: 0 }],
    ['no figure', { cpuCores: null, cpuLimitCores: 2 }],
  ])('has no CPU with %s', (_what, usage) => {
    const parts = { pods: [{ name: 'p', container: { runningSince: 0 } }], brokers: [{ id: '1', pod: 'p' }] };
    const without = buildSnapshot({ ...parts, agents: { p: usage } });

    expect(inputOf(without, '1').cpuPercent).toBe(0);
  });
});

describe('a broker whose figures cannot be used', () => {
  const averaging = (said: Partial<AgentSample['cpu']>): Partial<AgentParts> => {
    const { last } = buildAgent({ cpuCores: 0, cpuLimitCores: 2 }, 1000);
    return last === undefined ? {} : { sample: { cpu: { ...last.sample.cpu, ...said } } };
  };
  const LIES: readonly [string, Partial<AgentParts>][] = [
    ['another container’s cgroup', { sample: { identity: { state: 'unproven', reason: 'x' } } }],
    ['more than its limit', { cpuCores: 50, cpuLimitCores: 2 }],
    ['more than its limit, on average', averaging({ averageCores: 1e9 })],
    ['of long ago', { seenAt: 900 }],
    ['of a process that is gone', { sample: { broker: null } }],
  ];
  const busy = { cpuCores: 1.6, cpuLimitCores: 2, memoryBytes: 800, memoryLimitBytes: 1000 };
  const calm = { cpuCores: 0.4, cpuLimitCores: 2, memoryBytes: 200, memoryLimitBytes: 1000 };

  function parts(second: Partial<AgentParts>): SnapshotParts {
    const names = ['p1', 'p2', 'p3'];
    return {
      pods: names.map((name) => ({ name, container: { runningSince: 0 } })),
      brokers: names.map((pod, index) => ({ id: String(index + 1), pod })),
      agents: { p1: busy, p2: { ...calm, cpuCores: 0, memoryBytes: 0, ...second }, p3: calm },
    };
  }

  it.each(LIES)('(%s) counts as the mean of the others, neither idle nor busy', (_what, lie) => {
    const snapshot = buildSnapshot(parts(lie));

    const inputs = rankingInputs(snapshot, [...judgeBrokers(snapshot).values()]);

    expect(inputs.map(({ cpuPercent }) => cpuPercent)).toEqual([80, 50, 20]);
    expect(inputs.map(({ memoryPercent }) => memoryPercent)).toEqual([80, 50, 20]);
    expect(rankBrokers({ algorithm: 'DanubeBalanced' }, inputs).map(({ broker }) => broker)).toEqual(['3', '2', '1']);
  });

  it.each(LIES)('(%s) does not draw the next topic', (_what, lie) => {
    expect(placementOf(parts(lie), 'DanubeBalanced').place(TOPIC, NOBODY)).toBe('3');
  });

  it('would, were its figures true: it says that it is idle', () => {
    expect(placementOf(parts({}), 'DanubeBalanced').place(TOPIC, NOBODY)).toBe('2');
  });
});
