/**
 * Danube's own rebalancer (danube-broker 0.15, load_manager/rebalancing.rs and rankings.rs) as a model of its published rules: when the
 * coefficient of variation of one score is above a threshold, one topic a cycle goes from the most to the least loaded broker; at most
 * ten an hour. It sees a scalar, so it cannot hold a band on each resource.
 */
import { balanceFigures, brokerLoads, loadsAfter } from '../../src/core/planner/figures.ts';
import type { Move, PlannerInput } from '../../src/core/planner/input.ts';

export interface RebalancerRun {
  readonly moves: number;
  /** At its limit of ten moves an hour. */
  readonly hours: number;
  readonly worstMaxOverMean: number;
  readonly worstMinOverMean: number;
}

const MOVES_PER_HOUR = 10;

/** Runs cycle after cycle until its trigger is quiet, nothing helps, or `maxMoves`. `threshold` 0.2 is its most eager setting. */
export function runDanubeRebalancer(input: PlannerInput, threshold: number, maxMoves: number): RebalancerRun {
  const width = input.resources.length;
  const owner = input.owner.slice();
  const before = brokerLoads(input);
  const moves: Move[] = [];
  const score = new Float64Array(input.brokers.length);
  for (let at = 0; at < before.length; at++) {
    const broker = Math.floor(at / width);
    score[broker] = (score[broker] as number) + (before[at] as number) / (input.capacity[at] as number) / width;
  }
  const size = (topic: number, broker: number): number => {
    let sum = 0;
    for (let r = 0; r < width; r++)
      sum += (input.loads[topic * width + r] as number) / (input.capacity[broker * width + r] as number);
    return sum / width;
  };

  while (moves.length < maxMoves) {
    const mean = score.reduce((a, b) => a + b, 0) / score.length;
    const deviation = Math.sqrt(score.reduce((sum, value) => sum + (value - mean) ** 2, 0) / score.length);
    if (deviation / mean < threshold) break;
    const from = score.indexOf(Math.max(...score));
    const to = score.indexOf(Math.min(...score));
    let topic = -1;
    for (let other = 0; other < owner.length; other++) {
      if (owner[other] !== from) continue;
      if (topic < 0 || size(other, from) > size(topic, from)) topic = other;
    }
    if (topic < 0) break;
    score[from] = (score[from] as number) - size(topic, from);
    score[to] = (score[to] as number) + size(topic, to);
    owner[topic] = to;
    moves.push({ topic, from, to, resource: -1, reason: 'Relieve' });
  }

  const figures = balanceFigures(input, loadsAfter(input, before, moves));
  return {
    moves: moves.length,
    hours: moves.length / MOVES_PER_HOUR,
    worstMaxOverMean: Math.max(...figures.map(({ maxOverMean }) => maxOverMean)),
    worstMinOverMean: Math.min(...figures.map(({ minOverMean }) => minOverMean)),
  };
}
