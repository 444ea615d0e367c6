import { statSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AgentReport, parseReport } from '../api/agent-report.ts';
import { agentPid, createFakeMachine, type FakeMachine, type FakeProcess } from './fake-machine.ts';
import { createSampler } from './sampler.ts';

const pod = { name: 'broker-0', namespace: 'messaging', uid: '5b1f' };
const pid = 42;
/** Monotonic and wall time stand apart, as they do on a machine whose clock is set. */
const wallAtStart = 1_700_000_000_000;

let machine: FakeMachine;
let elapsedMilliseconds: number;
let sample: () => AgentReport;
/** What happens on the machine while a sample is being taken. */
let meanwhile: () => void;

beforeEach(() => {
  machine = createFakeMachine();
  elapsedMilliseconds = 0;
  meanwhile = () => undefined;
  const takeSample = createSampler({
    procRoot: machine.procRoot,
    broker: { address: { ip: '10.0.1.7', port: 6650 } },
    pod,
    podLimits: { cores: null, memoryBytes: null },
    intervalSeconds: 2,
    clock: {
      wallMilliseconds: () => wallAtStart + elapsedMilliseconds,
      monotonicMilliseconds: () => {
        meanwhile();
        return 5_000 + elapsedMilliseconds;
      },
    },
  });
  // Every report of these tests must be one that the operator accepts.
  sample = () => {
    const report = takeSample();
    expect(parseReport(JSON.stringify(report))).toEqual(report);
    return report;
  };
  machine.listen([{ hexAddress: '0701000A:19FA', inode: '55' }]);
});
afterEach(() => machine.delete());

function sampleAfter(seconds: number): AgentReport {
  elapsedMilliseconds += seconds * 1000;
  return sample();
}

function runBroker(process: Partial<FakeProcess> = {}): void {
  machine.run({ pid, startTicks: 50_000, sockets: ['55'], ...process });
}

/** A v1 machine as container runtimes set it up: cpu and cpuacct mounted together. */
const v1 = {
  cgroup: '5:cpu,cpuacct:/pods/p1/broker\n4:memory:/pods/p1/broker\n1:name=systemd:/\n',
  mountinfo: `33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n`,
};

function writeV1({ usageNanoseconds }: { usageNanoseconds: string }): void {
  const cpu = '/sys/fs/cgroup/cpu,cpuacct/pods/p1/broker';
  const memory = '/sys/fs/cgroup/memory/pods/p1/broker';
  machine.write({
    [`${cpu}/cgroup.procs`]: `${pid}\n`,
    [`${cpu}/cpuacct.usage`]: `${usageNanoseconds}\n`,
    [`${cpu}/cpu.cfs_quota_us`]: '150000\n',
    [`${cpu}/cpu.cfs_period_us`]: '100000\n',
    [`${memory}/cgroup.procs`]: `${pid}\n`,
    [`${memory}/memory.usage_in_bytes`]: '80000000\n',
    [`${memory}/memory.limit_in_bytes`]: '9223372036854771712\n',
    [`${memory}/memory.stat`]: 'hierarchical_memory_limit 536870912\ntotal_inactive_file 30000000\n',
  });
}

const v2 = { cgroup: '0::/../broker\n', mountinfo: '41 31 0:38 /../broker /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n' };

function writeV2(options: { usageMicroseconds: number; memoryMax?: string; cpuMax?: string }): void {
  const { usageMicroseconds, memoryMax = '536870912', cpuMax = '150000 100000' } = options;
  machine.write({
    '/sys/fs/cgroup/cgroup.procs': `${pid}\n`,
    '/sys/fs/cgroup/cpu.stat': `usage_usec ${usageMicroseconds}\nuser_usec 1\n`,
    '/sys/fs/cgroup/cpu.max': `${cpuMax}\n`,
    '/sys/fs/cgroup/memory.current': '80000000\n',
    '/sys/fs/cgroup/memory.max': `${memoryMax}\n`,
    '/sys/fs/cgroup/memory.stat': 'anon 1\ninactive_file 30000000\n',
  });
}

