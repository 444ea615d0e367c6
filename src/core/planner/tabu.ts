/**
 * The last resort for brokers that no single step brings into the band: a walk that always helps the worst
 * broker at the least harm to others, also where the whole gets worse, and leaves a topic where it was put for some steps, so that it
 * gets out of the hollow it is in (tabu search, Glover 1989). Only the best state that it passes is kept, and only if that is better
 * than the first. Short walks of the same kind find plans that do without a move.
 */
import { members } from './candidates.ts';
import { createPriorityQueue } from './priority-queue.ts';
import { Refusal, refusal } from './rules.ts';
import { costChange, type Effort, isCold, isHot, type Search, type Step } from './steps.ts';
import {
  assign,
  energy,
  energyAfter,
  isInBand,
  isSettled,
  isStopped,
  movedTopics,
  type Work,
  worstOutside,
} from './work.ts';

/** Each step weighs every pair of these, so they are few. */
export const WALK: Effort = { partners: 24, topics: 16, exchangePartners: 6, exchangeTopics: 12 };
/** Steps without a better state after which the walk ends. */
const PATIENCE = 200;
/** Steps for which a topic stays where it was put; varied, so that the walk does not go in a circle. */
const SHORTEST_REST = 2;
const REST_VARIANTS = 5;
/** One step in so many is a blind one, which opens what careful ones never reach. */
const KICK = 12;
/** A step that helps a broker by less than this share is rounding. */
const LEAST_SHARE = 1e-6;
/** Of steps that are as good, the one that costs fewer moves. */
const TIE = 1e-9;
/** Steps that may mend the plan without one of its moves. */
const SHORT_WALK = 12;
/** Costs are sums too. */
const LEAST_SAVING = 1e-6;
/** Sums of energy differ by less when topics have come and gone. */
const ROUNDING = 1e-12;

/** Steps that have been made and can be taken back, and the brokers that are outside the band now. */
interface Trail {
  /** The worst broker; undefined if every broker known to be outside is mended. */
  worst(): number | undefined;
  weigh(broker: number): void;
  take(step: Step, number: number): void;
  /** Whether a topic was put where it is only a few steps ago. */
  rests(topic: number, number: number): boolean;
  isWithinLimit(): boolean;
  /** The steps so far are there to stay. */
  keep(): void;
  undo(): void;
}

function createTrail(work: Work): Trail {
  const broken = createPriorityQueue();
  const restsUntil = new Map<number, number>();
  let made: (readonly [topic: number, owner: number])[] = [];

  function weigh(broker: number): void {
    if (isSettled(work, broker)) broken.remove(broker);
    else broken.set(broker, energy(work, broker));
  }

  function put(topic: number, broker: number, number: number): void {
    const from = work.owner[topic] as number;
    made.push([topic, from]);
    restsUntil.set(topic, number + SHORTEST_REST + (number % REST_VARIANTS));
    assign(work, topic, broker);
    weigh(from);
    weigh(broker);
  }

  return {
    weigh,
    worst: broken.best,
    take({ topic, to, back }, number) {
      const from = work.owner[topic] as number;
      put(topic, to, number);
      if (back >= 0) put(back, from, number);
    },
    rests: (topic, number) => (restsUntil.get(topic) ?? -1) >= number,
    isWithinLimit: () =>
      made.every(([topic, from]) =>
        [from, work.owner[topic] as number].every((broker) => worstOutside(work, broker) <= work.limit.worst),
      ),
    keep() {
      made = [];
    },
    undo() {
      for (const [topic, owner] of made.reverse()) assign(work, topic, owner);
    },
  };
}

/** Returns whether it found a better state; `work` is in that one then, and as before if not. Evaluations beyond `until` end it. */
export function walk(search: Search, until: number): boolean {
  const { work } = search;
  const trail = createTrail(work);
  const draw = createDraw();
  let best = work.totalEnergy;
  let found = false;
  for (let broker = 0; broker < work.brokerCount; broker++) trail.weigh(broker);
  for (let step = 0, since = 0; since < PATIENCE && work.evaluations <= until && !isStopped(work); step++, since++) {
    const broker = trail.worst();
    if (broker === undefined) break;
    const next =
      since % KICK === KICK - 1
        ? anyStep(search, broker, draw)
        : leastHarmful(search, broker, step, (topic) => trail.rests(topic, step));
    if (next === undefined) continue;
    trail.take(next, step);
    if (work.totalEnergy >= best - ROUNDING || !trail.isWithinLimit()) continue;
    best = work.totalEnergy;
    found = true;
    trail.keep();
    since = 0;
  }
  trail.undo();
  return found;
}

/**
 * Tries to do without each move, the smallest first, as long as some succeed: the topic goes home, and a walk of steps that cost less than
 * it saves mends what this breaks. Returns how many moves were saved.
 */
