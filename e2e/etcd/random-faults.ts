/** Random faults while writers write and a watcher follows; then what was seen and said is held against etcd's own history. */
import { setTimeout as delay } from 'node:timers/promises';
import { createLane } from '../../src/etcd/lane.ts';
import { until } from '../process/until.ts';
import { historyOf } from './bare.ts';
import { follow } from './follow.ts';
import type { EtcdSuite } from './suite.ts';

/** Writes applied; how many there are when the faults are over depends on the machine. */
const ENOUGH = 100;

export interface RandomFaultsOptions {
  readonly suite: EtcdSuite;
  readonly seed: number;
  readonly writers: number;
  readonly faults: number;
  /** Apart from killing and stopping the server. */
  readonly networkOnly: boolean;
}

export interface RandomFaultsResult {
  readonly faults: readonly string[];
  /** Writes tried, and those of them that were applied. */
  readonly written: number;
  readonly applied: number;
  /** `key: what was said`, where that is not what is there. */
  readonly misreported: readonly string[];
  readonly seen: readonly string[];
  readonly history: readonly string[];
}

export async function runRandomFaults(options: RandomFaultsOptions): Promise<RandomFaultsResult> {
  const { suite, seed, writers } = options;
  const prefix = `/random/${seed}/`;
  const random = createRandom(seed);
  const direct = suite.connect();
  const proxy = await suite.proxy();
  const through = { endpoints: [proxy.endpoint], timeoutMs: 1_000, connectTimeoutMs: 500, watchHeartbeatMs: 300 };
  const from = (await direct.count('\0')).revision + 1;
  const ours = follow(suite.connect(through), prefix, from);
  const outcomes = new Map<string, string>();
  let stopped = false;

  const fence = { key: `${prefix}fence`, value: 'ours' };
  const fenced = await direct.commit([], [{ put: fence.key, value: fence.value }]);
  if (fenced.outcome !== 'applied') throw new Error(`the fence could not be put: ${fenced.outcome}`);

  async function write(writer: number): Promise<void> {
    const etcd = suite.connect(through);
    const { signal } = new AbortController();
    const lane = createLane({
      etcd,
      key: `${prefix}lane-${writer}`,
      revision: 0,
      epoch: 1,
      fence,
      signal,
      retryMs: 50,
    });
    for (let number = 0; !stopped; number++) {
      const key = `${prefix}${writer}/${number}`;
      // Each key is new: a write that was carried out twice would be refused or be there twice.
      const result = await lane.commit([{ key, modRevision: 0 }], [{ put: key, value: String(number) }]);
      outcomes.set(key, result.outcome);
      await delay(2);
    }
  }
  const writing = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));

  const network: Record<string, () => void> = {
    cut: () => proxy.cut(),
    refuse: () => proxy.refuse(),
    blackhole: () => proxy.blackhole(),
    'drop replies': () => proxy.dropReplies(),
    delay: () => proxy.delay(1 + Math.floor(random() * 200)),
    'limit replies': () => proxy.limitReplies(1 + Math.floor(random() * 20_000)),
  };
  const server: Record<string, () => Promise<void>> = {
    kill: async () => {
      suite.server.kill('SIGKILL');
      await suite.server.process().exited;
      await suite.server.restart();
    },
    stop: async () => {
      suite.server.kill('SIGSTOP');
      await delay(500 + random() * 1_500);
      suite.server.kill('SIGCONT');
    },
  };
  const faults: string[] = [];
  for (let number = 0; number < options.faults; number++) {
    const names = [...Object.keys(network), ...(options.networkOnly ? [] : Object.keys(server))];
    const name = names[Math.floor(random() * names.length)] ?? 'cut';
    faults.push(name);
    network[name]?.();
    await server[name]?.();
    await delay(random() * 1_200);
    // Sometimes the next fault comes on top of this one.
    if (random() < 0.7) proxy.heal();
  }
  proxy.heal();
  proxy.cut();
  const applied = () => [...outcomes.values()].filter((outcome) => outcome === 'applied').length;
  await until(() => applied() > ENOUGH, { what: `${ENOUGH} writes to be applied, to judge by` });
  stopped = true;
  await writing;

  const { revision } = await direct.count('\0');
  const history = await historyOf(suite.server.endpoint, prefix, from, revision);
  await until(() => ours.seen.length >= history.length, { what: 'the watch to catch up' }).catch(
    () => undefined, // the comparison says more
  );
  await ours.stop();
  const there = new Map((await direct.read(prefix)).entries.map((entry) => [entry.key, entry]));
  const misreported = [...outcomes].filter(
    ([key, outcome]) => (outcome === 'applied') !== there.has(key) || (there.get(key)?.version ?? 1) !== 1,
  );
  await proxy.stop();
  return {
    faults,
    written: outcomes.size,
    applied: applied(),
    misreported: misreported.map(([key, outcome]) => `${key}: ${outcome}`),
    seen: ours.seen,
    history,
  };
}

/** Mulberry32: the same seed gives the same faults. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
