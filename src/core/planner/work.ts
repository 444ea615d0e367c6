/**
 * The state that all phases of the planner share: who owns what, and how full each broker is. A level is load / (mean × capacity)
 * of one resource of one broker, so 1 is the mean whatever the unit and however large the broker.
 *
 * Energy is the squared distance outside the band, summed over resources: 0 = in the band. No step takes the cluster's energy, or
 * the worst distance of any broker, above what it was at the start, so the plan is never worse than before, whenever the work is
 * stopped. Only hard rules may cost balance.
 */
import { brokerLoads, meanUtilisation } from './figures.ts';
import { BrokerRole, type PlannerInput, type PlanOptions } from './input.ts';

export interface Work {
  readonly input: PlannerInput;
  readonly brokerCount: number;
  readonly width: number;
  /** brokers × resources: loads before any move, with the background. */
  readonly sums: Float64Array;
  /** Per resource, load / capacity of the whole cluster. */
  readonly means: Float64Array;
  /** brokers × resources: what one unit of load adds to the broker's level; 0 where it offers none of the resource. */
  readonly scale: Float64Array;
  /** Band per resource, in levels; infinitely wide for a resource that is left alone. */
  readonly high: Float64Array;
  readonly low: Float64Array;
  /** brokers × resources: the capacity's limit for what a move may fill, in levels; undefined if there is no limit anywhere. */
  readonly headroom: Float64Array | undefined;
  readonly home: Int32Array;
  readonly owner: Int32Array;
  readonly level: Float64Array;
  /** Levels before any move. */
  readonly levelBefore: Float64Array;
  /** 1 = the broker may receive, in this mode. */
  readonly receives: Uint8Array;
  readonly draining: Uint8Array;
  /** Topics that moved to a broker and are there now. */
  readonly arrivals: readonly Set<number>[];
  /** `group × brokers + broker` → members there; and the same of domains. */
  readonly perBroker: Map<number, number>;
  readonly perDomain: Map<number, number>;
  readonly options: PlanOptions;
  /** Per resource, what one unit of its load adds to the price of a move; 0 where it is no traffic. */
  readonly trafficScale: Float64Array;
  /** Per broker, how often its topics have changed. */
  readonly version: Int32Array;
  /** Sum over the brokers, kept by `assign`. */
  totalEnergy: number;
  /** Of the moves made so far. */
  totalCost: number;
  /** Before any move, and once hard rules have been followed: what no later phase may pass. */
  limit: { readonly energy: number; readonly worst: number };
  evaluations: number;
}

export function createWork(input: PlannerInput, options: PlanOptions): Work {
  const brokerCount = input.brokers.length;
  const width = input.resources.length;
  const sums = brokerLoads(input);
  const means = meanUtilisation(input, sums);
  const band = options.band ?? { above: 0.09, below: 0.09 };
  const counts = Array.from(means, (mean) => mean > 0 && mean >= (options.activityFloor ?? 0));
  const scale = Float64Array.from(input.capacity, (capacity, at) =>
    counts[at % width] && capacity > 0 ? 1 / ((means[at % width] as number) * capacity) : 0,
  );
  const wholeBand = options.mode !== 'HotSpots';
  // A broker that offers none of a resource is neither hot nor cold in it, whatever its topics use.
  const level = sums.map((sum, at) => (input.capacity[at] === 0 ? 1 : Math.max(0, sum) * (scale[at] as number)));
  const work: Work = {
    input,
    brokerCount,
    width,
    sums,
    means,
    scale,
    high: Float64Array.from(counts, (counted) => (counted ? 1 + band.above : Number.POSITIVE_INFINITY)),
    low: Float64Array.from(counts, (counted) => (counted && wholeBand ? 1 - band.below : Number.NEGATIVE_INFINITY)),
    headroom: headroomLevels(input, means, options.headroom),
    home: input.owner,
    owner: input.owner.slice(),
    level,
    levelBefore: level.slice(),
    receives: receivers(input, options),
    draining: Uint8Array.from({ length: brokerCount }, (_, b) => Number(input.roles?.[b] === BrokerRole.Draining)),
    arrivals: Array.from({ length: brokerCount }, () => new Set<number>()),
    perBroker: new Map(),
    perDomain: new Map(),
    options,
    trafficScale: trafficScale(input, sums),
    version: new Int32Array(brokerCount),
    totalEnergy: 0,
    totalCost: 0,
    limit: { energy: 0, worst: 0 },
    evaluations: 0,
  };
  setLimit(work);
  for (let topic = 0; topic < input.topics.length; topic++) countMember(work, topic, work.owner[topic] as number, 1);
  return work;
}

