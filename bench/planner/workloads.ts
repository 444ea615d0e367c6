/** Clusters to plan for, each from a seed: every parameter is stated here, and none of the data is stored. */
import { BrokerRole, type PlannerInput } from '../../src/core/planner/input.ts';
import { createRandom, type Random } from './random.ts';

const RESOURCES = ['cpu', 'networkIn', 'networkOut', 'diskIO', 'memory'];

/**
 * Zipf 0.9 loads capped at a quarter of a broker's mean, log-normal resources, equal capacities of twice the mean, a tenth of the
 * brokers empty: the workload of the published figures. Seed 42 gives exactly their files.
 */
export function skewedCluster(brokers: number, topics: number, width: number, seed: number): PlannerInput {
  const random = createRandom(seed);
  const base = Float64Array.from({ length: topics }, (_, index) => (index + 1) ** -0.9);
  const cap = (0.25 * sum(base)) / brokers;
  const loads = new Float32Array(topics * width);
  for (let topic = 0; topic < topics; topic++) {
    const load = Math.min(base[topic] as number, cap);
    const out = load * Math.exp(0.8 * random.normal());
    const disk = load * Math.exp(0.7 * random.normal());
    const cpu = (0.6 * load + 0.4 * out) * Math.exp(0.3 * random.normal());
    const memory = load * Math.exp(0.5 * random.normal());
    const row = [cpu, load, out, disk, memory];
    for (let resource = 0; resource < width; resource++) loads[topic * width + resource] = row[resource] as number;
  }
  const first = columnSums(loads, width);
  for (let at = 0; at < loads.length; at++) {
    loads[at] = Math.min(loads[at] as number, (0.25 * (first[at % width] as number)) / brokers);
  }
  const totals = columnSums(loads, width);
  const used = brokers - Math.floor(brokers / 10);
  return {
    ...names(brokers, topics, width),
    capacity: Float64Array.from({ length: brokers * width }, (_, at) =>
      rounded((2 * (totals[at % width] as number)) / brokers),
    ),
    loads: Float64Array.from(loads, rounded),
    owner: Int32Array.from({ length: topics }, () => random.index(used)),
  };
}

export interface WorkloadShape {
  readonly brokers: number;
  readonly topics: number;
  readonly width: number;
  /** How the loads of topics differ. */
  readonly tail:
    | { readonly kind: 'Zipf'; readonly exponent: number }
    | { readonly kind: 'LogNormal'; readonly sigma: number };
  /** The largest topic as a share of a broker's mean; absent = uncapped. */
  readonly cap?: number;
  /** Sizes of brokers, in turn. */
  readonly sizes?: readonly number[];
  readonly emptyBrokers?: number;
}

/**
 * What messaging clusters look like: output = input × (1 + Poisson(1.5)) × log-normal 0.8, cpu from messages and bytes with noise 0.3,
 * memory from subscriptions and backlog, disk from input × retention.
 */
export function messagingCluster(shape: WorkloadShape, seed: number): PlannerInput {
  const { brokers, topics, width } = shape;
  const random = createRandom(seed);
  const loads = new Float64Array(topics * width);
  for (let topic = 0; topic < topics; topic++) {
    const load =
      shape.tail.kind === 'Zipf' ? (topic + 1) ** -shape.tail.exponent : Math.exp(shape.tail.sigma * random.normal());
    const subscriptions = 1 + poisson(random, 1.5);
    const out = load * subscriptions * Math.exp(0.8 * random.normal());
    const cpu = (0.5 * load + 0.2 * out) * Math.exp(0.3 * random.normal());
    const disk = load * Math.exp(0.7 * random.normal());
    const memory = 0.1 * subscriptions * load * Math.exp(0.5 * random.normal());
    const row = [cpu, load, out, disk, memory];
    for (let resource = 0; resource < width; resource++) loads[topic * width + resource] = row[resource] as number;
  }
  const first = columnSums(loads, width);
  for (let at = 0; at < loads.length && shape.cap !== undefined; at++) {
    loads[at] = Math.min(loads[at] as number, (shape.cap * (first[at % width] as number)) / brokers);
  }
  const totals = columnSums(loads, width);
  const sizes = shape.sizes ?? [1];
  const allSizes = Array.from({ length: brokers }, (_, broker) => sizes[broker % sizes.length] as number);
  const unit = sum(allSizes);
  const used = brokers - (shape.emptyBrokers ?? 0);
  return {
    ...names(brokers, topics, width),
    capacity: Float64Array.from({ length: brokers * width }, (_, at) => {
      const share = (allSizes[Math.floor(at / width)] as number) / unit;
      return 2 * (totals[at % width] as number) * share;
    }),
    loads,
    owner: Int32Array.from({ length: topics }, () => random.index(used)),
  };
}

