/**
 * Which topic without an owner goes where, and which topic waits, each with its reason. Pure: the operator re-checks
 * every decision in the transaction that carries it out (design §1.3, §5).
 */
import type { EffectiveSpec } from '../api/rebalance-policy.ts';
import { type BrokerFacts, brokersByPod, type DeathProof } from './brokers.ts';
import { createPlacement, type Placement, type PlacementPolicy } from './placement.ts';
import type { Snapshot, UnassignedMarker } from './snapshot.ts';

/** Why an owner may be passed over: its death, or, for what is not reliable, that nobody can find it any more. */
export type ReleaseReason = DeathProof | 'RegistrationLost';

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
  readonly release?: { readonly broker: string; readonly modRevision: number; readonly proof: ReleaseReason };
  /**
   * Whether the offsets must be carried on by a seeded `state`: `always` after a crash, `ifHistory` for a topic that comes
   * without a word on its past, `never` when its last owner has sealed it or it is not reliable.
   */
  readonly seed: 'always' | 'ifHistory' | 'never';
  /** No broker has ever had the topic: it has neither offsets nor hosts to ask for. */
  readonly isFirst: boolean;
  /** The broker id that the seed names as the last owner. */
  readonly lastOwner: string | undefined;
}

export type WaitReason =
  | 'DeliveryMissing'
  | 'NoBroker'
  | 'NoBrokerAllowed'
  | 'NotSealed'
  | 'MarkerUnreadable'
  | 'AwaitingSamePod'
  | 'Zombie'
  | 'OwnerUnproven'
  | 'SecondOwner'
  | 'BeingDeleted';

export interface Wait {
  readonly kind: 'Wait';
  readonly topic: string;
  readonly reason: WaitReason;
  /** For a person: what is waited for, and what to do if it does not come. */
  readonly message: string;
  /** Of NoBrokerAllowed: the names of the rules. */
  readonly rule?: string;
}

export type Decision = Assign | Wait;

export type AssignmentPolicy = Pick<EffectiveSpec, 'ranking' | 'failover' | 'placement'> &
  Pick<PlacementPolicy, 'groups'>;

/** A topic without owner and marker may be half deleted (contract 2.4): it is an orphan only after this long. */
export const ORPHAN_AFTER_MS = 5000;

export function decideAssignments(
  snapshot: Snapshot,
  brokers: ReadonlyMap<string, BrokerFacts>,
  policy: AssignmentPolicy,
): readonly Decision[] {
  const homeOf = createHomes(snapshot, brokersByPod(snapshot, brokers), policy.failover);
  const placement = createPlacement(snapshot, brokers, {
    ...policy,
    placeOf: (owner, isReliable) => placeOf(owner, isReliable, homeOf),
  });
  const context: Context = { snapshot, brokers, homeOf, policy, placement };
  const decisions: Decision[] = [];
  // Waiting markers first: the client that made the topic gives up after 2.3 s (contract M1).
  for (const topic of snapshot.metadata.unowned) decisions.push(decideUnowned(context, topic));
  const withoutLiveOwner = new Set<string>();
  for (const [broker, topics] of snapshot.metadata.topicsOf) {
    if (brokers.get(broker)?.liveness.state === 'Live') continue;
    for (const topic of topics) withoutLiveOwner.add(topic);
  }
  for (const topic of withoutLiveOwner) decisions.push(decideFailover(context, topic));
  return decisions;
}

interface Context {
  readonly snapshot: Snapshot;
  readonly brokers: ReadonlyMap<string, BrokerFacts>;
  readonly homeOf: HomeOf;
  readonly policy: AssignmentPolicy;
  readonly placement: Placement;
}

const NOBODY: ReadonlySet<string> = new Set();

/** A broker that had a reliable topic before would reuse its old log and give offsets out twice (contract M6). */
function formerHosts(
  { snapshot }: Context,
  topic: string,
  ...others: readonly (string | undefined)[]
): ReadonlySet<string> {
  const hosts = new Set(snapshot.formerHosts.get(topic));
  for (const other of others) if (other !== undefined) hosts.add(other);
  return hosts;
}

