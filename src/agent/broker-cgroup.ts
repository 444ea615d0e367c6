import { isProblem, type Problem } from '../api/problem.ts';
import { parseProcessIds } from './cgroup-files.ts';
import { readParsed } from './files.ts';
import { type CgroupMembership, type CgroupMount, parseCgroupMemberships, parseCgroupMounts } from './proc-files.ts';

/** The directory of one controller of the broker's cgroup. */
export interface CgroupDirectory {
  readonly version: 1 | 2;
  readonly path: string;
}

/** Gives the broker's cgroup for a controller, proved to be the broker's own, or says why not. */
export type CgroupLookup = (controller: string) => CgroupDirectory | Problem;

export interface LookupOptions {
  readonly procRoot: string;
  readonly pid: number;
  readonly ownPid: number;
}

/**
 * Looks up the cgroups of a process by its own memberships and its own mounts, through its own root: what a mount
 * point shows depends on who looks, and in a neighbour container the agent's /sys/fs/cgroup shows the agent's cgroup
 * (cgroup_namespaces(7)). Nothing is guessed from the usual places.
 */
export function lookUpCgroups(options: LookupOptions): CgroupLookup {
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
    if (own === null || containsCgroup(membership.path, own.path)) {
      return {
        problem: `the broker's ${controller} cgroup ${membership.path} holds the agent too, so it is not the broker's own`,
      };
    }
    const path = locate(membership, controller, mounts);
    if (path === null)
      return { problem: `the broker has no mount that shows its ${controller} cgroup ${membership.path}` };
    return prove({ version: membership.version, path: `${procRoot}/${pid}/root${path}` }, options);
  };
}

/** The hierarchy that has this controller: the v1 one that names it, or else v2 (cgroups(7)). */
export function membershipFor(controller: string, memberships: readonly CgroupMembership[]): CgroupMembership | null {
  return (
    memberships.find((it) => it.controllers.includes(controller)) ?? memberships.find((it) => it.version === 2) ?? null
  );
}

/** Where a cgroup is found below the mount points; null when no mount shows it. The mount made last hides earlier ones. */
export function locate(
  membership: CgroupMembership,
  controller: string,
  mounts: readonly CgroupMount[],
): string | null {
  for (const mount of mounts.toReversed()) {
    const same =
      mount.version === membership.version && (mount.version === 2 || mount.controllers.includes(controller));
    const below = same ? pathBelow(mount.root, membership.path) : null;
    if (below !== null) return mount.mountPoint + below;
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

/** The kernel's own list of the cgroup has the last word. */
function prove(directory: CgroupDirectory, { pid, ownPid }: LookupOptions): CgroupDirectory | Problem {
  const path = `${directory.path}/cgroup.procs`;
  const members = readParsed(path, parseProcessIds);
  if (isProblem(members)) return members;
  if (!members.has(pid)) return { problem: `${path} does not list the broker's pid ${pid}` };
  if (members.has(ownPid)) return { problem: `${path} lists the agent's own pid ${ownPid} beside the broker's` };
  return directory;
}
