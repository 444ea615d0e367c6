import type { AgentReport } from '../../../src/api/agent-report.ts';

/** How far a figure is from the true one, as a share of that; not a number when it is unknown. */
export function deviation(figure: number | null, truth: number): number {
  return figure === null ? Number.NaN : Math.abs(figure - truth) / truth;
}

/** Whether every sample between the first and the last is there. */
export function areConsecutive(reports: readonly AgentReport[]): boolean {
  return reports.every(({ sequence }, index) => sequence === (reports[0]?.sequence ?? 0) + index);
}

/**
 * What a rate per second adds up to over consecutive samples; the first is where it begins.
 *
 * @returns not a number when the rate is unknown in one.
 */
export function summedRate(reports: readonly AgentReport[], rate: (report: AgentReport) => number | null): number {
  let sum = 0;
  for (const [index, report] of reports.slice(1).entries()) {
    const previous = reports[index];
    if (previous !== undefined) sum += (rate(report) ?? Number.NaN) * secondsBetween(previous, report);
  }
  return sum;
}

/**
 * The same for bytes when the intervals are known only roughly, as on a busy machine: operations are read with the bytes, so by what they
 * add up to and by how many there were (`operations`), the intervals cancel out.
 */
export function summedByOperations(
  reports: readonly AgentReport[],
  operations: number,
  rates: {
    readonly bytes: (report: AgentReport) => number | null;
    readonly operations: (report: AgentReport) => number | null;
  },
): number {
  return (summedRate(reports, rates.bytes) * operations) / summedRate(reports, rates.operations);
}

/** The interval by the agent's monotonic clock: CPU is there as a total and as a rate. Idle brokers leave us the times of the samples. */
function secondsBetween(earlier: AgentReport, later: AgentReport): number {
  return later.cpu.cores !== null && later.cpu.cores > 0
    ? cpuSecondsBetween(earlier, later) / later.cpu.cores
    : wallSecondsBetween(earlier, later);
}

function wallSecondsBetween(earlier: AgentReport, later: AgentReport): number {
  return (later.observedAt - earlier.observedAt) / 1000;
}

/**
 * Whether the two ways to know the intervals agree but for a share of them. The begin of a sample and the reading of its CPU are a few ms
 * apart, unless the machine is elsewhere in between.
 */
export function haveKnownIntervals(reports: readonly AgentReport[], toleratedShare: number): boolean {
  return reports.slice(1).every((later, index) => {
    const earlier = reports[index];
    return (
      earlier !== undefined &&
      deviation(secondsBetween(earlier, later), wallSecondsBetween(earlier, later)) < toleratedShare
    );
  });
}

/** Not a number when it is unknown in one of them. */
export function cpuSecondsBetween(earlier: AgentReport, later: AgentReport): number {
  return (later.cpu.usageSeconds ?? Number.NaN) - (earlier.cpu.usageSeconds ?? Number.NaN);
}

/** How far CPU seconds are outside of two bounds, as a share of them; 0 within. Not a number when unknown. */
export function deviationFrom(figure: number, atLeast: number, atMost: number): number {
  if (figure < atLeast) return deviation(figure, atLeast);
  return figure > atMost ? deviation(figure, atMost) : figure * 0;
}

/** Of a line of io.stat, `254:0 rbytes=0 wbytes=4096 …`; 0 before the first transfer, when there is no line. */
export function ioCount(ioStat: string, key: string): number {
  return Number(new RegExp(`\\b${key}=(\\d+)`).exec(ioStat)?.[1] ?? 0);
}
