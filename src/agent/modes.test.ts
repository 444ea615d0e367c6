/** The three ways to find the broker's cgroup, and what each kernel tells of it. */
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AgentReport, parseReport } from '../api/agent-report.ts';
import {
  containerFiles,
  type FakeFigures,
  type FakeKernel,
  idleFigures,
  kernels,
  placement,
  unlimited,
} from './fake-cgroups.ts';
import { agentPid, createFakeMachine, type FakeMachine } from './fake-machine.ts';
import { createSampler, type SamplerOptions } from './sampler.ts';

const pid = 42;
const uid = '5b1f3c1e-0000-4000-8000-0123456789ab';
const brokerId = 'b0'.repeat(32);
const agentId = 'a9'.repeat(32);
const podPath = `/kubepods/burstable/pod${uid}`;
/** The same in the way of systemd. */
const podSlice = `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`;

/** Two seconds later. */
const busyFigures: FakeFigures = {
  ...idleFigures,
  cpuSeconds: 11,
  periods: 120,
  throttledPeriods: 15,
  throttledSeconds: 1.25,
  oomKills: 1,
  writtenBytes: 4_096 + 8_192,
  waitedSeconds: 0.7,
};

let machine: FakeMachine;
let elapsedMilliseconds: number;
beforeEach(() => {
  machine = createFakeMachine();
  elapsedMilliseconds = 0;
  machine.listen([{ hexAddress: '0701000A:19FA', inode: '55' }]);
});
afterEach(() => machine.delete());

function createModeSampler(changes: Partial<SamplerOptions> = {}): () => AgentReport {
  const sample = createSampler({
    procRoot: machine.procRoot,
    broker: { address: { ip: '10.0.1.7', port: 6650 } },
    pod: { name: 'broker-0', namespace: 'messaging', uid },
    podLimits: { cores: 1.5, memoryBytes: 536_870_912 },
    intervalSeconds: 2,
    clock: {
      wallMilliseconds: () => 1_700_000_000_000 + elapsedMilliseconds,
      monotonicMilliseconds: () => elapsedMilliseconds,
    },
    ...changes,
  });
  return () => {
    const report = sample();
    // Every report of these tests must be one that the operator accepts.
    expect(parseReport(JSON.stringify(report))).toEqual(report);
    return report;
  };
}

/** A mode: where the processes are, and where the files of the broker's container. */
interface Scene {
  readonly mode: AgentReport['mode'];
  readonly options?: Partial<SamplerOptions>;
  readonly arrange: (kernel: FakeKernel) => void;
  readonly write: (kernel: FakeKernel, figures: FakeFigures) => void;
}

/** Beside the broker: its path is that of a neighbour, and its mounts show its own cgroup. */
const neighbour = {
  pathOf: ({ v2Folder }: FakeKernel) => (v2Folder === '' ? `/../${brokerId}` : `${podPath}/${brokerId}`),
  arrange: (kernel: FakeKernel) => {
    const path = neighbour.pathOf(kernel);
    machine.run({ pid, startTicks: 50_000, sockets: ['55'], ...placement(kernel, path) });
    const own = kernel.v2Folder === '' ? '/' : `${podPath}/${agentId}`;
    machine.run({ pid: agentPid, startTicks: 90_000, ...placement(kernel, own) });
  },
};

function hostScene(mode: AgentReport['mode'], pod: string, container: string, inner = ''): Scene {
  return {
    mode,
    options: {
      get hostCgroupRoot() {
        return `${machine.procRoot}/../host/cgroup`;
      },
    },
    arrange: neighbour.arrange,
    write: (kernel, figures) => {
      const root = '/host/cgroup';
      const own = pod === podPath ? agentId : `cri-containerd-${agentId}.scope`;
      const free = unlimited(figures);
      machine.write({
        ...(kernel.v2Folder === '' ? { [`${root}/cgroup.controllers`]: 'cpu memory\n' } : {}),
        ...containerFiles(kernel, { root, path: '/system.slice/sshd.service', pids: [1], figures }),
        ...containerFiles(kernel, { root, path: pod, pids: [], figures: { ...free, limitBytes: 9e9 } }),
        ...containerFiles(kernel, { root, path: `${pod}/${own}`, pids: [agentPid], figures }),
        ...containerFiles(kernel, { root, path: `${pod}/${container}`, pids: inner === '' ? [pid] : [], figures }),
        ...containerFiles(kernel, {
          root,
          path: `${pod}/${container}${inner}`,
          pids: [pid],
          figures: inner === '' ? figures : free,
        }),
      });
      if (kernel.v2Folder === 'unified') machine.write({ [`${root}/unified/cgroup.controllers`]: '\n' });
    },
  };
}

