/**
 * The order in which the moves may be carried out, and how much of it a budget allows. What hard rules ask for comes first, then
 * always the move that helps most for its cost. Where two moves only help together (an exchange), the plan may not be cut between
 * them: it is cut only where the cluster is no worse than at the cut before. What hard rules ask for may be cut after each move,
 * although it may cost balance until later moves win that back: a rule, or a broker that is to become empty, does not wait for the band.
 */
import type { Wanted } from './forced.ts';
import { createPriorityQueue } from './priority-queue.ts';
import { Refusal, refusal, standsByRules } from './rules.ts';
import { assign, costOf, energy, energyAfter, movedTopics, type Work, worstOutside } from './work.ts';

/** Sums of levels differ in their last digits when moves are made in another order. */
const ROUNDING = 1e-12;

export interface Ordered {
  readonly topics: readonly number[];
  /** After how many moves it may be interrupted: no hard rule is then broken by it. The last is after all of them. */
  readonly cuts: readonly number[];
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
  const cuts: number[] = [];
  let pending = createSection(work);
  for (let topic = sequence.next(); topic !== undefined; topic = sequence.next()) {
    if (!budget.take(topic)) break;
    const to = target.get(topic) as number;
    pending.touch(work.home[topic] as number);
    pending.touch(to);
    if (refusal(work, topic, to) !== Refusal.None) pending.owe(topic);
    assign(work, topic, to);
    sequence.applied(topic);
    done.push(topic);
    if ((wanted.has(topic) || pending.isNotWorse()) && pending.keepsRules()) {
      cuts.push(done.length);
      pending = createSection(work);
    }
  }
  // The whole plan is never worse, even where its last moves only count together with earlier ones.
  if (done.length === moved.length && cuts.at(-1) !== done.length) joinEnd(work, done, target, cuts);
  const safe = cuts.at(-1) ?? 0;
  for (const topic of done.slice(safe)) assign(work, topic, work.home[topic] as number);
  return { topics: done.slice(0, safe), cuts, cut: safe < moved.length };
}

/** Takes back the last cuts, up to one from which on the end of the plan leaves its brokers no worse, and cuts at the end. */
function joinEnd(work: Work, done: readonly number[], target: ReadonlyMap<number, number>, cuts: number[]): void {
  const end = createSection(work);
  let at = done.length;
  do {
    for (const from = cuts.at(-1) ?? 0; at > from; at--) {
      const topic = done[at - 1] as number;
      end.touch(work.home[topic] as number);
      end.touch(target.get(topic) as number);
      assign(work, topic, work.home[topic] as number);
    }
  } while (!end.wasWorse() && cuts.pop() !== undefined);
  for (const topic of done.slice(at)) assign(work, topic, target.get(topic) as number);
  cuts.push(done.length);
}

interface Section {
  touch(broker: number): void;
  /** The topic was moved against a hard rule, for another move to put right. */
  owe(topic: number): void;
  keepsRules(): boolean;
  /** Whether the touched brokers are now no worse than when they were touched. */
  isNotWorse(): boolean;
  /** Whether they were no better then than they are now: the same, asked while moves are taken back. */
  wasWorse(): boolean;
}

/** The brokers that moves have touched, and how they were before. */
function createSection(work: Work): Section {
  const before = new Map<number, State>();
  const owed: number[] = [];
  return {
    owe: (topic) => owed.push(topic),
    keepsRules: () => owed.every((topic) => standsByRules(work, topic)),
    touch(broker) {
      if (!before.has(broker)) before.set(broker, { energy: energy(work, broker), worst: worstOutside(work, broker) });
    },
    isNotWorse: () => isNoWorse(stateOf(before.keys()), sumOf(before.values())),
    wasWorse: () => isNoWorse(sumOf(before.values()), stateOf(before.keys())),
  };

  function stateOf(brokers: Iterable<number>): State {
    return sumOf(
      Array.from(brokers, (broker) => ({ energy: energy(work, broker), worst: worstOutside(work, broker) })),
    );
  }
}

interface State {
  readonly energy: number;
  readonly worst: number;
}

function sumOf(states: Iterable<State>): State {
  let sum = 0;
  let worst = 0;
  for (const state of states) {
    sum += state.energy;
    worst = Math.max(worst, state.worst);
  }
  return { energy: sum, worst };
}

function isNoWorse(now: State, then: State): boolean {
  return now.energy <= then.energy + ROUNDING && now.worst <= then.worst + ROUNDING;
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

/** Worth of a move that a hard rule asks for, and of one that a hard rule is against until another has made room. */
const WANTED = 1e9;
const REFUSED = -1e12;

/** Nothing may be divided by a cost of 0. */
const LEAST_COST = 1e-3;

/** A move that is still worth this share of what it was when it was last weighed is taken without weighing the others anew. */
const CLOSE = 0.5;

/**
 * The best of the moves that are left, or nearly. What a move is worth falls as its brokers are mended, so a value is an upper bound until
 * it is weighed again at the top; only where nothing helps any more are all weighed anew, since one may have come to fit.
 */
function createSequence(
  work: Work,
  moved: readonly number[],
  target: ReadonlyMap<number, number>,
  wanted: ReadonlyMap<number, Wanted>,
): Sequence {
  const queue = createPriorityQueue();
  const values = new Map<number, number>();
  let isFresh = false;
  for (const topic of moved) weigh(topic);

  function weigh(topic: number): number {
    const value = worth(topic);
    values.set(topic, value);
    queue.set(topic, value);
    return value;
  }

  function worth(topic: number): number {
    const from = work.home[topic] as number;
    const to = target.get(topic) as number;
    const allowed = refusal(work, topic, to) === Refusal.None ? 0 : REFUSED;
    const first = wanted.has(topic) ? WANTED : 0;
    const worst = Math.max(worstOutside(work, from), worstOutside(work, to));
    const after = energyAfter(work, from, -1, topic, worst) + energyAfter(work, to, topic, -1, worst);
    const gain = after === Infinity ? -1e3 : energy(work, from) + energy(work, to) - after;
    return first + allowed + gain / Math.max(LEAST_COST, costOf(work, topic));
  }

  return {
    next() {
      for (let topic = queue.best(); topic !== undefined; topic = queue.best()) {
        const known = values.get(topic);
        const value = weigh(topic);
        if (value > 0 && value >= (known ?? 0) * CLOSE) return topic;
        if (value !== known) continue;
        if (isFresh) return topic;
        for (const other of values.keys()) weigh(other);
        isFresh = true;
      }
      return undefined;
    },
    applied(topic) {
      queue.remove(topic);
      values.delete(topic);
      isFresh = false;
    },
  };
}
