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

const perSecond = (what: string) =>
  z
    .number()
    .min(0)
    .max(1e15)
    .meta({ description: `${what} Absent means unknown.` })
    .exactOptional();

const percentOfTime = (what: string) =>
  z
    .number()
    .min(0)
    .max(100)
    .meta({ description: `${what} Absent means unknown.` })
    .exactOptional();

const source = (of: string) =>
  z
    .enum(['cgroup-v1', 'cgroup-v2', 'proc'])
    .meta({ description: `Where ${of} comes from. Absent means that it is unknown.` })
    .exactOptional();

const usage = z
  .object({
    cpuCores: cpuCores
      .meta({
        description:
          'CPU cores in use, averaged between the last two readings. Absent until there are two readings of the same process.',
      })
      .exactOptional(),
    cpuThrottledPercent: percentOfTime('Share of the scheduling periods in which the CPU limit held the broker up.'),
    memoryBytes: memoryBytes
      .meta({ description: 'Bytes of memory in use that the kernel could not reclaim at once. Absent means unknown.' })
      .exactOptional(),
    diskReadBytesPerSecond: perSecond('Bytes per second read from disks.'),
    diskWriteBytesPerSecond: perSecond('Bytes per second written to disks.'),
    networkReceivedBytesPerSecond: perSecond('Bytes per second received by the whole Pod.'),
    networkSentBytesPerSecond: perSecond('Bytes per second sent by the whole Pod.'),
    openFiles: count('Files and connections that the broker has open. Absent means unknown.').exactOptional(),
    sources: z
      .object({
        cpu: source('CPU'),
        memory: source('memory'),
        disk: source('disk traffic'),
        network: source('network traffic'),
        openFiles: source('the number of open files'),
      })
      .meta({
        description:
          'Where the figures come from: cgroup-v1, cgroup-v2 (the cgroup of the broker) or proc (the process of the broker, or the network of its Pod).',
      }),
    observedAt: time('When the operator got them.'),
  })
  .meta({
    description:
      'What the broker uses, as its agent measured it. Absent until an agent has answered, and while its figures cannot be true or its own.',
  });

const pressure = z
  .object({
    cpuPercent: percentOfTime('Share of time in which work waited for CPU.'),
    memoryPercent: percentOfTime('Share of time in which work waited for memory.'),
    diskPercent: percentOfTime('Share of time in which work waited for disks.'),
  })
  .meta({
    description: "How the broker suffers: the kernel's pressure stall information. Absent where the kernel has none.",
  });

const capacity = z
  .object({
    cpuCores: cpuCores
      .meta({ description: 'CPU cores that the broker may use. Absent means unlimited or unknown.' })
      .exactOptional(),
    memoryBytes: memoryBytes
      .meta({ description: 'Bytes of memory that the broker may use. Absent means unlimited or unknown.' })
      .exactOptional(),
    openFiles: count('Files and connections that the broker may have open. Absent means unknown.').exactOptional(),
  })
  .meta({ description: 'Limits of the broker. Absent means that no limit is known.' });

const rates = z
  .object({
    messagesInPerSecond: perSecond("Messages per second received from producers, from the broker's own load report."),
    bytesInPerSecond: perSecond("Bytes per second received from producers, from the broker's own load report."),
    messagesOutPerSecond: perSecond(
      'Messages per second delivered to consumers, as the agent read them from the broker.',
    ),
    bytesOutPerSecond: perSecond('Bytes per second delivered to consumers, as the agent read them from the broker.'),
  })
  .meta({ description: 'Traffic of the topics. Absent until the broker or its agent has reported.' });

const topTopics = z
  .array(
    z
      .object({
        topic: text(1024, 'Full name.'),
        cpuCores: cpuCores
          .meta({ description: "CPU cores by the topic's share of the broker's traffic. Absent means unknown." })
          .exactOptional(),
        bytesInPerSecond: perSecond('Bytes per second received from producers.'),
        bytesOutPerSecond: perSecond('Bytes per second delivered to consumers.'),
        lagMessages: count('Messages not yet consumed. Absent means unknown.').exactOptional(),
      })
      .meta({ description: 'One topic.' }),
  )
  .max(10)
  .meta({
    description:
      'The topics that cost the broker most, the costliest first, as of the last time that anything else here changed. ' +
      'Absent means that the agent reports no topics.',
  });

const display = z
  .object({
    cpu: text(32, 'Usage and limit in cores, for example 0.42/2. Absent means unknown.').exactOptional(),
    memory: text(32, 'Usage and limit, for example 312Mi/1Gi. Absent means unknown.').exactOptional(),
    in: text(32, 'Incoming traffic, for example 1.2MB/s. Absent means unknown.').exactOptional(),
    out: text(
      32,
      'Outgoing traffic, of the topics or else of the whole Pod, for example 1.2MB/s. Absent means unknown.',
    ).exactOptional(),
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
    pressure: pressure.exactOptional(),
    capacity: capacity.exactOptional(),
    rates: rates.exactOptional(),
    topTopics: topTopics.exactOptional(),
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
    { name: 'Out', type: 'string', jsonPath: '.status.display.out' },
    { name: 'Topics', type: 'integer', jsonPath: '.status.topics' },
    { name: 'Rank', type: 'integer', jsonPath: '.status.rank' },
    { name: 'Metrics', type: 'string', jsonPath: conditionPath('MetricsUsable', 'reason') },
    { name: 'Broker', type: 'string', jsonPath: '.status.brokerID', wide: true },
    { name: 'Policy', type: 'string', jsonPath: '.spec.policyName', wide: true },
    { name: 'Source', type: 'string', jsonPath: '.status.usage.sources.cpu', wide: true },
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
