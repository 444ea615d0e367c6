import { describe, expect, it, vi } from 'vitest';
import { createWorkQueue, type Next } from './work-queue.ts';

const FORGET: Next = { kind: 'forget' };
const PATIENCE = { timeout: 30_000 };
const FAILED: Next = { kind: 'retry', error: new Error('no') };

/** Work that is held until the test lets it go, key by key in the order in which it began. */
function heldWork() {
  const begun: string[] = [];
  const doors: (() => void)[] = [];
  return {
    begun,
    work: async (key: string): Promise<Next> => {
      begun.push(key);
      await new Promise<void>((resolve) => doors.push(resolve));
      return FORGET;
    },
    async finishNext(): Promise<void> {
      await vi.waitFor(() => expect(doors.length).toBeGreaterThan(0), PATIENCE);
      doors.shift()?.();
    },
  };
}

async function settled(): Promise<void> {
  // All that is due in this turn of the event loop, timers excepted.
  await new Promise((resolve) => setImmediate(resolve));
}

describe('a key', () => {
  it('waits once, however often it is added', async () => {
    const work = heldWork();
    const queue = createWorkQueue({ work: work.work });

    for (const key of ['a', 'b', 'b', 'b']) queue.add(key);
    await work.finishNext();
    await work.finishNext();
    await settled();

    expect(work.begun).toEqual(['a', 'b']);
    await queue.stop();
  });

  it('is not worked on in the turn of whoever adds it', () => {
    const work = vi.fn(async () => FORGET);
    const queue = createWorkQueue({ work });

    queue.add('a');

    expect(work).not.toHaveBeenCalled();
    return queue.stop();
  });

  it('is never worked on twice at the same time, and once more for what came meanwhile', async () => {
    const work = heldWork();
    const queue = createWorkQueue({ work: work.work, concurrency: 3 });
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
    const queue = createWorkQueue({
      work: async (key) => {
        done.push(key);
        if (key === 'hot' && done.length < 20) queue.add('hot');
        return FORGET;
      },
    });

    for (const key of ['hot', 'a', 'b']) queue.add(key);
    await vi.waitFor(() => expect(done.filter((key) => key === 'hot').length).toBeGreaterThan(5), PATIENCE);

    expect(done.slice(0, 4)).toEqual(['hot', 'a', 'b', 'hot']);
    await queue.stop();
  });

  it('is worked on with others at the same time, as many as allowed', async () => {
    const work = heldWork();
    const queue = createWorkQueue({ work: work.work, concurrency: 2 });

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

describe('after a failure', () => {
  it('a key comes back, each time after twice as long, and from the start again after a success', async () => {
    const waits: number[] = [];
    let calls = 0;
    const queue = createWorkQueue({
      work: async () => {
        calls += 1;
        return calls === 5 ? { kind: 'after', ms: 0 } : FAILED;
      },
      onRetry: (_key, _error, retryInMs) => waits.push(retryInMs),
    });

    queue.add('a');
    await vi.waitFor(() => expect(waits.length).toBeGreaterThanOrEqual(6), PATIENCE);

    expect(waits.slice(0, 6)).toEqual([5, 10, 20, 40, 5, 10]);
    await queue.stop();
  });

  it('the wait has an upper limit', async () => {
    vi.useFakeTimers();
    try {
      const waits: number[] = [];
      const queue = createWorkQueue({
        work: async () => FAILED,
        onRetry: (_key, _error, retryInMs) => waits.push(retryInMs),
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
    const work = vi.fn(async () => (fails ? FAILED : FORGET));
    vi.useFakeTimers();
    try {
      const queue = createWorkQueue({ work });
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
    const queue = createWorkQueue({
      work: async (key) => {
        if (key === 'bad') return FAILED;
        done.push(key);
        return FORGET;
      },
    });

    for (const key of ['bad', 'good']) queue.add(key);
    await vi.waitFor(() => expect(done).toEqual(['good']), PATIENCE);

    await queue.stop();
  });
});

describe('stopping', () => {
  it('tells running work, waits for its end, and begins nothing more', async () => {
    const begun: string[] = [];
    const seen: boolean[] = [];
    const queue = createWorkQueue({
      work: async (key, signal) => {
        begun.push(key);
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
        await settled();
        seen.push(signal.aborted);
        return { kind: 'after', ms: 0 };
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
      const work = vi.fn(async (): Promise<Next> => ({ kind: 'after', ms: 100 }));
      const queue = createWorkQueue({ work });
      queue.add('a');
      await vi.advanceTimersByTimeAsync(250);
      expect(work).toHaveBeenCalledTimes(3);

      await queue.stop();
      await vi.advanceTimersByTimeAsync(1000);

      expect(work).toHaveBeenCalledTimes(3);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('does not begin a key that was added just before', async () => {
    const work = vi.fn(async () => FORGET);
    const queue = createWorkQueue({ work });

    queue.add('a');
    await queue.stop();

    expect(work).not.toHaveBeenCalled();
  });

  it('promises no retry of work that was told to stop', async () => {
    const onRetry = vi.fn();
    const queue = createWorkQueue({
      work: (_key, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(FAILED))),
      onRetry,
    });
    queue.add('a');
    await settled();

    await queue.stop();

    expect(onRetry).not.toHaveBeenCalled();
  });
});

describe('retries of all keys together', () => {
  it('are a hundred at once, then ten a second', async () => {
    vi.useFakeTimers();
    try {
      const waits: number[] = [];
      const queue = createWorkQueue({
        work: async () => FAILED,
        onRetry: (_key, _error, retryInMs) => waits.push(retryInMs),
        // Time stands still, so that nothing comes back and only the first try of each key counts.
        monotonic: () => 0,
      });

      for (let key = 0; key < 120; key++) queue.add(`k${key}`);
      await vi.advanceTimersByTimeAsync(0);

      expect(waits).toHaveLength(120);
      expect(new Set(waits.slice(0, 100))).toEqual(new Set([5]));
      expect(waits.slice(100, 103).concat(waits.slice(119))).toEqual([100, 200, 300, 2000]);
      await queue.stop();
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a key that is to come later', () => {
  it('comes at the earliest of the times that were asked for, once', async () => {
    vi.useFakeTimers();
    try {
      const work = vi.fn(async () => FORGET);
      const queue = createWorkQueue({ work });

      queue.addAfter('a', 1000);
      queue.addAfter('a', 100);
      queue.addAfter('a', 500);
      await vi.advanceTimersByTimeAsync(99);
      expect(work).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1);
      expect(work).toHaveBeenCalledTimes(1);

      await vi.advanceTimersByTimeAsync(2000);
      expect(work).toHaveBeenCalledTimes(1);
      await queue.stop();
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('what metrics need', () => {
  it('is told: adds, how long keys waited and were worked on, retries', async () => {
    let now = 0;
    const told: string[] = [];
    const held = Promise.withResolvers<Next>();
    const queue = createWorkQueue({
      work: () => held.promise,
      monotonic: () => now,
      observer: {
        onAdd: () => told.push('add'),
        onBegin: (ms) => told.push(`began after ${ms}`),
        onEnd: (ms) => told.push(`worked for ${ms}`),
        onRetry: () => told.push('retry'),
      },
    });

    for (const key of ['a', 'b', 'b']) queue.add(key);
    now = 7;
    expect([queue.depth(), queue.workingForMs()]).toEqual([1, [7]]);
    held.resolve(FAILED);
    await settled();

    expect(told).toEqual([
      'add',
      'began after 0',
      'add',
      'worked for 7',
      'retry',
      'began after 7',
      'worked for 0',
      'retry',
    ]);
    await queue.stop();
  });
});