function decideUnowned(context: Context, topic: string): Decision {
  const { metadata } = context.snapshot;
  const marker = metadata.markers.get(topic);
  const delivery = metadata.deliveries.get(topic);
  if (delivery === undefined) {
    return deliveryMissing(topic);
  }
  const reliable = delivery === 'Reliable';
  if (marker === undefined) return decideOrphan(context, topic, reliable);
  if (marker.kind === 'unload' && reliable) return decideUnloaded(context, topic, marker);
  if (marker.kind === 'unknown' && reliable) {
    return wait(
      topic,
      'MarkerUnreadable',
      `nobody knows what the marker /cluster/unassigned${topic} wants; once no broker is unloading the topic, put null there`,
    );
  }

  const avoid = formerHosts(context, topic, marker.kind === 'new' ? undefined : marker.fromBroker);
  const wanted = marker.kind === 'rebalance' ? marker.toBroker : undefined;
  const to = context.placement.place(topic, avoid, wanted);
  if (to === undefined) return noBroker(context, topic, avoid);
  // A broker writes the marker of a new topic before the topic (contract 2.3); that of a failover comes long after it.
  const isFirst = marker.kind === 'new' && (metadata.createdAt.get(topic) ?? 0) > marker.modRevision;
  return {
    kind: 'Assign',
    topic,
    ...toBroker(context, to),
    reason: reasonOf(marker),
    reliable,
    marker: { modRevision: marker.modRevision },
    // A "rebalance" marker makes the source destroy the topic's storage (contract M3): there is nothing to carry on.
    seed: reliable && marker.kind !== 'rebalance' && !isFirst ? 'ifHistory' : 'never',
    isFirst,
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
  const avoid = formerHosts(context, topic);
  const to = context.placement.place(topic, avoid);
  if (to === undefined) return noBroker(context, topic, avoid);
  return {
    kind: 'Assign',
    topic,
    ...toBroker(context, to),
    reason: 'Orphan',
    reliable,
    seed: reliable ? 'ifHistory' : 'never',
    isFirst: false,
    lastOwner: undefined,
  };
}

/** A reliable topic on its way from one broker to another: the source must have sealed it first (contract 5.2, race B). */
function decideUnloaded(context: Context, topic: string, marker: UnassignedMarker): Decision {
  const from = marker.fromBroker;
  const sealed = context.snapshot.metadata.sealed.get(topic);
  const isSealed = sealed?.sealed === true && sealed.broker === from && sealed.modRevision > marker.modRevision;
  const source = from === undefined ? undefined : context.brokers.get(from);
  const sourceDead = source?.liveness.state === 'Dead';
  if (!isSealed && !sourceDead) {
    return wait(topic, 'NotSealed', `${unloading(source, from)}; the marker stays until it has sealed the topic`);
  }
  const avoid = formerHosts(context, topic, from);
  const home = isSealed || source === undefined ? undefined : context.homeOf(source);
  if (home === 'wait' && source !== undefined) return awaitingSamePod(context, topic, source);
  if (home !== undefined && home !== 'wait') context.placement.note(topic, home.id);
  const to = home === undefined || home === 'wait' ? context.placement.place(topic, avoid) : home.id;
  if (to === undefined) return noBroker(context, topic, avoid);
  return {
    kind: 'Assign',
    topic,
    ...toBroker(context, to),
    reason: 'Unloaded',
    reliable: true,
    marker: { modRevision: marker.modRevision },
    seed: isSealed ? 'never' : 'always',
    isFirst: false,
    lastOwner: from,
  };
}

/** Who unloads a topic, and what to do if that never ends. */
function unloading(source: BrokerFacts | undefined, from: string | undefined): string {
  if (from === undefined) return 'its marker does not say which broker unloads it: put null there if none does';
  const state = source?.liveness.state;
  if (state === 'Zombie' || state === 'Unproven') {
    const pod = source?.pod?.name ?? (source?.liveness.state === 'Unproven' ? source.liveness.podName : '?');
    return `broker ${from} is unloading it and has lost its registration; delete Pod ${pod} if it does not end`;
  }
  return `broker ${from} is unloading it and has not sealed it yet; look into its log if that lasts`;
}

/** A topic that is assigned, and to no live broker. */
function decideFailover(context: Context, topic: string): Decision {
  const { snapshot, policy } = context;
  const { metadata } = snapshot;
  const owners = [...(metadata.owners.get(topic) ?? [])].flatMap(([id, modRevision]) => {
    const broker = context.brokers.get(id);
    return broker === undefined ? [] : [{ broker, modRevision }];
  });
  const live = owners.find(({ broker }) => broker.liveness.state === 'Live')?.broker;
  const [owner] = owners.sort((a, b) => urgency(b.broker) - urgency(a.broker) || b.modRevision - a.modRevision);
  if (owner === undefined) return noBroker(context, topic, NOBODY);
  const { broker, modRevision } = owner;
  const { liveness } = broker;
  if (live !== undefined || liveness.state === 'Live') {
    const gone = owners.filter(({ broker: { id } }) => id !== live?.id).map(({ broker: { id } }) => id);
    return wait(
      topic,
      'SecondOwner',
      `is served by broker ${live?.id} and also assigned to ${gone.join(', ')}, which is gone; delete that assignment`,
    );
  }
  if (liveness.state === 'Unproven') {
    return wait(
      topic,
      'OwnerUnproven',
      `its owner ${broker.id} is not registered, but Pod ${liveness.podName} may still run it; delete that Pod if it does not come back`,
    );
  }
  const delivery = metadata.deliveries.get(topic);
  if (delivery === undefined) return deliveryMissing(topic);
  const reliable = delivery === 'Reliable';
  if (liveness.state === 'Zombie' && reliable) {
    return wait(
      topic,
      'Zombie',
      `its owner ${broker.id} has lost its registration and still runs in Pod ${broker.pod?.name ?? '?'}; delete that Pod to let the topic go on`,
    );
  }
  const avoid = reliable ? formerHosts(context, topic, broker.id) : new Set([broker.id]);
  const home = reliable ? context.homeOf(broker) : undefined;
  if (home === 'wait') return awaitingSamePod(context, topic, broker);
  const to = home?.id ?? context.placement.place(topic, avoid);
  if (to === undefined) return noBroker(context, topic, avoid);
  const marker = metadata.markers.get(topic);
  return {
    kind: 'Assign',
    topic,
    ...toBroker(context, to),
    reason: 'Failover',
    reliable,
    ...(marker !== undefined && { marker: { modRevision: marker.modRevision } }),
    release: { broker: broker.id, modRevision, proof: liveness.state === 'Dead' ? liveness.proof : 'RegistrationLost' },
    seed: reliable && policy.failover.resumeOffsets ? 'always' : 'never',
    isFirst: false,
    lastOwner: broker.id,
  };
}

/** Of several owners that do not live, the one that may still run decides: while it does, the topic is not free. */
function urgency({ liveness }: BrokerFacts): number {
  return liveness.state === 'Unproven' ? 2 : liveness.state === 'Zombie' ? 1 : 0;
}

/**
 * Where a reliable topic of a dead broker goes on; undefined when it may go anywhere. The same Pod's next process loses nothing
 * (contract M13), any other loses what had not been consumed (M4), so that one is waited for; and a rule that does not allow that Pod (any
 * more) has to wait for a move, which loses nothing either.
 */
type HomeOf = (dead: BrokerFacts) => BrokerFacts | 'wait' | undefined;

/** Found once for all topics of a broker. */
function createHomes(
  snapshot: Snapshot,
  inPods: ReadonlyMap<string, BrokerFacts>,
  { samePodWaitSeconds }: AssignmentPolicy['failover'],
): HomeOf {
  const homes = new Map<string, ReturnType<HomeOf>>();

  function find(dead: BrokerFacts): ReturnType<HomeOf> {
    const name = homePodName(snapshot, dead);
    if (name === undefined) return undefined;
    const next = inPods.get(name);
    if (next?.accepting === true) return next;
    const deadSince = snapshot.deadSince.get(dead.id) ?? snapshot.now;
    return snapshot.now - deadSince < samePodWaitSeconds * 1000 ? 'wait' : undefined;
  }

  return (dead) => {
    if (!homes.has(dead.id)) homes.set(dead.id, find(dead));
    return homes.get(dead.id);
  };
}

/** Where a topic of that owner is or will be again; undefined where it is to be placed anew, or nobody knows. */
function placeOf(owner: BrokerFacts, isReliable: boolean, homeOf: HomeOf): BrokerFacts | undefined {
  const { state } = owner.liveness;
  if (state === 'Live') return owner;
  const staying = owner.pod === undefined ? undefined : owner;
  if (state === 'Unproven') return staying;
  if (!isReliable) return undefined;
  const home = state === 'Dead' ? homeOf(owner) : 'wait';
  return home === 'wait' ? staying : home;
}

function awaitingSamePod({ snapshot, policy }: Context, topic: string, dead: BrokerFacts): Wait {
  return wait(
    topic,
    'AwaitingSamePod',
    `its owner ${dead.id} is dead; its log is on the disk of Pod ${homePodName(snapshot, dead) ?? '?'}, whose next process is awaited for ${policy.failover.samePodWaitSeconds} s`,
  );
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

function deliveryMissing(topic: string): Wait {
  return wait(topic, 'DeliveryMissing', `waits for /topics${topic}/delivery: without it no broker would load it`);
}

function noBroker({ placement, brokers }: Context, topic: string, avoid: ReadonlySet<string>): Wait {
  const ruledOut = placement.ruledOut(topic, avoid);
  if (ruledOut !== undefined) return { kind: 'Wait', topic, reason: 'NoBrokerAllowed', ...ruledOut };
  const avoided = [...avoid].find((id) => brokers.get(id)?.accepting);
  const which = avoided === undefined ? 'no broker takes' : `no broker but ${avoided}, which it comes from, may take`;
  return wait(topic, 'NoBroker', `${which} assignments: start one that registers and is active and ready`);
}
