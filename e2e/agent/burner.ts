import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { createSampler, type SamplerOptions } from '../../src/agent/sampler.ts';
import { type AgentReport, parseReport } from '../../src/api/agent-report.ts';
import { type Cgroups, createCgroups, type Limits } from '../kubelet/cgroups.ts';

/** A process that stands for a broker: it listens, holds memory, and burns CPU as told. */
export interface Burner {
  readonly pid: number;
  readonly port: number;
  /** Files of its cgroups, by controller (`unified` for v2); empty when it has none of its own. */
  readonly folders: ReadonlyMap<string, string>;
  /**
   * Burns so many CPU seconds.
   *
   * @returns the CPU seconds that it has used by then, by its own count: getrusage(2).
   */
  readonly burn: (seconds: number) => Promise<number>;
  readonly end: () => Promise<void>;
}

export const ballastBytes = 64 * 1_048_576;

const program = `
  const ballast = Buffer.alloc(${ballastBytes}, 1);
  const usedSeconds = () => {
    const { userCPUTime, systemCPUTime } = process.resourceUsage();
    return (userCPUTime + systemCPUTime) / 1e6;
  };
  const say = (fact) => console.log(JSON.stringify(fact));
  const server = require('node:net').createServer().listen(0, '127.0.0.1', () => {
    say({ port: server.address().port, ballast: ballast.length });
  });
  process.stdin.on('data', (seconds) => {
    const until = usedSeconds() + Number(seconds);
    while (usedSeconds() < until);
    say({ usedSeconds: usedSeconds() });
  });
  process.stdin.on('end', () => process.exit());`;

/** It joins before it becomes Node, so that all its memory is charged where it belongs. */
const join = 'program=$1; shift; for procs; do echo $$ > "$procs" || exit 1; done; exec "$NODE" -e "$program"';

/** Cgroups of v1 below the test's own; without them there is nothing to test here, so that is an error. */
export async function requireCgroupsV1(): Promise<Cgroups> {
  const cgroups = await createCgroups();
  for (const controller of ['cpu', 'cpuacct', 'memory']) {
    if (!new RegExp(`v1 \\([^)]*\\b${controller}\\b`).test(cgroups.description)) {
      await cgroups.removeAll();
      throw new Error(
        `these tests need cgroups of v1 for cpu, cpuacct and memory that they may make children in (root, and /sys/fs/cgroup mounted writable): ${cgroups.description}`,
      );
    }
  }
  return cgroups;
}

/** Starts a burner in cgroups of its own, or in the test's where `container` is null. */
export async function startBurner(
  container: { readonly cgroups: Cgroups; readonly path: string; readonly limits: Limits } | null,
): Promise<Burner> {
  const cgroup = container?.cgroups.create(container.path, container.limits);
  const procs = cgroup?.procs ?? [];
  const child = spawn('sh', ['-c', join, 'sh', program, ...procs], {
    env: { NODE: process.execPath },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<Record<'port' | 'usedSeconds', number>> => {
    const line = await lines.next();
    if (line.done) throw new Error('the burner ended; its error is on stderr');
    return JSON.parse(line.value);
  };
  const { port } = await next();
  return {
    pid: Number(child.pid),
    port,
    folders: new Map(procs.map((path) => [path.split('/')[4] ?? '', path.replace(/\/cgroup\.procs$/, '')])),
    burn: async (seconds) => {
      child.stdin.write(String(seconds));
      return (await next()).usedSeconds;
    },
    end: async () => {
      await kill(child);
      await cgroup?.remove();
    },
  };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

export const pod = { name: 'broker-0', namespace: 'messaging', uid: '5b1f3c1e-0000-4000-8000-000000000000' };

/** Takes a sample of a burner each time it is called; a report that the operator would refuse is an error. */
export function createBurnerSampler(port: number, changes: Partial<SamplerOptions> = {}): () => AgentReport {
  const sample = createSampler({
    procRoot: '/proc',
    broker: { address: { ip: '127.0.0.1', port } },
    pod,
    podLimits: { cores: null, memoryBytes: null },
    intervalSeconds: 1,
    clock: { wallMilliseconds: Date.now, monotonicMilliseconds: () => performance.now() },
    ...changes,
  });
  return () => {
    const report = parseReport(JSON.stringify(sample()));
    if ('problem' in report) throw new Error(`the operator would refuse the report: ${report.problem}`);
    return report;
  };
}
