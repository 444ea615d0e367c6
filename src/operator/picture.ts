/**
 * One policy's picture of its brokers: what etcd, the API server and the agents say, together with what is remembered. A
 * thousand brokers that are well must cost next to nothing, so what has not changed is not made again.
 */
import type { BrokerLoad } from '../api/broker-load.ts';
import { judgeBrokers } from '../core/brokers.ts';
import { createPlaces, type Places } from '../core/places.ts';
import type { BrokerPod, ClusterMetadata, Snapshot } from '../core/snapshot.ts';
import { type Memory, noteDeaths, observe, snapshotOf } from './memory.ts';
import { type Pod, toBrokerPod } from './pods.ts';
import type { Cluster } from './reporter.ts';

export interface PictureOptions {
  readonly namespace: string;
  readonly memory: Memory;
  readonly pods: () => readonly Pod[];
  readonly brokerLoads: () => readonly BrokerLoad[];
  readonly agents: () => Snapshot['agents'];
  readonly balance: () => Snapshot['balance'];
  /** Epoch ms that never go back. */
  readonly now: () => number;
}

export interface Picture {
  /** Something that the next look must see has changed. */
  changed(): void;
  /** The brokers as of now, or as of a moment ago if nothing has changed since. */
  look(metadata: ClusterMetadata): Cluster;
}

/** Waits and ages are measured to about a second; loops that look one after the other share a look. */
const SHARED_FOR_MS = 400;

export function createPicture({ namespace, memory, now, ...sources }: PictureOptions): Picture {
  const reduced = new WeakMap<Pod, BrokerPod>();
  let pods: readonly BrokerPod[] = [];
  let places: { readonly of: Places; readonly pods: unknown; readonly registrations: unknown } | undefined;
  let last: { readonly cluster: Cluster; readonly metadata: ClusterMetadata } | undefined;

  /** Objects of the list-watch never change, so neither does what is made of one. */
  function reduce(pod: Pod): BrokerPod {
    const known = reduced.get(pod) ?? toBrokerPod(pod);
    reduced.set(pod, known);
    return known;
  }

  /** The same array as long as every Pod is the same. */
  function currentPods(): readonly BrokerPod[] {
    const current = sources.pods().map(reduce);
    const isSame = current.length === pods.length && current.every((pod, index) => pod === pods[index]);
    if (!isSame) pods = current;
    return pods;
  }

  function currentPlaces(metadata: ClusterMetadata): Places {
    const { registrations } = metadata;
    if (places?.pods !== pods || places.registrations !== registrations) {
      places = { of: createPlaces({ pods, namespace, metadata }), pods, registrations };
    }
    return places.of;
  }

  return {
    changed() {
      last = undefined;
    },
    look(metadata) {
      const moment = now();
      if (last?.metadata === metadata && moment - last.cluster.snapshot.now < SHARED_FOR_MS) return last.cluster;
      const brokerLoads = sources.brokerLoads();
      const observation = { now: moment, namespace, metadata, pods: currentPods(), brokerLoads };
      const where = currentPlaces(metadata);
      observe(memory, observation, where);
      const balance = sources.balance();
      const snapshot = {
        ...snapshotOf(observation, memory, sources.agents()),
        ...(balance !== undefined && { balance }),
      };
      const brokers = judgeBrokers(snapshot, where);
      noteDeaths(memory, brokers, moment);
      last = { cluster: { snapshot, brokers }, metadata };
      return last.cluster;
    },
  };
}
