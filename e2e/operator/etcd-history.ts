/** The brokers' etcd as it was written, revision by revision: what the operator did, by the store's own word. */
import { LEADER_KEY, parseKey } from '../../src/danube/keys.ts';
import { OWN_PREFIX } from '../../src/danube/metadata.ts';
import type { EtcdPort, WatchedEvent } from '../../src/etcd/port.ts';

const FENCE = `${OWN_PREFIX}fence`;
const LANE = `${OWN_PREFIX}commits/main`;

export interface Revision {
  readonly revision: number;
  readonly events: readonly WatchedEvent[];
}

export interface Fence {
  readonly epoch: number;
  readonly holder: string;
}

export async function currentRevision(etcd: EtcdPort): Promise<number> {
  return (await etcd.read(LEADER_KEY)).revision;
}

/** Everything after revision `after` until now. */
export async function historyAfter(etcd: EtcdPort, after: number): Promise<readonly Revision[]> {
  const end = await currentRevision(etcd);
  const events: WatchedEvent[] = [];
  const stop = new AbortController();
  for await (const message of end > after ? etcd.watch('', after + 1, stop.signal) : []) {
    if (message.kind === 'compacted') throw new Error(`the history before ${message.compactRevision} is gone`);
    if (message.kind !== 'events') continue;
    events.push(...message.events);
    // Every revision has an event, so the last one comes.
    if ((events.at(-1)?.entry.modRevision ?? 0) >= end) break;
  }
  stop.abort();
  const byRevision = Map.groupBy(events, ({ entry }) => entry.modRevision);
  return [...byRevision].map(([revision, ofIt]) => ({ revision, events: ofIt }));
}

export async function readFence(etcd: EtcdPort): Promise<Fence> {
  const entry = await etcd.get(FENCE);
  if (entry === undefined) throw new Error('there is no fence');
  return JSON.parse(entry.value.toString('utf8')) as Fence;
}

/** What stood in `/cluster/leader` one after the other; undefined where it was absent. */
export function leaderValues(history: readonly Revision[]): readonly (string | undefined)[] {
  return history
    .flatMap(({ events }) => events)
    .filter(({ entry }) => entry.key === LEADER_KEY)
    .map(({ type, entry }) => (type === 'put' ? entry.value.toString('utf8') : undefined));
}

/** Keys of ours that were written. */
export function ownWrites(history: readonly Revision[]): readonly string[] {
  return history
    .flatMap(({ events }) => events)
    .filter(({ entry }) => entry.key.startsWith(OWN_PREFIX))
    .map(({ entry }) => `${entry.key} at revision ${entry.modRevision}`);
}

/** Assignments that went. Where no broker died and nothing is moved, there are none. */
export function releases(history: readonly Revision[]): readonly string[] {
  return history
    .flatMap(({ events }) => events)
    .filter(({ type, entry }) => type === 'delete' && parseKey(entry.key).kind === 'assignment')
    .map(({ entry }) => `${entry.key} at revision ${entry.modRevision}`);
}

/** Epochs of the operator's transactions, in order. */
export function commitEpochs(history: readonly Revision[]): readonly number[] {
  return history
    .flatMap(({ events }) => events)
    .filter(({ type, entry }) => type === 'put' && entry.key === LANE)
    .map(epochIn);
}

/**
 * Every change of the operator that was not made under the fence of its time: a transaction that names another epoch than the
 * fence before it, and an assignment made by no transaction of ours.
 */
export function unfencedWrites(history: readonly Revision[], fenceBefore: Fence | undefined): readonly string[] {
  const found: string[] = [];
  let epoch = fenceBefore?.epoch ?? 0;
  for (const { revision, events } of history) {
    const put = (key: string) => events.find(({ type, entry }) => type === 'put' && entry.key === key);
    const lane = put(LANE);
    const author = lane === undefined ? undefined : epochIn(lane);
    if (author !== undefined && author !== epoch) found.push(`revision ${revision}: epoch ${author} under ${epoch}`);
    for (const { type, entry } of events) {
      if (author !== undefined || type !== 'put' || parseKey(entry.key).kind !== 'assignment') continue;
      found.push(`revision ${revision}: ${entry.key} outside any transaction of the operator`);
    }
    const fence = put(FENCE);
    if (fence !== undefined) epoch = epochIn(fence);
  }
  return found;
}

function epochIn({ entry }: WatchedEvent): number {
  return (JSON.parse(entry.value.toString('utf8')) as { epoch: number }).epoch;
}
