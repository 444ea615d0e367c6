/**
 * A small cluster for tests: what its brokers and topics truly cost, and what agents and reports say of it when they look. Times are
 * seconds of the tests' clock.
 */
import { type BrokerFacts, judgeBrokers } from '../brokers.ts';
import type { Snapshot } from '../snapshot.ts';
import { at, buildSnapshot } from '../snapshot-builder.ts';
import type { LoadSample, Observation, Reading } from './model.ts';

export interface TrueTopic {
  readonly owner: string;
  readonly kilobytesIn: number;
  /** Default 1; each receives everything. */
  readonly consumers?: number;
  /** Default false. */
  readonly reliable?: boolean;
}

export interface TrueBroker {
  /** Default 4. */
  readonly cpuLimit?: number | null;
  /** Default 8 GiB. */
  readonly memoryLimit?: number;
  /** Cores in use without any topic. Default 0.1. */
  readonly idleCpu?: number;
  /** Default true. */
  readonly hasAgent?: boolean;
  readonly mode?: string;
  /** Why its agent is not to be believed. */
  readonly lie?: string;
}

export interface TestCluster {
  setTopic(name: string, change: Partial<TrueTopic>): void;
  setBroker(id: string, change: TrueBroker): void;
  /** From now on another broker has it; undefined: nobody. */
  move(topic: string, to: string | undefined): void;
  /** Agents sample and brokers report; those of `only`, or all. */
  sample(second: number, only?: readonly string[]): void;
  snapshot(second: number): Snapshot;
  observation(second: number): Observation;
  /** Cores in use, in truth. */
  cpuOf(broker: string): number;
}

export const INTERVAL_SECONDS = 10;
/** Cores for a KiB/s in or out, with the message that it is. */
const CORES_PER_KILOBYTE = 0.001;
const BASE_MEMORY = 512 * 1024 ** 2;
const MEMORY_PER_TOPIC = 64 * 1024 ** 2;

export function createTestCluster(
  brokerList: Readonly<Record<string, TrueBroker>>,
  topicList: Readonly<Record<string, TrueTopic>>,
): TestCluster {
  const brokers = new Map(Object.entries(brokerList));
  const topics = new Map(Object.entries(topicList));
  const owners = new Map([...topics].map(([name, { owner }]): [string, string | undefined] => [name, owner]));
  const readings = new Map<string, Reading>();
  const reports = new Map<string, { revision: number; topicLoads: ReturnType<typeof loadsOf> }>();
  let revision = 1000;
  let byOwner: Map<string | undefined, [string, TrueTopic][]> | undefined;

  function ownTopics(broker: string): readonly (readonly [string, TrueTopic])[] {
    byOwner ??= Map.groupBy(topics, ([name]) => owners.get(name));
    return byOwner.get(broker) ?? [];
  }

  function sum(broker: string, of: (topic: TrueTopic) => number): number {
    return ownTopics(broker).reduce((total, [, topic]) => total + of(topic), 0);
  }

  const bytesOut = ({ kilobytesIn, consumers = 1 }: TrueTopic) => 1024 * kilobytesIn * consumers;

  function cpuOf(broker: string): number {
    const { idleCpu = 0.1 } = brokers.get(broker) ?? {};
    return idleCpu + CORES_PER_KILOBYTE * sum(broker, (it) => it.kilobytesIn + bytesOut(it) / 1024);
  }

  function measure(broker: string): LoadSample {
    const { cpuLimit = 4, memoryLimit = 8 * 1024 ** 3 } = brokers.get(broker) ?? {};
    return {
      intervalSeconds: INTERVAL_SECONDS,
      cpu: { cores: cpuOf(broker), limitCores: cpuLimit },
      memory: {
        workingSetBytes: BASE_MEMORY + MEMORY_PER_TOPIC * ownTopics(broker).length,
        limitBytes: memoryLimit,
      },
      disk: {
        readBytesPerSecond: 0,
        writeBytesPerSecond: sum(broker, (it) => (it.reliable ? 1024 * it.kilobytesIn : 0)),
      },
      network: {
        receivedBytesPerSecond: 20_000 + sum(broker, (it) => 1024 * it.kilobytesIn),
        sentBytesPerSecond: 20_000 + sum(broker, bytesOut),
      },
      node: { cores: 16, memoryBytes: 64 * 1024 ** 3 },
    };
  }

  function loadsOf(broker: string) {
    return Object.fromEntries(
      ownTopics(broker).map(([name, { kilobytesIn, consumers = 1 }]) => [
        name,
        { messagesPerSecond: kilobytesIn, bytesPerSecond: 1024 * kilobytesIn, producers: 1, consumers },
      ]),
    );
  }

  function snapshotAt(second: number): Snapshot {
    return buildSnapshot({
      now: second,
      pods: [...brokers.keys()].map((id) => ({ name: `pod-${id}`, container: { runningSince: -1000 } })),
      brokers: [...brokers].map(([id, { mode }]) => {
        const report = reports.get(id);
        const sums = Object.values(report?.topicLoads ?? {});
        return {
          id,
          pod: `pod-${id}`,
          reportRevision: report?.revision ?? 999,
          load: { bytesPerSecond: sums.reduce((total, { bytesPerSecond }) => total + bytesPerSecond, 0) },
          topicLoads: report?.topicLoads ?? {},
          ...(mode !== undefined && { mode }),
        };
      }),
      topics: [...topics].map(([name, { reliable = false }]) => ({
        name,
        delivery: reliable ? 'Reliable' : 'NonReliable',
        owners: [owners.get(name)].filter((owner) => owner !== undefined),
      })),
    });
  }

  return {
    cpuOf,
    setTopic(name, change) {
      const topic = { owner: '', kilobytesIn: 0, ...topics.get(name), ...change };
      if (!topics.has(name)) owners.set(name, topic.owner);
      topics.set(name, topic);
      byOwner = undefined;
    },
    setBroker: (id, change) => void brokers.set(id, { ...brokers.get(id), ...change }),
    move(topic, to) {
      owners.set(topic, to);
      byOwner = undefined;
    },
    sample(second, only = [...brokers.keys()]) {
      for (const id of only) {
        const { hasAgent = true, lie } = brokers.get(id) ?? {};
        reports.set(id, { revision: ++revision, topicLoads: loadsOf(id) });
        if (hasAgent)
          readings.set(`uid-of-pod-${id}`, { sample: measure(id), seenAt: at(second), usable: lie ?? true });
      }
    },
    snapshot: snapshotAt,
    observation(second) {
      const snapshot = snapshotAt(second);
      const known: ReadonlyMap<string, BrokerFacts> = judgeBrokers(snapshot);
      return { now: at(second), metadata: snapshot.metadata, brokers: known, readings: new Map(readings) };
    },
  };
}
