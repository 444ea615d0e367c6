/** What a watch promises without any fault of the network: order, whole revisions, bounded memory, and that it is told of the past's end. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { commitBatch } from '../../src/etcd/batch.ts';
import { startEtcd } from '../controlplane/etcd.ts';
import { removeFolder } from '../controlplane/run-folder.ts';
import { until } from '../process/until.ts';
import { historyOf } from './bare.ts';
import { follow } from './follow.ts';
import { useEtcd } from './suite.ts';

const suite = useEtcd();

describe('a watch', () => {
  it('from an old revision brings the whole past, and each revision as a whole', async () => {
    const etcd = suite().connect();
    const from = (await etcd.count('\0')).revision + 1;
    // Transactions of 1 MiB: a reply holds several, so that etcd cuts it into fragments.
    for (let number = 0; number < 12; number++) {
      const puts = Array.from({ length: 100 }, (_, at) => ({
        put: `/large/${number}/${at}`,
        value: 'x'.repeat(10_000),
      }));
      await etcd.commit([], puts);
    }
    const last = await etcd.commit([], [{ put: '/large/last', value: '' }]);

    const sizes = new Map<number, number>();
    const stopping = new AbortController();
    for await (const message of etcd.watch('/large/', from, stopping.signal)) {
      if (message.kind !== 'events') throw new Error(`an unexpected ${message.kind}`);
      for (const revision of new Set(message.events.map(({ entry }) => entry.modRevision))) {
        // Once only: no revision is split over two messages.
        expect(sizes.has(revision)).toBe(false);
        sizes.set(revision, message.events.filter(({ entry }) => entry.modRevision === revision).length);
      }
      if (last.outcome === 'applied' && sizes.has(last.revision)) stopping.abort();
    }

    expect([...sizes.values()]).toEqual([...Array.from({ length: 12 }, () => 100), 1]);
  });

  it('loses nothing for a slow reader and does not keep for it what it has not taken', async () => {
    const MAX_BUFFERED_BYTES = 256 * 1024;
    const COUNT = 400;
    const etcd = suite().connect({ maxBufferedBytes: MAX_BUFFERED_BYTES });
    const from = (await etcd.count('\0')).revision + 1;
    const seen: string[] = [];
    const stopping = new AbortController();
    const told: string[] = [];
    const watching = (async () => {
      for await (const message of etcd.watch('/slow/', from, stopping.signal)) {
        if (message.kind !== 'events') told.push(message.kind);
        else {
          for (const { entry } of message.events) seen.push(`${entry.modRevision} ${entry.key}`);
          await delay(message.events.length > 1 ? 0 : 5);
        }
      }
    })();
    // 20 MiB while the reader takes 200 messages a second.
    const value = 'x'.repeat(50_000);
    for (let at = 0; at < COUNT; at++) await etcd.commit([], [{ put: `/slow/${at}`, value }]);
    await until(() => seen.length >= COUNT, { what: 'all events' });
    stopping.abort();
    await watching;

    expect(seen).toEqual(await historyOf(suite().server.endpoint, '/slow/', from, (await etcd.count('\0')).revision));
    // To be behind is no fault, so nothing is told.
    expect(told).toEqual([]);
  });

  it('asks for a new read when the etcd behind the address is another one', async () => {
    const { assets, address, folder, proxy } = suite();
    const dir = join(folder, 'replaced', 'data');
    const first = await startEtcd({ assets, address, dir, name: 'replaced' });
    const inFront = await proxy(first.endpoint);
    const etcd = suite().connect({ endpoints: [first.endpoint] });
    const operations = Array.from({ length: 20 }, (_, at) => ({ put: `/old/${at}`, value: '' }));
    await commitBatch({ etcd, operations, limits: { maxOperations: 1 } });
    const ours = follow(etcd, '', (await etcd.count('\0')).revision + 1);
    const live = await etcd.commit([], [{ put: '/live', value: '' }]);
    await ours.reaches(`${live.outcome === 'applied' && live.revision} /live`, performance.now());

    await first.stop();
    removeFolder(dir);
    await first.restart();
    const message = await until(() => ours.told.find(({ kind }) => kind === 'compacted'), {
      what: 'the watch to ask for a new read',
    });
    await first.stop();
    await inFront.stop();

    expect(message).toEqual({ kind: 'compacted', compactRevision: 1 });
  });

  it('that starts before the oldest revision kept says so and ends', async () => {
    const etcd = suite().connect();
    await etcd.commit([], [{ put: '/old', value: '' }]);
    const { revision } = await etcd.count('\0');
    await fetch(`${suite().server.endpoint}/v3/kv/compaction`, {
      method: 'POST',
      body: JSON.stringify({ revision: String(revision) }),
    });

    const told: unknown[] = [];
    for await (const message of etcd.watch('/', 1, AbortSignal.timeout(60_000))) told.push(message);

    expect(told).toEqual([{ kind: 'compacted', compactRevision: revision }]);
    await expect(etcd.read('/', { revision: 1 })).rejects.toMatchObject({ kind: 'Compacted' });
  });
});

describe('what etcd refuses', () => {
  it('is told apart: too much at once, and a key twice before anything is sent', async () => {
    const etcd = suite().connect();
    const many = Array.from({ length: 200 }, (_, at) => ({ put: `/many/${at}`, value: '' }));

    expect(await etcd.commit([], many)).toMatchObject({ outcome: 'unknown', error: { kind: 'TooLarge' } });
    const large = [{ put: '/large', value: 'x'.repeat(2_000_000) }];
    expect(await etcd.commit([], large)).toMatchObject({ outcome: 'unknown', error: { kind: 'TooLarge' } });
    await expect(etcd.commit([], [{ put: '/a', value: '' }, { delete: '/a' }])).rejects.toThrow('/a is in it twice');
    expect(await commitBatch({ etcd, operations: many, limits: { maxOperations: 200 } })).toMatchObject({
      outcome: 'applied',
    });
    expect((await etcd.count('/many/')).count).toBe(200);
  });
});

describe('a jump of the wall clock by an hour', () => {
  it('makes no call end sooner or later than it should, and no event get lost', async () => {
    const silent = await suite().proxy();
    silent.blackhole();
    const slow = await suite().proxy();
    slow.delay(150);
    const script = join(import.meta.dirname, 'fixtures/clock-jump.ts');

    const endpoints = [suite().server.endpoint, silent.endpoint, slow.endpoint];
    const { stdout } = await promisify(execFile)(process.execPath, [script, ...endpoints], { timeout: 100_000 });

    const results = JSON.parse(stdout);
    for (const name of ['forward', 'back']) {
      const { slow: slowly, silent: silently, write, events } = results[name];
      expect(slowly.outcome).toBe('answered');
      expect(silently.outcome).toBe('Timeout');
      // Its deadline is 1.5 s: not at once, and not an hour later.
      expect(silently.ms).toBeGreaterThan(1_400);
      expect(silently.ms).toBeLessThan(60_000);
      expect(write.outcome).toBe('answered');
      expect(events).toEqual([`/clock/${name}`]);
    }
  });
});
