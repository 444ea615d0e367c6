/**
 * Where topics go that have to leave their brokers: the largest first, each to the broker that it brings nearest to the mean. Only a
 * fixed number of the roomiest brokers is weighed, picked anew now and then, so that the work grows with the moves and not with
 * moves × brokers.
 */
import { Refusal, refusal } from './rules.ts';
import { assign, energy, energyAfter, isStopped, type Work } from './work.ts';

/** Brokers that are weighed for one topic. */
const RECEIVERS = 160;
/** Placements after which the receivers are picked anew. */
const REFRESH = 80;

/** Brokers that may receive, roomiest first: by how much is missing to the mean over all resources; ties by index. */
export function roomiest(work: Work, count: number): Int32Array {
  const room = new Float64Array(work.brokerCount);
  const brokers: number[] = [];
  for (let broker = 0; broker < work.brokerCount; broker++) {
    if (work.receives[broker] === 0) continue;
    brokers.push(broker);
    room[broker] = roomOf(work, broker);
  }
  brokers.sort((a, b) => (room[b] as number) - (room[a] as number) || a - b);
  return Int32Array.from(brokers.slice(0, count));
}

function roomOf(work: Work, broker: number): number {
  let room = 0;
  for (let resource = 0, at = broker * work.width; resource < work.width; resource++, at++) {
    if (work.high[resource] === Number.POSITIVE_INFINITY) continue;
    const left = (work.high[resource] as number) - (work.level[at] as number);
    // A broker that is full in one resource takes nothing, however empty the others.
    if (left <= 0) return left - work.width;
    room += left;
  }
  return room;
}

/** Moves each of `topics` to a broker that stays within the band. What fits nowhere, or would be missed at home, stays. */
export function placeAll(work: Work, topics: readonly number[], size: Float64Array): void {
  const order = [...topics].sort((a, b) => (size[b] as number) - (size[a] as number) || a - b);
  let receivers = roomiest(work, RECEIVERS);
  let placed = 0;
  for (const topic of order) {
    if (placed >= REFRESH) {
      receivers = roomiest(work, RECEIVERS);
      placed = 0;
    }
    if (isStopped(work)) return;
    const best = mayLeave(work, topic) ? bestReceiver(work, topic, receivers) : -1;
    if (best < 0) continue;
    assign(work, topic, best);
    placed++;
  }
}

/** A broker may fall below the band in one resource to be cured in another: what it lacks is easily filled later. */
function mayLeave(work: Work, topic: number): boolean {
  const home = work.owner[topic] as number;
  const after = energyAfter(work, home, -1, topic, work.limit.worst);
  return work.totalEnergy + after - energy(work, home) <= work.limit.energy;
}

function bestReceiver(work: Work, topic: number, receivers: Int32Array): number {
  let best = -1;
  let bestScore = Number.POSITIVE_INFINITY;
  for (const broker of receivers) {
    const score = placementScore(work, topic, broker, bestScore);
    if (score >= bestScore) continue;
    if (refusal(work, topic, broker) !== Refusal.None) continue;
    best = broker;
    bestScore = score;
  }
  return best;
}

/** How much further from the mean the topic would bring the broker, squared; infinite where it would leave the band upwards. */
function placementScore(work: Work, topic: number, broker: number, limit: number): number {
  const { width, level, scale, high } = work;
  const { loads } = work.input;
  work.evaluations++;
  let score = 0;
  for (let resource = 0, at = broker * width; resource < width; resource++, at++) {
    if (high[resource] === Number.POSITIVE_INFINITY) continue;
    const added = (loads[topic * width + resource] as number) * (scale[at] as number);
    const now = level[at] as number;
    if (now + added > (high[resource] as number)) return Number.POSITIVE_INFINITY;
    score += added * (2 * (now - 1) + added);
  }
  return score < limit ? score : Number.POSITIVE_INFINITY;
}
