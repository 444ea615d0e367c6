/** Pulsar's balancing minute by minute, with perfect and immediate load data. */
import { balanceFigures, brokerLoads } from '../../../src/core/planner/figures.ts';
import type { PlannerInput } from '../../../src/core/planner/input.ts';
import { createPulsarCluster, type Placement, type Shedder, type Unload } from './cluster.ts';

export interface PulsarRun {
  readonly moves: number;
  /** The last minute in which something moved. */
  readonly minutes: number;
  /** Whether it came to rest before the time ran out. */
  readonly settled: boolean;
  /** Of the topics that moved, their load in networkOut as a share of all. */
  readonly movedShare: number;
  /** Worst over the resources that Pulsar sees, of the mean. */
  readonly max: number;
  readonly min: number;
  /** Worst max/mean of all resources. */
  readonly maxOfAll: number;
}

/** So long without a move, it rests: longer than the grace period of bundles. */
const QUIET_MINUTES = 45;
const MOST_MINUTES = 240;

export function runPulsar(input: PlannerInput, shedder: Shedder, placement: Placement): PulsarRun {
  const cluster = createPulsarCluster(input);
  let moves = 0;
  let minutes = 0;
  for (cluster.minute = 1; cluster.minute <= MOST_MINUTES; cluster.minute++) {
    const unloads = shedder.shed(cluster);
    placement.refresh(cluster);
    const placed = unloads.map(({ bundle, to }: Unload) => ({ bundle, to: to ?? placement.place(bundle) }));
    for (const { bundle, to } of placed) cluster.move(bundle, to);
    moves += placed.length;
    if (placed.length > 0) minutes = cluster.minute;
    if (cluster.minute - minutes >= QUIET_MINUTES) break;
  }
  const owner = cluster.owners();
  const figures = balanceFigures(input, brokerLoads({ ...input, owner }));
  const seen = figures.filter((_, resource) =>
    ['cpu', 'networkIn', 'networkOut'].includes(input.resources[resource] ?? ''),
  );
  return {
    moves,
    minutes,
    settled: cluster.minute - minutes >= QUIET_MINUTES,
    movedShare: movedShare(input, owner),
    max: Math.max(...seen.map(({ maxOverMean }) => maxOverMean)),
    min: Math.min(...seen.map(({ minOverMean }) => minOverMean)),
    maxOfAll: Math.max(...figures.map(({ maxOverMean }) => maxOverMean)),
  };
}

/** Load of the topics that ended elsewhere, as a share of all load; the mean over resources. */
export function movedShare(input: PlannerInput, owner: Int32Array): number {
  const width = input.resources.length;
  const moved = new Float64Array(width);
  const all = new Float64Array(width);
  for (let at = 0; at < input.loads.length; at++) {
    const topic = Math.floor(at / width);
    const load = input.loads[at] as number;
    all[at % width] = (all[at % width] as number) + load;
    if (owner[topic] !== input.owner[topic]) moved[at % width] = (moved[at % width] as number) + load;
  }
  return moved.reduce((sum, load, r) => sum + load / (all[r] as number), 0) / width;
}
