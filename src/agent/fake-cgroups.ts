import type { FakeProcess } from './fake-machine.ts';

/* The cgroup files of containers as kernels write them, for fake machines. For tests only. */

export interface FakeKernel {
  readonly name: string;
  /** How the v1 controllers are mounted, by the names of the mounts; none where all is v2. */
  readonly v1Mounts: readonly string[];
  /** The folder of the v2 hierarchy below /sys/fs/cgroup: empty where all is v2, null where there is none. */
  readonly v2Folder: '' | 'unified' | null;
  /** What it does not tell that others do. */
  readonly lacks: readonly ('oom kills' | 'pressure' | 'full CPU pressure')[];
}

export const kernels: readonly FakeKernel[] = [
  {
    name: 'v1 of Linux 4.9, without counts of OOM kills',
    v1Mounts: ['cpu,cpuacct', 'memory', 'blkio'],
    v2Folder: null,
    lacks: ['oom kills', 'pressure'],
  },
  {
    name: 'v1 of Linux 5.10 as systemd mounts it',
    v1Mounts: ['cpu,cpuacct', 'memory', 'blkio'],
    v2Folder: null,
    lacks: ['pressure'],
  },
  {
    name: 'hybrid of Linux 6.18, each controller on its own, v2 with pressure beside',
    v1Mounts: ['cpu', 'cpuacct', 'memory', 'blkio'],
    v2Folder: 'unified',
    lacks: [],
  },
  { name: 'v2 of Linux 5.4, without full CPU pressure', v1Mounts: [], v2Folder: '', lacks: ['full CPU pressure'] },
  { name: 'v2 of Linux 5.15 booted with psi=0', v1Mounts: [], v2Folder: '', lacks: ['pressure'] },
  { name: 'v2 of Linux 6.12', v1Mounts: [], v2Folder: '', lacks: [] },
];

/** What a container has used, and may. All of it cumulative but memory. */
export interface FakeFigures {
  readonly cpuSeconds: number;
  readonly periods: number;
  readonly throttledPeriods: number;
  readonly throttledSeconds: number;
  readonly memoryBytes: number;
  readonly inactiveBytes: number;
  readonly oomKills: number;
  readonly writtenBytes: number;
  readonly waitedSeconds: number;
  readonly cores: number | null;
  readonly limitBytes: number | null;
}

export const idleFigures: FakeFigures = {
  cpuSeconds: 10,
  periods: 100,
  throttledPeriods: 10,
  throttledSeconds: 1,
  memoryBytes: 80_000_000,
  inactiveBytes: 30_000_000,
  oomKills: 0,
  writtenBytes: 4_096,
  waitedSeconds: 0.5,
  cores: 1.5,
  limitBytes: 536_870_912,
};

/** A container without limits: the kernel counts periods only where there is a quota. */
export function unlimited(figures: FakeFigures): FakeFigures {
  return { ...figures, periods: 0, throttledPeriods: 0, throttledSeconds: 0, cores: null, limitBytes: null };
}

/** /proc/<pid>/cgroup of a process whose cgroup is at this path in every hierarchy, as the agent sees it. */
export function membershipsAt(kernel: FakeKernel, path: string): string {
  const v1 = kernel.v1Mounts.map((controllers, index) => `${index + 2}:${controllers}:${path}\n`).join('');
  return `${v1}1:name=systemd:${path}\n${kernel.v2Folder === null ? '' : `0::${path}\n`}`;
}

/** /proc/<pid>/mountinfo of a container whose mounts show its own cgroup alone, as runtimes make them. */
export function mountsOf(kernel: FakeKernel, path: string): string {
  const v1 = kernel.v1Mounts.map(
    (it, index) => `${40 + index} 31 0:${30 + index} ${path} /sys/fs/cgroup/${it} ro - cgroup cgroup rw,${it}\n`,
  );
  const folder = kernel.v2Folder === '' ? '' : `/${kernel.v2Folder}`;
  return `${v1.join('')}${kernel.v2Folder === null ? '' : `60 31 0:50 ${path} /sys/fs/cgroup${folder} ro - cgroup2 cgroup rw\n`}`;
}

/** Where a process is and what it sees of cgroups. */
export function placement(kernel: FakeKernel, path: string): Pick<FakeProcess, 'cgroup' | 'mountinfo'> {
  return { cgroup: membershipsAt(kernel, path), mountinfo: mountsOf(kernel, path) };
}

/**
 * The files of a container, by path.
 *
 * @param root where the hierarchies are mounted; `path` leads to the container in each of them.
 */