function trafficScale({ brokers, resources, traffic = [] }: PlannerInput, sums: Float64Array): Float64Array {
  const width = resources.length;
  const scale = new Float64Array(width);
  for (const resource of traffic) {
    let total = 0;
    for (let broker = 0; broker < brokers.length; broker++) total += sums[broker * width + resource] as number;
    scale[resource] = total > 0 ? 1 / (total * traffic.length) : 0;
  }
  return scale;
}

/** The levels at which brokers have used the share `headroom` of their capacities. What a broker does not offer, no move may need. */
function headroomLevels(
  { capacity, resources, unlimited }: PlannerInput,
  means: Float64Array,
  headroom = Infinity,
): Float64Array | undefined {
  if (headroom === Infinity && !capacity.includes(0)) return undefined;
  return capacity.map((own, at) => {
    const resource = at % resources.length;
    const mean = means[resource] as number;
    if (own === 0) return -Infinity;
    return unlimited?.includes(resource) || mean === 0 ? Infinity : headroom / mean;
  });
}

/** From here on, the cluster must not get worse than it is now. */
export function setLimit(work: Work): void {
  let sum = 0;
  let worst = 0;
  for (let broker = 0; broker < work.brokerCount; broker++) {
    sum += energy(work, broker);
    worst = Math.max(worst, worstOutside(work, broker));
  }
  work.totalEnergy = sum;
  work.limit = { energy: sum, worst };
}

function receivers(input: PlannerInput, options: PlanOptions): Uint8Array {
  const receives = new Uint8Array(input.brokers.length).fill(1);
  if (options.mode === 'ScaleOut') {
    receives.fill(0);
    for (const broker of options.scaleOutTo ?? []) receives[broker] = 1;
  }
  for (let broker = 0; broker < receives.length; broker++) {
    if (input.roles !== undefined && input.roles[broker] !== BrokerRole.Active) receives[broker] = 0;
  }
  return receives;
}

export function groupOf(work: Work, topic: number): number {
  return work.input.spread?.of[topic] ?? -1;
}

function countMember(work: Work, topic: number, broker: number, by: number): void {
  const group = groupOf(work, topic);
  if (group < 0) return;
  const key = group * work.brokerCount + broker;
  work.perBroker.set(key, (work.perBroker.get(key) ?? 0) + by);
  const domain = work.input.spread?.domainOf?.[broker];
  if (domain === undefined) return;
  const domainKey = group * work.brokerCount + domain;
  work.perDomain.set(domainKey, (work.perDomain.get(domainKey) ?? 0) + by);
}

/** Members of a topic's group on a broker, and in a broker's domain. */
export function membersOnBroker(work: Work, group: number, broker: number): number {
  return work.perBroker.get(group * work.brokerCount + broker) ?? 0;
}

export function membersInDomain(work: Work, group: number, broker: number): number {
  const domain = work.input.spread?.domainOf?.[broker];
  return domain === undefined ? 0 : (work.perDomain.get(group * work.brokerCount + domain) ?? 0);
}

/** Puts a topic on a broker and keeps every sum. Asks nothing: see `refusal`. */
export function assign(work: Work, topic: number, broker: number): void {
  const from = work.owner[topic] as number;
  if (from === broker) return;
  const before = energy(work, from) + energy(work, broker);
  shiftLevel(work, topic, from, -1);
  shiftLevel(work, topic, broker, 1);
  work.totalEnergy += energy(work, from) + energy(work, broker) - before;
  countMember(work, topic, from, -1);
  countMember(work, topic, broker, 1);
  if (from !== work.home[topic]) work.arrivals[from]?.delete(topic);
  if (broker !== work.home[topic]) work.arrivals[broker]?.add(topic);
  const home = work.home[topic];
  work.totalCost += costOf(work, topic) * (Number(broker !== home) - Number(from !== home));
  work.owner[topic] = broker;
  work.version[from] = (work.version[from] as number) + 1;
  work.version[broker] = (work.version[broker] as number) + 1;
}

