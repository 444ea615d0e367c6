/**
 * What no plan can beat: the lowest max/mean of each resource, with the constraint that sets it, and the fewest moves. Every bound here
 * is proved by counting, so a small gap shows that a plan is good, and a large one only that nobody knows.
 */
import type { Forced } from './forced.ts';
import { isAllowed } from './rules.ts';
import { isMovable, levelOf, type Work } from './work.ts';

export interface BalanceBound {
  /** Lowest max/mean that any plan can reach. */
  readonly level: number;
  /** What sets it; undefined where only the mean does. */
  readonly because: string | undefined;
}

/** One per resource. */
export function balanceBounds(work: Work): readonly BalanceBound[] {
  const fixed = fixedLevels(work);
  const brokers = Array.from({ length: work.brokerCount }, (_, broker) => broker);
  const staying = brokers.filter((broker) => work.draining[broker] === 0);
  return work.input.resources.map((_, resource) => {
    if (work.high[resource] === Infinity) return { level: 1, because: undefined };
    return [
      fixedBound(work, fixed, staying, resource),
      ...largestTopicBounds(work, fixed, staying, resource),
      pairBound(work, staying, resource),
      ...ruleBounds(work, staying, resource),
      receiverBound(work, staying, resource),
    ].reduce<BalanceBound>((best, bound) => (bound.level > best.level + 1e-9 ? bound : best), {
      level: 1,
      because: undefined,
    });
  });
}

/** Levels of what no plan can take off a broker: its background and the topics that may not move. */
function fixedLevels(work: Work): Float64Array {
  const { input, width } = work;
  const fixed =
    input.background?.map((load, at) => (load > 0 ? load * (work.scale[at] as number) : 0)) ??
    new Float64Array(work.level.length);
  if (input.immovable === undefined) return fixed;
  for (let topic = 0; topic < work.home.length; topic++) {
    if (isMovable(work, topic)) continue;
    const broker = work.home[topic] as number;
    for (let r = 0; r < width; r++) {
      fixed[broker * width + r] = (fixed[broker * width + r] as number) + levelOf(work, topic, broker, r);
    }
  }
  return fixed;
}

function fixedBound(work: Work, fixed: Float64Array, brokers: readonly number[], resource: number): BalanceBound {
  let level = 0;
  let worst = -1;
  for (const broker of brokers) {
    const own = fixed[broker * work.width + resource] as number;
    if (own > level) {
      level = own;
      worst = broker;
    }
  }
  return { level, because: `what may not move from broker ${work.input.brokers[worst]}` };
}

/** Of each rule (and of the topics without one) the topic that needs most, on the broker that has most room for it. */
function largestTopicBounds(
  work: Work,
  fixed: Float64Array,
  brokers: readonly number[],
  resource: number,
): readonly BalanceBound[] {
  const { input, width } = work;
  const largest = new Map<number, number>();
  for (let topic = 0; topic < work.home.length; topic++) {
    const rule = input.placement?.of[topic] ?? -1;
    const known = largest.get(rule);
    const load = input.loads[topic * width + resource] as number;
    if (known !== undefined && load <= (input.loads[known * width + resource] as number)) continue;
    if (isMovable(work, topic)) largest.set(rule, topic);
  }
  return [...largest.values()].map((topic) => {
    let level = Infinity;
    for (const broker of brokers) {
      if (broker !== work.home[topic] && (work.receives[broker] === 0 || !isAllowed(work, topic, broker))) continue;
      level = Math.min(level, levelOf(work, topic, broker, resource) + (fixed[broker * width + resource] as number));
    }
    return { level: level === Infinity ? 0 : level, because: `topic ${input.topics[topic]} alone` };
  });
}

/** Of the N + 1 largest topics two share a broker. */
function pairBound(work: Work, brokers: readonly number[], resource: number): BalanceBound {
  const { input, width } = work;
  let scale = Infinity;
  for (const broker of brokers) scale = Math.min(scale, work.scale[broker * width + resource] as number);
  const large: number[] = [];
  for (let at = resource; at < input.loads.length; at += width) {
    const level = (input.loads[at] as number) * scale;
    if (level > 0.3) large.push(level);
  }
  if (brokers.length === 0 || large.length <= brokers.length) return { level: 0, because: undefined };
  large.sort((a, b) => b - a);
  const level = (large[brokers.length - 1] as number) + (large[brokers.length] as number);
  return { level, because: `the ${brokers.length + 1} largest topics on ${brokers.length} brokers` };
}

