import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Problem } from '../api/problem.ts';

/*
 * Reads are synchronous on purpose: /proc and cgroup files are kernel memory, a sample is some twenty of them and takes
 * about a millisecond, and the thread pool of asynchronous reads would cost more memory and CPU than the whole agent.
 */

export interface FileProblem extends Problem {
  /** Processes come and go while they are looked at, so this is no news. */
  readonly gone: boolean;
}

export function readText(path: string): string | FileProblem {
  return attempt(path, () => readFileSync(path, 'utf8'));
}

/** What `parse` makes of a file, or why there is nothing. */
export function readParsed<T>(path: string, parse: (text: string) => T | null): T | FileProblem {
  const text = readText(path);
  if (typeof text !== 'string') return text;
  return parse(text) ?? { problem: `${path}: not in the format that the agent knows`, gone: false };
}

/** The target of a symbolic link. */
export function readLink(path: string): string | FileProblem {
  return attempt(path, () => readlinkSync(path));
}

export function listDirectory(path: string): readonly string[] | FileProblem {
  return attempt(path, () => readdirSync(path));
}

/** Failed system calls are values; anything else is a defect of ours and is thrown on. */
function attempt<T>(path: string, read: () => T): T | FileProblem {
  try {
    return read();
  } catch (error) {
    const code = error instanceof Error && 'syscall' in error && 'code' in error ? String(error.code) : null;
    if (code === null) throw error;
    return { problem: `${path}: ${meaningOf(code)}`, gone: code === 'ENOENT' || code === 'ESRCH' };
  }
}

function meaningOf(code: string): string {
  switch (code) {
    case 'ENOENT':
    case 'ESRCH':
      return 'not there';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied; give the agent the runAsUser of the broker, and no fewer capabilities';
    default:
      return `cannot be read (${code})`;
  }
}
