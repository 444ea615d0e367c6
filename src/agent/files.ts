import type { Problem } from '../api/problem.ts';

/** Not imported, as in server.ts: an import evaluates every export, and `promises` among them loads 2 MiB. */
const { closeSync, constants, existsSync, openSync, readdirSync, readlinkSync, readSync, statSync } =
  process.getBuiltinModule('node:fs');

/*
 * Reads are synchronous on purpose: /proc and cgroup files are kernel memory, a sample is some twenty of them and takes
 * about a millisecond, and the thread pool of asynchronous reads would cost more memory and CPU than the whole agent.
 * They are bounded, and open without waiting, because a container may put anything where its cgroup files should be.
 */

export interface FileProblem extends Problem {
  /** Processes come and go while they are looked at, so this is no news. */
  readonly gone: boolean;
}

/** The kernel's own files are smaller by far. */
const maxFileBytes = 1_048_576;
/** Most files of the kernel fit into this, which Node cuts from a buffer that it keeps anyway. */
const firstReadBytes = 4_000;
const furtherReadBytes = 65_536;

/** A whole file; a problem when it is longer than `maxBytes`. */
export function readText(path: string, maxBytes: number = maxFileBytes): string | FileProblem {
  const bytes = attempt(path, () => readBytes(path, maxBytes));
  if (!Buffer.isBuffer(bytes)) return bytes;
  return bytes.length > maxBytes
    ? { problem: `${path}: longer than ${maxBytes} bytes, so not what it should be`, gone: false }
    : bytes.toString('utf8');
}

/** What `parse` makes of a file, or why there is nothing. */
export function readParsed<T>(path: string, parse: (text: string) => T | null): T | FileProblem {
  const text = readText(path);
  if (typeof text !== 'string') return text;
  return parse(text) ?? { problem: `${path}: not in the format that the agent knows`, gone: false };
}

/** Whether there is a file or a directory that can be seen. */
export function exists(path: string): boolean {
  return existsSync(path);
}

/** The target of a symbolic link. */
export function readLink(path: string): string | FileProblem {
  return attempt(path, () => readlinkSync(path));
}

export function listDirectory(path: string): readonly string[] | FileProblem {
  return attempt(path, () => readdirSync(path));
}

/** The directories in a directory, by name. */
export function listFolders(path: string): readonly string[] | FileProblem {
  return attempt(path, () =>
    readdirSync(path, { withFileTypes: true })
      .filter((it) => it.isDirectory())
      .map((it) => it.name),
  );
}

/** The size that the file system states: for /proc/<pid>/fd the number of descriptors since Linux 6.2, 0 before. */
export function readSize(path: string): number | FileProblem {
  return attempt(path, () => statSync(path).size);
}

/** A file up to a little more than `maxBytes`. */
function readBytes(path: string, maxBytes: number): Buffer {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const chunks: Buffer[] = [];
    let total = 0;
    while (total <= maxBytes) {
      const chunk = Buffer.allocUnsafe(total === 0 ? firstReadBytes : furtherReadBytes);
      const length = readSync(descriptor, chunk);
      if (length === 0) break;
      chunks.push(chunk.subarray(0, length));
      total += length;
    }
    const [only] = chunks;
    return only !== undefined && chunks.length === 1 ? only : Buffer.concat(chunks);
  } finally {
    closeSync(descriptor);
  }
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
    case 'EISDIR':
      return 'a directory, where the kernel has a file';
    default:
      return `cannot be read (${code})`;
  }
}
