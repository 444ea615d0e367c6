/**
 * What the agent costs, beside a bare Node and Prometheus' node_exporter in the same run, all asked as often as the operator asks.
 * `npm run bench:agent -- [--seconds 90] [--json]`
 */
import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildSync } from 'esbuild';
import { parse } from 'yaml';
import { buildPrograms } from '../../build.ts';
import { fetchDebianPackages } from '../../e2e/agent/debian.ts';
import { claimBlock } from '../../e2e/controlplane/block.ts';
import { makeRunFolder, removeFolder } from '../../e2e/controlplane/run-folder.ts';
import { createCgroups } from '../../e2e/kubelet/cgroups.ts';
import { type ManagedProcess, spawnTied } from '../../e2e/process/tied.ts';
import { until } from '../../e2e/process/until.ts';
import { type Bar, bar, round } from '../bars.ts';
import { type ProcessUsage, readProcessUsage } from './process-usage.ts';

/** One of the processes that are compared. */
interface Subject {
  readonly name: string;
  readonly process: ManagedProcess;
  readonly url: string;
}

interface Cost {
  /** Median over the run. */
  readonly residentMiB: number;
  readonly mostResidentMiB: number;
  readonly privateMiB: number;
  /** Of one core. */
  readonly cpuPercent: number;
  /** Of the last answer. */
  readonly answerBytes: number;
}

const INTERVAL_SECONDS = 10;
/** Start-up and the first compilations are not what an agent costs by the month. */
const WARM_UP_SECONDS = 3 * INTERVAL_SECONDS;
const MEMORY_LIMIT = 1.2;
const CPU_LIMIT_PERCENT = 0.3;
const MIB = 1024 * 1024;
const CONNECTIONS = new Agent({ keepAlive: true });

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { seconds: { type: 'string', default: '90' }, json: { type: 'boolean', default: false } },
  });
  const seconds = Number(values.seconds);
  if (!(seconds >= INTERVAL_SECONDS)) throw new Error(`--seconds must be a number from ${INTERVAL_SECONDS}`);

  const log = (line: string) => process.stderr.write(`${line}\n`);
  const exporter = await fetchDebianPackages({ name: 'node-exporter', packages: ['prometheus-node-exporter'], log });
  const folder = makeRunFolder();
  const cgroups = await createCgroups();
  const block = await claimBlock();
  const started: ManagedProcess[] = [];
  try {
    await buildPrograms(join(folder, 'programs'));
    log(`Brokers: ${cgroups.description}. Measuring for ${WARM_UP_SECONDS} s of warm-up and ${seconds} s.`);
    const start: Start = (name, command, args, cgroupProcs = []) => {
      const logFile = join(folder, `${name}.log`);
      const env = { ...process.env, POD_NAME: name, POD_NAMESPACE: 'bench', POD_UID: name };
      const child = spawnTied(command, args, { logFile, env, cgroupProcs });
      started.push(child);
      return child;
    };
    const brokers = [1_000, 20_000].map((topics, index) => {
      const address = `${block.block}.${index + 1}.1`;
      const { procs } = cgroups.create(`broker-${topics}`, {});
      start(
        `broker-${topics}`,
        process.execPath,
        [join(import.meta.dirname, 'broker.ts'), address, `${topics}`],
        procs,
      );
      return { topics, address };
    });
    const agent = join(folder, 'programs/agent/main.js');
    const bare = (extension: string): string => {
      const outfile = join(folder, `bare.${extension}`);
      const format = extension === 'mjs' ? 'esm' : 'cjs';
      buildSync({
        entryPoints: [join(import.meta.dirname, 'bare.ts')],
        outfile,
        bundle: true,
        platform: 'node',
        format,
      });
      return outfile;
    };
    const subjects = [
      ...brokers.map(({ topics, address }) => ({
        name: `agent, ${topics} topics`,
        process: start(`agent-${topics}`, process.execPath, [...nodeFlags(), agent, ...agentFlags(address)]),
        url: `http://${address}:9700/report?nonce=bench`,
      })),
      // Without types, as the agent: to strip them costs a Node more memory than all that it serves. And as a module, as the agent: the
      // loader of modules costs as well.
      ...[
        { name: 'bare Node', program: bare('mjs') },
        { name: 'bare Node again', program: bare('mjs') },
        { name: 'bare Node, CommonJS', program: bare('cjs') },
      ].map(({ name, program }, index) => {
        const address = `${block.block}.${index + 3}.1`;
        return {
          name,
          process: start(name, process.execPath, [program, address]),
          url: `http://${address}:8080/`,
        };
      }),
      startExporter(start, join(exporter, 'usr/bin/prometheus-node-exporter'), `${block.block}.6.1:9100`),
    ];
    const costs = await measure(subjects, seconds);
    const result = judge(costs);
    process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : toTable(result));
  } finally {
    await Promise.all(started.map((child) => child.stop()));
    await cgroups.removeAll();
    await block.release();
    removeFolder(folder);
  }
}

type Start = (
  name: string,
  command: string,
  args: readonly string[],
  cgroupProcs?: readonly string[],
) => ManagedProcess;

