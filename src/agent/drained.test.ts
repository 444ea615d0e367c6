import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Problem } from '../api/problem.ts';
import { createDrainWait, type DrainOutcome, type DrainWait, drainBounds } from './drained.ts';

let owned: number | Problem;
let questions: number;
let drainWait: DrainWait;
let outcomes: DrainOutcome[];

beforeEach(() => {
  vi.useFakeTimers();
  owned = 3;
  questions = 0;
  outcomes = [];
  drainWait = createDrainWait({
    podUid: '5b1f',
    readTopicsOwned: async () => {
      questions += 1;
      return owned;
    },
    monotonicMilliseconds: () => performance.now(),
  });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Keeps the outcome. */
function wait(timeoutSeconds: number, gone = new AbortController()): void {
  drainWait.wait(timeoutSeconds, gone.signal).then((outcome) => {
    outcomes.push(outcome);
    gone.abort();
  });
}

async function pass(seconds: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(seconds * 1000);
}

describe('a wait ends', () => {
  it('when the operator says that this Pod is done', async () => {
    wait(60);
    await pass(5);
    drainWait.sayDone('5b1f');
    await pass(0);

    expect(outcomes).toEqual([{ drained: true, why: 'OperatorDone', waitedSeconds: 5 }]);
  });

  it('when the broker serves nothing any more', async () => {
    wait(60);
    await pass(5);
    owned = 0;
    await pass(1);

    expect(outcomes).toEqual([{ drained: true, why: 'ServesNothing', waitedSeconds: 6 }]);
  });

  it('at once when the broker serves nothing already', async () => {
    owned = 0;
    wait(60);
    await pass(0);

    expect(outcomes).toMatchObject([{ why: 'ServesNothing' }]);
  });

  it('when its time is up, each its own', async () => {
    wait(10);
    wait(20);
    await pass(15);
    expect(outcomes).toEqual([{ drained: false, why: 'TimeUp', waitedSeconds: 10 }]);

    await pass(5);
    expect(outcomes).toHaveLength(2);
  });
});

describe('a wait goes on', () => {
  it('when another Pod is done', async () => {
    wait(60);
    drainWait.sayDone('another');
    await pass(30);

    expect(outcomes).toEqual([]);
  });

  it('while it is unknown what the broker serves', async () => {
    owned = { problem: 'connect ECONNREFUSED' };
    wait(60);
    await pass(59);

    expect(outcomes).toEqual([]);
    expect(questions).toBeGreaterThan(10);
  });

  it('when what the broker said was asked before it began', async () => {
    let answer: (owned: number) => void = () => undefined;
    const slow = createDrainWait({
      podUid: '5b1f',
      readTopicsOwned: () => new Promise((resolve) => (answer = resolve)),
      monotonicMilliseconds: () => performance.now(),
    });
    const ended: string[] = [];
    const join = (name: string): void => {
      slow.wait(60, new AbortController().signal).then(() => ended.push(name));
    };
    join('early');
    await pass(1);
    join('late');
    answer(0);
    await pass(0);

    expect(ended).toEqual(['early']);
  });
});

describe('what the operator said', () => {
  it('holds for who comes shortly after, and not for a later stop of the same Pod', async () => {
    drainWait.sayDone('5b1f');
    await pass(30);
    wait(100);
    await pass(0);
    expect(outcomes).toEqual([{ drained: true, why: 'OperatorDone', waitedSeconds: 0 }]);

    await pass(30);
    wait(100);
    await pass(0);
    expect(outcomes).toHaveLength(1);
  });
});

describe('the broker is asked', () => {
  it('only while somebody waits, once a second', async () => {
    await pass(100);
    expect(questions).toBe(0);

    wait(10);
    wait(10);
    await pass(9.5);
    expect(questions).toBe(10);

    await pass(100);
    expect(questions).toBe(10);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('again after all had gone', async () => {
    wait(2);
    await pass(10);
    const before = questions;
    wait(2);
    await pass(0);

    expect(questions).toBe(before + 1);
  });
});

describe('those who wait', () => {
  it('are bounded: for one more, the time of who waits longest is up', async () => {
    wait(100);
    await pass(1);
    for (let count = 1; count < drainBounds.waiters; count += 1) wait(60);
    await pass(1);
    expect(outcomes).toEqual([]);
    wait(60);
    await pass(0);

    expect(outcomes).toEqual([{ drained: false, why: 'TimeUp', waitedSeconds: 2 }]);
  });

  it('make room when they give up', async () => {
    const gone = new AbortController();
    for (let count = 0; count < drainBounds.waiters; count += 1) void drainWait.wait(60, gone.signal);
    gone.abort();
    await pass(1);

    expect(vi.getTimerCount()).toBe(0);
    for (let count = 0; count < drainBounds.waiters; count += 1) wait(60);
    await pass(1);
    expect(outcomes).toEqual([]);
  });

  it('are waited for by the end of the agent until they have their answers', async () => {
    let ends = 0;
    const end = (): void => {
      ends += 1;
    };
    drainWait.whenAllHaveGone(end);
    expect(ends).toBe(1);

    const gone = new AbortController();
    drainWait.wait(10, gone.signal);
    drainWait.whenAllHaveGone(end);
    await pass(10);
    expect(ends).toBe(1);
    gone.abort();
    expect(ends).toBe(2);
  });

  it('keep the agent no longer than some seconds after the broker has ended, however many come', async () => {
    let ends = 0;
    wait(3_600);
    await pass(100);
    drainWait.whenAllHaveGone(() => {
      ends += 1;
    });
    await pass(100);
    expect(ends).toBe(0);

    owned = { problem: 'connect ECONNREFUSED' };
    await pass(9);
    wait(3_600);
    expect(ends).toBe(0);
    await pass(4);
    expect(ends).toBe(1);
  });
});
