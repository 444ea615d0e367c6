import type { Problem } from '../api/problem.ts';
import { parseCount } from './count.ts';

/*
 * The cgroup files that the agent reads, as text in and figures out (Documentation/admin-guide/cgroup-v1 and
 * cgroup-v2.rst). A parser returns null for a text it does not understand and never throws.
 */

/** A cumulative time of a `key value` file, as seconds: `throttled_usec` (v2, 1e6) and `throttled_time` (v1, 1e9) of cpu.stat. */
export function parseKeyedSeconds(text: string, key: string, perSecond: 1e6 | 1e9): number | null {
  const count = parseFlatKeyed(text, key);
  return count === null ? null : count / perSecond;
}

/** cpuacct.usage (v1), nanoseconds, as seconds. */
export function parseCpuacctUsageSeconds(text: string): number | null {
  const nanoseconds = parseCount(text);
  return nanoseconds === null ? null : nanoseconds / 1e9;
}

/** usage_usec of cpu.stat (v2), as seconds. It is there even where the cpu controller is not enabled. */
export function parseCpuStatUsageSeconds(text: string): number | null {
  return parseKeyedSeconds(text, 'usage_usec', 1e6);
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

/** The lowest of several limits, which all hold; null when there is none, or none that is known. */
export function lowestLimit(limits: readonly (Limit | null | Problem)[]): number | null {
  const known = limits.filter((it) => typeof it === 'number');
  return known.length > 0 ? Math.min(...known) : null;
}

/** One value of a file of `key value` lines, as in memory.stat. */
export function parseFlatKeyed(text: string, key: string): number | null {
  for (const line of text.split('\n')) {
    if (line.startsWith(`${key} `)) return parseCount(line.slice(key.length + 1));
  }
  return null;
}

/** Cumulative seconds in which at least one task, or all of them, waited. */
export interface PressureSeconds {
  readonly some: number | null;
  readonly full: number | null;
}

/** The `total` figures of cpu.pressure, memory.pressure or io.pressure; cpu.pressure had no `full` line before 5.13. */
export function parsePressure(text: string): PressureSeconds | null {
  const some = pressureSeconds(text, 'some');
  return some === null ? null : { some, full: pressureSeconds(text, 'full') };
}

function pressureSeconds(text: string, kind: 'some' | 'full'): number | null {
  const microseconds = parseCount(new RegExp(`^${kind} .*\\btotal=(\\d+)$`, 'm').exec(text)?.[1]);
  return microseconds === null ? null : microseconds / 1e6;
}

/** Cumulative, over all devices. */
export interface DiskCounters {
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly reads: number;
  readonly writes: number;
}

/** Whether a device (`<major>:<minor>`) passes on what it gets to others, which count it again: LVM, dm-crypt, md. */
export type IsStacked = (device: string) => boolean;

const noneStacked: IsStacked = () => false;

/**
 * io.stat (v2), summed over devices but stacked ones: a line `<major>:<minor> rbytes=… wbytes=… rios=… wios=… …` for each device, some without figures; none
 * before the first operation.
 */
export function parseIoStat(text: string, isStacked: IsStacked = noneStacked): DiskCounters | null {
  const sums = { rbytes: 0, wbytes: 0, rios: 0, wios: 0 };
  let device = '';
  for (const line of text.split('\n')) {
    if (line === '') continue;
    // Kernels up to 5.15 leave out line feeds after devices without figures, so a line may hold several devices.
    for (const word of line.split(' ')) {
      const [key = '', value] = word.split('=', 2);
      if (value === undefined && !/^(\d+:\d+)?$/.test(word)) return null;
      if (value === undefined && word !== '') device = word;
      if (!isIoKey(key)) continue;
      const count = parseCount(value);
      if (count === null) return null;
      if (!isStacked(device)) sums[key] += count;
    }
  }
  return { readBytes: sums.rbytes, writtenBytes: sums.wbytes, reads: sums.rios, writes: sums.wios };
}

function isIoKey(key: string): key is 'rbytes' | 'wbytes' | 'rios' | 'wios' {
  return key === 'rbytes' || key === 'wbytes' || key === 'rios' || key === 'wios';
}

/** `<major>:<minor> Read|Write <count>` lines of the blkio.throttle.io_* files (v1), summed over devices but stacked ones. */
export function parseBlkio(
  text: string,
  isStacked: IsStacked = noneStacked,
): { readonly read: number; readonly write: number } | null {
  const sums = { Read: 0, Write: 0 };
  let lines = 0;
  for (const [, device = '', operation = '', digits] of text.matchAll(/^(?:(\d+:\d+) )?([A-Z][a-z]+) (\d+)$/gm)) {
    const count = parseCount(digits);
    if (count === null) return null;
    if ((operation === 'Read' || operation === 'Write') && !isStacked(device)) sums[operation] += count;
    lines += 1;
  }
  // There is always a line `Total …`.
  return lines === 0 ? null : { read: sums.Read, write: sums.Write };
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
