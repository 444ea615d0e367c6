/**
 * The brokers' etcd, folded into `ClusterMetadata` entry by entry and event by event. The fold is written to by its
 * follower alone; what it hands out never changes.
 */
import type {
  BrokerRegistration,
  BrokerReport,
  ClusterMetadata,
  SealedTopic,
  TopicSet,
  UnassignedMarker,
} from '../core/snapshot.ts';
import { type ParsedKey, parseKey } from './keys.ts';
import { NO_TOPICS, toReportedTopics } from './reported-topics.ts';
import { createTopicTable, type TopicColumns } from './topic-table.ts';
import {
  type Decoded,
  decodeBrokerState,
  decodeDelivery,
  decodeLeader,
  decodeLoadReport,
  decodeMarker,
  decodeRegistration,
  decodeSealedState,
  type LoadReport,
  type Marker,
} from './values.ts';

/** Names of this many topics that are gone are kept, whatever their share. */
const WASTE = 250_000;

/** Our own keys live here; brokers neither read nor cache them (contract, pitfalls). */
export const OWN_PREFIX = '/danube-load-manager/';
/** Notes on topics' offsets: as many as topics, and read on demand. */
export const OFFSETS_PREFIX = `${OWN_PREFIX}offsets/`;

export interface StoredKey {
  readonly key: string;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
}

export interface MetadataFold {
  /** The state now; the same object until something changes. */
  readonly metadata: ClusterMetadata;
  put(entry: StoredKey): void;
  delete(key: string, revision: number): void;
  /** The state as of this revision is complete. */
  seen(revision: number): void;
  /** A great many of the topics that it has names of are gone: reading everything again into a new fold would pay. */
  isWasteful(): boolean;
}