/** Topics that a rule keeps on some brokers fill those at least to their own mean. Rules of the same or of fewer brokers add up. */
function ruleBounds(work: Work, brokers: readonly number[], resource: number): readonly BalanceBound[] {
  const { input, width } = work;
  const placement = input.placement;
  if (placement === undefined) return [];
  const loads = new Float64Array(placement.rules.length);
  for (let topic = 0; topic < work.home.length; topic++) {
    const rule = placement.of[topic] as number;
    const inside = rule >= 0 && (isMovable(work, topic) || isAllowed(work, topic, work.home[topic] as number));
    if (inside) loads[rule] = (loads[rule] as number) + (input.loads[topic * width + resource] as number);
  }
  return placement.rules.map((rule) => {
    const allowed = brokers.filter((broker) => rule.allowed[broker] === 1);
    let load = 0;
    let capacity = 0;
    for (let other = 0; other < placement.rules.length; other++) {
      const within = brokers.every(
        (broker) => placement.rules[other]?.allowed[broker] !== 1 || rule.allowed[broker] === 1,
      );
      if (within) load += loads[other] as number;
    }
    for (const broker of allowed) {
      load += input.background?.[broker * width + resource] ?? 0;
      capacity += input.capacity[broker * width + resource] as number;
    }
    const level = capacity > 0 ? load / (capacity * (work.means[resource] as number)) : 0;
    return { level, because: `rule ${rule.name} has ${allowed.length} brokers` };
  });
}

/** Brokers that may only give keep at most what they have: the others carry the rest. */
function receiverBound(work: Work, brokers: readonly number[], resource: number): BalanceBound {
  const { width, input } = work;
  let load = 0;
  let capacity = 0;
  let count = 0;
  for (const broker of brokers) {
    const at = broker * width + resource;
    const own = input.capacity[at] as number;
    load += own;
    if (work.receives[broker] === 1) {
      capacity += own;
      count++;
    } else load -= own * Math.min(1e300, work.levelBefore[at] as number);
  }
  if (count === brokers.length) return { level: 0, because: undefined };
  return {
    level: capacity > 0 ? load / capacity : 0,
    because: `only ${count} of ${brokers.length} brokers may receive`,
  };
}

export interface MoveBounds {
  /** Topics that must leave: over the brokers, how many of their largest bring them down to the band. */
  readonly leave: number;
  /** Topics that must arrive: over the brokers, how many of the largest of all bring them up to it. */
  readonly arrive: number;
}

/** For any plan that ends within the given levels of each resource. Each move leaves one broker and arrives at one. */
export function moveBounds(work: Work, forced: Forced, high: Float64Array, low: Float64Array): MoveBounds {
  return { leave: leaveBound(work, forced, high), arrive: arriveBound(work, low) };
}

function leaveBound(work: Work, forced: Forced, high: Float64Array): number {
  const blocked = new Set(forced.blocked.map(({ topic }) => topic));
  const perBroker = new Int32Array(work.brokerCount);
  for (const [topic, rule] of forced.wanted) {
    const broker = work.home[topic] as number;
    if (rule !== 'Spread' && !blocked.has(topic)) perBroker[broker] = (perBroker[broker] as number) + 1;
  }
  if (work.options.mode !== 'Drain') {
    const tops = excessTops(work, high);
    for (let broker = 0; broker < work.brokerCount; broker++) {
      if (work.draining[broker] === 1) continue;
      for (let resource = 0; resource < work.width; resource++) {
        const excess = (work.levelBefore[broker * work.width + resource] as number) - (high[resource] as number);
        if (excess <= ROUNDING) continue;
        const count = fewest(excess, () => tops.of(broker, resource));
        perBroker[broker] = Math.max(perBroker[broker] as number, count);
      }
    }
  }
  return perBroker.reduce((sum, count) => sum + count, 0);
}