export function walkToFewerMoves(search: Search, size: Float64Array, until: number): number {
  const { work } = search;
  // A sum of energies is too coarse to tell whether all brokers are still within the band.
  const staysInBand = isInBand(work);
  let saved = 0;
  for (let before = -1; saved > before; ) {
    before = saved;
    const bySize = [...movedTopics(work)].sort((a, b) => (size[a] as number) - (size[b] as number) || a - b);
    for (const topic of bySize) {
      if (work.evaluations > until || isStopped(work)) return saved;
      const home = work.home[topic] as number;
      if (work.owner[topic] === home || refusal(work, topic, home) !== Refusal.None) continue;
      if (walkWithout(search, topic, until, staysInBand)) saved++;
    }
  }
  return saved;
}

function walkWithout(search: Search, topic: number, until: number, staysInBand: boolean): boolean {
  const { work } = search;
  const trail = createTrail(work);
  const most = { energy: work.totalEnergy + ROUNDING, cost: work.totalCost - LEAST_SAVING };
  const home = work.home[topic] as number;
  trail.take({ topic, to: home, back: -1, score: 0 }, 0);
  for (let step = 1; step <= SHORT_WALK; step++) {
    const broker = trail.worst();
    const isAsGood = work.totalEnergy <= most.energy && (broker === undefined || !staysInBand);
    if (isAsGood && work.totalCost <= most.cost && trail.isWithinLimit()) return true;
    if (broker === undefined || work.evaluations > until) break;
    const rests = (other: number): boolean => other === topic || trail.rests(other, step);
    const next = leastHarmful(search, broker, step, rests, most.cost);
    if (next === undefined) break;
    trail.take(next, step);
  }
  trail.undo();
  return false;
}

/**
 * Of the moves and exchanges that help `broker`, the one after which the cluster's energy is lowest, even if higher than now. None
 * makes the plan dearer than `mostCost`.
 */
function leastHarmful(
  search: Search,
  broker: number,
  step: number,
  rests: (topic: number) => boolean,
  mostCost = Infinity,
): Step | undefined {
  const { work, candidates, effort } = search;
  const own = energy(work, broker);
  let best: Step | undefined;

  function weigh(topic: number, to: number, back: number): void {
    const from = work.owner[topic] as number;
    const other = from === broker ? to : from;
    if (other === broker || from === to) return;
    const incoming = from === broker ? back : topic;
    const outgoing = from === broker ? topic : back;
    const relief = own - energyAfter(work, broker, incoming, outgoing, Infinity);
    if (!(relief > own * LEAST_SHARE)) return;
    const harm = energyAfter(work, other, outgoing, incoming, Infinity) - energy(work, other);
    const cost = costChange(work, topic, to) + (back < 0 ? 0 : costChange(work, back, from));
    if (work.totalCost + cost > mostCost) return;
    const score = relief - harm - cost * TIE;
    if (best !== undefined && score <= best.score) return;
    if (refusal(work, topic, to, back) !== Refusal.None) return;
    if (back >= 0 && refusal(work, back, from, topic) !== Refusal.None) return;
    best = { topic, to, back, score };
  }

  const mine = members(work, candidates, broker, effort.topics).filter((topic) => !rests(topic));
  const partners = new Set([...search.takers, ...search.givers]);
  // What is weighed is among the topics that have arrived, and to sort thousands of them is work too.
  for (const each of partners) work.evaluations += work.arrivals[each]?.size ?? 0;
  if (isHot(work, broker)) {
    for (const topic of mine) for (const to of search.takers) weigh(topic, to, -1);
  }
  if (isCold(work, broker) && work.receives[broker] === 1) {
    for (const giver of search.givers) {
      for (const topic of members(work, candidates, giver, effort.topics)) if (!rests(topic)) weigh(topic, broker, -1);
    }
  }
  for (const partner of turned([...partners], step * effort.exchangePartners).slice(0, effort.exchangePartners)) {
    if (partner === broker) continue;
    const theirs = members(work, candidates, partner, effort.exchangeTopics).filter((topic) => !rests(topic));
    for (const topic of mine.slice(0, effort.exchangeTopics)) for (const back of theirs) weigh(topic, partner, back);
  }
  return best;
}

/** Some topic of the broker or of a partner goes to the other, whatever it does there. */
function anyStep({ work, candidates, effort, takers, givers }: Search, broker: number, draw: Draw): Step | undefined {
  const out = draw(2) === 0;
  const partners = out ? takers : givers;
  const partner = partners[draw(partners.length)] ?? broker;
  const [from, to] = out ? [broker, partner] : [partner, broker];
  const topics = members(work, candidates, from, effort.topics);
  const topic = topics[draw(topics.length)];
  if (topic === undefined || from === to || refusal(work, topic, to) !== Refusal.None) return undefined;
  return { topic, to, back: -1, score: 0 };
}

/** A whole number below `count`, the same sequence each time: the same input gives the same plan. */
type Draw = (count: number) => number;

function createDraw(): Draw {
  let state = 1;
  return (count) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state >>> 8) % count;
  };
}

/** The list from another start: each step weighs other partners. */
function turned(list: readonly number[], by: number): readonly number[] {
  const start = by % Math.max(1, list.length);
  return [...list.slice(start), ...list.slice(0, start)];
}
