/** Carries decisions out: reads what is too large for the snapshot, commits in packs, and says what became of each. */
import { randomUUID } from 'node:crypto';
import type { Assign } from '../core/assignment.ts';
import type { ClusterMetadata } from '../core/snapshot.ts';
import { DEFAULT_STORAGE_ROOTS, parseKey, subscriptionsPrefix, topicStoragePrefix } from '../danube/keys.ts';
import { OWN_PREFIX } from '../danube/metadata.ts';
import { decodeCursor, decodeObjectEnd, decodeSealedState } from '../danube/values.ts';
import type { EtcdPort, Operation } from '../etcd/port.ts';
import type { Authority } from './authority.ts';
import {
  mergeCompares,
  offsetsKey,
  packTransactions,
  type SeedPolicy,
  type TopicHistory,
  type TopicTransaction,
  topicTransaction,
} from './transactions.ts';

export interface ExecuteOptions {
  readonly etcd: EtcdPort;
  readonly authority: Authority;
  readonly metadata: ClusterMetadata;
  readonly assigns: readonly Assign[];
  readonly seed: SeedPolicy;
  /** The policy's storage root, if it names one. */
  readonly storageRoot: string | undefined;
  /** When and why each broker was found dead, and its Pod, for the record. */
  readonly deaths: ReadonlyMap<string, { readonly pod: string | undefined; readonly provenAt: number }>;
  readonly now: () => number;
}

export interface Execution {
  readonly applied: readonly Assign[];
  /** Must be decided anew. What is in neither list was not tried yet. */
  readonly refused: readonly Assign[];
  /** Topics that were on their way back to a broker that had them, and all that have: nothing was written for them. */
  readonly formerHosts: ReadonlyMap<string, ReadonlySet<string>>;
  /** Revision at which all that was applied can be seen; 0 when nothing was. */
  readonly revision: number;
  /** Nothing more could be written: the fence or the leader key is not ours any more. */
  readonly fenced: boolean;
}

const PARALLEL_READS = 16;

/** Whether the past of a topic decides over it: a reliable one has offsets and hosts, unless it is being destroyed (M3). */
function hasPast({ reliable, reason, isFirst }: Assign): boolean {
  return reliable && reason !== 'Rebalance' && !isFirst;
}
/**
 * How many topics with a past are served before the next look: the reads for a thousand take seconds, and a topic that
 * is created meanwhile must not wait for them (contract M1).
 */
const SEEDED_AT_ONCE = 64;

/** @throws EtcdError when etcd does not answer; what was applied by then shows in the metadata. */
export async function execute(options: ExecuteOptions): Promise<Execution> {
  const applied: Assign[] = [];
  const refused: Assign[] = [];
  const formerHosts = new Map<string, ReadonlySet<string>>();
  let revision = 0;

  async function commitPack(pack: readonly TopicTransaction[]): Promise<boolean> {
    const operations = [...pack.flatMap((topic) => topic.operations), ...failoverRecords(options, pack)];
    const result = await options.authority.commit(mergeCompares(pack), operations);
    if (result.outcome === 'fenced' || result.outcome === 'leaderless') return false;
    if (result.outcome === 'applied') {
      revision = result.revision;
      applied.push(...pack.map(({ assign }) => assign));
      return true;
    }
    const [only] = pack;
    if (pack.length === 1 && only !== undefined) {
      refused.push(only.assign);
      return true;
    }
    // One topic of the pack has changed meanwhile; the others need not wait for the next round.
    for (const topic of pack) if (!(await commitPack([topic]))) return false;
    return true;
  }

  // Topics without a past first: their clients are waiting (contract M1), and nothing need be read for them.
  const plain = options.assigns.filter((assign) => !hasPast(assign));
  const seeded = options.assigns.filter(hasPast).slice(0, SEEDED_AT_ONCE);
  for (const pack of packTransactions(plain.map((assign) => transactionOf(options, assign, undefined)))) {
    if (!(await commitPack(pack))) return { applied, refused, formerHosts, revision, fenced: true };
  }
  for (let at = 0; at < seeded.length; at += PARALLEL_READS) {
    const batch = seeded.slice(at, at + PARALLEL_READS);
    const read = await Promise.all(
      batch.map(async (assign) => ({ assign, history: await readHistory(options, assign) })),
    );
    const transactions = read.flatMap(({ assign, history }) => {
      // Back to a process that had it: decided anew, now that this is known (contract M6).
      const returns = history.hosts.includes(assign.to);
      if (returns) formerHosts.set(assign.topic, new Set(history.hosts));
      return returns ? [] : [transactionOf(options, assign, history)];
    });
    for (const pack of packTransactions(transactions)) {
      if (!(await commitPack(pack))) return { applied, refused, formerHosts, revision, fenced: true };
    }
  }
  return { applied, refused, formerHosts, revision, fenced: false };
}

