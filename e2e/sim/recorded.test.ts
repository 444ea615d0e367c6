/**
 * The simulated broker writes what the real ones were recorded writing: the same keys in the same order, with the same JSON
 * members in the same order. Names, ids, offsets and times are replaced by what they are.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RecordedEvent, recordedEvents } from '../../src/danube/fixtures.ts';
import { type Json, parseJson } from '../../src/danube/json.ts';
import {
  assignmentKey,
  brokerStateKey,
  cursorKey,
  deliveryKey,
  LEADER_KEY,
  unassignedKey,
} from '../../src/danube/keys.ts';
import { encodeMarker } from '../../src/danube/values.ts';
import { until } from '../process/until.ts';
import { beginTopic, createProducer, servedBy, subscribe } from './clients.ts';
import {
  assign,
  beginUnload,
  commit,
  eventsOf,
  holdLeadership,
  type SimBroker,
  type SimCluster,
  sealedAt,
  startSimCluster,
} from './cluster.ts';

let cluster: SimCluster;
let source: SimBroker;
let target: SimBroker;

beforeAll(async () => {
  cluster = await startSimCluster();
  // Uploads only by sealing and a cursor with every acknowledgement: when, is not what is compared.
  source = await cluster.startBroker('source', ['--upload-interval-seconds=3600', '--cursor-interval-seconds=0']);
});

afterAll(() => cluster.stop());

describe('the keys of', () => {
  it('a first boot', async () => {
    const ours = await eventsOf(cluster.etcd, '/');

    expect(distinct(ours.map(toRecorded).map(shape))).toEqual(
      distinct(
        recordedEvents()
          .filter(({ rev }) => rev <= 20)
          .map(shape),
      ),
    );
  });

  it('an election that is won by who asks, and not by who compares', async () => {
    expect((await cluster.etcd.get(LEADER_KEY))?.value.toString()).toBe(source.id);
  });

  it('a reliable topic that is created and moved while its clients are connected', async () => {
    await holdLeadership(cluster.etcd);
    target = await cluster.startBroker('target', ['--upload-interval-seconds=3600']);
    const topic = '/default/moved';
    const { connection, producer } = await serve(topic, 'Reliable');
    await subscribe(connection, topic, 's', 0);
    await producer.send(3);

    await moveApart(topic);
    await servedBy(await cluster.connect(target), topic);

    const recorded = lifeOf('/default/rel6', 'history', 132, 163).filter(({ rev }) => rev < 141 || rev > 156);
    expect(await oursOf(topic)).toEqual(recorded.map(shape));
  });

  it('a reliable topic whose consumer had gone: its cursor is flushed twice', async () => {
    const topic = '/default/left';
    const { connection, producer } = await serve(topic, 'Reliable');
    const consumer = await subscribe(connection, topic, 's');
    await producer.send(3);
    await consumer.received(3);
    await cursorIs(topic, '2');
    await consumer.close();
    const { revision } = await cluster.etcd.read('/cluster/leader');

    await moveApart(topic, 's');
    await servedBy(await cluster.connect(target), topic);

    expect(await oursOf(topic, revision + 1)).toEqual(lifeOf('/default/backlog', 'history', 272, 280).map(shape));
  });

  it('a reliable topic destroyed by a marker "rebalance"', async () => {
    const topic = '/default/destroyed';
    const { connection, producer } = await serve(topic, 'Reliable');
    const consumer = await subscribe(connection, topic, 's');
    await producer.send(3);
    await consumer.received(3);
    await cursorIs(topic, '2');
    const { revision } = await cluster.etcd.read('/cluster/leader');
    const marker = encodeMarker({ kind: 'rebalance', fromBroker: source.id, toBroker: target.id });

    await commit(
      cluster.etcd,
      [],
      [{ put: unassignedKey(topic), value: marker }, { delete: assignmentKey(source.id, topic) }],
    );
    await until(async () => !(await cluster.etcd.get(cursorKey(topic, 's'))), { what: 'the end' });

    // Ours had one object, the recorded one three; the recorded marker has a time stamp, which is its writer's affair.
    const recorded = lifeOf('/default/rebal', 'history', 473, 482).map(shape);
    expect((await oursOf(topic, revision + 1)).slice(1)).toEqual(
      recorded.filter((line, index) => line !== recorded[index - 1]),
    );
  });

  it('a non-reliable topic that is moved', async () => {
    const topic = '/default/volatile';
    const { producer } = await serve(topic, 'NonReliable');
    await producer.send(3);

    await beginUnload(cluster.etcd, topic, source);
    await until(async () => (await cluster.etcd.read(`/topics${topic}/producers/`)).entries.length === 0, {
      what: 'the source to let go',
    });
    await assign(cluster.etcd, topic, target);

    expect(await oursOf(topic)).toEqual(lifeOf('/default/reconn', 'history', 483, 493).map(shape));
  });

  it('a bounced assignment', async () => {
    const topic = '/default/bounced';
    await serve(topic, 'Reliable');
    const state = '{"mode":"draining","reason":"admin_unload"}';
    await commit(cluster.etcd, [], [{ put: brokerStateKey(target.id), value: state }]);
    const { revision } = await cluster.etcd.read('/cluster/leader');

    await moveApart(topic);
    const bounced = encodeMarker({ kind: 'drain_redirect', fromBroker: target.id });
    await until(async () => (await cluster.etcd.get(unassignedKey(topic)))?.value.toString() === bounced, {
      what: 'the bounce',
    });

    const recorded = lifeOf('/default/bounce', 'history-2', 1732, 1734).map(shape);
    expect((await oursOf(topic, revision + 1)).slice(-recorded.length)).toEqual(recorded);
  });

  it('a load report with traffic', async () => {
    const { producer } = await serve('/default/reported', 'NonReliable');
    const recorded = recordedEvents().find(({ value }) => value?.includes('"byte_rate":48,'));
    await producer.send(10);

    const report = await until(
      async () => {
        const value = (await cluster.etcd.get(`/cluster/load/${source.id}`))?.value.toString('utf8');
        return value?.includes('/default/reported') ? value : undefined;
      },
      { what: 'a report that lists the topic' },
    );

    expect(shapeOfValue(parseJson(report))).toBe(shapeOfValue(parseJson(recorded?.value ?? '')));
  });
});

async function serve(topic: string, delivery: 'Reliable' | 'NonReliable') {
  const connection = await cluster.connect(source);
  const created = beginTopic(connection, topic, delivery);
  await until(() => cluster.etcd.get(deliveryKey(topic)), { what: `${topic} to be created` });
  await assign(cluster.etcd, topic, source);
  await created;
  await servedBy(connection, topic);
  return { connection, producer: await createProducer(connection, topic) };
}

/**
 * Moves the topic when its source has done all that it does: on a slow machine it would still be at it when the target begins. The
 * cursor of `subscription` is written once more at the very end.
 */
