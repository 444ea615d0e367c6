/**
 * Decisions as etcd transactions. Each re-checks what it was decided from: the marker or the dead owner's assignment, and
 * that the target is still the same registered process in the same state (design §1.3, contract 5.3).
 */
import type { Assign } from '../core/assignment.ts';
import { hasHistory, type OffsetEvidence, seedOffset } from '../core/offsets.ts';
import {
  assignmentKey,
  brokerStateKey,
  registrationKey,
  sealedStateKey,
  topicKey,
  unassignedKey,
} from '../danube/keys.ts';
import { OWN_PREFIX } from '../danube/metadata.ts';
import { encodeSealedState, NULL_VALUE } from '../danube/values.ts';
import type { Compare, Operation } from '../etcd/port.ts';

export interface TopicTransaction {
  readonly assign: Assign;
  readonly compares: readonly Compare[];
  readonly operations: readonly Operation[];
}

/** What was read on demand about the past of a reliable topic. */
export interface TopicHistory {
  readonly evidence: OffsetEvidence;
  /** `state` keys as read: storage root → modRevision, 0 where there is none. */
  readonly stateRevisions: ReadonlyMap<string, number>;
  /** Brokers that have had the topic, oldest first, and the note that says so: revision 0 if there is none. */
  readonly hosts: readonly string[];
  readonly noteRevision: number;
}

export interface SeedPolicy {
  readonly resumeOffsets: boolean;
  readonly offsetMargin: number;
}

/** A process lives for a while only: older hosts are long dead. */
const HOSTS_KEPT = 32;

/** Our note on a reliable topic: its last seed and its hosts so far (design §4, `offsets/{N}/{T}`). */
export function offsetsKey(topic: string): string {
  return `${OWN_PREFIX}offsets${topic}`;
}

export function topicTransaction(
  assign: Assign,
  history: TopicHistory | undefined,
  policy: SeedPolicy,
  nowSeconds: number,
): TopicTransaction {
  const { topic, to } = assign;
  const compares: Compare[] = [
    { key: registrationKey(to), createRevision: assign.target.createRevision },
    { key: brokerStateKey(to), modRevision: assign.target.stateRevision },
    // Never a second PUT of an assignment that the broker serves: it would rebuild the topic (contract 5.1).
    { key: assignmentKey(to, topic), createRevision: 0 },
  ];
  const operations: Operation[] = [{ put: assignmentKey(to, topic), value: NULL_VALUE }];
  if (assign.marker !== undefined) {
    compares.push({ key: unassignedKey(topic), modRevision: assign.marker.modRevision });
    operations.push({ delete: unassignedKey(topic) });
  }
  if (assign.release !== undefined) releaseAssignment(assign.release, topic, compares, operations);
  // An orphan stands on nothing else that could tell that it was deleted meanwhile.
  if (assign.reason === 'Orphan') {
    compares.push({ key: topicKey(topic), exists: true }, { key: unassignedKey(topic), modRevision: 0 });
  }
  if (history === undefined) {
    if (assign.reliable && assign.isFirst)
      operations.push({ put: offsetsKey(topic), value: JSON.stringify({ hosts: [to] }) });
    return { assign, compares, operations };
  }
  let { lastSeed } = history.evidence;
  if (needsSeed(assign, history.evidence, policy)) {
    const offset = seedOffset(history.evidence, BigInt(policy.offsetMargin));
    for (const [root, modRevision] of history.stateRevisions) {
      const key = sealedStateKey(root, topic);
      compares.push({ key, modRevision });
      const state = {
        broker: assign.lastOwner ?? assign.to,
        lastCommittedOffset: offset,
        sealed: true,
        timestamp: nowSeconds,
      };
      operations.push({ put: key, value: encodeSealedState(state) });
    }
    lastSeed = offset;
  }
  const known = new Set([...history.hosts, ...(assign.lastOwner === undefined ? [] : [assign.lastOwner]), to]);
  const note = { ...(lastSeed !== undefined && { seed: lastSeed.toString() }), hosts: [...known].slice(-HOSTS_KEPT) };
  compares.push({ key: offsetsKey(topic), modRevision: history.noteRevision });
  operations.push({ put: offsetsKey(topic), value: JSON.stringify(note) });
  return { assign, compares, operations };
}

/**
 * The one place that deletes an assignment. It takes a proof of death: a live owner would answer the deletion by
 * destroying the topic's storage (contract 5.1, M17).
 */
function releaseAssignment(
  release: NonNullable<Assign['release']>,
  topic: string,
  compares: Compare[],
  operations: Operation[],
): void {
  const key = assignmentKey(release.broker, topic);
  compares.push({ key, modRevision: release.modRevision });
  operations.push({ delete: key });
}

function needsSeed(assign: Assign, evidence: OffsetEvidence, policy: SeedPolicy): boolean {
  if (!policy.resumeOffsets || assign.seed === 'never') return false;
  if (assign.seed === 'always') return true;
  if (!hasHistory(evidence)) return false;
  // A sealed state that covers all that is known is the last owner's own word; anything else is a crash. One behind our
  // last seed was left by an owner from before it.
  const { sealedOffset, lastSeed } = evidence;
  const known = [...evidence.objectEnds, ...evidence.cursors, ...(lastSeed === undefined ? [] : [lastSeed])];
  return sealedOffset === undefined || known.some((offset) => offset > sealedOffset);
}

/** etcd's limit is 128 for comparisons and for operations; the fence, the leader key and the lane take their part. */
const MAX_PER_TRANSACTION = 110;

/** Packs topics into as few transactions as the server's limits allow; a key never stands twice in one. */
export function packTransactions(topics: readonly TopicTransaction[]): readonly (readonly TopicTransaction[])[] {
  const packs: TopicTransaction[][] = [];
  let pack: TopicTransaction[] = [];
  let compares = new Set<string>();
  let dead = new Set<string>();
  let operations = 0;
  for (const topic of topics) {
    const { release } = topic.assign;
    const addedCompares = topic.compares.filter((compare) => !compares.has(compare.key)).length;
    // Each dead broker leaves a record, which is one more operation.
    const addedOperations = topic.operations.length + (release === undefined || dead.has(release.broker) ? 0 : 1);
    const full =
      compares.size + addedCompares > MAX_PER_TRANSACTION || operations + addedOperations > MAX_PER_TRANSACTION;
    if (full && pack.length > 0) {
      packs.push(pack);
      pack = [];
      compares = new Set();
      dead = new Set();
      operations = 0;
    }
    if (release !== undefined && !dead.has(release.broker)) operations += 1;
    if (release !== undefined) dead.add(release.broker);
    pack.push(topic);
    for (const compare of topic.compares) compares.add(compare.key);
    operations += topic.operations.length;
  }
  if (pack.length > 0) packs.push(pack);
  return packs;
}

/** The comparisons of a pack, each key once: topics that go to one broker share what is asked of it. */
export function mergeCompares(pack: readonly TopicTransaction[]): readonly Compare[] {
  const byKey = new Map<string, Compare>();
  for (const { compares } of pack) for (const compare of compares) byKey.set(compare.key, compare);
  return [...byKey.values()];
}
