import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  lowestLimit,
  parseBlkio,
  parseCfsQuota,
  parseCpuacctUsageSeconds,
  parseCpuMax,
  parseCpuStatUsageSeconds,
  parseFlatKeyed,
  parseHierarchicalMemoryLimit,
  parseIoStat,
  parseKeyedSeconds,
  parseMemoryLimit,
  parsePressure,
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

describe('the lowest of several limits', () => {
  it('holds, whatever is unlimited or unknown besides', () => {
    expect(lowestLimit(['none', 8, 4, null, { problem: 'not there' }])).toBe(4);
  });

  it('is none when there is none', () => {
    expect(lowestLimit(['none', null, { problem: 'not there' }])).toBeNull();
  });
});

describe('throttled time', () => {
  it('is in nanoseconds in v1, and in microseconds in v2', () => {
    const v1 = 'nr_periods 43\nnr_throttled 41\nthrottled_time 2500000000\nnr_bursts 0\n';
    const v2 = 'usage_usec 1\nnr_periods 43\nnr_throttled 41\nthrottled_usec 2500000\n';

    expect(parseKeyedSeconds(v1, 'throttled_time', 1e9)).toBe(2.5);
    expect(parseKeyedSeconds(v2, 'throttled_usec', 1e6)).toBe(2.5);
    expect(parseKeyedSeconds('usage_usec 1\n', 'throttled_usec', 1e6)).toBeNull();
  });
});

describe('pressure', () => {
  const some = 'some avg10=1.53 avg60=0.87 avg300=0.23 total=1500000\n';

  it('is the total time waited, by some and by all', () => {
    const full = 'full avg10=0.00 avg60=0.12 avg300=0.05 total=250000\n';

    expect(parsePressure(some + full)).toEqual({ some: 1.5, full: 0.25 });
  });

  it('by all is unknown for CPU before Linux 5.13', () => {
    expect(parsePressure(some)).toEqual({ some: 1.5, full: null });
  });

  it.each(['', 'some avg10=0.00 avg60=0.00 avg300=0.00\n', 'some total=-1\n'])('is unknown for %j', (text) => {
    expect(parsePressure(text)).toBeNull();
  });
});

describe('io.stat', () => {
  it('is summed over devices, and other figures are left out', () => {
    const text = `8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=5 dios=6
253:0 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0 cost.usage=7 cost.vrate=100.00
`;

    expect(parseIoStat(text)).toEqual({ readBytes: 4196, writtenBytes: 8392, reads: 4, writes: 6 });
  });

  it('may name devices without figures, on lines of their own or not (5.15 and older)', () => {
    expect(parseIoStat('7:0 7:1 8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n7:2 \n')).toEqual({
      readBytes: 1,
      writtenBytes: 2,
      reads: 3,
      writes: 4,
    });
  });

  it('counts what a device passes on where it arrives', () => {
    const text = `253:0 7:0 253:1 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0
8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0
`;

    expect(parseIoStat(text, (device) => device === '253:1')).toEqual({
      readBytes: 1,
      writtenBytes: 2,
      reads: 3,
      writes: 4,
    });
  });

  it('is empty before the first operation', () => {
    expect(parseIoStat('')).toEqual({ readBytes: 0, writtenBytes: 0, reads: 0, writes: 0 });
  });

  it.each(['rbytes', '8:0 rbytes=-1', '8:0 rbytes=', '<html>'])('is unknown for %j', (text) => {
    expect(parseIoStat(text)).toBeNull();
  });
});

describe('blkio of v1', () => {
  it('is summed over devices', () => {
    const text = `8:0 Read 4096
8:0 Write 8192
8:0 Sync 8192
8:0 Async 4096
8:0 Discard 0
8:0 Total 12288
8:16 Read 1
8:16 Write 2
8:16 Total 3
Total 12291
`;

    expect(parseBlkio(text)).toEqual({ read: 4097, write: 8194 });
  });

  it('counts what a device passes on where it arrives', () => {
    const text = '253:1 Read 4096\n253:1 Write 1\n8:0 Read 4097\n8:0 Write 2\nTotal 8196\n';

    expect(parseBlkio(text, (device) => device === '253:1')).toEqual({ read: 4097, write: 2 });
  });

  it('has at least a total', () => {
    expect(parseBlkio('Total 0\n')).toEqual({ read: 0, write: 0 });
    expect(parseBlkio('')).toBeNull();
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
      .array(
        fc.constantFrom(
          'some total=',
          'full ',
          '8:0 ',
          'rbytes=',
          'wios=',
          'Read ',
          'Total ',
          'usage_usec ',
          'hierarchical_memory_limit ',
          'max',
          '-1',
          ' ',
          '\n',
          '9',
          '0',
          '.',
          'e9',
        ),
      )
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
          ...Object.values(parsePressure(first) ?? {}),
          ...Object.values(parseIoStat(first) ?? {}),
          ...Object.values(parseBlkio(first) ?? {}),
        ];

        for (const outcome of outcomes) {
          expect(outcome === null || outcome === 'none' || (Number.isFinite(outcome) && outcome >= 0)).toBe(true);
        }
      }),
    );
  });
});
