/**
 * The last resort for brokers that neither single steps nor small experiments bring into the band: a walk that always helps the worst
 * broker at the least harm to others, also where the whole gets worse, and leaves a topic where it was put for some steps, so that it
 * gets out of the hollow it is in (tabu search, Glover 1989). Only the best state that it passes is kept, and only if that is better
 * than the first.
 */
import { members } from './candidates.ts';
import { createPriorityQueue } from './priority-queue.ts';
import { Refusal, refusal } from './rules.ts';
import { costChange, type Effort, isCold, isHot, type Search, type Step } from './steps.ts';
import { assign, energy, energyAfter, isSettled, isStopped, type Work, worstOutside } from './work.ts';

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
/** Sums of energy differ by less when topics have come and gone. */
const ROUNDING = 1e-12;

/** Returns whether it found a better state; `work` is in that one then, and as before if not. Evaluations beyond `until` end it. */
export function walk(search: Search, until: number): boolean {
  const { work } = search;
  const restsUntil = new Map<number, number>();
  const broken = createPriorityQueue();
  const draw = createDraw();
  let undo: (readonly [topic: number, owner: number])[] = [];
  let best = work.totalEnergy;
  let found = false;

  function weigh(broker: number): void {
    if (isSettled(work, broker)) broken.remove(broker);
    else broken.set(broker, energy(work, broker));
  }

  function put(topic: number, broker: number, step: number): void {
    const from = work.owner[topic] as number;
    undo.push([topic, from]);
    restsUntil.set(topic, step + SHORTEST_REST + (step % REST_VARIANTS));
    assign(work, topic, broker);
    weigh(from);
    weigh(broker);
  }

  for (let broker = 0; broker < work.brokerCount; broker++) weigh(broker);
  for (let step = 0, since = 0; since < PATIENCE && work.evaluations <= until && !isStopped(work); step++, since++) {
    const broker = broken.best();
    if (broker === undefined) break;
    const rests = (topic: number): boolean => (restsUntil.get(topic) ?? -1) >= step;
    const next = since % KICK === KICK - 1 ? anyStep(search, broker, draw) : leastHarmful(search, broker, rests);
    if (next === undefined) continue;
    const from = work.owner[next.topic] as number;
    put(next.topic, next.to, step);
    if (next.back >= 0) put(next.back, from, step);
    if (work.totalEnergy >= best - ROUNDING || !isWithinLimit(work, undo)) continue;
    best = work.totalEnergy;
    found = true;
    undo = [];
    since = 0;
  }
  for (const [topic, owner] of undo.reverse()) assign(work, topic, owner);
  return found;
}

function isWithinLimit(work: Work, undo: readonly (readonly [number, number])[]): boolean {
  return undo.every(([topic, from]) =>
    [from, work.owner[topic] as number].every((broker) => worstOutside(work, broker) <= work.limit.worst),
  );
}

/** Of the moves and exchanges that help `broker`, the one after which the cluster's energy is lowest, even if higher than now. */
function leastHarmful(search: Search, broker: number, rests: (topic: number) => boolean): Step | undefined {
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
    const score = relief - harm - cost * TIE;
    if (best !== undefined && score <= best.score) return;
    if (refusal(work, topic, to, back) !== Refusal.None) return;
    if (back >= 0 && refusal(work, back, from, topic) !== Refusal.None) return;
    best = { topic, to, back, score };
  }

  const mine = members(work, candidates, broker, effort.topics).filter((topic) => !rests(topic));
  const partners = new Set([...search.takers, ...search.givers]);
  if (isHot(work, broker)) {
    for (const topic of mine) for (const to of search.takers) weigh(topic, to, -1);
  }
  if (isCold(work, broker) && work.receives[broker] === 1) {
    for (const giver of search.givers) {
      for (const topic of members(work, candidates, giver, effort.topics)) if (!rests(topic)) weigh(topic, broker, -1);
    }
  }
  for (const partner of [...partners].slice(0, effort.exchangePartners)) {
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
