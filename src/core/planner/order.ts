/**
 * The order in which the moves may be carried out, and how much of it a budget allows. What hard rules ask for comes first, then
 * always the move that helps most for its cost. Where two moves only help together (an exchange), the plan may not be cut between
 * them: it is cut only where the cluster is better than at the cut before.
 */
import type { Wanted } from './forced.ts';
import { createPriorityQueue } from './priority-queue.ts';
import { Refusal, refusal } from './rules.ts';
import { assign, costOf, energy, energyAfter, movedTopics, type Work, worstOutside } from './work.ts';

/** Sums of levels differ in their last digits when moves are made in another order. */
const ROUNDING = 1e-12;

export interface Ordered {
  readonly topics: readonly number[];
  /** Whether a budget left moves out. */
  readonly cut: boolean;
}

/** Leaves `work` in the state that the returned topics' moves make. */
export function orderMoves(work: Work, wanted: ReadonlyMap<number, Wanted>): Ordered {
  const moved = movedTopics(work);
  const target = new Map(moved.map((topic) => [topic, work.owner[topic] as number]));
  for (const topic of moved) assign(work, topic, work.home[topic] as number);

  const sequence = createSequence(work, moved, target, wanted);
  const budget = createBudget(work);
  const done: number[] = [];
  let safe = 0;
  let pending = createSection(work);
  for (let topic = sequence.next(); topic !== undefined; topic = sequence.next()) {
    if (!budget.take(topic)) break;
    const to = target.get(topic) as number;
    pending.touch(work.home[topic] as number);
    pending.touch(to);
    assign(work, topic, to);
    sequence.applied(topic);
    done.push(topic);
    if (wanted.has(topic) || pending.isNotWorse()) {
      safe = done.length;
      pending = createSection(work);
    }
  }
  // The whole plan is never worse, even where its last moves only count together with earlier ones.
  if (done.length === moved.length) safe = done.length;
  for (const topic of done.slice(safe)) assign(work, topic, work.home[topic] as number);
  return { topics: done.slice(0, safe), cut: safe < moved.length };
}

interface Section {
  touch(broker: number): void;
  isNotWorse(): boolean;
}

/** The brokers that moves have touched since the last cut, and how they were then. */
function createSection(work: Work): Section {
  const before = new Map<number, { readonly energy: number; readonly worst: number }>();
  return {
    touch(broker) {
      if (!before.has(broker)) before.set(broker, { energy: energy(work, broker), worst: worstOutside(work, broker) });
    },
    isNotWorse() {
      let energyThen = 0;
      let worstThen = 0;
      let energyNow = 0;
      let worstNow = 0;
      for (const [broker, then] of before) {
        energyThen += then.energy;
        worstThen = Math.max(worstThen, then.worst);
        energyNow += energy(work, broker);
        worstNow = Math.max(worstNow, worstOutside(work, broker));
      }
      return energyNow <= energyThen + ROUNDING && worstNow <= worstThen + ROUNDING;
    },
  };
}

interface Budget {
  /** False once a further move would pass a limit. */
  take(topic: number): boolean;
}

function createBudget(work: Work): Budget {
  const { width, options, input, means } = work;
  const spent = new Float64Array(width);
  const limit = new Float64Array(width).fill(Infinity);
  if (options.maxMovedShare !== undefined) {
    for (let resource = 0; resource < width; resource++) {
      let capacity = 0;
      for (let broker = 0; broker < work.brokerCount; broker++) {
        if (work.draining[broker] === 0) capacity += input.capacity[broker * width + resource] as number;
      }
      limit[resource] = options.maxMovedShare * (means[resource] as number) * capacity * (1 + 1e-9);
    }
  }
  let moves = 0;
  return {
    take(topic) {
      moves++;
      if (moves > (options.maxMoves ?? Infinity)) return false;
      for (let resource = 0; resource < width; resource++) {
        spent[resource] = (spent[resource] as number) + (input.loads[topic * width + resource] as number);
        if ((spent[resource] as number) > (limit[resource] as number)) return false;
      }
      return true;
    },
  };
}

interface Sequence {
  next(): number | undefined;
  applied(topic: number): void;
}

/** Always the best of the moves that are left; a move is weighed again only when one of its two brokers has changed. */
function createSequence(
  work: Work,
  moved: readonly number[],
  target: ReadonlyMap<number, number>,
  wanted: ReadonlyMap<number, Wanted>,
): Sequence {
  const queue = createPriorityQueue();
  const byBroker = new Map<number, Set<number>>();
  for (const topic of moved) {
    for (const broker of endsOf(topic)) {
      const known = byBroker.get(broker);
      if (known === undefined) byBroker.set(broker, new Set([topic]));
      else known.add(topic);
    }
    queue.set(topic, worth(topic));
  }

  function endsOf(topic: number): readonly number[] {
    return [work.home[topic] as number, target.get(topic) as number];
  }

  function worth(topic: number): number {
    const from = work.home[topic] as number;
    const to = target.get(topic) as number;
    const allowed = refusal(work, topic, to) === Refusal.None ? 0 : -1e6;
    const first = wanted.has(topic) ? 1e9 : 0;
    const worst = Math.max(worstOutside(work, from), worstOutside(work, to));
    const after = energyAfter(work, from, -1, topic, worst) + energyAfter(work, to, topic, -1, worst);
    const gain = after === Infinity ? -1e3 : energy(work, from) + energy(work, to) - after;
    return first + allowed + gain / costOf(work, topic);
  }

  return {
    next: () => queue.best(),
    applied(topic) {
      queue.remove(topic);
      for (const broker of endsOf(topic)) byBroker.get(broker)?.delete(topic);
      // What a hard rule moves goes first in any order: its own value does not change.
      if (wanted.has(topic)) return;
      for (const broker of endsOf(topic)) {
        for (const other of byBroker.get(broker) ?? []) queue.set(other, worth(other));
      }
    },
  };
}