function shiftLevel(work: Work, topic: number, broker: number, sign: number): void {
  const { width, level, scale } = work;
  const { loads } = work.input;
  const row = broker * width;
  for (let resource = 0; resource < width; resource++) {
    const load = loads[topic * width + resource] as number;
    if (load > 0)
      level[row + resource] = (level[row + resource] as number) + sign * load * (scale[row + resource] as number);
  }
}

export function isMovable(work: Work, topic: number): boolean {
  return work.input.immovable === undefined || work.input.immovable.of[topic] === 0;
}

/** What moving a topic costs; 1 = a plain topic. */
export function costOf(work: Work, topic: number): number {
  return work.input.cost?.[topic] ?? 1;
}

/** `costOf` and the share of the cluster's traffic that the topic has: all traffic together counts as much as one plain move. */
export function priceOf(work: Work, topic: number): number {
  let price = costOf(work, topic);
  if (work.input.traffic === undefined) return price;
  for (let resource = 0, at = topic * work.width; resource < work.width; resource++, at++) {
    price += (work.input.loads[at] as number) * (work.trafficScale[resource] as number);
  }
  return price;
}

/** What a topic adds to a broker's level. */
export function levelOf(work: Work, topic: number, broker: number, resource: number): number {
  return (
    (work.input.loads[topic * work.width + resource] as number) * (work.scale[broker * work.width + resource] as number)
  );
}

/** Topics that are not where they were at the start, by index. */
export function movedTopics(work: Work): readonly number[] {
  return work.arrivals.flatMap((topics) => [...topics]).sort((a, b) => a - b);
}

/** Whether the work should end here, with what it has. */
export function isStopped(work: Work): boolean {
  return work.options.shouldStop?.() === true;
}

/** Energy of a broker, as it is. A draining broker has none: hard rules empty it. */
export function energy(work: Work, broker: number): number {
  if (work.draining[broker] === 1) return 0;
  let sum = 0;
  for (let resource = 0, at = broker * work.width; resource < work.width; resource++, at++) {
    sum += outside(work.level[at] as number, work.low[resource] as number, work.high[resource] as number);
  }
  return sum;
}

/** Whether a broker is within the band, but for rounding: a level may pass its edge by some 1e-10. */
export function isSettled(work: Work, broker: number): boolean {
  return energy(work, broker) <= 1e-19;
}

export function isInBand(work: Work): boolean {
  for (let broker = 0; broker < work.brokerCount; broker++) if (!isSettled(work, broker)) return false;
  return true;
}

/** Squared distance outside the band. */
export function outside(level: number, low: number, high: number): number {
  if (level > high) return (level - high) * (level - high);
  return level < low ? (low - level) * (low - level) : 0;
}

/**
 * Energy of a broker if `incoming` came and `outgoing` left (−1 = none). Infinite where its worst level would be further
 * outside the band than `worst` (squared) allows.
 */
export function energyAfter(work: Work, broker: number, incoming: number, outgoing: number, worst: number): number {
  work.evaluations++;
  if (work.draining[broker] === 1) return 0;
  const { width, level, scale, low, high } = work;
  const { loads } = work.input;
  let sum = 0;
  for (let resource = 0, at = broker * width; resource < width; resource++, at++) {
    let change = 0;
    if (incoming >= 0) change += loads[incoming * width + resource] as number;
    if (outgoing >= 0) change -= loads[outgoing * width + resource] as number;
    const next = (level[at] as number) + change * (scale[at] as number);
    const part = outside(next, low[resource] as number, high[resource] as number);
    if (part > worst) return Number.POSITIVE_INFINITY;
    sum += part;
  }
  return sum;
}

/** The worst of a broker's squared distances outside the band. */
export function worstOutside(work: Work, broker: number): number {
  if (work.draining[broker] === 1) return 0;
  let worst = 0;
  for (let resource = 0, at = broker * work.width; resource < work.width; resource++, at++) {
    const part = outside(work.level[at] as number, work.low[resource] as number, work.high[resource] as number);
    if (part > worst) worst = part;
  }
  return worst;
}
