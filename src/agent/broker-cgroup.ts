import type { Mode } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import { parseProcessIds } from './cgroup-files.ts';
import { isContainer, podLevels, podUidOf } from './cgroup-names.ts';
import { exists, readLink, readParsed } from './files.ts';
import { type HostLookup, lookUpOnHost } from './host-cgroup.ts';
import { type CgroupMembership, type CgroupMount, parseCgroupMemberships, parseCgroupMounts } from './proc-files.ts';

/** The directory of one hierarchy of the broker's cgroup. */
export interface CgroupDirectory {
  readonly version: 1 | 2;
  readonly path: string;
  /** The directories above it up to the Pod's, nearest first, as far as they are visible: their limits hold as well. */
  readonly above: readonly string[];
}

/** The broker's cgroups, each proved to be the broker's own, or in mode `self` the container's that it shares with the agent. */
export interface BrokerCgroups {
  readonly mode: Mode;
  readonly cpuUsage: CgroupDirectory;
  readonly memory: CgroupDirectory;
  /** Null where the kernel does not limit CPU by this hierarchy, where disks are not counted, and where there is no v2. */
  readonly cpuLimit: CgroupDirectory | null;
  readonly disk: CgroupDirectory | null;
  readonly pressure: CgroupDirectory | null;
  /** The uid of the Pod that the cgroup's path names, where the agent can see it. */
  readonly podUid: string | null;
}

export interface LookupOptions {
  readonly procRoot: string;
  readonly pid: number;
  readonly ownPid: number;
  readonly podUid: string;
  /** The node's cgroup file systems, mounted read-only. */
  readonly hostCgroupRoot?: string | undefined;
}

/** What a controller is wanted for. `v2` is the v2 hierarchy itself, which counts pressure even where v1 has the controllers. */
type Controller = 'cpuacct' | 'cpu' | 'memory' | 'blkio' | 'v2';

/** A cgroup that lists the broker. */
interface Proved {
  readonly directory: CgroupDirectory;
  readonly holdsAgent: boolean;
  readonly podUid: string | null;
}

/**
 * Looks up the cgroups of the broker's process, and proves each by the kernel's own list of its processes. CPU and memory
 * must both be there: half of one and half of the other would be no statement about anything.
 */
export function lookUpCgroups(options: LookupOptions): BrokerCgroups | Problem {
  const lookUp = options.hostCgroupRoot === undefined ? lookUpByMembership(options) : lookUpByPod(options);
  const cpuUsage = lookUp('cpuacct');
  if (isProblem(cpuUsage)) return cpuUsage;
  const memory = lookUp('memory');
  if (isProblem(memory)) return memory;
  const { holdsAgent, podUid } = cpuUsage;
  if (memory.holdsAgent !== holdsAgent) {
    return { problem: `${memory.directory.path} and ${cpuUsage.directory.path} do not hold the same processes` };
  }
  if (holdsAgent) {
    const apart = describeContainersApart(options);
    if (apart !== null) return apart;
  }
  const besides = (controller: Controller): CgroupDirectory | null => {
    const proved = lookUp(controller);
    return isProblem(proved) || proved.holdsAgent !== holdsAgent ? null : proved.directory;
  };
  const separate = options.hostCgroupRoot === undefined ? 'shared-pid' : 'host';
  return {
    mode: holdsAgent ? 'self' : separate,
    cpuUsage: cpuUsage.directory,
    memory: memory.directory,
    cpuLimit: besides('cpu'),
    disk: besides('blkio'),
    pressure: besides('v2'),
    podUid,
  };
}

/**
 * A cgroup of both may be that of a Pod or a machine, where a runtime makes none for each container. Only processes of one
 * container have one mount namespace.
 *
 * @returns null when they are in one.
 */
function describeContainersApart({ procRoot, pid, ownPid }: LookupOptions): Problem | null {
  const [theirs, ours] = [pid, ownPid].map((it) => readLink(`${procRoot}/${it}/ns/mnt`));
  if (isProblem(theirs)) return theirs;
  if (isProblem(ours)) return ours;
  return theirs === ours
    ? null
    : { problem: "the broker's cgroup holds the agent too, and they are not in one container: use --host-cgroup" };
}

/** Whether the kernel still lists the broker in all of them, and the agent where it did: processes can be moved. */
export function stillHold(cgroups: BrokerCgroups, { pid, ownPid }: LookupOptions): boolean {
  const { cpuUsage, memory, cpuLimit, disk, pressure } = cgroups;
  const paths = new Set([cpuUsage, memory, cpuLimit, disk, pressure].flatMap((it) => it?.path ?? []));
  return [...paths].every((path) => {
    const members = readParsed(`${path}/cgroup.procs`, parseProcessIds);
    return !isProblem(members) && members.has(pid) && members.has(ownPid) === (cgroups.mode === 'self');
  });
}

/**
 * By the broker's own memberships and its own mounts, through its own root: what a mount point shows depends on who
 * looks, and in a neighbour container the agent's /sys/fs/cgroup shows the agent's cgroup (cgroup_namespaces(7)). Nothing
 * is guessed from the usual places.
 */
