/**
 * Keys to work on, as client-go and controller-runtime queue them: a key waits once however often it is added, is never
 * worked on twice at the same time, takes its turn behind those that wait already, and comes back with exponential
 * back-off when its work asks for it. What the work is, and what a failure means, is the caller's (`reconcile.ts`).
 */

/** What becomes of a key after its work. */
export type Next =
  | { readonly kind: 'forget' }
  /** Again after this long, as the first time. A change meanwhile comes earlier and takes the place of this. */
  | { readonly kind: 'after'; readonly ms: number }
  /** Again after a back-off that doubles with each retry in a row. */
  | { readonly kind: 'retry'; readonly error: unknown };

export interface WorkQueueOptions {
  /** Must not throw. The signal tells that the queue is stopping. */
  readonly work: (key: string, signal: AbortSignal) => Promise<Next>;
  readonly onRetry?: (key: string, error: unknown, retryInMs: number) => void;
  /** Keys worked on at the same time. Default 1. */
  readonly concurrency?: number;
  readonly observer?: QueueObserver;
  /** Monotonic milliseconds. */
  readonly monotonic?: () => number;
}

/** Told of what happens, for metrics. */
export interface QueueObserver {
  readonly onAdd?: () => void;
  /** A key left the queue for its work. */
  readonly onBegin?: (waitedMs: number) => void;
  readonly onEnd?: (workedMs: number) => void;
  readonly onRetry?: () => void;
}

export interface WorkQueue {
  add(key: string): void;
  /** Adds the key after this long, or earlier if something else does. */
  addAfter(key: string, delayMs: number): void;
  /** Keys that wait for a worker; those that wait for their time are not counted. */
  depth(): number;
  /** For how long each key at work has been so, in milliseconds. */
  workingForMs(): readonly number[];
  /** Ends the wait of all keys, tells running work by its signal, and resolves when it has ended. */
  stop(): Promise<void>;
}

const BACKOFF_FIRST_MS = 5;
const BACKOFF_MAX_MS = 1_000_000;
/** Retries of all keys together: after this many at once, this many per second. */
const RETRY_BURST = 100;
const RETRIES_PER_SECOND = 10;

interface Delayed {
  readonly dueAt: number;
  readonly timer: NodeJS.Timeout;
}

export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  const { work, onRetry, concurrency = 1, observer } = options;
  const monotonic = options.monotonic ?? (() => performance.now());
  /** In the order of their turns, with the time since when they wait. */
  const waiting = new Map<string, number>();
  const working = new Map<string, { readonly since: number; readonly ended: Promise<void> }>();
  const delayed = new Map<string, Delayed>();
  const retriesInARow = new Map<string, number>();
  const retryWait = createTokenBucket({ burst: RETRY_BURST, perSecond: RETRIES_PER_SECOND, monotonic });
  const stopped = new AbortController();

  function add(key: string): void {
    if (stopped.signal.aborted) return;
    clearTimeout(delayed.get(key)?.timer);
    delayed.delete(key);
    if (waiting.has(key)) return;
    waiting.set(key, monotonic());
    observer?.onAdd?.();
    fill();
  }

  function addAfter(key: string, delayMs: number): void {
    if (stopped.signal.aborted || waiting.has(key)) return;
    const dueAt = monotonic() + delayMs;
    const earlier = delayed.get(key);
    if (earlier !== undefined && earlier.dueAt <= dueAt) return;
    clearTimeout(earlier?.timer);
    delayed.set(key, { dueAt, timer: setTimeout(() => add(key), delayMs) });
  }

  function fill(): void {
    for (const [key, since] of waiting) {
      if (working.size >= concurrency) return;
      if (working.has(key)) continue;
      waiting.delete(key);
      const now = monotonic();
      observer?.onBegin?.(now - since);
      working.set(key, { since: now, ended: workOn(key, now) });
    }
  }

  async function workOn(key: string, since: number): Promise<void> {
    // Not in the caller's turn: handlers only enqueue.
    await Promise.resolve();
    const next: Next = stopped.signal.aborted ? { kind: 'forget' } : await work(key, stopped.signal);
    working.delete(key);
    observer?.onEnd?.(monotonic() - since);
    if (next.kind === 'retry') retry(key, next.error);
    else retriesInARow.delete(key);
    if (next.kind === 'after') addAfter(key, next.ms);
    fill();
  }

  function retry(key: string, error: unknown): void {
    if (stopped.signal.aborted) return;
    const before = retriesInARow.get(key) ?? 0;
    retriesInARow.set(key, before + 1);
    const inMs = Math.max(Math.min(BACKOFF_FIRST_MS * 2 ** before, BACKOFF_MAX_MS), retryWait());
    observer?.onRetry?.();
    onRetry?.(key, error, inMs);
    addAfter(key, inMs);
  }

  return {
    add,
    addAfter,
    depth: () => waiting.size,
    workingForMs: () => [...working.values()].map(({ since }) => monotonic() - since),
    async stop() {
      stopped.abort();
      waiting.clear();
      for (const { timer } of delayed.values()) clearTimeout(timer);
      delayed.clear();
      await Promise.all([...working.values()].map(({ ended }) => ended));
    },
  };
}

interface TokenBucketOptions {
  readonly burst: number;
  readonly perSecond: number;
  readonly monotonic: () => number;
}

/** Gives the milliseconds to wait for one token, which is taken at once, so that those who come later wait longer. */
function createTokenBucket({ burst, perSecond, monotonic }: TokenBucketOptions): () => number {
  let tokens = burst;
  let countedAt = monotonic();
  return () => {
    const now = monotonic();
    tokens = Math.min(burst, tokens + ((now - countedAt) / 1000) * perSecond) - 1;
    countedAt = now;
    return tokens >= 0 ? 0 : (-tokens / perSecond) * 1000;
  };
}
