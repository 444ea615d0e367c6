/**
 * Snapshots for tests, written as a person would tell them: brokers, Pods and topics. What follows from them (who owns what,
 * what has no owner, who is remembered where) is derived. Times are seconds of the test's clock, see `at`.
 */

import { exampleReport } from '../api/example-report.ts';
import type { RankingAlgorithm } from '../api/ranking.ts';
import type { PlacementSpec } from '../api/rebalance.ts';
import type { AgentFailure, AgentRecord, AgentSample, SeenSample } from './agent-record.ts';
import { createPlaces } from './places.ts';
import {
  type Balance,
  type BrokerContainer,
  type BrokerPod,
  type BrokerReport,
  type ContainerLimits,
  type Delivery,
  NO_OWNER,
  type RememberedBroker,
  type ReportedTopics,
  SEVERAL_OWNERS,
  type Snapshot,
  type TopicNumbers,
  type UnassignedMarker,
} from './snapshot.ts';

export const NAMESPACE = 'messaging';
const EPOCH_SECONDS = 1_795_000_000;

/** Epoch milliseconds of a second of the test's clock. */
export function at(seconds: number): number {
  return Math.round((EPOCH_SECONDS + seconds) * 1000);
}

/** The address under which a broker of that Pod registers. */
export function urlOf(pod: string): string {
  return `http://${pod}.danube.${NAMESPACE}.svc.cluster.local:6650`;
}

export interface BrokerParts {
  readonly id: string;
  /** Registers under the address of this Pod. */
  readonly pod?: string;
  readonly url?: string;
  /** Revision of the registration; false for one that is gone. Default: order of the list. */
  readonly registered?: number | false;
  readonly mode?: string;
  /** Second of the last report, false for none. Default 0. */
  readonly reportedAt?: number | false;
  /** Revision of the last report. Default: just after the registration, or 1. */
  readonly reportRevision?: number;
  readonly load?: Partial<Omit<BrokerReport, 'timestamp' | 'modRevision' | 'topics'>>;
  /** What its report says of topics, by name. Default nothing. */
  readonly topicLoads?: Readonly<Record<string, TopicLoadParts>>;
  /** false: reports as brokers of 0.6 do, which give no time. */
  readonly reportsTime?: boolean;
  /** Second in which its first report was seen. Default: long ago. */
  readonly reportSeenAt?: number | false;
  /** Default false: only the time since its report lets it accept. */
  readonly adminAnswered?: boolean;
  /** false: seen by nobody of us before it was gone. Default: from the Pod of that name in the snapshot. */
  readonly remembered?: Partial<RememberedBroker> | false;
  readonly deadSince?: number | undefined;
}

export interface TopicLoadParts {
  readonly messagesPerSecond?: number;
  readonly bytesPerSecond?: number;
  readonly producers?: number;
  readonly consumers?: number;
}

export interface PodParts extends Partial<Omit<BrokerPod, 'container'>> {
  readonly name: string;
  readonly container?: ContainerParts | undefined;
}

/** In seconds; fractions are cut off, as the API does. */
export interface ContainerParts {
  readonly restartCount?: number;
  readonly runningSince?: number;
  readonly lastFinishedAt?: number;
  readonly limits?: Partial<ContainerLimits>;
}

/** What the agent of a Pod said last; null is unknown. Default: it has proved the broker's cgroup and knows no figures. */
export interface AgentParts {
  /** Second in which the sample came. Default: now. */
  readonly seenAt?: number;
  readonly cpuCores?: number | null;
  readonly cpuLimitCores?: number | null;
  readonly memoryBytes?: number | null;
  readonly memoryLimitBytes?: number | null;
  /** What else it said. */
  readonly sample?: Partial<AgentSample>;
  /** What else is known of the sample. */
  readonly seen?: Partial<SeenSample>;
  readonly failure?: AgentFailure;
}

export interface TopicParts {
  readonly name: string;
  /** Default Reliable; undefined for a topic whose `delivery` is not written yet. */
  readonly delivery?: Delivery | undefined;
  /** Broker ids; the assignment's modRevision is `assignedAt`. */
  readonly owners?: readonly string[];
  readonly assignedAt?: number;
  readonly marker?: Partial<UnassignedMarker>;
  readonly sealed?: { readonly broker: string; readonly revision: number; readonly sealed?: boolean };
  /** Second in which it was first seen without an owner. Default: now. */
  readonly unownedSince?: number;
  /** false: only its marker exists yet. Default true. */
  readonly exists?: boolean;
  /** Create revision of its key. Default: long ago. */
  readonly createdAt?: number;
  /** Broker ids that have had it before. */
  readonly formerHosts?: readonly string[];
}

export interface SnapshotParts {
  /** Second of the test's clock. Default 1000. */
  readonly now?: number;
  readonly brokers?: readonly BrokerParts[];
  readonly pods?: readonly PodParts[];
  readonly topics?: readonly TopicParts[];
  /** By Pod name. */
  readonly agents?: Readonly<Record<string, AgentParts>>;
  readonly balance?: Balance;
}