const ROUNDING = 1e-9;

/** How many of the largest add up to `amount`; all of them if they don't. */
function fewest(amount: number, descending: () => Iterable<number>): number {
  let left = amount - ROUNDING;
  let count = 0;
  for (const level of descending()) {
    if (left <= 0) break;
    left -= level;
    count++;
  }
  return count;
}

interface Tops {
  of(broker: number, resource: number): Iterable<number>;
}

/** Levels of the movable topics of each broker, largest first. */
function excessTops(work: Work, high: Float64Array): Tops {
  const { width, home } = work;
  const start = new Int32Array(work.brokerCount + 1);
  const isOver = Uint8Array.from({ length: work.brokerCount }, (_, broker) =>
    Number(high.some((top, resource) => (work.levelBefore[broker * width + resource] as number) > top)),
  );
  for (let topic = 0; topic < home.length; topic++) {
    const broker = home[topic] as number;
    if (isOver[broker] === 1) start[broker + 1] = (start[broker + 1] as number) + 1;
  }
  for (let broker = 0; broker < work.brokerCount; broker++)
    start[broker + 1] = (start[broker + 1] as number) + (start[broker] as number);
  const next = start.slice();
  const topics = new Int32Array(start[work.brokerCount] as number);
  for (let topic = 0; topic < home.length; topic++) {
    const broker = home[topic] as number;
    if (isOver[broker] === 0) continue;
    topics[next[broker] as number] = topic;
    next[broker] = (next[broker] as number) + 1;
  }

  return {
    *of(broker, resource) {
      const scale = work.scale[broker * width + resource] as number;
      const levels = new Float64Array((start[broker + 1] as number) - (start[broker] as number));
      for (let at = 0; at < levels.length; at++) {
        const topic = topics[(start[broker] as number) + at] as number;
        if (isMovable(work, topic)) levels[at] = (work.input.loads[topic * width + resource] as number) * scale;
      }
      yield* descending(levels);
    },
  };
}

/** Largest first: a few by passing over them, the rest by sorting, since few are asked for. */
function* descending(levels: Float64Array): Iterable<number> {
  for (let taken = 0; taken < 12 && taken < levels.length; taken++) {
    let best = 0;
    for (let at = 1; at < levels.length; at++) if ((levels[at] as number) > (levels[best] as number)) best = at;
    yield levels[best] as number;
    levels[best] = 0;
  }
  levels.sort();
  for (let at = levels.length - 1; at >= 0; at--) yield levels[at] as number;
}

/** Topics in a list of the largest; a broker that needs more of them needs at least as many. */
const LARGEST = 64;

function arriveBound(work: Work, low: Float64Array): number {
  const { width, input } = work;
  const perBroker = new Int32Array(work.brokerCount);
  if (work.options.mode === 'Drain') return 0;
  for (let resource = 0; resource < width; resource++) {
    if (low[resource] === -Infinity) continue;
    let top: readonly number[] | undefined;
    for (let broker = 0; broker < work.brokerCount; broker++) {
      const missing = (low[resource] as number) - (work.levelBefore[broker * width + resource] as number);
      if (work.draining[broker] === 1 || missing <= ROUNDING) continue;
      top ??= largestLoads(input.loads, width, resource);
      const scale = work.scale[broker * width + resource] as number;
      const count = fewest(missing, () => (top ?? []).map((load) => load * scale));
      perBroker[broker] = Math.max(perBroker[broker] as number, count);
    }
  }
  return perBroker.reduce((sum, count) => sum + count, 0);
}

/** The `LARGEST` largest loads of a resource, largest first. */
function largestLoads(loads: Float64Array, width: number, resource: number): readonly number[] {
  const top: number[] = [];
  let least = 0;
  for (let at = resource; at < loads.length; at += width) {
    const load = loads[at] as number;
    if (load <= least) continue;
    top.push(load);
    if (top.length < 4 * LARGEST) continue;
    top.sort((a, b) => b - a);
    top.length = LARGEST;
    least = top.at(-1) ?? 0;
  }
  return top.sort((a, b) => b - a).slice(0, LARGEST);
}
