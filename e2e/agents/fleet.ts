/** A thousand agents, some of which are ill, and the operator's puller: each in processes of their own. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { claimBlock } from '../controlplane/block.ts';
import { spawnTied } from '../process/tied.ts';
import { until } from '../process/until.ts';

export type Kind = 'good' | 'hung' | 'slow' | 'lying' | 'bomb';

export interface FleetOptions {
  readonly agents: number;
  readonly intervalSeconds: number;
  readonly intervals: number;
}

/** By the number of the agent. */
export interface PullResult {
  /** Of one core, of the process that pulls. */
  readonly cpuPercent: number;
  readonly residentMiB: number;
  /** When each report of the agent came, in milliseconds since the start. */
  readonly reports: readonly (readonly number[])[];
  readonly problems: readonly number[];
}

const PORT = 9641;
const PROCESSES = 4;
const ILL: readonly Kind[] = ['hung', 'slow', 'lying', 'bomb'];

/** One in twenty is ill in each way. */
export function kindOf(index: number): Kind {
  return ILL[index % 20] ?? 'good';
}

export function addressOf(block: string, index: number): string {
  return `${block}.${2 + Math.floor(index / 250)}.${1 + (index % 250)}`;
}

export function podNameOf(index: number): string {
  return `broker-${String(index).padStart(4, '0')}`;
}

export function podUIDOf(index: number): string {
  return `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
}

/** Milliseconds: half an interval more, for the answers of the last one. */
export function inTime(intervals: number, intervalMs: number): number {
  return intervalMs * (intervals + 0.5);
}

/** @returns what the puller got until every agent had answered or failed that many times, within four times as long as it should take. */
export async function pullFleet({ agents, intervalSeconds, intervals }: FleetOptions): Promise<PullResult> {
  const { block, release } = await claimBlock();
  const folder = mkdtempSync(join(tmpdir(), 'danube-load-manager-agents-'));
  const run = (program: string, name: string, args: readonly string[]) => {
    const file = join(import.meta.dirname, 'fixtures', `${program}.ts`);
    const logFile = join(folder, `${name}.log`);
    const started = spawnTied(process.execPath, [file, `--block=${block}`, `--port=${PORT}`, ...args], { logFile });
    return { ...started, output: () => readFileSync(logFile, 'utf8') };
  };
  const share = Math.ceil(agents / PROCESSES);
  const servers = Array.from({ length: PROCESSES }, (_, index) =>
    run('agents', `agents-${index}`, [`--from=${index * share}`, `--to=${Math.min((index + 1) * share, agents)}`]),
  );
  try {
    await until(() => servers.every(({ output }) => output().includes('all listen')), {
      what: `${agents} agents to listen`,
    });
    const counts = [`--agents=${agents}`, `--interval-seconds=${intervalSeconds}`, `--intervals=${intervals}`];
    const puller = run('puller', 'puller', counts);
    const exit = await puller.exited;
    if (exit.code !== 0) throw new Error(`the puller ended early:\n${puller.logTail()}`);
    return JSON.parse(puller.output()) as PullResult;
  } finally {
    await Promise.all(servers.map((server) => server.stop(0)));
    rmSync(folder, { recursive: true });
    await release();
  }
}

export interface KindResult {
  readonly agents: number;
  /** Pulls that brought no report in their interval: a matter of the machine, too, so for benchmarks. */
  readonly missed: number;
  readonly reports: number;
  readonly problems: number;
  /** How much later than one interval after the one before a report came, at worst. */
  readonly latestMs: number;
}

export function resultOf(
  { reports, problems }: PullResult,
  kind: Kind,
  { intervals, intervalSeconds }: FleetOptions,
): KindResult {
  const members = reports.flatMap((times, index) => (kindOf(index) === kind ? [{ times, index }] : []));
  const latenesses = members.flatMap(({ times }) =>
    times.slice(1).map((time, index) => time - (times[index] ?? time) - 1000 * intervalSeconds),
  );
  const end = inTime(intervals, 1000 * intervalSeconds);
  const missedBy = (times: readonly number[]) => intervals - times.filter((time) => time <= end).length;
  return {
    agents: members.length,
    missed: members.reduce((sum, { times }) => sum + Math.max(0, missedBy(times)), 0),
    reports: members.reduce((sum, { times }) => sum + times.length, 0),
    problems: members.reduce((sum, { index }) => sum + (problems[index] ?? 0), 0),
    latestMs: latenesses.reduce((most, lateness) => Math.max(most, lateness), 0),
  };
}
