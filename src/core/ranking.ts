/**
 * The brokers' three rankings, exactly as Danube 0.7.3 computes them (contract 4.2): a score per broker, lower is less
 * loaded. Source: the brokers' load manager; tested against 300 clusters ranked by the real functions.
 */
import type { RankingAlgorithm } from '../api/rebalance-policy.ts';

export interface RankingInput {
  readonly broker: string;
  readonly topicCount: number;
  /** Sums over the broker's topics. */
  readonly megabytesPerSecond: number;
  readonly connections: number;
  readonly backlogMessages: number;
  /** Of the broker's limit. */
  readonly cpuPercent: number;
  readonly memoryPercent: number;
  /** Any unit: only the share of the cluster's maximum counts. */
  readonly diskIo: number;
  readonly networkIo: number;
  /** MB/s in, as the broker reports it for all its topics. */
  readonly throughput: number;
}

export interface Score {
  readonly broker: string;
  readonly score: number;
}

/** Scores in the order of the input. */
export function scoreBrokers(algorithm: RankingAlgorithm, brokers: readonly RankingInput[]): readonly Score[] {
  switch (algorithm) {
    case 'DanubeFair':
      return brokers.map((broker) => ({ broker: broker.broker, score: broker.topicCount }));
    case 'DanubeBalanced':
      return scoreBalanced(brokers);
    case 'DanubeWeightedLoad':
      return scoreWeightedLoad(brokers);
  }
}

function weightedTopicLoad(broker: RankingInput): number {
  if (broker.topicCount === 0) return 0;
  return (
    0.2 * broker.topicCount +
    0.3 * broker.megabytesPerSecond +
    0.3 * broker.connections +
    0.2 * (broker.backlogMessages / 10_000)
  );
}

function scoreBalanced(brokers: readonly RankingInput[]): readonly Score[] {
  const anyUsage = brokers.some((broker) => broker.cpuPercent > 0 || broker.memoryPercent > 0);
  return brokers.map((broker) => ({
    broker: broker.broker,
    score: anyUsage
      ? Math.trunc(0.3 * weightedTopicLoad(broker) + 0.35 * broker.cpuPercent + 0.35 * broker.memoryPercent)
      : broker.topicCount,
  }));
}

function scoreWeightedLoad(brokers: readonly RankingInput[]): readonly Score[] {
  const topicLoads = brokers.map(weightedTopicLoad);
  const max = (values: readonly number[]) => values.reduce((highest, value) => Math.max(highest, value), 1);
  const maxCpu = max(brokers.map((broker) => broker.cpuPercent));
  const maxMemory = max(brokers.map((broker) => broker.memoryPercent));
  const maxDisk = max(brokers.map((broker) => broker.diskIo));
  const maxNetwork = max(brokers.map((broker) => broker.networkIo));
  const maxThroughput = max(brokers.map((broker) => broker.throughput));
  const maxTopicLoad = max(topicLoads);
  return brokers.map((broker, index) => {
    const cpu = broker.cpuPercent / maxCpu;
    const memory = broker.memoryPercent / maxMemory;
    const disk = broker.diskIo / maxDisk;
    const network = broker.networkIo / maxNetwork;
    const throughput = broker.throughput / maxThroughput;
    const topics = (topicLoads[index] ?? 0) / maxTopicLoad;
    const highest = Math.max(cpu, memory, disk, network, throughput, topics);
    return {
      broker: broker.broker,
      score: Math.trunc(100 * weightedShare({ cpu, memory, network, throughput, topics, highest })),
    };
  });
}

interface Shares {
  readonly cpu: number;
  readonly memory: number;
  readonly network: number;
  readonly throughput: number;
  readonly topics: number;
  readonly highest: number;
}

/** Above 0.7 the highest share decides which weights apply; the order of the questions is the brokers'. */
function weightedShare({ cpu, memory, network, throughput, topics, highest }: Shares): number {
  if (highest <= 0.7) return 0.25 * topics + 0.25 * cpu + 0.25 * memory + 0.15 * throughput + 0.1 * network;
  if (cpu === highest) return 0.5 * cpu + 0.2 * memory + 0.15 * throughput + 0.15 * topics;
  if (memory === highest) return 0.5 * memory + 0.2 * cpu + 0.15 * throughput + 0.15 * topics;
  if (throughput === highest) return 0.5 * throughput + 0.2 * network + 0.15 * cpu + 0.15 * memory;
  if (network === highest) return 0.5 * network + 0.2 * throughput + 0.15 * cpu + 0.15 * memory;
  return 0.5 * topics + 0.2 * cpu + 0.2 * memory + 0.1 * throughput;
}
