/** Everything that the benchmark measures, as numbers: `main.ts` holds bars against them and `report.ts` writes them down. */
import type { Plan, PlannerInput } from '../../src/core/planner/input.ts';
import { plan } from '../../src/core/planner/plan.ts';
import { RULES } from './pulsar/measured.ts';
import { movedShare, runPulsar } from './pulsar/run.ts';
import { referencePlan } from './reference.ts';
import { hoursOf, messagingCluster, skewedCluster, WORKLOADS } from './workloads.ts';

/** Of the published figures. */
export const PUBLISHED_SEED = 42;

export interface Size {
  readonly brokers: number;
  readonly topics: number;
  readonly width: number;
}

export interface Outcome extends Size {
  readonly moves: number;
  readonly bound: number;
  readonly inBand: boolean;
  /** The furthest that any resource of any broker is from its mean: 1.09 = 9 %. */
  readonly worst: number;
  readonly movedPercent: number;
  readonly milliseconds: number;
}

export interface Timed<T> {
  readonly result: T;
  readonly milliseconds: number;
}

/** CPU time of this process, which other processes on the machine hardly change. */
export function timed<T>(work: () => T): Timed<T> {
  const before = process.cpuUsage();
  const result = work();
  const used = process.cpuUsage(before);
  return { result, milliseconds: (used.user + used.system) / 1000 };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function measurePlan(input: PlannerInput): Outcome {
  const { result, milliseconds } = timed(() => plan(input));
  return {
    brokers: input.brokers.length,
    topics: input.topics.length,
    width: input.resources.length,
    moves: result.moves.length,
    bound: result.bounds.moves,
    inBand: result.inBand,
    worst: worstOf(result),
    movedPercent: 100 * movedShare(input, ownersAfter(input, result)),
    milliseconds,
  };
}

function worstOf({ after }: Plan): number {
  return Math.max(...after.map(({ maxOverMean, minOverMean }) => Math.max(maxOverMean, 2 - minOverMean)));
}

function ownersAfter(input: PlannerInput, { moves }: Plan): Int32Array {
  const owner = input.owner.slice();
  for (const { topic, to } of moves) owner[topic] = to;
  return owner;
}

export interface Compared extends Outcome {
  readonly plainMoves: number;
  readonly plainMilliseconds: number;
}

/** The planner and the plain one, on the published workload. */
export function measureSize({ brokers, topics, width }: Size): Compared {
  const input = skewedCluster(brokers, topics, width, PUBLISHED_SEED);
  const outcome = measurePlan(input);
  const plain = timed(() => referencePlan(input));
  return { ...outcome, plainMoves: plain.result.moves, plainMilliseconds: plain.milliseconds };
}

export interface Seeds extends Size {
  /** Moves over the bound, one per seed; infinite where the band was not reached. */
  readonly ratios: readonly number[];
}

export function measureSeeds(size: Size, firstSeed: number, seeds: number): Seeds {
  const ratios = Array.from({ length: seeds }, (_, index) => {
    const { moves, bound, inBand } = measurePlan(
      skewedCluster(size.brokers, size.topics, size.width, firstSeed + index),
    );
    return inBand ? moves / bound : Number.POSITIVE_INFINITY;
  });
  return { ...size, ratios };
}

export interface Growth {
  readonly points: readonly { readonly topics: number; readonly milliseconds: number }[];
  /** How much longer the last takes than the first, over what n log n would take: at most 1 = no faster than n log n. */
  readonly ratio: number;
}

/** The best of three runs each, so that neither the compiler nor a neighbour on the machine counts; 100 topics a broker. */
export function measureGrowth(topics: readonly number[]): Growth {
  const points = topics.map((count) => {
    const input = skewedCluster(count / 100, count, 4, PUBLISHED_SEED);
    return { topics: count, milliseconds: Math.min(...[1, 2, 3].map(() => timed(() => plan(input)).milliseconds)) };
  });
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) throw new Error('growth needs at least one size');
  const nLogN = (last.topics * Math.log(last.topics)) / (first.topics * Math.log(first.topics));
  return { points, ratio: last.milliseconds / first.milliseconds / nLogN };
}

export interface RuleOutcome {
  readonly name: string;
  readonly moves: number;
  readonly minutes: number;
  readonly movedPercent: number;
  readonly max: number;
  readonly min: number;
}

/** Pulsar's rules, as models, on the published workload: worst of the resources that they see. */
export function measureRules(brokers: number): readonly RuleOutcome[] {
  const input = skewedCluster(brokers, 100 * brokers, 4, PUBLISHED_SEED);
  return RULES.map((rule) => {
    const { shedder, placement } = rule.create(brokers);
    const { moves, minutes, movedShare: share, max, min } = runPulsar(input, shedder, placement);
    return { name: `Pulsar: ${rule.name}`, moves, minutes, movedPercent: 100 * share, max, min };
  });
}

export interface WorkloadOutcome {
  readonly name: string;
  readonly inBand: number;
  readonly seeds: number;
  readonly moves: number;
  readonly bound: number;
  readonly movedPercent: number;
  readonly milliseconds: number;
  /** Largest max/mean over its bound or the band's edge, whichever is higher; 1 = nothing better is possible or needed. */
  readonly overBound: number;
  readonly bindingConstraint: string;
}

/** Medians over the seeds, and the worst balance. */
export function measureWorkloads(firstSeed: number, seeds: number): readonly WorkloadOutcome[] {
  return WORKLOADS.map(({ name, create }) => {
    const runs = Array.from({ length: seeds }, (_, index) => {
      const input = create(firstSeed + index);
      const { result, milliseconds } = timed(() => plan(input));
      const over = result.after.map(
        ({ maxOverMean }, r) => maxOverMean / Math.max(1.09, result.bounds.balance[r] ?? 1),
      );
      return { result, milliseconds, over: Math.max(...over), moved: movedShare(input, ownersAfter(input, result)) };
    });
    return {
      name,
      seeds,
      inBand: runs.filter(({ result }) => result.inBand).length,
      moves: median(runs.map(({ result }) => result.moves.length)),
      bound: median(runs.map(({ result }) => result.bounds.moves)),
      movedPercent: 100 * median(runs.map(({ moved }) => moved)),
      milliseconds: median(runs.map((run) => run.milliseconds)),
      overBound: Math.max(...runs.map(({ over }) => over)),
      bindingConstraint: runs[0]?.result.bindingConstraint ?? '',
    };
  });
}

export interface Week {
  /** Moves of each hour; the first brings the cluster into the band. */
  readonly moves: readonly number[];
  readonly hoursInBand: number;
  readonly topics: number;
}

/** A plan an hour for a week of waves, bursts, new topics and noise, without hysteresis: the most that moves could be. */
export function measureWeek(seed: number): Week {
  const start = messagingCluster(
    { brokers: 30, topics: 3_000, width: 4, tail: { kind: 'Zipf', exponent: 0.6 }, cap: 0.1, emptyBrokers: 3 },
    seed,
  );
  let owner = start.owner;
  let hoursInBand = 0;
  const moves: number[] = [];
  for (const loads of hoursOf(start, 7 * 24, seed)) {
    const input = { ...start, loads: loads.map((load) => Math.max(0, load)), owner };
    const made = plan(input);
    owner = ownersAfter(input, made);
    moves.push(made.moves.length);
    hoursInBand += Number(made.inBand);
  }
  return { moves, hoursInBand, topics: start.topics.length };
}
