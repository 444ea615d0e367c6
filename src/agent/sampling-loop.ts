import type { AgentReport } from '../api/agent-report.ts';
import type { Clock } from './sampler.ts';

export interface SamplingLoop {
  /** The last sample; it is never taken for a request. */
  readonly latest: () => AgentReport;
  readonly isAlive: () => boolean;
  readonly stop: () => void;
}

export interface SamplingLoopOptions {
  readonly sample: () => AgentReport;
  readonly intervalSeconds: number;
  readonly clock: Clock;
  readonly onReport: (report: AgentReport) => void;
}

/** Sampling has stalled when this many intervals, and at least this many seconds, have passed without a sample. */
const stalledAfter = { intervals: 3, seconds: 5 } as const;

/** Samples at once and then on a timer, until stopped. */
export function startSamplingLoop({ sample, intervalSeconds, clock, onReport }: SamplingLoopOptions): SamplingLoop {
  let latest = sample();
  let sampledAt = clock.monotonicMilliseconds();
  onReport(latest);
  const timer = setInterval(() => {
    latest = sample();
    sampledAt = clock.monotonicMilliseconds();
    onReport(latest);
  }, intervalSeconds * 1000);
  const allowedMilliseconds = 1000 * Math.max(stalledAfter.intervals * intervalSeconds, stalledAfter.seconds);

  return {
    latest: () => latest,
    isAlive: () => clock.monotonicMilliseconds() - sampledAt <= allowedMilliseconds,
    stop: () => clearInterval(timer),
  };
}
