import { readFileSync } from 'node:fs';
import type { Problem } from './problem.ts';

/*
 * Reads are synchronous on purpose: /proc and cgroup files are kernel memory, a sample is some twenty of them and takes
 * about a millisecond, and the thread pool of asynchronous reads would cost more memory and CPU than the whole agent.
 */

/** The text of a file, or why it cannot be read. */
export function readText(path: string): string | Problem {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return { problem: `${path}: ${meaningOf(errorCode(error))}` };
  }
}

/** What `parse` makes of a file, or why there is nothing. */
export function readParsed<T>(path: string, parse: (text: string) => T | null): T | Problem {
  const text = readText(path);
  if (typeof text !== 'string') return text;
  return parse(text) ?? { problem: `${path}: not in the format of this file that the agent knows` };
}

/** The code of a failed system call; anything else is a defect of ours and is thrown on. */
export function errorCode(error: unknown): string {
  if (error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string')
    return error.code;
  throw error;
}

function meaningOf(code: string): string {
  switch (code) {
    case 'ENOENT':
    case 'ESRCH':
      return 'not there';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied; run the agent with the same runAsUser as the broker';
    default:
      return `cannot be read (${code})`;
  }
}
