/**
 * Follows the whole history of the brokers' etcd, revision by revision, and keeps what the demo must prove: who owned
 * what when. It knows nothing of the operator but its records of failovers.
 */
import { parseKey } from '../../src/danube/keys.ts';
import type { EtcdPort, WatchedEvent } from '../../src/etcd/port.ts';
import { type FailoverRecord, HISTORY_PREFIX } from '../../src/operator/execute.ts';

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
  /** Every PUT of an assignment, in order. */
  readonly assigned: readonly OwnershipEvent[];
  readonly registered: ReadonlySet<string>;
  readonly topics: ReadonlySet<string>;
  readonly failovers: readonly FailoverRecord[];
  readonly leader: string | undefined;
  apply(events: readonly WatchedEvent[], at: number): void;
}

export function createHistoryFold(): HistoryFold {
  const owners = new Map<string, Set<string>>();
  const doublyOwned = new Set<string>();
  const assigned: OwnershipEvent[] = [];
  const registered = new Set<string>();
  const topics = new Set<string>();
  const failovers: FailoverRecord[] = [];
  let leader: string | undefined;

  function applyRevision(events: readonly WatchedEvent[], at: number): void {
    const touched = new Set<string>();
    for (const { type, entry } of events) {
      const key = parseKey(entry.key);
      const present = type === 'put';
      if (key.kind === 'leader') leader = present ? entry.value.toString('utf8') : undefined;
      if (key.kind === 'registration') toggle(registered, key.broker, present);
      if (key.kind === 'topic') toggle(topics, key.topic, present);
      if (key.kind === 'assignment') {
        const brokers = owners.get(key.topic) ?? new Set<string>();
        toggle(brokers, key.broker, present);
        owners.set(key.topic, brokers);
        touched.add(key.topic);
        if (present) assigned.push({ topic: key.topic, broker: key.broker, revision: entry.modRevision, at });
      }
      if (present && entry.key.startsWith(HISTORY_PREFIX)) {
        failovers.push(JSON.parse(entry.value.toString('utf8')) as FailoverRecord);
      }
    }
    // Between two events of one transaction nobody can look.
    for (const topic of touched) if ((owners.get(topic)?.size ?? 0) > 1) doublyOwned.add(topic);
  }

  return {
    owners,
    doublyOwned,
    assigned,
    registered,
    topics,
    failovers,
    get leader() {
      return leader;
    },
    apply(events, at) {
      for (const group of byRevision(events)) applyRevision(group, at);
    },
  };
}

function toggle(set: Set<string>, item: string, present: boolean): void {
  if (present) set.add(item);
  else set.delete(item);
}

function byRevision(events: readonly WatchedEvent[]): readonly (readonly WatchedEvent[])[] {
  const groups: WatchedEvent[][] = [];
  let revision: number | undefined;
  for (const event of events) {
    if (event.entry.modRevision !== revision) groups.push([]);
    revision = event.entry.modRevision;
    groups.at(-1)?.push(event);
  }
  return groups;
}

export interface HistoryFollower {
  readonly fold: HistoryFold;
  stop(): Promise<void>;
}

/** Starts before anything else writes, so that it sees every revision. @throws EtcdError */
export async function followHistory(etcd: EtcdPort): Promise<HistoryFollower> {
  const fold = createHistoryFold();
  const stopped = new AbortController();
  const { revision } = await etcd.read('');
  const following = (async () => {
    for await (const message of etcd.watch('', revision + 1, stopped.signal)) {
      if (message.kind === 'events') fold.apply(message.events, Date.now());
      if (message.kind === 'compacted') throw new Error('the history was compacted: the counts would not be complete');
    }
  })();
  return {
    fold,
    async stop() {
      stopped.abort();
      await following;
    },
  };
}
