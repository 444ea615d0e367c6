import { parseCount } from './count.ts';

/*
 * The cgroup files that the agent reads, as text in and figures out (Documentation/admin-guide/cgroup-v1 and
 * cgroup-v2.rst). A parser returns null for a text it does not understand and never throws.
 */

/** cpuacct.usage (v1), nanoseconds, as seconds. */
export function parseCpuacctUsageSeconds(text: string): number | null {
  const nanoseconds = parseCount(text);
  return nanoseconds === null ? null : nanoseconds / 1e9;
}

/** usage_usec of cpu.stat (v2), as seconds. It is there even where the cpu controller is not enabled. */
export function parseCpuStatUsageSeconds(text: string): number | null {
  const microseconds = parseFlatKeyed(text, 'usage_usec');
  return microseconds === null ? null : microseconds / 1e6;
}

/** What a limit file says: a number, or that there is no limit. */
export type Limit = number | 'none';

/** cpu.max (v2): `<quota|max> <period>`, as cores. */
export function parseCpuMax(text: string): Limit | null {
  const [quota = '', period = ''] = text.trim().split(' ');
  return quota === 'max' ? 'none' : cores(parseCount(quota), parseCount(period));
}

/** cpu.cfs_quota_us and cpu.cfs_period_us (v1), as cores; a quota of -1 is none. */
export function parseCfsQuota(quota: string, period: string): Limit | null {
  return quota.trim() === '-1' ? 'none' : cores(parseCount(quota), parseCount(period));
}

function cores(quota: number | null, period: number | null): number | null {
  return quota === null || period === null || period === 0 ? null : quota / period;
}

/** memory.max (v2) or memory.limit_in_bytes (v1, where the largest 64-bit number, less a page, means none). */
export function parseMemoryLimit(text: string): Limit | null {
  return text.trim() === 'max' ? 'none' : limitOf(parseCount(text));
}

/** The lowest limit on the way up to the root, in memory.stat of v1: a Pod's, where the container has none of its own. */
export function parseHierarchicalMemoryLimit(text: string): Limit | null {
  return limitOf(parseFlatKeyed(text, 'hierarchical_memory_limit'));
}

function limitOf(bytes: number | null): Limit | null {
  return bytes === null || bytes <= Number.MAX_SAFE_INTEGER ? bytes : 'none';
}

/** One value of a file of `key value` lines, as in memory.stat. */
export function parseFlatKeyed(text: string, key: string): number | null {
  for (const line of text.split('\n')) {
    if (line.startsWith(`${key} `)) return parseCount(line.slice(key.length + 1));
  }
  return null;
}

/** The process ids of cgroup.procs. Processes outside of the reader's pid namespace are shown as 0 and left out. */
export function parseProcessIds(text: string): ReadonlySet<number> {
  const ids = new Set<number>();
  for (const line of text.split('\n')) {
    const id = parseCount(line);
    if (id) ids.add(id);
  }
  return ids;
}
