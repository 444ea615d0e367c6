/**
 * Which topic without an owner goes where, and which topic waits, each with its reason. Pure: the operator re-checks
 * every decision in the transaction that carries it out (design §1.3, §5).
 */
import type { EffectiveSpec } from '../api/rebalance-policy.ts';
import { type BrokerFacts, brokerInPod, type DeathProof, judgeBroker } from './brokers.ts';
import { createPlacement } from './placement.ts';
import type { Snapshot, UnassignedMarker } from './snapshot.ts';

export interface Assign {
  readonly kind: 'Assign';
  readonly topic: string;
  readonly to: string;
  /** The target's process and state that this was decided for. */
  readonly target: { readonly createRevision: number; readonly stateRevision: number };
  readonly reason: 'NewTopic' | 'Orphan' | 'Unloaded' | 'Redirected' | 'Rebalance' | 'Failover';
  readonly reliable: boolean;
  /** The marker that this serves and removes. */
  readonly marker?: { readonly modRevision: number };
  /** The assignment of a dead owner that this ends. Nothing else may delete an assignment without a marker. */
  readonly release?: { readonly broker: string; readonly modRevision: number; readonly proof: DeathProof };
  /**
   * Whether the offsets must be carried on by a seeded `state`: `always` after a crash, `ifHistory` for a topic that comes
   * without a word on its past, `never` when its last owner has sealed it or it is not reliable.
   */
  readonly seed: 'always' | 'ifHistory' | 'never';
  /** The broker id that the seed names as the last owner. */
  readonly lastOwner: string | undefined;
}

export type WaitReason =
  | 'DeliveryMissing'
  | 'NoBroker'
  | 'NotSealed'
  | 'AwaitingSamePod'
  | 'Zombie'
  | 'OwnerUnproven'
  | 'BeingDeleted';

export interface Wait {
  readonly kind: 'Wait';
  readonly topic: string;
  readonly reason: WaitReason;
  /** For a person: what is waited for, and what to do if it does not come. */
  readonly message: string;
}

export type Decision = Assign | Wait;

export type AssignmentPolicy = Pick<EffectiveSpec, 'ranking' | 'failover'>;

/** A topic without owner and marker may be half deleted (contract 2.4): it is an orphan only after this long. */
export const ORPHAN_AFTER_MS = 5000;

export function decideAssignments(
  snapshot: Snapshot,
  brokers: ReadonlyMap<string, BrokerFacts>,
  policy: AssignmentPolicy,
): readonly Decision[] {
  const placement = createPlacement(snapshot, brokers, policy.ranking.algorithm);
  const context: Context = { snapshot, brokers, policy, place: placement.place };
  const decisions: Decision[] = [];
  // Waiting markers first: the client that made the topic gives up after 2.3 s (contract M1).
  for (const topic of snapshot.metadata.unowned) decisions.push(decideUnowned(context, topic));
  for (const [broker, topics] of snapshot.metadata.topicsOf) {
    const owner = brokers.get(broker);
    if (owner === undefined || owner.liveness.state === 'Live') continue;
    for (const topic of topics) decisions.push(decideFailover(context, owner, topic));
  }
  return decisions;
}

interface Context {
  readonly snapshot: Snapshot;
  readonly brokers: ReadonlyMap<string, BrokerFacts>;
  readonly policy: AssignmentPolicy;
  readonly place: (avoid: ReadonlySet<string>) => string | undefined;
}

const NOBODY: ReadonlySet<string> = new Set();

function decideUnowned(context: Context, topic: string): Decision {
  const { metadata } = context.snapshot;
  const marker = metadata.markers.get(topic);
  const delivery = metadata.deliveries.get(topic);
  if (delivery === undefined) {
    return wait(topic, 'DeliveryMissing', `waits for /topics${topic}/delivery: without it no broker would load it`);
  }
  const reliable = delivery === 'Reliable';
  if (marker === undefined) return decideOrphan(context, topic, reliable);
  if (marker.kind === 'unload' && reliable) return decideUnloaded(context, topic, marker);

  const avoid = marker.kind === 'new' || marker.fromBroker === undefined ? NOBODY : new Set([marker.fromBroker]);
  const wanted = marker.kind === 'rebalance' ? context.brokers.get(marker.toBroker ?? '') : undefined;
  const to = wanted?.accepting === true ? wanted.id : context.place(avoid);
  if (to === undefined) return noBroker(topic);
  return {
    kind: 'Assign',
    topic,
    ...toBroker(context, to),
    reason: reasonOf(marker),
    reliable,
    marker: { modRevision: marker.modRevision },
    // A "rebalance" marker makes the source destroy the topic's storage (contract M3): there is nothing to carry on.
    seed: reliable && marker.kind !== 'rebalance' ? 'ifHistory' : 'never',
    lastOwner: marker.fromBroker,
  };
}

function decideOrphan(context: Context, topic: string, reliable: boolean): Decision {
  const since = context.snapshot.unownedSince.get(topic) ?? context.snapshot.now;
  if (context.snapshot.now - since < ORPHAN_AFTER_MS) {
    return wait(
      topic,
      'BeingDeleted',
      'has neither owner nor marker; it may be half deleted, so it is left for a moment',
    );
  }
  const to = context.place(NOBODY);
  if (to === undefined) return noBroker(topic);
  return {
    kind: 'Assign',
    topic,
    ...toBroker(context, to),
    reason: 'Orphan',
    reliable,
    seed: reliable ? 'ifHistory' : 'never',
    lastOwner: undefined,
  };
}