async function moveApart(topic: string, subscription?: string): Promise<void> {
  const { etcd } = cluster;
  const writes = async () => (subscription && (await etcd.get(cursorKey(topic, subscription)))?.version) || 0;
  const before = await writes();
  const revision = await beginUnload(etcd, topic, source);
  await sealedAt(etcd, topic, revision);
  await until(async () => (await etcd.read(`/topics${topic}/producers/`)).entries.length === 0, {
    what: 'the source to let go',
  });
  if (subscription !== undefined) {
    await until(async () => (await writes()) >= before + 2, { what: 'the cursor to be written twice' });
  }
  await assign(etcd, topic, target);
}

async function cursorIs(topic: string, offset: string): Promise<void> {
  await until(async () => (await cluster.etcd.get(cursorKey(topic, 's')))?.value.toString() === offset, {
    what: `the cursor of ${topic} to be ${offset}`,
  });
}

function lifeOf(topic: string, file: 'history' | 'history-2', from: number, to: number): readonly RecordedEvent[] {
  return recordedEvents(file).filter(({ rev, key }) => rev >= from && rev <= to && key.includes(topic));
}

async function oursOf(topic: string, revision?: number): Promise<readonly string[]> {
  return (await eventsOf(cluster.etcd, topic, revision)).map(toRecorded).map(shape);
}

function toRecorded({ type, entry }: Awaited<ReturnType<typeof eventsOf>>[number]): RecordedEvent {
  const { key, modRevision: rev } = entry;
  return type === 'delete'
    ? { rev, type: 'DELETE', key }
    : { rev, type: 'PUT', key, value: entry.value.toString('utf8') };
}

/** One line per event: what was done to which kind of key, and the members of its value. */
function shape({ type, key, value }: RecordedEvent): string {
  const named = key
    .replace(/\/objects\/\d{20}$/, '/objects/<offset>')
    .replace(/\/\d{12,20}(?=\/|$)/, '/<id>')
    .replace(
      /\/default\/(rel6|backlog|rebal|reconn|bounce|moved|left|destroyed|volatile|bounced)(?=\/|$)/,
      '/default/<topic>',
    )
    .replace(/\/subscriptions\/[^/]+/, '/subscriptions/<name>');
  return value === undefined ? `${type} ${named}` : `${type} ${named} ${shapeOfValue(parseJson(value))}`;
}

function shapeOfValue(value: Json): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `[${value.map(shapeOfValue).join(',')}]`;
  if (typeof value === 'object') {
    return `{${Object.entries(value)
      .map(([name, member]) => `${name}:${shapeOfValue(member)}`)
      .join(',')}}`;
  }
  return typeof value === 'bigint' ? 'number' : typeof value;
}

function distinct(lines: readonly string[]): readonly string[] {
  return [...new Set(lines)];
}
