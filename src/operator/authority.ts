/**
 * The right to write to one brokers' etcd: our identity in it, the fence that every write compares, and the brokers'
 * leader key, held under one stable id per policy (design §4). The Kubernetes Lease elects; this is what makes it safe.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { ClusterMetadata } from '../core/snapshot.ts';
import type { AuthorityView } from '../core/status.ts';
import { LEADER_KEY } from '../danube/keys.ts';
import { OWN_PREFIX } from '../danube/metadata.ts';
import { createLane, type Lane, type LaneResult } from '../etcd/lane.ts';
import { type Compare, type Entry, EtcdError, type EtcdPort, type Operation } from '../etcd/port.ts';
import type { Logger } from './logger.ts';

const IDENTITY_KEY = `${OWN_PREFIX}identity`;
const FENCE_KEY = `${OWN_PREFIX}fence`;
/** Until when decisions wait after the leader key was taken from a broker, epoch ms. */
const QUIET_KEY = `${OWN_PREFIX}quiet`;
const LANE_KEY = `${OWN_PREFIX}commits/main`;

/** Longer than any take-over, so that no broker grabs the key in between. */
const LEADER_LEASE_SECONDS = 20;
const KEEP_ALIVE_MS = 5000;
/** A broker whose key we took notices at its next look, up to 10 s later (contract §3). */
const QUIET_MS = 12_000;

export interface AuthorityOptions {
  readonly etcd: EtcdPort;
  readonly policy: { readonly namespace: string; readonly name: string; readonly uid: string };
  /** The uid of the namespace kube-system: which Kubernetes cluster this is. */
  readonly kubeSystemUID: string;
  /** This replica. */
  readonly identity: string;
  /** Whether the Lease is certainly ours now: only then may the fence be taken. */
  readonly mayTakeFence: () => boolean;
  readonly log: Logger;
  /** Epoch ms. */
  readonly now: () => number;
}

/**
 * What became of a transaction under the fence; never unknown. `leaderless`: not applied, since the leader key is not ours
 * now; it must be taken again first.
 */
export type FencedCommit = LaneResult | { readonly outcome: 'leaderless' };

export interface Authority {
  view(): AuthorityView;
  /** A picture of etcd older than this revision does not have all that we wrote: nothing may be decided from it. */
  mustSee(): number;
  /** Whether decisions may be carried out now. */
  mayAct(now: number): boolean;
  /** One step towards holding fence and leader key, or away from them. Idempotent. @throws EtcdError */
  step(metadata: ClusterMetadata, wanted: boolean): Promise<void>;
  /** One transaction under fence and leader key, its outcome certain. @throws EtcdError when closed before it is. */
  commit(compares: readonly Compare[], operations: readonly Operation[]): Promise<FencedCommit>;
  /** Gives up waiting for outcomes that are not known. */
  abandon(): void;
  /** Stops renewing. With `giveUp` the leader key goes at once, so that brokers lead themselves again. */
  close(giveUp: boolean): Promise<void>;
}

interface Fence {
  readonly value: string;
  readonly epoch: number;
  readonly revision: number;
  /** What is written under it. */
  readonly lane: Lane;
}

/** A u64 below 2^53 that is the same for every replica and start, and no broker's but by a chance of 2^-53. */
export function leaderIdOf(policyUID: string): string {
  const digest = createHash('sha256').update(policyUID).digest('hex');
  return (BigInt(`0x${digest.slice(0, 13)}`) + 1n).toString();
}

