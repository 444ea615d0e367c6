/**
 * Runs a reconcile function over a work queue, as controller-runtime does: several keys at the same time but never the
 * same one twice, each with a deadline; a reconcile that throws harms nobody else and is tried again with back-off.
 */
import { createWorkQueue, type Next, type QueueObserver, type WorkQueue } from './work-queue.ts';

export type ReconcileResult =
  | { readonly kind: 'done' }
  /** Look at this key again after this long, whatever happens. */
  | { readonly kind: 'requeueAfter'; readonly ms: number }
  /** Trying again is of no use until the object changes. */
  | { readonly kind: 'terminal'; readonly error: Error };

export const DONE: ReconcileResult = { kind: 'done' };

export interface ReconcilerOptions {
  /**
   * Level-triggered: gets a key and looks up the rest. What it throws brings the key back with back-off. The signal
   * aborts at the deadline and when the reconciler stops; a key whose work does not end then stays occupied, as two at
   * a time would be worse.
   */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<ReconcileResult>;
  /** `retryInMs` is undefined after a terminal error. */
  readonly onError: (key: string, error: unknown, retryInMs: number | undefined) => void;
  /** Keys worked on at the same time. Default 1. */
  readonly concurrency?: number;
  /** Default 60,000. */
  readonly deadlineMs?: number;
  /** A key is put off while this is false: the cache does not show our own last writes yet (`own-writes.ts`). */
  readonly isReady?: (key: string) => boolean;
  readonly observer?: ReconcileObserver;
  /** Monotonic milliseconds. */
  readonly monotonic?: () => number;
}

/** Told of what happens, for metrics. */
export interface ReconcileObserver extends QueueObserver {
  readonly onReconciled?: (outcome: ReconcileOutcome) => void;
  /** A key was put off by `isReady`. */
  readonly onPutOff?: () => void;
}

export interface ReconcileOutcome {
  /** controller-runtime's words. */
  readonly result: 'success' | 'requeue_after' | 'error';
  readonly terminal: boolean;
  /** A fault of the program rather than of the world. */
  readonly panicked: boolean;
  readonly timedOut: boolean;
  readonly tookMs: number;
}

export type Reconciler = WorkQueue;

const PUT_OFF_MS = 100;

export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { reconcile, onError, concurrency = 1, deadlineMs = 60_000, isReady, observer } = options;
  const monotonic = options.monotonic ?? (() => performance.now());

  async function work(key: string, stopping: AbortSignal): Promise<Next> {
    if (isReady?.(key) === false) {
      observer?.onPutOff?.();
      return { kind: 'after', ms: PUT_OFF_MS };
    }
    const startedAt = monotonic();
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(timeoutError(deadlineMs)), deadlineMs);
    let ended: ReconcileResult | { readonly kind: 'threw'; readonly error: unknown };
    try {
      ended = await reconcile(key, AbortSignal.any([stopping, deadline.signal]));
    } catch (error) {
      ended = { kind: 'threw', error };
    }
    clearTimeout(timer);
    if (stopping.aborted) return { kind: 'forget' };
    observer?.onReconciled?.({
      result: resultOf(ended.kind),
      terminal: ended.kind === 'terminal',
      panicked: ended.kind === 'threw' && isPanic(ended.error),
      timedOut: deadline.signal.aborted,
      tookMs: monotonic() - startedAt,
    });
    switch (ended.kind) {
      case 'done':
        return { kind: 'forget' };
      case 'requeueAfter':
        return { kind: 'after', ms: ended.ms };
      case 'terminal':
        onError(key, ended.error, undefined);
        return { kind: 'forget' };
      case 'threw':
        return { kind: 'retry', error: ended.error };
    }
  }

  return createWorkQueue({ work, concurrency, onRetry: onError, monotonic, ...(observer && { observer }) });
}

function resultOf(kind: ReconcileResult['kind'] | 'threw'): ReconcileOutcome['result'] {
  if (kind === 'done') return 'success';
  return kind === 'requeueAfter' ? 'requeue_after' : 'error';
}

/** What the language throws at a wrong program, and what is thrown and is no Error at all. */
function isPanic(error: unknown): boolean {
  return (
    !(error instanceof Error) ||
    error instanceof TypeError ||
    error instanceof RangeError ||
    error instanceof ReferenceError
  );
}

function timeoutError(deadlineMs: number): DOMException {
  return new DOMException(`the reconcile took longer than ${deadlineMs} ms`, 'TimeoutError');
}
