/**
 * The data plane between simulated clients and brokers: one JSON object a line, many topics on one connection. It carries
 * what matters to a load manager, in the real one's terms: who serves a topic, offsets, errors. Ids and offsets are u64
 * and travel as decimal strings. A message is its id and its size: the payload itself is never sent.
 */
import type { Delivery } from '../danube/values.ts';

export type Request =
  /** Writes the topic's keys (contract 2.3) and answers when it has an owner. */
  | { readonly id: number; readonly op: 'createTopic'; readonly topic: string; readonly delivery: Delivery }
  | { readonly id: number; readonly op: 'lookup'; readonly topic: string }
  | { readonly id: number; readonly op: 'producer'; readonly topic: string; readonly name: string }
  | {
      readonly id: number;
      readonly op: 'send';
      readonly producer: string;
      readonly messageId: string;
      readonly bytes: number;
    }
  | {
      readonly id: number;
      readonly op: 'subscribe';
      readonly topic: string;
      readonly subscription: string;
      readonly name: string;
    }
  /** The broker delivers the next message of a reliable topic only after this. */
  | { readonly id: number; readonly op: 'ack'; readonly consumer: string; readonly offset: string }
  | { readonly id: number; readonly op: 'close'; readonly consumer: string };

/** A request without the number that pairs it with its answer. */
export type Call = Request extends infer One ? (One extends Request ? Omit<One, 'id'> : never) : never;

export type ErrorCode = 'NOT_FOUND' | 'UNAVAILABLE' | 'ALREADY_EXISTS' | 'INVALID_ARGUMENT';

export interface Answer {
  /** createTopic, lookup: where the topic is served; `local` when it is this broker. */
  readonly local?: boolean;
  readonly redirect?: string;
  /** producer, subscribe. */
  readonly producer?: string;
  readonly consumer?: string;
  /** send to a reliable topic; a non-reliable one keeps no offsets. */
  readonly offset?: string;
}

export type Response =
  | { readonly id: number; readonly ok: Answer }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };

export interface Message {
  readonly messageId: string;
  readonly bytes: number;
  /** Absent on non-reliable topics. */
  readonly offset?: string;
}

/** What a broker sends unasked. */
export type Push =
  | { readonly consumer: string; readonly message: Message }
  /** The stream has ended: only ever sent for non-reliable topics (M7). */
  | { readonly consumer: string; readonly end: true };

/** A real client creating a producer gives up when nobody has assigned the topic by then (M1). */
export const CREATION_GIVES_UP_AFTER_MS = 2300;

export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
