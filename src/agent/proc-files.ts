import { canonicalIp } from './address.ts';
import { parseCount } from './count.ts';

/*
 * The files of /proc that the agent reads, as text in and facts out (proc(5), Documentation/filesystems/proc.rst).
 * A parser returns null for a text it does not understand and never throws.
 */

/** USER_HZ, the unit of times in /proc/<pid>/stat: 100 on every Linux that Node runs on. */
export const ticksPerSecond = 100;

export interface ProcessStat {
  /** R, S, D, Z, …: a zombie (Z) or dead (X) process has a stat still, but nothing else. */
  readonly state: string;
  /** The first 15 bytes of the program's name, unless the process gave itself another. */
  readonly command: string;
  /** User and system time of the process itself, in ticks. */
  readonly cpuTicks: number;
  /** Start after boot, in ticks: with the pid, it names one run of one process. */
  readonly startTicks: number;
}

/** /proc/<pid>/stat. The second field is the command in parentheses, which may itself hold spaces and parentheses. */
export function parseProcessStat(text: string): ProcessStat | null {
  const end = text.lastIndexOf(')');
  const command = text.slice(text.indexOf('(') + 1, end);
  const fields = text
    .slice(end + 1)
    .trim()
    .split(/\s+/);
  // fields[0] is field 3 of the manual.
  const state = fields[0] ?? '';
  const userTicks = parseCount(fields[14 - 3]);
  const systemTicks = parseCount(fields[15 - 3]);
  const startTicks = parseCount(fields[22 - 3]);
  if (!/^[A-Za-z]$/.test(state) || userTicks === null || systemTicks === null || startTicks === null) return null;
  return { state, command, cpuTicks: userTicks + systemTicks, startTicks };
}

/** The resident set in /proc/<pid>/status, in bytes. */
export function parseResidentBytes(text: string): number | null {
  return kibibytes(text, 'VmRSS');
}

/** Bytes that the process read from and wrote to disks, in /proc/<pid>/io. */
export function parseProcessIo(text: string): { readonly readBytes: number; readonly writtenBytes: number } | null {
  const readBytes = parseCount(/^read_bytes: (\d+)$/m.exec(text)?.[1]);
  const writtenBytes = parseCount(/^write_bytes: (\d+)$/m.exec(text)?.[1]);
  return readBytes === null || writtenBytes === null ? null : { readBytes, writtenBytes };
}

/** The soft limit of open files in /proc/<pid>/limits. */
export function parseOpenFilesLimit(text: string): number | 'none' | null {
  const soft = /^Max open files\s+(\d+|unlimited)\s/m.exec(text)?.[1];
  return soft === 'unlimited' ? 'none' : parseCount(soft);
}

/** Whether this kernel states the number of a process's descriptors as the size of /proc/<pid>/fd: since 6.2. */
export function parseStatesDescriptors(osrelease: string): boolean | null {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(osrelease) ?? [];
  return major === undefined ? null : Number(major) > 6 || (Number(major) === 6 && Number(minor) >= 2);
}

/** Cumulative, over all devices but loopback. */
export interface NetworkCounters {
  /** Names what is summed: another set of devices is another series. */
  readonly devices: string;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly errors: number;
}

/** /proc/<pid>/net/dev: two lines of headings, then `name: ` with 8 figures received and 8 sent. */
export function parseNetworkDevices(text: string): NetworkCounters | null {
  const devices: string[] = [];
  const sums = { receivedBytes: 0, sentBytes: 0, errors: 0 };
  for (const line of text.split('\n').slice(2)) {
    if (line === '') continue;
    const colon = line.lastIndexOf(':');
    const name = line.slice(0, colon).trim();
    const figures = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/);
    const [receivedBytes, receivedErrors] = [parseCount(figures[0]), parseCount(figures[2])];
    const [sentBytes, sentErrors] = [parseCount(figures[8]), parseCount(figures[10])];
    if (colon < 0 || receivedBytes === null || receivedErrors === null || sentBytes === null || sentErrors === null) {
      return null;
    }
    if (name === 'lo') continue;
    devices.push(name);
    sums.receivedBytes += receivedBytes;
    sums.sentBytes += sentBytes;
    sums.errors += receivedErrors + sentErrors;
  }
  return { devices: devices.sort().join(' '), ...sums };
}

/** The name of a program in /proc/<pid>/cmdline: its first argument without folders; empty for kernel threads. */
export function parseProgramName(text: string): string {
  const [program = ''] = text.split('\0', 1);
  return program.slice(program.lastIndexOf('/') + 1);
}

