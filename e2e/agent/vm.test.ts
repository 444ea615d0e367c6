/**
 * The agent as it ships, in a virtual machine with a real cgroup v2 and containers with pid, mount, cgroup and network namespaces of their
 * own: what cannot be shown otherwise, and does not need a calm machine. vm.full.test.ts has the rest.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { parseReport } from '../../src/api/agent-report.ts';
import { cpuSecondsBetween, deviation, deviationFrom, ioCount, summedByOperations } from './vm/figures.ts';
import type { Findings } from './vm/guest/main.ts';
import { runMachine } from './vm/machine.ts';

const MIB = 1024 * 1024;

let findings: Findings['essentials'];
beforeAll(async () => {
  findings = await runMachine({
    suite: 'essentials',
    log: (line) => process.stderr.write(`${line}\n`),
    burnSeconds: 1,
    timeoutMs: 900_000,
  });
}, 1_200_000);

describe('an agent', () => {
  it('beside the broker, with shareProcessNamespace and no more rights than it, proves whose figures it reports', () => {
    const { first } = findings;

    expect(parseReport(JSON.stringify(first))).toEqual(first);
    expect(first).toMatchObject({
      mode: 'shared-pid',
      identity: { state: 'proven', reason: null },
      cpu: { source: 'cgroup-v2', limitCores: 1.5 },
      memory: { source: 'cgroup-v2', limitBytes: 256 * MIB },
      disk: { source: 'cgroup-v2' },
    });
  });

  it('within the container of the broker measures the container, and says that it is in it', () => {
    const { before, after, atLeastSeconds } = findings.within;

    expect(after).toMatchObject({ mode: 'self', identity: { state: 'proven' }, cpu: { source: 'cgroup-v2' } });
    // It uses CPU itself, in the same cgroup.
    expect(cpuSecondsBetween(before, after)).toBeGreaterThan(atLeastSeconds);
  });

  it("that sees the machine's cgroups measures the container of its Pod, though it may not look into its process", () => {
    const { report, kernel } = findings.outside;

    expect(report).toMatchObject({
      mode: 'host',
      identity: { state: 'proven' },
      cpu: { source: 'cgroup-v2' },
      memory: { source: 'cgroup-v2', limitBytes: 256 * MIB },
    });
    expect(deviation(report.memory.usageBytes, kernel)).toBeLessThan(0.01);
  });

  it('that sees no process but its own reports nothing, instead of itself', () => {
    expect(findings.alone).toMatchObject({
      identity: { state: 'unproven', reason: expect.stringContaining('shareProcessNamespace') },
      broker: null,
      cpu: { source: null, usageSeconds: null },
      memory: { source: null, usageBytes: null },
    });
  });
});

describe('of a broker with a cgroup of its own', () => {
  it('CPU is measured within 1 % of what the process says it used', () => {
    const { before, after, atLeastSeconds, atMostSeconds } = findings.cpu;

    expect(deviationFrom(cpuSecondsBetween(before, after), atLeastSeconds, atMostSeconds)).toBeLessThan(0.01);
  });

  it("memory is measured within 1 % of the kernel's own files", () => {
    const { report, usageBytes, workingSetBytes, partsBytes } = findings.memory;

    expect(workingSetBytes).toBeGreaterThan(128 * MIB);
    expect(deviation(report.memory.workingSetBytes, workingSetBytes)).toBeLessThan(0.01);
    expect(deviation(report.memory.usageBytes, usageBytes)).toBeLessThan(0.01);
    expect(deviation(report.memory.usageBytes, partsBytes)).toBeLessThan(0.01);
  });

  it('what goes to the disk and comes from it is measured within 1 % of the bytes written and read', () => {
    const { bytes, before, after, reports } = findings.disk;
    const counted = (key: string): number => ioCount(after, key) - ioCount(before, key);
    const written = summedByOperations(reports, counted('wios'), {
      bytes: ({ disk }) => disk.writeBytesPerSecond,
      operations: ({ disk }) => disk.writesPerSecond,
    });
    const read = summedByOperations(reports, counted('rios'), {
      bytes: ({ disk }) => disk.readBytesPerSecond,
      operations: ({ disk }) => disk.readsPerSecond,
    });

    expect(counted('wbytes')).toBe(bytes);
    expect(reports[0]?.disk).toMatchObject({ readBytesPerSecond: 0, writeBytesPerSecond: 0 });
    expect(deviation(written, bytes)).toBeLessThan(0.01);
    // The kernel reads a little ahead.
    expect(counted('rbytes')).toBeGreaterThanOrEqual(bytes);
    expect(deviation(read, counted('rbytes'))).toBeLessThan(0.01);
  });
});

describe('a broker that wants more than it may have', () => {
  it('is throttled, for as long as the kernel says', () => {
    const { before, after, reports } = findings.throttled;
    const kernelSeconds = after.kernel.throttledSeconds - before.kernel.throttledSeconds;
    const seconds = Number(after.report.cpu.throttledSeconds) - Number(before.report.cpu.throttledSeconds);
    const shares = reports.map(({ cpu }) => Number(cpu.throttledShare));

    expect(after.report.cpu.limitCores).toBe(0.2);
    expect(kernelSeconds).toBeGreaterThan(1);
    expect(seconds).toBeCloseTo(kernelSeconds, 4);
    expect(Math.max(...shares)).toBeGreaterThan(0.5);
    expect(Math.max(...shares)).toBeLessThanOrEqual(1);
  });

  it('is seen to lose a process for want of memory', () => {
    const { throttled, killed } = findings;

    expect(killed.ended).toBe('SIGKILL');
    expect(throttled.after.report.memory.oomKills).toBe(0);
    expect(killed.kernel.oomKills).toBe(1);
    expect(killed.report.memory.oomKills).toBe(1);
  });
});

describe('a broker that restarts between two samples', () => {
  it('makes no spike, and has rates again with the second sample', () => {
    const { before, reports } = findings.restarted;
    const afterwards = reports.filter(({ broker }) => broker !== null && broker.pid !== before.broker?.pid);
    const cores = reports.map(({ cpu }) => Number(cpu.cores));

    // What is counted begins anew.
    expect(afterwards.at(-1)?.cpu.usageSeconds).toBeLessThan(Number(before.cpu.usageSeconds));
    expect(afterwards.at(-1)?.cpu.cores).toEqual(expect.any(Number));
    // The machine has two.
    expect(Math.max(...cores)).toBeLessThan(2.1);
  });
});
