import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BrokerReport, ClusterMetadata } from '../core/snapshot.ts';
import { type RecordedEvent, recordedEvents, recordedSnapshot } from './fixtures.ts';
import { createMetadataFold, type MetadataFold, type StoredKey } from './metadata.ts';

function put(fold: MetadataFold, key: string, value: string, revision: number, created = revision): void {
  fold.put({ key, value: Buffer.from(value), createRevision: created, modRevision: revision });
}

/** All that the metadata says, in a form that two folds can be compared by. */
function plain(metadata: ClusterMetadata) {
  const topics = [...metadata.topics].sort();
  const topicsOf = [...metadata.topicsOf].map(([broker, owned]) => [broker, [...owned].sort(), owned.size] as const);
  const named = new Set([...topics, ...metadata.unowned, ...topicsOf.flatMap(([, owned]) => owned)]);
  return {
    leader: metadata.leader,
    registrations: sorted(metadata.registrations),
    states: sorted(metadata.states),
    reports: sorted(metadata.reports).map(
      ([broker, report]) => [broker, plainReport(metadata, broker, report)] as const,
    ),
    markers: sorted(metadata.markers),
    sealed: sorted(metadata.sealed),
    problems: sorted(metadata.problems),
    own: sorted(metadata.own),
    topics,
    topicCount: metadata.topics.size,
    reliableTopics: metadata.reliableTopics,
    topicsOf: topicsOf.sort(),
    unowned: [...metadata.unowned].sort(),
    owners: [...named].sort().map((topic) => [topic, sorted(metadata.owners.get(topic) ?? new Map())]),
    deliveries: [...named].sort().map((topic) => [topic, metadata.deliveries.get(topic)]),
  };
}

/**
 * A report with the topics that its broker has now: whether one that is gone since is still known depends on what was read.
 */
function plainReport({ owners, topicNumbers }: ClusterMetadata, broker: string, { topics, ...sums }: BrokerReport) {
  const rows = [...topics.topic]
    .map((number, row) => [topicNumbers.nameOf(number), topics.bytesPerSecond[row], topics.producers[row]] as const)
    .filter(([topic]) => owners.get(topic)?.has(broker));
  return { ...sums, topics: rows.sort() };
}

