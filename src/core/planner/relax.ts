/**
 * The low side of the band where it cannot be reached: a topic larger than a broker's share, or load that may not move, keeps what the
 * other brokers would need to be filled. Without this, hundreds of moves would even out a shortage that no plan can end.
 */
import { type Candidates, largest } from './candidates.ts';
import { isMovable, levelOf, type Work } from './work.ts';

/** Topics of a broker that can be above the band each on their own. */
const MOST_GIANTS = 16;

/** Lowers `work.low` of a resource to the same share of what is left for the brokers without a giant. */
export function relaxLow(work: Work, candidates: Candidates): void {
  const fixed = fixedLevels(work);
  for (let resource = 0; resource < work.width; resource++) {
    const low = work.low[resource] as number;
    if (low === -Infinity) continue;
    const least = largestBrokerScale(work, resource);
    let held = 0;
    let holding = 0;
    let total = 0;
    for (let broker = 0; broker < work.brokerCount; broker++) {
      if (work.draining[broker] === 1) continue;
      const capacity = work.input.capacity[broker * work.width + resource] as number;
      const level = giantLevel(work, candidates, fixed, least, broker, resource);
      total += capacity;
      if (level === 0) continue;
      held += level * capacity;
      holding += capacity;
    }
    if (holding > 0 && holding < total) work.low[resource] = low * Math.min(1, (total - held) / (total - holding));
  }
}

/** What a unit of load adds to the level of the broker with most capacity: what is too large there is too large everywhere. */
function largestBrokerScale(work: Work, resource: number): number {
  let least = Infinity;
  for (let broker = 0; broker < work.brokerCount; broker++) {
    const scale = work.scale[broker * work.width + resource] as number;
    if (work.draining[broker] === 0 && scale > 0) least = Math.min(least, scale);
  }
  return least;
}

/** Level of what makes the broker hot whatever is planned; 0 if nothing does. */
function giantLevel(
  work: Work,
  candidates: Candidates,
  fixed: Float64Array | undefined,
  leastScale: number,
  broker: number,
  resource: number,
): number {
  const at = broker * work.width + resource;
  const high = work.high[resource] as number;
  if ((work.levelBefore[at] as number) <= high) return 0;
  const own = fixed?.[at] ?? 0;
  if (own > high) return own;
  for (const topic of largest(candidates, broker, MOST_GIANTS)) {
    const load = work.input.loads[topic * work.width + resource] as number;
    if (load * leastScale > high) return levelOf(work, topic, broker, resource);
  }
  return 0;
}

/** Levels of what no plan can take off a broker: its background and the topics that may not move. Undefined if there is none. */
export function fixedLevels(work: Work): Float64Array | undefined {
  const { input, width } = work;
  if (input.background === undefined && input.immovable === undefined) return undefined;
  const background = input.background ?? new Float64Array(work.level.length);
  const fixed = background.map((load, at) => (load > 0 ? load * (work.scale[at] as number) : 0));
  for (let topic = 0; topic < work.home.length; topic++) {
    if (isMovable(work, topic)) continue;
    const broker = work.home[topic] as number;
    for (let r = 0; r < width; r++) {
      fixed[broker * width + r] = (fixed[broker * width + r] as number) + levelOf(work, topic, broker, r);
    }
  }
  return fixed;
}
