import { describe, expect, it } from 'vitest';
import type { AgentReport } from '../../../src/api/agent-report.ts';
import {
  areConsecutive,
  cpuSecondsBetween,
  deviation,
  deviationFrom,
  haveKnownIntervals,
  summedByOperations,
  summedRate,
} from './figures.ts';

interface Sample {
  readonly sequence: number;
  readonly atSeconds: number;
  readonly usageSeconds?: number | null;
  readonly cores?: number | null;
  readonly bytesPerSecond?: number | null;
  readonly operationsPerSecond?: number;
}

function report(sample: Sample): AgentReport {
  const { sequence, atSeconds, usageSeconds = 0, cores = 0, bytesPerSecond = 0, operationsPerSecond = 0 } = sample;
  return {
    sequence,
    observedAt: atSeconds * 1000,
    cpu: { usageSeconds, cores },
    disk: { writeBytesPerSecond: bytesPerSecond, writesPerSecond: operationsPerSecond },
  } as AgentReport;
}

const written = ({ disk }: AgentReport): number | null => disk.writeBytesPerSecond;

describe('how far a figure is from the truth', () => {
  it('is a share of it, and no number when the figure is unknown', () => {
    expect(deviation(99, 100)).toBeCloseTo(0.01);
    expect(deviation(null, 100)).toBeNaN();
    expect(deviationFrom(Number.NaN, 100, 110)).toBeNaN();
  });

  it.each([
    [95, 0.05],
    [100, 0],
    [110, 0],
    [121, 0.1],
  ])('of 100 to 110, for %d, is %d', (figure, expected) => {
    expect(deviationFrom(figure, 100, 110)).toBeCloseTo(expected);
  });
});

describe('what a rate adds up to', () => {
  it('counts each interval as long as the agent did, not as long as it seems', () => {
    const reports = [
      report({ sequence: 1, atSeconds: 10, usageSeconds: 5 }),
      // 2 s of CPU at 1 core are 2 s, though the samples began 2.5 s apart.
      report({ sequence: 2, atSeconds: 12.5, usageSeconds: 7, cores: 1, bytesPerSecond: 100 }),
      report({ sequence: 3, atSeconds: 13.5, usageSeconds: 7, cores: 0, bytesPerSecond: 10 }),
    ];

    expect(summedRate(reports, written)).toBeCloseTo(210);
    expect(haveKnownIntervals(reports, 0.01)).toBe(false);
    expect(haveKnownIntervals(reports.slice(1), 0.01)).toBe(true);
  });

  it('is no number when the rate is unknown in one', () => {
    const reports = [
      report({ sequence: 1, atSeconds: 1 }),
      report({ sequence: 2, atSeconds: 2, bytesPerSecond: null }),
    ];

    expect(summedRate(reports, written)).toBeNaN();
  });
});

it('bytes add up to what they are, however wrong the intervals, by the operations that were counted with them', () => {
  // 20 operations of 100 bytes within a second that seems to be three.
  const reports = [
    report({ sequence: 1, atSeconds: 1 }),
    report({ sequence: 2, atSeconds: 4, bytesPerSecond: 2_000, operationsPerSecond: 20 }),
  ];
  const rates = { bytes: written, operations: ({ disk }: AgentReport) => disk.writesPerSecond };

  expect(summedRate(reports, written)).toBeCloseTo(6_000);
  expect(summedByOperations(reports, 20, rates)).toBeCloseTo(2_000);
});

it('samples are consecutive when none is missing', () => {
  const at = (sequence: number): AgentReport => report({ sequence, atSeconds: sequence });

  expect(areConsecutive([at(4), at(5), at(6)])).toBe(true);
  expect(areConsecutive([at(4), at(6)])).toBe(false);
});

it('CPU between two samples is no number when it is unknown in one', () => {
  const known = report({ sequence: 1, atSeconds: 1, usageSeconds: 2 });

  expect(cpuSecondsBetween(known, report({ sequence: 2, atSeconds: 2, usageSeconds: 3.5 }))).toBe(1.5);
  expect(cpuSecondsBetween(known, report({ sequence: 2, atSeconds: 2, usageSeconds: null }))).toBeNaN();
});
