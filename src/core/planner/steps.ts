/** The best single thing to do for one broker: to move a topic, or to exchange two where no move fits. */
import { type Candidates, members } from './candidates.ts';
import { roomiest } from './place.ts';
import { Refusal, refusal } from './rules.ts';
import { assign, costOf, energy, energyAfter, levelOf, type Work, worstOutside } from './work.ts';

export interface Effort {
  /** Brokers weighed as the other end of a move. */
  readonly partners: number;
  /** Largest topics weighed of each broker. */
  readonly topics: number;
  /** The same for exchanges, which are weighed in pairs. */
  readonly exchangePartners: number;
  readonly exchangeTopics: number;
}

/** What every step is chosen from. */
export interface Search {
  readonly work: Work;
  readonly candidates: Candidates;
  readonly effort: Effort;
  /** Brokers that can spare most, and that have most room. */
  readonly givers: Int32Array;
  readonly takers: Int32Array;
}

export interface Step {
  readonly topic: number;
  readonly to: number;
  /** The topic that goes the other way, −1 = none. */
  readonly back: number;
  readonly score: number;
}

/** What a step without a cost counts as, in moves: progress at no cost is preferred, but not at any rate. */
const FREE = 0.3;
/** Share of a broker's energy that a move must take off where the band is out of reach. */
export const WORTH_WHILE = 0.01;
/** Share of a broker's energy that any step must take off: less is rounding. */
const LEAST_SHARE = 1e-6;

export function createSearch(work: Work, candidates: Candidates, effort: Effort): Search {
  const count = Math.max(effort.partners, effort.exchangePartners);
  return { work, candidates, effort, givers: fullest(work, count), takers: roomiest(work, count) };
}

/** Energy that a step takes off, for its cost in moves. */
export function scoreOf(gain: number, cost: number): number {
  return gain / (Math.max(cost, -FREE / 2) + FREE);
}

/** Does a step. */
export function take(work: Work, { topic, to, back }: Step): void {
  const from = work.owner[topic] as number;
  assign(work, topic, to);
  if (back >= 0) assign(work, back, from);
}

/** Brokers that can spare something, fullest first over all resources; ties by index. */
function fullest(work: Work, count: number): Int32Array {
  const fullness = new Float64Array(work.brokerCount);
  const brokers: number[] = [];
  for (let broker = 0; broker < work.brokerCount; broker++) {
    if (work.draining[broker] === 1) continue;
    let sum = 0;
    for (let resource = 0, at = broker * work.width; resource < work.width; resource++, at++) {
      if (work.high[resource] !== Infinity) sum += work.level[at] as number;
    }
    fullness[broker] = sum;
    brokers.push(broker);
  }
  brokers.sort((a, b) => (fullness[b] as number) - (fullness[a] as number) || a - b);
  return Int32Array.from(brokers.slice(0, count));
}

export function isHot(work: Work, broker: number): boolean {
  for (let resource = 0, at = broker * work.width; resource < work.width; resource++, at++) {
    if ((work.level[at] as number) > (work.high[resource] as number)) return true;
  }
  return false;
}

export function isCold(work: Work, broker: number): boolean {
  for (let resource = 0, at = broker * work.width; resource < work.width; resource++, at++) {
    if ((work.level[at] as number) < (work.low[resource] as number)) return true;
  }
  return false;
}

/** Whether one topic alone is above the band here: then freeing the broker of small ones is not worth their moves. */
function isBeyondCure(work: Work, broker: number, topics: Int32Array): boolean {
  for (const topic of topics) {
    for (let resource = 0; resource < work.width; resource++) {
      if (levelOf(work, topic, broker, resource) > (work.high[resource] as number)) return true;
    }
  }
  return false;
}

