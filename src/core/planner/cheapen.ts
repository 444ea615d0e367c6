/**
 * Makes the plan cheaper: a topic that moves goes home again where another one does its work for less. That is either a topic of
 * the same home, which goes where the first one went, or one that moves anyway and may as well come there. First the cost
 * of the moves counts, so that a plan has no move more for the sake of traffic; then, of topics that cost the same, those with less
 * traffic move.
 */
import { type Candidates, members } from './candidates.ts';
import { Refusal, refusal } from './rules.ts';
import {
  assign,
  costOf,
  energy,
  energyAfter,
  groupOf,
  isStopped,
  movedTopics,
  priceOf,
  type Work,
  worstOutside,
} from './work.ts';

/** Largest topics of the home that are weighed. */
const DEPTH = 32;
/** A millionth of a plain move, or of the cluster's traffic: less is no reason to choose another topic. */
const LEAST_SAVING = 1e-6;

type Price = (work: Work, topic: number) => number;

/**
 * Returns how many moves others took over. Topics of `wanted` move because of a hard rule: none goes home. Evaluations beyond `until`
 * end it.
 */
export function cheapen(
  work: Work,
  candidates: Candidates,
  wanted: ReadonlyMap<number, unknown>,
  until: number,
): number {
  let replaced = cheapenBy(costOf, work, candidates, wanted, until);
  if (work.input.traffic !== undefined) replaced += cheapenBy(priceOf, work, candidates, wanted, until);
  return replaced;
}

function cheapenBy(
  priceOf: Price,
  work: Work,
  candidates: Candidates,
  wanted: ReadonlyMap<number, unknown>,
  until: number,
): number {
  const { size } = candidates;
  // Where all moves cost the same, only what moves anyway can do the work of another for less.
  const isUniform = priceOf === costOf && work.input.cost === undefined;
  let replaced = 0;
  let versions: Int32Array | undefined;
  for (let before = -1; replaced > before; ) {
    before = replaced;
    // What was weighed in vain need not be weighed again before one of its brokers has changed.
    const known = versions;
    const hasChanged = (broker: number): boolean => known === undefined || work.version[broker] !== known[broker];
    versions = work.version.slice();
    const moved = movedTopics(work);
    const spare = moved.filter((topic) => canSpare(work, topic));
    const spareAnew = spare.filter((topic) => hasChanged(work.owner[topic] as number));
    const dearestFirst = moved
      .filter((topic) => !wanted.has(topic))
      .map((topic) => ({ topic, price: priceOf(work, topic) }))
      .sort((a, b) => b.price - a.price || (size[a.topic] as number) - (size[b.topic] as number) || a.topic - b.topic);
    for (const { topic, price } of dearestFirst) {
      if (work.evaluations > until || isStopped(work)) return replaced;
      const home = work.home[topic] as number;
      const at = work.owner[topic] as number;
      if (at === home) continue;
      const search: Search = { work, priceOf, topic, price, other: -1, saving: LEAST_SAVING };
      const isAnew = hasChanged(home) || hasChanged(at);
      if (isAnew) weighAll(search, isUniform ? work.arrivals[home] : members(work, candidates, home, DEPTH));
      if (canReturn(work, topic)) weighAll(search, isAnew ? spare : spareAnew);
      if (search.other < 0) continue;
      assign(work, topic, home);
      assign(work, search.other, at);
      replaced++;
    }
  }
  return replaced;
}

interface Search {
  readonly work: Work;
  readonly priceOf: Price;
  readonly topic: number;
  readonly price: number;
  /** The topic that does the work of `topic` for least, −1 = none. */
  other: number;
  saving: number;
}

function weighAll(search: Search, others: Iterable<number> = []): void {
  for (const other of others) weigh(search, other);
}

/** Whether the topic's broker is no worse without it. */
function canSpare(work: Work, topic: number): boolean {
  const broker = work.owner[topic] as number;
  return energyAfter(work, broker, -1, topic, worstOutside(work, broker)) <= energy(work, broker);
}

/** Whether the topic's home is no worse with it. */
function canReturn(work: Work, topic: number): boolean {
  const home = work.home[topic] as number;
  if (refusal(work, topic, home) !== Refusal.None) return false;
  return energyAfter(work, home, topic, -1, worstOutside(work, home)) <= energy(work, home);
}

/** Weighs that `topic` goes home and `other` to where it was: cheaper, no worse for the brokers, and against no hard rule. */
function weigh(search: Search, other: number): void {
  const { work, priceOf, topic, price } = search;
  const home = work.home[topic] as number;
  const at = work.owner[topic] as number;
  const from = work.owner[other] as number;
  if (other === topic || from === at) return;
  const otherHome = work.home[other];
  const added = priceOf(work, other) * (Number(at !== otherHome) - Number(from !== otherHome));
  const saving = price - added;
  if (saving <= search.saving) return;

  const leaving = from === home ? other : -1;
  const worst = Math.max(worstOutside(work, home), worstOutside(work, at), worstOutside(work, from));
  let left = energy(work, home) + energy(work, at);
  if (leaving < 0) left += energy(work, from) - energyAfter(work, from, -1, other, worst);
  left -= energyAfter(work, at, other, topic, worst);
  left -= energyAfter(work, home, topic, leaving, worst);
  if (!(left >= 0)) return;
  if (refusal(work, topic, home, leaving) !== Refusal.None) return;
  // Of a group, the topic that goes home may still count in the domain that the other one comes to.
  const group = groupOf(work, topic);
  const gone = leaving < 0 && group >= 0 && group === groupOf(work, other) ? -1 : topic;
  if (refusal(work, other, at, gone) !== Refusal.None) return;
  search.other = other;
  search.saving = saving;
}
