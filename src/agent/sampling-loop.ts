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

/**
 * Agents start before their broker, and rates need two samples: until there is a rate, samples follow each other sooner, so
 * that a new broker is known in a second or two. Only for so many, because a broker that cannot be found would cost the
 * most.
 */
const hurry = { seconds: 1, samples: 60 } as const;

/** Samples at once and then on a timer, until stopped. */
export function startSamplingLoop({ sample, intervalSeconds, clock, onReport }: SamplingLoopOptions): SamplingLoop {
  let latest: AgentReport;
  let sampledAt: number;
  let timer: NodeJS.Timeout;
  let hurried = 0;

  function takeSample(): AgentReport {
    latest = sample();
    sampledAt = clock.monotonicMilliseconds();
    hurried = latest.cpu.cores === null ? hurried + 1 : 0;
    const hurries = hurried > 0 && hurried <= hurry.samples;
    timer = setTimeout(takeSample, 1000 * (hurries ? Math.min(hurry.seconds, intervalSeconds) : intervalSeconds));
    onReport(latest);
    return latest;
  }

  latest = takeSample();
  const allowedMilliseconds = 1000 * Math.max(stalledAfter.intervals * intervalSeconds, stalledAfter.seconds);

  return {
    latest: () => latest,
    isAlive: () => clock.monotonicMilliseconds() - sampledAt <= allowedMilliseconds,
    stop: () => clearTimeout(timer),
  };
}
