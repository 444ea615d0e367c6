import type { CpuFigures } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import type { BrokerCgroups, CgroupDirectory } from './broker-cgroup.ts';
import {
  type Limit,
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
  const limit = cpuLimit === null ? null : findLimit(cpuLimit);
  return {
    source: cpuUsage.version === 2 ? 'cgroup-v2' : 'cgroup-v1',
    usageSeconds,
    cores,
    averageCores: rates.average('cpu', series, cores),
    limitCores: limit?.cores ?? null,
    ...readThrottling(limit, run, rates),
    pressure: readPressure({ directory: pressure, resource: 'cpu', run, rates }),
  };
}

function readUsageSeconds({ version, path }: CgroupDirectory): number | Problem {
  return version === 2
    ? readParsed(`${path}/cpu.stat`, parseCpuStatUsageSeconds)
    : readParsed(`${path}/cpuacct.usage`, parseCpuacctUsageSeconds);
}

interface CpuLimit {
  readonly cores: number | null;
  /** Of the cgroup that sets the limit, and so counts what it holds back: the broker's own or one above it. */
  readonly path: string;
  readonly version: 1 | 2;
}

/** The lowest quota on the way up to the Pod, since all hold; without any, the broker's own cgroup. */
function findLimit({ version, path, above }: CgroupDirectory): CpuLimit {
  return [path, ...above]
    .map((it) => ({ cores: lowestLimit([readLimit(version, it)]), path: it, version }))
    .reduce((lowest, it) => ((it.cores ?? Infinity) < (lowest.cores ?? Infinity) ? it : lowest));
}

function readLimit(version: 1 | 2, path: string): Limit | Problem {
  if (version === 2) return readParsed(`${path}/cpu.max`, parseCpuMax);
  const period = readText(`${path}/cpu.cfs_period_us`);
  return isProblem(period) ? period : readParsed(`${path}/cpu.cfs_quota_us`, (quota) => parseCfsQuota(quota, period));
}

type Throttling = Pick<CpuFigures, 'throttledShare' | 'throttledSeconds'>;

function readThrottling(limit: CpuLimit | null, run: string, rates: Rates): Throttling {
  const text = limit === null ? null : readText(`${limit.path}/cpu.stat`);
  if (limit === null || text === null || isProblem(text)) return { throttledShare: null, throttledSeconds: null };
  const series = `${run} ${limit.path}`;
  const periods = rates.perSecond('cpu periods', series, parseFlatKeyed(text, 'nr_periods'));
  const throttled = rates.perSecond('cpu periods throttled', series, parseFlatKeyed(text, 'nr_throttled'));
  return {
    throttledShare: limit.cores !== null && periods !== null && throttled !== null ? shareOf(throttled, periods) : null,
    throttledSeconds:
      limit.version === 2
        ? parseKeyedSeconds(text, 'throttled_usec', 1e6)
        : parseKeyedSeconds(text, 'throttled_time', 1e9),
  };
}

/** No period begins while nothing runs, and what does not run is not held up. */
function shareOf(throttled: number, periods: number): number {
  return periods === 0 ? 0 : Math.min(1, throttled / periods);
}
