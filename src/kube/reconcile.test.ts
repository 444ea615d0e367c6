import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createOwnWrites } from './own-writes.ts';
import { createReconciler, DONE, type ReconcileOutcome, type Reconciler, type ReconcilerOptions } from './reconcile.ts';

let reconciler: Reconciler | undefined;
let outcomes: ReconcileOutcome[] = [];
let errors: [key: string, error: unknown, retryInMs: number | undefined][] = [];

beforeEach(() => {
  vi.useFakeTimers();
  outcomes = [];
  errors = [];
});

afterEach(async () => {
  await reconciler?.stop();
  vi.useRealTimers();
});

function start(reconcile: ReconcilerOptions['reconcile'], options: Partial<ReconcilerOptions> = {}): Reconciler {
  reconciler = createReconciler({
    reconcile,
    onError: (...args) => errors.push(args),
    observer: { onReconciled: (outcome) => outcomes.push(outcome) },
    ...options,
  });
  return reconciler;
}

describe('a reconcile', () => {
  it('that is done is over until something changes', async () => {
    const reconcile = vi.fn(async () => DONE);

    start(reconcile).add('a');
    await vi.advanceTimersByTimeAsync(3_600_000);

    expect(reconcile).toHaveBeenCalledTimes(1);
    expect(outcomes).toMatchObject([{ result: 'success', terminal: false, panicked: false, timedOut: false }]);
  });

  it('that asks for it comes back after that long', async () => {
    const reconcile = vi.fn(async () => ({ kind: 'requeueAfter', ms: 1000 }) as const);

    start(reconcile).add('a');
    await vi.advanceTimersByTimeAsync(2500);

    expect(reconcile).toHaveBeenCalledTimes(3);
    expect(outcomes[0]?.result).toBe('requeue_after');
  });

  it('with a terminal error is told, and does not come back before a change', async () => {
    const error = new Error('spec.x: write a number');
    const reconcile = vi.fn(async () => ({ kind: 'terminal', error }) as const);
    start(reconcile).add('a');
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(reconcile).toHaveBeenCalledTimes(1);
    expect(errors).toEqual([['a', error, undefined]]);
    expect(outcomes).toMatchObject([{ result: 'error', terminal: true }]);

    reconciler?.add('a');
    await vi.advanceTimersByTimeAsync(0);

    expect(reconcile).toHaveBeenCalledTimes(2);
  });

  it('that throws comes back with back-off, and others are not harmed', async () => {
    const done: string[] = [];
    start(async (key) => {
      if (key === 'bad') throw new Error('no');
      done.push(key);
      return DONE;
    });

    for (const key of ['bad', 'good']) reconciler?.add(key);
    await vi.advanceTimersByTimeAsync(20);

    expect(done).toEqual(['good']);
    expect(errors.map(([key, , retryInMs]) => `${key} ${retryInMs}`)).toEqual(['bad 5', 'bad 10', 'bad 20']);
    expect(outcomes.filter(({ panicked }) => panicked)).toEqual([]);
  });

  it.each([
    ['a TypeError', new TypeError('x is undefined')],
    ['something that is no Error', 'oops'],
  ])('that throws %s is counted as a panic, and the program goes on', async (_what, thrown) => {
    let fails = true;
    start(async () => {
      if (fails) throw thrown;
      return DONE;
    }).add('a');
    await vi.advanceTimersByTimeAsync(0);
    expect(outcomes).toMatchObject([{ result: 'error', panicked: true }]);

    fails = false;
    await vi.advanceTimersByTimeAsync(100);

    expect(outcomes[1]).toMatchObject({ result: 'success', panicked: false });
  });

  it('is a panic also when it throws before its first await', async () => {
    start(() => {
      throw new TypeError('at once');
    }).add('a');
    await vi.advanceTimersByTimeAsync(0);

    expect(outcomes).toMatchObject([{ result: 'error', panicked: true }]);
  });

  it('is told when its deadline is over, and counted', async () => {
    const reconcile: ReconcilerOptions['reconcile'] = (_key, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

    start(reconcile, { deadlineMs: 1000 }).add('a');
    await vi.advanceTimersByTimeAsync(999);
    expect(outcomes).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);

    expect(outcomes).toMatchObject([{ result: 'error', timedOut: true }]);
    expect(String(errors[0]?.[1])).toContain('longer than 1000 ms');
  });

  it('of a key that ignores its deadline keeps that key, not the others', async () => {
    const begun: string[] = [];
    const end = Promise.withResolvers<void>();
    start(
      async (key) => {
        begun.push(key);
        if (key === 'stuck') await end.promise;
        return DONE;
      },
      { deadlineMs: 1000, concurrency: 2 },
    );

    for (const key of ['stuck', 'a', 'stuck']) reconciler?.add(key);
    await vi.advanceTimersByTimeAsync(5000);
    expect(begun).toEqual(['stuck', 'a']);
    reconciler?.add('stuck');
    end.resolve();
    await vi.advanceTimersByTimeAsync(0);

    expect(begun).toEqual(['stuck', 'a', 'stuck']);
  });

  it('that is told to stop is no error', async () => {
    start(
      (_key, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    ).add('a');
    await vi.advanceTimersByTimeAsync(0);

    await reconciler?.stop();

    expect([errors, outcomes]).toEqual([[], []]);
  });
});

describe('a key whose own last writes the cache does not show', () => {
  it('is put off until it does', async () => {
    let shown = '99';
    const ownWrites = createOwnWrites({ shownUpTo: () => shown });
    const reconcile = vi.fn(async (key: string) => {
      ownWrites.wrote(key, '100');
      return DONE;
    });
    start(reconcile, { isReady: ownWrites.areVisible }).add('a');
    await vi.advanceTimersByTimeAsync(0);
    expect(reconcile).toHaveBeenCalledTimes(1);

    reconciler?.add('a');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(reconcile).toHaveBeenCalledTimes(1);

    shown = '100';
    await vi.advanceTimersByTimeAsync(100);
    expect(reconcile).toHaveBeenCalledTimes(2);
  });
});
