/** Where a topic without an owner goes: the least loaded broker by the policy's ranking, counting what was just placed. */
import type { RankingAlgorithm } from '../api/rebalance-policy.ts';
import type { BrokerFacts } from './brokers.ts';
import { type RankingInput, scoreBrokers } from './ranking.ts';
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
  const placed = new Map<string, number>();

  return {
    place(avoid) {
      const inputs = candidates.map((input) => ({
        ...input,
        topicCount: input.topicCount + (placed.get(input.broker) ?? 0),
      }));
      const best = rankBrokers(algorithm, inputs).find(({ broker }) => !avoid.has(broker))?.broker;
      if (best !== undefined) placed.set(best, (placed.get(best) ?? 0) + 1);
      return best;
    },
  };
}

export interface Rank {
  readonly broker: string;
  readonly score: number;
  /** From 1, the least loaded. */
  readonly rank: number;
}

/** Least loaded first; equal scores by topic count, then by id, so that the order is always the same. */
export function rankBrokers(algorithm: RankingAlgorithm, inputs: readonly RankingInput[]): readonly Rank[] {
  const counts = new Map(inputs.map((input) => [input.broker, input.topicCount]));
  return [...scoreBrokers(algorithm, inputs)]
    .sort(
      (a, b) =>
        a.score - b.score ||
        (counts.get(a.broker) ?? 0) - (counts.get(b.broker) ?? 0) ||
        (a.broker < b.broker ? -1 : 1),
    )
    .map((score, index) => ({ ...score, rank: index + 1 }));
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
