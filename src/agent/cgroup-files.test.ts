import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseCfsQuota,
  parseCpuacctUsageSeconds,
  parseCpuMax,
  parseCpuStatUsageSeconds,
  parseFlatKeyed,
  parseHierarchicalMemoryLimit,
  parseMemoryLimit,
  parseProcessIds,
} from './cgroup-files.ts';

const v1MemoryStat = `cache 41943040
rss 31457280
inactive_file 1048576
hierarchical_memory_limit 536870912
total_cache 41943040
total_inactive_file 2097152
`;

const v2CpuStat = `usage_usec 1069000
user_usec 900000
system_usec 169000
nr_periods 0
`;

describe('CPU usage', () => {
  it('is in nanoseconds in v1', () => {
    expect(parseCpuacctUsageSeconds('1069123456\n')).toBe(1.069123456);
  });

  it('is still known after a hundred days of CPU time, when nanoseconds exceed 2^53', () => {
    expect(parseCpuacctUsageSeconds('90071992547409920\n')).toBeCloseTo(90_071_992.547, 2);
  });

  it('is in microseconds in v2', () => {
    expect(parseCpuStatUsageSeconds(v2CpuStat)).toBe(1.069);
  });
});

describe('the CPU limit', () => {
  it.each([
    ['50000 100000\n', 0.5],
    ['250000 100000\n', 2.5],
    ['max 100000\n', 'none'],
    ['50000 0\n', null],
    ['50000\n', null],
  ])('of cpu.max %j is %j', (text, limit) => {
    expect(parseCpuMax(text)).toBe(limit);
  });

  it.each([
    ['150000\n', '100000\n', 1.5],
    ['-1\n', '100000\n', 'none'],
    ['-2\n', '100000\n', null],
    ['150000\n', '0\n', null],
  ])('of cfs quota %j and period %j is %j', (quota, period, limit) => {
    expect(parseCfsQuota(quota, period)).toBe(limit);
  });
});

describe('the memory limit', () => {
  it.each([
    ['536870912\n', 536_870_912],
    ['max\n', 'none'],
    // v1 prints no limit as 2^63 less a page: 4 KiB pages, then 64 KiB pages.
    ['9223372036854771712\n', 'none'],
    ['9223372036854710272\n', 'none'],
    ['', null],
  ])('of %j is %j', (text, limit) => {
    expect(parseMemoryLimit(text)).toBe(limit);
  });

  it('of v1 on the way up to the root is in memory.stat', () => {
    expect(parseHierarchicalMemoryLimit(v1MemoryStat)).toBe(536_870_912);
    expect(parseHierarchicalMemoryLimit('hierarchical_memory_limit 9223372036854771712\n')).toBe('none');
    expect(parseHierarchicalMemoryLimit('cache 1\n')).toBeNull();
  });
});

describe('a file of keys and values', () => {
  it('gives the value of exactly that key', () => {
    expect(parseFlatKeyed(v1MemoryStat, 'inactive_file')).toBe(1_048_576);
    expect(parseFlatKeyed(v1MemoryStat, 'total_inactive_file')).toBe(2_097_152);
  });

  it('does not know a missing key as 0', () => {
    expect(parseFlatKeyed(v1MemoryStat, 'total_inactive')).toBeNull();
  });
});

describe('cgroup.procs', () => {
  it('lists pids; those outside of the pid namespace, shown as 0, are none', () => {
    expect([...parseProcessIds('17\n0\n42\n')]).toEqual([17, 42]);
    expect([...parseProcessIds('')]).toEqual([]);
  });
});

describe('whatever a file holds', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc
      .array(fc.constantFrom('usage_usec ', 'hierarchical_memory_limit ', 'max', '-1', ' ', '\n', '9', '0', '.', 'e9'))
      .map((it) => it.join('')),
  );

  it('is a figure or unknown, never an exception or NaN', () => {
    fc.assert(
      fc.property(text, text, (first, second) => {
        const outcomes = [
          parseCpuacctUsageSeconds(first),
          parseCpuStatUsageSeconds(first),
          parseCpuMax(first),
          parseCfsQuota(first, second),
          parseMemoryLimit(first),
          parseHierarchicalMemoryLimit(first),
          parseFlatKeyed(first, 'usage_usec'),
          ...parseProcessIds(first),
        ];

        for (const outcome of outcomes) {
          expect(outcome === null || outcome === 'none' || (Number.isFinite(outcome) && outcome >= 0)).toBe(true);
        }
      }),
    );
  });
});