export function containerFiles(
  kernel: FakeKernel,
  { root, path, pids, figures }: { root: string; path: string; pids: readonly number[]; figures: FakeFigures },
): Record<string, string> {
  const procs = pids.map((pid) => `${pid}\n`).join('');
  const files: Record<string, string> = {};
  const add = (folder: string, contents: Readonly<Record<string, string>>): void => {
    for (const [name, text] of Object.entries({ 'cgroup.procs': procs, ...contents })) {
      files[`${root}${folder}${path}/${name}`] = text;
    }
  };
  for (const mount of kernel.v1Mounts) {
    const contents = mount.split(',').map((it) => v1Files(kernel, it, figures));
    add(`/${mount}`, Object.assign({}, ...contents));
  }
  if (kernel.v2Folder === '') add('', { ...v2Files(figures), ...pressureFiles(kernel, figures) });
  if (kernel.v2Folder === 'unified') add('/unified', { ...v2CoreFiles, ...pressureFiles(kernel, figures) });
  return files;
}

function v1Files(kernel: FakeKernel, controller: string, figures: FakeFigures): Record<string, string> {
  const { cpuSeconds, periods, throttledPeriods, throttledSeconds, memoryBytes, inactiveBytes } = figures;
  const { oomKills, cores, limitBytes } = figures;
  switch (controller) {
    case 'cpuacct':
      return { 'cpuacct.usage': `${cpuSeconds * 1e9}\n` };
    case 'cpu':
      return {
        'cpu.cfs_quota_us': `${cores === null ? -1 : cores * 100_000}\n`,
        'cpu.cfs_period_us': '100000\n',
        'cpu.stat': `nr_periods ${periods}\nnr_throttled ${throttledPeriods}\nthrottled_time ${throttledSeconds * 1e9}\n`,
      };
    case 'memory': {
      const limit = limitBytes ?? '9223372036854771712';
      const kills = kernel.lacks.includes('oom kills') ? '' : `oom_kill ${oomKills}\n`;
      return {
        'memory.usage_in_bytes': `${memoryBytes}\n`,
        'memory.limit_in_bytes': `${limit}\n`,
        'memory.stat': `cache 1\nrss 2\nhierarchical_memory_limit ${limit}\ntotal_inactive_file ${inactiveBytes}\n`,
        'memory.oom_control': `oom_kill_disable 0\nunder_oom 0\n${kills}`,
      };
    }
    default:
      // What is measured on many machines: nothing.
      return {
        'blkio.throttle.io_service_bytes_recursive': 'Total 0\n',
        'blkio.throttle.io_serviced_recursive': 'Total 0\n',
      };
  }
}

/** Every cgroup has them but the root. */
const v2CoreFiles = { 'cgroup.type': 'domain\n', 'cgroup.controllers': '\n', 'cpu.stat': 'usage_usec 1\n' };

function v2Files(figures: FakeFigures): Record<string, string> {
  const { cpuSeconds, periods, throttledPeriods, throttledSeconds, memoryBytes, inactiveBytes } = figures;
  const { oomKills, writtenBytes, cores, limitBytes } = figures;
  return {
    ...v2CoreFiles,
    'cgroup.controllers': 'cpuset cpu io memory pids\n',
    'cpu.stat': `usage_usec ${cpuSeconds * 1e6}
user_usec 1
system_usec 1
nr_periods ${periods}
nr_throttled ${throttledPeriods}
throttled_usec ${throttledSeconds * 1e6}
`,
    'cpu.max': `${cores === null ? 'max' : cores * 100_000} 100000\n`,
    'memory.current': `${memoryBytes}\n`,
    'memory.max': `${limitBytes ?? 'max'}\n`,
    'memory.stat': `anon 1\nfile 2\ninactive_file ${inactiveBytes}\n`,
    'memory.events': `low 0\nhigh 0\nmax 5\noom 1\noom_kill ${oomKills}\n`,
    'io.stat': `8:0 rbytes=0 wbytes=${writtenBytes} rios=0 wios=${writtenBytes / 4096} dbytes=0 dios=0\n`,
  };
}

function pressureFiles(kernel: FakeKernel, { waitedSeconds }: FakeFigures): Record<string, string> {
  if (kernel.lacks.includes('pressure')) return {};
  const some = `some avg10=0.00 avg60=0.00 avg300=0.00 total=${waitedSeconds * 1e6}\n`;
  const full = `full avg10=0.00 avg60=0.00 avg300=0.00 total=${(waitedSeconds / 2) * 1e6}\n`;
  return {
    'cpu.pressure': kernel.lacks.includes('full CPU pressure') ? some : some + full,
    'memory.pressure': some + full,
    'io.pressure': some + full,
  };
}
