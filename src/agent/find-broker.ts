import { endianness } from 'node:os';
import { isProblem, type Problem } from '../api/problem.ts';
import { canonicalIp, formatSocketAddress, type SocketAddress } from './address.ts';
import { exists, listDirectory, readLink, readParsed, readText } from './files.ts';
import {
  type Listener,
  type ProcessStat,
  parseCgroupMemberships,
  parseListeners,
  parseProcessStat,
  parseProgramName,
  parseSocketLink,
} from './proc-files.ts';

/** One run of the broker's process: a reused pid has another start. */
export interface BrokerProcess {
  readonly pid: number;
  /** Ticks after boot. */
  readonly startTicks: number;
}

/** By what the broker is known: at least one, and all that are given must hold. */
export interface BrokerTraits {
  /** Where it listens. */
  readonly address?: SocketAddress | undefined;
  /** The name of its program. */
  readonly program?: string | undefined;
  /** The id of its container, or how it begins. */
  readonly containerId?: string | undefined;
}

export interface FindBrokerOptions extends BrokerTraits {
  /** Where the processes are seen: `/proc`, or a tree that looks like it. */
  readonly procRoot: string;
  readonly ownPid: number;
}

/**
 * Finds the broker by the socket that listens on its address, by its name, or by the name of its cgroup. Works wherever
 * the agent sees the broker's processes (and, for the address, shares its network): in its container, or with
 * shareProcessNamespace.
 *
 * When several processes are meant (a parent that handed its socket down), the oldest is the broker. So the processes of
 * the whole node (hostPID) are no way: the oldest may be another Pod's broker.
 */
export function findBroker(options: FindBrokerOptions): BrokerProcess | Problem {
  const { procRoot, ownPid, address } = options;
  const inodes = address === undefined ? null : socketsOn(address, procRoot);
  if (isProblem(inodes)) return inodes;
  const found = findProcesses(options, inodes);
  if (isProblem(found)) return found;

  const described = describeTraits(options);
  const others = found.processes.filter((it) => it.pid !== ownPid);
  // Another one that holds the agent's socket was made by the agent; one of the same name need not be.
  if (others.length < found.processes.length && (inodes !== null || others.length === 0)) {
    return { problem: `the agent itself ${described}; set the --broker flags to what the broker is` };
  }
  const [oldest] = others.toSorted((a, b) => a.startTicks - b.startTicks);
  const why = found.hidden[0]?.problem ?? 'set shareProcessNamespace: true in the Pod';
  return oldest ?? { problem: `the process that ${described} cannot be seen: ${why}` };
}

/** What /proc/<pid>/stat says about a living process; null when it is gone, a zombie, or another one under the same pid. */
export function readIfRunning(procRoot: string, { pid, startTicks }: BrokerProcess): ProcessStat | null {
  const stat = readLivingStat(procRoot, pid);
  return stat?.startTicks === startTicks ? stat : null;
}

/** The agent's own pid as the processes of this /proc are numbered, which a /proc of the host is not in process.pid. */
export function readOwnPid(procRoot: string): number | Problem {
  const link = readLink(`${procRoot}/self`);
  return isProblem(link) ? { problem: `${link.problem}; --proc must name a mounted procfs` } : Number(link);
}

/** The listeners on exactly this address, or else those on every address with this port. */
export function listenersOn(address: SocketAddress, listeners: readonly Listener[]): readonly Listener[] {
  const wanted = canonicalIp(address.ip);
  const onPort = listeners.filter((it) => it.port === address.port);
  const exact = onPort.filter((it) => it.ip === wanted);
  // A socket on :: takes IPv4 as well, unless it says otherwise; one on 0.0.0.0 never takes IPv6.
  const wildcards = wanted?.startsWith('::ffff:') ? ['::', '::ffff:0:0'] : ['::'];
  return exact.length > 0 ? exact : onPort.filter((it) => wildcards.includes(it.ip));
}

function describeTraits({ address, program, containerId }: BrokerTraits): string {
  return [
    ...(address === undefined ? [] : [`listens on ${formatSocketAddress(address)}`]),
    ...(program === undefined ? [] : [`runs ${program}`]),
    ...(containerId === undefined ? [] : [`is in container ${containerId}`]),
  ].join(' and ');
}