const scenes: readonly (readonly [string, Scene])[] = [
  [
    'a sidecar that sees the processes of its Pod',
    {
      mode: 'shared-pid',
      arrange: neighbour.arrange,
      write: (kernel, figures) => {
        machine.write(containerFiles(kernel, { root: '/sys/fs/cgroup', path: '', pids: [pid], figures }));
      },
    },
  ],
  [
    "an agent in the broker's container",
    {
      mode: 'self',
      arrange: (kernel) => {
        const path = kernel.v2Folder === '' ? '/' : `${podPath}/${brokerId}`;
        const container = { mountNamespace: 'mnt:[1]', ...placement(kernel, path) };
        machine.run({ pid, startTicks: 50_000, sockets: ['55'], ...container });
        machine.run({ pid: agentPid, startTicks: 90_000, ...container });
      },
      write: (kernel, figures) => {
        machine.write(containerFiles(kernel, { root: '/sys/fs/cgroup', path: '', pids: [pid, agentPid], figures }));
      },
    },
  ],
  ["a sidecar with the node's cgroups, of the cgroupfs driver", hostScene('host', podPath, brokerId)],
  [
    "a sidecar with the node's cgroups, of containerd and systemd",
    hostScene('host', podSlice, `cri-containerd-${brokerId}.scope`),
  ],
  [
    "a sidecar with the node's cgroups, of CRI-O, whose processes are a level deeper",
    hostScene('host', podSlice, `crio-${brokerId}.scope`, '/container'),
  ],
];

describe.each(scenes)('%s', (_, { mode, options, arrange, write }) => {
  it.each(kernels.map((kernel) => [kernel.name, kernel] as const))('reads %s', (__, kernel) => {
    arrange(kernel);
    write(kernel, idleFigures);
    const sample = createModeSampler(options);
    sample();
    elapsedMilliseconds += 2000;
    write(kernel, busyFigures);
    const report = sample();

    const v2 = kernel.v2Folder === '';
    const source = v2 ? 'cgroup-v2' : 'cgroup-v1';
    const pressed = (fullShare: number | null): AgentReport['cpu']['pressure'] =>
      kernel.lacks.includes('pressure') ? null : { someShare: expect.closeTo(0.1, 9), fullShare };
    const full = expect.closeTo(0.05, 9);
    expect(report).toMatchObject({
      mode,
      identity: { state: 'proven', reason: mode === 'self' ? expect.stringContaining('include the agent') : null },
      broker: { pid },
      reason: null,
      cpu: {
        source,
        usageSeconds: 11,
        cores: 0.5,
        averageCores: 0.5,
        limitCores: 1.5,
        throttledShare: 0.25,
        throttledSeconds: 1.25,
        pressure: pressed(kernel.lacks.includes('full CPU pressure') ? null : full),
      },
      memory: {
        source,
        workingSetBytes: 50_000_000,
        averageWorkingSetBytes: 50_000_000,
        usageBytes: 80_000_000,
        limitBytes: 536_870_912,
        oomKills: kernel.lacks.includes('oom kills') ? null : 1,
        pressure: pressed(full),
      },
      disk: v2
        ? {
            source: 'cgroup-v2',
            readBytesPerSecond: 0,
            writeBytesPerSecond: 4_096,
            readsPerSecond: 0,
            writesPerSecond: 1,
            pressure: pressed(full),
          }
        : // v1 counts nothing here, and that is not 0.
          { readBytesPerSecond: null, writeBytesPerSecond: null, pressure: pressed(full) },
    });
  });
});

