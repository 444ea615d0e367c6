import type { CpuFigures, FileDescriptorFigures, MemoryFigures, NetworkFigures } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import { listDirectory, readParsed, readSize } from './files.ts';
import {
  type ProcessStat,
  parseNetworkDevices,
  parseOpenFilesLimit,
  parseResidentBytes,
  ticksPerSecond,
} from './proc-files.ts';
import type { Rates } from './rates.ts';
import { unknownCpu, unknownFileDescriptors, unknownMemory, unknownNetwork } from './unknown-figures.ts';

/* What /proc says of the broker's process alone, and of its network namespace. */

export interface ProcessOptions {
  /** /proc/<pid> of the broker. */
  readonly directory: string;
  readonly run: string;
  readonly rates: Rates;
}

/** @param stat of the broker's process, read just now. */
export function readProcessCpu({ cpuTicks }: ProcessStat, { run, rates }: ProcessOptions): CpuFigures {
  const usageSeconds = cpuTicks / ticksPerSecond;
  const series = `${run} proc`;
  const cores = rates.perSecond('cpu of process', series, usageSeconds);
  return {
    ...unknownCpu,
    source: 'proc',
    usageSeconds,
    cores,
    averageCores: rates.average('cpu of process', series, cores),
  };
}

/** The resident set; limits and what else is charged are not to be had from a process. */
export function readProcessMemory({ directory, run, rates }: ProcessOptions): MemoryFigures {
  const workingSetBytes = readParsed(`${directory}/status`, parseResidentBytes);
  if (isProblem(workingSetBytes)) return unknownMemory;
  const averageWorkingSetBytes = rates.average('memory of process', `${run} proc`, workingSetBytes);
  return { ...unknownMemory, source: 'proc', workingSetBytes, averageWorkingSetBytes };
}

/** Of all devices but loopback; a device that comes or goes costs one rate. */
export function readNetwork({ directory, run, rates }: ProcessOptions): NetworkFigures {
  const counters = readParsed(`${directory}/net/dev`, parseNetworkDevices);
  if (isProblem(counters)) return unknownNetwork;
  const series = `${run} ${counters.devices}`;
  return {
    source: 'proc',
    receivedBytesPerSecond: rates.perSecond('received bytes', series, counters.receivedBytes),
    sentBytesPerSecond: rates.perSecond('sent bytes', series, counters.sentBytes),
    errorsPerSecond: rates.perSecond('network errors', series, counters.errors),
  };
}

/**
 * The descriptors of the process.
 *
 * @param stated whether the kernel states their number; listing them all would cost the more the more there are.
 */
export function readFileDescriptors(directory: string, stated: boolean): FileDescriptorFigures {
  const open = stated ? readSize(`${directory}/fd`) : countEntries(`${directory}/fd`);
  const limit = readParsed(`${directory}/limits`, parseOpenFilesLimit);
  const figures = { open: isProblem(open) ? null : open, limit: typeof limit === 'number' ? limit : null };
  return figures.open === null && figures.limit === null ? unknownFileDescriptors : { source: 'proc', ...figures };
}

function countEntries(path: string): number | Problem {
  const entries = listDirectory(path);
  return isProblem(entries) ? entries : entries.length;
}
