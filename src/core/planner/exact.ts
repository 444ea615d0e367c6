/**
 * The true optimum of a small case, by branch and bound: what the planner's answers are measured against. The time grows
 * exponentially with the number of moves, so this is for a dozen topics and no more.
 */

import type { PlannerInput, PlanOptions } from './input.ts';
import { Refusal, ruleRefusal } from './rules.ts';
import { assign, createWork, isMovable, isSettled, levelOf, type Work } from './work.ts';

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

function isSolved(work: Work, topics: readonly number[]): boolean {
  for (let broker = 0; broker < work.brokerCount; broker++) if (!isSettled(work, broker)) return false;
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