export function buildSnapshot(parts: SnapshotParts = {}): Snapshot {
  const { now = 1000, brokers = [], topics = [] } = parts;
  const pods = (parts.pods ?? []).map(buildPod);
  return {
    ...(parts.balance !== undefined && { balance: parts.balance }),
    now: at(now),
    namespace: NAMESPACE,
    metadata: buildMetadata(brokers, topics),
    pods,
    agents: new Map(
      Object.entries(parts.agents ?? {}).map(([pod, agent]) => [uidOf(pods, pod), buildAgent(agent, now)]),
    ),
    remembered: new Map(brokers.flatMap((broker) => rememberedEntry(broker, pods))),
    reportSeenAt: new Map(
      brokers.flatMap(({ id, reportSeenAt = 0 }) => (reportSeenAt === false ? [] : [[id, at(reportSeenAt)]])),
    ),
    adminAnswered: new Set(brokers.filter(({ adminAnswered }) => adminAnswered).map(({ id }) => id)),
    deadSince: new Map(
      brokers.flatMap(({ id, deadSince }) => (deadSince === undefined ? [] : [[id, at(deadSince)] as const])),
    ),
    formerHosts: new Map(topics.map(({ name, formerHosts = [] }) => [name, new Set(formerHosts)])),
    unownedSince: new Map(topics.map(({ name, unownedSince = now }) => [name, at(unownedSince)])),
  };
}

function buildMetadata(brokers: readonly BrokerParts[], topics: readonly TopicParts[]): Snapshot['metadata'] {
  const registrationOf = ({ registered }: BrokerParts, index: number) =>
    registered === false ? undefined : (registered ?? 100 + 10 * index);
  const owners = new Map<string, ReadonlyMap<string, number>>();
  const topicsOf = new Map<string, Set<string>>();
  for (const { name, owners: ids = [], assignedAt = 500 } of topics) {
    if (ids.length > 0) owners.set(name, new Map(ids.map((id) => [id, assignedAt])));
    for (const id of ids) topicsOf.set(id, (topicsOf.get(id) ?? new Set()).add(name));
  }
  const topicNumbers = numberTopics(topics);
  return {
    revision: 10_000,
    registrations: new Map(
      brokers.flatMap((broker, index) => {
        const createRevision = registrationOf(broker, index);
        if (createRevision === undefined) return [];
        return [[broker.id, { brokerUrl: brokerUrlOf(broker), adminPort: 50051, createRevision }]];
      }),
    ),
    states: new Map(
      brokers.flatMap(({ id, mode }, index) =>
        mode === undefined ? [] : [[id, { mode, modRevision: 1000 + index }] as const],
      ),
    ),
    reports: new Map(
      brokers.flatMap((broker, index) => {
        const { id, reportedAt = 0, reportRevision, load = {}, topicLoads = {} } = broker;
        if (reportedAt === false) return [];
        const modRevision = reportRevision ?? (registrationOf(broker, index) ?? 0) + 1;
        const sums = { messagesPerSecond: 0, bytesPerSecond: 0, connections: 0, backlogMessages: 0, ...load };
        const timestamp = broker.reportsTime === false ? undefined : Math.floor(at(reportedAt) / 1000);
        return [[id, { timestamp, ...sums, topics: reportTopics(topicLoads, topicNumbers), modRevision }]];
      }),
    ),
    owners,
    doublyOwned: [...owners].filter(([, of]) => of.size > 1).map(([topic]) => topic),
    topicsOf,
    unowned: new Set(topics.filter(({ owners: ids = [] }) => ids.length === 0).map(({ name }) => name)),
    markers: new Map(
      topics.flatMap(({ name, marker }) =>
        marker === undefined ? [] : [[name, { kind: 'new', modRevision: 600, ...marker }] as const],
      ),
    ),
    createdAt: new Map(topics.map(({ name, createdAt = 1 }) => [name, createdAt])),
    reliableTopics: topics.filter((topic) => deliveryOf(topic) === 'Reliable').length,
    topics: new Set(topics.filter(({ exists }) => exists !== false).map(({ name }) => name)),
    topicNumbers,
    deliveries: new Map(
      topics.flatMap((topic) => {
        const delivery = deliveryOf(topic);
        return delivery === undefined ? [] : [[topic.name, delivery] as const];
      }),
    ),
    sealed: new Map(
      topics.flatMap(({ name, sealed }) =>
        sealed === undefined
          ? []
          : [
              [
                name,
                {
                  root: '/danube-data',
                  broker: sealed.broker,
                  lastCommittedOffset: 99n,
                  sealed: sealed.sealed ?? true,
                  modRevision: sealed.revision,
                },
              ] as const,
            ],
      ),
    ),
    storageRoots: new Set(['/danube-data']),
    leader: undefined,
    own: new Map(),
    problems: new Map(),
  };
}

