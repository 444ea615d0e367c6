/**
 * Brings what is still outside the band into it, the worst broker first: by a move, or by an exchange of two topics where no
 * single move fits. A topic that has moved already may go elsewhere at no cost, and home at a profit: that is weighed in the same
 * way, so most of what shedding left over is mended without a further move.
 */
import { type Candidates, largest } from './candidates.ts';
import { roomiest } from './place.ts';
import { createPriorityQueue, type PriorityQueue } from './priority-queue.ts';
import { Refusal, refusal } from './rules.ts';
import { assign, costOf, energy, energyAfter, isStopped, type Work, worstOutside } from './work.ts';

export interface RepairEffort {
  /** Brokers weighed as the other end of a move. */
  readonly partners: number;
  /** Largest topics weighed of each broker. */
  readonly topics: number;
  /** The same for exchanges, which are weighed in pairs; 0 = no exchanges. */
  readonly exchangePartners: number;
  readonly exchangeTopics: number;
}

interface Step {
  readonly topic: number;
  readonly to: number;
  /** The topic that goes the other way, −1 = none. */
  readonly back: number;
  readonly score: number;
}

/** Steps after which the brokers at the other end are picked anew. */
const REFRESH = 24;
/** What a step without a cost counts as, in moves: progress at no cost is preferred, but not at any rate. */
const FREE = 0.3;
const LEAST_GAIN = 1e-12;

/** Repairs until the band holds, nothing helps or `shouldStop`. Returns the number of steps. */
export function repair(work: Work, candidates: Candidates, effort: RepairEffort): number {
  const queue = createPriorityQueue();
  for (let broker = 0; broker < work.brokerCount; broker++) weigh(work, queue, broker);
  let steps = 0;
  let ends = otherEnds(work, effort);
  for (let broker = queue.best(); broker !== undefined; broker = queue.best()) {
    if (isStopped(work)) break;
    if (steps % REFRESH === REFRESH - 1) ends = otherEnds(work, effort);
    const step = bestStep(work, candidates, effort, broker, ends);
    if (step === undefined) {
      queue.remove(broker);
      continue;
    }
    const from = work.owner[step.topic] as number;
    assign(work, step.topic, step.to);
    if (step.back >= 0) assign(work, step.back, from);
    weigh(work, queue, from);
    weigh(work, queue, step.to);
    steps++;
  }
  return steps;
}

function weigh(work: Work, queue: PriorityQueue, broker: number): void {
  const outside = energy(work, broker);
  if (outside > LEAST_GAIN) queue.set(broker, outside);
  else queue.remove(broker);
}

interface Ends {
  readonly givers: Int32Array;
  readonly takers: Int32Array;
}

function otherEnds(work: Work, effort: RepairEffort): Ends {
  return { givers: fullest(work, effort.partners), takers: roomiest(work, effort.partners) };
}

/** Brokers that can spare something, fullest first: by what they have above the low side of the band; ties by index. */
function fullest(work: Work, count: number): Int32Array {
  const spare = new Float64Array(work.brokerCount);
  const brokers: number[] = [];
  for (let broker = 0; broker < work.brokerCount; broker++) {
    if (work.draining[broker] === 1) continue;
    let sum = 0;
    for (let resource = 0, at = broker * work.width; resource < work.width; resource++, at++) {
      if (work.high[resource] !== Number.POSITIVE_INFINITY) sum += work.level[at] as number;
    }
    spare[broker] = sum;
    brokers.push(broker);
  }
  brokers.sort((a, b) => (spare[b] as number) - (spare[a] as number) || a - b);
  return Int32Array.from(brokers.slice(0, count));
}

/** The broker's largest topics that are there now, with those that arrived. */
function members(work: Work, candidates: Candidates, broker: number, count: number): readonly number[] {
  const list: number[] = [...(work.arrivals[broker] as Set<number>)];
  for (const topic of largest(candidates, broker, count)) if (work.owner[topic] === broker) list.push(topic);
  return list;
}

