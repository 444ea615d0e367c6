/**
 * The faults of a network and of one server. Each is first shown to the bare etcd3 client, so that the reason for our
 * code stays documented; what passes there one day may go here.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Etcd3, type IOptions } from 'etcd3';
import { describe, expect, it } from 'vitest';
import { createLane, type Lane } from '../../src/etcd/lane.ts';
import type { EtcdPort } from '../../src/etcd/port.ts';
import { until } from '../process/until.ts';
import { bareWatch, CAREFUL, historyOf } from './bare.ts';
import { follow } from './follow.ts';
import type { TcpProxy } from './proxy.ts';
import { report, useEtcd } from './suite.ts';

const suite = useEtcd();

function bare(endpoint: string, options: Partial<IOptions> = {}): Etcd3 {
  const client = new Etcd3({ hosts: endpoint, ...options });
  suite().atEnd(() => client.close());
  return client;
}

async function head(etcd: EtcdPort): Promise<number> {
  return (await etcd.count('\0')).revision;
}

/** Puts a key past all faults; gives `revision key`, as a follower names it. */
async function putDirectly(etcd: EtcdPort, key: string, value = 'x'): Promise<string> {
  const result = await etcd.commit([], [{ put: key, value }]);
  if (result.outcome !== 'applied') throw new Error(`the put of ${key} past the fault was ${result.outcome}`);
  return `${result.revision} ${key}`;
}

/** As many revisions as keys. */
async function putMany(etcd: EtcdPort, prefix: string, count: number, value = 'x'): Promise<void> {
  const parallel = 50;
  for (let from = 0; from < count; from += parallel) {
    const keys = Array.from({ length: Math.min(parallel, count - from) }, (_, at) => `${prefix}${from + at}`);
    await Promise.all(keys.map((key) => putDirectly(etcd, key, value)));
  }
}

async function openLane(etcd: EtcdPort, direct: EtcdPort, prefix: string): Promise<Lane> {
  const fence = { key: `${prefix}fence`, value: 'ours' };
  await direct.commit([], [{ put: fence.key, value: fence.value }]);
  const { signal } = new AbortController();
  return createLane({ etcd, key: `${prefix}lane`, revision: 0, epoch: 1, fence, signal });
}

describe('connections cut while a watch catches up', () => {
  const MISSED = 5_000;
  const VALUE = 'x'.repeat(200);
  /** Enough for the confirmation of the watch alone; then for the first batch of a thousand revisions, not for all. */
  const REPLY_BYTES = [2_000, 400_000];

  it('lose no event', async () => {
    const direct = suite().connect();
    const [bareProxy, ourProxy] = [await suite().proxy(), await suite().proxy()];
    const from = (await head(direct)) + 1;
    const theirs = await bareWatch(bare(bareProxy.endpoint), '/cut/', from);
    const etcd = suite().connect({ endpoints: [ourProxy.endpoint] });
    const ours = follow(etcd, '/cut/', from);
    await ours.reaches(await putDirectly(direct, '/cut/first'), performance.now());

    for (const proxy of [bareProxy, ourProxy]) proxy.refuse();
    await putMany(direct, '/cut/', MISSED, VALUE);
    for (const proxy of [bareProxy, ourProxy]) {
      proxy.heal();
      for (const bytes of REPLY_BYTES) {
        const before = proxy.limited();
        proxy.limitReplies(bytes);
        // The bare client, once it has lost the backlog, has no use for so many bytes.
        if (proxy === bareProxy && before > 0) break;
        await until(() => proxy.limited() > before, { what: 'a cut of the backlog' });
      }
      proxy.heal();
    }
    const healed = performance.now();
    const last = await putDirectly(direct, '/cut/last');
    report('cut while catching up', await ours.reaches(last, healed));
    await until(() => theirs.seen.includes(last), { what: 'the bare watcher to be live again' });
    await ours.stop();

    const truth = await historyOf(suite().server.endpoint, '/cut/', from, await head(direct));
    expect(truth.length).toBe(MISSED + 2);
    expect(ours.seen).toEqual(truth);
    expect(ours.told.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['interrupted', 'resumed']));
    // The bare client is live and content, and has lost events without a word.
    expect(theirs.errors).toEqual([]);
    expect(theirs.seen.length).toBeLessThan(truth.length - 1_000);
  });
});