function lookUpByMembership(options: LookupOptions): (controller: Controller) => Proved | Problem {
  const { procRoot, pid, ownPid } = options;
  const theirs = readParsed(`${procRoot}/${pid}/cgroup`, parseCgroupMemberships);
  const ours = readParsed(`${procRoot}/${ownPid}/cgroup`, parseCgroupMemberships);
  const mounts = readParsed(`${procRoot}/${pid}/mountinfo`, parseCgroupMounts);

  return (controller) => {
    if (isProblem(theirs)) return theirs;
    if (isProblem(ours)) return ours;
    if (isProblem(mounts)) return mounts;
    const membership = membershipFor(controller, theirs);
    if (membership === null) return { problem: `the broker is in no cgroup for ${controller}` };
    const own = membershipFor(controller, ours);
    const holdsAgent = membership.path === own?.path;
    const holdsMore = {
      problem: `the broker's ${controller} cgroup ${membership.path} holds the agent too, so it is not the broker's own`,
    };
    if (own === null || (!holdsAgent && containsCgroup(membership.path, own.path))) return holdsMore;
    const located = locate(membership, controller, mounts);
    if (located === null) {
      return holdsAgent
        ? holdsMore
        : { problem: `the broker has no mount that shows its ${controller} cgroup ${membership.path}` };
    }
    const root = `${procRoot}/${pid}/root${located.mountPoint}`;
    const directory = {
      version: membership.version,
      path: root + located.below,
      above: podLevels(located.below).map((it) => root + it),
    };
    if (holdsAgent && !isContainersOwn(directory, membership.path, located.below)) return holdsMore;
    return prove(directory, { ...options, holdsAgent, podUid: podUidOf(membership.path) });
  };
}

/** By the directory of the Pod on its node, in which the container is the one that lists the broker. */
function lookUpByPod(options: LookupOptions): (controller: Controller) => Proved | Problem {
  const { hostCgroupRoot = '', pid, ownPid, podUid } = options;
  return (controller) => {
    const found: HostLookup | Problem = lookUpOnHost({ root: hostCgroupRoot, controller, podUid, pid });
    if (isProblem(found)) return found;
    const { directory, members } = found;
    return { directory, holdsAgent: members.has(ownPid), podUid };
  };
}

/** The hierarchy that has this controller: the v1 one that names it, or else v2 (cgroups(7)). */
export function membershipFor(controller: string, memberships: readonly CgroupMembership[]): CgroupMembership | null {
  return (
    memberships.find((it) => it.controllers.includes(controller)) ?? memberships.find((it) => it.version === 2) ?? null
  );
}

export interface Located {
  readonly mountPoint: string;
  /** The rest of the path: empty when the mount shows this very cgroup. */
  readonly below: string;
}

/** Where a cgroup is found below the mount points; null when no mount shows it. The mount made last hides earlier ones. */
export function locate(
  membership: CgroupMembership,
  controller: string,
  mounts: readonly CgroupMount[],
): Located | null {
  for (const { version, controllers, root, mountPoint } of mounts.toReversed()) {
    const same = version === membership.version && (version === 2 || controllers.includes(controller));
    const below = same ? pathBelow(root, membership.path) : null;
    if (below !== null) return { mountPoint, below };
  }
  return null;
}

function pathBelow(root: string, path: string): string | null {
  const base = root === '/' ? '' : root;
  if (path !== base && !path.startsWith(`${base}/`)) return null;
  const below = path.slice(base.length);
  // `/..` of a namespace is no directory of the mount: following it would leave the mount.
  return below.split('/').includes('..') ? null : below.replace(/\/$/, '');
}

/**
 * Whether a cgroup is, or is above, another. Paths are seen from a cgroup namespace, whose own place is `/`, and places
 * beside or above it begin with `/..`: so `/` and `/../..` hold the agent whatever it is in.
 */
export function containsCgroup(outer: string, inner: string): boolean {
  const stepsUp = (path: string): number => path.split('/').filter((it) => it === '..').length;
  const onlyUp = outer.split('/').every((it) => it === '' || it === '..');
  if (onlyUp) return stepsUp(inner) <= stepsUp(outer);
  return inner === outer || inner.startsWith(`${outer}/`);
}

/**
 * Whether a cgroup of both broker and agent is that of a container, and not of a machine, a session or a Pod: the mount
 * shows it alone, as runtimes make it, or its name is one that runtimes give.
 */
function isContainersOwn({ version, path }: CgroupDirectory, membershipPath: string, below: string): boolean {
  // Files that only the root of the machine has (v1), and that all but it have (v2).
  const isMachine = version === 1 ? exists(`${path}/cgroup.sane_behavior`) : !exists(`${path}/cgroup.type`);
  return !isMachine && (below === '' || isContainer(membershipPath));
}

interface Claim {
  readonly pid: number;
  readonly ownPid: number;
  readonly holdsAgent: boolean;
  readonly podUid: string | null;
}

/** The kernel's own list of the cgroup has the last word. */
function prove(directory: CgroupDirectory, { pid, ownPid, holdsAgent, podUid }: Claim): Proved | Problem {
  const path = `${directory.path}/cgroup.procs`;
  const members = readParsed(path, parseProcessIds);
  if (isProblem(members)) return members;
  if (!members.has(pid)) return { problem: `${path} does not list the broker's pid ${pid}` };
  if (members.has(ownPid) === holdsAgent) return { directory, holdsAgent, podUid };
  return {
    problem: holdsAgent
      ? `${path} does not list the agent's own pid ${ownPid}, though /proc says so`
      : `${path} lists the agent's own pid ${ownPid} beside the broker's`,
  };
}
