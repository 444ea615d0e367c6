/**
 * Which topics should leave a broker that is above the band: the fewest that bring every resource down to it. A greedy choice gives
 * a first answer; a bounded search then looks for a smaller set, or for one of the same size that leaves the broker nearer to
 * the mean. For a broker on its own the answer is nearly always a true minimum, which is what keeps the plan near its bound.
 */
import { type Candidates, largest } from './candidates.ts';
import { WORTH_WHILE } from './steps.ts';
import { costOf, levelOf, type Work } from './work.ts';

/** Topics that the search weighs for each resource above the band. */
const PER_RESOURCE = 14;
/** Positions that the search may visit for one broker. */
const SEARCH_LIMIT = 1200;
/** Sets larger than this are left as the greedy choice made them: there are too many to search. */
const SEARCH_DEPTH = 6;

/** Above this many topics the greedy choice would take too long. */
const GREEDY_LIMIT = 1000;

interface Need {
  readonly resource: number;
  readonly excess: number;
}

/** Topics that should leave, none if the broker is within the band. Looks at its `depth` largest ones, more if these don't suffice. */
export function chooseShed(work: Work, candidates: Candidates, broker: number, depth: number): readonly number[] {
  const needs = excesses(work, broker);
  if (needs.length === 0) return [];
  const pool = largest(candidates, broker, depth).filter((topic) => work.owner[topic] === broker);
  const greedy = chooseGreedily(work, broker, pool, needs);
  if (greedy === undefined) {
    const total = (candidates.start[broker + 1] as number) - (candidates.start[broker] as number);
    return depth < total ? chooseShed(work, candidates, broker, depth * 4) : shedWhatHelps(work, broker, pool, needs);
  }
  if (greedy.length > SEARCH_DEPTH) return greedy;
  return searchSmaller(work, broker, shortlist(work, broker, pool, needs), needs, greedy);
}

function excesses(work: Work, broker: number): readonly Need[] {
  const needs: Need[] = [];
  for (let resource = 0; resource < work.width; resource++) {
    const excess = (work.level[broker * work.width + resource] as number) - (work.high[resource] as number);
    if (excess > 0) needs.push({ resource, excess });
  }
  return needs;
}

/** Takes what covers most of the excess each time; undefined if all of `pool` is not enough. */
function chooseGreedily(
  work: Work,
  broker: number,
  pool: Int32Array,
  needs: readonly Need[],
): readonly number[] | undefined {
  if (pool.length > GREEDY_LIMIT) return takeLargest(work, broker, pool, needs);
  const left = needs.map(({ excess }) => excess);
  const used = new Uint8Array(pool.length);
  const chosen: number[] = [];
  while (left.some((excess) => excess > 0)) {
    let best = -1;
    let bestValue = 0;
    for (let at = 0; at < pool.length; at++) {
      if (used[at] === 1) continue;
      const topic = pool[at] as number;
      work.evaluations++;
      let covered = 0;
      for (let n = 0; n < needs.length; n++) {
        const excess = left[n] as number;
        if (excess > 0) covered += Math.min(excess, levelOf(work, topic, broker, (needs[n] as Need).resource));
      }
      const value = covered / costOf(work, topic);
      if (value > bestValue) {
        bestValue = value;
        best = at;
      }
    }
    if (best < 0) return undefined;
    const topic = pool[best] as number;
    used[best] = 1;
    chosen.push(topic);
    for (let n = 0; n < needs.length; n++) {
      left[n] = (left[n] as number) - levelOf(work, topic, broker, (needs[n] as Need).resource);
    }
  }
  return chosen;
}

/** Where very many small topics have to leave, the largest that help do. */
function takeLargest(
  work: Work,
  broker: number,
  pool: Int32Array,
  needs: readonly Need[],
): readonly number[] | undefined {
  const left = needs.map(({ excess }) => excess);
  const chosen: number[] = [];
  for (const topic of pool) {
    if (!left.some((excess, n) => excess > 0 && levelOf(work, topic, broker, (needs[n] as Need).resource) > 0))
      continue;
    chosen.push(topic);
    for (let n = 0; n < needs.length; n++) {
      left[n] = (left[n] as number) - levelOf(work, topic, broker, (needs[n] as Need).resource);
    }
    if (left.every((excess) => excess <= 0)) return chosen;
  }
  return undefined;
}

/** The band is out of reach for this broker: it gives what takes off a share of the excess that is worth a move. */
function shedWhatHelps(work: Work, broker: number, pool: Int32Array, needs: readonly Need[]): readonly number[] {
  return [...pool].filter((topic) =>
    needs.some(({ resource, excess }) => {
      const level = levelOf(work, topic, broker, resource);
      return level >= excess * WORTH_WHILE && level <= (work.high[resource] as number);
    }),
  );
}