describe('a compaction while the watch was away', () => {
  it('is told, and the watch ends so that all is read again', async () => {
    const direct = suite().connect();
    const proxy = await suite().proxy();
    const from = (await head(direct)) + 1;
    const theirs = await bareWatch(bare(proxy.endpoint), '/compact/', from);
    const ours = follow(suite().connect({ endpoints: [proxy.endpoint] }), '/compact/', from);
    await ours.reaches(await putDirectly(direct, '/compact/first'), performance.now());

    proxy.refuse();
    await putMany(direct, '/compact/', 20);
    const compacted = await head(direct);
    await bare(suite().server.endpoint).kv.compact({ revision: compacted });
    const healed = performance.now();
    proxy.heal();
    const message = await until(() => ours.told.find(({ kind }) => kind === 'compacted'), {
      what: 'the compaction to be told',
    });
    report('compaction while away', performance.now() - healed);

    expect(message).toEqual({ kind: 'compacted', compactRevision: compacted });
    // The bare watcher gives an error without a reason or a revision, and is dead from then on.
    await until(() => theirs.errors[0], { what: 'the bare watcher to fail' });
    expect(theirs.errors[0]?.message).not.toContain('compact');
    await putDirectly(direct, '/compact/after');
    await delay(1_000);
    expect(theirs.seen.some((event) => event.endsWith('/compact/after'))).toBe(false);
  });
});

describe('a lost reply', () => {
  it('makes no write be misreported', async () => {
    const direct = suite().connect();
    const [bareProxy, ourProxy] = [await suite().proxy(), await suite().proxy()];
    const client = bare(bareProxy.endpoint);
    const etcd = suite().connect({ endpoints: [ourProxy.endpoint] });
    const lane = await openLane(etcd, direct, '/reply/ours/');
    /** Lets the request through and the reply vanish, then resets the connection. */
    async function loseReply<T>(proxy: TcpProxy, key: string, write: () => Promise<T>): Promise<T> {
      await Promise.all([client.get('/reply/connected'), etcd.get('/reply/connected')]);
      proxy.dropReplies();
      const written = write();
      await until(() => direct.get(key), { what: `${key} to be written`, intervalMs: 5 });
      proxy.heal();
      proxy.cut();
      return written;
    }
    const theirs = await loseReply(bareProxy, '/reply/bare', () =>
      client.if('/reply/bare', 'Create', '==', 0).then(client.put('/reply/bare').value('theirs')).commit(),
    );
    const carefulProxy = await suite().proxy();
    const careful = bare(carefulProxy.endpoint, CAREFUL);
    await careful.get('/reply/connected');
    carefulProxy.dropReplies();
    const theirPut = await careful
      .put('/reply/put')
      .value('x')
      .then(
        () => 'done',
        () => 'rejected',
      );
    const started = performance.now();
    const raw = await loseReply(ourProxy, '/reply/raw', () =>
      etcd.commit([{ key: '/reply/raw', modRevision: 0 }], [{ put: '/reply/raw', value: 'ours' }]),
    );
    const certain = await loseReply(ourProxy, '/reply/certain', () =>
      lane.commit([{ key: '/reply/certain', modRevision: 0 }], [{ put: '/reply/certain', value: 'ours' }]),
    );
    report('two lost replies', performance.now() - started);

    // The bare client has sent it again and reports the second one: "not done", though it was.
    expect(theirs.succeeded).toBe(false);
    expect((await direct.get('/reply/bare'))?.value.toString()).toBe('theirs');
    // With a deadline, its put is rejected, and applied all the same.
    expect(theirPut).toBe('rejected');
    expect(await direct.get('/reply/put')).toBeDefined();
    expect(raw.outcome).toBe('unknown');
    expect(certain.outcome).toBe('applied');
    expect((await direct.get('/reply/certain'))?.version).toBe(1);
  });
});

describe('a half-open connection', () => {
  /** Longer than keepalive takes to give the old connection up, so that a new one is made in the hole. */
  const HOLE_MS = 18_000;

  it('is noticed and replaced, and works as soon as the network does', async () => {
    const direct = suite().connect();
    const [defaultProxy, carefulProxy, ourProxy] = [
      await suite().proxy(),
      await suite().proxy(),
      await suite().proxy(),
    ];
    const from = (await head(direct)) + 1;
    const byDefault = await bareWatch(bare(defaultProxy.endpoint), '/hole/', from);
    const careful = await bareWatch(bare(carefulProxy.endpoint, CAREFUL), '/hole/', from);
    const noticed: string[] = [];
    byDefault.watcher.on('disconnected', () => noticed.push('default'));
    careful.watcher.on('disconnected', () => noticed.push('careful'));
    const etcd = suite().connect({ endpoints: [ourProxy.endpoint] });
    const ours = follow(etcd, '/hole/', from);
    await ours.reaches(await putDirectly(direct, '/hole/first'), performance.now());

    for (const proxy of [defaultProxy, carefulProxy, ourProxy]) proxy.blackhole();
    const lost = await putDirectly(direct, '/hole/during');
    const read = etcd.get('/hole/during');
    await expect(read).rejects.toMatchObject({ kind: 'Timeout' });
    const interrupted = await until(() => ours.told.find(({ kind }) => kind === 'interrupted'), {
      what: 'the watch to notice',
      timeoutMs: HOLE_MS,
    });
    expect(interrupted).toMatchObject({ error: { kind: 'Timeout' } });
    await delay(HOLE_MS - 8_000);
    for (const proxy of [defaultProxy, carefulProxy, ourProxy]) proxy.heal();
    const healed = performance.now();
    report('half-open: the watch', await ours.reaches(lost, healed));
    await until(() => etcd.get('/hole/during'), { what: 'a read to work again' });
    report('half-open: calls', performance.now() - healed);

    // The bare client has not noticed, or has and now waits without limit for a connection made in the hole.
    await delay(4_000);
    expect(noticed).not.toContain('default');
    expect(noticed).toContain('careful');
    expect(byDefault.seen).not.toContain(lost);
    expect(careful.seen).not.toContain(lost);
    await ours.stop();
    expect(ours.seen).toEqual(await historyOf(suite().server.endpoint, '/hole/', from, await head(direct)));
  });
});