function sorted<T>(map: ReadonlyMap<string, T>): readonly (readonly [string, T])[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Keys as etcd holds them after the events up to a revision. */
function storedAt(events: readonly RecordedEvent[], revision: number): readonly StoredKey[] {
  const stored = new Map<string, StoredKey>();
  for (const { rev, type, key, value = '' } of events) {
    if (rev > revision) break;
    if (type === 'DELETE') stored.delete(key);
    else {
      const createRevision = stored.get(key)?.createRevision ?? rev;
      stored.set(key, { key, value: Buffer.from(value), createRevision, modRevision: rev });
    }
  }
  return [...stored.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

function foldAtOnce(keys: readonly StoredKey[]): ClusterMetadata {
  const fold = createMetadataFold();
  for (const key of keys) fold.put(key);
  return fold.metadata;
}

describe('the life of a real cluster, event by event', () => {
  it.each(['history', 'history-2'] as const)('gives at any moment what reading all keys then gives (%s)', (file) => {
    const events = recordedEvents(file);
    const fold = createMetadataFold();
    const created = new Map<string, number>();
    const last = events.at(-1)?.rev ?? 0;
    const moments = new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((tenth) => Math.floor((last * tenth) / 10)));
    let compared = 0;

    for (const [index, { rev, type, key, value = '' }] of events.entries()) {
      if (type === 'DELETE') {
        created.delete(key);
        fold.delete(key, rev);
      } else {
        created.set(key, created.get(key) ?? rev);
        put(fold, key, value, rev, created.get(key));
      }
      const next = events[index + 1]?.rev;
      for (const moment of moments) {
        if (moment < rev || (next !== undefined && moment >= next)) continue;
        expect(plain(fold.metadata)).toEqual(plain(foldAtOnce(storedAt(events, moment))));
        compared += 1;
      }
    }

    expect(compared).toBe(10);
  });

  it('gives at its end the recorded snapshot', () => {
    const snapshot = recordedSnapshot();
    const fold = createMetadataFold();
    for (const { key, value } of snapshot) put(fold, key, value, 1);
    const { metadata } = fold;

    expect(metadata.registrations.size).toBe(snapshot.filter(({ key }) => key.startsWith('/cluster/register/')).length);
    expect(metadata.topics.size).toBe(snapshot.filter(({ key }) => /^\/namespaces\/.*\/topics\//.test(key)).length);
    expect(metadata.topics.size).toBeGreaterThan(10);
    expect([...metadata.problems]).toEqual([]);
    for (const [broker, owned] of metadata.topicsOf) {
      for (const topic of owned) expect(metadata.owners.get(topic)?.has(broker)).toBe(true);
    }
  });
});

describe('owners, topics of brokers and topics without an owner', () => {
  const topic = fc.constantFrom('/d/a', '/d/b', '/d/c');
  const broker = fc.constantFrom('1', '2', '18446744073709551615');
  const key = fc.oneof(
    fc.tuple(broker, topic).map(([id, name]) => `/cluster/brokers/${id}${name}`),
    topic.map((name) => `/cluster/unassigned${name}`),
    topic.map((name) => `/namespaces/d/topics${name}`),
    topic.map((name) => `/topics${name}/delivery`),
  );
  const event = fc.record({ key, isPut: fc.boolean(), isBad: fc.boolean() });

  it('agree with the keys after any puts and deletes, in any order', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40, size: 'max' }), (events) => {
        const fold = createMetadataFold();
        const stored = new Map<string, { readonly isBad: boolean; readonly revision: number }>();

        for (const [index, { key: name, isPut, isBad }] of events.entries()) {
          if (isPut) {
            put(fold, name, isBad ? '' : name.endsWith('/delivery') ? '"Reliable"' : 'null', index + 1);
            stored.set(name, { isBad, revision: index + 1 });
          } else {
            fold.delete(name, index + 1);
            stored.delete(name);
          }
        }

        const { metadata } = fold;
        const isThere = (name: string) => stored.get(name)?.isBad === false;
        for (const name of ['/d/a', '/d/b', '/d/c']) {
          const owners = ['1', '2', '18446744073709551615'].filter((id) => stored.has(`/cluster/brokers/${id}${name}`));
          expect([...(metadata.owners.get(name)?.keys() ?? [])].sort()).toEqual(owners.sort());
          for (const id of owners) {
            expect(metadata.owners.get(name)?.get(id)).toBe(stored.get(`/cluster/brokers/${id}${name}`)?.revision);
            expect([...(metadata.topicsOf.get(id) ?? [])]).toContain(name);
          }
          const exists = stored.has(`/namespaces/d/topics${name}`);
          // A marker that cannot be read is one all the same.
          const marked = stored.has(`/cluster/unassigned${name}`);
          expect([...metadata.topics].includes(name)).toBe(exists);
          expect(metadata.markers.has(name)).toBe(marked);
          expect(metadata.unowned.has(name)).toBe((exists || marked) && owners.length === 0);
          expect(metadata.deliveries.get(name)).toBe(isThere(`/topics${name}/delivery`) ? 'Reliable' : undefined);
        }
        for (const owned of metadata.topicsOf.values()) expect([...owned].length).toBe(owned.size);
        expect([...metadata.topicsOf.values()].every(({ size }) => size > 0)).toBe(true);
        expect(metadata.revision).toBe(events.length);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a value that is not what its key promises', () => {
  it('counts as absent, is named as a problem, and is forgotten when it is put right or deleted', () => {
    const fold = createMetadataFold();
    put(fold, '/cluster/brokers/1/state', '{"mode":', 1);
    put(fold, '/topics/d/a/delivery', '"Sometimes"', 2);
    expect([fold.metadata.states.size, fold.metadata.deliveries.get('/d/a')]).toEqual([0, undefined]);
    expect([...fold.metadata.problems.keys()].sort()).toEqual(['/cluster/brokers/1/state', '/topics/d/a/delivery']);

    put(fold, '/topics/d/a/delivery', '"Reliable"', 3);
    fold.delete('/cluster/brokers/1/state', 4);

    expect(fold.metadata.deliveries.get('/d/a')).toBe('Reliable');
    expect([...fold.metadata.problems]).toEqual([]);
  });

  it('does not leave the good value of before in place', () => {
    const fold = createMetadataFold();
    put(fold, '/cluster/leader', '7', 1);

    put(fold, '/cluster/leader', '"seven"', 2);

    expect(fold.metadata.leader).toBeUndefined();
  });
});

describe('what is read from a key', () => {
  it('of a registration: the address, and of the admin address only the port', () => {
    const fold = createMetadataFold();
    const value =
      '{"admin_addr":"http://0.0.0.0:50051","broker_url":"http://10.0.0.7:6650","connect_url":"http://x:1"}';

    put(fold, '/cluster/register/18446744073709551615', value, 9, 5);

    expect(fold.metadata.registrations.get('18446744073709551615')).toEqual({
      brokerUrl: 'http://10.0.0.7:6650',
      adminPort: 50051,
      createRevision: 5,
    });
  });

  it('of the storage: its root, from an uploaded object', () => {
    const fold = createMetadataFold();

    put(fold, '/my/root/storage/topics/d/a/objects/cur', '{"start":"00000000000000000030"}', 1);

    expect([...fold.metadata.storageRoots]).toEqual(['/my/root']);
  });

  it('of a state without a mode: active, as the brokers have it', () => {
    const fold = createMetadataFold();

    put(fold, '/cluster/brokers/1/state', '{"mode":null}', 1);

    expect(fold.metadata.states.get('1')).toEqual({ mode: 'active', modRevision: 1 });
  });

  it('the metadata that was handed out does not change any more', () => {
    const fold = createMetadataFold();
    put(fold, '/namespaces/d/topics/d/a', 'null', 1);
    const before = fold.metadata;
    const copy = plain(before);

    put(fold, '/cluster/brokers/1/d/a', 'null', 2);
    fold.delete('/namespaces/d/topics/d/a', 3);

    expect(plain(before)).toEqual(copy);
    expect(plain(fold.metadata)).not.toEqual(copy);
  });
});

describe('a registration that cannot be read', () => {
  it('is still one: a broker must not look dead because somebody wrote nonsense', () => {
    const fold = createMetadataFold();

    put(fold, '/cluster/register/1', '{"broker_url":7}', 1);

    expect([...fold.metadata.registrations.keys()]).toEqual(['1']);
    expect(fold.metadata.problems.has('/cluster/register/1')).toBe(true);
  });

  it('keeps the address of the same registration', () => {
    const fold = createMetadataFold();
    const key = '/cluster/register/1';
    const good = '{"admin_addr":"http://0.0.0.0:50051","broker_url":"http://b:6650","connect_url":"http://b:6650"}';
    fold.put({ key, value: Buffer.from(good), createRevision: 5, modRevision: 5 });

    fold.put({ key, value: Buffer.from('null'), createRevision: 5, modRevision: 6 });

    expect(fold.metadata.registrations.get('1')?.brokerUrl).toBe('http://b:6650');
  });
});

describe('what stands under two keys', () => {
  it('stays when the other key goes: a state under two roots, a report at both paths', () => {
    const fold = createMetadataFold();
    const state = '{"broker_id":1,"last_committed_offset":9,"sealed":true,"timestamp":1}';
    put(fold, '/danube/storage/topics/d/a/state', state, 1);
    put(fold, '/danube-data/storage/topics/d/a/state', state, 2);
    put(fold, '/cluster/brokers/load/1', '{"broker_id":1,"resources_usage":[],"timestamp":1}', 3);
    put(fold, '/cluster/load/1', '{"broker_id":1,"resources_usage":[],"timestamp":2}', 4);

    fold.delete('/danube/storage/topics/d/a/state', 5);
    fold.delete('/cluster/brokers/load/1', 6);

    expect(fold.metadata.sealed.get('/d/a')?.root).toBe('/danube-data');
    expect(fold.metadata.reports.get('1')?.timestamp).toBe(2);
  });
});

describe('what no broker writes', () => {
  it('is no port to connect to', () => {
    const fold = createMetadataFold();

    put(
      fold,
      '/cluster/register/1',
      '{"admin_addr":"http://0.0.0.0:99999","broker_url":"http://b:1","connect_url":"x"}',
      1,
    );

    expect(fold.metadata.registrations.get('1')?.adminPort).toBeUndefined();
  });

  it('does not reach the status: less than nothing, half a producer', () => {
    const fold = createMetadataFold();
    const topic = '{"topic_name":"/d/a","message_rate":-1,"byte_rate":-5,"producer_count":0.4}';

    put(fold, '/cluster/load/1', `{"broker_id":1,"resources_usage":[],"timestamp":1,"topics":[${topic}]}`, 1);

    expect(fold.metadata.reports.get('1')).toMatchObject({ messagesPerSecond: 0, bytesPerSecond: 0, connections: 0 });
  });
});

describe('what a report says of each topic', () => {
  const topicLoad = (topic: string, bytes: number) =>
    `{"topic_name":"${topic}","message_rate":10,"byte_rate":${bytes},"producer_count":1,"consumer_count":2}`;
  const report = (...topics: string[]) =>
    `{"broker_id":1,"resources_usage":[],"timestamp":1,"topics":[${topics.join(',')}]}`;
  const registration =
    '{"broker_url":"http://10.0.0.7:6650","connect_url":"http://10.0.0.7:6650","admin_addr":"http://0.0.0.0:50051"}';

  function foldWithBroker(): MetadataFold {
    const fold = createMetadataFold();
    put(fold, '/cluster/register/1', registration, 1);
    put(fold, '/cluster/brokers/1/default/a', 'null', 2);
    put(fold, '/cluster/brokers/1/default/b', 'null', 3);
    return fold;
  }

  it('is held in columns, by the numbers of the topics', () => {
    const fold = foldWithBroker();
    put(fold, '/cluster/load/1', report(topicLoad('/default/b', 2048), topicLoad('/default/a', -5)), 4);

    const { reports, topicNumbers } = fold.metadata;
    const topics = reports.get('1')?.topics;
    expect([...(topics?.topic ?? [])].map(topicNumbers.nameOf)).toEqual(['/default/b', '/default/a']);
    expect(topics).toMatchObject({
      messagesPerSecond: Float32Array.of(10, 10),
      bytesPerSecond: Float32Array.of(2048, 0),
      producers: Float32Array.of(1, 1),
      consumers: Float32Array.of(2, 2),
    });
  });

  it('leaves out topics that never were, so that old reports do not fill the memory with names', () => {
    const fold = foldWithBroker();
    put(fold, '/cluster/load/1', report(topicLoad('/default/gone', 1), topicLoad('/default/a', 1)), 4);

    const { reports, topicNumbers } = fold.metadata;
    expect([...(reports.get('1')?.topics.topic ?? [])].map(topicNumbers.nameOf)).toEqual(['/default/a']);
    expect(topicNumbers.numberOf('/default/gone')).toBeUndefined();
  });

  it('is forgotten with the registration of its broker; the sums stay', () => {
    const fold = foldWithBroker();
    put(fold, '/cluster/load/1', report(topicLoad('/default/a', 2048)), 4);
    const before = fold.metadata;

    fold.delete('/cluster/register/1', 5);

    expect(fold.metadata.reports.get('1')).toMatchObject({
      bytesPerSecond: 2048,
      topics: { topic: new Int32Array(0) },
    });
    expect(before.reports.get('1')?.topics.topic).toHaveLength(1);
  });

  it('is nothing in a report of 0.6, which has only names', () => {
    const fold = foldWithBroker();
    put(fold, '/cluster/load/1', '{"resources_usage":[],"topic_list":["/default/a"],"topics_len":1}', 4);

    expect(fold.metadata.reports.get('1')?.topics.topic).toHaveLength(0);
  });
});

describe('a report of 0.6', () => {
  it('has no time: it proves nothing, and its broker is alive all the same', () => {
    const fold = createMetadataFold();
    const usage = '[{"resource":"CPU","usage":30},{"resource":"Memory","usage":30}]';

    put(fold, '/cluster/load/1', `{"resources_usage":${usage},"topic_list":["/default/t"],"topics_len":1}`, 1);

    expect(fold.metadata.reports.get('1')).toMatchObject({ timestamp: undefined, modRevision: 1 });
  });
});
