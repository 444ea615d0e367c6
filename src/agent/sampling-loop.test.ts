import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { AgentReport } from '../api/agent-report.ts';
import { exampleReport } from '../api/example-report.ts';
import { type SamplingLoop, startSamplingLoop } from './sampling-loop.ts';

let monotonicMilliseconds: number;
let samples: number;
let cores: number | null;
let seen: number[];
let loop: SamplingLoop;

beforeEach(() => {
  vi.useFakeTimers();
  monotonicMilliseconds = 0;
  samples = 0;
  cores = 0.5;
  seen = [];
  loop = startSamplingLoop({
    sample: () => reportOf(++samples),
    intervalSeconds: 2,
    clock: { wallMilliseconds: () => 0, monotonicMilliseconds: () => monotonicMilliseconds },
    onReport: (report) => seen.push(report.observedAt),
  });
});
afterEach(() => {
  loop.stop();
  vi.useRealTimers();
});

function reportOf(observedAt: number): AgentReport {
  return { ...exampleReport, observedAt, cpu: { ...exampleReport.cpu, cores } };
}

function pass(seconds: number): void {
  monotonicMilliseconds += seconds * 1000;
  vi.advanceTimersByTime(seconds * 1000);
}

it('there is a report from the first moment', () => {
  expect(loop.latest().observedAt).toBe(1);
});

it('a sample is taken each interval and handed on', () => {
  pass(2);
  pass(2);

  expect(loop.latest().observedAt).toBe(3);
  expect(seen).toEqual([1, 2, 3]);
});

it('samples follow each other each second until there is a rate', () => {
  cores = null;
  pass(2);
  expect(samples).toBe(2);
  pass(1);
  expect(samples).toBe(3);

  cores = 0.5;
  pass(1);
  expect(samples).toBe(4);
  pass(1);
  expect(samples).toBe(4);
  pass(1);
  expect(samples).toBe(5);
});

it('a broker that is not found for a minute is looked for each interval', () => {
  cores = null;
  pass(2);
  for (let second = 0; second < 59; second += 1) pass(1);
  expect(samples).toBe(61);

  pass(1);
  expect(samples).toBe(62);
  pass(1);
  expect(samples).toBe(62);
  pass(1);
  expect(samples).toBe(63);
});

it('asking takes no sample', () => {
  loop.latest();
  loop.latest();
  loop.isAlive();

  expect(samples).toBe(1);
});

it('sampling that stalls for three intervals is not alive, until it goes on', () => {
  monotonicMilliseconds += 6_000;
  expect(loop.isAlive()).toBe(true);
  monotonicMilliseconds += 1;
  expect(loop.isAlive()).toBe(false);

  pass(2);

  expect(loop.isAlive()).toBe(true);
});

it('a stopped loop takes no more samples', () => {
  loop.stop();
  pass(60);

  expect(samples).toBe(1);
  expect(loop.isAlive()).toBe(false);
});
