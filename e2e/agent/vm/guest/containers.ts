/** Pods and containers as a kubelet and a container runtime make them on cgroup v2 with the systemd driver. */
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';

const CGROUPS = '/sys/fs/cgroup';
const QOS = `${CGROUPS}/kubepods.slice/kubepods-burstable.slice`;

export interface Pod {
  readonly uid: string;
  /** Of its network namespace. */
  readonly ip: string;
  /** Of the machine, on the other end of the Pod's only link, whose device is `link`. */
  readonly hostIp: string;
  readonly link: string;
  readonly cgroup: string;
  /** Of the process that holds the Pod's namespaces. */
  readonly pausePid: number;
}

export interface ContainerOptions {
  readonly pod: Pod;
  /** A restarted container has another name here, as it has another id. */
  readonly name: string;
  /** `pod`: shareProcessNamespace. */
  readonly processNamespace: 'pod' | 'own';
  readonly uid?: number;
  /** As in cpu.max and memory.max. */
  readonly limits?: { readonly 'cpu.max'?: string; readonly 'memory.max'?: string };
  /** Mounts the machine's cgroup file system at /host/cgroup, read-only. */
  readonly hostCgroups?: boolean;
  /** The pid of its first process in the Pod's pid namespace; default: the next that is free. */
  readonly pid?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly command: readonly string[];
}

export interface Container {
  readonly cgroup: string;
  readonly id: string;
  readonly child: ChildProcessByStdio<Writable, Readable, null>;
  /** Kills all its processes; resolves when they are gone. */
  readonly kill: () => Promise<void>;
}

const BROKER_UID = 10_001;

/** Makes a Pod with a network link of its own; `number` is its place in the machine, from 1. */
export async function startPod(number: number): Promise<Pod> {
  const uid = `00000000-0000-4000-8000-00000000000${number}`;
  const cgroup = `${QOS}/kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`;
  makeCgroup(`${cgroup}/${scopeOf(uid, 'pause')}`);
  const pause = spawn(
    'unshare',
    // read is the shell's own, so it is the shell that /proc/self names, by its pid outside: this mount of /proc is the machine's.
    [
      '--pid',
      '--net',
      '--ipc',
      '--fork',
      '--kill-child',
      'sh',
      '-c',
      'read pid rest </proc/self/stat; echo $pid; exec sleep 1000000',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [line]: Buffer[] = await once(pause.stdout, 'data');
  const pausePid = Number(line);
  writeFileSync(`${cgroup}/${scopeOf(uid, 'pause')}/cgroup.procs`, `${pausePid}`);

  const pod = { uid, ip: `10.0.${number}.2`, hostIp: `10.0.${number}.1`, link: `pod${number}`, cgroup, pausePid };
  const inside = ['nsenter', '--target', `${pausePid}`, '--net', 'ip'];
  for (const [command = '', ...args] of [
    ['ip', 'link', 'add', 'name', pod.link, 'type', 'veth', 'peer', 'name', `in${number}`],
    // busybox leaves the other end with the kernel's name.
    ['ip', 'link', 'set', 'veth0', 'netns', `${pausePid}`],
    ['ip', 'address', 'add', `${pod.hostIp}/24`, 'dev', pod.link],
    ['ip', 'link', 'set', pod.link, 'up'],
    [...inside, 'address', 'add', `${pod.ip}/24`, 'dev', 'veth0'],
    [...inside, 'link', 'set', 'veth0', 'up'],
    [...inside, 'link', 'set', 'lo', 'up'],
  ]) {
    execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  return pod;
}

export function startContainer(options: ContainerOptions): Container {
  const {
    pod,
    name,
    processNamespace,
    uid = BROKER_UID,
    limits = {},
    hostCgroups = false,
    pid,
    env = {},
    command,
  } = options;
  const id = idOf(pod.uid, name);
  const cgroup = `${pod.cgroup}/${scopeOf(pod.uid, name)}`;
  makeCgroup(cgroup);
  for (const [file, value] of Object.entries(limits)) writeFileSync(`${cgroup}/${file}`, value);
  const shared = processNamespace === 'pod' ? ['--pid'] : [];
  const own = processNamespace === 'own' ? ['unshare', '--pid', '--fork', '--kill-child'] : [];
  const child = spawn(
    'nsenter',
    [
      ...['--target', `${pod.pausePid}`, '--net', '--ipc', ...shared, ...own],
      ...['/app/container.sh', `/containers/${id}`, cgroup, `${uid}`, hostCgroups ? CGROUPS : '', ...command],
    ],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: '/bin', ...(pid === undefined ? {} : { WANTED_PID: `${pid}` }), ...env },
    },
  );
  return {
    cgroup,
    id,
    child,
    kill: async () => {
      writeFileSync(`${cgroup}/cgroup.kill`, '1');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}

/** The pids in it, as the machine numbers them. */
export function processesOf({ cgroup }: { readonly cgroup: string }): readonly number[] {
  return readFileSync(`${cgroup}/cgroup.procs`, 'utf8').trim().split('\n').map(Number);
}

/** The value of a file like cpu.stat. */
export function readKeyed(path: string, key: string): number {
  const value = new RegExp(`^${key} (\\d+)$`, 'm').exec(readFileSync(path, 'utf8'))?.[1];
  if (value === undefined) throw new Error(`${path} has no ${key}`);
  return Number(value);
}

export function readNumber(path: string): number {
  return Number(readFileSync(path, 'utf8'));
}

/** For how long, since the cgroup was made, some or all of its processes waited for what the file is about. */
export function readPressureSeconds(path: string, who: 'some' | 'full'): number {
  const total = new RegExp(`^${who} .*total=(\\d+)$`, 'm').exec(readFileSync(path, 'utf8'))?.[1];
  if (total === undefined) throw new Error(`${path} has no ${who}`);
  return Number(total) / 1e6;
}

function makeCgroup(path: string): void {
  mkdirSync(path, { recursive: true });
  const above = path
    .slice(CGROUPS.length + 1)
    .split('/')
    .slice(0, -1);
  for (let depth = 0; depth <= above.length; depth++) {
    writeFileSync([CGROUPS, ...above.slice(0, depth), 'cgroup.subtree_control'].join('/'), '+cpu +memory +io +pids');
  }
}

function scopeOf(podUid: string, name: string): string {
  return `cri-containerd-${idOf(podUid, name)}.scope`;
}

function idOf(podUid: string, name: string): string {
  return createHash('sha256').update(`${podUid} ${name}`).digest('hex');
}
