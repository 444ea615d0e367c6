import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { AgentReport } from '../api/agent-report.ts';
import { locate, membershipFor } from './broker-cgroup.ts';
import { parseCgroupMemberships, parseCgroupMounts } from './proc-files.ts';
import { createSampler } from './sampler.ts';

/*
 * The agent against this machine's own kernel. Where cgroups can be made (as root, v1 controllers mounted writable) a
 * broker runs in cgroups of its own below the test's; elsewhere the same test holds the agent to saying `proc`.
 */

const mebibyte = 1_048_576;
const ballastBytes = 64 * mebibyte;

/**
 * Stands for a broker: listens, holds 64 MiB, and says how much CPU it has used by its own count; told to burn, it first
 * uses one second more.
 */
const brokerProgram = `
  const ballast = Buffer.alloc(${ballastBytes}, 1);
  const usedSeconds = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6; };
  const server = require('node:net').createServer().listen(0, '127.0.0.1', say);
  function say() {
    console.log(JSON.stringify({ port: server.address().port, usedSeconds: usedSeconds(), ballast: ballast.length }));
  }
  process.stdin.on('data', (command) => {
    const until = usedSeconds() + (String(command) === 'burn' ? 1 : 0);
    while (usedSeconds() < until);
    say();
  });
  process.stdin.on('end', () => process.exit());`;

let cgroups: readonly string[];
let broker: Broker;

beforeEach(async () => {
  cgroups = makeCgroups();
  broker = await startBroker(cgroups);
}, 30_000);
afterEach(async () => {
  broker.child.kill('SIGKILL');
  if (broker.child.exitCode === null && broker.child.signalCode === null) await once(broker.child, 'exit');
  await vi.waitFor(() => {
    for (const directory of cgroups) rmdirSync(directory);
  });
});

it('figures agree with what the process and the kernel say of themselves', { timeout: 60_000 }, async () => {
  const moments: number[] = [];
  const sample = createBrokerSampler(broker.port, moments);
  const idle = await broker.ask('count');
  const first = sample();
  const busy = await broker.ask('burn');
  const second = sample();
  const [start = 0, end = 0] = moments;

  expect(first.cpu.cores).toBeNull();
  // Between its counts and our samples the process does next to nothing, so only the kernel's grain is left: 10 ms for
  // each reading from /proc.
  const usedSeconds = Number(second.cpu.usageSeconds) - Number(first.cpu.usageSeconds);
  expect(busy - idle).toBeGreaterThanOrEqual(1);
  expect(Math.abs(usedSeconds - (busy - idle))).toBeLessThan(0.05);
  expect(second.cpu.cores).toBeCloseTo(usedSeconds / ((end - start) / 1000), 6);
  expectMemoryToAgree(second);
});

function expectMemoryToAgree(report: AgentReport): void {
  const { workingSetBytes, usageBytes, limitBytes } = report.memory;
  expect(workingSetBytes).toBeGreaterThan(ballastBytes);
  if (cgroups.length === 0) {
    expect(report).toMatchObject({ cpu: { source: 'proc' }, reason: expect.stringMatching(/./) });
    expect(usageBytes).toBeNull();
    expect(Math.abs(Number(workingSetBytes) - residentBytes(broker.child.pid))).toBeLessThan(8 * mebibyte);
    return;
  }
  const directory = cgroups.find((it) => it.includes('memory')) ?? '';
  const stat = readFileSync(`${directory}/memory.stat`, 'utf8');
  const value = (key: string): number => Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(stat)?.[1]);
  expect(report).toMatchObject({ reason: null, cpu: { source: 'cgroup-v1', limitCores: 1.5 } });
  // Built from the parts that the kernel counts instead of from their sum: kernel memory comes on top.
  const parts = value('total_rss') + value('total_cache') - value('total_inactive_file');
  expect(Math.abs(Number(workingSetBytes) - parts)).toBeLessThan(16 * mebibyte);
  expect(usageBytes).toBeGreaterThanOrEqual(Number(workingSetBytes));
  expect(limitBytes).toBe(512 * mebibyte);
}

it('a broker in the cgroup of the agent is not measured by it', { timeout: 30_000 }, async () => {
  const beside = await startBroker([]);
  try {
    const report = createBrokerSampler(beside.port, [])();

    expect(report.broker?.pid).toBe(beside.child.pid);
    expect(report).toMatchObject({ cpu: { source: 'proc' }, reason: expect.stringContaining("not the broker's own") });
  } finally {
    beside.child.kill('SIGKILL');
    await once(beside.child, 'exit');
  }
});

interface Broker {
  readonly child: ChildProcess;
  readonly port: number;
  /** How many CPU seconds it has used by its own count, after having burnt one, or at once. */
  readonly ask: (command: 'burn' | 'count') => Promise<number>;
}

async function startBroker(directories: readonly string[]): Promise<Broker> {
  // It joins before it becomes Node, so that all its memory is charged where it belongs.
  const join = 'program=$1; shift; for directory; do echo $$ > "$directory/cgroup.procs" || exit 1; done';
  const child = spawn('sh', ['-c', `${join}; exec "$NODE" -e "$program"`, 'sh', brokerProgram, ...directories], {
    env: { NODE: process.execPath },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<{ port: number; usedSeconds: number }> => {
    const line = await lines.next();
    if (line.done) throw new Error('the broker ended');
    return JSON.parse(line.value);
  };
  const { port } = await next();
  return {
    child,
    port,
    ask: async (command) => {
      child.stdin.write(command);
      return (await next()).usedSeconds;
    },
  };
}

/** A sampler that also notes the moments of its CPU readings. */
function createBrokerSampler(port: number, moments: number[]): () => AgentReport {
  return createSampler({
    procRoot: '/proc',
    brokerAddress: { ip: '127.0.0.1', port },
    pod: { name: 'broker-0', namespace: 'messaging', uid: '5b1f' },
    intervalSeconds: 2,
    clock: {
      wallMilliseconds: Date.now,
      monotonicMilliseconds: () => {
        const now = performance.now();
        moments.push(now);
        return now;
      },
    },
  });
}

function residentBytes(pid: number | undefined): number {
  // The second field of statm: resident pages of 4 KiB, or whatever getconf says.
  const pageBytes = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));
  return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * pageBytes;
}

/**
 * Makes a cgroup in each v1 controller below the test's own, with limits of 1.5 cores and 512 MiB.
 *
 * @returns the directories; none where the machine does not allow it, which is said loudly.
 */
function makeCgroups(): readonly string[] {
  const memberships = parseCgroupMemberships(readFileSync('/proc/self/cgroup', 'utf8'));
  const mounts = parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  const made = new Set<string>();
  try {
    for (const controller of ['cpu', 'cpuacct', 'memory']) {
      const own = membershipFor(controller, memberships);
      const parent = own?.version === 1 ? locate(own, controller, mounts) : null;
      if (parent === null) throw new Error(`there is no v1 controller ${controller}`);
      const directory = `${parent}/agent-test-${process.pid}`;
      mkdirSync(directory, { recursive: true });
      made.add(directory);
      if (controller === 'cpu') writeFileSync(`${directory}/cpu.cfs_quota_us`, '150000');
      if (controller === 'memory') writeFileSync(`${directory}/memory.limit_in_bytes`, String(512 * mebibyte));
    }
    return [...made];
  } catch (error) {
    for (const directory of made) rmdirSync(directory);
    console.warn(`NO CGROUPS CAN BE MADE HERE (${error}): this run tests the fallback to /proc instead`);
    return [];
  }
}
