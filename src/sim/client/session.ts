/** What both kinds of client share: where a topic is served, sending at a rate, writing down what happened. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Message } from '../protocol.ts';
import { RequestError } from '../protocol.ts';
import type { TopicSpec } from '../topics.ts';
import type { Connection, ConnectionPool } from './connection.ts';
import type { LedgerLine } from './ledger.ts';
import type { Progress } from './progress.ts';

export interface TopicClient {
  readonly spec: TopicSpec;
  readonly pool: ConnectionPool;
  readonly serviceUrls: readonly string[];
  readonly write: (line: LedgerLine) => void;
  readonly progress: Progress;
  /** Makes names and message ids of this process different from those of any other. */
  readonly tag: string;
  /** Aborted: produce no more. */
  readonly draining: AbortSignal;
  /** Aborted: stop altogether. */
  readonly ending: AbortSignal;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Called once, when the producer and every subscription exist for the first time. */
  readonly onReady: () => void;
  /** An acknowledged message that has not come for so long makes a resilient client subscribe anew. */
  readonly silenceMs: number;
}

export interface Outgoing {
  readonly messageId: string;
  /** When it was first sent. */
  readonly sentAt: number;
}

/**
 * The broker that serves the topic, as `url` knows it: itself, or the one it points to.
 * @throws RequestError NOT_FOUND when it knows none, UNAVAILABLE when one of them cannot be reached
 */
export async function askForOwner({ pool, spec }: TopicClient, url: string): Promise<Connection> {
  const asked = await pool.get(url);
  const answer = await asked.call({ op: 'lookup', topic: spec.topic });
  return answer.redirect === undefined ? asked : pool.get(answer.redirect);
}

/** Creates the topic through `url` if need be. @throws RequestError UNAVAILABLE when nobody assigns it in time (M1) */
export async function createThrough({ pool, spec }: TopicClient, url: string): Promise<Connection> {
  const asked = await pool.get(url);
  const answer = await asked.call({ op: 'createTopic', topic: spec.topic, delivery: spec.delivery });
  return answer.redirect === undefined ? asked : pool.get(answer.redirect);
}

/** One attempt. @throws RequestError */
export async function sendOnce(
  { spec, write, progress, now }: TopicClient,
  connection: Connection,
  producer: string,
  { messageId, sentAt }: Outgoing,
): Promise<void> {
  progress.sending(messageId);
  const { offset = null } = await connection.call({ op: 'send', producer, messageId, bytes: spec.messageBytes });
  write({ kind: 'acked', topic: spec.topic, messageId, offset, sentAt, at: now() });
  // Nobody waits for a message that was never promised.
  if (spec.delivery === 'Reliable') progress.acked(messageId, now());
}

/** Writes it down first and acknowledges it then, so that no acknowledged message is missing in the ledger. */
export async function takeMessage(
  { spec, write, progress, now }: TopicClient,
  subscription: string,
  message: Message,
  acknowledge: (offset: string) => Promise<unknown>,
): Promise<void> {
  const { messageId, offset = null } = message;
  write({ kind: 'received', topic: spec.topic, subscription, messageId, offset, at: now() });
  progress.received(subscription, messageId, now());
  if (offset !== null) await acknowledge(offset);
}

/** Calls `send` at the topic's rate until `signal` says stop; a late one is not made up for by a burst. */
export async function atRate(messagesPerSecond: number, signal: AbortSignal, send: () => Promise<void>): Promise<void> {
  const intervalMs = 1000 / messagesPerSecond;
  // Topics that start together do not send together.
  let due = performance.now() + Math.random() * intervalMs;
  for (;;) {
    await pause(due - performance.now(), signal);
    if (signal.aborted) return;
    await send();
    due = Math.max(due + intervalMs, performance.now());
  }
}

/** Resolves early when `signal` is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(Math.max(0, ms), undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}

/** Of an error that a topic's client may have; anything else is a defect and goes up. */
export function reasonOf(error: unknown): string {
  if (error instanceof RequestError) return `${error.code}: ${error.message}`;
  throw error;
}
