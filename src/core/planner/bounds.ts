/**
 * The lowest max/mean of each resource that any plan can reach, with the constraint that sets it. Every bound here is proved by counting,
 * so a small gap shows that a plan is good, and a large one only that nobody knows.
 */
import { LARGEST } from './largest-loads.ts';
import { fixedLevels } from './relax.ts';
import { isAllowed } from './rules.ts';
import { groupOf, isMovable, levelOf, type Work } from './work.ts';

export interface BalanceBound {
  /** Lowest max/mean that any plan can reach. */
  readonly level: number;
  /** What sets it; undefined where only the mean does. */
  readonly because: string | undefined;
}

/** One per resource, for every plan that follows the hard rules wherever it can. `largest` as `largestLoads` gives them. */
export function balanceBounds(work: Work, largest: readonly (readonly number[])[]): readonly BalanceBound[] {
  const fixed = fixedLevels(work) ?? new Float64Array(work.level.length);
  const brokers = Array.from({ length: work.brokerCount }, (_, broker) => broker);
  const staying = brokers.filter((broker) => work.draining[broker] === 0);
  const isLeaving = surelyLeaves(work);
  const sure = sureShares(work, staying, isLeaving);
  return work.input.resources.map((_, resource) => {
    // Σ level × capacity is the same whatever moves, so the highest level is at least the mean of what does come to these brokers.
    const mean = { level: sure[resource] as number, because: undefined };
    if (work.high[resource] === Infinity) return mean;
    return [
      fixedBound(work, fixed, staying, resource),
      ...largestTopicBounds(work, fixed, staying, resource, largest[resource] ?? [], isLeaving),
      pairBound(work, staying, resource, largest[resource] ?? [], isLeaving),
      ...ruleBounds(work, staying, resource, isLeaving),
      receiverBound(work, staying, resource, sure[resource] as number),
    ].reduce<BalanceBound>((best, bound) => (bound.level > best.level + 1e-9 ? bound : best), mean);
  });
}

type IsLeaving = (topic: number) => boolean;

/** Whether a topic that a hard rule wants elsewhere leaves in every plan: some broker may have it, and room or company do not matter. */
function surelyLeaves(work: Work): IsLeaving {
  const { placement } = work.input;
  const receivers = [...work.receives.keys()].filter((broker) => work.receives[broker] === 1);
  const ruleReceives = placement?.rules.map((rule) => receivers.some((broker) => rule.allowed[broker] === 1));
  return (topic) =>
    isMovable(work, topic) &&
    work.headroom === undefined &&
    groupOf(work, topic) < 0 &&
    (ruleReceives?.[placement?.of[topic] ?? -1] ?? receivers.length > 0);
}

/** Per resource, the share of the mean that is on the brokers that stay in every plan: 1 but for what may be left on draining ones. */
function sureShares(work: Work, staying: readonly number[], isLeaving: IsLeaving): Float64Array {
  const { width, input } = work;
  const left = new Float64Array(width);
  if (staying.length === work.brokerCount || staying.length === 0) return left.fill(1);
  for (let broker = 0; broker < work.brokerCount; broker++) {
    if (work.draining[broker] === 1) continue;
    for (let r = 0; r < width; r++) left[r] = (left[r] as number) + (work.sums[broker * width + r] as number);
  }
  for (let topic = 0; topic < work.home.length; topic++) {
    if (work.draining[work.home[topic] as number] === 0 || !isLeaving(topic)) continue;
    for (let r = 0; r < width; r++) left[r] = (left[r] as number) + (input.loads[topic * width + r] as number);
  }
  return left.map((load, resource) => {
    const capacity = staying.reduce((sum, broker) => sum + (input.capacity[broker * width + resource] as number), 0);
    const all = capacity * (work.means[resource] as number);
    return all > 0 ? Math.min(1, load / all) : 1;
  });
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
  largest: readonly number[],
  isLeaving: IsLeaving,
): readonly BalanceBound[] {
  const { input, width } = work;
  const topics = input.placement === undefined ? largest.slice(0, 1) : largestOfRules(work, resource);
  return topics.map((topic) => {
    let level = Infinity;
    if (!isInside(work, topic, isLeaving)) return { level: 0, because: undefined };
    for (const broker of brokers) {
      if (broker !== work.home[topic] && (work.receives[broker] === 0 || !isAllowed(work, topic, broker))) continue;
      level = Math.min(level, levelOf(work, topic, broker, resource) + (fixed[broker * width + resource] as number));
    }
    return { level: level === Infinity ? 0 : level, because: `topic ${input.topics[topic]} alone` };
  });
}