/** A reliable topic on its way from one broker to another: the source must have sealed it first (contract 5.2, race B). */
function decideUnloaded(context: Context, topic: string, marker: UnassignedMarker): Decision {
  const { snapshot } = context;
  const from = marker.fromBroker;
  const sealed = snapshot.metadata.sealed.get(topic);
  const isSealed = sealed?.sealed === true && sealed.broker === from && sealed.modRevision > marker.modRevision;
  const sourceDead = from !== undefined && judgeBroker(snapshot, from).liveness.state === 'Dead';
  if (!isSealed && !sourceDead) {
    return wait(
      topic,
      'NotSealed',
      `broker ${from ?? '?'} is unloading it and has not sealed it yet; the marker stays until it has`,
    );
  }
  // Never back to the process that had it: it would reuse its old log (contract M6).
  const to = context.place(new Set(from === undefined ? [] : [from]));
  if (to === undefined) return noBroker(topic);
  return {
    kind: 'Assign',
    topic,
    ...toBroker(context, to),
    reason: 'Unloaded',
    reliable: true,
    marker: { modRevision: marker.modRevision },
    seed: isSealed ? 'never' : 'always',
    lastOwner: from,
  };
}

function decideFailover(context: Context, owner: BrokerFacts, topic: string): Decision {
  const { snapshot, brokers, policy } = context;
  const { liveness } = owner;
  const reliable = snapshot.metadata.deliveries.get(topic) !== 'NonReliable';
  if (liveness.state === 'Unproven') {
    return wait(
      topic,
      'OwnerUnproven',
      `its owner ${owner.id} is not registered, but Pod ${liveness.podName} may still run it; delete that Pod if it does not come back`,
    );
  }
  if (liveness.state === 'Zombie' && reliable) {
    return wait(
      topic,
      'Zombie',
      `its owner ${owner.id} has lost its registration and still runs in Pod ${owner.pod?.name ?? '?'}; delete that Pod to let the topic go on`,
    );
  }
  const modRevision = snapshot.metadata.owners.get(topic)?.get(owner.id);
  if (modRevision === undefined || liveness.state === 'Live') return noBroker(topic);
  const to = reliable ? reliableTarget(context, owner) : context.place(new Set([owner.id]));
  if (to === 'wait') {
    return wait(
      topic,
      'AwaitingSamePod',
      `its owner ${owner.id} is dead; its log is on the disk of Pod ${snapshot.remembered.get(owner.id)?.podName ?? '?'}, whose next process is awaited for ${policy.failover.samePodWaitSeconds} s`,
    );
  }
  if (to === undefined) return noBroker(topic);
  const marker = snapshot.metadata.markers.get(topic);
  return {
    kind: 'Assign',
    topic,
    ...toBroker(context, to),
    reason: 'Failover',
    reliable,
    ...(marker !== undefined && { marker: { modRevision: marker.modRevision } }),
    release: { broker: owner.id, modRevision, proof: liveness.state === 'Dead' ? liveness.proof : 'LeaseExpired' },
    seed: reliable && policy.failover.resumeOffsets ? 'always' : 'never',
    lastOwner: owner.id,
  };

  function reliableTarget({ place }: Context, dead: BrokerFacts): string | 'wait' | undefined {
    // The same Pod's next process loses nothing (contract M13); any other loses what had not been consumed (M4).
    const home = homePodName(snapshot, dead);
    const deadSince = snapshot.deadSince.get(dead.id) ?? snapshot.now;
    const next = home === undefined ? undefined : brokerInPod(snapshot, brokers, home);
    if (next?.accepting === true) return next.id;
    const waitMs = policy.failover.samePodWaitSeconds * 1000;
    if (home !== undefined && snapshot.now - deadSince < waitMs) return 'wait';
    return place(new Set([dead.id]));
  }
}

/** The Pod whose next process will find the dead broker's disk; undefined when no such Pod will come. */
function homePodName(snapshot: Snapshot, dead: BrokerFacts): string | undefined {
  const remembered = snapshot.remembered.get(dead.id);
  const name = dead.pod?.name ?? remembered?.podName;
  if (name === undefined) return undefined;
  const present = snapshot.pods.find((pod) => pod.name === name);
  const samePod = present !== undefined && present.uid === (dead.pod?.uid ?? remembered?.podUID) && !present.deleting;
  return samePod || remembered?.persistentVolume === true ? name : undefined;
}

function toBroker({ snapshot: { metadata } }: Context, to: string): Pick<Assign, 'to' | 'target'> {
  const createRevision = metadata.registrations.get(to)?.createRevision;
  // Only registered brokers take assignments; revision 0 would compare "not registered".
  if (createRevision === undefined) throw new Error(`broker ${to} was chosen and is not registered`);
  return { to, target: { createRevision, stateRevision: metadata.states.get(to)?.modRevision ?? 0 } };
}

function reasonOf(marker: UnassignedMarker): Assign['reason'] {
  switch (marker.kind) {
    case 'unload':
      return 'Unloaded';
    case 'rebalance':
      return 'Rebalance';
    case 'drain_redirect':
      return 'Redirected';
    default:
      return 'NewTopic';
  }
}

function wait(topic: string, reason: WaitReason, message: string): Wait {
  return { kind: 'Wait', topic, reason, message };
}

function noBroker(topic: string): Wait {
  return wait(topic, 'NoBroker', 'no broker takes assignments: none is registered, active and ready');
}