/** The node's memory in /proc/meminfo, in bytes. */
export function parseNodeMemoryBytes(text: string): number | null {
  return kibibytes(text, 'MemTotal');
}

/** The node's online cores: one line `cpu<N>` each in /proc/stat. Affinity and quotas of the agent do not touch it. */
export function parseNodeCores(text: string): number | null {
  const cores = text.match(/^cpu\d+ /gm)?.length ?? 0;
  return cores > 0 ? cores : null;
}

/** Seconds since boot in /proc/uptime. */
export function parseUptimeSeconds(text: string): number | null {
  const match = /^(\d{1,15}\.\d{1,9}) /.exec(text);
  return match ? Number(match[1]) : null;
}

export interface Listener {
  /** In the spelling of canonicalIp. */
  readonly ip: string;
  readonly port: number;
  readonly inode: string;
}

const listenState = '0A';
const netTcpLine = new RegExp(
  `^ *\\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ${listenState} \\S+ \\S+ \\S+ +\\d+ +\\d+ (\\d+)`,
  'gm',
);

/**
 * The listening sockets of /proc/net/tcp or tcp6.
 *
 * @param endianness of the machine: the kernel prints addresses as 32-bit words in its own byte order.
 */
export function parseListeners(text: string, endianness: 'LE' | 'BE'): readonly Listener[] {
  const listeners: Listener[] = [];
  for (const [, hexIp = '', hexPort = '', inode = ''] of text.matchAll(netTcpLine)) {
    const ip = ipOfHexWords(hexIp, endianness);
    if (ip !== null) listeners.push({ ip, port: Number.parseInt(hexPort, 16), inode });
  }
  return listeners;
}

function ipOfHexWords(hex: string, endianness: 'LE' | 'BE'): string | null {
  const bytes = Buffer.from(hex, 'hex');
  if (endianness === 'LE') bytes.swap32();
  return bytes.length === 4
    ? canonicalIp(bytes.join('.'))
    : canonicalIp((bytes.toString('hex').match(/.{4}/g) ?? []).join(':'));
}

/** The socket behind a link of /proc/<pid>/fd, by its inode. */
export function parseSocketLink(link: string): string | null {
  return /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? null;
}

export interface CgroupMembership {
  readonly version: 1 | 2;
  /** The v1 controllers of this hierarchy, `name=…` among them; empty for v2. */
  readonly controllers: readonly string[];
  /** As the reader's cgroup namespace shows it: a neighbour container's begins with `/..`. */
  readonly path: string;
}

/** /proc/<pid>/cgroup: one line `id:controllers:path` for each hierarchy; v2 is `0::path` (cgroups(7)). */
export function parseCgroupMemberships(text: string): readonly CgroupMembership[] {
  const memberships: CgroupMembership[] = [];
  for (const [, id = '', controllers = '', path = ''] of text.matchAll(/^(\d+):([^:\n]*):(\/.*)$/gm)) {
    if (id === '0' && controllers === '') memberships.push({ version: 2, controllers: [], path });
    else if (controllers !== '') memberships.push({ version: 1, controllers: controllers.split(','), path });
  }
  return memberships;
}

export interface CgroupMount {
  readonly version: 1 | 2;
  readonly controllers: readonly string[];
  /** The cgroup that the mount point shows; not `/` for a bind mount or in a cgroup namespace. */
  readonly root: string;
  readonly mountPoint: string;
}

/** The cgroup mounts of /proc/<pid>/mountinfo. */
export function parseCgroupMounts(text: string): readonly CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of text.split('\n')) {
    // Optional fields stand before " - ", so the two halves are read apart.
    const [mount = '', filesystem = ''] = line.split(' - ', 2);
    const [, , , root, mountPoint] = mount.split(' ');
    const [type, , options = ''] = filesystem.split(' ');
    if (root === undefined || mountPoint === undefined || (type !== 'cgroup' && type !== 'cgroup2')) continue;
    mounts.push({
      version: type === 'cgroup' ? 1 : 2,
      controllers: type === 'cgroup' ? options.split(',') : [],
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
    });
  }
  return mounts;
}

/** Blanks, tabs, line feeds and backslashes of a path are written as \ooo in mountinfo. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** `Name:   123 kB` of status and meminfo, in bytes. */
function kibibytes(text: string, name: string): number | null {
  const count = parseCount(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]);
  return count === null ? null : count * 1024;
}
