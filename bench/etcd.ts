/**
 * What the etcd port costs against the bare client, in one run against one etcd, and how long a million topics take to
 * load. `npm run bench:etcd -- [--topics 1000000] [--json]`
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Etcd3 } from 'etcd3';
import { ensureAssets } from '../e2e/controlplane/assets.ts';
import { claimBlock } from '../e2e/controlplane/block.ts';
import { startEtcd } from '../e2e/controlplane/etcd.ts';
import { makeRunFolder, removeFolder } from '../e2e/controlplane/run-folder.ts';
import { commitBatch } from '../src/etcd/batch.ts';
import { connectEtcd } from '../src/etcd/etcd3.ts';
import type { EtcdPort, Operation } from '../src/etcd/port.ts';
import { bar, printResult, round } from './bars.ts';

/** The design's bar: at most this much slower than a bare transaction of the same operations. */
const LIMIT = 1.25;
const ROUNDS = 40;
const CALLS_PER_ROUND = 25;
const BATCH = 100;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { topics: { type: 'string', default: '1000000' }, json: { type: 'boolean', default: false } },
  });
  const topics = Number(values.topics);
  if (!Number.isInteger(topics) || topics < 1) throw new Error('--topics must be a whole number from 1');

  const assets = await ensureAssets({ log: (line) => process.stderr.write(`${line}\n`) });
  const folder = makeRunFolder();
  const block = await claimBlock();
  const server = await startEtcd({ assets, address: block.address, dir: join(folder, 'etcd') });
  const etcd = connectEtcd({ endpoints: [server.endpoint], timeoutMs: 60_000 });
  const bare = new Etcd3({ hosts: server.endpoint });
  try {
    const latency = await compareLatency(etcd, bare);
    const loading = await measureLoading(etcd, bare, topics);
    printResult({ bars: latency.bars, figures: { ...latency.figures, ...loading } }, values.json);
  } finally {
    etcd.close();
    bare.close();
    await server.stop();
    await block.release();
    removeFolder(folder);
  }
}

async function compareLatency(etcd: EtcdPort, bare: Etcd3) {
  const value = 'v'.repeat(100);
  let number = 0;
  const keys = (count: number) => Array.from({ length: count }, () => `/bench/${number++ % 1_000}`);
  const portPuts = (count: number): Operation[] => keys(count).map((put) => ({ put, value }));
  const barePuts = (count: number) => keys(count).map((key) => bare.put(key).value(value));

  const put = await race(
    () => etcd.commit([], portPuts(1)),
    () =>
      bare
        .if('/none', 'Create', '==', 0)
        .then(...barePuts(1))
        .commit(),
  );
  const batch = await race(
    () => commitBatch({ etcd, operations: portPuts(BATCH) }),
    () =>
      bare
        .if('/none', 'Create', '==', 0)
        .then(...barePuts(BATCH))
        .commit(),
  );
  const watch = await raceWatches(etcd, bare);
  const bars = [
    { name: 'a transaction of one put', ...put },
    { name: `a batch of ${BATCH} puts`, ...batch },
    { name: 'a put until the watch brings it', ...watch },
  ].map(({ name, port, bare: theirs }) => bar(name, round(port / theirs, 3), LIMIT, '× the bare client'));
  return {
    bars,
    figures: {
      putMs: round(put.port, 3),
      barePutMs: round(put.bare, 3),
      batchMs: round(batch.port, 3),
      bareBatchMs: round(batch.bare, 3),
      watchMs: round(watch.port, 3),
      bareWatchMs: round(watch.bare, 3),
    },
  };
}

interface Race {
  /** Median ms of a call. */
  readonly port: number;
  readonly bare: number;
}

/** In turns, so that whatever else the machine does meets both. */
async function race(port: () => Promise<unknown>, bare: () => Promise<unknown>): Promise<Race> {
  const times: { port: number[]; bare: number[] } = { port: [], bare: [] };
  for (let round = -2; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? (['port', 'bare'] as const) : (['bare', 'port'] as const);
    for (const who of order) {
      const call = who === 'port' ? port : bare;
      for (let at = 0; at < CALLS_PER_ROUND; at++) {
        const started = performance.now();
        await call();
        // The first rounds warm up.
        if (round >= 0) times[who].push(performance.now() - started);
      }
    }
  }
  return { port: median(times.port), bare: median(times.bare) };
}

