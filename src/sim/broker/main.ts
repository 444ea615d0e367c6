/**
 * A simulated Danube 0.7.3 broker: the same keys in the same order, and the same faults (contract 2, 3, 5, 6, 12). It has
 * no SIGTERM handler, like the real one: to be told to stop is a crash.
 */
import { appendFileSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { brokerStateKey, clusterKey, loadReportKey, namespacePolicyKey } from '../../danube/keys.ts';
import { encodeBrokerState, encodeLoadReport, NULL_VALUE } from '../../danube/values.ts';
import { connectEtcd } from '../../etcd/etcd3.ts';
import { followAssignments } from './assignments.ts';
import { type MetadataCache, startCache } from './cache.ts';
import { createDataPlane } from './dataplane.ts';
import { createDiscovery } from './discovery.ts';
import { listen, parseAddress } from './listen.ts';
import { createTopicCost } from './load.ts';
import { joinElection, register } from './membership.ts';
import { createMetrics, createMetricsServer } from './metrics.ts';
import { buildReport, type Totals } from './report.ts';
import { createService, randomId } from './service.ts';
import { createStorage } from './storage.ts';
import { put } from './write.ts';

const { values: flags } = parseArgs({
  options: {
    etcd: { type: 'string', default: 'http://127.0.0.1:2379' },
    address: { type: 'string', default: '127.0.0.1:6650' },
    'admin-address': { type: 'string', default: '127.0.0.1:50051' },
    'prometheus-address': { type: 'string', default: '127.0.0.1:9040' },
    'advertised-url': { type: 'string' },
    'data-dir': { type: 'string' },
    'object-store': { type: 'string' },
    'storage-root': { type: 'string', default: '/danube-data' },
    'cluster-name': { type: 'string', default: 'MY_CLUSTER' },
    'report-interval-seconds': { type: 'string', default: '30' },
    'upload-interval-seconds': { type: 'string', default: '10' },
    'cursor-interval-seconds': { type: 'string', default: '10' },
    /** Megabytes hashed for each megabyte received. */
    'cpu-per-megabyte': { type: 'string', default: '200' },
    /** Seconds of its traffic that a topic keeps in memory. */
    'memory-seconds': { type: 'string', default: '60' },
    'log-level': { type: 'string', default: 'info' },
  },
});

const RESIZE_INTERVAL_MS = 5_000;
const startedAt = Date.now();
const brokerId = randomId();
const log = pino({ base: { broker: brokerId }, level: flags['log-level'] });
const signal = new AbortController().signal;

const dataDir = required('data-dir');
const objectStore = required('object-store');
const address = parseAddress(flags.address);
const adminAddress = parseAddress(flags['admin-address']);
const prometheusAddress = parseAddress(flags['prometheus-address']);
const advertisedUrl = flags['advertised-url'] ?? `http://${flags.address}`;
mkdirSync(dataDir, { recursive: true });

const etcd = connectEtcd({ endpoints: flags.etcd.split(',') });
const metrics = createMetrics(brokerId);
const storage = createStorage({
  etcd,
  metrics,
  brokerId,
  dataDir,
  objectStore,
  root: flags['storage-root'],
  now: Date.now,
});
const cost = createTopicCost({
  hashedPerByte: number('cpu-per-megabyte'),
  bufferedSeconds: number('memory-seconds'),
});
const service = createService({
  etcd,
  log,
  metrics,
  storage,
  cost,
  cursorIntervalMs: number('cursor-interval-seconds') * 1000,
  now: Date.now,
});

// The order of contract 6, and of the recorded keys.
const cache = await startCache({ etcd, log, signal });
await put(etcd, clusterKey(flags['cluster-name']), NULL_VALUE);
const membership = { etcd, log, metrics, brokerId, signal };
await register(membership, {
  adminAddr: `http://${flags['admin-address']}`,
  brokerUrl: advertisedUrl,
  connectUrl: advertisedUrl,
  promExporter: flags['prometheus-address'],
  format: '0.7.3',
});
await put(etcd, brokerStateKey(brokerId), encodeBrokerState({ mode: 'active', reason: 'boot' }));
await createNamespaces(cache);
await listen(createMetricsServer(metrics, service.collect), prometheusAddress);
await listen(createDataPlane({ service, discovery: createDiscovery({ etcd, cache, service }), metrics, log }), address);
await joinElection(membership);
const reportIntervalSeconds = number('report-interval-seconds');
await startReports();
every(number('upload-interval-seconds') * 1000, 'upload', () => service.uploadAll());
every(RESIZE_INTERVAL_MS, 'buffers', async () => cost.resize(RESIZE_INTERVAL_MS / 1000));
// Last of all: what was assigned before this line is missed for ever.
await followAssignments({ etcd, cache, service, log, brokerId, signal });
const acceptsAt = Date.now();
// Open means "takes assignments": the readiness probe asks only whether this port can be connected to.
await listen(
  createServer((socket) => socket.end()),
  adminAddress,
);

const incarnation = { id: brokerId, startedAt, acceptsAt };
appendFileSync(path.join(dataDir, 'incarnations.ndjson'), `${JSON.stringify(incarnation)}\n`);
log.info({ ...incarnation, url: advertisedUrl }, 'accepting');

async function createNamespaces(known: MetadataCache): Promise<void> {
  const policy = JSON.stringify({
    max_consumers_per_subscription: 0,
    max_consumers_per_topic: 0,
    max_message_size: 10_485_760,
    max_producers_per_topic: 0,
    max_publish_rate: 0,
    max_subscription_dispatch_rate: 0,
    max_subscriptions_per_topic: 0,
  });
  for (const namespace of ['default', 'system']) {
    const key = namespacePolicyKey(namespace);
    if (known.get(key) === undefined) await put(etcd, key, policy);
  }
  const events = '/topics/system/_events_topic';
  if (known.get(events) === undefined) await put(etcd, events, '0');
}

/** Resolves when the first report is posted; its rates are 0. */
async function startReports(): Promise<void> {
  let before: Totals = new Map();
  let reportedAt: number | undefined;
  async function report(): Promise<void> {
    const now = Date.now();
    const next = buildReport({
      broker: brokerId,
      now,
      topics: service.topics(),
      before,
      elapsedSeconds: reportedAt === undefined ? 0 : (now - reportedAt) / 1000,
      networkBytes: service.networkBytes(),
      residentBytes: process.memoryUsage.rss(),
    });
    before = next.totals;
    reportedAt = now;
    await put(etcd, loadReportKey(brokerId), encodeLoadReport(next.report));
  }
  await report();
  every(reportIntervalSeconds * 1000, 'report', report);
}

/** A round that fails is logged, and the next one is the retry. Rounds never overlap. */
function every(intervalMs: number, what: string, run: () => Promise<void>): void {
  let running = false;
  setInterval(() => {
    if (running) return;
    running = true;
    run()
      .catch((error: unknown) => log.warn({ what, err: error }, 'round failed'))
      .finally(() => {
        running = false;
      });
  }, intervalMs);
}

function required(name: 'data-dir' | 'object-store'): string {
  const value = flags[name];
  if (value === undefined) throw new Error(`--${name} is missing; give a folder that survives the process`);
  return value;
}

function number(
  name:
    | 'report-interval-seconds'
    | 'upload-interval-seconds'
    | 'cursor-interval-seconds'
    | 'cpu-per-megabyte'
    | 'memory-seconds',
): number {
  const value = Number(flags[name]);
  if (!Number.isFinite(value) || value < 0) throw new Error(`--${name} ${flags[name]} is not a number of 0 or more`);
  return value;
}