/**
 * Cruise Control's own random test cluster: 40 brokers, 3,000 topics of different popularity with 50,001 partitions in all, each with
 * exponential loads of the same means, one replica. Capacities as there: cpu 100, network 300,000, disk 200,000.
 */
export function exponentialCluster(seed: number): PlannerInput {
  const [brokers, topics, partitions] = [40, 3_000, 50_001];
  const random = createRandom(seed);
  const popularity = Float64Array.from({ length: topics }, () => random.exponential());
  const means = [0.01, 100, 100, 100];
  const capacities = [100, 300_000, 300_000, 200_000];
  const loads = new Float64Array(partitions * means.length);
  for (let partition = 0; partition < partitions; partition++) {
    const topic = popularity[random.index(topics)] as number;
    for (const [resource, mean] of means.entries()) {
      loads[partition * means.length + resource] = mean * topic * random.exponential();
    }
  }
  return {
    ...names(brokers, partitions, means.length),
    capacity: Float64Array.from({ length: brokers * means.length }, (_, at) => capacities[at % means.length] as number),
    loads,
    owner: Int32Array.from({ length: partitions }, () => random.index(brokers)),
  };
}

/** Three zones, one rule per zone for a tenth of the topics, groups that spread, pinned topics, one drained and one closed broker. */
export function constrainedCluster(seed: number): PlannerInput {
  const base = messagingCluster(
    { brokers: 30, topics: 3_000, width: 4, tail: { kind: 'Zipf', exponent: 0.6 }, cap: 0.1, emptyBrokers: 3 },
    seed,
  );
  const random = createRandom(seed + 1);
  const zones = base.brokers.map((_, broker) => broker % 3);
  const ruleOf = Int32Array.from(base.topics, () => (random.uniform() < 0.1 ? random.index(3) : -1));
  return {
    ...base,
    roles: Uint8Array.from(base.brokers, (_, broker) => (broker === 4 ? BrokerRole.Draining : Number(broker === 5))),
    placement: {
      of: ruleOf,
      rules: [0, 1, 2].map((zone) => ({
        name: `zone ${zone}`,
        allowed: Uint8Array.from(zones, (own) => Number(own === zone)),
      })),
    },
    spread: {
      of: Int32Array.from(base.topics, (_, topic) => (ruleOf[topic] === -1 && topic % 20 === 0 ? topic % 15 : -1)),
      groups: Array.from({ length: 15 }, (_, group) => ({ name: `group ${group}`, maxPerBroker: 2 })),
      domainOf: Int32Array.from(zones),
      domains: ['a', 'b', 'c'],
    },
    immovable: { of: Uint8Array.from(base.topics, () => Number(random.uniform() < 0.05)), reasons: ['Excluded'] },
    cost: Float64Array.from(base.topics, () => (random.uniform() < 0.2 ? 3 : 1)),
  };
}

/** Equally spread loads, and a new rule that keeps a tenth of the topics on the first tenth of the brokers: most of these must move. */
export function tieredCluster(brokers: number, topics: number, width: number, seed: number): PlannerInput {
  const random = createRandom(seed);
  const tier = brokers / 10;
  return {
    ...names(brokers, topics, width),
    capacity: new Float64Array(brokers * width).fill(100),
    loads: Float64Array.from({ length: topics * width }, () => random.uniform()),
    owner: Int32Array.from({ length: topics }, () => random.index(brokers)),
    placement: {
      of: Int32Array.from({ length: topics }, () => (random.uniform() < 0.1 ? 0 : -1)),
      rules: [{ name: 'fast', allowed: Uint8Array.from({ length: brokers }, (_, broker) => Number(broker < tier)) }],
    },
  };
}