function largestOfRules(work: Work, resource: number): readonly number[] {
  const { input, width } = work;
  const largest = new Map<number, number>();
  for (let topic = 0; topic < work.home.length; topic++) {
    const rule = input.placement?.of[topic] ?? -1;
    const known = largest.get(rule);
    const load = input.loads[topic * width + resource] as number;
    if (known !== undefined && load <= (input.loads[known * width + resource] as number)) continue;
    if (isMovable(work, topic)) largest.set(rule, topic);
  }
  return [...largest.values()];
}

/** Whether a topic ends on a broker that stays, in every plan. */
function isInside(work: Work, topic: number, isLeaving: IsLeaving): boolean {
  return work.draining[work.home[topic] as number] === 0 || isLeaving(topic);
}

/** Of the N + 1 largest topics two share a broker. */
function pairBound(
  work: Work,
  brokers: readonly number[],
  resource: number,
  candidates: readonly number[],
  isLeaving: IsLeaving,
): BalanceBound {
  const none = { level: 0, because: undefined };
  const { input, width } = work;
  let scale = Infinity;
  for (const broker of brokers) scale = Math.min(scale, work.scale[broker * width + resource] as number);
  const largest = candidates.filter((topic) => isInside(work, topic, isLeaving));
  if (largest.length === 0 || brokers.length === 0) return none;
  let levels = largest.map((topic) => (input.loads[topic * width + resource] as number) * scale);
  if (levels.length <= brokers.length) {
    // Smaller topics cannot set a bound above the mean in pairs, unless there are very many large ones.
    if (candidates.length < LARGEST || (levels.at(-1) as number) < 0.3) return none;
    levels = [];
    for (let topic = 0; topic < work.home.length; topic++) {
      const level = (input.loads[topic * width + resource] as number) * scale;
      if (level > 0.3 && isInside(work, topic, isLeaving)) levels.push(level);
    }
    levels.sort((a, b) => b - a);
  }
  const level = (levels[brokers.length - 1] ?? 0) + (levels[brokers.length] ?? 0);
  return levels.length <= brokers.length
    ? none
    : { level, because: `the ${brokers.length + 1} largest topics on ${brokers.length} brokers` };
}

/** Topics that a rule keeps on some brokers fill those at least to their own mean. Rules of the same or of fewer brokers add up. */
function ruleBounds(
  work: Work,
  brokers: readonly number[],
  resource: number,
  isLeaving: IsLeaving,
): readonly BalanceBound[] {
  const { input, width } = work;
  const placement = input.placement;
  if (placement === undefined) return [];
  const loads = new Float64Array(placement.rules.length);
  for (let topic = 0; topic < work.home.length; topic++) {
    const rule = placement.of[topic] as number;
    if (rule < 0) continue;
    const home = work.home[topic] as number;
    const isThere = work.draining[home] === 0 && isAllowed(work, topic, home);
    // A topic that is neither there nor sure to come is no load of these brokers.
    if (isThere || isLeaving(topic))
      loads[rule] = (loads[rule] as number) + (input.loads[topic * width + resource] as number);
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
function receiverBound(work: Work, brokers: readonly number[], resource: number, sure: number): BalanceBound {
  const { width, input } = work;
  let load = 0;
  let capacity = 0;
  let count = 0;
  for (const broker of brokers) {
    const at = broker * width + resource;
    const own = input.capacity[at] as number;
    load += own * sure;
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