describe('a server that stands still for 14 s (SIGSTOP)', () => {
  it('loses no event, and no write is misreported', async () => {
    const { server } = suite();
    const direct = suite().connect();
    const from = (await head(direct)) + 1;
    const theirs = bare(server.endpoint);
    const theirLease = theirs.lease(5);
    await theirLease.put('/stop/lease-bare').value('x');
    let theirLeaseLostAt: number | undefined;
    theirLease.on('lost', () => {
      theirLeaseLostAt = performance.now();
    });
    const etcd = suite().connect();
    const ourLease = await etcd.grantLease(5);
    const lane = await openLane(etcd, direct, '/stop/');
    const ours = follow(etcd, '/stop/', from);
    await ours.reaches(await putDirectly(direct, '/stop/first'), performance.now());

    server.kill('SIGSTOP');
    const stopped = performance.now();
    const theirPutEnds: Promise<number> = theirs
      .put('/stop/bare')
      .value('x')
      .then(() => performance.now());
    const commit = lane.commit([], [{ put: '/stop/one', value: 'x' }]);
    const late = delay(1_000).then(() => lane.commit([], [{ put: '/stop/second', value: 'x' }]));
    await delay(14_000);
    server.kill('SIGCONT');
    const continued = performance.now();
    const outcomes = [await commit, await late];
    report('14 s stand-still: writes', performance.now() - continued);
    report('14 s stand-still: the watch', await ours.reaches(await putDirectly(direct, '/stop/last'), continued));

    for (const [at, key] of ['/stop/one', '/stop/second'].entries()) {
      expect(outcomes[at]?.outcome).toBe((await direct.get(key)) === undefined ? 'refused' : 'applied');
    }
    await ours.stop();
    expect(ours.seen).toEqual(await historyOf(server.endpoint, '/stop/', from, await head(direct)));
    // The lease is gone and we say so at the first question.
    await until(async () => (await etcd.keepAliveLease(ourLease)) === 0, {
      what: 'the lease to be gone',
    });
    // The bare client's put has no limit of time, and its lost lease of 5 s is told late.
    expect((await theirPutEnds) - stopped).toBeGreaterThan(13_000);
    await until(() => theirLeaseLostAt, { what: 'the bare client to notice its lost lease' });
    expect((theirLeaseLostAt ?? 0) - stopped).toBeGreaterThan(8_000);
  });
});

describe('a server killed (SIGKILL) and started again', () => {
  it('loses no event, and every outcome is known', async () => {
    const { server } = suite();
    const etcd = suite().connect();
    const from = (await head(etcd)) + 1;
    const lane = await openLane(etcd, etcd, '/kill/');
    const ours = follow(etcd, '/kill/', from);
    await ours.reaches(await putDirectly(etcd, '/kill/first'), performance.now());

    server.kill('SIGKILL');
    await server.process().exited;
    const commits = Array.from({ length: 5 }, (_, at) => lane.commit([], [{ put: `/kill/${at}`, value: 'x' }]));
    await until(() => ours.told.find(({ kind }) => kind === 'interrupted'), {
      what: 'the watch to notice',
    });
    await expect(etcd.get('/kill/0')).rejects.toMatchObject({ kind: 'Unreachable' });
    await server.restart();
    const restarted = performance.now();
    const outcomes = await Promise.all(commits);
    report('killed: writes', performance.now() - restarted);
    report('killed: the watch', await ours.reaches(await putDirectly(etcd, '/kill/last'), restarted));

    for (const [at, result] of outcomes.entries()) {
      expect(result.outcome).toBe((await etcd.get(`/kill/${at}`)) === undefined ? 'refused' : 'applied');
    }
    await ours.stop();
    expect(ours.seen).toEqual(await historyOf(server.endpoint, '/kill/', from, await head(etcd)));
  });
});