describe('a report', () => {
  it('says whose it is, when it was taken, and on what machine', () => {
    runBroker();

    const report = sampleAfter(10);

    expect(report).toMatchObject({
      version: 2,
      pod,
      observedAt: wallAtStart + 10_000,
      intervalSeconds: 2,
      // Up for 1,000 s, started 500 s after boot: 500 s ago.
      broker: { pid, startedAt: wallAtStart + 10_000 - 500_000 },
      node: { cores: 4, memoryBytes: 8_589_934_592 },
    });
  });

  it('keeps the start of the broker as it was first worked out, though the clock is set', () => {
    runBroker();
    const first = sample().broker?.startedAt;

    elapsedMilliseconds += 3_600_000;

    expect(sample().broker?.startedAt).toBe(first);
  });

  it('has nulls and a reason while there is no broker, and finds it later', () => {
    expect(sample()).toMatchObject({
      broker: null,
      reason: expect.stringContaining('cannot be seen'),
      cpu: { source: null, usageSeconds: null, cores: null, limitCores: null },
      memory: { workingSetBytes: null, usageBytes: null, limitBytes: null },
    });

    runBroker();

    expect(sample().broker?.pid).toBe(pid);
  });
});

describe('on a v1 machine', () => {
  beforeEach(() => {
    runBroker(v1);
    writeV1({ usageNanoseconds: '10000000000' });
  });

  it("figures are those of the broker's cgroup", () => {
    expect(sample()).toMatchObject({
      reason: null,
      cpu: { source: 'cgroup-v1', usageSeconds: 10, cores: null, limitCores: 1.5 },
      memory: { workingSetBytes: 50_000_000, usageBytes: 80_000_000, limitBytes: 536_870_912 },
    });
  });

  it('cores are the mean since the last sample', () => {
    sample();
    writeV1({ usageNanoseconds: '12500000000' });

    expect(sampleAfter(2).cpu).toMatchObject({ usageSeconds: 12.5, cores: 1.25 });
  });

  it('a counter that goes back costs one rate', () => {
    sample();
    writeV1({ usageNanoseconds: '9000000000' });
    expect(sampleAfter(2).cpu).toMatchObject({ usageSeconds: 9, cores: null });
    writeV1({ usageNanoseconds: '10000000000' });

    expect(sampleAfter(2).cpu.cores).toBe(0.5);
  });

  it('a restart costs one rate, even when the pid is the same and the counter goes on', () => {
    const before = sample();
    runBroker({ ...v1, startTicks: 100_000 });
    writeV1({ usageNanoseconds: '12000000000' });

    const restarted = sampleAfter(2);
    writeV1({ usageNanoseconds: '13000000000' });

    expect(restarted.broker?.startedAt).not.toBe(before.broker?.startedAt);
    expect(restarted.cpu.cores).toBeNull();
    expect(sampleAfter(2).cpu.cores).toBe(0.5);
  });

  it('a reused pid is not taken for the broker', () => {
    sample();
    runBroker({ ...v1, startTicks: 100_000, sockets: [] });

    expect(sampleAfter(2)).toMatchObject({ broker: null, cpu: { source: null } });
  });

  it('figures read while the pid changed hands are dropped', () => {
    meanwhile = () => runBroker({ ...v1, startTicks: 100_000 });

    expect(sample()).toMatchObject({
      broker: null,
      cpu: { source: null },
      reason: "the broker's process 42 ended while it was looked at",
    });
  });

  it('a gap without broker costs one rate', () => {
    sample();
    machine.end(pid);
    expect(sampleAfter(2).broker).toBeNull();
    runBroker(v1);

    expect(sampleAfter(2).cpu.cores).toBeNull();
  });

  it('no limit is null', () => {
    machine.write({
      '/sys/fs/cgroup/cpu,cpuacct/pods/p1/broker/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/memory/pods/p1/broker/memory.stat':
        'hierarchical_memory_limit 9223372036854771712\ntotal_inactive_file 30000000\n',
    });

    expect(sample()).toMatchObject({ cpu: { limitCores: null }, memory: { limitBytes: null } });
  });
});