/** Those that the agent ships with: what is in its command between `node` and the program. */
function nodeFlags(): readonly string[] {
  const sidecar: Sidecar = parse(readFileSync(join(import.meta.dirname, '../../manifests/agent/sidecar.yaml'), 'utf8'));
  return sidecar.spec.template.spec.initContainers.flatMap(({ command }) => command.slice(1, -1));
}

interface Sidecar {
  readonly spec: {
    readonly template: {
      readonly spec: { readonly initContainers: readonly { readonly command: readonly string[] }[] };
    };
  };
}

function agentFlags(address: string): readonly string[] {
  return [
    ...['--listen', `${address}:9700`, '--broker-address', `${address}:6650`],
    ...['--broker-metrics-url', `http://${address}:9040/metrics`, '--interval-seconds', `${INTERVAL_SECONDS}`],
  ];
}

function startExporter(start: Start, program: string, listen: string): Subject {
  return {
    name: 'node_exporter',
    process: start('node-exporter', program, [`--web.listen-address=${listen}`]),
    url: `http://${listen}/metrics`,
  };
}

async function measure(subjects: readonly Subject[], seconds: number): Promise<Costs> {
  for (const { name, url, process: child } of subjects) {
    await until(async () => (await fetch(url)).ok, {
      what: `${name} to answer\n${child.logTail()}`,
    });
  }
  const samples = new Map(subjects.map(({ name }) => [name, [] as ProcessUsage[]]));
  const answerBytes = new Map<string, number>();
  const started = performance.now();
  const end = started + (WARM_UP_SECONDS + seconds) * 1000;
  for (let due = started; due <= end; due += INTERVAL_SECONDS * 1000) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    for (const { name, url, process: child } of subjects) {
      answerBytes.set(name, await ask(url));
      if (due >= started + WARM_UP_SECONDS * 1000) samples.get(name)?.push(readProcessUsage(child.pid));
    }
  }
  return new Map(
    subjects.map(({ name }) => {
      const usages = samples.get(name) ?? [];
      const residents = usages.map(({ residentBytes }) => residentBytes / MIB);
      const cpuSeconds = (usages.at(-1)?.cpuSeconds ?? Number.NaN) - (usages[0]?.cpuSeconds ?? Number.NaN);
      const cost: Cost = {
        residentMiB: round(median(residents), 1),
        mostResidentMiB: round(Math.max(...residents), 1),
        privateMiB: round(median(usages.map(({ privateBytes }) => privateBytes / MIB)), 1),
        cpuPercent: round((cpuSeconds / ((usages.length - 1) * INTERVAL_SECONDS)) * 100, 3),
        answerBytes: answerBytes.get(name) ?? Number.NaN,
      };
      return [name, cost];
    }),
  );
}

/** One pull over a connection that stays open, as the operator makes it. @returns the bytes of the body as they were sent. */
function ask(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get(url, { agent: CONNECTIONS, headers: { 'accept-encoding': 'gzip' } }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(bytes);
        else reject(new Error(`${url} answers ${response.statusCode}`));
      });
    }).on('error', reject);
  });
}

type Costs = ReadonlyMap<string, Cost>;

function judge(costs: Costs): { readonly bars: readonly Bar[]; readonly figures: Readonly<Record<string, Cost>> } {
  const of = (name: string): Cost => {
    const cost = costs.get(name);
    if (cost === undefined) throw new Error(`${name} was not measured`);
    return cost;
  };
  // The smaller one: what differs between two of the same is the noise of this machine, and must not help.
  const bare = Math.min(of('bare Node').residentMiB, of('bare Node again').residentMiB);
  const memory = (topics: number) =>
    bar(
      `memory, ${topics} topics`,
      round(of(`agent, ${topics} topics`).residentMiB / bare, 3),
      MEMORY_LIMIT,
      '× bare Node',
    );
  return {
    bars: [
      memory(1_000),
      memory(20_000),
      bar('CPU, 1000 topics', of('agent, 1000 topics').cpuPercent, CPU_LIMIT_PERCENT, '% of a core'),
    ],
    figures: Object.fromEntries(costs),
  };
}

function toTable({ bars, figures }: ReturnType<typeof judge>): string {
  const lines = bars.map(
    ({ name, value, limit, unit, holds }) =>
      `${holds ? 'holds ' : 'MISSED'}  ${name.padEnd(22)} ${value} ${unit} (at most ${limit})`,
  );
  const columns = ['RSS MiB', 'most', 'private', 'CPU %', 'answer bytes'];
  const row = (name: string, cells: readonly unknown[]) =>
    name.padEnd(24) + cells.map((it) => String(it).padStart(13)).join('');
  lines.push('', row('', columns));
  for (const [name, cost] of Object.entries(figures)) {
    lines.push(row(name, [cost.residentMiB, cost.mostResidentMiB, cost.privateMiB, cost.cpuPercent, cost.answerBytes]));
  }
  lines.push('', 'The two bare Nodes are the same program: by as much as they differ, this machine was noisy.');
  return `${lines.join('\n')}\n`;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

await main();
