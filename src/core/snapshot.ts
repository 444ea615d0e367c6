/**
 * What every decision is made from: one immutable picture of a brokers' cluster (design §1.1). `danube` folds the
 * metadata from etcd's keys, the operator adds Pods and agents. Broker ids are u64 in decimal; a topic is its full name.
 */
import type { LoadResource } from '../api/load-resources.ts';
import type { AgentRecord } from './agent-record.ts';

export interface BrokerRegistration {
  readonly brokerUrl: string;
  /** Port of the admin listener, which opens last; the host is that of `brokerUrl` (contract 2.5). */
  readonly adminPort: number | undefined;
  /** Order of registrations is the order of these. */
  readonly createRevision: number;
}

/** A broker's LoadReport. Its CPU, memory and network figures are useless on Kubernetes (contract M11). */
export interface BrokerReport {
  /** Unix seconds of the broker's clock; undefined in reports of 0.6 and before, which have none. */
  readonly timestamp: number | undefined;
  /** Sums over the report's topics; rates are of what came in. */
  readonly messagesPerSecond: number;
  readonly bytesPerSecond: number;
  readonly connections: number;
  readonly backlogMessages: number;
  /** What it says of each of its topics; none once the broker is no longer registered, and in reports of 0.6. */
  readonly topics: ReportedTopics;
  readonly modRevision: number;
}

/** Rows of a report, in columns: a million objects would not fit (design §9). Backlog is missing: it is always 0 (contract 4.1). */
export interface ReportedTopics {
  /** By their number in `TopicNumbers`. A topic may have gone to another broker since. */
  readonly topic: Int32Array;
  /** Of what came in. */
  readonly messagesPerSecond: Float32Array;
  readonly bytesPerSecond: Float32Array;
  readonly producers: Float32Array;
  readonly consumers: Float32Array;
}

/** Every topic by a number, for what is counted in columns. */
export interface TopicNumbers {
  /** A topic keeps its number for as long as this is the same object. */
  readonly table: object;
  /** Numbers are below this; a few belong to topics that are gone. */
  readonly size: number;
  numberOf(topic: string): number | undefined;
  nameOf(number: number): string;
  /** Index into `brokers`, or one of `NO_OWNER`, `SEVERAL_OWNERS`. */
  ownerOf(number: number): number;
  isReliable(number: number): boolean;
  /** Every broker that owns a topic, and others that once did. */
  readonly brokers: readonly string[];
}

export const NO_OWNER = -1;
export const SEVERAL_OWNERS = -2;

export interface UnassignedMarker {
  readonly kind: 'new' | 'unload' | 'rebalance' | 'drain_redirect' | 'unknown';
  readonly fromBroker?: string;
  readonly toBroker?: string;
  readonly modRevision: number;
}

export interface SealedTopic {
  readonly root: string;
  readonly broker: string;
  readonly lastCommittedOffset: bigint;
  readonly sealed: boolean;
  readonly modRevision: number;
}

export type Delivery = 'Reliable' | 'NonReliable';

/** The part of a Map that decisions need; behind it may be columns. */
export type Lookup<T> = Pick<ReadonlyMap<string, T>, 'get'>;
/** A set of topics that may be counted without being listed. */
export interface TopicSet extends Iterable<string> {
  readonly size: number;
}

