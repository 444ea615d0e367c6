/** What holds for every plan, whatever the cluster, the rules and the options. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { brokerLoads, meanUtilisation } from './figures.ts';
import { BrokerRole, type Plan, type PlannerInput, type PlanOptions } from './input.ts';
import { plan } from './plan.ts';

interface Case {
  readonly input: PlannerInput;
  readonly options: PlanOptions;
}

/** Clusters for each property. */
const RUNS = process.env.TEST_TIER === 'full' ? 2_000 : 400;

const caseArbitrary: fc.Arbitrary<Case> = fc
  .record({
    brokers: fc.integer({ min: 1, max: 7 }),
    topics: fc.integer({ min: 0, max: 40 }),
    width: fc.integer({ min: 1, max: 3 }),
    rules: fc.boolean(),
    groups: fc.boolean(),
    immovable: fc.boolean(),
    background: fc.boolean(),
    roles: fc.boolean(),
    traffic: fc.boolean(),
  })
  .chain((shape) => {
    const { brokers, topics, width } = shape;
    const list = <T>(item: fc.Arbitrary<T>, length: number): fc.Arbitrary<T[]> =>
      fc.array(item, { minLength: length, maxLength: length });
    const number = fc.integer({ min: 0, max: 60 });
    return fc.record({
      input: fc
        .record({
          loads: list(number, topics * width),
          owner: list(fc.nat({ max: brokers - 1 }), topics),
          capacity: list(fc.constantFrom(50, 100, 200), brokers * width),
          background: list(number, brokers * width),
          immovable: list(fc.constantFrom(0, 0, 0, 1, 2), topics),
          cost: list(fc.constantFrom(1, 1, 3), topics),
          ruleOf: list(fc.constantFrom(-1, -1, 0, 1), topics),
          allowed: list(list(fc.constantFrom(0, 1), brokers), 2),
          groupOf: list(fc.constantFrom(-1, -1, 0, 1), topics),
          domainOf: list(fc.nat({ max: 2 }), brokers),
          roles: list(fc.constantFrom(0, 0, 0, 1, 2), brokers),
        })
        .map(
          (made): PlannerInput => ({
            resources: Array.from({ length: width }, (_, index) => `r${index}`),
            brokers: Array.from({ length: brokers }, (_, index) => `b${index}`),
            topics: Array.from({ length: topics }, (_, index) => `t${index}`),
            loads: Float64Array.from(made.loads),
            owner: Int32Array.from(made.owner),
            capacity: Float64Array.from(made.capacity),
            cost: Float64Array.from(made.cost),
            ...(shape.background && { background: Float64Array.from(made.background) }),
            ...(shape.immovable && {
              immovable: { of: Uint8Array.from(made.immovable), reasons: ['Excluded', 'Cooldown'] },
            }),
            ...(shape.rules && {
              placement: {
                of: Int32Array.from(made.ruleOf),
                rules: made.allowed.map((allowed, index) => ({
                  name: `rule${index}`,
                  allowed: Uint8Array.from(allowed),
                })),
              },
            }),
            ...(shape.groups && {
              spread: {
                of: Int32Array.from(made.groupOf),
                groups: [
                  { name: 'apart', maxPerBroker: 1 },
                  { name: 'zones', maxPerDomain: 2 },
                ],
                domainOf: Int32Array.from(made.domainOf),
              },
            }),
            ...(shape.roles && { roles: Uint8Array.from(made.roles) }),
            ...(shape.traffic && { traffic: [0] }),
          }),
        ),
      options: fc.record(
        {
          mode: fc.constantFrom('Full', 'Drain', 'ScaleOut', 'HotSpots'),
          scaleOutTo: fc.subarray(Array.from({ length: brokers }, (_, index) => index)),
          band: fc.record({ above: fc.constantFrom(0.05, 0.09, 0.3), below: fc.constantFrom(0.05, 0.09, 0.3) }),
          headroom: fc.constantFrom(0.6, 0.85, 1),
        },
        { requiredKeys: [] },
      ) as fc.Arbitrary<PlanOptions>,
    });
  });

function ownersAfter(input: PlannerInput, made: Plan): Int32Array {
  const owner = input.owner.slice();
  for (const { topic, to } of made.moves) owner[topic] = to;
  return owner;
}

