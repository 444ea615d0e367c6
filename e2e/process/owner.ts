import { readFileSync } from 'node:fs';

/**
 * Names what belongs to a process, so that leftovers of a killed one can be told from the things of a live one: its pid and its start
 * time (clock ticks since boot), because pids are used again. Fits into names of folders and cgroups: `4711-123456`.
 */
export function ownerTag(pid: number = process.pid): string {
  const startTicks = startTimeOf(pid);
  if (startTicks === undefined) throw new Error(`process ${pid} does not exist, so it cannot own anything`);
  return `${pid}-${startTicks}`;
}

/** Whether the process that a tag names still runs; false for anything that is no tag. */
export function isOwnerAlive(tag: string): boolean {
  const [pid, startTicks] = tag.split('-');
  return startTicks !== undefined && startTimeOf(Number(pid)) === startTicks;
}

/** Field 22 of /proc/<pid>/stat; undefined when the process does not exist or is only waiting to be reaped. */
function startTimeOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    // No such process. Nothing else makes this file unreadable.
    return undefined;
  }
  // The command's name (field 2) may hold spaces and brackets; the state (field 3) follows its last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? undefined : fields[19];
}
