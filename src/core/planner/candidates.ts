/**
 * The topics of each broker that are worth weighing: its largest movable ones, by their largest level in any resource. They are
 * picked with a quick-select, so a million topics cost one pass; more are sorted only where a phase asks for them.
 */
import { isMovable, type Work } from './work.ts';

export interface Candidates {
  /** Movable topics by their broker at the start, those of broker b at `start[b]` up to `start[b + 1]`. */
  readonly topics: Int32Array;
  readonly start: Int32Array;
  /** How many at the head of each broker's part are its largest, in order. */
  readonly sorted: Int32Array;
  readonly size: Float64Array;
  /** What `members` found last, by broker and count, with the broker's version then. */
  readonly found: Map<number, { readonly version: number; readonly topics: Int32Array }>;
}

export function createCandidates(work: Work): Candidates {
  const { width, scale, brokerCount, home } = work;
  const { loads } = work.input;
  const size = new Float64Array(home.length);
  const start = new Int32Array(brokerCount + 1);
  for (let topic = 0, at = 0; topic < home.length; topic++) {
    const row = (home[topic] as number) * width;
    let largest = 0;
    for (let resource = 0; resource < width; resource++, at++) {
      const part = (loads[at] as number) * (scale[row + resource] as number);
      if (part > largest) largest = part;
    }
    size[topic] = largest;
    if (isMovable(work, topic)) {
      const next = (home[topic] as number) + 1;
      start[next] = (start[next] as number) + 1;
    }
  }
  for (let broker = 0; broker < brokerCount; broker++) {
    start[broker + 1] = (start[broker + 1] as number) + (start[broker] as number);
  }
  const next = start.slice();
  const topics = new Int32Array(start[brokerCount] as number);
  for (let topic = 0; topic < home.length; topic++) {
    if (!isMovable(work, topic)) continue;
    const broker = home[topic] as number;
    const at = next[broker] as number;
    topics[at] = topic;
    next[broker] = at + 1;
  }
  return { topics, start, sorted: new Int32Array(brokerCount), size, found: new Map() };
}

/** The broker's `count` largest movable topics (fewer if it has fewer), largest first; equal sizes by index. */
export function largest(candidates: Candidates, broker: number, count: number): Int32Array {
  const { topics, start, sorted, size } = candidates;
  const from = start[broker] as number;
  const end = start[broker + 1] as number;
  const have = sorted[broker] as number;
  const want = Math.min(count, end - from);
  if (want > have) {
    selectLargest(topics, size, from + have, end, from + want);
    topics.subarray(from + have, from + want).sort((a, b) => (size[b] as number) - (size[a] as number) || a - b);
    sorted[broker] = want;
  }
  return topics.subarray(from, from + want);
}

/** Sizes are counted up to here, so that broker and count make one key. */
const MOST_MEMBERS = 4096;

/** The broker's largest movable topics that are there now, with its largest arrivals: at most `count` of either. */
export function members(work: Work, candidates: Candidates, broker: number, count: number): Int32Array {
  const key = broker * MOST_MEMBERS + count;
  const version = work.version[broker] as number;
  const known = candidates.found.get(key);
  if (known?.version === version) return known.topics;

  const { size } = candidates;
  const bySize = (a: number, b: number): number => (size[b] as number) - (size[a] as number) || a - b;
  const arrivals = Int32Array.from(work.arrivals[broker] as Set<number>)
    .sort(bySize)
    .subarray(0, count);
  const present = largestPresent(work, candidates, broker, count);
  const topics = new Int32Array(arrivals.length + present.length);
  topics.set(arrivals);
  topics.set(present, arrivals.length);
  candidates.found.set(key, { version, topics });
  return topics;
}

/** Looks deeper where many of the largest have gone: else a broker that has shed much would seem to have nothing left. */
function largestPresent(work: Work, candidates: Candidates, broker: number, count: number): Int32Array {
  const total = (candidates.start[broker + 1] as number) - (candidates.start[broker] as number);
  for (let depth = count; ; depth *= 2) {
    const present = largest(candidates, broker, depth).filter((topic) => work.owner[topic] === broker);
    if (present.length >= count || depth >= total) return present.subarray(0, count);
  }
}

/** Brings the largest of `from` up to `end` before `middle`. Ties are broken by index, so the outcome is always the same. */
function selectLargest(topics: Int32Array, size: Float64Array, from: number, end: number, middle: number): void {
  let low = from;
  let high = end - 1;
  while (low < high && middle > low && middle <= high) {
    const pivot = topics[(low + high) >> 1] as number;
    const pivotSize = size[pivot] as number;
    let left = low;
    let right = high;
    while (left <= right) {
      while (isLarger(size, topics[left] as number, pivot, pivotSize)) left++;
      while (isSmaller(size, topics[right] as number, pivot, pivotSize)) right--;
      if (left > right) break;
      const swap = topics[left] as number;
      topics[left++] = topics[right] as number;
      topics[right--] = swap;
    }
    if (middle <= right + 1) {
      if (middle === right + 1) return;
      high = right;
    } else if (middle >= left) {
      if (middle === left) return;
      low = left;
    } else return;
  }
}

function isLarger(size: Float64Array, topic: number, pivot: number, pivotSize: number): boolean {
  const own = size[topic] as number;
  return own > pivotSize || (own === pivotSize && topic < pivot);
}

function isSmaller(size: Float64Array, topic: number, pivot: number, pivotSize: number): boolean {
  const own = size[topic] as number;
  return own < pivotSize || (own === pivotSize && topic > pivot);
}