describe('the limit of the Pod', () => {
  it.each(kernels.map((kernel) => [kernel.name, kernel] as const))(
    'holds back a container without one of its own, and its throttling is told: %s',
    (_, kernel) => {
      neighbour.arrange(kernel);
      const root = '/host/cgroup';
      const write = (figures: FakeFigures): void =>
        machine.write({
          ...(kernel.v2Folder === '' ? { [`${root}/cgroup.controllers`]: 'cpu memory\n' } : {}),
          ...containerFiles(kernel, { root, path: podPath, pids: [], figures }),
          ...containerFiles(kernel, { root, path: `${podPath}/${brokerId}`, pids: [pid], figures: unlimited(figures) }),
        });
      write(idleFigures);
      const sample = createModeSampler({ hostCgroupRoot: `${machine.procRoot}/../host/cgroup` });
      sample();
      elapsedMilliseconds += 2000;
      write(busyFigures);

      expect(sample().cpu).toMatchObject({ limitCores: 1.5, throttledShare: 0.25, throttledSeconds: 1.25 });
    },
  );
});

describe('writes that the page cache makes later, which cgroup v1 does not count', () => {
  const v1 = kernels[1] as FakeKernel;
  const folder = '/sys/fs/cgroup/blkio';

  function writeDisk(bytes: number, ofProcess: boolean): void {
    machine.write({
      ...containerFiles(v1, { root: '/sys/fs/cgroup', path: '', pids: [pid], figures: idleFigures }),
      [`${folder}/blkio.throttle.io_service_bytes_recursive`]: `8:0 Read ${bytes}\n8:0 Write 0\nTotal ${bytes}\n`,
      [`${folder}/blkio.throttle.io_serviced_recursive`]: `8:0 Read ${bytes / 4_096}\n8:0 Write 0\nTotal 1\n`,
      ...(ofProcess ? { [`/proc/${pid}/io`]: `read_bytes: ${bytes}\nwrite_bytes: ${bytes * 100}\n` } : {}),
    });
  }

  function diskAfterReading(ofProcess: boolean): AgentReport['disk'] {
    neighbour.arrange(v1);
    writeDisk(4_096, ofProcess);
    const sample = createModeSampler();
    sample();
    elapsedMilliseconds += 2000;
    writeDisk(3 * 4_096, ofProcess);
    return sample().disk;
  }

  it('are those of the process', () => {
    expect(diskAfterReading(true)).toMatchObject({
      source: 'proc',
      readBytesPerSecond: 4_096,
      writeBytesPerSecond: 409_600,
      readsPerSecond: null,
      writesPerSecond: null,
    });
  });

  it('are unknown where the process may not be asked, and not 0', () => {
    expect(diskAfterReading(false)).toMatchObject({
      source: 'cgroup-v1',
      readBytesPerSecond: 4_096,
      writeBytesPerSecond: null,
      readsPerSecond: 1,
      writesPerSecond: null,
    });
  });
});

describe('a volume on a logical, encrypted or mirrored device', () => {
  it.each(kernels.filter((it) => it.v2Folder === '').map((kernel) => [kernel.name, kernel] as const))(
    'has its bytes counted once, on the disk below: %s',
    (_, kernel) => {
      neighbour.arrange(kernel);
      const write = (writtenBytes: number): void => {
        const figures = `rbytes=0 wbytes=${writtenBytes} rios=0 wios=1 dbytes=0 dios=0\n`;
        machine.write({
          ...containerFiles(kernel, { root: '/sys/fs/cgroup', path: '', pids: [pid], figures: idleFigures }),
          '/sys/fs/cgroup/io.stat': `253:0 ${figures}8:0 ${figures}`,
        });
      };
      machine.write({ '/sys/dev/block/253:0/slaves/sda/dev': '8:0\n', '/sys/dev/block/8:0/dev': '8:0\n' });
      write(4_096);
      const sample = createModeSampler();
      sample();
      elapsedMilliseconds += 2000;
      write(4_096 + 8_192);

      expect(sample().disk.writeBytesPerSecond).toBe(4_096);
    },
  );
});

