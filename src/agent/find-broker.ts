import { existsSync } from 'node:fs';
import { endianness } from 'node:os';
import { isProblem, type Problem } from '../api/problem.ts';
import { canonicalIp, formatSocketAddress, type SocketAddress } from './address.ts';
import { listDirectory, readLink, readParsed, readText } from './files.ts';
import { type Listener, type ProcessStat, parseListeners, parseProcessStat, parseSocketLink } from './proc-files.ts';

/** One run of the broker's process: a reused pid has another start. */
export interface BrokerProcess {
  readonly pid: number;
  /** Ticks after boot. */
  readonly startTicks: number;
}

export interface FindBrokerOptions {
  /** Where the processes are seen: `/proc`, or a tree that looks like it. */
  readonly procRoot: string;
  readonly brokerAddress: SocketAddress;
  readonly ownPid: number;
}

/**
 * Finds the broker by the socket that listens on its address. Works wherever the agent sees the broker's processes and
 * shares its network: with shareProcessNamespace, or on one host.
 *
 * When several processes hold the socket (a parent that handed it down), the oldest is the broker.
 */
export function findBroker(options: FindBrokerOptions): BrokerProcess | Problem {
  const { procRoot, brokerAddress, ownPid } = options;
  const address = formatSocketAddress(brokerAddress);
  const listeners = readListeners(procRoot);
  if (isProblem(listeners)) return listeners;

  const inodes = new Set(listenersOn(brokerAddress, listeners).map((it) => it.inode));
  if (inodes.size === 0) {
    return {
      problem: `nothing listens on ${address}; the broker is not up yet, or --broker-address is not its address`,
    };
  }

  const found = findHolders(procRoot, inodes);
  if (isProblem(found)) return found;
  if (found.holders.some((it) => it.pid === ownPid)) {
    return { problem: `the agent itself listens on ${address}; set --broker-address to the broker's address` };
  }
  const [oldest] = found.holders.toSorted((a, b) => a.startTicks - b.startTicks);
  const why = found.hidden[0]?.problem ?? 'set shareProcessNamespace: true in the Pod';
  return oldest ?? { problem: `the process that listens on ${address} cannot be seen: ${why}` };
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

function readListeners(procRoot: string): readonly Listener[] | Problem {
  const listeners: Listener[] = [];
  // A kernel without IPv6 has no tcp6.
  for (const path of [`${procRoot}/net/tcp`, `${procRoot}/net/tcp6`].filter(existsSync)) {
    const text = readText(path);
    if (isProblem(text)) return text;
    listeners.push(...parseListeners(text, endianness()));
  }
  return listeners;
}

/** The processes that hold one of the sockets, and what kept others from being looked at. */
function findHolders(procRoot: string, inodes: ReadonlySet<string>): Holders | Problem {
  const entries = listDirectory(procRoot);
  if (isProblem(entries)) return entries;
  const holders: BrokerProcess[] = [];
  const hidden: Problem[] = [];
  for (const entry of entries.filter((it) => /^\d+$/.test(it))) {
    const link = findSocketLink(`${procRoot}/${entry}/fd`, inodes);
    if (isProblem(link)) hidden.push(link);
    else if (link !== null) {
      const stat = readLivingStat(procRoot, Number(entry));
      // The link is read again after the start time: now both are known to be of one process.
      if (stat !== null && isSocketOf(readLink(link), inodes)) {
        holders.push({ pid: Number(entry), startTicks: stat.startTicks });
      }
    }
  }
  return { holders, hidden };
}

interface Holders {
  readonly holders: readonly BrokerProcess[];
  readonly hidden: readonly Problem[];
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
