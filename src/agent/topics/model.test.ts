import { describe, expect, it } from 'vitest';
import { createIdleCost, trafficWeight } from './model.ts';

describe('the weight of traffic', () => {
  it('is a message for each message and for each 8 KiB', () => {
    expect(trafficWeight(100, 0)).toBe(100);
    expect(trafficWeight(0, 819_200)).toBe(100);
    expect(trafficWeight(3, 4_096)).toBe(3.5);
  });
});

describe('idle CPU', () => {
  it('is taken off once a quiet interval has shown it', () => {
    const idle = createIdleCost();

    expect(idle.attributable(0.5, 1_000)).toBe(0.5);
    expect(idle.attributable(0.03, 0)).toBe(0);
    expect(idle.attributable(0.53, 1_000)).toBeCloseTo(0.5);
  });

  it('is the least of all quiet intervals: the first of them has the start of the process in it', () => {
    const idle = createIdleCost();

    idle.attributable(0.8, 0);
    idle.attributable(0.02, 0.5);
    idle.attributable(0.2, 0);

    expect(idle.attributable(0.52, 1_000)).toBeCloseTo(0.5);
  });

  it('never makes what is attributed negative', () => {
    const idle = createIdleCost();
    idle.attributable(0.1, 0);

    expect(idle.attributable(0.05, 1_000)).toBe(0);
  });

  it('is forgotten with the process', () => {
    const idle = createIdleCost();
    idle.attributable(0.1, 0);
    idle.forget();

    expect(idle.attributable(0.5, 1_000)).toBe(0.5);
  });
});
