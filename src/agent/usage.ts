import type { MemoryFigures, Source } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import { type CgroupDirectory, type LookupOptions, lookUpCgroups } from './broker-cgroup.ts';
import {
  type Limit,
  parseCfsQuota,
  parseCpuacctUsageSeconds,
  parseCpuMax,
  parseCpuStatUsageSeconds,
  parseFlatKeyed,
  parseHierarchicalMemoryLimit,
  parseMemoryLimit,
} from './cgroup-files.ts';
import { parseCount } from './count.ts';
import { readParsed, readText } from './files.ts';
import { type ProcessStat, parseResidentBytes, ticksPerSecond } from './proc-files.ts';

/** What the broker uses and may use, at one moment. */
export interface Usage {
  readonly source: Source;
  readonly reason: string | null;
  readonly cpu: CpuCounter;
  readonly limitCores: number | null;
  readonly memory: MemoryUse;
}

export type MemoryUse = Pick<MemoryFigures, 'workingSetBytes' | 'usageBytes' | 'limitBytes'>;

/** A cumulative counter with the moment of its reading. Two readings make a rate only when they are of one series. */
export interface CpuCounter {
  /** What is counted: another cgroup, or the process instead of its cgroup, is another series. */
  readonly series: string;
  readonly seconds: number;
  /** Monotonic. */
  readonly atMilliseconds: number;
}

interface UsageOptions extends LookupOptions {
  readonly monotonicMilliseconds: () => number;
}

/**
 * The usage of the broker's own cgroup (a container's processes together), or of its process alone with the reason why.
 * CPU and memory must both be proved: half of one and half of the other would be no statement about anything.
 *
 * @param stat of the broker's process, read just now.
 */
export function readUsage(options: UsageOptions, stat: ProcessStat): Usage {
  const usage = readCgroupUsage(options);
  return isProblem(usage) ? readProcessUsage(options, stat, usage.problem) : usage;
}

function readCgroupUsage(options: UsageOptions): Usage | Problem {
  const cgroup = lookUpCgroups(options);
  const accounting = cgroup('cpuacct');
  if (isProblem(accounting)) return accounting;
  const memory = cgroup('memory');
  if (isProblem(memory)) return memory;
  const bandwidth = cgroup('cpu');

  const atMilliseconds = options.monotonicMilliseconds();
  const seconds = readCpuSeconds(accounting);
  if (isProblem(seconds)) return seconds;
  const memoryFigures = readMemory(memory);
  if (isProblem(memoryFigures)) return memoryFigures;
  return {
    source: accounting.version === 2 && memory.version === 2 ? 'cgroup-v2' : 'cgroup-v1',
    reason: null,
    cpu: { series: accounting.path, seconds, atMilliseconds },
    limitCores: isProblem(bandwidth) ? null : readLimitCores(bandwidth),
    memory: memoryFigures,
  };
}

function readCpuSeconds({ version, path }: CgroupDirectory): number | Problem {
  return version === 2
    ? readParsed(`${path}/cpu.stat`, parseCpuStatUsageSeconds)
    : readParsed(`${path}/cpuacct.usage`, parseCpuacctUsageSeconds);
}

function readLimitCores({ version, path }: CgroupDirectory): number | null {
  if (version === 2) return limitOrNull(readParsed(`${path}/cpu.max`, parseCpuMax));
  const period = readText(`${path}/cpu.cfs_period_us`);
  return isProblem(period)
    ? null
    : limitOrNull(readParsed(`${path}/cpu.cfs_quota_us`, (quota) => parseCfsQuota(quota, period)));
}

function readMemory({ version, path }: CgroupDirectory): MemoryUse | Problem {
  const [usageFile, limitFile, inactiveKey] =
    version === 2
      ? ['memory.current', 'memory.max', 'inactive_file']
      : ['memory.usage_in_bytes', 'memory.limit_in_bytes', 'total_inactive_file'];
  const usageBytes = readParsed(`${path}/${usageFile}`, parseCount);
  if (isProblem(usageBytes)) return usageBytes;
  const inactiveBytes = readParsed(`${path}/memory.stat`, (text) => parseFlatKeyed(text, inactiveKey));
  if (isProblem(inactiveBytes)) return inactiveBytes;
  const limits = [readParsed(`${path}/${limitFile}`, parseMemoryLimit)];
  if (version === 1) limits.push(readParsed(`${path}/memory.stat`, parseHierarchicalMemoryLimit));
  const known = limits.map(limitOrNull).filter((it) => it !== null);
  return {
    // As the kubelet counts it: the two files are read one after the other, so the difference may be below 0.
    workingSetBytes: Math.max(0, usageBytes - inactiveBytes),
    usageBytes,
    limitBytes: known.length > 0 ? Math.min(...known) : null,
  };
}

function limitOrNull(limit: Limit | Problem): number | null {
  return typeof limit === 'number' ? limit : null;
}

function readProcessUsage(
  { procRoot, pid, monotonicMilliseconds }: UsageOptions,
  stat: ProcessStat,
  reason: string,
): Usage {
  const residentBytes = readParsed(`${procRoot}/${pid}/status`, parseResidentBytes);
  return {
    source: 'proc',
    reason,
    cpu: { series: 'proc', seconds: stat.cpuTicks / ticksPerSecond, atMilliseconds: monotonicMilliseconds() },
    limitCores: null,
    memory: { workingSetBytes: isProblem(residentBytes) ? null : residentBytes, usageBytes: null, limitBytes: null },
  };
}
