import { spawn } from 'node:child_process';
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ManagedProcess {
  readonly pid: number;
  /** Resolves when the process is gone and reaped; never rejects. */
  readonly exited: Promise<Exit>;
  /** How it ended; undefined while it runs. */
  exit(): Exit | undefined;
  /** Sends a signal; without effect once the process is gone. */
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL after `graceMs`; resolves when it is gone. Works on a process stopped by SIGSTOP, too. */
  stop(graceMs?: number): Promise<Exit>;
  /** The last lines of its log file, for error messages. */
  logTail(): string;
}

export interface TiedOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Takes stdout and stderr, appended. */
  readonly logFile: string;
  /** `cgroup.procs` files that the process writes itself into before it becomes the command. */
  readonly cgroupProcs?: readonly string[];
}

/**
 * The death signal counts from the moment that it is set: a parent that was gone before is noticed by its pid. Joining the cgroups here,
 * before exec, means that not one page or tick of the command is counted elsewhere. The script execs, so the pid stays the same.
 */
const JOIN_AND_EXEC = `
[ "$PPID" = "$1" ] || exit 125
shift
while [ "$1" != -- ]; do echo $$ > "$1" || exit 126; shift; done
shift
exec "$@"`;

const LOG_TAIL_BYTES = 4_000;

/**
 * Starts a command that cannot outlive us: the kernel kills it when the thread that started it ends, however that happens (Ctrl-C, crash,
 * kill -9). It leads a process group and a session of its own, so a Ctrl-C in the terminal is ours to handle; what is left of the group
 * when it ends is killed, as the end of a container's first process ends the container.
 *
 * The tie is between parent and child only: a child that starts processes of its own must tie those, too.
 *
 * @throws Error when `setpriv` or the folder `cwd` is missing. A missing command is exit code 127 with a line in the log.
 */
export function spawnTied(command: string, args: readonly string[], options: TiedOptions): ManagedProcess {
  const { cwd, env = process.env, logFile, cgroupProcs = [] } = options;
  if (cwd !== undefined && !existsSync(cwd))
    throw new Error(`cannot start ${command}: its folder ${cwd} does not exist`);
  const log = openSync(logFile, 'a');
  const child = spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', '--', '/bin/sh', '-c', JOIN_AND_EXEC, 'tied', String(process.pid)].concat(
      cgroupProcs,
      '--',
      command,
      args,
    ),
    { ...(cwd === undefined ? {} : { cwd }), env, detached: true, stdio: ['ignore', log, log] },
  );
  closeSync(log);
  const { pid } = child;
  if (pid === undefined) {
    // The event repeats what we throw; without a listener it would end this process.
    child.on('error', () => undefined);
    throw new Error(`cannot start ${command}: setpriv was not found in PATH; install the package util-linux`);
  }

  let ended: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    child.on('exit', (code, signal) => {
      ended = { code, signal };
      killGroup(pid);
      resolve(ended);
    });
  });
  return {
    pid,
    exited,
    exit: () => ended,
    kill: (signal) => {
      child.kill(signal);
    },
    stop: async (graceMs = 5_000) => {
      child.kill('SIGTERM');
      child.kill('SIGCONT');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      const exit = await exited;
      clearTimeout(timer);
      return exit;
    },
    logTail: () => tailOf(logFile),
  };
}

/** In words, for messages: 'exit code 1', 'SIGKILL'. */
export function describeExit(exit: Exit): string {
  return exit.signal ?? `exit code ${exit.code}`;
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // ESRCH is the usual case: nobody of the group is left.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function tailOf(file: string): string {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const buffer = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
    readSync(descriptor, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString('utf8');
  } finally {
    closeSync(descriptor);
  }
}
