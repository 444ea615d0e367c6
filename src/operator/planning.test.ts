import { afterEach, describe, expect, it } from 'vitest';
import { skewedCluster } from '../../bench/planner/workloads.ts';
import { clusterOf, topicsOf } from '../core/planner/cluster-builder.ts';
import { planInNameOrder } from '../core/planner/name-order.ts';
import { createPlanning, type Planning } from './planning.ts';

let planning: Planning | undefined;

afterEach(async () => {
  await planning?.close();
  planning = undefined;
});

const small = () => clusterOf(['cpu'], { b0: topicsOf('t', 30, [1]), b1: topicsOf('u', 10, [1]) });
const PATIENT = { options: {}, deadlineMs: 60_000 };

describe('planning in a thread', () => {
  it('makes the plan that planning here makes', async () => {
    planning = createPlanning();
    const options = { mode: 'HotSpots', band: { above: 0.05, below: 0.05 } } as const;

    const outcome = await planning.plan(skewedCluster(20, 2_000, 4, 42), { options, deadlineMs: 60_000 });

    expect(outcome).toEqual({
      kind: 'Planned',
      plan: planInNameOrder(skewedCluster(20, 2_000, 4, 42), options),
      planMs: expect.any(Number),
    });
  });

  it('takes the arrays with it instead of copying them', async () => {
    planning = createPlanning();
    const input = small();

    const outcome = planning.plan(input, PATIENT);

    expect(await outcome).toMatchObject({ kind: 'Planned' });
    expect([input.loads.length, input.owner.length, input.capacity.length]).toEqual([0, 0, 0]);
    expect(input.topics).toHaveLength(40);
  });

  it('leaves the event loop free', async () => {
    planning = createPlanning();
    let turns = 0;
    let going = true;
    const count = (): void => {
      turns++;
      if (going) setImmediate(count);
    };

    count();
    const outcome = await planning.plan(skewedCluster(100, 10_000, 4, 42), PATIENT);
    going = false;

    expect(outcome).toMatchObject({ kind: 'Planned' });
    expect(turns).toBeGreaterThan(10);
  });

  it('makes one plan after the other, with one thread', async () => {
    const made = createPlanning();
    planning = made;

    const outcomes = await Promise.all([1, 2, 3].map(() => made.plan(small(), PATIENT)));

    const hashes = outcomes.map((outcome) => (outcome.kind === 'Planned' ? outcome.plan.hash : outcome.kind));
    expect(new Set(hashes)).toEqual(new Set([planInNameOrder(small()).hash]));
  });
});

describe('a plan that takes too long', () => {
  it('is what there is at the deadline, and says so', async () => {
    planning = createPlanning({ graceMs: 60_000 });

    const outcome = await planning.plan(skewedCluster(100, 10_000, 4, 42), { options: {}, deadlineMs: 0 });

    expect(outcome).toMatchObject({ kind: 'Planned', plan: { stats: { stopped: true }, moves: expect.any(Array) } });
  });

  it('fails when its thread does not come to an end, and the next one gets another', async () => {
    planning = createPlanning({ graceMs: 1 });

    const late = await planning.plan(skewedCluster(300, 30_000, 4, 42), { options: {}, deadlineMs: 0 });
    const next = await planning.plan(small(), PATIENT);

    expect(late).toEqual({ kind: 'Failed', problem: 'the planner did not answer within 1 ms' });
    expect(next).toMatchObject({ kind: 'Planned' });
  });
});

describe('a plan that is no longer wanted', () => {
  it('is cancelled, before and while it is made', async () => {
    planning = createPlanning();
    const before = AbortSignal.abort();
    const controller = new AbortController();

    const running = planning.plan(skewedCluster(300, 30_000, 4, 42), { ...PATIENT, signal: controller.signal });
    const waiting = planning.plan(small(), { ...PATIENT, signal: before });
    controller.abort();

    expect(await Promise.all([running, waiting])).toEqual([{ kind: 'Cancelled' }, { kind: 'Cancelled' }]);
    expect(await planning.plan(small(), PATIENT)).toMatchObject({ kind: 'Planned' });
  });

  it('is not waited for, and its answer is taken for no other', async () => {
    const made = createPlanning();
    planning = made;
    const controller = new AbortController();
    // The thread runs then.
    await made.plan(small(), PATIENT);
    const running = made.plan(skewedCluster(100, 10_000, 4, 42), { ...PATIENT, signal: controller.signal });
    await new Promise((resolve) => setImmediate(resolve));

    controller.abort();
    const next = made.plan(small(), PATIENT);

    expect(await running).toEqual({ kind: 'Cancelled' });
    expect(await next).toMatchObject({ kind: 'Planned', plan: { hash: planInNameOrder(small()).hash } });
  });

  it('fails once planning is closed', async () => {
    planning = createPlanning();
    const running = planning.plan(skewedCluster(300, 30_000, 4, 42), PATIENT);
    const waiting = planning.plan(small(), PATIENT);

    // The first plan is with the thread once it has been asked for.
    await Promise.resolve();
    await planning.close();

    const closed = { kind: 'Failed', problem: 'planning is closed' };
    expect(await Promise.all([running, waiting])).toEqual([closed, closed]);
  });
});

describe('a planner that fails', () => {
  it('fails alone: without memory its thread ends, not the operator', async () => {
    planning = createPlanning({ memoryBytes: 24 * 2 ** 20 });

    const outcome = await planning.plan(skewedCluster(300, 30_000, 4, 42), PATIENT);

    expect(outcome).toEqual({ kind: 'Failed', problem: expect.stringMatching(/^the planner's thread: .*memory/) });
  });

  it('fails alone when its input cannot be handed over: those behind it are made', async () => {
    planning = createPlanning();
    const gone = small();
    await planning.plan(gone, PATIENT);

    const outcome = planning.plan(gone, PATIENT);
    const next = planning.plan(small(), PATIENT);

    expect(await outcome).toEqual({
      kind: 'Failed',
      problem: expect.stringMatching(/^the planner's thread: Cannot transfer/),
    });
    expect(await next).toMatchObject({ kind: 'Planned' });
  });

  it('fails with its own words', async () => {
    planning = createPlanning();
    const broken = { ...small(), resources: undefined } as never;

    expect(await planning.plan(broken, PATIENT)).toEqual({
      kind: 'Failed',
      problem: expect.stringMatching(/^the planner's thread: Cannot read properties of undefined/),
    });
    expect(await planning.plan(small(), PATIENT)).toMatchObject({ kind: 'Planned' });
  });
});
