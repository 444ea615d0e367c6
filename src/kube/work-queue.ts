/**
 * Keys to reconcile, as controller-runtime does it: a key waits once however often it is added, is never worked on twice
 * at the same time, and comes back with exponential back-off after an error.
 */

export interface ReconcileResult {
  /** Look at this key again after this long, whatever happens. */
  readonly requeueAfterMs?: number;
}

export interface WorkQueueOptions {
  /** Level-triggered: gets a key and looks up the rest. An error brings the key back with back-off. */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<ReconcileResult>;
  readonly onError: (key: string, error: unknown, retryInMs: number) => void;
  /** Keys worked on at the same time. Default 1. */
  readonly concurrency?: number;
}

export interface WorkQueue {
  add(key: string): void;
  /** Ends the wait of all keys, tells running reconciles by their signal, and resolves when they have ended. */
  stop(): Promise<void>;
}

const BACKOFF_FIRST_MS = 5;
const BACKOFF_MAX_MS = 1_000_000;

export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  const { reconcile, onError, concurrency = 1 } = options;
  const waiting = new Set<string>();
  const running = new Map<string, Promise<void>>();
  const timers = new Map<string, NodeJS.Timeout>();
  const failures = new Map<string, number>();
  const stopped = new AbortController();

  function add(key: string): void {
    if (stopped.signal.aborted) return;
    clearTimeout(timers.get(key));
    timers.delete(key);
    waiting.add(key);
    fill();
  }

  function addAfter(key: string, delayMs: number): void {
    if (stopped.signal.aborted || waiting.has(key)) return;
    clearTimeout(timers.get(key));
    timers.set(
      key,
      setTimeout(() => add(key), delayMs),
    );
  }

  function fill(): void {
    for (const key of waiting) {
      if (running.size >= concurrency) return;
      if (running.has(key)) continue;
      waiting.delete(key);
      running.set(key, work(key));
    }
  }

  async function work(key: string): Promise<void> {
    // Not in the caller's turn: handlers only enqueue.
    await Promise.resolve();
    if (stopped.signal.aborted) return;
    let again: number | undefined;
    try {
      again = (await reconcile(key, stopped.signal)).requeueAfterMs;
      failures.delete(key);
    } catch (error) {
      const count = failures.get(key) ?? 0;
      failures.set(key, count + 1);
      again = Math.min(BACKOFF_FIRST_MS * 2 ** count, BACKOFF_MAX_MS);
      if (!stopped.signal.aborted) onError(key, error, again);
    }
    running.delete(key);
    if (again !== undefined) addAfter(key, again);
    fill();
  }

  return {
    add,
    async stop() {
      stopped.abort();
      waiting.clear();
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
      await Promise.all(running.values());
    },
  };
}