/** The move to or from `broker` that takes most energy off for its cost; undefined if none does. */
export function bestMove(search: Search, broker: number): Step | undefined {
  const { work, candidates, effort } = search;
  const own = energy(work, broker);
  const worst = worstOutside(work, broker);
  let best: Step | undefined;

  if (isHot(work, broker)) {
    const topics = members(work, candidates, broker, effort.topics);
    const least = isBeyondCure(work, broker, topics) ? own * WORTH_WHILE : own * LEAST_SHARE;
    for (const topic of topics) {
      const relief = own - energyAfter(work, broker, -1, topic, worst);
      if (relief < least) continue;
      for (const taker of search.takers) best = betterTaker(work, best, topic, taker, relief, worst);
      const home = work.home[topic] as number;
      if (home !== broker) best = betterTaker(work, best, topic, home, relief, worst);
    }
  }
  if (isCold(work, broker) && work.receives[broker] === 1) {
    for (const giver of search.givers) {
      if (giver === broker) continue;
      const giverEnergy = energy(work, giver);
      const allowed = Math.max(worst, worstOutside(work, giver));
      for (const topic of members(work, candidates, giver, effort.topics)) {
        const relief = own - energyAfter(work, broker, topic, -1, worst);
        if (relief < own * LEAST_SHARE) continue;
        const loss = energyAfter(work, giver, -1, topic, allowed) - giverEnergy;
        best = better(work, best, topic, broker, -1, relief, loss);
      }
    }
  }
  return best;
}

function betterTaker(
  work: Work,
  best: Step | undefined,
  topic: number,
  to: number,
  relief: number,
  worst: number,
): Step | undefined {
  if (to === work.owner[topic]) return best;
  const loss = energyAfter(work, to, topic, -1, Math.max(worst, worstOutside(work, to))) - energy(work, to);
  return better(work, best, topic, to, -1, relief, loss);
}

/** The exchange of one of the broker's topics that takes most energy off for its cost; undefined if none does. */
export function bestExchange(search: Search, broker: number): Step | undefined {
  const { work, candidates, effort } = search;
  const own = energy(work, broker);
  const ownWorst = worstOutside(work, broker);
  const partners = isHot(work, broker) ? search.takers : search.givers;
  const mine = members(work, candidates, broker, effort.exchangeTopics);
  let best: Step | undefined;
  for (const partner of partners.subarray(0, effort.exchangePartners)) {
    if (partner === broker) continue;
    const partnerEnergy = energy(work, partner);
    const worst = Math.max(ownWorst, worstOutside(work, partner));
    const theirs = members(work, candidates, partner, effort.exchangeTopics);
    for (const topic of mine) {
      for (const back of theirs) {
        const relief = own - energyAfter(work, broker, back, topic, worst);
        if (relief < own * LEAST_SHARE) continue;
        const loss = energyAfter(work, partner, topic, back, worst) - partnerEnergy;
        best = better(work, best, topic, partner, back, relief, loss);
      }
    }
  }
  return best;
}

/** The step, if it is better than `best` and no hard rule is against it. The rules are asked last: they cost most. */
function better(
  work: Work,
  best: Step | undefined,
  topic: number,
  to: number,
  back: number,
  relief: number,
  loss: number,
): Step | undefined {
  const gain = relief - loss;
  // To make one broker better by making another nearly as much worse is not worth a move.
  if (!(gain > 0) || loss > relief / 2) return best;
  const from = work.owner[topic] as number;
  const score = scoreOf(gain, costChange(work, topic, to) + (back < 0 ? 0 : costChange(work, back, from)));
  if (best !== undefined && score <= best.score) return best;
  if (refusal(work, topic, to, back) !== Refusal.None) return best;
  if (back >= 0 && refusal(work, back, from, topic) !== Refusal.None) return best;
  return { topic, to, back, score };
}

/** What the plan costs more if the topic goes there: nothing if it has moved already, less if it goes home. */
export function costChange(work: Work, topic: number, to: number): number {
  const home = work.home[topic];
  return costOf(work, topic) * (Number(to !== home) - Number(work.owner[topic] !== home));
}
