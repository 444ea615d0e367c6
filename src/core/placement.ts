/** Where a topic without an owner goes: the least loaded broker by the policy's ranking, counting what was just placed. */
import type { RankingAlgorithm } from '../api/rebalance-policy.ts';
import type { BrokerFacts } from './brokers.ts';
import { type RankingInput, type Score, scoreBrokers } from './ranking.ts';
import type { Snapshot } from './snapshot.ts';

export interface Placement {
  /**
   * The least loaded broker that takes assignments and is not in `avoid`; undefined when there is none. The topic counts
   * for it from then on, so that a burst of topics does not end on one broker.
   */
  place(avoid: ReadonlySet<string>): string | undefined;
}

export function createPlacement(
  snapshot: Snapshot,
  brokers: ReadonlyMap<string, BrokerFacts>,
  algorithm: RankingAlgorithm,
): Placement {
  const candidates = [...brokers.values()]
    .filter((broker) => broker.accepting)
    .map((broker) => rankingInput(snapshot, broker));

  return {
    place(avoid) {
      // The best of all, without ranking all: there may be ten thousand topics to place on a thousand brokers.
      const scores = scoreBrokers(algorithm, candidates);
      let best = -1;
      for (const [index, candidate] of candidates.entries()) {
        if (avoid.has(candidate.broker)) continue;
        if (best === -1 || compareRanks(candidates, scores, index, best) < 0) best = index;
      }
      const chosen = candidates[best];
      if (chosen === undefined) return undefined;
      candidates[best] = { ...chosen, topicCount: chosen.topicCount + 1 };
      return chosen.broker;
    },
  };
}

/** Lower scores first; equal scores by topic count, then by id, so that the order is always the same. */
function compareRanks(inputs: readonly RankingInput[], scores: readonly Score[], a: number, b: number): number {
  const [left, right] = [inputs[a], inputs[b]];
  if (left === undefined || right === undefined) return 0;
  return (
    (scores[a]?.score ?? 0) - (scores[b]?.score ?? 0) ||
    left.topicCount - right.topicCount ||
    (left.broker < right.broker ? -1 : 1)
  );
}

export interface Rank {
  readonly broker: string;
  readonly score: number;
  /** From 1, the least loaded. */
  readonly rank: number;
}

/** Least loaded first. */
export function rankBrokers(algorithm: RankingAlgorithm, inputs: readonly RankingInput[]): readonly Rank[] {
  const scores = scoreBrokers(algorithm, inputs);
  return [...inputs.keys()]
    .sort((a, b) => compareRanks(inputs, scores, a, b))
    .flatMap((at, index) => {
      const score = scores[at];
      return score === undefined ? [] : [{ ...score, rank: index + 1 }];
    });
}

/**
 * Topic counts from the assignments, which are always fresh; rates from the broker's report; CPU and memory from the
 * agent alone, since what brokers say of themselves on Kubernetes means nothing (contract M11). Unknown counts as 0.
 */
export function rankingInput(snapshot: Snapshot, broker: BrokerFacts): RankingInput {
  const report = snapshot.metadata.reports.get(broker.id);
  const agent = broker.pod === undefined ? undefined : snapshot.agents.get(broker.pod.uid);
  const megabytesPerSecond = (report?.bytesPerSecond ?? 0) / 1e6;
  return {
    broker: broker.id,
    topicCount: snapshot.metadata.topicsOf.get(broker.id)?.size ?? 0,
    megabytesPerSecond,
    connections: report?.connections ?? 0,
    backlogMessages: report?.backlogMessages ?? 0,
    cpuPercent: percent(agent?.cpuCores, agent?.cpuLimitCores),
    memoryPercent: percent(agent?.memoryBytes, agent?.memoryLimitBytes),
    diskIo: 0,
    networkIo: megabytesPerSecond,
    throughput: megabytesPerSecond,
  };
}

function percent(used: number | null | undefined, limit: number | null | undefined): number {
  return used == null || limit == null || limit <= 0 ? 0 : (100 * used) / limit;
}
