/** What takes minutes: a long half-open network, an idle port, and many rounds of random faults. */
import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { describe, expect, it } from 'vitest';
import { until } from '../process/until.ts';
import { bareWatch, CAREFUL, historyOf } from './bare.ts';
import { follow } from './follow.ts';
import { runRandomFaults } from './random-faults.ts';
import { report, useEtcd } from './suite.ts';

const suite = useEtcd();

describe('a network that is half-open for 60 s', () => {
  it('costs no event, and works again within seconds', async () => {
    const direct = suite().connect();
    const [bareProxy, ourProxy] = [await suite().proxy(), await suite().proxy()];
    const from = (await direct.count('\0')).revision + 1;
    const bare = new Etcd3({ hosts: bareProxy.endpoint, ...CAREFUL });
    suite().atEnd(() => bare.close());
    const theirs = await bareWatch(bare, '/hole/', from);
    const etcd = suite().connect({ endpoints: [ourProxy.endpoint] });
    const ours = follow(etcd, '/hole/', from);
    await direct.commit([], [{ put: '/hole/before', value: 'x' }]);
    await until(() => ours.seen.length > 0, { what: 'the watch to be live' });

    for (const proxy of [bareProxy, ourProxy]) proxy.blackhole();
    for (let second = 0; second < 60; second++) {
      await direct.commit([], [{ put: `/hole/${second}`, value: 'x' }]);
      await delay(1_000);
    }
    for (const proxy of [bareProxy, ourProxy]) proxy.heal();
    const healed = performance.now();
    const truth = await historyOf(suite().server.endpoint, '/hole/', from, (await direct.count('\0')).revision);
    report('half-open for 60 s: the watch', await ours.reaches(truth.at(-1) ?? '', healed));
    await until(() => etcd.get('/hole/0'), { what: 'a read' });
    report('half-open for 60 s: calls', performance.now() - healed);
    await ours.stop();
    await delay(30_000);

    expect(ours.seen).toEqual(truth);
    // The bare client still waits for a connection that was made in the hole.
    expect(theirs.seen.length).toBeLessThan(truth.length);
  });
});

describe('a port that nobody uses', () => {
  it('keeps its connections for two minutes: no ping too many', async () => {
    const proxy = await suite().proxy();
    // A busy machine may be slow to answer; that is not what is asked here.
    const slow = { timeoutMs: 30_000, connectTimeoutMs: 30_000, watchHeartbeatMs: 5_000 };
    const etcd = suite().connect({ endpoints: [proxy.endpoint], ...slow });
    const ours = follow(etcd, '/idle/', (await etcd.count('\0')).revision + 1);
    const first = await etcd.commit([], [{ put: '/idle/first', value: 'x' }]);
    await ours.reaches(`${first.outcome === 'applied' && first.revision} /idle/first`, performance.now());
    expect(proxy.connections()).toBe(2);

    await delay(120_000);
    const result = await etcd.commit([], [{ put: '/idle/last', value: 'x' }]);
    await ours.reaches(`${result.outcome === 'applied' && result.revision} /idle/last`, performance.now());
    await ours.stop();

    expect(proxy.connections()).toBe(2);
    expect(ours.told).toEqual([]);
  }, 180_000);
});

describe('random faults', () => {
  const seed = randomInt(2 ** 31 - 10);

  it.each(Array.from({ length: 8 }, (_, at) => seed + at))('do no harm (seed %i)', async (round) => {
    const result = await runRandomFaults({ suite: suite(), seed: round, writers: 8, faults: 30, networkOnly: false });

    process.stdout.write(`  ${result.written} writes, ${result.applied} applied, under ${result.faults.join(', ')}\n`);
    expect(result.misreported).toEqual([]);
    expect(result.seen).toEqual(result.history);
    expect(result.applied).toBeGreaterThan(100);
  });
});
