import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isOwnerAlive, ownerTag } from '../process/owner.ts';
import { until } from '../process/until.ts';

export interface Limits {
  readonly cpuCores?: number | undefined;
  readonly memoryBytes?: number | undefined;
}

/** The cgroups of one container: one folder in each hierarchy. */
export interface ContainerCgroup {
  /** The `cgroup.procs` files a process joins by. */
  readonly procs: readonly string[];
  /** How many of its processes the kernel killed for want of memory. */
  oomKills(): number;
  /** Kills what is left in it and removes it. */
  remove(): Promise<void>;
}

export interface Cgroups {
  /** What can be had on this machine, for one line of the log. */
  readonly description: string;
  /** @param path below the kubelet's own, as the real kubelet names them: `pod<uid>/<container id>`. */
  create(path: string, limits: Limits): ContainerCgroup;
  /** Removes everything, killing what is still in there. */
  removeAll(): Promise<void>;
}

interface Hierarchy {
  readonly version: 1 | 2;
  /** v1: those mounted here. v2: those that our children get. */
  readonly controllers: readonly string[];
  /** Our folder in it, below the cgroup that this process is in. */
  readonly base: string;
}

const PREFIX = 'danube-e2e-';
const CONTROLLERS = ['cpu', 'cpuacct', 'memory'];
const PERIOD_MICROSECONDS = 100_000;
const MIN_QUOTA_MICROSECONDS = 1_000;

/**
 * Finds the cgroup hierarchies that this process may make children in (v1 `cpu`, `cpuacct` and `memory`, and v2), removes what killed
 * kubelets left there, and makes a folder for this one in each. Where nothing may be made, containers run without.
 */