/** One writer for both, so that only the way of the event differs. */
async function raceWatches(etcd: EtcdPort, bare: Etcd3): Promise<Race> {
  const waiting = new Map<string, (at: number) => void>();
  const arrived = (who: string, key: string) => waiting.get(`${who} ${key}`)?.(performance.now());
  const from = (await etcd.count('\0')).revision + 1;
  const watcher = await bare.watch().prefix('/watch/').startRevision(String(from)).create();
  watcher.on('put', ({ key }) => arrived('bare', key.toString()));
  const stopping = new AbortController();
  const following = (async () => {
    for await (const message of etcd.watch('/watch/', from, stopping.signal)) {
      if (message.kind === 'events') for (const { entry } of message.events) arrived('port', entry.key);
    }
  })();

  const times: { port: number[]; bare: number[] } = { port: [], bare: [] };
  for (let number = -50; number < ROUNDS * CALLS_PER_ROUND; number++) {
    const key = `/watch/${number}`;
    const arrivals = (['port', 'bare'] as const).map((who) => {
      const { promise, resolve } = Promise.withResolvers<number>();
      waiting.set(`${who} ${key}`, resolve);
      return promise.then((at) => ({ who, at }));
    });
    const started = performance.now();
    await etcd.commit([], [{ put: key, value: 'v' }]);
    for (const { who, at } of await Promise.all(arrivals)) if (number >= 0) times[who].push(at - started);
    waiting.clear();
  }
  stopping.abort();
  await following;
  await watcher.cancel();
  return { port: median(times.port), bare: median(times.bare) };
}

/** Per topic the three keys that the warm picture holds, with values as brokers write them. */
function keysOfTopic(number: number): Operation[] {
  const topic = `/default/topic-${String(number).padStart(7, '0')}`;
  const broker = `1234567890123456${String(1000 + (number % 1000))}`;
  return [
    { put: `/topics${topic}/delivery`, value: '"Reliable"' },
    { put: `/cluster/brokers/${broker}${topic}`, value: 'null' },
    { put: `/topics${topic}/schema`, value: '{"subject":"orders","version":1}' },
  ];
}

async function measureLoading(etcd: EtcdPort, bare: Etcd3, topics: number) {
  const TOPICS_PER_CALL = 10_000;
  const writing = performance.now();
  let before = await etcd.count('');
  for (let from = 0; from < topics; from += TOPICS_PER_CALL) {
    const count = Math.min(TOPICS_PER_CALL, topics - from);
    const quarter = Math.ceil(count / 4);
    // A few at once, since each transaction waits for the disk.
    const parts = [0, 1, 2, 3].map((part) =>
      Array.from({ length: Math.max(0, Math.min(quarter, count - part * quarter)) }, (_, at) =>
        keysOfTopic(from + part * quarter + at),
      ).flat(),
    );
    for (const result of await Promise.all(parts.map((operations) => commitBatch({ etcd, operations })))) {
      if (result.outcome !== 'applied') throw new Error(`writing the topics: ${result.outcome}`, { cause: result });
    }
  }
  const writeSeconds = (performance.now() - writing) / 1000;
  const expected = before.count + 3 * topics;
  before = await etcd.count('');
  if (before.count !== expected) throw new Error(`${before.count} keys are there instead of ${expected}`);

  const counted = await timed(() => etcd.count(''));
  const cpuBefore = process.cpuUsage();
  let keys = 0;
  const scanned = await timed(() =>
    etcd.scan('', {}, (entries) => {
      keys += entries.length;
    }),
  );
  const cpu = process.cpuUsage(cpuBefore);
  const rss = process.memoryUsage.rss();
  if (keys !== expected) throw new Error(`the scan gave ${keys} keys instead of ${expected}`);
  const unchanged = await timed(() =>
    etcd.scan('', { minModRevision: before.revision, keysOnly: true }, () => undefined),
  );
  // The bare client has no pages and cannot take more than 4 MiB: ten thousand topics show the cost of a key.
  const bareScan = await timed(async () =>
    Object.keys(await bare.getAll().prefix('/topics/default/topic-000').buffers()),
  );
  const part = await etcd.count('/topics/default/topic-000');
  return {
    topics,
    keys,
    writeSeconds: round(writeSeconds, 1),
    loadSeconds: round(scanned / 1000, 2),
    loadMicrosecondsPerKey: round((scanned * 1000) / keys, 2),
    loadCpuMicrosecondsPerKey: round((cpu.user + cpu.system) / keys, 2),
    bareLoadMicrosecondsPerKey: round((bareScan * 1000) / part.count, 2),
    loadRssMiB: Math.round(rss / 1024 / 1024),
    countMs: round(counted, 1),
    unchangedScanMs: round(unchanged, 1),
  };
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await run();
  return performance.now() - started;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

await main();
