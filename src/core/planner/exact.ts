/**
 * The true optimum of a small case, by branch and bound: what the planner's answers are measured against. The time grows
 * exponentially with the number of moves, so this is for a dozen topics and no more.
 */

import type { PlannerInput, PlanOptions } from './input.ts';
import { isAllowed, Refusal, ruleRefusal } from './rules.ts';
import { assign, createWork, isInBand, isMovable, levelOf, priceOf, type Work } from './work.ts';

/** The fewest moves that reach the band, `Infinity` if none do, undefined if more than `maxVisits` positions had to be seen. */
export function fewestMoves(
  input: PlannerInput,
  options: PlanOptions,
  maxMoves: number,
  maxVisits: number,
): number | undefined {
  const work = createWork(input, options);
  const topics = [...work.home.keys()].filter((topic) => isMovable(work, topic));
  const search = { visits: maxVisits };
  for (let moves = 0; moves <= Math.min(maxMoves, topics.length); moves++) {
    const found = reaches(work, topics, 0, moves, search);
    if (search.visits <= 0) return undefined;
    if (found) return moves;
  }
  return Infinity;
}

/** Whether exactly `left` more of the topics from `from` on can be moved so that all is well. */
function reaches(
  work: Work,
  topics: readonly number[],
  from: number,
  left: number,
  search: { visits: number },
): boolean {
  if (--search.visits <= 0) return false;
  if (left === 0) return isSolved(work, topics);
  if (topics.length - from < left || !isWithinReach(work, topics, from, left)) return false;
  const topic = topics[from] as number;
  const home = work.home[topic] as number;
  for (let broker = 0; broker < work.brokerCount; broker++) {
    if (broker === home || work.receives[broker] === 0) continue;
    assign(work, topic, broker);
    const found = reaches(work, topics, from + 1, left - 1, search);
    assign(work, topic, home);
    if (found) return true;
  }
  return reaches(work, topics, from + 1, left, search);
}

/**
 * The lowest cost of all plans that reach the band and follow every rule: what `Plan.cost` is compared with. Infinity if none costs less
 * than `limit`, undefined if more than `maxVisits` positions had to be seen.
 */
export function lowestCost(
  input: PlannerInput,
  options: PlanOptions,
  limit: number,
  maxVisits: number,
): number | undefined {
  const work = createWork(input, options);
  const topics = [...work.home.keys()].filter((topic) => isMovable(work, topic));
  const prices = topics.map((topic) => priceOf(work, topic));
  let best = limit;
  let visits = 0;

  /** The topics before `from` are where they are to be, at `cost` in all. */
  function visit(from: number, cost: number): void {
    if (++visits > maxVisits || cost + stillToPay(work, topics, prices, from) >= best) return;
    if (isSolved(work, topics)) best = cost;
    const topic = topics[from];
    if (topic === undefined || cost >= best) return;
    const home = work.home[topic] as number;
    for (let broker = 0; broker < work.brokerCount; broker++) {
      if (broker === home || work.receives[broker] === 0 || !isAllowed(work, topic, broker)) continue;
      assign(work, topic, broker);
      visit(from + 1, cost + (prices[from] as number));
      assign(work, topic, home);
    }
    if (work.draining[home] === 0 && isAllowed(work, topic, home)) visit(from + 1, cost);
  }

  visit(0, 0);
  if (visits > maxVisits) return undefined;
  return best < limit ? best : Infinity;
}

/** What must be paid yet, at least: each hot broker gives as many of its largest topics from `from` on as cure it, all at the lowest price. */
function stillToPay(work: Work, topics: readonly number[], prices: readonly number[], from: number): number {
  let sum = 0;
  for (let broker = 0; broker < work.brokerCount; broker++) {
    if (work.draining[broker] === 1) continue;
    let least = 0;
    for (let resource = 0; resource < work.width; resource++) {
      let excess = (work.level[broker * work.width + resource] as number) - (work.high[resource] as number) - 1e-9;
      if (excess <= 0) continue;
      const left = [...topics.keys()].slice(from).filter((at) => work.owner[topics[at] as number] === broker);
      const levels = left.map((at) => levelOf(work, topics[at] as number, broker, resource)).sort((a, b) => b - a);
      let count = 0;
      for (; excess > 0 && count < levels.length; count++) excess -= levels[count] as number;
      if (excess > 0) return Infinity;
      least = Math.max(least, count * Math.min(...left.map((at) => prices[at] as number)));
    }
    sum += least;
  }
  return sum;
}

function isSolved(work: Work, topics: readonly number[]): boolean {
  if (!isInBand(work)) return false;
  return topics.every((topic) => {
    const broker = work.owner[topic] as number;
    return work.draining[broker] === 0 && ruleRefusal(work, topic, broker) === Refusal.None;
  });
}

/** No broker may be so hot that the largest `left` of its remaining topics would not cure it. */
function isWithinReach(work: Work, topics: readonly number[], from: number, left: number): boolean {
  for (let broker = 0; broker < work.brokerCount; broker++) {
    if (work.draining[broker] === 1) continue;
    for (let resource = 0; resource < work.width; resource++) {
      const excess = (work.level[broker * work.width + resource] as number) - (work.high[resource] as number);
      if (excess <= 0) continue;
      const levels = topics
        .slice(from)
        .filter((topic) => work.owner[topic] === broker)
        .map((topic) => levelOf(work, topic, broker, resource))
        .sort((a, b) => b - a)
        .slice(0, left);
      if (levels.reduce((sum, level) => sum + level, 0) < excess - 1e-12) return false;
    }
  }
  return true;
}
