/** What the auditor remembers of one topic. Mutable; only the topic audit writes it. */
import type { Delivery, Marker } from '../values.ts';

export interface Topic {
  readonly name: string;
  exists: boolean;
  delivery: Delivery | undefined;
  /** Usually one. */
  owners: readonly Custody[];
  marker: (Marker & { readonly revision: number }) | undefined;
  /** Who had it last: its owner, if it has one. */
  last: Custody | undefined;
  /** Who had it before `last`: what a bounce returns to. */
  before: Custody | undefined;
  /** The latest deletion of an assignment under a marker "unload". */
  unload: Unload | undefined;
  state: StoredState | undefined;
  /** Living processes that had it and could get it back. */
  hosts: readonly string[];
  /** Whether a producer was ever there: messages may exist that nothing in etcd shows. */
  hadProducer: boolean;
  past: Past;
  /** Reliable topics only. */
  subscriptions: Map<string, Cursor | undefined>;
  /** What was already reported of the present owner, so that it is reported once. */
  said: { doublyOwned: boolean; repeated: boolean; destroyed: boolean };
}

export interface Custody {
  readonly broker: string;
  /** Revision of the assignment. */
  readonly since: number;
}

export interface Unload {
  readonly source: string;
  readonly since: number;
  sealed: boolean;
  markerGone: boolean;
}

export interface StoredState {
  readonly broker: string;
  readonly offset: bigint;
  readonly sealed: boolean;
  readonly revision: number;
  /** Whether the source wrote it in answer to the marker; otherwise it is a seed. */
  readonly bySource: boolean;
  /** Behind what was proved, and reported. */
  readonly behind: boolean;
}

export interface Cursor {
  readonly offset: bigint;
  readonly revision: number;
}

/** Offsets that the keys prove; -1 where they prove none. */
export interface Past {
  /** End of the uploaded objects. */
  objectsEnd: bigint;
  /** Start of the object written last: a repetition of that one write is no repetition of offsets. */
  lastObjectStart: bigint;
  /** Highest offset that is certainly a message. */
  lastMessage: bigint;
  /** Highest offset that must not be given out again: messages, seals and seeds. */
  floor: bigint;
  /** Where the present owner started: its `state` when it was assigned. */
  base: bigint;
}

export function emptyPast(): Past {
  return { objectsEnd: -1n, lastObjectStart: -1n, lastMessage: -1n, floor: -1n, base: -1n };
}

export function newTopic(name: string): Topic {
  return {
    name,
    exists: false,
    delivery: undefined,
    owners: [],
    marker: undefined,
    last: undefined,
    before: undefined,
    unload: undefined,
    state: undefined,
    hosts: [],
    hadProducer: false,
    past: emptyPast(),
    subscriptions: new Map(),
    said: { doublyOwned: false, repeated: false, destroyed: false },
  };
}

/** After the deletion of a topic: what still stands goes key by key, but its past is over. */
export function forgetPast(topic: Topic): void {
  topic.exists = false;
  topic.last = undefined;
  topic.before = undefined;
  topic.unload = undefined;
  topic.hosts = [];
  topic.hadProducer = false;
  topic.past = emptyPast();
}

/** Whether nothing in etcd is left of it. */
export function isGone(topic: Topic): boolean {
  return (
    !topic.exists &&
    topic.owners.length === 0 &&
    topic.marker === undefined &&
    topic.delivery === undefined &&
    topic.state === undefined &&
    topic.subscriptions.size === 0
  );
}

/** Notes a message at this offset. */
export function proveMessage(past: Past, offset: bigint): void {
  if (offset > past.lastMessage) past.lastMessage = offset;
  if (offset > past.floor) past.floor = offset;
}

/** A topic whose delivery is unknown is treated as reliable: there is more to lose. */
export function isReliable(topic: Topic): boolean {
  return topic.delivery !== 'NonReliable';
}