/**
 * The loads of `start` hour by hour: daily waves of amplitude 0.5 in three time zones, weekends at 0.8, bursts (a topic in 500 an hour,
 * Pareto 1.5), 1 % of the topics an hour replaced by new ones of other sizes, and reports with 5 % of noise.
 */
export function* hoursOf(start: PlannerInput, hours: number, seed: number): Generator<Float64Array> {
  const width = start.resources.length;
  const random = createRandom(seed);
  const size = new Float64Array(start.topics.length).fill(1);
  for (let hour = 0; hour < hours; hour++) {
    const weekend = Math.floor(hour / 24) % 7 >= 5 ? 0.8 : 1;
    const factor = size.map((own, topic) => {
      if (random.uniform() < 0.01) size[topic] = Math.exp(0.5 * random.normal());
      const daily = 1 + 0.5 * Math.sin(((hour + 8 * (topic % 3)) / 24) * 2 * Math.PI);
      const burst = random.uniform() < 0.002 ? Math.min(10, (1 - random.uniform()) ** (-1 / 1.5)) : 1;
      return own * daily * weekend * burst;
    });
    yield start.loads.map(
      (load, at) => load * (factor[Math.floor(at / width)] as number) * (1 + 0.05 * random.normal()),
    );
  }
}

export interface Workload {
  readonly name: string;
  readonly create: (seed: number) => PlannerInput;
}

const SHAPE = { brokers: 100, topics: 10_000, width: 4, emptyBrokers: 10 } as const;

/** What the report runs, each with several seeds. */
export const WORKLOADS: readonly Workload[] = [
  { name: 'published: Zipf 0.9, capped', create: (seed) => skewedCluster(100, 10_000, 4, seed) },
  ...[0.6, 0.9, 1.1].map((exponent) => ({
    name: `messaging, Zipf ${exponent}, capped`,
    create: (seed: number) => messagingCluster({ ...SHAPE, tail: { kind: 'Zipf', exponent }, cap: 0.25 }, seed),
  })),
  {
    name: 'messaging, log-normal 2, capped',
    create: (seed) => messagingCluster({ ...SHAPE, tail: { kind: 'LogNormal', sigma: 2 }, cap: 0.25 }, seed),
  },
  {
    name: 'brokers of 1:1:2',
    create: (seed) =>
      messagingCluster({ ...SHAPE, tail: { kind: 'Zipf', exponent: 0.9 }, cap: 0.1, sizes: [1, 1, 2] }, seed),
  },
  { name: "Cruise Control's random cluster", create: exponentialCluster },
  { name: 'all constraints at once', create: constrainedCluster },
  { name: 'a new rule for a tenth', create: (seed) => tieredCluster(100, 10_000, 4, seed) },
  {
    name: 'Zipf 0.6, uncapped (giants)',
    create: (seed) => messagingCluster({ ...SHAPE, tail: { kind: 'Zipf', exponent: 0.6 } }, seed),
  },
  {
    name: 'log-normal 2, uncapped (giants)',
    create: (seed) => messagingCluster({ ...SHAPE, tail: { kind: 'LogNormal', sigma: 2 } }, seed),
  },
];

function names(brokers: number, topics: number, width: number): Pick<PlannerInput, 'resources' | 'brokers' | 'topics'> {
  return {
    resources: RESOURCES.slice(0, width),
    brokers: Array.from({ length: brokers }, (_, index) => `b${index}`),
    topics: Array.from({ length: topics }, (_, index) => `/default/t${index}`),
  };
}

function rounded(value: number): number {
  return Number(value.toPrecision(7));
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function columnSums(values: Float32Array | Float64Array, width: number): Float64Array {
  const sums = new Float64Array(width);
  for (let at = 0; at < values.length; at++) {
    sums[at % width] = (sums[at % width] as number) + (values[at] as number);
  }
  return sums;
}

function poisson(random: Random, mean: number): number {
  const limit = Math.exp(-mean);
  let count = -1;
  for (let product = 1; product > limit; count++) product *= random.uniform();
  return count;
}
