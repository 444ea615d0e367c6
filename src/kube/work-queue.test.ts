import { describe, expect, it, vi } from 'vitest';
import { createWorkQueue, type WorkQueueOptions } from './work-queue.ts';

/** Work that is held until the test lets it go, key by key in the order in which it began. */
function heldWork() {
  const begun: string[] = [];
  const doors: (() => void)[] = [];
  return {
    begun,
    reconcile: async (key: string) => {
      begun.push(key);
      await new Promise<void>((resolve) => doors.push(resolve));
      return {};
    },
    async finishNext(): Promise<void> {
      await vi.waitFor(() => expect(doors.length).toBeGreaterThan(0));
      doors.shift()?.();
    },
  };
}

function queueOf(options: Partial<WorkQueueOptions> & Pick<WorkQueueOptions, 'reconcile'>) {
  return createWorkQueue({
    onError: (_key, error) => {
      throw error;
    },
    ...options,
  });
}

async function settled(): Promise<void> {
  // All that is due in this turn of the event loop, timers excepted.
  await new Promise((resolve) => setImmediate(resolve));
}

describe('a key', () => {
  it('waits once, however often it is added', async () => {
    const work = heldWork();
    const queue = queueOf({ reconcile: work.reconcile });

    for (const key of ['a', 'b', 'b', 'b']) queue.add(key);
    await work.finishNext();
    await work.finishNext();
    await settled();

    expect(work.begun).toEqual(['a', 'b']);
    await queue.stop();
  });

  it('is not worked on in the turn of whoever adds it', () => {
    const reconcile = vi.fn(async () => ({}));
    const queue = queueOf({ reconcile });

    queue.add('a');

    expect(reconcile).not.toHaveBeenCalled();
    return queue.stop();
  });

  it('is never worked on twice at the same time, and once more for what came meanwhile', async () => {
    const work = heldWork();
    const queue = queueOf({ reconcile: work.reconcile, concurrency: 3 });
    queue.add('a');
    await settled();

    queue.add('a');
    queue.add('a');
    await settled();
    expect(work.begun).toEqual(['a']);
    await work.finishNext();
    await settled();

    expect(work.begun).toEqual(['a', 'a']);
    await work.finishNext();
    await settled();
    expect(work.begun).toEqual(['a', 'a']);
    await queue.stop();
  });

  it('that is added all the time does not keep the others waiting', async () => {
    const done: string[] = [];
    const queue = queueOf({
      reconcile: async (key) => {
        done.push(key);
        if (key === 'hot' && done.length < 20) queue.add('hot');
        return {};
      },
    });

    for (const key of ['hot', 'a', 'b']) queue.add(key);
    await vi.waitFor(() => expect(done.filter((key) => key === 'hot').length).toBeGreaterThan(5));

    expect(done.slice(0, 4)).toEqual(['hot', 'a', 'b', 'hot']);
    await queue.stop();
  });

  it('is worked on with others at the same time, as many as allowed', async () => {
    const work = heldWork();
    const queue = queueOf({ reconcile: work.reconcile, concurrency: 2 });

    for (const key of ['a', 'b', 'c']) queue.add(key);
    await settled();
    expect(work.begun).toEqual(['a', 'b']);
    await work.finishNext();
    await settled();

    expect(work.begun).toEqual(['a', 'b', 'c']);
    await work.finishNext();
    await work.finishNext();
    await queue.stop();
  });
});

describe('after an error', () => {
  it('a key comes back, each time after twice as long, and from the start again after a success', async () => {
    const waits: number[] = [];
    let calls = 0;
    const queue = queueOf({
      reconcile: async () => {
        calls += 1;
        if (calls !== 5) throw new Error('no');
        return { requeueAfterMs: 0 };
      },
      onError: (_key, _error, retryInMs) => waits.push(retryInMs),
    });

    queue.add('a');
    await vi.waitFor(() => expect(waits.length).toBeGreaterThanOrEqual(6));

    expect(waits.slice(0, 6)).toEqual([5, 10, 20, 40, 5, 10]);
    await queue.stop();
  });

  it('the wait has an upper limit', async () => {
    vi.useFakeTimers();
    try {
      const waits: number[] = [];
      const queue = queueOf({
        reconcile: () => Promise.reject(new Error('no')),
        onError: (_key, _error, retryInMs) => waits.push(retryInMs),
      });

      queue.add('a');
      await vi.advanceTimersByTimeAsync(4_000_000);

      expect(Math.max(...waits)).toBe(1_000_000);
      await queue.stop();
    } finally {
      vi.useRealTimers();
    }
  });

  it('a change ends the wait', async () => {
    let fails = true;
    const work = vi.fn(async () => {
      if (fails) throw new Error('no');
      return {};
    });
    vi.useFakeTimers();
    try {
      const queue = queueOf({ reconcile: work, onError: () => undefined });
      queue.add('a');
      await vi.advanceTimersByTimeAsync(4);
      expect(work).toHaveBeenCalledTimes(1);

      fails = false;
      queue.add('a');
      await vi.advanceTimersByTimeAsync(0);
      expect(work).toHaveBeenCalledTimes(2);

      await vi.advanceTimersByTimeAsync(60_000);
      expect(work).toHaveBeenCalledTimes(2);
      await queue.stop();
    } finally {
      vi.useRealTimers();
    }
  });

  it('other keys are not held up', async () => {
    const done: string[] = [];
    const queue = queueOf({
      reconcile: async (key) => {
        if (key === 'bad') throw new Error('no');
        done.push(key);
        return {};
      },
      onError: () => undefined,
    });

    for (const key of ['bad', 'good']) queue.add(key);
    await vi.waitFor(() => expect(done).toEqual(['good']));

    await queue.stop();
  });
});

describe('stopping', () => {
  it('tells running work, waits for its end, and begins nothing more', async () => {
    const begun: string[] = [];
    const seen: boolean[] = [];
    const queue = queueOf({
      reconcile: async (key, signal) => {
        begun.push(key);
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
        await settled();
        seen.push(signal.aborted);
        return { requeueAfterMs: 0 };
      },
    });
    queue.add('a');
    queue.add('b');
    await settled();

    await queue.stop();
    queue.add('c');
    await settled();

    expect(begun).toEqual(['a']);
    expect(seen).toEqual([true]);
  });

  it('forgets keys that wait for their time', async () => {
    vi.useFakeTimers();
    try {
      const reconcile = vi.fn(async () => ({ requeueAfterMs: 100 }));
      const queue = queueOf({ reconcile });
      queue.add('a');
      await vi.advanceTimersByTimeAsync(250);
      expect(reconcile).toHaveBeenCalledTimes(3);

      await queue.stop();
      await vi.advanceTimersByTimeAsync(1000);

      expect(reconcile).toHaveBeenCalledTimes(3);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('does not begin a key that was added just before', async () => {
    const reconcile = vi.fn(async () => ({}));
    const queue = queueOf({ reconcile });

    queue.add('a');
    await queue.stop();

    expect(reconcile).not.toHaveBeenCalled();
  });

  it('reports no errors of work that was told to stop', async () => {
    const onError = vi.fn();
    const queue = queueOf({
      reconcile: (_key, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      onError,
    });
    queue.add('a');
    await settled();

    await queue.stop();

    expect(onError).not.toHaveBeenCalled();
  });
});
