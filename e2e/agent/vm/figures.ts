import type { AgentReport } from '../../../src/api/agent-report.ts';

/** How far a figure is from the true one, as a share of that; not a number when it is unknown. */
export function deviation(figure: number | null, truth: number): number {
  return figure === null ? Number.NaN : Math.abs(figure - truth) / truth;
}

/**
 * What a rate per second adds up to over samples that follow each other; the first is where it begins.
 *
 * @returns not a number when a sample is missing, or the rate is unknown in one.
 */
export function summedRate(reports: readonly AgentReport[], rate: (report: AgentReport) => number | null): number {
  let sum = 0;
  for (const [index, report] of reports.slice(1).entries()) {
    const previous = reports[index];
    const perSecond = rate(report);
    if (previous?.sequence !== report.sequence - 1 || perSecond === null) return Number.NaN;
    sum += (perSecond * (report.observedAt - previous.observedAt)) / 1000;
  }
  return sum;
}

/** Not a number when it is unknown in one of them. */
export function cpuSecondsBetween(earlier: AgentReport, later: AgentReport): number {
  return (later.cpu.usageSeconds ?? Number.NaN) - (earlier.cpu.usageSeconds ?? Number.NaN);
}