describe('an agent that would measure itself', () => {
  const v2 = kernels.at(-1) as FakeKernel;

  it.each([
    ['a session of a machine', '/user.slice/session-4.scope', '/user.slice/session-4.scope'],
    ['a Pod', podPath, podPath],
  ])('is unproven with the broker in %s', (_, path) => {
    const mountinfo = '60 31 0:50 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n';
    machine.run({ pid, startTicks: 50_000, sockets: ['55'], cgroup: `0::${path}\n`, mountinfo });
    machine.run({ pid: agentPid, startTicks: 90_000, cgroup: `0::${path}\n`, mountinfo });
    machine.write(containerFiles(v2, { root: '/sys/fs/cgroup', path, pids: [pid, agentPid], figures: idleFigures }));

    expect(createModeSampler()()).toMatchObject({
      identity: { state: 'unproven', reason: expect.stringContaining('holds the agent too') },
      cpu: { source: 'proc' },
      memory: { source: 'proc', limitBytes: null },
    });
  });

  it('is unproven in a container beside the broker’s whose runtime gives both one cgroup', () => {
    machine.run({ pid, startTicks: 50_000, sockets: ['55'], ...placement(v2, '/') });
    machine.run({ pid: agentPid, startTicks: 90_000, ...placement(v2, '/') });
    const files = containerFiles(v2, { root: '/sys/fs/cgroup', path: '', pids: [pid, agentPid], figures: idleFigures });
    machine.write(files);

    expect(createModeSampler()()).toMatchObject({
      identity: { state: 'unproven', reason: expect.stringContaining('not in one container') },
      cpu: { source: 'proc' },
    });
  });

  it('is unproven where it may not be seen whether both are in one container', () => {
    const container = { mountNamespace: 'mnt:[1]', ...placement(v2, '/') };
    machine.run({ pid, startTicks: 50_000, sockets: ['55'], ...container });
    machine.run({ pid: agentPid, startTicks: 90_000, ...container });
    const files = containerFiles(v2, { root: '/sys/fs/cgroup', path: '', pids: [pid, agentPid], figures: idleFigures });
    machine.write(files);
    machine.remove(`/proc/${pid}/ns/mnt`);

    expect(createModeSampler()().identity).toEqual({ state: 'unproven', reason: expect.stringContaining('ns/mnt') });
  });

  it('is unproven in the root of a machine, which looks like that of a container', () => {
    machine.run({ pid, startTicks: 50_000, sockets: ['55'], ...placement(v2, '/') });
    machine.run({ pid: agentPid, startTicks: 90_000, ...placement(v2, '/') });
    machine.write(
      containerFiles(v2, { root: '/sys/fs/cgroup', path: '', pids: [pid, agentPid], figures: idleFigures }),
    );
    machine.remove('/sys/fs/cgroup/cgroup.type');

    expect(createModeSampler()().identity.state).toBe('unproven');
  });

  it('is unproven in the root of a machine of v1, too', () => {
    const v1 = kernels[1] as FakeKernel;
    machine.run({ pid, startTicks: 50_000, sockets: ['55'], ...placement(v1, '/') });
    machine.run({ pid: agentPid, startTicks: 90_000, ...placement(v1, '/') });
    const files = containerFiles(v1, { root: '/sys/fs/cgroup', path: '', pids: [pid, agentPid], figures: idleFigures });
    machine.write({ ...files, '/sys/fs/cgroup/cpu,cpuacct/cgroup.sane_behavior': '0\n' });

    expect(createModeSampler()().identity.state).toBe('unproven');
  });
});

