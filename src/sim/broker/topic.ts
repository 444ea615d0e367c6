/**
 * What a broker keeps of a topic that it serves: producers, subscriptions, and for a reliable topic each subscription's
 * place in the log. No I/O but the log's; keys are written by whoever calls.
 */
import type { Delivery } from '../../danube/values.ts';
import type { Message } from '../protocol.ts';
import type { LogRecord, TopicLog } from './log.ts';

export interface Consumer {
  readonly id: string;
  deliver(message: Message): void;
  /** Tells the client that its stream is over. */
  end(): void;
}

export interface Subscription {
  readonly name: string;
  consumer: Consumer | undefined;
  /** Reliable topics only. */
  readonly reader: Reader | undefined;
}

/** A subscription's place in the log. It is read in file order, skipping every offset below `next` (M9, M13). */
export interface Reader {
  position: number;
  next: bigint;
  /** Delivered and not yet acknowledged; the next one waits for it. */
  pending: LogRecord | undefined;
  acked: bigint | undefined;
  cursorWrittenAt: number;
  /** Settles when the last write of the cursor has: two at once could be applied in the wrong order. */
  cursorWrites: Promise<void>;
}

export interface Topic {
  readonly name: string;
  readonly delivery: Delivery;
  /** Reliable topics only. */
  readonly log: TopicLog | undefined;
  readonly producers: Set<string>;
  readonly subscriptions: Map<string, Subscription>;
  /** Ingress since the topic was loaded. */
  messagesIn: number;
  bytesIn: number;
}

export function createTopic(name: string, delivery: Delivery, log: TopicLog | undefined): Topic {
  return { name, delivery, log, producers: new Set(), subscriptions: new Map(), messagesIn: 0, bytesIn: 0 };
}

interface NewReader {
  readonly log: TopicLog;
  /** The persisted cursor: last acknowledged offset. */
  readonly cursor: bigint | undefined;
  readonly now: number;
}

/** Starts after the cursor, or at the newest message when none was ever persisted (M5). */
export function newReader({ log, cursor, now }: NewReader): Reader {
  const place =
    cursor === undefined
      ? { position: log.end(), next: log.nextOffset() }
      : { position: log.start(), next: cursor + 1n };
  // The first cursor is written an interval after the subscription began, not with its first acknowledgement.
  return { ...place, pending: undefined, acked: undefined, cursorWrittenAt: now, cursorWrites: Promise.resolve() };
}

/** Takes a message in; the offset is undefined on a non-reliable topic. @throws Error when the log's disk refuses. */
export function publish(topic: Topic, messageId: string, bytes: number): bigint | undefined {
  const record = topic.log?.append(messageId, bytes);
  topic.messagesIn += 1;
  topic.bytesIn += bytes;
  for (const subscription of topic.subscriptions.values()) {
    if (topic.log) dispatch(topic.log, subscription);
    else subscription.consumer?.deliver({ messageId, bytes });
  }
  return record?.offset;
}

/** Delivers the next record of a reliable subscription, if it has a consumer and nothing is pending. */
export function dispatch(log: TopicLog, { consumer, reader }: Subscription): void {
  if (!consumer || !reader || reader.pending) return;
  reader.position = Math.max(reader.position, log.start());
  for (let record = log.at(reader.position); record; record = log.at(reader.position)) {
    reader.position += 1;
    if (record.offset < reader.next) continue;
    reader.next = record.offset + 1n;
    reader.pending = record;
    consumer.deliver({ messageId: record.messageId, bytes: record.bytes, offset: record.offset.toString() });
    return;
  }
}

/** False when it is not the pending one (a late acknowledgement after a reconnect). */
export function acknowledge(reader: Reader, offset: bigint): boolean {
  if (reader.pending?.offset !== offset) return false;
  reader.acked = offset;
  reader.pending = undefined;
  return true;
}

/** The consumer is gone: what it did not acknowledge is delivered again to the next one. */
export function detach(subscription: Subscription): void {
  subscription.consumer = undefined;
  const { reader } = subscription;
  if (!reader?.pending) return;
  reader.position -= 1;
  reader.next = reader.pending.offset;
  reader.pending = undefined;
}

export interface Connected {
  readonly producers: number;
  readonly consumers: number;
  readonly subscriptions: number;
}

export function connected(topic: Topic): Connected {
  let consumers = 0;
  for (const subscription of topic.subscriptions.values()) if (subscription.consumer) consumers += 1;
  return { producers: topic.producers.size, consumers, subscriptions: topic.subscriptions.size };
}

/** How many offsets the subscription is behind the head of the log. */
export function lagOf(log: TopicLog, reader: Reader): number {
  return Number(log.nextOffset() - (reader.pending?.offset ?? reader.next));
}