function transactionOf(options: ExecuteOptions, assign: Assign, history: TopicHistory | undefined): TopicTransaction {
  return topicTransaction(assign, history, options.seed, Math.floor(options.now() / 1000));
}

async function readHistory(options: ExecuteOptions, assign: Assign): Promise<TopicHistory> {
  const { etcd, metadata } = options;
  const roots = storageRoots(options);
  const [note, subscriptions, ...perRoot] = await Promise.all([
    etcd.get(offsetsKey(assign.topic)),
    etcd.read(subscriptionsPrefix(assign.topic)),
    ...roots.map(async (root) => ({
      root,
      stored: (await etcd.read(topicStoragePrefix(root, assign.topic))).entries,
    })),
  ]);
  const cursors: bigint[] = [];
  for (const { key, value } of subscriptions.entries) {
    const cursor = parseKey(key).kind === 'cursor' ? decodeCursor(value) : undefined;
    if (cursor?.ok) cursors.push(cursor.value);
  }
  const objectEnds: bigint[] = [];
  const stateRevisions = new Map<string, number>();
  let sealedOffset: bigint | undefined;
  for (const { root, stored } of perRoot) {
    const state = stored.find(({ key }) => parseKey(key).kind === 'sealedState');
    stateRevisions.set(root, state?.modRevision ?? 0);
    const decoded = state && decodeSealedState(state.value);
    // A state older than the assignment that it should end was left behind by an earlier move (contract M6).
    const ended =
      assign.release === undefined ? 0 : (metadata.owners.get(assign.topic)?.get(assign.release.broker) ?? 0);
    if (state !== undefined && decoded?.ok && decoded.value.sealed && state.modRevision > ended) {
      const offset = decoded.value.lastCommittedOffset;
      if (sealedOffset === undefined || offset > sealedOffset) sealedOffset = offset;
    }
    for (const { key, value } of stored) {
      const end = parseKey(key).kind === 'object' ? decodeObjectEnd(value) : undefined;
      if (end?.ok) objectEnds.push(end.value);
    }
  }
  const { seed: lastSeed, hosts } = parseNote(note?.value);
  return {
    evidence: { sealedOffset, objectEnds, cursors, lastSeed },
    stateRevisions,
    hosts,
    noteRevision: note?.modRevision ?? 0,
  };
}

/** Before anything was uploaded nothing tells the brokers' root: then both defaults get the seed; one is never read. */
function storageRoots({ storageRoot, metadata }: ExecuteOptions): readonly string[] {
  if (storageRoot !== undefined) return [storageRoot];
  return metadata.storageRoots.size > 0 ? [...metadata.storageRoots] : DEFAULT_STORAGE_ROOTS;
}

/** A note that cannot be read says nothing; it is written anew. */
function parseNote(value: Buffer | undefined): { seed: bigint | undefined; hosts: readonly string[] } {
  const text = value?.toString('utf8') ?? '';
  const seed = /"seed":"(\d{1,20})"/.exec(text)?.[1];
  const hosts = /"hosts":\[([^\]]*)\]/.exec(text)?.[1] ?? '';
  return {
    seed: seed === undefined ? undefined : BigInt(seed),
    hosts: [...hosts.matchAll(/"(\d{1,20})"/g)].flatMap(([, id]) => id ?? []),
  };
}

/** What a failover leaves in `history/` (design §4): one record a transaction and dead broker. */
export interface FailoverRecord {
  readonly kind: 'Failover';
  readonly pod: string | null;
  readonly broker: string;
  readonly proof: string;
  /** Epoch ms. */
  readonly provenAt: number;
  readonly committedAt: number;
  readonly topics: number;
  readonly to: readonly string[];
}

export const HISTORY_PREFIX = `${OWN_PREFIX}history/`;

function failoverRecords(options: ExecuteOptions, pack: readonly TopicTransaction[]): readonly Operation[] {
  const failovers = pack.flatMap(({ assign }) => (assign.release === undefined ? [] : [{ ...assign.release, assign }]));
  const committedAt = options.now();
  return [...Map.groupBy(failovers, ({ broker }) => broker)].flatMap(([broker, released]) => {
    const [first] = released;
    if (first === undefined) return [];
    const death = options.deaths.get(broker);
    const record: FailoverRecord = {
      kind: 'Failover',
      pod: death?.pod ?? null,
      broker,
      proof: first.proof,
      provenAt: death?.provenAt ?? committedAt,
      committedAt,
      topics: released.length,
      to: [...new Set(released.map(({ assign }) => assign.to))],
    };
    const order = String(committedAt).padStart(15, '0');
    return [{ put: `${HISTORY_PREFIX}${order}-${randomUUID()}`, value: JSON.stringify(record) }];
  });
}