describe("on a v2 machine, beside the agent's container", () => {
  beforeEach(() => {
    machine.run({ pid: agentPid, startTicks: 1, cgroup: '0::/\n' });
    runBroker(v2);
    writeV2({ usageMicroseconds: 10_000_000 });
  });

  it("figures are those of the broker's cgroup", () => {
    sample();
    writeV2({ usageMicroseconds: 11_000_000 });

    expect(sampleAfter(2)).toMatchObject({
      reason: null,
      cpu: { source: 'cgroup-v2', usageSeconds: 11, cores: 0.5, limitCores: 1.5 },
      memory: { workingSetBytes: 50_000_000, usageBytes: 80_000_000, limitBytes: 536_870_912 },
    });
  });

  it('no limit is null', () => {
    writeV2({ usageMicroseconds: 1, memoryMax: 'max', cpuMax: 'max 100000' });

    expect(sample()).toMatchObject({ cpu: { limitCores: null }, memory: { limitBytes: null } });
  });

  it('without the memory controller, all figures are those of the process, and the reason names the file', () => {
    machine.remove('/sys/fs/cgroup/memory.current');

    expect(sample()).toMatchObject({
      cpu: { source: 'proc' },
      reason: expect.stringMatching(/memory\.current: not there$/),
    });
  });
});

describe('on a hybrid machine', () => {
  it('v1 controllers are read in their own mounts, and v2 without controllers is left alone', () => {
    const mountinfo = ['cpu', 'cpuacct', 'memory']
      .map((name, index) => `${32 + index} 31 0:${29 + index} / /sys/fs/cgroup/${name} rw - cgroup cgroup rw,${name}\n`)
      .join('');
    const cgroup = '4:memory:/process_api/b\n2:cpuacct:/b\n1:cpu:/\n0::/\n';
    runBroker({ cgroup, mountinfo: `${mountinfo}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n` });
    machine.write({
      '/sys/fs/cgroup/cpuacct/b/cgroup.procs': `${pid}\n`,
      '/sys/fs/cgroup/cpuacct/b/cpuacct.usage': '3000000000\n',
      '/sys/fs/cgroup/memory/process_api/b/cgroup.procs': `${pid}\n`,
      '/sys/fs/cgroup/memory/process_api/b/memory.usage_in_bytes': '4096\n',
      '/sys/fs/cgroup/memory/process_api/b/memory.limit_in_bytes': '8192\n',
      '/sys/fs/cgroup/memory/process_api/b/memory.stat': 'total_inactive_file 0\nhierarchical_memory_limit 1000000\n',
    });

    expect(sample()).toMatchObject({
      // The broker sits in the root of cpu, where there is no quota.
      cpu: { source: 'cgroup-v1', usageSeconds: 3, limitCores: null },
      memory: { workingSetBytes: 4096, limitBytes: 8192 },
    });
  });
});

describe('without a cgroup of its own', () => {
  it('figures are those of the process alone, and the reason says so', () => {
    runBroker({ cgroup: '0::/\n', userTicks: 100, systemTicks: 50, residentKibibytes: 2048 });
    sample();
    runBroker({ cgroup: '0::/\n', userTicks: 200, systemTicks: 50, residentKibibytes: 2048 });

    expect(sampleAfter(2)).toMatchObject({
      reason: "the broker's cpuacct cgroup / holds the agent too, so it is not the broker's own",
      cpu: { source: 'proc', usageSeconds: 2.5, cores: 0.5, limitCores: null },
      memory: { workingSetBytes: 2_097_152, usageBytes: null, limitBytes: null },
    });
  });

  it('a broker that is moved into its own cgroup later costs one rate', () => {
    runBroker({ cgroup: '0::/\n' });
    expect(sample().cpu.source).toBe('proc');
    runBroker(v1);
    writeV1({ usageNanoseconds: '10000000000' });

    expect(sampleAfter(2)).toMatchObject({ cpu: { source: 'cgroup-v1', usageSeconds: 10, cores: null } });
  });
});

