/**
 * Follows the whole history of the brokers' etcd, revision by revision, and keeps what the demo must prove: who owned
 * what when. It knows nothing of the operator but its records of failovers; whether all was as it should be is the auditor's word.
 */
import { type Auditor, type AuditorOptions, createAuditor } from '../../src/danube/audit/auditor.ts';
import { parseKey } from '../../src/danube/keys.ts';
import type { EtcdPort, WatchedEvent } from '../../src/etcd/port.ts';
import { type FailoverRecord, HISTORY_PREFIX } from '../../src/operator/execute.ts';
import { type Follower, followEvents } from '../audit.ts';

export interface OwnershipEvent {
  readonly topic: string;
  readonly broker: string;
  readonly revision: number;
  /** Epoch ms at which it was seen. */
  readonly at: number;
}

export interface HistoryFold {
  /** Topic → brokers that own it now. */
  readonly owners: ReadonlyMap<string, ReadonlySet<string>>;
  /** Topics that had two owners at the end of any revision. */
  readonly doublyOwned: ReadonlySet<string>;
  /** Has read the same history. */
  readonly auditor: Auditor;
  /** Every PUT of an assignment, in order. */
  readonly assigned: readonly OwnershipEvent[];
  readonly registered: ReadonlySet<string>;
  readonly topics: ReadonlySet<string>;
  readonly failovers: readonly FailoverRecord[];
  readonly leader: string | undefined;
  apply(events: readonly WatchedEvent[], at: number): void;
}

/** `snapshot` is what stood before the history begins: nothing of the brokers, or the fold would not know of it. */
export function createHistoryFold(snapshot?: AuditorOptions['snapshot']): HistoryFold {
  const auditor = createAuditor(snapshot === undefined ? {} : { snapshot });
  const owners = new Map<string, Set<string>>();
  const assigned: OwnershipEvent[] = [];
  const registered = new Set<string>();
  const topics = new Set<string>();
  const failovers: FailoverRecord[] = [];
  let leader: string | undefined;

  function applyEvent({ type, entry }: WatchedEvent, at: number): void {
    const key = parseKey(entry.key);
    const present = type === 'put';
    if (key.kind === 'leader') leader = present ? entry.value.toString('utf8') : undefined;
    if (key.kind === 'registration') toggle(registered, key.broker, present);
    if (key.kind === 'topic') toggle(topics, key.topic, present);
    if (key.kind === 'assignment') {
      const brokers = owners.get(key.topic) ?? new Set<string>();
      toggle(brokers, key.broker, present);
      owners.set(key.topic, brokers);
      if (present) assigned.push({ topic: key.topic, broker: key.broker, revision: entry.modRevision, at });
    }
    if (present && entry.key.startsWith(HISTORY_PREFIX)) {
      failovers.push(JSON.parse(entry.value.toString('utf8')) as FailoverRecord);
    }
  }

  return {
    owners,
    get doublyOwned() {
      const found = auditor.findings().filter(({ kind }) => kind === 'DoublyOwned');
      return new Set(found.flatMap(({ topic }) => topic ?? []));
    },
    auditor,
    assigned,
    registered,
    topics,
    failovers,
    get leader() {
      return leader;
    },
    apply(events, at) {
      auditor.apply(events, at);
      for (const event of events) applyEvent(event, at);
    },
  };
}

function toggle(set: Set<string>, item: string, present: boolean): void {
  if (present) set.add(item);
  else set.delete(item);
}

export interface HistoryFollower extends Follower {
  readonly fold: HistoryFold;
}

/** Starts before anything else writes, so that it sees every revision. @throws EtcdError */
export async function followHistory(etcd: EtcdPort): Promise<HistoryFollower> {
  const snapshot = await etcd.read('');
  const fold = createHistoryFold(snapshot);
  return { fold, ...followEvents(etcd, snapshot.revision, fold.apply) };
}
