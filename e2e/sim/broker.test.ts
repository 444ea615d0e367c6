/**
 * The simulated broker is as strict as the real one: what was measured on real brokers (contract section 12), one test for
 * each number, with real processes, a real etcd and kill -9.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  assignmentKey,
  brokerStateKey,
  cursorKey,
  deliveryKey,
  registrationKey,
  sealedStateKey,
  topicStoragePrefix,
  unassignedKey,
} from '../../src/danube/keys.ts';
import {
  type Delivery,
  decodeRegistration,
  encodeDelivery,
  encodeMarker,
  NULL_VALUE,
} from '../../src/danube/values.ts';
import type { Connection } from '../../src/sim/client/connection.ts';
import { CREATION_GIVES_UP_AFTER_MS } from '../../src/sim/protocol.ts';
import { holdToBar } from '../process/bars.ts';
import { until } from '../process/until.ts';
import { beginTopic, createProducer, createTopic, servedBy, subscribe, type TestConsumer } from './clients.ts';
import {
  assign,
  beginUnload,
  commit,
  failOver,
  holdLeadership,
  move,
  type SimBroker,
  type SimCluster,
  STORAGE_ROOT,
  sealedAt,
  startSimCluster,
} from './cluster.ts';

let cluster: SimCluster;
let a: SimBroker;
let b: SimBroker;
let toA: Connection;
let toB: Connection;

beforeAll(async () => {
  cluster = await startSimCluster();
  await holdLeadership(cluster.etcd);
  [a, b] = await Promise.all([
    cluster.startBroker('a', ['--cursor-interval-seconds=0']),
    cluster.startBroker('b', ['--cursor-interval-seconds=0']),
  ]);
  [toA, toB] = await Promise.all([cluster.connect(a), cluster.connect(b)]);
});

afterAll(() => cluster.stop());

/** A new topic, assigned once its `delivery` is there. */
async function serveNew(topic: string, delivery: Delivery, broker: SimBroker, connection: Connection): Promise<void> {
  const created = beginTopic(connection, topic, delivery);
  await until(() => cluster.etcd.get(deliveryKey(topic)), { what: `${topic} to be created` });
  await assign(cluster.etcd, topic, broker);
  await created;
  await servedBy(connection, topic);
}

async function stored(key: string): Promise<string | undefined> {
  return (await cluster.etcd.get(key))?.value.toString('utf8');
}

async function cursorIs(topic: string, subscription: string, offset: string): Promise<void> {
  await until(async () => (await stored(cursorKey(topic, subscription))) === offset, {
    what: `the cursor of ${topic}/${subscription} to be ${offset}`,
  });
}

function range(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(from + index));
}

