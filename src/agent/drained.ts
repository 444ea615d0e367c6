import { isProblem, type Problem } from '../api/problem.ts';

/**
 * Why a wait ended: the operator says that this Pod is done, the broker serves no topic any more, or the time is up. It
 * is for the broker's preStop hook and gives no orders: the operator sees the Pod's deletion by itself.
 */
export interface DrainOutcome {
  readonly drained: boolean;
  readonly why: 'OperatorDone' | 'ServesNothing' | 'TimeUp';
  readonly waitedSeconds: number;
}

export interface DrainWait {
  /** The operator says, with its pull, that the Pod of this uid is done. Another Pod's uid is not for this agent. */
  readonly sayDone: (podUid: string) => void;
  /**
   * Waits until the Pod is drained or the time is up. When the signal is aborted nobody waits any more, and the promise
   * is left open.
   *
   * @returns a problem when too many wait already.
   */
  readonly wait: (timeoutSeconds: number, signal: AbortSignal) => Promise<DrainOutcome> | Problem;
  /** How many wait. */
  readonly waiting: () => number;
  /** Calls back once nobody waits, at once when that is so. */
  readonly whenNobodyWaits: (callback: () => void) => void;
}

export interface DrainWaitOptions {
  readonly podUid: string;
  /** How many topics the broker serves at this moment. */
  readonly readTopicsOwned: () => Promise<number | Problem>;
  readonly monotonicMilliseconds: () => number;
}

export const drainBounds = { waiters: 8, timeoutSeconds: 3_600 } as const;

/** Between two questions to the broker, which only somebody who waits causes. */
const pollMilliseconds = 1_000;

/**
 * The operator repeats with each pull what it says. Said longer ago, it was about an earlier stop of a container: the
 * uid of a Pod outlives the restarts of its broker.
 */
const doneHoldsMilliseconds = 60_000;

interface Waiter {
  readonly end: (why: DrainOutcome['why']) => void;
}

export function createDrainWait({ podUid, readTopicsOwned, monotonicMilliseconds }: DrainWaitOptions): DrainWait {
  const waiters = new Set<Waiter>();
  let doneAt = Number.NEGATIVE_INFINITY;
  let isPolling = false;
  let pollTimer: NodeJS.Timeout | undefined;
  let afterwards: (() => void)[] = [];

  async function poll(): Promise<void> {
    isPolling = true;
    // Who comes while the broker is asked may have come after what it says.
    const present = [...waiters];
    const owned = await readTopicsOwned();
    isPolling = false;
    if (!isProblem(owned) && owned === 0) for (const waiter of present) waiter.end('ServesNothing');
    if (waiters.size > 0) pollTimer = setTimeout(poll, pollMilliseconds);
  }

  function leave(waiter: Waiter): void {
    waiters.delete(waiter);
    if (waiters.size > 0) return;
    clearTimeout(pollTimer);
    pollTimer = undefined;
    const callbacks = afterwards;
    afterwards = [];
    for (const callback of callbacks) callback();
  }

  function join(timeoutSeconds: number, signal: AbortSignal): Promise<DrainOutcome> {
    const startedAt = monotonicMilliseconds();
    return new Promise((resolve) => {
      const timer = setTimeout(() => waiter.end('TimeUp'), timeoutSeconds * 1000);
      const waiter: Waiter = {
        end(why) {
          clearTimeout(timer);
          resolve({ drained: why !== 'TimeUp', why, waitedSeconds: (monotonicMilliseconds() - startedAt) / 1000 });
          leave(waiter);
        },
      };
      const giveUp = (): void => {
        clearTimeout(timer);
        leave(waiter);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      waiters.add(waiter);
      if (!isPolling && pollTimer === undefined) void poll();
    });
  }

  return {
    sayDone(uid) {
      if (uid !== podUid) return;
      doneAt = monotonicMilliseconds();
      for (const waiter of [...waiters]) waiter.end('OperatorDone');
    },
    wait(timeoutSeconds, signal) {
      if (monotonicMilliseconds() - doneAt < doneHoldsMilliseconds) {
        return Promise.resolve({ drained: true, why: 'OperatorDone', waitedSeconds: 0 });
      }
      if (waiters.size >= drainBounds.waiters) return { problem: `${waiters.size} wait already` };
      return join(timeoutSeconds, signal);
    },
    waiting: () => waiters.size,
    whenNobodyWaits(callback) {
      if (waiters.size === 0) callback();
      else afterwards.push(callback);
    },
  };
}
