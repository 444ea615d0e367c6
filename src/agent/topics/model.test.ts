import { describe, expect, it } from 'vitest';
import { createIdleCost, type IdleCost, trafficWeight } from './model.ts';

/** A minute of them, 10 s each. */
const startingIntervals = 6;

describe('the weight of traffic', () => {
  it('is a message for each message and for each 8 KiB', () => {
    expect(trafficWeight(100, 0)).toBe(100);
    expect(trafficWeight(0, 819_200)).toBe(100);
    expect(trafficWeight(3, 4_096)).toBe(3.5);
  });
});

describe('idle CPU', () => {
  /** Of a process that has started up, busily. */
  function createStartedIdleCost(): IdleCost {
    const idle = createIdleCost();
    for (let interval = 0; interval < startingIntervals; interval += 1) idle.attributable(0.9, 1_000);
    return idle;
  }

  it('is taken off once two quiet intervals have shown it', () => {
    const idle = createStartedIdleCost();

    expect(idle.attributable(0.5, 1_000)).toBe(0.5);
    expect(idle.attributable(0.04, 0)).toBe(0.04);
    expect(idle.attributable(0.03, 0)).toBe(0);
    expect(idle.attributable(0.53, 1_000)).toBeCloseTo(0.5);
  });

  it('is not what the start of the process costs, quiet as its topics are then', () => {
    const idle = createIdleCost();
    for (let interval = 0; interval < startingIntervals; interval += 1) idle.attributable(0.8, 0);

    expect(idle.attributable(0.5, 1_000)).toBe(0.5);
  });

  it('is the least of all quiet intervals', () => {
    const idle = createStartedIdleCost();

    idle.attributable(0.8, 0);
    idle.attributable(0.02, 0.5);
    idle.attributable(0.2, 0);

    expect(idle.attributable(0.52, 1_000)).toBeCloseTo(0.5);
  });

  it('never makes what is attributed negative', () => {
    const idle = createStartedIdleCost();
    idle.attributable(0.1, 0);
    idle.attributable(0.1, 0);

    expect(idle.attributable(0.05, 1_000)).toBe(0);
  });
});
