/**
 * A watch that cannot lose an event: it resumes after the last event handed over, is confirmed by the server before it
 * says so, notices silence, and asks for a new read when the past is gone.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { decodeWatchReply, type WatchReply } from './decode.ts';
import { toEtcdError } from './errors.ts';
import type { Call, Link } from './link.ts';
import { EtcdError, rangeOf, type WatchedEvent, type WatchMessage } from './port.ts';

export interface WatchOptions {
  readonly link: Link;
  readonly prefix: string;
  readonly from: number;
  readonly signal: AbortSignal;
  readonly heartbeatMs: number;
  /** The newest revision, linearizable. @throws EtcdError */
  readonly readRevision: () => Promise<number>;
  /** No sign of life since then (monotonic ms). */
  readonly onSilence: (since: number) => void;
  /** Encoded bytes that wait for a slow reader; beyond, the stream is given up and resumed later. */
  readonly maxBufferedBytes: number;
}

const RECONNECT_FIRST_MS = 100;
const RECONNECT_MAX_MS = 2000;
/** Intervals without a reply until the member is asked something else, and until the stream is given up anyhow. */
const SILENT_INTERVALS = 3;
const DEAD_INTERVALS = 30;

export async function* watch(options: WatchOptions): AsyncGenerator<WatchMessage> {
  const { signal, prefix } = options;
  const call: Call<WatchReply> = {
    what: `watch of "${prefix}*"`,
    service: 'Watch',
    method: 'Watch',
    decode: decodeWatchReply,
  };
  let next = options.from;
  let clusterId: string | undefined;
  let interrupted = false;
  let backoffMs = RECONNECT_FIRST_MS;

  while (!signal.aborted) {
    let session: Session | undefined;
    try {
      session = await openSession(options, call, next);
      const assemble = createAssembler();
      for (let reply = await session.next(); reply !== undefined; reply = await session.next()) {
        if (reply.canceled) {
          if (reply.compactRevision > 0) {
            yield { kind: 'compacted', compactRevision: reply.compactRevision };
            return;
          }
          throw new Error(`etcd cancelled it: ${reply.cancelReason || 'no reason given'}`);
        }
        if (reply.created) {
          clusterId ??= reply.clusterId;
          // A member may lag behind what we have seen; the cluster as a whole cannot, unless it was restored.
          const restored =
            clusterId !== reply.clusterId || (reply.revision < next - 1 && (await options.readRevision()) < next - 1);
          if (restored) {
            yield { kind: 'compacted', compactRevision: reply.revision };
            return;
          }
          backoffMs = RECONNECT_FIRST_MS;
          if (interrupted) yield { kind: 'resumed' };
          interrupted = false;
        }
        const events = assemble(reply);
        const last = events.at(-1);
        if (last === undefined) continue;
        // Resume after the last event handed over, never after the header's revision: that is the store's head, and may
        // be ahead of a backlog that is still on its way.
        next = last.entry.modRevision + 1;
        yield { kind: 'events', events };
      }
      if (session.fellBehind() || signal.aborted) continue;
      throw new EtcdError(`the ${call.what} at ${session.endpoint} was closed by the server`, { kind: 'Unreachable' });
    } catch (caught) {
      if (signal.aborted) return;
      const error = session?.fail(caught) ?? toEtcdError(call.what, 'etcd', caught);
      if (!interrupted) yield { kind: 'interrupted', error };
      interrupted = true;
    } finally {
      session?.close();
    }
    await delay(backoffMs, undefined, { signal }).catch(ignoreAbort);
    backoffMs = Math.min(backoffMs * 2, RECONNECT_MAX_MS);
  }
}

/**
 * Joins the fragments of a large reply to whole revisions: the events of the last one are held back until it is certain
 * that no more of it will come. So a resume never starts in the middle of a transaction.
 */
export function createAssembler(): (reply: Pick<WatchReply, 'events' | 'fragment'>) => readonly WatchedEvent[] {
  let held: readonly WatchedEvent[] = [];
  return ({ events, fragment }) => {
    const all = held.length === 0 ? events : [...held, ...events];
    const open = fragment ? all.at(-1)?.entry.modRevision : undefined;
    const whole = open === undefined ? all.length : all.findIndex(({ entry }) => entry.modRevision === open);
    held = all.slice(whole);
    return whole === all.length ? all : all.slice(0, whole);
  };
}

interface Session {
  readonly endpoint: string;
  /** The next reply; undefined after the stream's end. @throws what broke it, after all that came before */
  next(): Promise<WatchReply | undefined>;
  /** Given up because the reader was too slow; everything taken from it is whole. */
  fellBehind(): boolean;
  fail(error: unknown): EtcdError;
  close(): void;
}

/** One watch stream until it fails, ends, falls silent or gets too far ahead of its reader. */
async function openSession(options: WatchOptions, call: Call<WatchReply>, from: number): Promise<Session> {
  const { link, signal, heartbeatMs } = options;
  const queue: WatchReply[] = [];
  let bufferedBytes = 0;
  let fellBehind = false;
  let confirmed = false;
  let asking = false;
  let end: { readonly error?: unknown } | undefined;
  let wake: () => void = () => undefined;
  let lastSign = performance.now();

  function finish(error?: unknown): void {
    end ??= { error };
    wake();
  }

  const stream = await link.stream(call, {
    onReply(reply) {
      if (end !== undefined) return;
      lastSign = performance.now();
      confirmed ||= reply.created;
      queue.push(reply);
      bufferedBytes += reply.bytes;
      if (bufferedBytes > options.maxBufferedBytes && queue.length > 1) {
        fellBehind = true;
        stream.cancel();
        finish();
      }
      wake();
    },
    onEnd: finish,
  });

  /** A half-open connection never errors by itself: ask for progress, and give up when nothing at all comes back. */
  async function beat(): Promise<void> {
    const silentIntervals = (performance.now() - lastSign) / heartbeatMs;
    if (silentIntervals < SILENT_INTERVALS) stream.write({ progress_request: {} });
    else if (!asking) {
      asking = true;
      // No progress is reported while a watch catches up through a long past, and none was read while this very process
      // stood still: ask for something else before giving up.
      const alive = confirmed && silentIntervals < DEAD_INTERVALS && (await stream.answers());
      asking = false;
      if (alive || performance.now() - lastSign < SILENT_INTERVALS * heartbeatMs) return;
      options.onSilence(lastSign);
      const seconds = Math.round((performance.now() - lastSign) / 1000);
      finish(
        new EtcdError(`${call.what}: no sign of life from ${stream.endpoint} for ${seconds} s; check the network`, {
          kind: 'Timeout',
        }),
      );
    }
  }
  const heartbeat = setInterval(beat, heartbeatMs);
  const onAbort = () => finish();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) finish();

  const { key, range_end } = rangeOf(options.prefix);
  // In fragments, since a thousand large revisions in one reply would exceed every limit of a message.
  stream.write({ create_request: { key, range_end, start_revision: String(from), fragment: true } });

  return {
    endpoint: stream.endpoint,
    async next() {
      for (;;) {
        if (signal.aborted) return undefined;
        const reply = queue.shift();
        if (reply !== undefined) {
          bufferedBytes -= reply.bytes;
          return reply;
        }
        if (end?.error !== undefined) throw end.error;
        if (end !== undefined) return undefined;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    fellBehind: () => fellBehind,
    fail: (error) => stream.fail(error),
    close() {
      clearInterval(heartbeat);
      signal.removeEventListener('abort', onAbort);
      stream.cancel();
    },
  };
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error;
}
