import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessUsage {
  /** Resident memory, shared pages of programs and libraries included. */
  readonly residentBytes: number;
  /** Of that, what no other process has. */
  readonly privateBytes: number;
  /** CPU seconds of its living threads, to the nanosecond. */
  readonly cpuSeconds: number;
}

/** What the kernel says that a process uses. */
export function readProcessUsage(pid: number): ProcessUsage {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kibibytes = (key: string): number => Number(new RegExp(`^${key}: +(\\d+) kB$`, 'm').exec(rollup)?.[1]);
  const nanoseconds = readdirSync(`/proc/${pid}/task`)
    .map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]))
    .reduce((sum, one) => sum + one, 0);
  return {
    residentBytes: kibibytes('Rss') * 1024,
    privateBytes: (kibibytes('Private_Clean') + kibibytes('Private_Dirty')) * 1024,
    cpuSeconds: nanoseconds / 1e9,
  };
}
