import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/**
 * A folder that looks to the agent like a Linux machine: `/proc` with processes, and whatever cgroup trees a test puts
 * beside it. For tests only.
 */
export interface FakeMachine {
  readonly procRoot: string;
  /** Writes files by their path on the machine; a file of that name is replaced. */
  readonly write: (files: Readonly<Record<string, string>>) => void;
  readonly link: (path: string, target: string) => void;
  readonly remove: (path: string) => void;
  /** Starts a process; one with the same pid is replaced. */
  readonly run: (process: FakeProcess) => void;
  readonly end: (pid: number) => void;
  /** Replaces the listening sockets. */
  readonly listen: (sockets: readonly FakeSocket[]) => void;
  readonly delete: () => void;
}

export interface FakeProcess {
  readonly pid: number;
  readonly startTicks: number;
  readonly state?: string;
  readonly userTicks?: number;
  readonly systemTicks?: number;
  readonly residentKibibytes?: number;
  /** Inodes of the sockets that it holds. */
  readonly sockets?: readonly string[];
  readonly cgroup?: string;
  readonly mountinfo?: string;
  /** Processes of one container share one; its own unless told otherwise. */
  readonly mountNamespace?: string;
  /** The name that the kernel keeps. */
  readonly command?: string;
  readonly arguments?: readonly string[];
}

export interface FakeSocket {
  /** As in /proc/net/tcp and tcp6 of a little-endian machine, `0701000A:19FA`. */
  readonly hexAddress: string;
  readonly inode: string;
  /** Of the kernel's TCP states; 0A listens. */
  readonly state?: string;
}

/** The pid of the agent on a fake machine. */
export const agentPid = 900;

/** Up for 1,000 s, with 4 cores and 8 GiB. The agent runs already, in the root cgroup unless run again elsewhere. */
export function createFakeMachine(): FakeMachine {
  const base = mkdtempSync(join(tmpdir(), 'fake-machine-'));
  const at = (path: string): string => join(base, path);

  function write(files: Readonly<Record<string, string>>): void {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(at(path)), { recursive: true });
      writeFileSync(at(path), text);
    }
  }

  function link(path: string, target: string): void {
    mkdirSync(dirname(at(path)), { recursive: true });
    symlinkSync(target, at(path));
  }

  function end(pid: number): void {
    rmSync(at(`/proc/${pid}`), { recursive: true, force: true });
  }

  function run(process: FakeProcess): void {
    const { pid, sockets = [], cgroup = '0::/\n', mountinfo = '', arguments: words = [] } = process;
    end(pid);
    write({
      [`/proc/${pid}/stat`]: statLine(process),
      [`/proc/${pid}/status`]: `Name:\tbroker\nVmPeak:\t  999999 kB\nVmRSS:\t  ${process.residentKibibytes ?? 1024} kB\n`,
      [`/proc/${pid}/cmdline`]: words.map((word) => `${word}\0`).join(''),
      [`/proc/${pid}/cgroup`]: cgroup,
      [`/proc/${pid}/mountinfo`]: mountinfo,
    });
    link(`/proc/${pid}/root`, '../..');
    link(`/proc/${pid}/ns/mnt`, process.mountNamespace ?? `mnt:[${pid}]`);
    link(`/proc/${pid}/fd/0`, '/dev/null');
    for (const [index, inode] of sockets.entries()) link(`/proc/${pid}/fd/${index + 3}`, `socket:[${inode}]`);
  }

  function listen(sockets: readonly FakeSocket[]): void {
    const lines = (hexCharacters: number): string =>
      sockets
        .filter(({ hexAddress }) => hexAddress.indexOf(':') === hexCharacters)
        .map(({ hexAddress, inode, state = '0A' }, index) => {
          const nobody = `${'0'.repeat(hexCharacters)}:0000`;
          return `   ${index}: ${hexAddress} ${nobody} ${state} 00000000:00000000 00:00000000 00000000  1000        0 ${inode} 1 0000000000000000 100 0 0 10 0\n`;
        })
        .join('');
    const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
    write({ '/proc/net/tcp': header + lines(8), '/proc/net/tcp6': header + lines(32) });
  }

  write({
    '/proc/stat': 'cpu  1 2 3\ncpu0 1 2 3\ncpu1 1 2 3\ncpu2 1 2 3\ncpu3 1 2 3\nintr 5\nbtime 1700000000\n',
    '/proc/meminfo': 'MemTotal:        8388608 kB\nMemFree:         100 kB\n',
    '/proc/uptime': '1000.00 3000.00\n',
  });
  link('/proc/self', String(agentPid));
  run({ pid: agentPid, startTicks: 90_000 });
  listen([]);
  return {
    procRoot: at('/proc'),
    write,
    link,
    remove: (path) => rmSync(at(path), { recursive: true }),
    run,
    end,
    listen,
    delete: () => rmSync(base, { recursive: true }),
  };
}

// A command as nasty as the kernel allows: blanks and parentheses are not escaped.
const nastyCommand = 'a) b (c';

function statLine(process: FakeProcess): string {
  const { pid, startTicks, state = 'S', userTicks = 0, systemTicks = 0, command = nastyCommand } = process;
  const before = `${pid} (${command}) ${state} 1 1 1 0 -1 4194304 10 0 0 0`;
  return `${before} ${userTicks} ${systemTicks} 700 700 20 0 11 0 ${startTicks} 1000000 500 18446744073709551615\n`;
}
