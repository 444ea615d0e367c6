/**
 * A plan cut into waves: how much of it may run within an hour, and when. A plan is whole; limits and windows only say in which
 * portions it is carried out. It is cut only where it says that it may be, so every wave leaves the cluster no worse than the one
 * before, but for what hard rules ask for, and moves that only help together run together.
 */
import type { EffectiveRebalance } from '../../api/rebalance.ts';
import { brokerLoads } from '../planner/figures.ts';
import type { Plan, PlannerInput } from '../planner/input.ts';
import type { Calendar, Opening } from './windows.ts';

export interface Wave {
  /** Moves of the plan, from the first to before the last. */
  readonly from: number;
  readonly to: number;
  /** Seconds from now; undefined = no window is long enough, or none opens for years. */
  readonly startsAfterSeconds: number | undefined;
  /** Estimated: see `MOVE_SECONDS`. */
  readonly lastsSeconds: number;
  /** Undefined where no window is needed. */
  readonly window: string | undefined;
  /** Of the cluster's load: the resource of which most moves. */
  readonly movedPercent: number;
}

export type WaveLimits = Pick<
  EffectiveRebalance['limits'],
  'maxConcurrentMoves' | 'maxMovesPerHour' | 'maxMovedLoadPercentPerHour'
>;

export interface WaveInput {
  readonly input: PlannerInput;
  readonly plan: Plan;
  readonly limits: WaveLimits;
  readonly calendar: Calendar;
  readonly nowMs: number;
}

/** What a move is counted as: until a broker has let go of a topic, and its cursors are written, which takes it up to 10 s (contract M5). */
export const MOVE_SECONDS = 10;

const HOUR_SECONDS = 3600;

/**
 * Waves in the order of the plan, at most one an hour, each short enough for a window. A step that cannot be cut and is larger than what an hour allows is a wave of
 * its own, and the next one waits for as many hours as it took the budget of.
 */
export function cutIntoWaves({ input, plan, limits, calendar, nowMs }: WaveInput): readonly Wave[] {
  const waves: Wave[] = [];
  let earliestMs: number | undefined = nowMs;
  for (const { from, to, movedPercent } of portions(input, plan, limits, calendar)) {
    const lastsSeconds = Math.ceil((to - from) / limits.maxConcurrentMoves) * MOVE_SECONDS;
    const opening: Opening | undefined =
      earliestMs === undefined ? undefined : calendar.next(earliestMs, lastsSeconds * 1000);
    waves.push({
      from,
      to,
      startsAfterSeconds: opening === undefined ? undefined : Math.ceil((opening.fromMs - nowMs) / 1000),
      lastsSeconds,
      window: opening?.window,
      movedPercent,
    });
    const hours = Math.max(1, (to - from) / limits.maxMovesPerHour, movedPercent / limits.maxMovedLoadPercentPerHour);
    const paidSeconds = Math.max(Math.ceil(hours * HOUR_SECONDS), lastsSeconds);
    earliestMs = opening === undefined ? undefined : opening.fromMs + paidSeconds * 1000;
  }
  return waves;
}

/** From now until the last wave has ended; undefined if a wave never starts. */
export function durationSeconds(waves: readonly Wave[]): number | undefined {
  const last = waves.at(-1);
  if (last === undefined) return 0;
  return last.startsAfterSeconds === undefined ? undefined : last.startsAfterSeconds + last.lastsSeconds;
}

interface Portion {
  readonly from: number;
  readonly to: number;
  readonly movedPercent: number;
}

/** As many of the plan's steps as an hour allows and a window has room for, one after the other. */
function portions(input: PlannerInput, plan: Plan, limits: WaveLimits, { longestMs }: Calendar): readonly Portion[] {
  const found: Portion[] = [];
  const roomInWindow = limits.maxConcurrentMoves * Math.floor(longestMs / 1000 / MOVE_SECONDS);
  const mostMoves = Math.min(limits.maxMovesPerHour, roomInWindow);
  const movedPercent = createMovedPercent(input, plan);
  let from = 0;
  let to = 0;
  for (const cut of plan.cuts) {
    const isTooMuch = cut - from > mostMoves || movedPercent(from, cut) > limits.maxMovedLoadPercentPerHour + ROUNDING;
    if (isTooMuch && to > from) {
      found.push({ from, to, movedPercent: movedPercent(from, to) });
      from = to;
    }
    to = cut;
  }
  if (to > from) found.push({ from, to, movedPercent: movedPercent(from, to) });
  return found;
}

/** Sums of loads differ in their last digits. */
const ROUNDING = 1e-9;

/** The share of the cluster's load that the moves from one to before another carry, of the resource of which it is most. */
function createMovedPercent(input: PlannerInput, { moves }: Plan): (from: number, to: number) => number {
  const width = input.resources.length;
  const totals = new Float64Array(width);
  for (const [at, load] of brokerLoads(input).entries()) {
    totals[at % width] = (totals[at % width] as number) + load;
  }
  // Sums of the first n moves, row by row.
  const sums = new Float64Array((moves.length + 1) * width);
  for (const [index, { topic }] of moves.entries()) {
    for (let resource = 0, at = index * width; resource < width; resource++, at++) {
      sums[at + width] = (sums[at] as number) + (input.loads[topic * width + resource] as number);
    }
  }
  return (from, to) => {
    let most = 0;
    for (let resource = 0; resource < width; resource++) {
      const moved = (sums[to * width + resource] as number) - (sums[from * width + resource] as number);
      const total = totals[resource] as number;
      if (total > 0) most = Math.max(most, (100 * moved) / total);
    }
    return most;
  };
}