describe('the cgroups of another', () => {
  const v2 = kernels.at(-1) as FakeKernel;

  it("are unproven when their limits are not the Pod's", () => {
    neighbour.arrange(v2);
    const figures = { ...idleFigures, limitBytes: 268_435_456 };
    machine.write(containerFiles(v2, { root: '/sys/fs/cgroup', path: '', pids: [pid], figures }));

    expect(createModeSampler()()).toMatchObject({
      identity: { state: 'unproven', reason: expect.stringContaining('memory limit') },
      // They are there to be looked at, and not to be acted on.
      memory: { source: 'cgroup-v2', limitBytes: 268_435_456 },
    });
  });

  it('are not taken for the broker’s when the Pod is not on this node', () => {
    neighbour.arrange(v2);
    machine.write({
      '/host/cgroup/cgroup.controllers': 'cpu memory\n',
      ...containerFiles(v2, {
        root: '/host/cgroup',
        path: `/kubepods/pod${uid.replace('5b1f', '0000')}/${brokerId}`,
        pids: [pid],
        figures: idleFigures,
      }),
    });

    expect(createModeSampler({ hostCgroupRoot: `${machine.procRoot}/../host/cgroup` })()).toMatchObject({
      mode: 'host',
      identity: { state: 'unproven', reason: expect.stringContaining(`has no directory of the Pod ${uid}`) },
      cpu: { source: 'proc' },
    });
  });

  it('are not taken for the broker’s when no container of the Pod lists its pid', () => {
    neighbour.arrange(v2);
    machine.write({
      '/host/cgroup/cgroup.controllers': 'cpu memory\n',
      ...containerFiles(v2, {
        root: '/host/cgroup',
        path: `${podPath}/${brokerId}`,
        // As a kernel shows those outside of the reader's pid namespace.
        pids: [0],
        figures: idleFigures,
      }),
    });

    expect(createModeSampler({ hostCgroupRoot: `${machine.procRoot}/../host/cgroup` })().identity).toEqual({
      state: 'unproven',
      reason: expect.stringMatching(/set shareProcessNamespace: true in the Pod$/),
    });
  });

  it('are told from a folder that is no cgroup file system', () => {
    neighbour.arrange(v2);
    machine.write({ '/host/cgroup/readme': '' });

    expect(createModeSampler({ hostCgroupRoot: `${machine.procRoot}/../host/cgroup` })().reason).toContain(
      '--host-cgroup must name',
    );
  });

  it('are not taken for the broker’s where the agent shares one of them', () => {
    const kernel = kernels[1] as FakeKernel;
    neighbour.arrange(kernel);
    const { cgroup, mountinfo } = placement(kernel, neighbour.pathOf(kernel));
    const shared = cgroup?.split('\n').find((it) => it.includes(':memory:'));
    const own = placement(kernel, `${podPath}/${agentId}`).cgroup ?? '';
    machine.run({ pid: agentPid, startTicks: 90_000, cgroup: own.replace(/^.*:memory:.*$/m, String(shared)) });
    machine.run({ pid, startTicks: 50_000, sockets: ['55'], cgroup: String(cgroup), mountinfo: String(mountinfo) });
    machine.write(containerFiles(kernel, { root: '/sys/fs/cgroup', path: '', pids: [pid], figures: idleFigures }));
    machine.write({ '/sys/fs/cgroup/memory/cgroup.procs': `${pid}\n${agentPid}\n` });

    expect(createModeSampler()()).toMatchObject({
      identity: { state: 'unproven', reason: expect.stringContaining('do not hold the same processes') },
      cpu: { source: 'proc' },
    });
  });

  it('give no pressure where the agent shares the cgroup that counts it', () => {
    const kernel = kernels[2] as FakeKernel;
    neighbour.arrange(kernel);
    const path = neighbour.pathOf(kernel);
    const own = placement(kernel, `${podPath}/${agentId}`).cgroup ?? '';
    machine.run({ pid: agentPid, startTicks: 90_000, cgroup: own.replace(/^0::.*$/m, `0::${path}`) });
    machine.write(containerFiles(kernel, { root: '/sys/fs/cgroup', path: '', pids: [pid], figures: idleFigures }));
    machine.write({ '/sys/fs/cgroup/unified/cgroup.procs': `${pid}\n${agentPid}\n` });

    expect(createModeSampler()()).toMatchObject({ identity: { state: 'proven' }, cpu: { pressure: null } });
  });

  it('are looked up anew when the pid is used again, by another Pod’s process', () => {
    const kernel = kernels[1] as FakeKernel;
    neighbour.arrange(kernel);
    machine.write(containerFiles(kernel, { root: '/sys/fs/cgroup', path: '', pids: [pid], figures: idleFigures }));
    const sample = createModeSampler();
    expect(sample().identity.state).toBe('proven');
    const elsewhere = `/kubepods/pod${uid.replace('5b1f', '0000')}/${brokerId}`;
    machine.run({ pid, startTicks: 95_000, sockets: ['55'], ...placement(kernel, elsewhere) });

    expect(sample()).toMatchObject({
      identity: { state: 'unproven', reason: expect.stringContaining('of the Pod 0000') },
      cpu: { cores: null },
    });
  });

  it('are looked up anew when the broker is moved, at the cost of one rate', () => {
    const kernel = kernels[1] as FakeKernel;
    neighbour.arrange(kernel);
    machine.write(containerFiles(kernel, { root: '/sys/fs/cgroup', path: '', pids: [pid], figures: idleFigures }));
    const sample = createModeSampler({ podLimits: { cores: null, memoryBytes: null } });
    sample();
    const moved = `${podPath}/${'c'.repeat(64)}`;
    const mountinfo = 'cpu,cpuacct memory blkio'
      .split(' ')
      .map((it) => `40 31 0:30 / /moved/${it} ro - cgroup cgroup rw,${it}\n`)
      .join('');
    machine.run({ pid, startTicks: 50_000, sockets: ['55'], ...placement(kernel, moved), mountinfo });
    machine.write({
      ...containerFiles(kernel, { root: '/sys/fs/cgroup', path: '', pids: [], figures: idleFigures }),
      ...containerFiles(kernel, { root: '/moved', path: moved, pids: [pid], figures: { ...busyFigures, cores: 2 } }),
    });
    elapsedMilliseconds += 2000;

    expect(sample()).toMatchObject({ mode: 'shared-pid', cpu: { source: 'cgroup-v1', limitCores: 2, cores: null } });
  });
});