export function createMetadataFold(): MetadataFold {
  const table = createTopicTable();
  const registrations = createCopyOnWrite<BrokerRegistration>();
  const states = createCopyOnWrite<{ mode: string; modRevision: number }>();
  const reports = createCopyOnWrite<BrokerReport>();
  const markers = createCopyOnWrite<UnassignedMarker>();
  const sealed = createCopyOnWrite<SealedTopic>();
  const own = createCopyOnWrite<{ value: string; modRevision: number }>();
  const problems = createCopyOnWrite<string>();
  const unowned = createCopyOnWrite<true>();
  const storageRoots = createCopyOnWrite<true>();
  const reportKeys = new Map<string, string>();
  /** Brokers whose report is held with its topics. */
  const detailed = new Set<string>();
  let leader: ClusterMetadata['leader'];
  let revision = 0;
  let snapshot: ClusterMetadata | undefined;

  /** Keeps the value if it decodes; a value that does not is a problem of its key and counts as absent. */
  function keep<T>(key: string, parsed: ParsedKey, decoded: Decoded<T>, store: (value: T) => void): void {
    if (decoded.ok) {
      problems.delete(key);
      store(decoded.value);
    } else {
      remove(key, parsed);
      problems.set(key, decoded.problem);
    }
  }

  function updateUnowned(topic: string, index: number): void {
    const wanted = (table.exists(index) || markers.has(topic)) && !table.hasOwner(index);
    if (wanted) unowned.set(table.nameOf(index), true);
    else unowned.delete(topic);
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
      // Reports have two places and `state` has as many as there are roots: what came from the other one stays.
      case 'loadReport':
        if (reportKeys.get(parsed.broker) === key) reports.delete(parsed.broker);
        break;
      case 'sealedState':
        if (sealed.get(parsed.topic)?.root === parsed.root) sealed.delete(parsed.topic);
        break;
      case 'assignment':
      case 'unassigned':
      case 'topic':
      case 'delivery': {
        const index = table.intern(parsed.topic);
        if (parsed.kind === 'assignment') table.removeOwner(index, parsed.broker);
        if (parsed.kind === 'unassigned') markers.delete(parsed.topic);
        if (parsed.kind === 'topic') table.setExists(index, undefined);
        if (parsed.kind === 'delivery') table.setDelivery(index, undefined);
        updateUnowned(parsed.topic, index);
        break;
      }
      default:
        own.delete(key);
    }
  }

  function store(entry: StoredKey, parsed: ParsedKey): void {
    const { key, value, modRevision } = entry;
    switch (parsed.kind) {
      case 'leader':
        keep(key, parsed, decodeLeader(value), (id) => {
          leader = { id, modRevision };
        });
        break;
      case 'registration':
        storeRegistration(entry, parsed.broker);
        break;
      case 'brokerState':
        keep(key, parsed, decodeBrokerState(value), ({ mode }) => states.set(parsed.broker, { mode, modRevision }));
        break;
      case 'loadReport':
        keep(key, parsed, decodeLoadReport(value, parsed.broker), (report) => {
          reportKeys.set(parsed.broker, key);
          reports.set(parsed.broker, {
            ...sumReport(report, modRevision),
            // Those of 0.6 are names without figures.
            topics: report.format === '0.6' ? NO_TOPICS : toReportedTopics(report.topics, table.indexOf),
          });
          detailed.add(parsed.broker);
        });
        break;
      case 'sealedState':
        keep(key, parsed, decodeSealedState(value), ({ broker, lastCommittedOffset, sealed: isSealed }) => {
          sealed.set(parsed.topic, { root: parsed.root, broker, lastCommittedOffset, sealed: isSealed, modRevision });
        });
        break;
      case 'assignment':
      case 'unassigned':
      case 'topic':
      case 'delivery': {
        const index = table.intern(parsed.topic);
        if (parsed.kind === 'assignment') table.addOwner(index, parsed.broker, modRevision);
        if (parsed.kind === 'unassigned') {
          storeMarker(entry, parsed.topic);
        }
        if (parsed.kind === 'topic') table.setExists(index, entry.createRevision);
        if (parsed.kind === 'delivery') {
          keep(key, parsed, decodeDelivery(value), (delivery) => table.setDelivery(index, delivery));
        }
        updateUnowned(parsed.topic, index);
        break;
      }
      case 'object':
      case 'currentObject':
        storageRoots.set(parsed.root, true);
        break;
      default:
        if (key.startsWith(OWN_PREFIX) && !key.startsWith(OFFSETS_PREFIX)) {
          own.set(key, { value: value.toString('utf8'), modRevision });
        }
        if (parsed.kind === 'other' && parsed.problem !== undefined) problems.set(key, parsed.problem);
    }
  }

  /** A marker that cannot be read may be an "unload", which brokers look for by one word: it must not count as absent. */
  function storeMarker({ key, value, modRevision }: StoredKey, topic: string): void {
    const decoded = decodeMarker(value);
    if (decoded.ok) problems.delete(key);
    else problems.set(key, decoded.problem);
    markers.set(topic, decoded.ok ? toMarker(decoded.value, modRevision) : { kind: 'unknown', modRevision });
  }

  /** A registration that cannot be read is still one: its lease lives, and so does its broker. Only its address is unknown. */
  function storeRegistration({ key, value, createRevision }: StoredKey, broker: string): void {
    const decoded = decodeRegistration(value);
    if (decoded.ok) {
      problems.delete(key);
      const { brokerUrl, adminAddr } = decoded.value;
      registrations.set(broker, { brokerUrl, adminPort: portOf(adminAddr), createRevision });
      return;
    }
    problems.set(key, decoded.problem);
    const before = registrations.get(broker);
    const known = before?.createRevision === createRevision ? before : { brokerUrl: '', adminPort: undefined };
    registrations.set(broker, { ...known, createRevision });
  }

  /** A broker has a new id after each restart and its report stays for ever (contract 4.1): without bounds they would add up. */
  function forgetTopicsOfGoneBrokers(): void {
    for (const broker of detailed) {
      if (registrations.has(broker)) continue;
      const report = reports.get(broker);
      if (report !== undefined) reports.set(broker, { ...report, topics: NO_TOPICS });
      detailed.delete(broker);
    }
  }

  function takeSnapshot(): ClusterMetadata {
    const columns = table.snapshot();
    forgetTopicsOfGoneBrokers();
    return {
      revision,
      leader,
      registrations: registrations.snapshot(),
      states: states.snapshot(),
      reports: reports.snapshot(),
      markers: markers.snapshot(),
      sealed: sealed.snapshot(),
      own: own.snapshot(),
      problems: problems.snapshot(),
      unowned: new Set(unowned.snapshot().keys()),
      storageRoots: new Set(storageRoots.snapshot().keys()),
      reliableTopics: columns.reliable,
      ...topicViews(columns),
    };
  }

  return {
    get metadata() {
      snapshot ??= takeSnapshot();
      return snapshot;
    },

    put(entry) {
      store(entry, parseKey(entry.key));
      revision = Math.max(revision, entry.modRevision);
      snapshot = undefined;
    },

    delete(key, atRevision) {
      remove(key, parseKey(key));
      revision = Math.max(revision, atRevision);
      snapshot = undefined;
    },

    isWasteful: () => table.gone() > WASTE,

    seen(atRevision) {
      revision = Math.max(revision, atRevision);
      snapshot = undefined;
    },
  };
}

function topicViews(
  columns: TopicColumns,
): Pick<
  ClusterMetadata,
  'owners' | 'doublyOwned' | 'deliveries' | 'createdAt' | 'topics' | 'topicsOf' | 'topicNumbers'