/** Everything that a hard rule forbids and the plan does, in words. Written from the rules, not from the planner. */
function faults({ input, options }: Case, made: Plan): readonly string[] {
  const found: string[] = [];
  const width = input.resources.length;
  const owner = ownersAfter(input, made);
  const after = brokerLoads({ ...input, owner });
  const before = brokerLoads(input);
  if (new Set(made.moves.map(({ topic }) => topic)).size < made.moves.length) found.push('a topic moves twice');
  for (const { topic, from, to } of made.moves) {
    const rule = input.placement?.rules[input.placement.of[topic] ?? -1];
    if (from === to || from !== input.owner[topic]) found.push(`topic ${topic} does not move from its owner`);
    if ((input.immovable?.of[topic] ?? 0) !== 0) found.push(`topic ${topic} may not move`);
    if ((input.roles?.[to] ?? BrokerRole.Active) !== BrokerRole.Active) found.push(`broker ${to} may not receive`);
    if (options.mode === 'ScaleOut' && !options.scaleOutTo?.includes(to)) found.push(`broker ${to} is not in scope`);
    if (rule !== undefined && rule.allowed[to] !== 1) found.push(`topic ${topic} is not allowed on ${to}`);
    for (let resource = 0; resource < width; resource++) {
      const at = to * width + resource;
      const limit = (options.headroom ?? Infinity) * (input.capacity[at] ?? 0);
      const filled = after[at] ?? 0;
      if (filled > limit + 1e-6 && filled > (before[at] ?? 0) + 1e-6)
        found.push(`broker ${to} is filled beyond headroom`);
    }
  }
  return [...found, ...crowded(input, owner, made)];
}

function crowded(input: PlannerInput, owner: Int32Array, made: Plan): readonly string[] {
  if (input.spread === undefined) return [];
  const { of, groups, domainOf } = input.spread;
  return made.moves.flatMap(({ topic, from, to }) => {
    const group = groups[of[topic] ?? -1];
    const members = [...owner.keys()].filter((other) => of[other] === of[topic]);
    const onBroker = members.filter((other) => owner[other] === to).length;
    const inDomain = members.filter((other) => domainOf?.[owner[other] ?? 0] === domainOf?.[to]).length;
    if (group === undefined) return [];
    if (onBroker > (group.maxPerBroker ?? Infinity)) return [`broker ${to} is crowded`];
    // Within a domain nothing comes closer.
    if (domainOf?.[from] === domainOf?.[to]) return [];
    return inDomain > (group.maxPerDomain ?? Infinity) ? [`the domain of ${to} is crowded`] : [];
  });
}

interface Imbalance {
  readonly total: number;
  readonly worst: number;
  readonly worstAbove: number;
}

/** Squared distance outside the band over all brokers, and the worst distances. */
function imbalance(input: PlannerInput, options: PlanOptions, owner: Int32Array): Imbalance {
  const width = input.resources.length;
  const sums = brokerLoads({ ...input, owner });
  const means = meanUtilisation(input, brokerLoads(input));
  const { above, below } = options.band ?? { above: 0.09, below: 0.09 };
  let total = 0;
  let worst = 0;
  let worstAbove = 0;
  for (let at = 0; at < sums.length; at++) {
    const mean = means[at % width] ?? 0;
    if (mean === 0 || input.roles?.[Math.floor(at / width)] === BrokerRole.Draining) continue;
    const level = (sums[at] ?? 0) / (mean * (input.capacity[at] ?? 1));
    const under = options.mode === 'HotSpots' ? 0 : 1 - below - level;
    const distance = Math.max(0, level - 1 - above, under);
    total += distance * distance;
    worst = Math.max(worst, distance);
    worstAbove = Math.max(worstAbove, level - 1 - above);
  }
  return { total, worst, worstAbove };
}

function hasNoHardWishes(made: Plan): boolean {
  return made.blocked.length === 0 && made.moves.every(({ resource }) => resource >= 0);
}

function expectNoWorse({ input, options }: Case, made: Plan): void {
  const before = imbalance(input, options, input.owner);
  const after = imbalance(input, options, ownersAfter(input, made));
  expect(after.worstAbove).toBeLessThanOrEqual(before.worst + 1e-9);
  // Where a giant keeps the low side out of reach for the others, only the upper side counts in full.
  if (made.bounds.balance.some((level) => level > 1 + (options.band?.above ?? 0.09))) return;
  expect(after.worst).toBeLessThanOrEqual(before.worst + 1e-9);
  expect(after.total).toBeLessThanOrEqual(before.total + 1e-9);
}

