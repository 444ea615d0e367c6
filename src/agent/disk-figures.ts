import type { DiskFigures, Source } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import type { BrokerCgroups, CgroupDirectory } from './broker-cgroup.ts';
import { type DiskCounters, type IsStacked, parseBlkio, parseIoStat } from './cgroup-files.ts';
import { listDirectory, readParsed } from './files.ts';
import { readPressure } from './pressure.ts';
import { parseProcessIo } from './proc-files.ts';
import type { Rates } from './rates.ts';
import { unknownDisk } from './unknown-figures.ts';

export interface DiskOptions {
  /** Null where the broker's cgroups are not proved: then the process alone is looked at. */
  readonly cgroups: BrokerCgroups | null;
  readonly procRoot: string;
  readonly pid: number;
  readonly run: string;
  readonly rates: Rates;
}

interface Counted {
  readonly source: Source;
  readonly series: string;
  /** Null where the source does not count it. */
  readonly counters: { readonly [name in keyof DiskCounters]: number | null };
}

/**
 * The disk figures of the broker's cgroup; where it counts none, bytes of the broker's process alone; else unknown.
 *
 * v1 counts only some I/O (not what the page cache writes later, which is most of what a log writes), and on many machines
 * nothing at all: there the process comes first, and no writes say nothing.
 */
export function readDiskFigures(options: DiskOptions): DiskFigures {
  const { cgroups, run, rates } = options;
  const pressure = readPressure({ directory: cgroups?.pressure ?? null, resource: 'io', run, rates });
  const counted = count(options);
  // Pressure has no source of its own to name: it is of the v2 hierarchy always.
  if (counted === null) return pressure === null ? unknownDisk : { ...unknownDisk, source: 'cgroup-v2', pressure };
  const { source, series, counters } = counted;
  const perSecond = (name: string, counter: number | null): number | null =>
    rates.perSecond(`disk ${name}`, `${run} ${series}`, counter);
  return {
    source,
    readBytesPerSecond: perSecond('read bytes', counters.readBytes),
    writeBytesPerSecond: perSecond('written bytes', counters.writtenBytes),
    readsPerSecond: perSecond('reads', counters.reads),
    writesPerSecond: perSecond('writes', counters.writes),
    pressure,
  };
}

function count(options: DiskOptions): Counted | null {
  const disk = options.cgroups?.disk ?? null;
  const isStacked = createIsStacked(options.procRoot);
  if (disk?.version === 2) return countByCgroup(disk, isStacked) ?? countByProcess(options);
  return countByProcess(options) ?? (disk && countByOldCgroup(disk, isStacked));
}

/** As sysfs says, where the agent's container has it; elsewhere no device is known to be stacked. */
function createIsStacked(procRoot: string): IsStacked {
  const known = new Map<string, boolean>();
  return (device) => {
    const below = known.get(device) ?? hasEntries(`${procRoot}/self/root/sys/dev/block/${device}/slaves`);
    known.set(device, below);
    return below;
  };
}

function hasEntries(path: string): boolean {
  const entries = listDirectory(path);
  return !isProblem(entries) && entries.length > 0;
}

function countByCgroup({ path }: CgroupDirectory, isStacked: IsStacked): Counted | null {
  const counters = readParsed(`${path}/io.stat`, (text) => parseIoStat(text, isStacked));
  return isProblem(counters) ? null : { source: 'cgroup-v2', series: path, counters };
}

function countByOldCgroup({ path }: CgroupDirectory, isStacked: IsStacked): Counted | null {
  const counters = readBlkio(path, isStacked);
  if (isProblem(counters) || Object.values(counters).every((it) => it === 0)) return null;
  const writes = counters.writes === 0 ? { writtenBytes: null, writes: null } : {};
  return { source: 'cgroup-v1', series: path, counters: { ...counters, ...writes } };
}

function readBlkio(path: string, isStacked: IsStacked): DiskCounters | Problem {
  const bytes = readParsed(`${path}/blkio.throttle.io_service_bytes_recursive`, (text) => parseBlkio(text, isStacked));
  if (isProblem(bytes)) return bytes;
  const operations = readParsed(`${path}/blkio.throttle.io_serviced_recursive`, (text) => parseBlkio(text, isStacked));
  if (isProblem(operations)) return operations;
  return {
    readBytes: bytes.read,
    writtenBytes: bytes.write,
    reads: operations.read,
    writes: operations.write,
  };
}

function countByProcess({ procRoot, pid }: DiskOptions): Counted | null {
  const bytes = readParsed(`${procRoot}/${pid}/io`, parseProcessIo);
  return isProblem(bytes)
    ? null
    : { source: 'proc', series: 'proc', counters: { ...bytes, reads: null, writes: null } };
}
