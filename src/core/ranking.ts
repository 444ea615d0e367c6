/**
 * How brokers are scored; lower is less loaded. Three ways are the brokers' own, exactly as Danube 0.7.3 computes them (contract 4.2;
 * source: the brokers' load manager; tested against 300 clusters ranked by the real functions). Two are ours: they compare each
 * resource with its mean over the brokers, so that units do not matter, and look at all that is known.
 */
import type { LoadResource } from '../api/load-resources.ts';
import type { EffectiveRanking, RankingWeights } from '../api/ranking.ts';
import { floors } from './load-model/resources.ts';

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
  /** Load / (mean × capacity) where the load model knows it; our own two go by that. Absent: as far as the figures above tell. */
  readonly levels?: Levels;
  /** The highest level within the band. Absent: there is none. */
  readonly highestLevel?: number;
}

export type Levels = Readonly<Partial<Record<LoadResource, number>>>;

/** Whatever is placed on such a broker would have to leave it again. */
export function isAboveBand({ levels = {}, highestLevel = Number.POSITIVE_INFINITY }: RankingInput): boolean {
  return Object.values(levels).some((level) => level > highestLevel);
}

export interface Score {
  readonly broker: string;
  readonly score: number;
}

/** Scores in the order of the input. */
export function scoreBrokers(ranking: EffectiveRanking, brokers: readonly RankingInput[]): readonly Score[] {
  const scorer = createScorer(ranking, brokers);
  return brokers.map((broker) => ({ broker: broker.broker, score: scorer.score(broker) }));
}

/** Scores brokers of one cluster, one by one: what depends on all of them is fixed when it is made. */
export interface Scorer {
  score(broker: RankingInput): number;
  /** The broker as it would be with one topic more. */
  withTopic(broker: RankingInput): RankingInput;
  /** Whether the scores of the others still hold with this broker as it is now. */
  isFitting(broker: RankingInput): boolean;
}

/** What a BrokerLoad can hold exactly. A figure beyond all measure must not keep its status from being written. */
const MAX_SCORE = 1e15;

export function createScorer(ranking: EffectiveRanking, brokers: readonly RankingInput[]): Scorer {
  const scorer = scorerOf(ranking, brokers);
  return { ...scorer, score: (broker) => Math.min(scorer.score(broker), MAX_SCORE) };
}

function scorerOf(ranking: EffectiveRanking, brokers: readonly RankingInput[]): Scorer {
  const topics = brokers.reduce((sum, { topicCount }) => sum + topicCount, 0);
  // Nobody knows what a new topic will cost: as much as the others do. So a burst of them does not end on one broker.
  const level = topics > 0 ? brokers.length / topics : 1;
  const withTopic = (broker: RankingInput) => ({
    ...broker,
    topicCount: broker.topicCount + 1,
    ...(broker.levels !== undefined && { levels: raised(broker.levels, level) }),
  });
  switch (ranking.algorithm) {
    case 'DanubeFair':
      return { score: ({ topicCount }) => topicCount, withTopic, isFitting: () => true };
    case 'DanubeBalanced': {
      const anyUsage = brokers.some((broker) => broker.cpuPercent > 0 || broker.memoryPercent > 0);
      return { score: (broker) => scoreBalanced(broker, anyUsage), withTopic, isFitting: () => true };
    }
    case 'DanubeWeightedLoad': {
      const maxima = maximaOf(brokers);
      return {
        score: (broker) => scoreWeightedLoad(broker, maxima),
        withTopic,
        isFitting: (broker) => weightedTopicLoad(broker) <= maxima.topicLoad,
      };
    }
    case 'Weighted':
    case 'Bottleneck': {
      const means = meansOf(brokers);
      const { weights = {} } = ranking;
      const combine = ranking.algorithm === 'Bottleneck' ? highest : (levels: Levels) => weightedMean(levels, weights);
      return {
        // 100 is a broker at the mean of everything that counts.
        score: (broker) => Math.round(100 * combine(levelsOf(broker, means))),
        withTopic: (broker) => withTopic({ ...broker, levels: levelsOf(broker, means) }),
        isFitting: () => true,
      };
    }
  }
}