// Thousands of plans: on a busy machine they take their time.
describe('every plan', { timeout: 120_000 }, () => {
  it('keeps all hard rules', () => {
    fc.assert(
      fc.property(caseArbitrary, (one) => {
        expect(faults(one, plan(one.input, one.options))).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  it('leaves the cluster no worse than before, unless a hard rule costs balance', () => {
    fc.assert(
      fc.property(caseArbitrary, ({ input, options }) => {
        const made = plan(input, options);
        if (!hasNoHardWishes(made)) return;
        expectNoWorse({ input, options }, made);
      }),
      { numRuns: RUNS },
    );
  });

  it('empties what is draining, or names what stays', () => {
    fc.assert(
      fc.property(caseArbitrary, ({ input, options }) => {
        const made = plan(input, options);
        const owner = ownersAfter(input, made);
        const left = [...owner.keys()].filter((topic) => input.roles?.[owner[topic] ?? 0] === BrokerRole.Draining);

        const named = made.blocked.filter(({ wanted }) => wanted === 'Drain').map(({ topic }) => topic);
        expect(named.sort((a, b) => a - b)).toEqual(left);
      }),
      { numRuns: RUNS },
    );
  });

  it('stays within its budgets', () => {
    const budgets = fc.record({ maxMoves: fc.nat({ max: 10 }), maxMovedShare: fc.constantFrom(0.02, 0.1, 0.3) });
    fc.assert(
      fc.property(caseArbitrary, budgets, ({ input, options }, budget) => {
        const limited = { ...options, ...budget };
        const made = plan(input, limited);
        const width = input.resources.length;

        expect(faults({ input, options: limited }, made)).toEqual([]);
        expect(made.moves.length).toBeLessThanOrEqual(budget.maxMoves);
        for (let resource = 0; resource < width; resource++) {
          const moved = made.moves.reduce((sum, { topic }) => sum + (input.loads[topic * width + resource] ?? 0), 0);
          const all = brokerLoads(input).reduce((sum, load, at) => sum + (at % width === resource ? load : 0), 0);
          expect(moved).toBeLessThanOrEqual(budget.maxMovedShare * all + 1e-6);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('respects its own bounds', () => {
    fc.assert(
      fc.property(caseArbitrary, ({ input, options }) => {
        const made = plan(input, options);

        expect(made.moves.length).toBeGreaterThanOrEqual(made.bounds.moves);
        for (const [resource, { maxOverMean }] of made.after.entries()) {
          expect(maxOverMean).toBeGreaterThanOrEqual((made.bounds.balance[resource] ?? 0) - 1e-6);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('is the same for the same input', () => {
    fc.assert(
      fc.property(caseArbitrary, ({ input, options }) => {
        expect(plan(input, options)).toEqual(plan(input, options));
      }),
      { numRuns: 100 },
    );
  });

  it('is valid in whatever order topics are given', () => {
    fc.assert(
      fc.property(caseArbitrary, ({ input, options }) => {
        const reversed = reverseTopics(input);
        const made = plan(reversed, options);

        expect(faults({ input: reversed, options }, made)).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  it('is valid and no worse wherever it is stopped', () => {
    fc.assert(
      fc.property(caseArbitrary, fc.nat({ max: 60 }), ({ input, options }, after) => {
        let asked = 0;
        const stopping = { ...options, shouldStop: () => ++asked > after };
        const made = plan(input, stopping);

        expect(faults({ input, options }, made)).toEqual([]);
        if (!hasNoHardWishes(made)) return;
        expectNoWorse({ input, options }, made);
      }),
      { numRuns: RUNS },
    );
  });
});

function reverseTopics(input: PlannerInput): PlannerInput {
  const width = input.resources.length;
  const last = input.topics.length - 1;
  return {
    ...input,
    topics: input.topics.toReversed(),
    owner: input.owner.toReversed(),
    loads: input.loads.map((_, at) => input.loads[(last - Math.floor(at / width)) * width + (at % width)] ?? 0),
    ...(input.cost && { cost: input.cost.toReversed() }),
    ...(input.immovable && { immovable: { ...input.immovable, of: input.immovable.of.toReversed() } }),
    ...(input.placement && { placement: { ...input.placement, of: input.placement.of.toReversed() } }),
    ...(input.spread && { spread: { ...input.spread, of: input.spread.of.toReversed() } }),
  };
}
