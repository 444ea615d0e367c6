/**
 * What the operator remembers between two snapshots: who ran where, and since when something is so. Everything can be
 * lost without harm (decisions then wait longer); who ran where is read back from the BrokerLoads.
 */
import type { BrokerLoad } from '../api/broker-load.ts';
import { type BrokerFacts, brokersThatMatter, hasReported, isSuperseded } from '../core/brokers.ts';
import { createPlaces, type Places } from '../core/places.ts';
import type { BrokerPod, ClusterMetadata, RememberedBroker, Snapshot } from '../core/snapshot.ts';

export interface Memory {
  readonly remembered: Map<string, RememberedBroker>;
  readonly reportSeenAt: Map<string, number>;
  readonly adminAnswered: Set<string>;
  readonly deadSince: Map<string, number>;
  readonly unownedSince: Map<string, number>;
  readonly formerHosts: Map<string, ReadonlySet<string>>;
}

export function createMemory(): Memory {
  return {
    remembered: new Map(),
    reportSeenAt: new Map(),
    adminAnswered: new Set(),
    deadSince: new Map(),
    unownedSince: new Map(),
    formerHosts: new Map(),
  };
}

export interface Observation {
  readonly now: number;
  readonly namespace: string;
  readonly metadata: ClusterMetadata;
  readonly pods: readonly BrokerPod[];
  readonly brokerLoads: readonly BrokerLoad[];
}

/** Takes note of what is new, and forgets what no longer matters. */
export function observe(memory: Memory, observation: Observation, places: Places = createPlaces(observation)): void {
  const { now, metadata, pods, brokerLoads } = observation;
  const matters = brokersThatMatter(observation);
  for (const { metadata: meta, status } of brokerLoads) {
    if (status?.brokerID === undefined || status.brokerURL === undefined) continue;
    if (!matters.has(status.brokerID) || memory.remembered.has(status.brokerID)) continue;
    const pod = pods.find((candidate) => candidate.name === meta.name);
    memory.remembered.set(status.brokerID, {
      brokerUrl: status.brokerURL,
      podName: status.podUID === undefined ? undefined : meta.name,
      podUID: status.podUID,
      persistentVolume: pod?.persistentVolume ?? false,
    });
  }
  for (const [id, { brokerUrl }] of metadata.registrations) {
    if (memory.remembered.get(id)?.podUID === undefined) {
      const pod = places.podAt(brokerUrl);
      memory.remembered.set(id, {
        brokerUrl,
        podName: pod?.name,
        podUID: pod !== undefined && certainlyRuns(observation, places, pod, id) ? pod.uid : undefined,
        persistentVolume: pod?.persistentVolume ?? false,
      });
    }
    if (hasReported(observation, id) && !memory.reportSeenAt.has(id)) memory.reportSeenAt.set(id, now);
  }
  for (const topic of metadata.unowned) if (!memory.unownedSince.has(topic)) memory.unownedSince.set(topic, now);
  for (const topic of memory.unownedSince.keys()) {
    if (!metadata.unowned.has(topic)) memory.unownedSince.delete(topic);
  }
  for (const collection of [memory.remembered, memory.reportSeenAt, memory.adminAnswered, memory.deadSince]) {
    for (const id of collection.keys()) if (!matters.has(id)) collection.delete(id);
  }
}

/**
 * Whether the Pod at a broker's address is the one that runs it, as far as anybody can tell: not one of an earlier Pod or
 * container, which the newest registration and the time of the last report give away. What is noted here is never taken
 * back, and a proof of death may rest on it.
 */
function certainlyRuns({ metadata }: Observation, places: Places, { container }: BrokerPod, id: string): boolean {
  if (container?.runningSince === undefined || isSuperseded({ metadata }, places, id)) return false;
  const report = metadata.reports.get(id);
  return report?.timestamp === undefined || report.timestamp >= Math.floor(container.runningSince / 1000);
}

/** Notes when each death was first proved. */
export function noteDeaths(memory: Memory, brokers: ReadonlyMap<string, BrokerFacts>, now: number): void {
  for (const { id, liveness } of brokers.values()) {
    if (liveness.state !== 'Dead') memory.deadSince.delete(id);
    else if (!memory.deadSince.has(id)) memory.deadSince.set(id, now);
  }
}

export function snapshotOf(observation: Observation, memory: Memory, agents: Snapshot['agents']): Snapshot {
  const { now, namespace, metadata, pods } = observation;
  return { now, namespace, metadata, pods, agents, ...memory };
}
