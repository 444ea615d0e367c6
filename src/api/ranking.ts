/** The part of a RebalancePolicy that says how brokers are ranked for topics without an owner. */
import { z } from 'zod';
import { rules } from './fields.ts';
import { type LoadResource, loadResources } from './load-resources.ts';

export const rankingAlgorithms = [
  'DanubeFair',
  'DanubeBalanced',
  'DanubeWeightedLoad',
  'Weighted',
  'Bottleneck',
] as const;

export type RankingAlgorithm = (typeof rankingAlgorithms)[number];

export const rankingDefaults = {
  algorithm: 'DanubeBalanced',
  /** Of algorithm Weighted. */
  weights: { cpu: 35, memory: 15, networkIn: 15, networkOut: 15, diskIO: 5, topics: 5, connections: 10 },
} as const satisfies { readonly algorithm: RankingAlgorithm; readonly weights: RankingWeights };

/** Only what they are in relation to each other counts; a resource without one does not count. */
export type RankingWeights = Readonly<Partial<Record<LoadResource, number>>>;

export interface EffectiveRanking {
  readonly algorithm: RankingAlgorithm;
  /** Of algorithm Weighted alone. */
  readonly weights?: RankingWeights;
}

const weightNames: Readonly<Record<LoadResource, string>> = {
  cpu: 'CPU',
  memory: 'memory',
  networkIn: 'bytes received',
  networkOut: 'bytes sent',
  diskIO: 'bytes read from and written to disk',
  topics: 'the number of topics',
  connections: 'the number of producers and consumers',
  backlog: 'messages not yet consumed',
};

const weight = z.int().min(0).max(100);

function weightsObject(absent: string) {
  const field = (resource: LoadResource) =>
    weight.meta({ description: `0 to 100. Weight of ${weightNames[resource]}. ${absent}` }).exactOptional();
  return z.object({
    cpu: field('cpu'),
    memory: field('memory'),
    networkIn: field('networkIn'),
    networkOut: field('networkOut'),
    diskIO: field('diskIO'),
    topics: field('topics'),
    connections: field('connections'),
    backlog: field('backlog'),
  });
}

const positiveAdvice = 'all weights are 0: write one above 0, for example cpu: 1';
const unusedAdvice = 'only algorithm Weighted has weights: leave them out, or write algorithm: Weighted';

const weights = weightsObject('Absent means 0.')
  .refine((given) => loadResources.some((resource) => (given[resource] ?? 0) > 0), { error: positiveAdvice })
  .meta(
    rules(
      'How much each resource counts in algorithm Weighted. Only what the weights are in relation to each other matters; a resource that is ' +
        'unknown or idle in the cluster leaves its weight to the others. Absent means ' +
        `${Object.entries(rankingDefaults.weights)
          .map(([resource, value]) => `${resource} ${value}`)
          .join(', ')}.`,
      {
        rule: loadResources.map((resource) => `(has(self.${resource}) && self.${resource} > 0)`).join(' || '),
        message: positiveAdvice,
      },
    ),
  );

export const ranking = z
  .object({
    algorithm: z.enum(rankingAlgorithms).meta({
      description:
        "How brokers are scored for a topic without an owner; the lowest score is the best. The first three are the brokers' own. " +
        'DanubeFair: number of topics. DanubeBalanced: 30 % load of the topics, 35 % CPU, 35 % memory; number of topics where ' +
        'CPU and memory are unknown. DanubeWeightedLoad: CPU, memory, throughput, network, disk and topics, each relative to the ' +
        'busiest broker, with most weight on what is scarcest. Weighted: each resource relative to its mean, by weights. Bottleneck: ' +
        'the resource that is furthest above its mean. In the last two 100 is the mean.',
    }),
    weights: weights.exactOptional(),
  })
  .refine(({ algorithm, weights: given }) => given === undefined || algorithm === 'Weighted', { error: unusedAdvice })
  .meta(
    rules(`How brokers are ranked. Absent means algorithm ${rankingDefaults.algorithm}.`, {
      rule: "!has(self.weights) || self.algorithm == 'Weighted'",
      message: unusedAdvice,
    }),
  );

/** What `status.effective.ranking` shows. */
export const effectiveRankingStatus = z
  .object({
    algorithm: z.enum(rankingAlgorithms).meta({ description: 'The algorithm in use.' }),
    weights: weightsObject('Absent means that the resource does not count.')
      .meta({ description: 'The weights in use. Absent means that the algorithm has none.' })
      .exactOptional(),
  })
  .meta({ description: 'Resolved spec.ranking.' });

/** Fills in what the block leaves out. */
export function effectiveRanking(spec: z.infer<typeof ranking> | undefined): EffectiveRanking {
  const { algorithm, weights: given } = spec ?? rankingDefaults;
  return algorithm === 'Weighted' ? { algorithm, weights: given ?? rankingDefaults.weights } : { algorithm };
}
