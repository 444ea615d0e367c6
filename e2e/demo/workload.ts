/** Producers and subscribers of the demo: client processes that recreate themselves on errors, and their ledgers. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LedgerLine, type LedgerSummary, summarize } from '../../src/sim/client/ledger.ts';
import { formatTopics, type TopicSpec } from '../../src/sim/topics.ts';
import { type ManagedProcess, spawnTied } from '../process/tied.ts';
import { until } from '../process/until.ts';
import { REPOSITORY } from './manifests.ts';

export interface Workload {
  /** Stops producing, waits until all that was acknowledged has arrived or nothing comes any more, and counts. */
  finish(): Promise<LedgerSummary>;
  stop(): Promise<void>;
}

export interface WorkloadOptions {
  readonly folder: string;
  readonly serviceUrls: readonly string[];
  readonly topics: readonly TopicSpec[];
  readonly processes: number;
  readonly signal: AbortSignal;
}

/** Resolves when every topic has its producer and its subscriptions. */
export async function startWorkload({
  folder,
  serviceUrls,
  topics,
  processes,
  signal,
}: WorkloadOptions): Promise<Workload> {
  mkdirSync(folder, { recursive: true });
  const clients: ManagedProcess[] = [];
  for (let index = 0; index < processes; index++) {
    const own = topics.filter((_, at) => at % processes === index);
    const file = join(folder, `client-${index}.topics`);
    writeFileSync(file, formatTopics(own));
    const flags = [
      '--mode=resilient',
      `--service-urls=${serviceUrls.join(',')}`,
      `--topics=${file}`,
      `--ledger=${join(folder, `client-${index}.ledger`)}`,
    ];
    const program = join(REPOSITORY, 'src/sim/client/main.ts');
    clients.push(spawnTied(process.execPath, [program, ...flags], { logFile: join(folder, `client-${index}.log`) }));
  }
  await until(
    () => {
      for (const client of clients)
        if (client.exit() !== undefined) throw new Error(`a client ended: ${client.logTail()}`);
      return countLines(folder, 'ready') === processes;
    },
    { what: 'the clients to have their producers and subscriptions', intervalMs: 200, signal },
  );
  return {
    async finish() {
      for (const client of clients) client.kill('SIGUSR2');
      await Promise.all(clients.map(({ exited }) => exited));
      return summarize(ledgerLines(folder));
    },
    async stop() {
      await Promise.all(clients.map((client) => client.stop(0)));
    },
  };
}

function* ledgerLines(folder: string): Generator<string> {
  for (const name of readdirSync(folder)) {
    if (name.endsWith('.ledger')) yield* readFileSync(join(folder, name), 'utf8').split('\n');
  }
}

function countLines(folder: string, kind: LedgerLine['kind']): number {
  let count = 0;
  for (const line of ledgerLines(folder)) if (line.includes(`"kind":"${kind}"`)) count += 1;
  return count;
}
