/** Clusters to plan for, each from a seed: every parameter is stated here, and none of the data is stored. */
import type { PlannerInput } from '../../src/core/planner/input.ts';
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