function raised(levels: Levels, by: number): Levels {
  return Object.fromEntries(entriesOf(levels).map(([resource, level]) => [resource, level + by]));
}

function highest(levels: Levels): number {
  return Math.max(0, ...Object.values(levels));
}

function weightedMean(levels: Levels, weights: RankingWeights): number {
  let sum = 0;
  let total = 0;
  for (const [resource, level] of entriesOf(levels)) {
    // What is not known of a cluster, or idle in it, leaves its weight to the others.
    const weight = weights[resource] ?? 0;
    sum += weight * level;
    total += weight;
  }
  return total > 0 ? sum / total : (levels.topics ?? 0);
}

function entriesOf(levels: Levels): readonly (readonly [LoadResource, number])[] {
  return Object.entries(levels) as [LoadResource, number][];
}

const MEGABYTE = 1e6;

/** What is known of a broker besides its levels; in units whose mean has a floor. */
function figuresOf(broker: RankingInput): Readonly<Record<Exclude<LoadResource, 'networkOut'>, number>> {
  return {
    cpu: broker.cpuPercent / 100,
    memory: broker.memoryPercent / 100,
    networkIn: broker.networkIo * MEGABYTE,
    diskIO: broker.diskIo,
    topics: broker.topicCount,
    connections: broker.connections,
    backlog: broker.backlogMessages,
  };
}

type Means = Readonly<Partial<ReturnType<typeof figuresOf>>>;

/** Of the resources that are in use: small differences are large shares of little. Topics always count. */
function meansOf(brokers: readonly RankingInput[]): Means {
  const means: Partial<Record<keyof Means, number>> = {};
  const all = brokers.map(figuresOf);
  for (const resource of ['cpu', 'memory', 'networkIn', 'diskIO', 'topics', 'connections', 'backlog'] as const) {
    // In one order: rounding must not make the ranks depend on the order of the brokers.
    const values = all.map((figures) => figures[resource]).sort((a, b) => a - b);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const { share, perBroker = 0 } = floors[resource];
    if (mean > 0 && (resource === 'topics' || mean >= (share ?? perBroker))) means[resource] = mean;
  }
  return means;
}

function levelsOf(broker: RankingInput, means: Means): Levels {
  if (broker.levels !== undefined) return broker.levels;
  const figures = figuresOf(broker);
  return Object.fromEntries(
    Object.entries(means).map(([resource, mean]) => [resource, figures[resource as keyof Means] / mean]),
  );
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

function scoreBalanced(broker: RankingInput, anyUsage: boolean): number {
  if (!anyUsage) return broker.topicCount;
  return Math.trunc(0.3 * weightedTopicLoad(broker) + 0.35 * broker.cpuPercent + 0.35 * broker.memoryPercent);
}

interface Maxima {
  readonly cpu: number;
  readonly memory: number;
  readonly disk: number;
  readonly network: number;
  readonly throughput: number;
  readonly topicLoad: number;
}

function maximaOf(brokers: readonly RankingInput[]): Maxima {
  const max = (of: (broker: RankingInput) => number) =>
    brokers.reduce((highest, broker) => Math.max(highest, of(broker)), 1);
  return {
    cpu: max((broker) => broker.cpuPercent),
    memory: max((broker) => broker.memoryPercent),
    disk: max((broker) => broker.diskIo),
    network: max((broker) => broker.networkIo),
    throughput: max((broker) => broker.throughput),
    topicLoad: max(weightedTopicLoad),
  };
}

function scoreWeightedLoad(broker: RankingInput, maxima: Maxima): number {
  const cpu = broker.cpuPercent / maxima.cpu;
  const memory = broker.memoryPercent / maxima.memory;
  const disk = broker.diskIo / maxima.disk;
  const network = broker.networkIo / maxima.network;
  const throughput = broker.throughput / maxima.throughput;
  const topics = weightedTopicLoad(broker) / maxima.topicLoad;
  const highest = Math.max(cpu, memory, disk, network, throughput, topics);
  return Math.trunc(100 * weightedShare({ cpu, memory, network, throughput, topics, highest }));
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