describe('what /proc tells besides', () => {
  const headings = 'Inter-| Receive\n face |bytes\n';
  const device = (name: string, received: number): string =>
    `${name}: ${received} 1 2 0 0 0 0 0 ${received * 2} 1 1 0 0 0 0 0\n`;

  beforeEach(() => {
    runBroker(v1);
    writeV1({ usageNanoseconds: '10000000000' });
  });

  it('is the network of the Pod, as rates', () => {
    machine.write({ '/proc/42/net/dev': headings + device('lo', 9_999) + device('eth0', 1_000) });
    expect(sample().network).toEqual({
      source: 'proc',
      receivedBytesPerSecond: null,
      sentBytesPerSecond: null,
      errorsPerSecond: null,
    });
    machine.write({ '/proc/42/net/dev': headings + device('lo', 99_999) + device('eth0', 3_000) });

    expect(sampleAfter(2).network).toEqual({
      source: 'proc',
      receivedBytesPerSecond: 1_000,
      sentBytesPerSecond: 2_000,
      errorsPerSecond: 0,
    });
  });

  it('is no spike when a device comes or goes', () => {
    machine.write({ '/proc/42/net/dev': headings + device('eth0', 1_000) });
    sample();
    machine.write({ '/proc/42/net/dev': headings + device('eth0', 1_000) + device('net1', 1_000_000) });

    expect(sampleAfter(2).network.receivedBytesPerSecond).toBeNull();
  });

  it('is the open files and their limit', () => {
    machine.write({ '/proc/42/limits': 'Max open files            1024                 1048576              files\n' });

    // The fake process holds standard input and one socket.
    expect(sample().fileDescriptors).toEqual({ source: 'proc', open: 2, limit: 1024 });
  });

  it('is the open files as the kernel states them, since 6.2', () => {
    machine.write({ '/proc/sys/kernel/osrelease': '6.2.0\n' });

    expect(sample().fileDescriptors.open).toBe(statSync(`${machine.procRoot}/42/fd`).size);
  });

  it('is what the process read and wrote, where the cgroup does not say', () => {
    machine.write({ '/proc/42/io': 'read_bytes: 1000\nwrite_bytes: 2000\n' });
    sample();
    machine.write({ '/proc/42/io': 'read_bytes: 3000\nwrite_bytes: 8000\n' });

    expect(sampleAfter(2).disk).toEqual({
      source: 'proc',
      readBytesPerSecond: 1_000,
      writeBytesPerSecond: 3_000,
      readsPerSecond: null,
      writesPerSecond: null,
      pressure: null,
    });
  });

  it('is unknown where it cannot be read', () => {
    sample();
    machine.remove('/proc/42/fd');

    expect(sampleAfter(2)).toMatchObject({
      network: { source: null },
      disk: { source: null },
      fileDescriptors: { source: null },
    });
  });
});

describe('a container that puts something else where its cgroup files should be', () => {
  const memory = '/sys/fs/cgroup/memory/pods/p1/broker';

  beforeEach(() => {
    runBroker(v1);
    writeV1({ usageNanoseconds: '10000000000' });
  });

  it.each<[string, () => void, string]>([
    ['a directory', () => machine.write({ [`${memory}/memory.usage_in_bytes/x`]: '' }), 'a directory, where'],
    ['an endless file', () => machine.link(`${memory}/memory.usage_in_bytes`, '/dev/zero'), 'longer than 1048576'],
    ['nonsense', () => machine.write({ [`${memory}/memory.usage_in_bytes`]: '<html>' }), 'not in the format'],
    ['nothing', () => undefined, 'not there'],
  ])('as %s, gets figures of its process and the reason', (_, put, reason) => {
    machine.remove(`${memory}/memory.usage_in_bytes`);
    put();

    expect(sample()).toMatchObject({
      identity: { state: 'unproven', reason: expect.stringContaining(reason) },
      reason: expect.stringContaining(reason),
      cpu: { source: 'proc' },
      memory: { source: 'proc' },
    });
  });

  it('hides only what is not needed where that is something else', () => {
    machine.remove(`${memory}/memory.limit_in_bytes`);
    machine.write({ [`${memory}/memory.limit_in_bytes/x`]: '' });
    machine.write({ [`${memory}/memory.stat`]: 'total_inactive_file 30000000\n' });

    expect(sample()).toMatchObject({
      identity: { state: 'proven' },
      memory: { workingSetBytes: 50_000_000, limitBytes: null, oomKills: null },
    });
  });
});

describe('samples', () => {
  it('are counted since the start of the agent, with or without a broker', () => {
    const first = sample();
    runBroker();
    const second = sampleAfter(10);

    expect([first.sequence, second.sequence]).toEqual([1, 2]);
    expect(second.agentStartedAt).toBe(first.agentStartedAt);
  });
});

describe('a folder that is no /proc', () => {
  it('is named as the reason', () => {
    machine.remove('/proc/self');

    expect(sample().reason).toMatch(/self: not there; --proc must name a mounted procfs$/);
  });
});