function bestStep(
  work: Work,
  candidates: Candidates,
  effort: RepairEffort,
  broker: number,
  ends: Ends,
): Step | undefined {
  return (
    bestMove(work, candidates, effort, broker, ends) ??
    (effort.exchangePartners === 0 ? undefined : bestExchange(work, candidates, effort, broker, ends))
  );
}

function isHot(work: Work, broker: number): boolean {
  return work.high.some((high, resource) => (work.level[broker * work.width + resource] as number) > high);
}

function isCold(work: Work, broker: number): boolean {
  return work.low.some((low, resource) => (work.level[broker * work.width + resource] as number) < low);
}

function bestMove(
  work: Work,
  candidates: Candidates,
  effort: RepairEffort,
  broker: number,
  ends: Ends,
): Step | undefined {
  let best: Step | undefined;
  const own = energy(work, broker);
  const ownWorst = worstOutside(work, broker);

  if (isHot(work, broker)) {
    for (const topic of members(work, candidates, broker, effort.topics)) {
      const relief = own - energyAfter(work, broker, -1, topic, ownWorst);
      if (relief < LEAST_GAIN) continue;
      for (const taker of ends.takers) best = better(work, best, topic, taker, relief, ownWorst);
      const home = work.home[topic] as number;
      if (home !== broker) best = better(work, best, topic, home, relief, ownWorst);
    }
  }
  if (isCold(work, broker) && work.receives[broker] === 1) {
    for (const giver of ends.givers) {
      if (giver === broker) continue;
      for (const topic of members(work, candidates, giver, effort.topics)) {
        const relief = own - energyAfter(work, broker, topic, -1, ownWorst);
        if (relief < LEAST_GAIN) continue;
        const loss =
          energyAfter(work, giver, -1, topic, Math.max(ownWorst, worstOutside(work, giver))) - energy(work, giver);
        best = betterOf(work, best, topic, broker, -1, relief - loss);
      }
    }
  }
  return best;
}

function better(
  work: Work,
  best: Step | undefined,
  topic: number,
  to: number,
  relief: number,
  worst: number,
): Step | undefined {
  if (to === work.owner[topic]) return best;
  const loss = energyAfter(work, to, topic, -1, Math.max(worst, worstOutside(work, to))) - energy(work, to);
  return betterOf(work, best, topic, to, -1, relief - loss);
}

function betterOf(
  work: Work,
  best: Step | undefined,
  topic: number,
  to: number,
  back: number,
  gain: number,
): Step | undefined {
  if (!(gain > LEAST_GAIN)) return best;
  const from = work.owner[topic] as number;
  const cost = costChange(work, topic, to) + (back < 0 ? 0 : costChange(work, back, from));
  const score = gain / (Math.max(cost, -FREE / 2) + FREE);
  if (best !== undefined && score <= best.score) return best;
  if (refusal(work, topic, to, back) !== Refusal.None) return best;
  if (back >= 0 && refusal(work, back, from, topic) !== Refusal.None) return best;
  return { topic, to, back, score };
}

function costChange(work: Work, topic: number, to: number): number {
  const home = work.home[topic];
  return costOf(work, topic) * (Number(to !== home) - Number(work.owner[topic] !== home));
}

function bestExchange(
  work: Work,
  candidates: Candidates,
  effort: RepairEffort,
  broker: number,
  ends: Ends,
): Step | undefined {
  let best: Step | undefined;
  const own = energy(work, broker);
  const ownWorst = worstOutside(work, broker);
  const partners = isHot(work, broker) ? ends.takers : ends.givers;
  const mine = members(work, candidates, broker, effort.exchangeTopics);
  for (const partner of partners.subarray(0, effort.exchangePartners)) {
    if (partner === broker) continue;
    const partnerEnergy = energy(work, partner);
    const worst = Math.max(ownWorst, worstOutside(work, partner));
    const theirs = members(work, candidates, partner, effort.exchangeTopics);
    for (const topic of mine) {
      for (const back of theirs) {
        const relief = own - energyAfter(work, broker, back, topic, worst);
        if (relief < LEAST_GAIN) continue;
        const loss = energyAfter(work, partner, topic, back, worst) - partnerEnergy;
        best = betterOf(work, best, topic, partner, back, relief - loss);
      }
    }
  }
  return best;
}
