/**
 * The rules of topics, checked at every revision: owners, markers, seals and seeds, offsets, storage (contract 2 to 5 and 12).
 * The events of one revision are one transaction, so every rule looks at what stands when all of them have been applied.
 */
import type { ParsedKey } from '../keys.ts';
import { decodeCursor, decodeDelivery, decodeMarker, decodeObjectEnd, decodeSealedState } from '../values.ts';
import type { BrokerBook } from './brokers.ts';
import type { AuditedEvent } from './events.ts';
import type { FindingKind } from './kinds.ts';
import type { Ledger } from './ledger.ts';
import {
  type Custody,
  emptyPast,
  forgetPast,
  isGone,
  isReliable,
  newTopic,
  proveMessage,
  type StoredState,
  type Topic,
  type Unload,
} from './topic.ts';

type TopicKey = Extract<ParsedKey, { readonly topic: string }>;

export interface TopicEvent {
  readonly key: TopicKey;
  readonly event: AuditedEvent;
}

export interface TopicAudit {
  /** All events about topics of one revision; `ours` if the operator wrote it. */
  apply(events: readonly TopicEvent[], revision: number, ours: boolean): void;
  /** After a snapshot instead of a history: takes up unloads under way, and checks what stands. */
  begin(revision: number): void;
}

export interface TopicAuditOptions {
  readonly ledger: Ledger;
  readonly brokers: BrokerBook;
  /** An assignment was put in a revision that is not the operator's. */
  readonly onForeignAssignment: (topic: string, broker: string, revision: number) => void;
}

/** Suspicions that only the deletion of a topic explains: they are right once it has an owner or a marker. */
const DENIED_BY_LIFE = ['owner', 'deletion', 'storage'];

/** Beyond every u64: the seal of an owner that was not seen to start does not tell whether it wrote anything. */
const UNKNOWN_BASE = 2n ** 64n;

