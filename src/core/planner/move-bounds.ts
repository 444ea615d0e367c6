/**
 * The fewest moves that any plan needs to end as balanced as a given one. Each move leaves one broker and arrives at one, so both what
 * must leave and what must arrive are lower bounds.
 */
import type { Forced } from './forced.ts';
import { isMovable, type Work } from './work.ts';

export interface MoveBounds {
  /** Topics that must leave: over the brokers, how many of their largest bring them down to the band. */
  readonly leave: number;
  /** Topics that must arrive: over the brokers, how many of the largest of all bring them up to it. */
  readonly arrive: number;
}

/** What a plan ends within: levels per resource, but for `exempt` brokers, whichever they are. */
export interface Reached {
  readonly high: Float64Array;
  readonly low: Float64Array;
  readonly exempt: number;
}

/** For any plan that ends within `reached`. `largest` as `largestLoads` gives them. */
export function moveBounds(
  work: Work,
  forced: Forced,
  { high, low, exempt }: Reached,
  largest: readonly (readonly number[])[],
): MoveBounds {
  return { leave: leaveBound(work, forced, high, exempt), arrive: arriveBound(work, low, largest, exempt) };
}

/** Sum of the counts without the `exempt` largest. */
function sumWithout(counts: Int32Array, exempt: number): number {
  return counts
    .toSorted()
    .subarray(0, Math.max(0, counts.length - exempt))
    .reduce((sum, count) => sum + count, 0);
}

/** A bound must stay one when sums differ in their last digits. */
const ROUNDING = 1e-9;

function leaveBound(work: Work, forced: Forced, high: Float64Array, exempt: number): number {
  const must = forcedPerBroker(work, forced);
  const perBroker = must.slice();
  if (work.options.mode !== 'Drain') {
    const hot = hotBrokers(work, high);
    const topics = topicsOf(work, hot);
    for (const broker of hot) {
      for (let resource = 0; resource < work.width; resource++) {
        const at = broker * work.width + resource;
        const excess = (work.levelBefore[at] as number) - (high[resource] as number) - ROUNDING;
        if (excess <= 0) continue;
        const count = fewestOf(work, topics.get(broker) ?? [], resource, excess / (work.scale[at] as number));
        perBroker[broker] = Math.max(perBroker[broker] as number, count);
      }
    }
  }
  const forcedSum = must.reduce((sum, count) => sum + count, 0);
  return (
    forcedSum +
    sumWithout(
      perBroker.map((count, broker) => count - (must[broker] as number)),
      exempt,
    )
  );
}

/** What hard rules moved from each broker. Which members of a crowded group leave is open, so these don't count. */
function forcedPerBroker(work: Work, forced: Forced): Int32Array {
  const perBroker = new Int32Array(work.brokerCount);
  for (const [topic, rule] of forced.wanted) {
    const broker = work.home[topic] as number;
    if (rule === 'Spread' || work.owner[topic] === broker) continue;
    perBroker[broker] = (perBroker[broker] as number) + 1;
  }
  return perBroker;
}

function hotBrokers(work: Work, high: Float64Array): ReadonlySet<number> {
  const hot = new Set<number>();
  for (let broker = 0; broker < work.brokerCount; broker++) {
    if (work.draining[broker] === 1) continue;
    for (let resource = 0; resource < work.width; resource++) {
      const excess = (work.levelBefore[broker * work.width + resource] as number) - (high[resource] as number);
      if (excess > ROUNDING) hot.add(broker);
    }
  }
  return hot;
}

function topicsOf(work: Work, brokers: ReadonlySet<number>): ReadonlyMap<number, readonly number[]> {
  const lists = new Map([...brokers].map((broker) => [broker, [] as number[]]));
  for (let topic = 0; topic < work.home.length; topic++) {
    if (isMovable(work, topic)) lists.get(work.home[topic] as number)?.push(topic);
  }
  return lists;
}

/** So many of the largest loads are found in one pass; beyond that, all are sorted. */
const FEW = 12;

/** How many of the topics with the largest loads add up to `amount`; all of them if they don't. */
function fewestOf(work: Work, topics: readonly number[], resource: number, amount: number): number {
  const { width } = work;
  const { loads } = work.input;
  const top = new Float64Array(FEW);
  for (const topic of topics) {
    const load = loads[topic * width + resource] as number;
    if (load <= (top[FEW - 1] as number)) continue;
    let at = FEW - 1;
    for (; at > 0 && load > (top[at - 1] as number); at--) top[at] = top[at - 1] as number;
    top[at] = load;
  }
  const few = Math.min(FEW, topics.length);
  const count = fewest(amount, top.subarray(0, few));
  if (count < few || topics.length === few) return count;
  return fewest(
    amount,
    Float64Array.from(topics, (topic) => loads[topic * width + resource] as number)
      .sort()
      .reverse(),
  );
}

function fewest(amount: number, descending: Float64Array): number {
  let left = amount;
  let count = 0;
  while (left > 0 && count < descending.length) left -= descending[count++] as number;
  return count;
}

function arriveBound(work: Work, low: Float64Array, largest: readonly (readonly number[])[], exempt: number): number {
  const { width, input } = work;
  if (work.options.mode === 'Drain') return 0;
  const perBroker = new Int32Array(work.brokerCount);
  for (let resource = 0; resource < width; resource++) {
    if (low[resource] === Number.NEGATIVE_INFINITY) continue;
    const descending = Float64Array.from(
      largest[resource] ?? [],
      (topic) => input.loads[topic * width + resource] as number,
    );
    for (let broker = 0; broker < work.brokerCount; broker++) {
      const at = broker * width + resource;
      const missing = (low[resource] as number) - (work.levelBefore[at] as number) - ROUNDING;
      if (work.draining[broker] === 1 || missing <= 0) continue;
      const count = fewest(missing / (work.scale[at] as number), descending);
      perBroker[broker] = Math.max(perBroker[broker] as number, count);
    }
  }
  return sumWithout(perBroker, exempt);
}