describe('whatever stands in one file of the kernel’s', () => {
  const root = '/sys/fs/cgroup';
  const ofProcess = ['stat', 'status', 'cgroup', 'mountinfo', 'limits', 'net/dev', 'io'].map(
    (it) => `/proc/${pid}/${it}`,
  );
  const content = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      '',
      '0\n',
      '-1\n',
      'max\n',
      '18446744073709551615\n',
      '9'.repeat(30),
      'some total=5\nfull total=x\n',
      'oom_kill 18446744073709551615\n',
      'Max open files            18446744073709551615 18446744073709551615 files\n',
    ),
    fc
      .array(fc.constantFrom('oom_kill ', 'usage_usec ', 'eth0: ', '8:0 rbytes=', '9 ', '0::/', '\n'))
      .map((it) => it.join('')),
  );

  it.each(kernels.map((kernel) => [kernel.name, kernel] as const))(
    'the report is one that the operator accepts: %s',
    (_, kernel) => {
      const files = containerFiles(kernel, { root, path: '', pids: [pid], figures: idleFigures });
      neighbour.arrange(kernel);
      machine.write(files);

      fc.assert(
        fc.property(fc.constantFrom(...Object.keys(files), ...ofProcess, '/proc/uptime'), content, (file, text) => {
          const before = readIfThere(`${machine.procRoot}/..${file}`);
          const sample = createModeSampler();
          machine.write({ [file]: text });
          try {
            sample();
            elapsedMilliseconds += 2000;

            expect(sample().sequence).toBe(2);
          } finally {
            if (before === null) machine.remove(file);
            else machine.write({ [file]: before });
          }
        }),
        { numRuns: 30 },
      );
    },
    60_000,
  );
});

function readIfThere(path: string): string | null {
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}