/** The brokers' etcd at one revision. It never changes. */
export interface ClusterMetadata {
  readonly revision: number;
  readonly registrations: ReadonlyMap<string, BrokerRegistration>;
  /** Mode by broker; a broker without the key is active (contract 4.3). */
  readonly states: ReadonlyMap<string, { readonly mode: string; readonly modRevision: number }>;
  readonly reports: ReadonlyMap<string, BrokerReport>;
  /** Topic → broker → modRevision of the assignment key. More than one broker is a fault that we report. */
  readonly owners: Lookup<ReadonlyMap<string, number>>;
  /** Topics with more than one owner: a fault that we report. */
  readonly doublyOwned: readonly string[];
  /** By broker, those that own any. */
  readonly topicsOf: ReadonlyMap<string, TopicSet>;
  /** Topics that exist, or have a marker, and have no owner. */
  readonly unowned: ReadonlySet<string>;
  readonly markers: ReadonlyMap<string, UnassignedMarker>;
  /** Topics that exist (`/namespaces/N/topics/N/T`). */
  readonly topics: TopicSet;
  readonly topicNumbers: TopicNumbers;
  readonly reliableTopics: number;
  /** Create revision of the key by which a topic exists. */
  readonly createdAt: Lookup<number>;
  readonly deliveries: Lookup<Delivery>;
  readonly sealed: ReadonlyMap<string, SealedTopic>;
  /** Storage roots under which uploaded objects were found. */
  readonly storageRoots: ReadonlySet<string>;
  readonly leader: { readonly id: string; readonly modRevision: number } | undefined;
  /** Our own keys (design §4) but for the notes on offsets, raw: key → value and modRevision. */
  readonly own: ReadonlyMap<string, { readonly value: string; readonly modRevision: number }>;
  /** Keys whose value is not what it should be, with the reason. */
  readonly problems: ReadonlyMap<string, string>;
}

/** The container of a Pod that runs the broker, as its kubelet reports it. Times are epoch milliseconds. */
export interface BrokerContainer {
  readonly id: string;
  readonly restartCount: number;
  /** Start of the running process; undefined while none runs. Whole seconds, as the API gives them. */
  readonly runningSince: number | undefined;
  /** End of the latest process that ended; undefined when none has. */
  readonly lastFinishedAt: number | undefined;
  readonly limits: ContainerLimits;
}

/** Those that the kubelet has applied, or was told to apply; undefined when there is none. */
export interface ContainerLimits {
  readonly cpuCores: number | undefined;
  readonly memoryBytes: number | undefined;
}

export interface BrokerPod {
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ip: string | undefined;
  readonly deleting: boolean;
  readonly ready: boolean;
  /** Its disk outlives the Pod (a persistent volume claim). */
  readonly persistentVolume: boolean;
  /** It has the network of its node, so what an agent sees of traffic is the node's. */
  readonly hostNetwork: boolean;
  readonly container: BrokerContainer | undefined;
}

/** A broker id that was seen before, so that a death can be judged after its registration is gone. */
export interface RememberedBroker {
  readonly brokerUrl: string;
  readonly podName: string | undefined;
  readonly podUID: string | undefined;
  /** That Pod's disk outlives the Pod. */
  readonly persistentVolume: boolean;
}

/** What the load model says of each broker, for placement to heed. */
export interface Balance {
  /** By broker id; those that are not known well enough are left out. */
  readonly brokers: ReadonlyMap<string, BrokerBalance>;
  /** Up to which placement may fill. */
  readonly highestLevel: number;
}

export interface BrokerBalance {
  /** Load / (mean × capacity), of the resources that are planned. */
  readonly levels: Readonly<Partial<Record<LoadResource, number>>>;
  /** Number of topics that the broker had then, and of those whose load is in the levels. */
  readonly topics: number;
  readonly measuredTopics: number;
}

export interface Snapshot {
  /** Epoch milliseconds. */
  readonly now: number;
  readonly namespace: string;
  readonly metadata: ClusterMetadata;
  readonly pods: readonly BrokerPod[];
  /** By Pod uid. */
  readonly agents: ReadonlyMap<string, AgentRecord>;
  /** By broker id. */
  readonly remembered: ReadonlyMap<string, RememberedBroker>;
  /** When each broker's first report was seen here, epoch ms, by broker id. */
  readonly reportSeenAt: ReadonlyMap<string, number>;
  /** Brokers whose admin port has answered: it opens last, after the watch of assignments (contract §6). */
  readonly adminAnswered: ReadonlySet<string>;
  /** When a broker's death was first proved, epoch ms, by broker id. */
  readonly deadSince: ReadonlyMap<string, number>;
  /** When a topic was first seen without an owner, epoch ms. */
  readonly unownedSince: ReadonlyMap<string, number>;
  /** Brokers that have had a reliable topic before, by topic, as far as it was read: it must not go back to them. */
  readonly formerHosts: ReadonlyMap<string, ReadonlySet<string>>;
  /** Absent until the load model has looked at the cluster. */
  readonly balance?: Balance;
}
