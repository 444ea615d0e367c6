/**
 * All that the agent is held to on a real cgroup v2, on a machine that is calm for long enough: rates within their bars, CPU over the time
 * that its bar is stated for, and whatever vm.test.ts leaves out.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { parseReport } from '../../src/api/agent-report.ts';
import { cpuSecondsBetween, deviation, deviationFrom, ioCount, summedRate } from './vm/figures.ts';
import type { Findings } from './vm/guest/main.ts';
import { runMachine } from './vm/machine.ts';

const MIB = 1024 * 1024;
const BURN_SECONDS = 30;

let findings: Findings['all'];
beforeAll(async () => {
  findings = await runMachine({
    suite: 'all',
    log: (line) => process.stderr.write(`${line}\n`),
    burnSeconds: BURN_SECONDS,
    timeoutMs: 900_000,
  });
}, 1_200_000);

describe('an agent beside the broker, with shareProcessNamespace', () => {
  it('proves whose figures it reports, with no more rights than the broker has', () => {
    const { first } = findings.besideBroker;

    expect(parseReport(JSON.stringify(first))).toEqual(first);
    expect(first).toMatchObject({
      mode: 'shared-pid',
      identity: { state: 'proven', reason: null },
      cpu: { source: 'cgroup-v2', limitCores: 1.5 },
      memory: { source: 'cgroup-v2', limitBytes: 256 * MIB },
      disk: { source: 'cgroup-v2' },
    });
  });

  it(`measures CPU within 1 % of what the process says it used, over ${BURN_SECONDS} s`, () => {
    expect(findings.besideBroker.cpu.atLeastSeconds).toBeGreaterThanOrEqual(BURN_SECONDS);
    expect(cpuDeviation(findings.besideBroker.cpu)).toBeLessThan(0.01);
  });

  it("measures memory within 1 % of the kernel's own files", () => {
    const { report, usageBytes, workingSetBytes, partsBytes } = findings.besideBroker.memory;

    expect(workingSetBytes).toBeGreaterThan(128 * MIB);
    expect(deviation(report.memory.workingSetBytes, workingSetBytes)).toBeLessThan(0.01);
    expect(deviation(report.memory.usageBytes, usageBytes)).toBeLessThan(0.01);
    expect(deviation(report.memory.usageBytes, partsBytes)).toBeLessThan(0.01);
  });

  it('measures what goes to the disk and comes from it within 1 % of the bytes written and read', () => {
    const { bytes, before, after, reports } = findings.besideBroker.disk;
    const counted = (key: string): number => ioCount(after, key) - ioCount(before, key);

    expect(counted('wbytes')).toBe(bytes);
    expect(reports[0]?.disk).toMatchObject({ readBytesPerSecond: 0, writeBytesPerSecond: 0 });
    expect(
      deviation(
        summedRate(reports, ({ disk }) => disk.writeBytesPerSecond),
        bytes,
      ),
    ).toBeLessThan(0.01);
    // The kernel reads a little ahead.
    expect(counted('rbytes')).toBeGreaterThanOrEqual(bytes);
    expect(
      deviation(
        summedRate(reports, ({ disk }) => disk.readBytesPerSecond),
        counted('rbytes'),
      ),
    ).toBeLessThan(0.01);
    expect(
      deviation(
        summedRate(reports, ({ disk }) => disk.writesPerSecond),
        counted('wios'),
      ),
    ).toBeLessThan(0.01);
  });

  it('measures the network of the whole Pod, as the other end of its link counts it, and not what stays within', () => {
    const { bytes, kernelBytes, reports } = findings.besideBroker.network;

    expect(kernelBytes).toBeGreaterThanOrEqual(bytes);
    expect(
      deviation(
        summedRate(reports, ({ network }) => network.sentBytesPerSecond),
        kernelBytes,
      ),
    ).toBeLessThan(0.02);
    expect(reports.map(({ network }) => network.errorsPerSecond)).not.toContainEqual(expect.toSatisfy((it) => it > 0));
  });

  it('counts the open files', () => {
    const { report, open, limits } = findings.besideBroker.files;

    expect(report.fileDescriptors).toMatchObject({ open, limit: Number(/^Max open files +(\d+)/m.exec(limits)?.[1]) });
  });
});

describe('an agent that cannot know', () => {
  it('as another user says so, and which user it must be', () => {
    expect(findings.besideBroker.otherUser).toMatchObject({
      identity: { state: 'unproven', reason: expect.stringContaining('runAsUser') },
      cpu: { usageSeconds: null },
    });
  });

  it("does not pass another container's cgroup off as the broker's: its limits are not those of the broker", () => {
    const { identity } = findings.besideBroker.misled;

    expect(identity).toEqual({ state: 'unproven', reason: expect.stringContaining('limit') });
  });

  it.each(['alone', 'withoutProcesses'] as const)(
    'as a sidecar that sees no process but its own reports nothing, instead of itself (%s)',
    (which) => {
      const report = findings.outside[which];

      expect(report).toMatchObject({
        identity: { state: 'unproven', reason: expect.stringContaining('shareProcessNamespace') },
        broker: null,
        cpu: { source: null, usageSeconds: null },
        memory: { source: null, usageBytes: null },
      });
    },
  );
});

describe('an agent within the container of the broker', () => {
  it('measures the container, and says that it is in it', () => {
    const { before, after, atLeastSeconds } = findings.withinBroker;

    expect(after).toMatchObject({ mode: 'self', identity: { state: 'proven' }, cpu: { source: 'cgroup-v2' } });
    // It uses CPU itself, in the same cgroup.
    expect(cpuSecondsBetween(before, after)).toBeGreaterThan(atLeastSeconds);
  });
});

describe("an agent that sees the machine's cgroups", () => {
  it('measures the container of its Pod within 1 %, though it may not look into its process', () => {
    const { cpu, memory } = findings.outside;
    const { after } = cpu;

    expect(after).toMatchObject({
      mode: 'host',
      identity: { state: 'proven' },
      cpu: { source: 'cgroup-v2' },
      memory: { source: 'cgroup-v2', limitBytes: 256 * MIB },
    });
    expect(cpuDeviation(cpu)).toBeLessThan(0.01);
    expect(deviation(memory.report.memory.usageBytes, memory.kernel)).toBeLessThan(0.01);
  });
});

describe('a broker that wants more than it may have', () => {
  it('is throttled, for as long as the kernel says', () => {
    const { before, after, reports } = findings.limits.throttled;
    const seconds = Number(after.report.cpu.throttledSeconds) - Number(before.report.cpu.throttledSeconds);
    const shares = reports.map(({ cpu }) => Number(cpu.throttledShare));

    expect(after.report.cpu.limitCores).toBe(0.2);
    expect(after.kernel.throttledSeconds - before.kernel.throttledSeconds).toBeGreaterThan(1);
    expect(seconds).toBeCloseTo(after.kernel.throttledSeconds - before.kernel.throttledSeconds, 4);
    expect(Math.max(...shares)).toBeGreaterThan(0.5);
    expect(Math.max(...shares)).toBeLessThanOrEqual(1);
  });

  it('suffers, for as long as the kernel says', () => {
    const { before, after, reports } = findings.limits.throttled;
    const stalledSeconds = after.kernel.stalledSeconds - before.kernel.stalledSeconds;

    expect(stalledSeconds).toBeGreaterThan(1);
    expect(
      deviation(
        summedRate(reports, ({ cpu }) => cpu.pressure?.someShare ?? null),
        stalledSeconds,
      ),
    ).toBeLessThan(0.05);
  });

  it('is seen to lose processes for want of memory', () => {
    const { throttled, killed } = findings.limits;

    expect(killed.ended).toBe('SIGKILL');
    expect(throttled.before.report.memory.oomKills).toBe(0);
    expect(killed.report.memory.oomKills).toBe(killed.kernel.oomKills);
    expect(killed.kernel.oomKills).toBe(1);
  });

  it('is not said to be at ease when the kernel does not say', () => {
    expect(findings.limits.withoutPressure).toMatchObject({
      cpu: { source: 'cgroup-v2', pressure: null },
      memory: { pressure: null },
      disk: { pressure: null },
    });
  });
});

describe('a broker that restarts between two samples', () => {
  it('costs one sample of rates, and makes no spike', () => {
    const { before, reports } = findings.restarts;
    const afterwards = reports.filter(({ broker }) => broker !== null && broker.pid !== before.broker?.pid);
    const cores = reports.map(({ cpu }) => Number(cpu.cores));

    expect(afterwards[0]?.cpu).toMatchObject({ usageSeconds: expect.any(Number), cores: null });
    expect(afterwards[1]?.cpu.cores).toEqual(expect.any(Number));
    // The machine has two.
    expect(Math.max(...cores)).toBeLessThan(2.1);
  });

  it('is not mistaken for the next process that gets its pid', () => {
    const { pid, taken } = findings.restarts;

    expect(pid).toBeGreaterThan(1);
    expect(taken).toMatchObject({ broker: null, identity: { state: 'unproven' }, cpu: { usageSeconds: null } });
  });

  it('is known to be another when it gets the pid that it had', () => {
    const { pid, reports, back } = findings.restarts;

    expect(back).toMatchObject({ broker: { pid }, identity: { state: 'proven' } });
    expect(back.broker?.startedAt).toBeGreaterThan(reports.at(-1)?.broker?.startedAt ?? Number.POSITIVE_INFINITY);
  });
});

function cpuDeviation({ before, after, atLeastSeconds, atMostSeconds }: Findings['all']['outside']['cpu']): number {
  return deviationFrom(cpuSecondsBetween(before, after), atLeastSeconds, atMostSeconds);
}