export async function createCgroups(): Promise<Cgroups> {
  const problems: string[] = [];
  const hierarchies: Hierarchy[] = [];
  for (const own of ownCgroups(
    readFileSync('/proc/self/cgroup', 'utf8'),
    readFileSync('/proc/self/mountinfo', 'utf8'),
  )) {
    try {
      await sweep(own.folder);
      const base = join(own.folder, `${PREFIX}${ownerTag()}`);
      mkdirSync(base, { recursive: true });
      const controllers = own.version === 2 ? delegate(own.folder, base, problems) : own.controllers;
      hierarchies.push({ version: own.version, controllers, base });
    } catch (error) {
      problems.push(`${own.folder}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const names = hierarchies.map(
    ({ version, controllers }) => `v${version} (${controllers.join(', ') || 'no controllers'})`,
  );
  const had =
    names.length > 0 ? `each container gets cgroups in ${names.join(', ')}` : 'containers run without cgroups';
  return {
    description: [had, ...problems].join('; '),
    create: (path, limits) => createContainerCgroup(hierarchies, path, limits),
    removeAll: async () => {
      for (const { base } of hierarchies) await removeTree(base);
    },
  };
}

function createContainerCgroup(hierarchies: readonly Hierarchy[], path: string, limits: Limits): ContainerCgroup {
  const folders = hierarchies.map(({ version, base }) => {
    const folder = join(base, path);
    mkdirSync(folder, { recursive: true });
    if (version === 2) delegateBelow(base, path);
    for (const [file, value] of limitFiles(version, limits)) {
      const target = join(folder, file);
      // The file exists in the hierarchy of its controller, and nowhere where that is not to be had.
      if (existsSync(target)) writeFileSync(target, value);
    }
    return folder;
  });
  return {
    procs: folders.map((folder) => join(folder, 'cgroup.procs')),
    oomKills: () => Math.max(0, ...folders.map(oomKillsIn)),
    remove: async () => {
      for (const folder of folders) {
        await removeTree(folder);
        // The Pod's folder goes with its last container.
        const parent = join(folder, '..');
        if (existsSync(parent) && childrenOf(parent).length === 0) rmdirSync(parent);
      }
    },
  };
}

/** As a kubelet sets them: the quota for 100 ms of wall time. */
export function limitFiles(version: 1 | 2, { cpuCores, memoryBytes }: Limits): [file: string, value: string][] {
  const files: [string, string][] = [];
  if (cpuCores !== undefined) {
    const quota = Math.max(Math.round(cpuCores * PERIOD_MICROSECONDS), MIN_QUOTA_MICROSECONDS);
    if (version === 1)
      files.push(['cpu.cfs_period_us', String(PERIOD_MICROSECONDS)], ['cpu.cfs_quota_us', String(quota)]);
    else files.push(['cpu.max', `${quota} ${PERIOD_MICROSECONDS}`]);
  }
  if (memoryBytes !== undefined)
    files.push([version === 1 ? 'memory.limit_in_bytes' : 'memory.max', String(Math.floor(memoryBytes))]);
  return files;
}

interface OwnCgroup {
  readonly version: 1 | 2;
  readonly controllers: readonly string[];
  readonly folder: string;
}

/**
 * The folders of the cgroups that a process is in, of the hierarchies that matter here.
 *
 * @param cgroup the content of /proc/<pid>/cgroup, which says where the process is in each hierarchy
 * @param mountinfo the content of /proc/<pid>/mountinfo, which says where each hierarchy is mounted, and which part of it
 */
export function ownCgroups(cgroup: string, mountinfo: string): OwnCgroup[] {
  const mounts = mountinfo
    .split('\n')
    .map((line) => line.split(' - '))
    .flatMap(([left = '', right = '']) => {
      const [, , , root = '', mountPoint = ''] = left.split(' ');
      const [type, , options = ''] = right.split(' ');
      return type === 'cgroup' || type === 'cgroup2' ? [{ type, root, mountPoint, options: options.split(',') }] : [];
    });
  return cgroup
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const [id, names = '', ...rest] = line.split(':');
      const path = rest.join(':');
      const version = id === '0' ? 2 : 1;
      const controllers = names.split(',').filter((name) => CONTROLLERS.includes(name));
      if (version === 1 && controllers.length === 0) return [];
      const mount = mounts.find(({ type, options }) =>
        version === 2 ? type === 'cgroup2' : type === 'cgroup' && controllers.every((name) => options.includes(name)),
      );
      if (mount === undefined) return [];
      const below = mount.root !== '/' && path.startsWith(mount.root) ? path.slice(mount.root.length) : path;
      return [{ version, controllers, folder: resolve(mount.mountPoint, `.${below}`) }];
    });
}

/**
 * v2 gives children only the controllers that every level above hands down, and a cgroup with processes of its own (but the root) may hand
 * down none. Where that refuses, containers are counted (cpu.stat is always there) but not limited.
 */
function delegate(own: string, base: string, problems: string[]): readonly string[] {
  const available = wordsIn(join(own, 'cgroup.controllers')).filter((name) => CONTROLLERS.includes(name));
  if (available.length === 0) return [];
  try {
    handDown(own, available);
    handDown(base, available);
    return available;
  } catch (error) {
    problems.push(`no limits in v2: ${error instanceof Error ? error.message : error}`);
    return [];
  }
}

/** The Pod's level between our folder and the container's. */
function delegateBelow(base: string, path: string): void {
  const handed = wordsIn(join(base, 'cgroup.subtree_control'));
  const [pod] = path.split('/');
  if (handed.length > 0 && pod !== undefined && path.includes('/')) handDown(join(base, pod), handed);
}

function handDown(folder: string, controllers: readonly string[]): void {
  writeFileSync(join(folder, 'cgroup.subtree_control'), controllers.map((name) => `+${name}`).join(' '));
}

function wordsIn(file: string): string[] {
  return readFileSync(file, 'utf8').split(/\s+/).filter(Boolean);
}

/** v1 counts in memory.oom_control, v2 in memory.events, both as a line `oom_kill N`. */
function oomKillsIn(folder: string): number {
  const file = ['memory.oom_control', 'memory.events']
    .map((name) => join(folder, name))
    .find((path) => existsSync(path));
  return file === undefined ? 0 : Number(/^oom_kill (\d+)$/m.exec(readFileSync(file, 'utf8'))?.[1] ?? 0);
}

/** Removes the folders of kubelets that are gone. */
async function sweep(own: string): Promise<void> {
  for (const name of childrenOf(own)) {
    if (name.startsWith(PREFIX) && !isOwnerAlive(name.slice(PREFIX.length))) await removeTree(join(own, name));
  }
}

async function removeTree(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  for (const child of childrenOf(folder)) await removeTree(join(folder, child));
  await until(() => killAll(folder) === 0, {
    what: `the processes in ${folder} to be gone`,
    intervalMs: 5,
  });
  // A zombie is in no list, but keeps the folder busy until it is reaped.
  await until(
    () => {
      rmdirSync(folder);
      return true;
    },
    { what: `the cgroup ${folder} to be removed`, intervalMs: 5 },
  );
}

/** How many there were. */
function killAll(folder: string): number {
  const pids = wordsIn(join(folder, 'cgroup.procs')).map(Number);
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      // Gone in the meantime is what we want.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
  return pids.length;
}

function childrenOf(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}
