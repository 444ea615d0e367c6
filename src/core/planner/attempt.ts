/**
 * Small experiments around a state that no single step improves: a topic is put elsewhere whatever it costs there, what this breaks is
 * mended by a few ordinary steps, and all is taken back unless the whole is better. This finds chains over three and more brokers,
 * and plans that need fewer moves.
 */
import { members } from './candidates.ts';
import { createPriorityQueue } from './priority-queue.ts';
import { Refusal, refusal } from './rules.ts';
import { bestExchange, bestMove, type Effort, type Search, type Step } from './steps.ts';
import {
  assign,
  costOf,
  energy,
  energyAfter,
  isSettled,
  isStopped,
  movedTopics,
  type Work,
  worstOutside,
} from './work.ts';

/** For one experiment: it is repeated often, so each must be cheap. */
export const LIGHT: Effort = { partners: 32, topics: 16, exchangePartners: 8, exchangeTopics: 16 };
/** Sums of energy differ by less when topics have come and gone. */
const ROUNDING = 1e-12;
/** Steps that may mend an experiment. */
const STEPS = 6;
/** Of each broker that stays outside the band, topics that are put elsewhere, and brokers that they are put on. */
const TOPICS = 12;
const TAKERS = 4;

/** Tries to bring `broker` nearer to the band at any cost in moves. Evaluations beyond `until` end it. */
export function attemptRescue(search: Search, broker: number, until: number): boolean {
  const { work, candidates } = search;
  for (const topic of members(work, candidates, broker, TOPICS)) {
    for (const to of leastHarmed(search, topic)) {
      if (work.evaluations > until) return false;
      const before = work.totalEnergy;
      if (attempt(search, topic, to, () => work.totalEnergy < before - ROUNDING)) return true;
    }
  }
  return false;
}

/** Tries to do without each move, the dearest and smallest first. Returns how many attempts succeeded. */
export function attemptFewerMoves(search: Search, size: Float64Array, until: number): number {
  const { work } = search;
  const moved = [...movedTopics(work)].sort(
    (a, b) => costOf(work, b) - costOf(work, a) || (size[a] as number) - (size[b] as number) || a - b,
  );
  let saved = 0;
  for (const topic of moved) {
    if (work.evaluations > until || isStopped(work)) break;
    const home = work.home[topic] as number;
    if (work.owner[topic] === home || refusal(work, topic, home) !== Refusal.None) continue;
    const before = { energy: work.totalEnergy, cost: work.totalCost };
    const isBetter = (): boolean => work.totalEnergy <= before.energy + ROUNDING && work.totalCost < before.cost - 1e-9;
    if (attempt(search, topic, home, isBetter)) saved++;
  }
  return saved;
}

function leastHarmed({ work, takers }: Search, topic: number): readonly number[] {
  const harms = Array.from(takers.subarray(0, LIGHT.partners), (to) => ({
    to,
    harm: energyAfter(work, to, topic, -1, work.limit.worst) - energy(work, to),
  }));
  return harms
    .filter(({ to, harm }) => harm < Infinity && refusal(work, topic, to) === Refusal.None)
    .sort((a, b) => a.harm - b.harm || a.to - b.to)
    .slice(0, TAKERS)
    .map(({ to }) => to);
}

/** One experiment. What is kept is better, and no broker in it is further outside the band than any was at the start. */
function attempt(search: Search, topic: number, to: number, isBetter: () => boolean): boolean {
  const { work } = search;
  const undo: (readonly [topic: number, owner: number])[] = [];
  const broken = createPriorityQueue();

  function put(moved: number, broker: number): void {
    const from = work.owner[moved] as number;
    undo.push([moved, from]);
    assign(work, moved, broker);
    for (const touched of [from, broker]) {
      if (isSettled(work, touched)) broken.remove(touched);
      else broken.set(touched, energy(work, touched));
    }
  }

  put(topic, to);
  for (let step = 0; step < STEPS; step++) {
    const worst = broken.best();
    if (worst === undefined) break;
    const found: Step | undefined = bestMove(search, worst) ?? bestExchange(search, worst);
    if (found === undefined) break;
    const from = work.owner[found.topic] as number;
    put(found.topic, found.to);
    if (found.back >= 0) put(found.back, from);
  }
  if (isBetter() && isWithinLimit(work, undo)) return true;
  for (const [moved, owner] of undo.reverse()) assign(work, moved, owner);
  return false;
}

function isWithinLimit(work: Work, undo: readonly (readonly [number, number])[]): boolean {
  return undo.every(([topic, from]) =>
    [from, work.owner[topic] as number].every((broker) => worstOutside(work, broker) <= work.limit.worst),
  );
}
