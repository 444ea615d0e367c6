import type { CpuFigures } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import type { BrokerCgroups, CgroupDirectory } from './broker-cgroup.ts';
import {
  lowestLimit,
  parseCfsQuota,
  parseCpuacctUsageSeconds,
  parseCpuMax,
  parseCpuStatUsageSeconds,
  parseFlatKeyed,
  parseKeyedSeconds,
} from './cgroup-files.ts';
import { readParsed, readText } from './files.ts';
import { readPressure } from './pressure.ts';
import type { Rates } from './rates.ts';

/**
 * The CPU figures of the broker's cgroup.
 *
 * @param run names the broker's run: the counters of another one are another series.
 */
export function readCpuFigures(
  { cpuUsage, cpuLimit, pressure }: BrokerCgroups,
  run: string,
  rates: Rates,
): CpuFigures | Problem {
  const usageSeconds = readUsageSeconds(cpuUsage);
  if (isProblem(usageSeconds)) return usageSeconds;
  const series = `${run} ${cpuUsage.path}`;
  const cores = rates.perSecond('cpu', series, usageSeconds);
  const limitCores =
    cpuLimit === null ? null : lowestLimit([cpuLimit.path, ...cpuLimit.above].map((it) => readLimit(cpuLimit, it)));
  return {
    source: cpuUsage.version === 2 ? 'cgroup-v2' : 'cgroup-v1',
    usageSeconds,
    cores,
    averageCores: rates.average('cpu', series, cores),
    limitCores,
    ...readThrottling(cpuLimit, limitCores !== null, run, rates),
    pressure: readPressure({ directory: pressure, resource: 'cpu', run, rates }),
  };
}

function readUsageSeconds({ version, path }: CgroupDirectory): number | Problem {
  return version === 2
    ? readParsed(`${path}/cpu.stat`, parseCpuStatUsageSeconds)
    : readParsed(`${path}/cpuacct.usage`, parseCpuacctUsageSeconds);
}

function readLimit({ version }: CgroupDirectory, path: string): ReturnType<typeof parseCpuMax> | Problem {
  if (version === 2) return readParsed(`${path}/cpu.max`, parseCpuMax);
  const period = readText(`${path}/cpu.cfs_period_us`);
  return isProblem(period) ? period : readParsed(`${path}/cpu.cfs_quota_us`, (quota) => parseCfsQuota(quota, period));
}

type Throttling = Pick<CpuFigures, 'throttledShare' | 'throttledSeconds'>;

function readThrottling(directory: CgroupDirectory | null, limited: boolean, run: string, rates: Rates): Throttling {
  const text = directory === null ? null : readText(`${directory.path}/cpu.stat`);
  if (directory === null || text === null || isProblem(text)) return { throttledShare: null, throttledSeconds: null };
  const series = `${run} ${directory.path}`;
  const periods = rates.perSecond('cpu periods', series, parseFlatKeyed(text, 'nr_periods'));
  const throttled = rates.perSecond('cpu periods throttled', series, parseFlatKeyed(text, 'nr_throttled'));
  return {
    throttledShare: limited && periods !== null && throttled !== null ? shareOf(throttled, periods) : null,
    throttledSeconds:
      directory.version === 2
        ? parseKeyedSeconds(text, 'throttled_usec', 1e6)
        : parseKeyedSeconds(text, 'throttled_time', 1e9),
  };
}

/** No period begins while nothing runs, and what does not run is not held up. */
function shareOf(throttled: number, periods: number): number {
  return periods === 0 ? 0 : Math.min(1, throttled / periods);
}