export function createAuthority(options: AuthorityOptions): Authority {
  const { etcd, policy, log, now } = options;
  const leaderId = leaderIdOf(policy.uid);
  const closed = new AbortController();
  let fence: Fence | undefined;
  let fenced = false;
  let lease: string | undefined;
  let leaderRevision = 0;
  let quietUntil = 0;
  let clusterUID: string | undefined;
  let written = 0;
  /** Why the last transaction's outcome had to be read back, until one goes through. */
  let unknown: string | undefined;
  let state: AuthorityView['state'] = 'Connecting';
  let message = 'the leader key has not been read yet';

  function become(next: AuthorityView['state'], why: string): void {
    if (next !== state) log.info({ policy: policy.name, authority: next, epoch: fence?.epoch, leaderId }, why);
    state = next;
    message = why;
  }

  const keepAlive = setInterval(() => {
    if (lease === undefined) return;
    const id = lease;
    etcd.keepAliveLease(id).then(
      (seconds) => {
        if (seconds === 0 && lease === id) {
          log.warn({ policy: policy.name }, 'the lease of the leader key has expired');
          lease = undefined;
        }
      },
      (error: EtcdError) => log.warn({ policy: policy.name, error: error.message }, 'the leader lease was not renewed'),
    );
  }, KEEP_ALIVE_MS);

  const ours = { kubeSystemUID: options.kubeSystemUID, policy: `${policy.namespace}/${policy.name}` };

  /** Writes who we are, once; false if the etcd belongs to somebody else. */
  async function claimIdentity(metadata: ClusterMetadata): Promise<boolean> {
    let text = metadata.own.get(IDENTITY_KEY)?.value ?? (await etcd.get(IDENTITY_KEY))?.value.toString('utf8');
    if (text === undefined) {
      const value = JSON.stringify({ clusterUID: randomUUID(), ...ours });
      // Whatever the outcome, the key is read back: another installation may have been first.
      await etcd.commit([{ key: IDENTITY_KEY, modRevision: 0 }], [{ put: IDENTITY_KEY, value }]);
      text = (await etcd.get(IDENTITY_KEY))?.value.toString('utf8');
      if (text === undefined) throw new EtcdError('the identity was not written; it will be tried again');
    }
    return isOurs(text);
  }

  function isOurs(identity: string): boolean {
    const found = parseIdentity(identity);
    clusterUID = found.clusterUID;
    if (found.kubeSystemUID === ours.kubeSystemUID && found.policy === ours.policy) return true;
    become(
      'PolicyConflict',
      `this etcd belongs to policy ${found.policy} of the Kubernetes cluster ${found.kubeSystemUID} ` +
        `(this is ${ours.policy} of ${ours.kubeSystemUID}); if that one is gone for good, delete the etcd key ${IDENTITY_KEY}`,
    );
    return false;
  }

  async function takeFence(): Promise<boolean> {
    if (!options.mayTakeFence()) return false;
    const before = await etcd.get(FENCE_KEY);
    const epoch = (before === undefined ? 0 : parseEpoch(before.value.toString('utf8'))) + 1;
    const value = JSON.stringify({ epoch, holder: options.identity, nonce: randomUUID() });
    if (!options.mayTakeFence()) return false;
    await etcd.commit([{ key: FENCE_KEY, modRevision: before?.modRevision ?? 0 }], [{ put: FENCE_KEY, value }]);
    // The nonce tells whether it is ours, however the call ended.
    const after = await etcd.get(FENCE_KEY);
    if (after?.value.toString('utf8') !== value) return false;
    const lane = createLane({
      etcd,
      key: LANE_KEY,
      revision: (await etcd.get(LANE_KEY))?.modRevision ?? 0,
      epoch,
      fence: { key: FENCE_KEY, value },
      guards: [{ key: LEADER_KEY, value: leaderId }],
      signal: closed.signal,
      onUnknown: (error) => {
        unknown = error.message;
        log.warn({ policy: policy.name, error: error.message }, 'outcome of a transaction unknown; reading back');
      },
    });
    fence = { value, epoch, revision: after.modRevision, lane };
    fenced = false;
    log.info({ policy: policy.name, epoch, identity: options.identity }, 'took the fence');
    return true;
  }

  async function takeLeaderKey(metadata: ClusterMetadata, held: Fence): Promise<void> {
    const current = metadata.leader;
    if (current?.id === leaderId && lease !== undefined && current.modRevision === leaderRevision) {
      become('Held', `holds ${LEADER_KEY} as ${leaderId}, epoch ${held.epoch}`);
      return;
    }
    // Our own write may not have come back by the watch yet.
    if (lease !== undefined && metadata.revision < leaderRevision) return;
    const unreadable = metadata.problems.get(LEADER_KEY);
    if (unreadable !== undefined) {
      become('ForeignOperator', `${LEADER_KEY} ${unreadable}, so no broker can read who leads; delete the key`);
      return;
    }
    if (current !== undefined && current.id !== leaderId && !isBroker(metadata, current.id)) {
      become(
        'ForeignOperator',
        `${LEADER_KEY} holds ${current.id}, which is neither a broker's id nor ours: another program leads these brokers. ` +
          'Stop it, or delete the key if that program is gone, or set mode to Observe',
      );
      return;
    }
    const fromBroker = current !== undefined && current.id !== leaderId;
    const quiet = fromBroker ? now() + QUIET_MS : quietSince(metadata);
    if (fromBroker) become('HeldByBroker', `${LEADER_KEY} holds broker ${current.id}; taking it over`);
    lease ??= await etcd.grantLease(LEADER_LEASE_SECONDS);
    const result = await etcd.commit(
      [
        { key: FENCE_KEY, value: held.value },
        { key: LEADER_KEY, modRevision: current?.modRevision ?? 0 },
      ],
      [
        { put: LEADER_KEY, value: leaderId, lease },
        // The next replica must keep quiet for as long, if this one ends before.
        ...(fromBroker ? [{ put: QUIET_KEY, value: JSON.stringify({ until: quiet }) }] : []),
      ],
    );
    const mine = lease;
    const after = result.outcome === 'applied' ? undefined : await etcd.get(LEADER_KEY);
    if (result.outcome !== 'applied' && !(after?.value.toString('utf8') === leaderId && after.lease === mine)) return;
    leaderRevision = result.outcome === 'applied' ? result.revision : (after?.modRevision ?? 0);
    quietUntil = Math.max(quietUntil, quiet);
    become(
      'Held',
      fromBroker
        ? `took ${LEADER_KEY} over from broker ${current.id}; looks on for ${QUIET_MS / 1000} s, since that broker may not know yet`
        : `holds ${LEADER_KEY} as ${leaderId}, epoch ${held.epoch}`,
    );
  }

  /** Until when an earlier replica said to keep quiet; never longer than a whole period, whatever its clock. */
  function quietSince(metadata: ClusterMetadata): number {
    const until = parseObject(metadata.own.get(QUIET_KEY)?.value ?? '').until;
    return typeof until === 'number' ? Math.min(until, now() + QUIET_MS) : 0;
  }

  async function revokeLeaderKey(): Promise<void> {
    if (lease === undefined) return;
    const id = lease;
    lease = undefined;
    await etcd.revokeLease(id);
  }

  function isFencedIn(metadata: ClusterMetadata): boolean {
    if (fence === undefined || metadata.revision < fence.revision) return false;
    return metadata.own.get(FENCE_KEY)?.value !== fence.value;
  }

  return {
    view: () => ({
      state: fenced ? 'Fenced' : state,
      message: fenced ? 'another replica has taken over; the writes of this one are refused' : message,
      ...(fence !== undefined && { epoch: fence.epoch }),
      ...(quietUntil > now() && { quietUntil }),
      ...(clusterUID !== undefined && { clusterUID }),
      ...(unknown !== undefined && { error: unknown }),
    }),

    mustSee: () => Math.max(written, fence?.revision ?? 0),

    mayAct: (at) => state === 'Held' && fence !== undefined && !fenced && lease !== undefined && at >= quietUntil,

    async step(metadata, wanted) {
      if (!wanted) {
        await revokeLeaderKey();
        fence = undefined;
        fenced = false;
        // Looking on is not leading, but the same brokers under two policies would be reported twice.
        const identity = metadata.own.get(IDENTITY_KEY)?.value;
        if (identity !== undefined && !isOurs(identity)) return;
        become('NotWanted', 'in mode Observe the brokers lead themselves');
        return;
      }
      if (isFencedIn(metadata)) fenced = true;
      if (fence === undefined || fenced) {
        if (!(await claimIdentity(metadata)) || !(await takeFence())) return;
      }
      if (fence !== undefined) await takeLeaderKey(metadata, fence);
    },

    async commit(compares, operations) {
      if (fence === undefined || fenced) return { outcome: 'fenced' };
      const { lane } = fence;
      const result = await lane.commit(compares, operations);
      // Meanwhile another fence may have been taken; that one is not concerned.
      if (result.outcome === 'fenced' && fence?.lane === lane) fenced = true;
      if (result.outcome === 'fenced') return result;
      unknown = undefined;
      written = Math.max(written, result.revision);
      const leader = result.outcome === 'refused' && result.found.length > 0 ? leaderIn(result.found) : leaderId;
      // Somebody took the leader key: nothing else of this round can be written either, and it must be retaken first.
      return leader === leaderId ? result : { outcome: 'leaderless' };
    },

    abandon: () => closed.abort(),

    async close(giveUp) {
      clearInterval(keepAlive);
      closed.abort();
      if (giveUp) await revokeLeaderKey();
    },
  };
}

function leaderIn(found: readonly Entry[]): string | undefined {
  return found.find(({ key }) => key === LEADER_KEY)?.value.toString('utf8');
}

/** A zombie broker may lead on without a registration; its report or state key shows that the id is a broker's. */
function isBroker(metadata: ClusterMetadata, id: string): boolean {
  return metadata.registrations.has(id) || metadata.reports.has(id) || metadata.states.has(id);
}

/** @throws EtcdError when the key holds something that is not ours: going on could reuse an epoch. */
function parseEpoch(text: string): number {
  const epoch = parseObject(text).epoch;
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch) || epoch < 0) {
    throw new EtcdError(`${FENCE_KEY} does not hold a fence of ours (${text.slice(0, 100)}); delete it to start again`);
  }
  return epoch;
}

function parseIdentity(text: string): { clusterUID: string; kubeSystemUID: string; policy: string } {
  const { clusterUID, kubeSystemUID, policy } = parseObject(text);
  return { clusterUID: String(clusterUID), kubeSystemUID: String(kubeSystemUID), policy: String(policy) };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
