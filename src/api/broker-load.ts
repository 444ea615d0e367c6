import { z } from 'zod';
import { conditions, count, neverReconciled, observedGeneration, rules, text, time, u64 } from './fields.ts';
import { apiGroup, type apiVersion, conditionPath, type ObjectMeta, type ResourceDefinition } from './resource.ts';

/** The label that names the policy on each of its BrokerLoads, for selectors. */
export const policyLabel = `${apiGroup}/policy`;

const spec = z
  .object({
    policyName: z
      .string()
      .min(1)
      .max(63)
      .meta(
        rules(
          'The RebalancePolicy of this namespace that the broker belongs to. Set when the object is made; it cannot change.',
          {
            rule: 'self == oldSelf',
            message:
              'policyName cannot change: leave it as it is; to give the broker to another policy change the brokerSelector of both policies',
          },
        ),
      ),
  })
  .meta({ description: 'Which broker cluster this broker belongs to. The operator writes it once.' });

const cpuCores = z.number().min(0).max(1_000_000);
const memoryBytes = z.int().min(0);

const usage = z
  .object({
    cpuCores: cpuCores
      .meta({
        description:
          'CPU cores in use, averaged between the last two readings. Absent until there are two readings of the same process.',
      })
      .exactOptional(),
    memoryBytes: memoryBytes
      .meta({ description: 'Bytes of memory in use that the kernel could not reclaim at once. Absent means unknown.' })
      .exactOptional(),
    source: z.enum(['cgroup-v1', 'cgroup-v2', 'proc']).meta({
      description:
        'Where the figures come from: cgroup-v1, cgroup-v2 (the cgroup of the broker) or proc (the broker process alone, where it has no cgroup of its own).',
    }),
    observedAt: time('When the agent read them.'),
  })
  .meta({
    description: 'What the broker uses, as its agent measured it. Absent means that no agent has ever answered.',
  });

const capacity = z
  .object({
    cpuCores: cpuCores
      .meta({ description: 'CPU cores that the broker may use. Absent means unlimited or unknown.' })
      .exactOptional(),
    memoryBytes: memoryBytes
      .meta({ description: 'Bytes of memory that the broker may use. Absent means unlimited or unknown.' })
      .exactOptional(),
  })
  .meta({ description: 'Limits of the broker. Absent means that neither limit is known.' });

const rates = z
  .object({
    messagesInPerSecond: z
      .number()
      .min(0)
      .max(1e15)
      .meta({ description: 'Messages per second received from producers. Absent means unknown.' })
      .exactOptional(),
    bytesInPerSecond: z
      .number()
      .min(0)
      .max(1e15)
      .meta({ description: 'Bytes per second received from producers. Absent means unknown.' })
      .exactOptional(),
  })
  .meta({ description: "Traffic, from the broker's own load report. Absent until the broker has written one." });

const display = z
  .object({
    cpu: text(32, 'Usage and limit in cores, for example 0.42/2. Absent means unknown.').exactOptional(),
    memory: text(32, 'Usage and limit, for example 312Mi/1Gi. Absent means unknown.').exactOptional(),
    in: text(32, 'Incoming traffic, for example 1.2MB/s. Absent means unknown.').exactOptional(),
  })
  .meta({
    description:
      'Texts for the columns of kubectl get; programs read usage, capacity and rates instead. Absent means that nothing is known.',
  });

const status = z
  .object({
    observedGeneration: observedGeneration.exactOptional(),
    conditions: conditions.exactOptional(),
    podUID: text(
      64,
      'The uid of the Pod that the broker runs in. Absent means that no such Pod is known.',
    ).exactOptional(),
    brokerID: u64(
      'The id of the broker process, a u64 that is new at each start. Absent means that the broker has never been registered.',
    ).exactOptional(),
    brokerURL: text(
      512,
      'The address under which the broker is registered. Absent means that the broker has never been registered.',
    ).exactOptional(),
    state: z
      .enum(['Active', 'Draining', 'Drained', 'Lost'])
      .meta({
        description:
          "Active: takes topics. Draining, Drained: as the broker's own state key says; it takes none. Lost: not registered. " +
          'Absent means that the broker has never been registered.',
      })
      .exactOptional(),
    usage: usage.exactOptional(),
    capacity: capacity.exactOptional(),
    rates: rates.exactOptional(),
    topics: count('Topics assigned to the broker. Absent until etcd was read.').exactOptional(),
    connections: count(
      'Producers and consumers connected to the broker. Absent until the broker has written a load report.',
    ).exactOptional(),
    score: count(
      'What the ranking algorithm of the policy gives the broker; lower is better. Only comparable within one policy. Absent while the broker is not ranked.',
    ).exactOptional(),
    rank: z
      .int()
      .min(1)
      .meta({
        description:
          'Place among the brokers of the policy; 1 gets the next topic. Absent while the broker is not ranked.',
      })
      .exactOptional(),
    display: display.exactOptional(),
  })
  .meta({ description: 'What the operator found. Absent means never looked at.', default: neverReconciled });

export const brokerLoadResource = {
  kind: 'BrokerLoad',
  plural: 'brokerloads',
  singular: 'brokerload',
  shortName: 'bload',
  category: 'danube',
  schema: z.object({ spec, status: status.exactOptional() }).meta({
    description:
      'BrokerLoad is what the operator knows of one broker: its state, what it uses, its topics and its rank. The operator makes it, ' +
      'named as the Pod of the broker, and it outlives restarts of the broker. It belongs to its RebalancePolicy and goes with it; ' +
      `the label ${policyLabel} names that policy.`,
  }),
  columns: [
    { name: 'State', type: 'string', jsonPath: '.status.state' },
    { name: 'CPU', type: 'string', jsonPath: '.status.display.cpu' },
    { name: 'Memory', type: 'string', jsonPath: '.status.display.memory' },
    { name: 'In', type: 'string', jsonPath: '.status.display.in' },
    { name: 'Topics', type: 'integer', jsonPath: '.status.topics' },
    { name: 'Rank', type: 'integer', jsonPath: '.status.rank' },
    { name: 'Metrics', type: 'string', jsonPath: conditionPath('MetricsUsable', 'reason') },
    { name: 'Broker', type: 'string', jsonPath: '.status.brokerID', wide: true },
    { name: 'Policy', type: 'string', jsonPath: '.spec.policyName', wide: true },
    { name: 'Source', type: 'string', jsonPath: '.status.usage.source', wide: true },
    { name: 'Score', type: 'integer', jsonPath: '.status.score', wide: true },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
} as const satisfies ResourceDefinition;

export type BrokerLoadSpec = z.infer<typeof spec>;
export type BrokerLoadStatus = z.infer<typeof status>;
export type BrokerState = NonNullable<BrokerLoadStatus['state']>;

export interface BrokerLoad {
  readonly apiVersion: typeof apiVersion;
  readonly kind: 'BrokerLoad';
  readonly metadata: ObjectMeta;
  readonly spec: BrokerLoadSpec;
  readonly status?: BrokerLoadStatus;
}
