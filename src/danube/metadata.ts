/**
 * The brokers' etcd, folded into `ClusterMetadata` entry by entry and event by event. The fold is one mutable object
 * that only its follower writes to; deciders see it as read-only, between two events.
 */
import type {
  BrokerRegistration,
  BrokerReport,
  ClusterMetadata,
  Delivery,
  SealedTopic,
  UnassignedMarker,
} from '../core/snapshot.ts';
import { type ParsedKey, parseKey } from './keys.ts';
import {
  type Decoded,
  decodeBrokerState,
  decodeDelivery,
  decodeLeader,
  decodeLoadReport,
  decodeMarker,
  decodeRegistration,
  decodeSealedState,
} from './values.ts';

/** Our own keys live here; brokers neither read nor cache them (contract, pitfalls). */
export const OWN_PREFIX = '/danube-load-manager/';

export interface StoredKey {
  readonly key: string;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
}

export interface MetadataFold {
  readonly metadata: ClusterMetadata;
  put(entry: StoredKey): void;
  delete(key: string, revision: number): void;
  /** The state as of this revision is complete. */
  seen(revision: number): void;
}

export function createMetadataFold(): MetadataFold {
  const registrations = new Map<string, BrokerRegistration>();
  const states = new Map<string, { mode: string; modRevision: number }>();
  const reports = new Map<string, BrokerReport>();
  const owners = new Map<string, Map<string, number>>();
  const topicsOf = new Map<string, Set<string>>();
  const unowned = new Set<string>();
  const markers = new Map<string, UnassignedMarker>();
  const topics = new Set<string>();
  const deliveries = new Map<string, Delivery>();
  const sealed = new Map<string, SealedTopic>();
  const storageRoots = new Set<string>();
  const own = new Map<string, { value: string; modRevision: number }>();
  const problems = new Map<string, string>();
  let leader: ClusterMetadata['leader'];
  let revision = 0;

  const metadata: ClusterMetadata = {
    get revision() {
      return revision;
    },
    get leader() {
      return leader;
    },
    registrations,
    states,
    reports,
    owners,
    topicsOf,
    unowned,
    markers,
    topics,
    deliveries,
    sealed,
    storageRoots,
    own,
    problems,
  };

  /** Keeps the value if it decodes; a value that does not is a problem of its key and counts as absent. */
  function keep<T>(key: string, decoded: Decoded<T>, store: (value: T) => void, drop: () => void): void {
    if (decoded.ok) {
      problems.delete(key);
      store(decoded.value);
    } else {
      problems.set(key, decoded.problem);
      drop();
    }
  }

  function updateUnowned(topic: string): void {
    const wanted = (topics.has(topic) || markers.has(topic)) && !owners.has(topic);
    if (wanted) unowned.add(topic);
    else unowned.delete(topic);
  }

  function putAssignment(broker: string, topic: string, modRevision: number): void {
    const brokersOfTopic = owners.get(topic) ?? new Map<string, number>();
    owners.set(topic, brokersOfTopic.set(broker, modRevision));
    topicsOf.set(broker, (topicsOf.get(broker) ?? new Set()).add(topic));
  }

  function deleteAssignment(broker: string, topic: string): void {
    const brokersOfTopic = owners.get(topic);
    brokersOfTopic?.delete(broker);
    if (brokersOfTopic?.size === 0) owners.delete(topic);
    const topicsOfBroker = topicsOf.get(broker);
    topicsOfBroker?.delete(topic);
    if (topicsOfBroker?.size === 0) topicsOf.delete(broker);
  }

  function remove(key: string, parsed: ParsedKey): void {
    problems.delete(key);
    switch (parsed.kind) {
      case 'leader':
        leader = undefined;
        break;
      case 'registration':
        registrations.delete(parsed.broker);
        break;
      case 'brokerState':
        states.delete(parsed.broker);
        break;
      case 'loadReport':
        reports.delete(parsed.broker);
        break;
      case 'assignment':
        deleteAssignment(parsed.broker, parsed.topic);
        updateUnowned(parsed.topic);
        break;
      case 'unassigned':
        markers.delete(parsed.topic);
        updateUnowned(parsed.topic);
        break;
      case 'topic':
        topics.delete(parsed.topic);
        updateUnowned(parsed.topic);
        break;
      case 'delivery':
        deliveries.delete(parsed.topic);
        break;
      case 'sealedState':
        sealed.delete(parsed.topic);
        break;
      default:
        own.delete(key);
    }
  }

  return {
    metadata,

    put({ key, value, createRevision, modRevision }) {
      const parsed = parseKey(key);
      const drop = () => remove(key, parsed);
      switch (parsed.kind) {
        case 'leader':
          keep(
            key,
            decodeLeader(value),
            (id) => {
              leader = { id, modRevision };
            },
            drop,
          );
          break;
        case 'registration':
          keep(
            key,
            decodeRegistration(value),
            ({ brokerUrl, adminAddr }) =>
              registrations.set(parsed.broker, { brokerUrl, adminPort: portOf(adminAddr), createRevision }),
            drop,
          );
          break;
        case 'brokerState':
          keep(key, decodeBrokerState(value), ({ mode }) => states.set(parsed.broker, { mode, modRevision }), drop);
          break;
        case 'loadReport':
          keep(
            key,
            decodeLoadReport(value, parsed.broker),
            ({ timestamp, topics: loads }) => reports.set(parsed.broker, { timestamp, topics: loads, modRevision }),
            drop,
          );
          break;
        case 'assignment':
          putAssignment(parsed.broker, parsed.topic, modRevision);
          updateUnowned(parsed.topic);
          break;
        case 'unassigned':
          keep(
            key,
            decodeMarker(value),
            (marker) => markers.set(parsed.topic, toMarker(marker, modRevision)),
            () => markers.delete(parsed.topic),
          );
          updateUnowned(parsed.topic);
          break;
        case 'topic':
          topics.add(parsed.topic);
          updateUnowned(parsed.topic);
          break;
        case 'delivery':
          keep(key, decodeDelivery(value), (delivery) => deliveries.set(parsed.topic, delivery), drop);
          break;
        case 'sealedState':
          keep(
            key,
            decodeSealedState(value),
            ({ broker, lastCommittedOffset, sealed: isSealed }) =>
              sealed.set(parsed.topic, {
                root: parsed.root,
                broker,
                lastCommittedOffset,
                sealed: isSealed,
                modRevision,
              }),
            drop,
          );
          break;
        case 'object':
        case 'currentObject':
          storageRoots.add(parsed.root);
          break;
        default:
          if (key.startsWith(OWN_PREFIX)) own.set(key, { value: value.toString('utf8'), modRevision });
      }
      revision = Math.max(revision, modRevision);
    },

    delete(key, atRevision) {
      remove(key, parseKey(key));
      revision = Math.max(revision, atRevision);
    },

    seen(atRevision) {
      revision = Math.max(revision, atRevision);
    },
  };
}

function toMarker(
  marker: { kind: UnassignedMarker['kind']; fromBroker?: string; toBroker?: string },
  modRevision: number,
): UnassignedMarker {
  return {
    kind: marker.kind,
    ...(marker.fromBroker !== undefined && { fromBroker: marker.fromBroker }),
    ...(marker.toBroker !== undefined && { toBroker: marker.toBroker }),
    modRevision,
  };
}

/** `http://0.0.0.0:50051` → 50051; undefined when there is none. */
function portOf(address: string): number | undefined {
  const port = /:(\d{1,5})$/.exec(address)?.[1];
  return port === undefined ? undefined : Number(port);
}
