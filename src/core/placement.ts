/** Where a topic without an owner goes: the least loaded broker by the policy's ranking, counting what was just placed. */
import type { RankingAlgorithm } from '../api/rebalance-policy.ts';
import { judgeAgent } from './agent-judgement.ts';
import type { BrokerFacts } from './brokers.ts';
import { type RankingInput, type Score, scoreBrokers } from './ranking.ts';
import type { BrokerPod, Snapshot } from './snapshot.ts';

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
  const accepting = [...brokers.values()].filter((broker) => broker.accepting);
  const candidates = [...rankingInputs(snapshot, accepting)];

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
 * agent alone, since what brokers say of themselves on Kubernetes means nothing (contract M11). A broker whose agent
 * cannot be used counts as the mean of the others: taken for idle it would get every new topic, taken for busy none.
 */
export function rankingInputs(snapshot: Snapshot, brokers: readonly BrokerFacts[]): readonly RankingInput[] {
  const usages = brokers.map(({ pod }) => percentagesOf(snapshot, pod));
  const usual = {
    cpu: meanOfKnown(usages.map(({ cpu }) => cpu)),
    memory: meanOfKnown(usages.map(({ memory }) => memory)),
  };
  return brokers.map(({ id }, index) => {
    const report = snapshot.metadata.reports.get(id);
    const megabytesPerSecond = (report?.bytesPerSecond ?? 0) / 1e6;
    return {
      broker: id,
      topicCount: snapshot.metadata.topicsOf.get(id)?.size ?? 0,
      megabytesPerSecond,
      connections: report?.connections ?? 0,
      backlogMessages: report?.backlogMessages ?? 0,
      cpuPercent: usages[index]?.cpu ?? usual.cpu,
      memoryPercent: usages[index]?.memory ?? usual.memory,
      diskIo: 0,
      networkIo: megabytesPerSecond,
      throughput: megabytesPerSecond,
    };
  });
}

interface Percentages {
  readonly cpu: number | undefined;
  readonly memory: number | undefined;
}

/** Of the limits, or of the node where there are none. */
function percentagesOf(snapshot: Snapshot, pod: BrokerPod | undefined): Percentages {
  const judgement = judgeAgent(pod && snapshot.agents.get(pod.uid), pod, snapshot.now);
  if (!judgement.usable) return { cpu: undefined, memory: undefined };
  const { cpu, memory, node } = judgement.sample;
  return {
    cpu: percent(cpu.averageCores ?? cpu.cores, cpu.limitCores ?? node.cores),
    memory: percent(memory.averageWorkingSetBytes ?? memory.workingSetBytes, memory.limitBytes ?? node.memoryBytes),
  };
}

function percent(used: number | null, limit: number | null): number | undefined {
  return used === null || limit === null || limit <= 0 ? undefined : (100 * used) / limit;
}

/** 0 if none is known: then only the other figures tell brokers apart. */
function meanOfKnown(values: readonly (number | undefined)[]): number {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? 0 : known.reduce((sum, value) => sum + value, 0) / known.length;
}
