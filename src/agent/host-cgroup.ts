import { isProblem, type Problem } from '../api/problem.ts';
import type { CgroupDirectory } from './broker-cgroup.ts';
import { parseProcessIds } from './cgroup-files.ts';
import { podUidOfName } from './cgroup-names.ts';
import { exists, listFolders, readParsed } from './files.ts';

export interface HostLookupOptions {
  /** Where the node's /sys/fs/cgroup is mounted. */
  readonly root: string;
  /** A v1 controller, which v2 has all of in one tree; or `v2`, that tree itself. */
  readonly controller: string;
  readonly podUid: string;
  readonly pid: number;
}

/** The directory that lists the process, and all that it lists. */
export interface HostLookup {
  readonly directory: CgroupDirectory;
  readonly members: ReadonlySet<number>;
}

/** Kubelets put Pods four levels deep at most, five within a node that is a container itself. */
const podDepth = 8;
/** A node has a few hundred Pods, and a few hundred services besides. */
const maxFolders = 20_000;
/** A runtime may keep a container's processes in a cgroup of their own below the container's. */
const containerDepth = 2;

/** Finds the container of a Pod that lists a process, in the node's tree for a controller. */
export function lookUpOnHost(options: HostLookupOptions): HostLookup | Problem {
  const { podUid, pid } = options;
  const hierarchy = findHierarchy(options);
  if (isProblem(hierarchy)) return hierarchy;
  const pod = findPod(hierarchy.path, podUid);
  if (isProblem(pod)) return pod;

  let level: readonly Candidate[] = [{ path: pod, above: [] }];
  for (let depth = 0; depth < containerDepth; depth += 1) {
    const next: Candidate[] = [];
    for (const { path, above } of level) {
      const names = listFolders(path);
      if (isProblem(names)) continue;
      for (const name of names) next.push({ path: `${path}/${name}`, above: [path, ...above] });
    }
    for (const { path, above } of next) {
      const members = readParsed(`${path}/cgroup.procs`, parseProcessIds);
      if (!isProblem(members) && members.has(pid)) {
        return { directory: { version: hierarchy.version, path, above }, members };
      }
    }
    level = next;
  }
  return {
    problem: `no container in ${pod} lists the broker's pid ${pid}; the agent must see the broker's process: set shareProcessNamespace: true in the Pod`,
  };
}

interface Candidate {
  readonly path: string;
  readonly above: readonly string[];
}

function findHierarchy({ root, controller }: HostLookupOptions): { version: 1 | 2; path: string } | Problem {
  if (exists(`${root}/cgroup.controllers`)) return { version: 2, path: root };
  const names = listFolders(root);
  if (isProblem(names)) return { problem: `${names.problem}; --host-cgroup must name the node's /sys/fs/cgroup` };
  const v1 = names.find((name) => name.split(',').includes(controller));
  if (v1 !== undefined) return { version: 1, path: `${root}/${v1}` };
  const v2 = names.find((name) => exists(`${root}/${name}/cgroup.controllers`));
  if (v2 !== undefined) return { version: 2, path: `${root}/${v2}` };
  return { problem: `${root} has no cgroups for ${controller}; --host-cgroup must name the node's /sys/fs/cgroup` };
}

/** Level by level, because Pods lie near the top; other Pods' directories are not entered. */
function findPod(root: string, podUid: string): string | Problem {
  let level: readonly string[] = [root];
  let seen = 0;
  for (let depth = 0; depth < podDepth && seen < maxFolders; depth += 1) {
    const next: string[] = [];
    for (const path of level) {
      const names = listFolders(path);
      if (isProblem(names)) continue;
      for (const name of names) {
        const uid = podUidOfName(name);
        if (uid === podUid) return `${path}/${name}`;
        if (uid === null) next.push(`${path}/${name}`);
      }
      seen += names.length;
    }
    level = next;
  }
  return {
    problem: `${root} has no directory of the Pod ${podUid}; --host-cgroup must name the node's /sys/fs/cgroup`,
  };
}
