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
   * Waits until the Pod is drained or the time is up. Where too many wait, the time of who waits longest is up: a hook
   * that comes must not be turned away by others who came before.
   *
   * @param gone aborted when who waits has gone, whether with the answer or without.
   */
  readonly wait: (timeoutSeconds: number, gone: AbortSignal) => Promise<DrainOutcome>;
  /**
   * Calls back once all who came to wait have gone, at once when nobody is here, and when the broker does not answer for
   * a while: then its hook is over, and others must not keep the Pod from its end.
   */
  readonly whenAllHaveGone: (callback: () => void) => void;
}

export interface DrainWaitOptions {
  readonly podUid: string;
  /** How many topics the broker serves at this moment. */
  readonly readTopicsOwned: () => Promise<number | Problem>;
  readonly monotonicMilliseconds: () => number;
}

export const drainBounds = { waiters: 8, timeoutSeconds: 3_600, brokerlessSeconds: 10 } as const;

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
  /** Those who wait and those whose answer is on its way. */
  let present = 0;
  let doneAt = Number.NEGATIVE_INFINITY;
  let isPolling = false;
  let pollTimer: NodeJS.Timeout | undefined;
  let afterwards: (() => void)[] = [];
  /** The last sign of the broker since somebody waits for all to go. */
  let brokerSeenAt = 0;

  async function poll(): Promise<void> {
    isPolling = true;
    // Who comes while the broker is asked may have come after what it says.
    const present = [...waiters];
    const owned = await readTopicsOwned();
    isPolling = false;
    if (!isProblem(owned)) brokerSeenAt = monotonicMilliseconds();
    if (owned === 0) for (const waiter of present) waiter.end('ServesNothing');
    if (monotonicMilliseconds() - brokerSeenAt > drainBounds.brokerlessSeconds * 1000) callBack();
    if (waiters.size > 0) pollTimer = setTimeout(poll, pollMilliseconds);
  }

  function remove(waiter: Waiter): void {
    waiters.delete(waiter);
    if (waiters.size > 0) return;
    clearTimeout(pollTimer);
    pollTimer = undefined;
  }

  function leave(): void {
    present -= 1;
    if (present === 0) callBack();
  }

  function callBack(): void {
    const callbacks = afterwards;
    afterwards = [];
    for (const callback of callbacks) callback();
  }

  function join(timeoutSeconds: number, gone: AbortSignal): Promise<DrainOutcome> {
    const startedAt = monotonicMilliseconds();
    return new Promise((resolve) => {
      const timer = setTimeout(() => waiter.end('TimeUp'), timeoutSeconds * 1000);
      const waiter: Waiter = {
        end(why) {
          clearTimeout(timer);
          remove(waiter);
          resolve({ drained: why !== 'TimeUp', why, waitedSeconds: (monotonicMilliseconds() - startedAt) / 1000 });
        },
      };
      gone.addEventListener('abort', () => {
        clearTimeout(timer);
        remove(waiter);
        leave();
      });
      present += 1;
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
    wait(timeoutSeconds, gone) {
      if (monotonicMilliseconds() - doneAt < doneHoldsMilliseconds) {
        return Promise.resolve({ drained: true, why: 'OperatorDone', waitedSeconds: 0 });
      }
      const [longest] = waiters;
      if (waiters.size >= drainBounds.waiters) longest?.end('TimeUp');
      return join(timeoutSeconds, gone);
    },
    whenAllHaveGone(callback) {
      brokerSeenAt = monotonicMilliseconds();
      afterwards.push(callback);
      if (present === 0) callBack();
    },
  };
}