describe('creating and assigning', () => {
  it('M1: a new topic that nobody assigns is given up after 2.3 s, and its marker waits on', async () => {
    const started = performance.now();

    const created = createTopic(toA, '/default/m1', 'Reliable');

    await expect(created).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const waitedMs = performance.now() - started;
    expect(waitedMs).toBeGreaterThan(CREATION_GIVES_UP_AFTER_MS - 10);
    holdToBar('a creation that nobody assigns is given up after', waitedMs, CREATION_GIVES_UP_AFTER_MS + 1_000);
    expect(await stored(unassignedKey('/default/m1'))).toBe('null');
  });

  it('M2: an assignment written before `delivery` is never loaded, also when `delivery` comes later', async () => {
    await assign(cluster.etcd, '/default/m2', a);
    // Events are handled one after the other: when the next topic is served, this one has been given up.
    await serveNew('/default/m2-next', 'NonReliable', a, toA);

    await commit(cluster.etcd, [], [{ put: deliveryKey('/default/m2'), value: encodeDelivery('Reliable') }]);
    await serveNew('/default/m2-last', 'NonReliable', a, toA);

    // The lookup sends clients to the broker that does not have it.
    expect(await toB.call({ op: 'lookup', topic: '/default/m2' })).toEqual({ redirect: a.url });
    await expect(createProducer(toA, '/default/m2')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('a second PUT of a served topic builds it anew and strands its clients (contract 5.1)', async () => {
    const topic = '/default/again';
    await serveNew(topic, 'Reliable', a, toA);
    const producer = await createProducer(toA, topic);
    const consumer = await subscribe(toA, topic, 's');
    await producer.send(3);
    await consumer.received(3);

    await commit(cluster.etcd, [], [{ put: assignmentKey(a.id, topic), value: NULL_VALUE }]);

    await until(
      () =>
        producer.send(1).then(
          () => false as const,
          (error: { code: string }) => error.code === 'NOT_FOUND',
        ),
      {
        what: 'the old producer to be unknown',
      },
    );
    const next = await createProducer(toA, topic);
    const other = await subscribe(toA, topic, 's');
    const [offset = ''] = await next.send(1);
    // What the first consumer had not acknowledged by then comes once more, before it.
    await until(() => other.offsets.includes(offset), { what: 'the new consumer to have it' });
    expect(consumer.offsets).not.toContain(offset);
  });

  it('M19: a draining broker bounces an assignment, and what was sealed survives', async () => {
    const topic = '/default/m19';
    await serveNew(topic, 'Reliable', a, toA);
    const producer = await createProducer(toA, topic);
    await producer.send(10);
    const draining = await cluster.startBroker('draining');
    const state = '{"mode":"draining","reason":"admin_unload"}';
    await commit(cluster.etcd, [], [{ put: brokerStateKey(draining.id), value: state }]);

    await move(cluster.etcd, topic, a, draining);

    const bounced = encodeMarker({ kind: 'drain_redirect', fromBroker: draining.id });
    await until(async () => (await stored(unassignedKey(topic))) === bounced, {
      what: 'the bounce',
    });
    await until(
      async () => (await stored(brokerStateKey(draining.id))) === '{"mode":"drained","reason":"drain_complete"}',
      {
        what: 'the empty broker to be drained',
      },
    );
    expect(await cluster.etcd.get(assignmentKey(draining.id, topic))).toBeUndefined();
    expect(await stored(sealedStateKey(STORAGE_ROOT, topic))).toContain('"last_committed_offset":9');
    await assign(cluster.etcd, topic, b);
    await servedBy(toB, topic);
    expect(await (await createProducer(toB, topic)).send(1)).toEqual(['10']);
  });
});

describe('a move', () => {
  it('M3: any marker but "unload" destroys storage and cursors of a reliable topic', async () => {
    const topic = '/default/m3';
    await serveNew(topic, 'Reliable', a, toA);
    const producer = await createProducer(toA, topic);
    const consumer = await subscribe(toA, topic, 's');
    await producer.send(5);
    await consumer.received(5);
    await cursorIs(topic, 's', '4');
    const marker = encodeMarker({ kind: 'rebalance', fromBroker: a.id, toBroker: b.id });

    await commit(
      cluster.etcd,
      [],
      [{ put: unassignedKey(topic), value: marker }, { delete: assignmentKey(a.id, topic) }],
    );

    await until(async () => (await cluster.etcd.get(cursorKey(topic, 's'))) === undefined, {
      what: 'the cursor to be gone',
    });
    expect((await cluster.etcd.read(topicStoragePrefix(STORAGE_ROOT, topic))).entries).toEqual([]);
  });

  it('M4: the backlog of a subscription is lost, offsets go on', async () => {
    const topic = '/default/m4';
    await serveNew(topic, 'Reliable', a, toA);
    const producer = await createProducer(toA, topic);
    const behind = await subscribe(toA, topic, 's', 5);
    await producer.send(20);
    await cursorIs(topic, 's', '4');
    await behind.close();

    expect(await move(cluster.etcd, topic, a, b)).toBe(19n);

    await servedBy(toB, topic);
    const consumer = await subscribe(toB, topic, 's');
    const next = await createProducer(toB, topic);
    expect(await next.send(5)).toEqual(range(20, 5));
    await consumer.received(5);
    expect(consumer.offsets).toEqual(range(20, 5));
  });

  it('M5: unloading does not write the cursor of a connected consumer', async () => {
    const slow = await cluster.startBroker('slow-cursors', ['--cursor-interval-seconds=3600']);
    const toSlow = await cluster.connect(slow);
    const topic = '/default/m5-connected';
    const left = '/default/m5-left';
    for (const one of [topic, left]) {
      await serveNew(one, 'Reliable', slow, toSlow);
      const producer = await createProducer(toSlow, one);
      const consumer = await subscribe(toSlow, one, 's');
      await producer.send(5);
      await consumer.received(5);
      if (one === left) await consumer.close();
    }

    for (const one of [topic, left]) await sealedAt(cluster.etcd, one, await beginUnload(cluster.etcd, one, slow));

    expect(await stored(cursorKey(topic, 's'))).toBeUndefined();
    expect(await stored(cursorKey(left, 's'))).toBe('4');
  });

  it('M6: going back to an earlier process leaves `state` behind and gives offsets out twice', async () => {
    const topic = '/default/m6';
    await serveNew(topic, 'Reliable', a, toA);
    await (await createProducer(toA, topic)).send(10);
    await move(cluster.etcd, topic, a, b);
    await servedBy(toB, topic);
    const onB = await (await createProducer(toB, topic)).send(5);

    await move(cluster.etcd, topic, b, a);

    await servedBy(toA, topic);
    const onA = await (await createProducer(toA, topic)).send(5);
    expect(onB).toEqual(range(10, 5));
    expect(onA).toEqual(onB);
    expect(await stored(sealedStateKey(STORAGE_ROOT, topic))).toContain('"last_committed_offset":14');
  });

  it('M7: connected clients do not follow: NOT_FOUND, a silent stream, an ended stream', async () => {
    const reliable = '/default/m7-rel';
    const other = '/default/m7-non';
    await serveNew(reliable, 'Reliable', a, toA);
    await serveNew(other, 'NonReliable', a, toA);
    const producers = [await createProducer(toA, reliable), await createProducer(toA, other)];
    const hanging = await subscribe(toA, reliable, 's');
    const ending = await subscribe(toA, other, 's');

    await move(cluster.etcd, reliable, a, b);
    await beginUnload(cluster.etcd, other, a);
    await assign(cluster.etcd, other, b).then(() => servedBy(toB, other));

    for (const producer of producers) await expect(producer.send(1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await until(() => ending.ended, { what: 'the non-reliable stream to end' });
    await servedBy(toB, reliable);
    const fresh = await subscribe(toB, reliable, 'fresh');
    await (await createProducer(toB, reliable)).send(10);
    await fresh.received(10);
    expect(hanging).toMatchObject({ ended: false, offsets: [] });
  });

  it('M20: two moves in a row without traffic keep the offsets', async () => {
    const topic = '/default/m20';
    await serveNew(topic, 'Reliable', a, toA);
    await (await createProducer(toA, topic)).send(10);
    const c = await cluster.startBroker('third');

    const sealed = [await move(cluster.etcd, topic, a, b)];
    await servedBy(toB, topic);
    sealed.push(await move(cluster.etcd, topic, b, c));

    expect(sealed).toEqual([9n, 9n]);
    const toC = await cluster.connect(c);
    await servedBy(toC, topic);
    expect(await (await createProducer(toC, topic)).send(1)).toEqual(['10']);
  });
});

describe('kill -9 of the owner', () => {
  const HEAD = 40;
  const CURSOR = 19;
  const UNCONSUMED = range(CURSOR + 1, HEAD - CURSOR - 1);
  let dead: SimBroker;
  let next: SimBroker;
  let toNext: Connection;
  let killedAt: number;

  /** 40 messages, of which the subscription `s` has acknowledged 20; nothing is uploaded. */
  async function fill(topic: string): Promise<void> {
    const connection = await cluster.connect(dead);
    await serveNew(topic, 'Reliable', dead, connection);
    const producer = await createProducer(connection, topic);
    await subscribe(connection, topic, 's', CURSOR + 1);
    expect(await producer.send(HEAD)).toEqual(range(0, HEAD));
    await cursorIs(topic, 's', String(CURSOR));
  }

  /** The old subscription and a new one on the new owner; 15 messages that the new one has received in full. */
  async function goOn(
    connection: Connection,
    topic: string,
    count: number,
  ): Promise<[readonly string[], TestConsumer]> {
    await servedBy(connection, topic);
    const old = await subscribe(connection, topic, 's');
    const fresh = await subscribe(connection, topic, 'fresh');
    const given = await (await createProducer(connection, topic)).send(count);
    await fresh.received(count);
    return [given, old];
  }

  beforeAll(async () => {
    dead = await cluster.startBroker('crashing', ['--cursor-interval-seconds=0', '--upload-interval-seconds=3600']);
    for (const name of ['m9', 'm10', 'm13-unseeded', 'm13-behind', 'm13-margin']) await fill(`/default/${name}`);
    // No cursor is ever stored for this one: nothing is acknowledged.
    const connection = await cluster.connect(dead);
    await serveNew('/default/m5-crash', 'Reliable', dead, connection);
    const producer = await createProducer(connection, '/default/m5-crash');
    await subscribe(connection, '/default/m5-crash', 's', 0);
    await producer.send(10);
    killedAt = Date.now();
    await dead.crash();
    next = await cluster.startBroker('crashing', ['--cursor-interval-seconds=0']);
    toNext = await cluster.connect(next);
  });

  it('M15: the next process registers under a new id at the same address, while the old registration lives on', async () => {
    const registrations = await Promise.all(
      [dead, next].map(async ({ id }) =>
        decodeRegistration((await cluster.etcd.get(registrationKey(id)))?.value ?? Buffer.of()),
      ),
    );

    expect(next.id).not.toBe(dead.id);
    expect(next.startedAt).toBeGreaterThanOrEqual(killedAt);
    expect(registrations).toEqual([
      { ok: true, value: expect.objectContaining({ brokerUrl: dead.url }) },
      { ok: true, value: expect.objectContaining({ brokerUrl: dead.url }) },
    ]);
  });

  it('M8: lookups still name the dead owner', async () => {
    expect(await toB.call({ op: 'lookup', topic: '/default/m9' })).toEqual({ redirect: dead.url });
  });

  it('M9: elsewhere and without `state`, offsets start at 0 and the old subscription hears nothing', async () => {
    await failOver(cluster.etcd, { topic: '/default/m9', dead, to: b });

    const [given, old] = await goOn(toB, '/default/m9', 20);

    expect(given).toEqual(range(0, 20));
    expect(old.offsets).toEqual([]);
  });

  it('M10: elsewhere with a seeded `state`, offsets go on and the old subscription hears all that is new', async () => {
    await failOver(cluster.etcd, { topic: '/default/m10', dead, to: b, seed: BigInt(HEAD - 1) });

    const [given, old] = await goOn(toB, '/default/m10', 20);

    expect(given).toEqual(range(HEAD, 20));
    await old.received(20);
    expect(old.offsets).toEqual(given);
    expect(await stored(sealedStateKey(STORAGE_ROOT, '/default/m10'))).toBeUndefined();
  });

  it('M13, not seeded: the same Pod delivers the old messages, and 0 of 15 new ones', async () => {
    await failOver(cluster.etcd, { topic: '/default/m13-unseeded', dead, to: next });

    const [given, old] = await goOn(toNext, '/default/m13-unseeded', 15);

    await old.received(UNCONSUMED.length);
    expect(given).toEqual(range(0, 15));
    expect(old.offsets).toEqual(UNCONSUMED);
  });

  it('M13, seeded 12 behind the head: 12 offsets are given out twice, and 3 of 15 new messages come', async () => {
    await failOver(cluster.etcd, { topic: '/default/m13-behind', dead, to: next, seed: BigInt(HEAD - 13) });

    const [given, old] = await goOn(toNext, '/default/m13-behind', 15);

    await old.received(UNCONSUMED.length + 3);
    expect(given).toEqual(range(HEAD - 12, 15));
    expect(old.offsets).toEqual([...UNCONSUMED, ...range(HEAD, 3)]);
  });

  it('M13 and M14, seeded with a margin: all old and all new messages, nothing twice, and the gap harms nobody', async () => {
    const topic = '/default/m13-margin';
    const margin = 100_000;
    await failOver(cluster.etcd, { topic, dead, to: next, seed: BigInt(HEAD - 1 + margin) });

    const [given, old] = await goOn(toNext, topic, 15);

    await old.received(UNCONSUMED.length + 15);
    expect(given).toEqual(range(HEAD + margin, 15));
    expect(old.offsets).toEqual([...UNCONSUMED, ...given]);
    // The uploader crosses the gap with an object of its own, and a later move goes on after it.
    const objects = `${topicStoragePrefix(STORAGE_ROOT, topic)}objects/`;
    await until(() => cluster.etcd.get(`${objects}${String(HEAD + margin).padStart(20, '0')}`), {
      what: 'the object after the gap',
    });
    expect(await stored(`${objects}${'0'.repeat(20)}`)).toContain(`"end_offset":${HEAD - 1}`);
    await cursorIs(topic, 's', String(HEAD + margin + 14));
    expect(await move(cluster.etcd, topic, next, b)).toBe(BigInt(HEAD + margin + 14));
    await servedBy(toB, topic);
    expect(await (await createProducer(toB, topic)).send(1)).toEqual([String(HEAD + margin + 15)]);
  });

  it('M5: a subscription without a stored cursor starts at the newest message, also in the same Pod', async () => {
    await failOver(cluster.etcd, { topic: '/default/m5-crash', dead, to: next, seed: 1_000n });

    const [given, old] = await goOn(toNext, '/default/m5-crash', 5);

    await old.received(5);
    expect(old.offsets).toEqual(given);
  });
});

describe('Prometheus', () => {
  it('serves the recorded series: broker label everywhere, zero series, topics that moved away stay', async () => {
    const topic = '/default/metrics';
    await serveNew(topic, 'NonReliable', a, toA);
    await (await createProducer(toA, topic)).send(7);
    await beginUnload(cluster.etcd, topic, a);
    await assign(cluster.etcd, topic, b);
    await servedBy(toB, topic);

    const text = await (await fetch(a.metricsUrl)).text();

    expect(text).toContain(`danube_topic_messages_in_total{broker="${a.id}",topic="${topic}"} 7\n`);
    expect(text).toContain(`danube_topic_bytes_in_total{broker="${a.id}",topic="${topic}"} 700\n`);
    expect(text).toContain(`danube_topic_active_producers{broker="${a.id}",topic="${topic}"} 0\n`);
    expect(text).toContain(`danube_topic_messages_in_total{broker="${a.id}"} 0\n`);
    expect(text).toMatch(/danube_broker_topics_owned\{broker="\d+"\} [1-9]/);
  });
});