> {
  const at = <T>(topic: string, read: (index: number) => T | undefined): T | undefined => {
    const index = columns.indexOf(topic);
    return index === undefined ? undefined : read(index);
  };
  const setOf = (size: number, list: () => Iterable<string>): TopicSet => ({
    size,
    [Symbol.iterator]: () => list()[Symbol.iterator](),
  });
  return {
    owners: { get: (topic) => at(topic, columns.ownersOf) },
    doublyOwned: columns.doublyOwned,
    deliveries: { get: (topic) => at(topic, columns.deliveryOf) },
    createdAt: { get: (topic) => at(topic, columns.createdAt) },
    topics: setOf(columns.existing, columns.existingTopics),
    topicNumbers: columns.numbers,
    topicsOf: new Map(
      [...columns.owned].map(([broker, size]) => [broker, setOf(size, () => columns.topicsOf(broker))]),
    ),
  };
}

/**
 * Whether a stored key is in the metadata as it is stored: a sentence when it is not. Keys that are not held, and those
 * whose value is a known problem, agree with everything.
 */
export function disagreement(
  metadata: ClusterMetadata,
  { key, createRevision, modRevision }: StoredKey,
): string | undefined {
  if (metadata.problems.has(key)) return undefined;
  const held = heldRevision(metadata, key, parseKey(key));
  const wanted = held?.of === 'creation' ? createRevision : modRevision;
  // Newer here: two keys stand for one fact (a `state` under two roots, a report at both paths), and the other is newer.
  if (held === undefined || (held.revision !== undefined && held.revision >= wanted)) return undefined;
  return `${key} is at revision ${wanted} in etcd and ${held.revision === undefined ? 'absent' : `at ${held.revision}`} here`;
}

interface HeldRevision {
  readonly of: 'modification' | 'creation';
  readonly revision: number | undefined;
}

/** By which revision the metadata knows a key; undefined for kinds of which it keeps none. */
function heldRevision(metadata: ClusterMetadata, key: string, parsed: ParsedKey): HeldRevision | undefined {
  const modification = (holder: { modRevision: number } | undefined): HeldRevision => ({
    of: 'modification',
    revision: holder?.modRevision,
  });
  switch (parsed.kind) {
    case 'leader':
      return modification(metadata.leader);
    case 'registration':
      return { of: 'creation', revision: metadata.registrations.get(parsed.broker)?.createRevision };
    case 'brokerState':
      return modification(metadata.states.get(parsed.broker));
    case 'loadReport':
      return modification(metadata.reports.get(parsed.broker));
    case 'assignment':
      return { of: 'modification', revision: metadata.owners.get(parsed.topic)?.get(parsed.broker) };
    case 'unassigned':
      return modification(metadata.markers.get(parsed.topic));
    case 'sealedState':
      return modification(metadata.sealed.get(parsed.topic));
    default:
      return key.startsWith(OWN_PREFIX) && !key.startsWith(OFFSETS_PREFIX)
        ? modification(metadata.own.get(key))
        : undefined;
  }
}

/** A map whose snapshots are free while nothing changes, and one copy each otherwise. */
interface CopyOnWrite<T> {
  get(key: string): T | undefined;
  has(key: string): boolean;
  set(key: string, value: T): void;
  delete(key: string): void;
  snapshot(): ReadonlyMap<string, T>;
}

function createCopyOnWrite<T>(): CopyOnWrite<T> {
  let map = new Map<string, T>();
  let shared = false;

  function own(): Map<string, T> {
    if (shared) map = new Map(map);
    shared = false;
    return map;
  }

  return {
    get: (key) => map.get(key),
    has: (key) => map.has(key),
    set: (key, value) => own().set(key, value),
    delete(key) {
      if (map.has(key)) own().delete(key);
    },
    snapshot() {
      shared = true;
      return map;
    },
  };
}

function sumReport({ timestamp, topics, format }: LoadReport, modRevision: number): Omit<BrokerReport, 'topics'> {
  const sums = { messagesPerSecond: 0, bytesPerSecond: 0, connections: 0, backlogMessages: 0 };
  for (const topic of topics) {
    // What no broker reports (less than nothing, half a producer) must not reach the status, which has bounds.
    sums.messagesPerSecond += Math.max(0, topic.messagesPerSecond);
    sums.bytesPerSecond += Math.max(0, topic.bytesPerSecond);
    sums.connections += Math.max(0, Math.round(topic.producers + topic.consumers));
    sums.backlogMessages += Math.max(0, topic.backlogMessages);
  }
  return { timestamp: format === '0.6' ? undefined : timestamp, ...sums, modRevision };
}

function toMarker(marker: Marker, modRevision: number): UnassignedMarker {
  const { kind } = marker;
  if (kind === 'new' || kind === 'unknown') return { kind, modRevision };
  return {
    kind,
    ...(marker.fromBroker !== undefined && { fromBroker: marker.fromBroker }),
    ...(marker.toBroker !== undefined && { toBroker: marker.toBroker }),
    modRevision,
  };
}

/** `http://0.0.0.0:50051` → 50051; undefined when there is none that could be connected to. */
function portOf(address: string): number | undefined {
  const port = Number(/:(\d{1,5})$/.exec(address)?.[1]);
  return port >= 1 && port <= 65_535 ? port : undefined;
}