/** The largest of each resource that is too high. */
function shortlist(work: Work, broker: number, pool: Int32Array, needs: readonly Need[]): Int32Array {
  const list = new Set<number>();
  const top = new Int32Array(PER_RESOURCE);
  const levels = new Float64Array(PER_RESOURCE);
  for (const { resource } of needs) {
    let length = 0;
    for (const topic of pool) {
      const level = levelOf(work, topic, broker, resource);
      if (length === PER_RESOURCE && level <= (levels[length - 1] as number)) continue;
      let at = length < PER_RESOURCE ? length++ : length - 1;
      for (; at > 0 && level > (levels[at - 1] as number); at--) {
        levels[at] = levels[at - 1] as number;
        top[at] = top[at - 1] as number;
      }
      levels[at] = level;
      top[at] = topic;
    }
    for (const topic of top.subarray(0, length)) list.add(topic);
  }
  return Int32Array.from(list);
}

/** Depth-first over sets of at most as many topics as `greedy` has, cheapest first, then nearest to the mean. */
function searchSmaller(
  work: Work,
  broker: number,
  topics: Int32Array,
  needs: readonly Need[],
  greedy: readonly number[],
): readonly number[] {
  const { width } = work;
  const count = topics.length;
  const levels = new Float64Array(count * width);
  for (let at = 0; at < count; at++) {
    for (let r = 0; r < width; r++) levels[at * width + r] = levelOf(work, topics[at] as number, broker, r);
  }
  const reach = needs.map(({ resource }) => reachable(levels, width, count, resource));
  const rest = work.level.slice(broker * width, broker * width + width);
  let best = greedy;
  let bestCost = totalCost(work, greedy);
  let bestDistance = distanceAfter(work, broker, greedy);
  let visits = 0;
  const chosen: number[] = [];

  function visit(from: number, cost: number): void {
    let covered = true;
    for (const { resource } of needs) if ((rest[resource] as number) > (work.high[resource] as number)) covered = false;
    if (covered) {
      const distance = distanceToMean(work, rest);
      if (cost < bestCost - 1e-9 || (cost < bestCost + 1e-9 && distance < bestDistance - 1e-12)) {
        best = chosen.map((at) => topics[at] as number);
        bestCost = cost;
        bestDistance = distance;
      }
      return;
    }
    const room = best.length - chosen.length;
    for (let at = from; at < count && visits < SEARCH_LIMIT; at++) {
      const next = cost + costOf(work, topics[at] as number);
      if (next > bestCost + 1e-9 || !canCover(at, room)) continue;
      visits++;
      chosen.push(at);
      for (let r = 0; r < width; r++) rest[r] = (rest[r] as number) - (levels[at * width + r] as number);
      visit(at + 1, next);
      for (let r = 0; r < width; r++) rest[r] = (rest[r] as number) + (levels[at * width + r] as number);
      chosen.pop();
    }
  }

  /** Whether `room` topics, of which `at` is one, can still bring each resource down: the others at their best. */
  function canCover(at: number, room: number): boolean {
    if (room <= 0) return false;
    for (let n = 0; n < needs.length; n++) {
      const { resource } = needs[n] as Need;
      const others = (reach[n] as Float64Array)[Math.min(room - 1, count)] as number;
      const left = (rest[resource] as number) - (work.high[resource] as number);
      if (left > (levels[at * width + resource] as number) + others + 1e-12) return false;
    }
    return true;
  }

  visit(0, 0);
  work.evaluations += visits;
  return best;
}

/** What the n largest topics take off a resource, for each n. */
function reachable(levels: Float64Array, width: number, count: number, resource: number): Float64Array {
  const sizes = Float64Array.from({ length: count }, (_, at) => levels[at * width + resource] as number).sort();
  const sums = new Float64Array(count + 1);
  for (let n = 0; n < count; n++) sums[n + 1] = (sums[n] as number) + (sizes[count - 1 - n] as number);
  return sums;
}

function totalCost(work: Work, topics: readonly number[]): number {
  return topics.reduce((sum, topic) => sum + costOf(work, topic), 0);
}

/** How far a broker would be from the mean, with what is below the band counted double: it would have to be filled again. */
function distanceToMean(work: Work, levels: Float64Array): number {
  let distance = 0;
  for (let resource = 0; resource < work.width; resource++) {
    if (work.high[resource] === Number.POSITIVE_INFINITY) continue;
    const level = levels[resource] as number;
    distance += (level - 1) * (level - 1);
    const below = (work.low[resource] as number) - level;
    if (below > 0) distance += 1 + below;
  }
  return distance;
}

function distanceAfter(work: Work, broker: number, leaving: readonly number[]): number {
  const { width } = work;
  const rest = work.level.slice(broker * width, broker * width + width);
  for (const topic of leaving) {
    for (let r = 0; r < width; r++) rest[r] = (rest[r] as number) - levelOf(work, topic, broker, r);
  }
  return distanceToMean(work, rest);
}
