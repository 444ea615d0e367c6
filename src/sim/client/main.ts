/**
 * A client process: producers and consumers of many topics, and the ledger of what they saw. SIGUSR2, or the file named by
 * `--control` coming into being, tells it to stop producing; it then consumes until every acknowledged message has been
 * received by every subscription, or nothing has come for `--quiet-seconds`, writes the final line and ends with 0.
 * (SIGUSR1 belongs to Node's debugger.)
 */
import { setMaxListeners } from 'node:events';
import { existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { parseTopics, type TopicSpec } from '../topics.ts';
import { createConnectionPool } from './connection.ts';
import type { LedgerLine } from './ledger.ts';
import { runPlain } from './plain.ts';
import { createProgress, type Progress } from './progress.ts';
import { runResilient } from './resilient.ts';
import type { TopicClient } from './session.ts';

const { values: flags } = parseArgs({
  options: {
    mode: { type: 'string', default: 'resilient' },
    'service-urls': { type: 'string' },
    topics: { type: 'string' },
    ledger: { type: 'string' },
    control: { type: 'string' },
    'quiet-seconds': { type: 'string', default: '5' },
    'silence-seconds': { type: 'string', default: '3' },
    'log-level': { type: 'string', default: 'info' },
  },
});

const WATCH_INTERVAL_MS = 200;
const MODES = { resilient: runResilient, plain: runPlain };

const log = pino({ level: flags['log-level'], base: { client: process.pid } });
const run = modeOf(flags.mode);
const topics = parseTopics(readFileSync(required('topics'), 'utf8'));
const serviceUrls = required('service-urls').split(',');
const ledger = openSync(required('ledger'), 'a');
const tag = `${process.pid.toString(36)}${Date.now().toString(36)}`;
const pool = createConnectionPool();
const draining = new AbortController();
const ending = new AbortController();
setMaxListeners(0, draining.signal, ending.signal);
let unready = topics.length;

process.on('SIGUSR2', () => draining.abort());
const clients = topics.map(createClient);
watchForTheEnd(clients.map(({ progress }) => progress));
await Promise.all(clients.map(run));

/** Straight to the file: neither a kill of this process nor of a broker takes a written line away. */
function write(line: LedgerLine): void {
  writeSync(ledger, `${JSON.stringify(line)}\n`);
}

function createClient(spec: TopicSpec): TopicClient {
  return {
    spec,
    pool,
    serviceUrls,
    write,
    progress: createProgress(spec.delivery === 'Reliable' ? spec.subscriptions : [], Date.now()),
    tag,
    draining: draining.signal,
    ending: ending.signal,
    now: Date.now,
    silenceMs: number('silence-seconds') * 1000,
    onReady() {
      unready -= 1;
      if (unready > 0) return;
      write({ kind: 'ready', at: Date.now() });
      log.info({ topics: topics.length, mode: flags.mode }, 'ready');
    },
  };
}

function watchForTheEnd(progress: readonly Progress[]): void {
  const quietMs = number('quiet-seconds') * 1000;
  let drainingSince = Number.POSITIVE_INFINITY;
  const timer = setInterval(() => {
    if (!draining.signal.aborted && flags.control !== undefined && existsSync(flags.control)) draining.abort();
    if (!draining.signal.aborted) return;
    drainingSince = Math.min(drainingSince, Date.now());
    const complete = progress.every((one) => one.complete());
    const active = Math.max(drainingSince, ...progress.map((one) => one.lastActivity()));
    // A send that is on its way when producing stops may still be answered: wait a moment even when all is complete.
    if (Date.now() - drainingSince < WATCH_INTERVAL_MS * 2 || (!complete && Date.now() - active < quietMs)) return;
    clearInterval(timer);
    ending.abort();
    write({ kind: 'final', complete, at: Date.now() });
    log.info({ complete }, 'final');
    process.exit(0);
  }, WATCH_INTERVAL_MS);
}

function required(name: 'service-urls' | 'topics' | 'ledger'): string {
  const value = flags[name];
  if (value === undefined) throw new Error(`--${name} is missing`);
  return value;
}

function number(name: 'quiet-seconds' | 'silence-seconds'): number {
  const value = Number(flags[name]);
  if (!Number.isFinite(value) || value <= 0) throw new Error(`--${name} ${flags[name]} is not a number above 0`);
  return value;
}

function modeOf(name: string): (client: TopicClient) => Promise<void> {
  if (name === 'resilient' || name === 'plain') return MODES[name];
  throw new Error(`--mode ${name} is neither resilient nor plain`);
}
