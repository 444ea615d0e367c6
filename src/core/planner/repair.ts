/**
 * Brings what is still outside the band into it, the worst broker first: by a move, or by an exchange of two topics where no single
 * move fits. A topic that has moved already may go elsewhere at no cost, and home at a profit: that is weighed
 * in the same way, so most of what shedding left over is mended without a further move.
 */
import type { Candidates } from './candidates.ts';
import { createPriorityQueue, type PriorityQueue } from './priority-queue.ts';
import { bestExchange, bestMove, createSearch, type Effort, type Search, take } from './steps.ts';
import { energy, isSettled, isStopped, type Work } from './work.ts';

/** Steps after which the brokers at the other end are picked anew. */
const REFRESH = 24;

/** Repairs until the band holds, nothing helps, `shouldStop`, or evaluations pass `until`. Returns the number of steps. */
export function repair(work: Work, candidates: Candidates, effort: Effort, until = Infinity): number {
  const queue = createPriorityQueue();
  for (let broker = 0; broker < work.brokerCount; broker++) weigh(work, queue, broker);
  let search = createSearch(work, candidates, effort);
  let steps = 0;
  for (let broker = queue.best(); broker !== undefined && work.evaluations <= until; broker = queue.best()) {
    if (isStopped(work)) break;
    const touched = help(search, broker);
    if (touched.length === 0) {
      queue.remove(broker);
      continue;
    }
    for (const changed of touched) weigh(work, queue, changed);
    steps++;
    if (steps % REFRESH === 0) search = createSearch(work, candidates, effort);
  }
  return steps;
}

/** Returns the brokers that were changed. */
function help(search: Search, broker: number): readonly number[] {
  const step = bestMove(search, broker) ?? bestExchange(search, broker);
  if (step === undefined) return [];
  const from = search.work.owner[step.topic] as number;
  take(search.work, step);
  return [from, step.to];
}

function weigh(work: Work, queue: PriorityQueue, broker: number): void {
  if (isSettled(work, broker)) queue.remove(broker);
  else queue.set(broker, energy(work, broker));
}
