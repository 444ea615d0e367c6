/** The processes behind containers: the kubelet's children, told apart by their Pod's HOSTNAME and their program. */
import { readFileSync } from 'node:fs';
import type { Kubelet } from '../kubelet/start.ts';

/** @throws Error when the Pod has no such process now. */
export function containerPid(kubelet: Kubelet, pod: string, program: string): number {
  const parent = kubelet.process().pid;
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ').map(Number);
  const found = children.find((pid) => {
    const [environment, command] = [readProc(pid, 'environ'), readProc(pid, 'cmdline')];
    return environment.includes(`HOSTNAME=${pod}`) && command.some((word) => word.endsWith(program));
  });
  if (found === undefined) throw new Error(`Pod ${pod} runs no ${program} now`);
  return found;
}

/** A process may end between the list and the look. */
function readProc(pid: number, file: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || (error as NodeJS.ErrnoException).code === 'ESRCH')
      return [];
    throw error;
  }
}
