import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { endianness } from 'node:os';
import { canonicalIp, formatSocketAddress, type SocketAddress } from './address.ts';
import { errorCode, readParsed, readText } from './files.ts';
import { isProblem, type Problem } from './problem.ts';
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

  const { holders, hidden } = findHolders(procRoot, inodes);
  if (holders.some((it) => it.pid === ownPid)) {
    return { problem: `the agent itself listens on ${address}; set --broker-address to the broker's address` };
  }
  const [oldest] = holders.toSorted((a, b) => a.startTicks - b.startTicks);
  return oldest ?? { problem: `the process that listens on ${address} is not visible${hint(hidden)}` };
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

function findHolders(procRoot: string, inodes: ReadonlySet<string>): { holders: BrokerProcess[]; hidden: number } {
  const holders: BrokerProcess[] = [];
  let hidden = 0;
  for (const entry of readdirSync(procRoot)) {
    if (!/^\d+$/.test(entry)) continue;
    const pid = Number(entry);
    const link = findSocketLink(`${procRoot}/${entry}/fd`, inodes);
    if (isProblem(link)) hidden++;
    else if (link !== null) {
      const stat = readLivingStat(procRoot, pid);
      // The link is read again after the start time: now both are known to be of one process.
      if (stat !== null && holdsSocket(link, inodes)) holders.push({ pid, startTicks: stat.startTicks });
    }
  }
  return { holders, hidden };
}

/** The first descriptor that is one of the sockets, null when none is, a problem when the process may not be looked at. */
function findSocketLink(directory: string, inodes: ReadonlySet<string>): string | null | Problem {
  try {
    return (
      readdirSync(directory)
        .map((fd) => `${directory}/${fd}`)
        .find((link) => holdsSocket(link, inodes)) ?? null
    );
  } catch (error) {
    return isGone(errorCode(error)) ? null : { problem: `${directory}: ${errorCode(error)}` };
  }
}

function holdsSocket(link: string, inodes: ReadonlySet<string>): boolean {
  const target = readLink(link);
  const inode = isProblem(target) ? null : parseSocketLink(target);
  return inode !== null && inodes.has(inode);
}

function readLivingStat(procRoot: string, pid: number): ProcessStat | null {
  const stat = readParsed(`${procRoot}/${pid}/stat`, parseProcessStat);
  return isProblem(stat) || stat.state === 'Z' || stat.state === 'X' ? null : stat;
}

function readLink(path: string): string | Problem {
  try {
    return readlinkSync(path);
  } catch (error) {
    return { problem: `${path}: ${errorCode(error)}` };
  }
}

/** Processes and descriptors come and go while they are listed. */
function isGone(code: string): boolean {
  return code === 'ENOENT' || code === 'ESRCH';
}

function hint(hiddenProcesses: number): string {
  return hiddenProcesses > 0
    ? `: ${hiddenProcesses} processes hide their descriptors; run the agent with the same runAsUser as the broker`
    : '; set shareProcessNamespace: true in the Pod';
}