/** The inodes of the sockets that listen on an address. */
function socketsOn(address: SocketAddress, procRoot: string): ReadonlySet<string> | Problem {
  const listeners = readListeners(procRoot);
  if (isProblem(listeners)) return listeners;
  const inodes = new Set(listenersOn(address, listeners).map((it) => it.inode));
  return inodes.size > 0
    ? inodes
    : {
        problem: `nothing listens on ${formatSocketAddress(address)}; the broker is not up yet, or --broker-address is not its address`,
      };
}

/** A line each for listeners and all connections of the Pod, when the agent starts beside a busy broker. */
const maxSocketTableBytes = 33_554_432;

function readListeners(procRoot: string): readonly Listener[] | Problem {
  const listeners: Listener[] = [];
  // A kernel without IPv6 has no tcp6.
  for (const path of [`${procRoot}/net/tcp`, `${procRoot}/net/tcp6`].filter(exists)) {
    const text = readText(path, maxSocketTableBytes);
    if (isProblem(text)) return text;
    listeners.push(...parseListeners(text, endianness()));
  }
  return listeners;
}

interface Found {
  readonly processes: readonly BrokerProcess[];
  /** What kept others from being looked at. */
  readonly hidden: readonly Problem[];
}

function findProcesses(options: FindBrokerOptions, inodes: ReadonlySet<string> | null): Found | Problem {
  const entries = listDirectory(options.procRoot);
  if (isProblem(entries)) return entries;
  const processes: BrokerProcess[] = [];
  const hidden: Problem[] = [];
  for (const entry of entries.filter((it) => /^\d+$/.test(it))) {
    const match = matchProcess(options, Number(entry), inodes);
    if (isProblem(match)) hidden.push(match);
    else if (match !== null) processes.push(match);
  }
  return { processes, hidden };
}

/** The process when all traits hold, null when one does not, a problem when it may not be looked at. */
function matchProcess(
  { procRoot, program, containerId }: FindBrokerOptions,
  pid: number,
  inodes: ReadonlySet<string> | null,
): BrokerProcess | null | Problem {
  const directory = `${procRoot}/${pid}`;
  const before = readLivingStat(procRoot, pid);
  if (before === null || (program !== undefined && !runsProgram(directory, before, program))) return null;
  if (containerId !== undefined && !isInContainer(directory, containerId)) return null;
  const link = inodes === null ? null : findSocketLink(`${directory}/fd`, inodes);
  if (isProblem(link)) return link;
  if (inodes !== null && link === null) return null;
  // Read again after its traits: now they are known to be of one process.
  return readLivingStat(procRoot, pid)?.startTicks === before.startTicks
    ? { pid, startTicks: before.startTicks }
    : null;
}

/** The kernel keeps 15 bytes of a name, which the process may change; its arguments begin with the program's path. */
function runsProgram(directory: string, { command }: ProcessStat, program: string): boolean {
  if (command === program) return true;
  const name = readParsed(`${directory}/cmdline`, parseProgramName);
  return !isProblem(name) && name === program;
}

function isInContainer(directory: string, containerId: string): boolean {
  const memberships = readParsed(`${directory}/cgroup`, parseCgroupMemberships);
  return !isProblem(memberships) && memberships.some(({ path }) => namesContainer(path, containerId));
}

/** Whether a cgroup's path holds a container by its id: `…/<id>`, or as systemd names it, `…/cri-containerd-<id>.scope`. */
export function namesContainer(path: string, containerId: string): boolean {
  return path.split('/').some((name) => {
    const id = name.replace(/\.scope$/, '').replace(/^.*[-:]/, '');
    return id.length >= 12 && id.startsWith(containerId);
  });
}

/** The first descriptor that is one of the sockets, null when none is, a problem when the process may not be looked at. */
function findSocketLink(directory: string, inodes: ReadonlySet<string>): string | null | Problem {
  const descriptors = listDirectory(directory);
  if (isProblem(descriptors)) return descriptors.gone ? null : descriptors;
  for (const descriptor of descriptors) {
    const link = `${directory}/${descriptor}`;
    const target = readLink(link);
    if (isSocketOf(target, inodes)) return link;
    if (isProblem(target) && !target.gone) return target;
  }
  return null;
}

function isSocketOf(target: string | Problem, inodes: ReadonlySet<string>): boolean {
  const inode = isProblem(target) ? null : parseSocketLink(target);
  return inode !== null && inodes.has(inode);
}

function readLivingStat(procRoot: string, pid: number): ProcessStat | null {
  const stat = readParsed(`${procRoot}/${pid}/stat`, parseProcessStat);
  return isProblem(stat) || stat.state === 'Z' || stat.state === 'X' ? null : stat;
}
