import type { Pressure } from '../api/agent-report.ts';
import { isProblem } from '../api/problem.ts';
import type { CgroupDirectory } from './broker-cgroup.ts';
import { parsePressure } from './cgroup-files.ts';
import { readParsed } from './files.ts';
import type { Rates } from './rates.ts';

export interface PressureOptions {
  /** In the v2 hierarchy; null where there is none. */
  readonly directory: CgroupDirectory | null;
  readonly resource: 'cpu' | 'memory' | 'io';
  readonly run: string;
  readonly rates: Rates;
}

/** The pressure (PSI) of the last interval; null where the kernel does not count it. */
export function readPressure({ directory, resource, run, rates }: PressureOptions): Pressure | null {
  if (directory === null) return null;
  const seconds = readParsed(`${directory.path}/${resource}.pressure`, parsePressure);
  if (isProblem(seconds)) return null;
  const series = `${run} ${directory.path}`;
  return {
    someShare: share(rates.perSecond(`${resource} pressure some`, series, seconds.some)),
    fullShare: share(rates.perSecond(`${resource} pressure full`, series, seconds.full)),
  };
}

/** Seconds waited per second; the kernel adds up what is still going on a little later, so more than all is possible. */
function share(rate: number | null): number | null {
  return rate === null ? null : Math.min(1, rate);
}
