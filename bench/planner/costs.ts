/** What plans cost where moves do not all cost the same, against plans that take every move for a plain one. */
import type { Plan, PlannerInput } from '../../src/core/planner/input.ts';
import { plan } from '../../src/core/planner/plan.ts';
import { createRandom, type Random } from './random.ts';
import { messagingCluster, skewedCluster } from './workloads.ts';

/** Sums over the seeds, but for the traffic. */
export interface Paid {
  readonly moves: number;
  /** In moves of plain topics. */
  readonly cost: number;
  /** Of the cluster's traffic, the mean of the seeds. */
  readonly trafficPercent: number;
}

export interface CostOutcome {
  readonly name: string;
  readonly seeds: number;
  readonly inBand: number;
  readonly heeded: Paid;
  readonly ignored: Paid;
}

interface CostWorkload {
  readonly name: string;
  readonly seeds: readonly number[];
  readonly create: (seed: number) => PlannerInput;
}

const SEEDS = [1, 2, 3, 4, 5];

function hundred(seed: number): PlannerInput {
  return skewedCluster(100, 10_000, 4, seed);
}

const WORKLOADS: readonly CostWorkload[] = [
  { name: 'traffic alone, 100 × 10,000', seeds: SEEDS, create: (seed) => priced(hundred(seed), seed, () => 1) },
  { name: 'classes, 100 × 10,000', seeds: SEEDS, create: (seed) => priced(hundred(seed), seed, anyClass) },
  {
    name: 'classes, 1,000 × 100,000',
    seeds: [42],
    create: (seed) => priced(skewedCluster(1_000, 100_000, 4, seed), seed, anyClass),
  },
  {
    name: 'classes, messaging, Zipf 1.1',
    seeds: SEEDS,
    create: (seed) => {
      const shape = { brokers: 100, topics: 10_000, width: 4, emptyBrokers: 10, cap: 0.25 };
      return priced(messagingCluster({ ...shape, tail: { kind: 'Zipf', exponent: 1.1 } }, seed), seed, anyClass);
    },
  },
  {
    name: 'clients at the busiest, 100 × 10,000',
    seeds: SEEDS,
    create: (seed) => priced(hundred(seed), seed, byTraffic),
  },
];

/** What a topic costs, by its networkIn as a share of that of the busiest topic. */
type ClassOf = (random: Random, share: number) => number;

/** A fifth of the topics is reliable, a tenth has one to ten clients: a move costs 1.75 on average. */
function anyClass(random: Random): number {
  const reliable = Number(random.uniform() < 0.2);
  return 1 + reliable + (random.uniform() < 0.1 ? 1 + random.index(10) : 0);
}

/** A fifth is reliable, and most of those with much traffic have the more clients the more they have of it: the worst for balance. */
function byTraffic(random: Random, share: number): number {
  const reliable = Number(random.uniform() < 0.2);
  const isUsed = random.uniform() < 0.8 && share > 0.02;
  return 1 + reliable + (isUsed ? Math.min(10, 1 + Math.floor(10 * share)) : 0);
}

function priced(input: PlannerInput, seed: number, classOf: ClassOf): PlannerInput {
  const random = createRandom(seed + 7);
  const width = input.resources.length;
  const networkIn = input.resources.indexOf('networkIn');
  const loads = input.topics.map((_, topic) => input.loads[topic * width + networkIn] as number);
  const busiest = loads.reduce((most, load) => Math.max(most, load), 0);
  return {
    ...input,
    cost: Float64Array.from(loads, (load) => classOf(random, load / busiest)),
    traffic: [networkIn, input.resources.indexOf('networkOut')],
  };
}

export function measureCosts(): readonly CostOutcome[] {
  return WORKLOADS.map(({ name, seeds, create }) => {
    const runs = seeds.map((seed) => {
      const { cost, traffic, ...plain } = create(seed);
      const input = { ...plain, ...(cost !== undefined && { cost }), ...(traffic !== undefined && { traffic }) };
      const heeded = plan(input);
      return { inBand: heeded.inBand, heeded: paidFor(input, heeded), ignored: paidFor(input, plan(plain)) };
    });
    return {
      name,
      seeds: seeds.length,
      inBand: runs.filter(({ inBand }) => inBand).length,
      heeded: sumOf(runs.map(({ heeded }) => heeded)),
      ignored: sumOf(runs.map(({ ignored }) => ignored)),
    };
  });
}

function paidFor({ cost, loads, resources, traffic = [] }: PlannerInput, { moves }: Plan): Paid {
  const width = resources.length;
  const total = (of: Iterable<number>, resource: number): number => {
    let sum = 0;
    for (const topic of of) sum += loads[topic * width + resource] as number;
    return sum;
  };
  const moved = moves.map(({ topic }) => topic);
  const shares = traffic.map((resource) => total(moved, resource) / total((cost ?? []).keys(), resource));
  return {
    moves: moves.length,
    cost: moved.reduce((sum, topic) => sum + (cost?.[topic] ?? 1), 0),
    trafficPercent: (100 * shares.reduce((sum, share) => sum + share, 0)) / shares.length,
  };
}

function sumOf(all: readonly Paid[]): Paid {
  const sum = (value: (one: Paid) => number): number => all.reduce((total, one) => total + value(one), 0);
  return {
    moves: sum(({ moves }) => moves),
    cost: sum(({ cost }) => cost),
    trafficPercent: sum(({ trafficPercent }) => trafficPercent) / all.length,
  };
}