/** Memory: one record per topic that exists, with an entry per subscription of a reliable one. */
export function createTopicAudit({ ledger, brokers, onForeignAssignment }: TopicAuditOptions): TopicAudit {
  const topics = new Map<string, Topic>();

  /** One topic at one revision. */
  interface Step {
    readonly topic: Topic;
    readonly revision: number;
    readonly ours: boolean;
  }

  function report({ topic, revision }: Step, kind: FindingKind, message: () => string, broker?: string): void {
    ledger.report(kind, { topic: topic.name, revision, ...(broker !== undefined && { broker }) }, message);
  }

  function undecodable(step: Step, key: string, problem: string): void {
    report(step, 'Undecodable', () => `${key} ${problem}`);
  }

  // --- what stands: existence, delivery, clients, storage -----------------------------------------------------------

  function applyFact(step: Step, { key, event }: TopicEvent): void {
    const { topic, revision } = step;
    const { value } = event.entry;
    const put = event.type === 'put';
    switch (key.kind) {
      case 'topic':
        if (put) topic.exists = true;
        break;
      case 'delivery': {
        const decoded = put ? decodeDelivery(value) : undefined;
        if (decoded?.ok === false) undecodable(step, event.entry.key, decoded.problem);
        topic.delivery = decoded?.ok === true ? decoded.value : undefined;
        break;
      }
      case 'producer':
        if (put) topic.hadProducer = true;
        break;
      case 'subscription':
        if (!isReliable(topic)) break;
        if (put && !topic.subscriptions.has(key.subscription)) topic.subscriptions.set(key.subscription, undefined);
        if (!put) topic.subscriptions.delete(key.subscription);
        if (!put) ledger.withdraw(topic.name, `cursor ${key.subscription}`);
        break;
      case 'cursor':
        if (put) putCursor(step, key.subscription, event);
        else deleteCursor(step, key.subscription);
        break;
      case 'object':
        if (put) putObject(step, key.startOffset, event);
        else deleteStorage(step);
        break;
      case 'currentObject':
        if (put) break;
        deleteStorage(step);
        topic.past = emptyPast();
        break;
      default:
    }
    if (put && (key.kind === 'producer' || key.kind === 'subscription' || key.kind === 'object')) {
      checkStateTaken(step, revision);
    }
  }

  function putCursor(step: Step, subscription: string, { entry }: AuditedEvent): void {
    const decoded = decodeCursor(entry.value);
    if (!decoded.ok) {
      undecodable(step, entry.key, decoded.problem);
      return;
    }
    step.topic.subscriptions.set(subscription, { offset: decoded.value, revision: step.revision });
    proveMessage(step.topic.past, decoded.value);
  }

  function deleteCursor({ topic, revision }: Step, subscription: string): void {
    if (!topic.subscriptions.has(subscription)) return;
    topic.subscriptions.set(subscription, undefined);
    if (!topic.exists) return;
    const message = `the cursor of subscription ${subscription} of ${topic.name} was deleted`;
    ledger.suspect(`cursor ${subscription}`, 'CursorDestroyed', { topic: topic.name, revision }, message);
  }

  function putObject(step: Step, start: bigint, { entry }: AuditedEvent): void {
    const { past, said, name } = step.topic;
    const decoded = decodeObjectEnd(entry.value);
    if (!decoded.ok) {
      undecodable(step, entry.key, decoded.problem);
      return;
    }
    const end = decoded.value;
    const again = start === past.lastObjectStart && end === past.objectsEnd;
    if (start <= past.objectsEnd && !again && !said.repeated) {
      const known = past.objectsEnd;
      report(
        step,
        'OffsetsRepeated',
        () => `an object of ${name} holds ${start} to ${end}; objects already reached ${known}`,
      );
      said.repeated = true;
    }
    said.destroyed = false;
    past.lastObjectStart = start;
    if (end > past.objectsEnd) past.objectsEnd = end;
    proveMessage(past, end);
  }

  function deleteStorage({ topic, revision }: Step): void {
    if (!topic.exists || topic.said.destroyed) return;
    topic.said.destroyed = true;
    const message = `storage keys of ${topic.name} were deleted, the first at this revision`;
    ledger.suspect('storage', 'StorageDestroyed', { topic: topic.name, revision }, message);
  }

  /** A target removes `state` as it loads the topic, before it takes any client (contract 5.3). */
  function checkStateTaken(step: Step, revision: number): void {
    const { topic } = step;
    const [owner] = topic.owners;
    const { state } = topic;
    if (owner === undefined || state === undefined || state.revision > owner.since || owner.since === revision) return;
    report(
      step,
      'StateLeftBehind',
      () => `${owner.broker} serves ${topic.name}, and the state of revision ${state.revision} is still there`,
      owner.broker,
    );
    topic.state = undefined;
  }

  // --- owners go ------------------------------------------------------------------------------------------------------

  function release(step: Step, broker: string): void {
    const { topic, revision } = step;
    // An unsubscribe would have explained a deleted cursor by now.
    if (topic.owners.length > 0) ledger.confirm(topic.name);
    topic.owners = topic.owners.filter((owner) => owner.broker !== broker);
    if (brokers.isDead(broker)) return;
    const { marker } = topic;
    if (marker?.kind === 'unload' || !isReliable(topic)) {
      topic.unload = { source: broker, since: revision, sealed: !isReliable(topic), markerGone: false };
      return;
    }
    if (!topic.exists) return;
    const stood = marker === undefined ? 'no marker' : `a marker "${marker.kind}"`;
    const message = `the assignment of ${topic.name} was deleted on live broker ${broker} while ${stood} stood`;
    ledger.suspect('deletion', 'DestructiveDeletion', { topic: topic.name, broker, revision }, message);
  }

  function changeMarker(step: Step, { event }: TopicEvent): void {
    const { topic, revision } = step;
    if (event.type === 'delete') {
      topic.marker = undefined;
      return;
    }
    const decoded = decodeMarker(event.entry.value);
    if (!decoded.ok) undecodable(step, event.entry.key, decoded.problem);
    // Brokers take a marker that they cannot read for one that is not "unload".
    const marker = decoded.ok ? decoded.value : { kind: 'unknown' as const, reason: 'undecodable' };
    topic.marker = { ...marker, revision };
    if (marker.kind === 'drain_redirect' && topic.owners.length === 0 && topic.last?.broker === marker.fromBroker) {
      bounce(step);
    }
  }

  /** The broker had not loaded it: the last to have it is the one before (contract M19). */
  function bounce(step: Step): void {
    const { topic } = step;
    const broker = topic.last?.broker;
    ledger.withdraw(topic.name);
    report(step, 'Bounced', () => `${broker} sent ${topic.name} back`, broker);
    topic.hosts = topic.hosts.filter((host) => host !== broker);
    topic.last = topic.before;
    topic.unload = undefined;
  }

  /** Contract 5.2 race A and M17: until the source has sealed, only its death ends the marker. */
  function checkMarkerStays(step: Step): void {
    const { topic } = step;
    const { unload, marker } = topic;
    if (unload === undefined || unload.markerGone || !isPending(unload) || marker?.kind === 'unload') return;
    unload.markerGone = true;
    const now = marker === undefined ? 'was removed' : `became "${marker.kind}"`;
    report(
      step,
      'MarkerRemovedBeforeSeal',
      () => `the marker of ${topic.name} ${now} before ${unload.source} had sealed it`,
      unload.source,
    );
  }

  /** The source lives and has not sealed the topic yet. */
  function isPending(unload: Unload): boolean {
    return !unload.sealed && !brokers.isDead(unload.source);
  }

  // --- seals and seeds ------------------------------------------------------------------------------------------------

  function changeState(step: Step, { event }: TopicEvent): void {
    const { topic, revision, ours } = step;
    if (event.type === 'delete') {
      topic.state = undefined;
      return;
    }
    const decoded = decodeSealedState(event.entry.value);
    if (!decoded.ok) {
      topic.state = undefined;
      undecodable(step, event.entry.key, decoded.problem);
      return;
    }
    const { broker, lastCommittedOffset: offset, sealed } = decoded.value;
    const unload = topic.unload;
    const bySource = unload !== undefined && isPending(unload) && broker === unload.source && sealed && !ours;
    const behind = bySource && offset < topic.past.floor;
    topic.state = { broker, offset, sealed, revision, bySource, behind };
    if (bySource) acceptSeal(step, unload, topic.state);
    else checkSeeder(step, broker);
  }

  function acceptSeal(step: Step, unload: Unload, { offset, behind }: StoredState): void {
    const { topic } = step;
    const { floor } = topic.past;
    unload.sealed = true;
    if (behind) {
      const say = () => `${unload.source} sealed ${topic.name} at ${offset}; ${floor} is proved`;
      report(step, 'SealBehind', say, unload.source);
    }
    // A seal at the base says that nothing was written since; 0 is also what an empty topic is sealed with.
    if (offset > topic.past.base && offset > 0n) proveMessage(topic.past, offset);
    if (topic.owners.some((owner) => owner.broker !== unload.source)) checkStake(step, unload);
  }

  function checkSeeder(step: Step, named: string): void {
    const { topic, ours } = step;
    const alive = topic.owners.filter(({ broker }) => !brokers.isDead(broker)).map(({ broker }) => broker);
    if (topic.unload !== undefined && isPending(topic.unload)) alive.push(topic.unload.source);
    const [holder] = alive;
    // A broker that destroys a topic seals it first (contract 5.1): its own word, if also its last.
    if (holder === undefined || (!ours && alive.includes(named))) return;
    report(
      step,
      'SeedWithoutDeadOwner',
      () => `state of ${topic.name} was written while ${holder} has it and lives`,
      holder,
    );
  }

  // --- owners come ----------------------------------------------------------------------------------------------------

  function assign(step: Step, broker: string): void {
    const { topic, revision } = step;
    if (topic.owners.some((owner) => owner.broker === broker)) {
      report(step, 'AssignmentRewritten', () => `${topic.name} was assigned to ${broker} again`, broker);
      return;
    }
    if (!step.ours) onForeignAssignment(topic.name, broker, revision);
    checkTarget(step, broker);
    const { last, unload } = topic;
    const pending = unload !== undefined && isPending(unload);
    if (isReliable(topic)) {
      if (!pending) checkOffsets(step, broker);
      else if (broker !== unload.source) {
        const say = () => `${topic.name} was assigned to ${broker} before ${unload.source} had sealed it`;
        report(step, 'AssignedBeforeSeal', say, broker);
      }
      checkReturn(step, broker);
    }
    if (last !== undefined && last.broker !== broker) recordChange(step, last, broker);

    const { state, past } = topic;
    if (state !== undefined && state.offset > past.floor) past.floor = state.offset;
    past.base = state?.offset ?? -1n;
    topic.before = last;
    topic.last = { broker, since: revision };
    topic.owners = [...topic.owners, topic.last];
    topic.said.repeated = false;
    // A source that seals late is still waited for.
    if (!pending || broker === unload.source) topic.unload = undefined;
    if (isReliable(topic) && brokers.isRegistered(broker)) addHost(topic, broker);
  }

  /** A dead process cannot be returned to. */
  function addHost(topic: Topic, broker: string): void {
    topic.hosts = [...topic.hosts.filter((host) => host !== broker && !brokers.isDead(host)), broker];
  }

  function checkTarget(step: Step, broker: string): void {
    const { topic } = step;
    if (topic.delivery === undefined) {
      report(
        step,
        'AssignedWithoutDelivery',
        () => `${topic.name} was assigned to ${broker} without a delivery key`,
        broker,
      );
    }
    const mode = brokers.modeOf(broker);
    if (!brokers.isRegistered(broker)) {
      report(
        step,
        'AssignedToUnregistered',
        () => `${topic.name} was assigned to ${broker}, which is not registered`,
        broker,
      );
    } else if (mode !== 'active') {
      report(step, 'AssignedToInactive', () => `${topic.name} was assigned to ${broker}, which is ${mode}`, broker);
    }
  }

  /** Whether the new owner goes on behind all that the keys prove (contract M9, M10, M13). */
  function checkOffsets(step: Step, broker: string): void {
    const { topic } = step;
    const { state, last, past, unload } = topic;
    const crashed = last !== undefined && unload?.sealed !== true && brokers.isDead(last.broker);
    if (past.floor < 0n && !(crashed && topic.hadProducer)) return;
    // A state older than the last assignment ends an earlier ownership (design §5).
    const ends = state?.sealed === true && (last === undefined || state.revision > last.since);
    if (!ends) {
      const proved = past.floor < 0n ? 'it had producers' : `offset ${past.floor} is proved`;
      report(step, 'SeedMissing', () => `${topic.name} was assigned to ${broker} without a state; ${proved}`, broker);
    } else if (state.offset < past.floor && !state.behind) {
      const say = () => `${topic.name} goes on after ${state.offset} on ${broker}; ${past.floor} is proved`;
      report(step, 'SeedBehind', say, broker);
    } else if (crashed && !state.bySource && state.offset === past.floor) {
      const say = () => `${topic.name} goes on after ${state.offset}, which is all that is known, after a crash`;
      report(step, 'SeedWithoutMargin', say, broker);
    }
  }

  /** Contract M6 and M18. */
  function checkReturn(step: Step, broker: string): void {
    const { topic } = step;
    const { last, state, unload } = topic;
    if (!topic.hosts.includes(broker)) return;
    const untouched = state?.bySource === true && state.broker === broker;
    if (untouched) {
      report(step, 'ReturnToSource', () => `${topic.name} went back to ${broker}, which had sealed it`, broker);
    } else if (last?.broker !== broker || unload?.sealed === true) {
      report(step, 'ReturnToProcess', () => `${topic.name} went back to ${broker}, which had it before`, broker);
    }
  }

  function recordChange(step: Step, from: Custody, to: string): void {
    const { topic } = step;
    const { unload, state } = topic;
    const sealedAt = state === undefined ? '' : `, state at ${state.offset}`;
    if (unload?.sealed !== true && brokers.isDead(from.broker)) {
      report(step, 'Failover', () => `${topic.name}: ${from.broker} (dead) -> ${to}${sealedAt}`, to);
      if (isReliable(topic)) brokers.bury(from.broker);
      return;
    }
    report(step, 'Move', () => `${topic.name}: ${from.broker} -> ${to}${sealedAt}`, to);
    if (unload?.sealed === true && isReliable(topic)) checkStake(step, unload);
  }

  /** What a move leaves behind: the new owner reads nothing of before it (contract M4, M5). */
  function checkStake(step: Step, unload: Unload): void {
    const { topic } = step;
    const head = topic.past.lastMessage;
    if (head < 0n) return;
    const without: string[] = [];
    const lagging: string[] = [];
    const perhaps: string[] = [];
    for (const [subscription, cursor] of topic.subscriptions) {
      if (cursor === undefined) without.push(subscription);
      // Flushed in unloading, it is exact; older, it is up to 10 s of acknowledgements late.
      else if (cursor.offset < head)
        (cursor.revision > unload.since ? lagging : perhaps).push(`${subscription} at ${cursor.offset}`);
    }
    const say = (what: readonly string[]) => () =>
      `${topic.name} moved at head ${head}: ${what.slice(0, 5).join(', ')}`;
    if (without.length > 0) report(step, 'SubscriptionWithoutCursor', say(without));
    if (lagging.length > 0) report(step, 'BacklogAtStake', say(lagging));
    if (perhaps.length > 0) report(step, 'CursorBehindHead', say(perhaps));
  }

  // --- one revision ---------------------------------------------------------------------------------------------------

  function applyToTopic(step: Step, events: readonly TopicEvent[]): void {
    const { topic } = step;
    const of = (kind: TopicKey['kind'], type?: AuditedEvent['type']) =>
      events.filter(({ key, event }) => key.kind === kind && (type === undefined || event.type === type));
    for (const event of events) applyFact(step, event);
    for (const event of of('unassigned')) changeMarker(step, event);
    for (const { key } of of('assignment', 'delete')) if (key.kind === 'assignment') release(step, key.broker);
    for (const event of of('sealedState')) changeState(step, event);
    checkMarkerStays(step);
    for (const { key } of of('assignment', 'put')) if (key.kind === 'assignment') assign(step, key.broker);
    if (of('topic', 'delete').length > 0) {
      forgetPast(topic);
      ledger.withdraw(topic.name);
    }
    checkStanding(step);
  }

  function checkStanding(step: Step): void {
    const { topic, revision } = step;
    const doubly = topic.owners.length > 1;
    if (doubly && !topic.said.doublyOwned) {
      const ids = topic.owners.map(({ broker }) => broker).join(' and ');
      report(step, 'DoublyOwned', () => `${topic.name} is assigned to ${ids}`);
    }
    topic.said.doublyOwned = doubly;
    if (!topic.exists) return;
    if (topic.owners.length > 0 || topic.marker !== undefined) {
      ledger.confirm(topic.name, DENIED_BY_LIFE);
    } else {
      const message = `${topic.name} has neither an owner nor a marker`;
      ledger.suspect('owner', 'Unowned', { topic: topic.name, revision }, message);
    }
  }

  return {
    apply(events, revision, ours) {
      for (const [name, ofTopic] of Map.groupBy(events, ({ key }) => key.topic)) {
        const known = topics.get(name);
        if (known === undefined && ofTopic.every(({ event }) => event.type === 'delete')) continue;
        const topic = known ?? newTopic(name);
        topics.set(name, topic);
        applyToTopic({ topic, revision, ours }, ofTopic);
        if (isGone(topic)) topics.delete(name);
      }
    },

    begin(revision) {
      for (const topic of topics.values()) {
        ledger.withdraw(topic.name);
        topic.past.base = UNKNOWN_BASE;
        const { marker, state } = topic;
        if (topic.owners.length === 0 && marker?.kind === 'unload' && marker.fromBroker !== undefined) {
          const sealed = state?.sealed === true && state.revision > marker.revision;
          const unload = { source: marker.fromBroker, since: marker.revision, sealed, markerGone: false };
          topic.unload = { ...unload, sealed: sealed || !isReliable(topic) };
          topic.last = { broker: marker.fromBroker, since: marker.revision };
        }
        topic.said.doublyOwned = false;
        checkStanding({ topic, revision, ours: false });
      }
    },
  };
}