function numberTopics(topics: readonly TopicParts[]): TopicNumbers {
  const names = topics.map(({ name }) => name);
  const numbers = new Map(names.map((name, number) => [name, number]));
  const brokers = [...new Set(topics.flatMap(({ owners = [] }) => owners))];
  return {
    table: names,
    size: names.length,
    brokers,
    numberOf: (topic) => numbers.get(topic),
    nameOf: (number) => names[number] ?? '',
    isReliable(number) {
      const topic = topics[number];
      return topic !== undefined && deliveryOf(topic) === 'Reliable';
    },
    ownerOf(number) {
      const [owner, ...others] = topics[number]?.owners ?? [];
      if (owner === undefined) return NO_OWNER;
      return others.length > 0 ? SEVERAL_OWNERS : brokers.indexOf(owner);
    },
  };
}

function reportTopics(loads: Readonly<Record<string, TopicLoadParts>>, numbers: TopicNumbers): ReportedTopics {
  const rows = Object.entries(loads).map(([name, load]) => {
    const number = numbers.numberOf(name);
    if (number === undefined) throw new Error(`a report has topic ${name}, which is not among the topics`);
    return { number, load };
  });
  const column = (of: keyof TopicLoadParts) => Float32Array.from(rows, ({ load }) => load[of] ?? 0);
  return {
    topic: Int32Array.from(rows, ({ number }) => number),
    messagesPerSecond: column('messagesPerSecond'),
    bytesPerSecond: column('bytesPerSecond'),
    producers: column('producers'),
    consumers: column('consumers'),
  };
}

function deliveryOf(topic: TopicParts): Delivery | undefined {
  return 'delivery' in topic ? topic.delivery : 'Reliable';
}

function buildPod({ name, container, ...rest }: PodParts): BrokerPod {
  return {
    name,
    uid: `uid-of-${name}`,
    ip: undefined,
    deleting: false,
    ready: true,
    labels: {},
    persistentVolume: false,
    hostNetwork: false,
    ...rest,
    container: container && buildContainer(name, container),
  };
}

function buildContainer(
  pod: string,
  { restartCount = 0, runningSince, lastFinishedAt, limits }: ContainerParts,
): BrokerContainer {
  const cutOff = (seconds: number | undefined) => (seconds === undefined ? undefined : at(Math.floor(seconds)));
  return {
    id: `containerd://${pod}-${restartCount}`,
    restartCount,
    runningSince: cutOff(runningSince),
    lastFinishedAt: cutOff(lastFinishedAt),
    limits: { cpuCores: undefined, memoryBytes: undefined, ...limits },
  };
}

export function buildAgent(parts: AgentParts, now: number): AgentRecord {
  const { seenAt = now, sample, seen, failure } = parts;
  const { version: _version, pod: _pod, ...example } = exampleReport;
  return {
    last: {
      sample: {
        ...example,
        observedAt: at(seenAt),
        broker: { pid: 42, startedAt: at(seenAt) },
        cpu: {
          ...example.cpu,
          cores: parts.cpuCores ?? null,
          averageCores: null,
          limitCores: parts.cpuLimitCores ?? null,
        },
        memory: {
          ...example.memory,
          workingSetBytes: parts.memoryBytes ?? null,
          averageWorkingSetBytes: null,
          limitBytes: parts.memoryLimitBytes ?? null,
        },
        topics: null,
        topicsReason: 'not asked for',
        ...sample,
      },
      seenAt: at(seenAt),
      aheadMs: 0,
      isFollowing: true,
      contradiction: undefined,
      ...seen,
    },
    failure,
  };
}

function brokerUrlOf({ id, pod, url }: BrokerParts): string {
  return url ?? (pod === undefined ? `http://broker-${id}.elsewhere.example:6650` : urlOf(pod));
}

function rememberedEntry(
  broker: BrokerParts,
  pods: readonly BrokerPod[],
): readonly (readonly [string, RememberedBroker])[] {
  if (broker.remembered === false) return [];
  const brokerUrl = brokerUrlOf(broker);
  const pod = createPlaces({ pods, namespace: NAMESPACE, metadata: { registrations: new Map() } }).podAt(brokerUrl);
  return [
    [
      broker.id,
      {
        brokerUrl,
        podName: pod?.name,
        podUID: pod?.uid,
        persistentVolume: pod?.persistentVolume ?? false,
        ...broker.remembered,
      },
    ],
  ];
}

function uidOf(pods: readonly BrokerPod[], name: string): string {
  return pods.find((pod) => pod.name === name)?.uid ?? `uid-of-${name}`;
}

export interface PolicyParts {
  readonly algorithm?: RankingAlgorithm;
  readonly samePodWaitSeconds?: number;
  readonly resumeOffsets?: boolean;
  readonly placement?: PlacementSpec;
}

export function buildPolicy(parts: PolicyParts = {}) {
  const { algorithm = 'DanubeFair', samePodWaitSeconds = 60, resumeOffsets = true, placement } = parts;
  return {
    ranking: { algorithm },
    failover: { samePodWaitSeconds, resumeOffsets, offsetMargin: 1000 },
    ...(placement !== undefined && { placement }),
  };
}
