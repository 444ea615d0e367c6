import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recordedEvents, recordedSnapshot } from './fixtures.ts';
import * as keys from './keys.ts';

const broker = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/);
const topic = fc.tuple(segment, segment).map(([namespace, name]) => `/${namespace}/${name}`);
const root = fc.constantFrom(...keys.DEFAULT_STORAGE_ROOTS, '/deep/er');

describe('keys', () => {
  it('are taken apart into what they were built from', () => {
    fc.assert(
      fc.property(
        broker,
        topic,
        segment,
        root,
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        (id, name, part, at, offset) => {
          expect(keys.parseKey(keys.LEADER_KEY)).toEqual({ kind: 'leader' });
          expect(keys.parseKey(keys.registrationKey(id))).toEqual({ kind: 'registration', broker: id });
          expect(keys.parseKey(keys.brokerStateKey(id))).toEqual({ kind: 'brokerState', broker: id });
          expect(keys.parseKey(keys.loadReportKey(id))).toEqual({ kind: 'loadReport', broker: id });
          expect(keys.parseKey(keys.assignmentKey(id, name))).toEqual({ kind: 'assignment', broker: id, topic: name });
          expect(keys.parseKey(keys.unassignedKey(name))).toEqual({ kind: 'unassigned', topic: name });
          expect(keys.parseKey(keys.topicKey(name))).toEqual({ kind: 'topic', topic: name });
          expect(keys.parseKey(keys.deliveryKey(name))).toEqual({ kind: 'delivery', topic: name });
          expect(keys.parseKey(keys.producerKey(name, id))).toEqual({ kind: 'producer', topic: name, producer: id });
          expect(keys.parseKey(keys.subscriptionKey(name, part))).toEqual({
            kind: 'subscription',
            topic: name,
            subscription: part,
          });
          expect(keys.parseKey(keys.cursorKey(name, part))).toEqual({
            kind: 'cursor',
            topic: name,
            subscription: part,
          });
          expect(keys.parseKey(keys.sealedStateKey(at, name))).toEqual({ kind: 'sealedState', root: at, topic: name });
          expect(keys.parseKey(keys.currentObjectKey(at, name))).toEqual({
            kind: 'currentObject',
            root: at,
            topic: name,
          });
          expect(keys.parseKey(keys.objectKey(at, name, offset))).toEqual({
            kind: 'object',
            root: at,
            topic: name,
            startOffset: offset,
          });
        },
      ),
    );
  });

  it('of any other kind never throw', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.uint8Array().map((bytes) => `/cluster/${Buffer.from(bytes).toString('utf8')}`),
          fc
            .array(
              fc.constantFrom('', 'cluster', 'brokers', 'topics', 'storage', 'state', 'objects', 'load', '1', 'a.b'),
            )
            .map((parts) => parts.join('/')),
          fc.array(segment).map((parts) => parts.join('/')),
        ),
        (key) => {
          const parsed = keys.parseKey(key);

          if (parsed.kind === 'other') expect(parsed.problem).not.toBe('');
        },
      ),
    );
  });

  it.each([
    ['/cluster/brokers/18446744073709551616/default/t', '"18446744073709551616" is not a broker id'],
    ['/cluster/brokers/007/default/t', '"007" is not a broker id'],
    ['/cluster/register/-5', '"-5" is not a broker id'],
    ['/cluster/load/1e3', '"1e3" is not a broker id'],
    ['/cluster/brokers/load/x', '"x" is not a broker id'],
    ['/cluster/register/', '"" is not a broker id'],
    ['/cluster/brokers/12', 'is not of the form /cluster/brokers/{broker}/{namespace}/{topic}'],
    ['/cluster/brokers/12/default', 'is not of the form /cluster/brokers/{broker}/{namespace}/{topic}'],
    ['/cluster/brokers/12/default/a/b', 'is not of the form /cluster/brokers/{broker}/{namespace}/{topic}'],
    ['/cluster/brokers/12//t', 'the namespace is empty'],
    ['/cluster/brokers/12/default/', 'the topic is empty'],
    ['/cluster/brokers/12/default/a.b', 'the topic "a.b" holds "."'],
    ['/cluster/unassigned/default/a b', 'the topic "a b" holds " "'],
    ['/cluster/unassigned/default/t/', 'is not of the form /cluster/unassigned/{namespace}/{topic}'],
    ['/cluster/unassigned//default/t', 'is not of the form /cluster/unassigned/{namespace}/{topic}'],
    ['/cluster/unassigned/default/t\0', 'the topic "t\\u0000" holds "\\u0000"'],
    ['/cluster/unassigned/\ufffd/t', 'bytes that are not UTF-8?'],
    ['/cluster/unassigned/default/\ud800', 'holds "\\ud800"'],
    ['/cluster/leader/x', 'is not of the form /cluster/leader'],
    ['/cluster/leader/', 'is not of the form /cluster/leader'],
    ['/cluster/', 'the cluster name is empty'],
    ['/cluster/rebalancing_history/today', '"today" is not a time'],
    ['/namespaces/default/topics/other/t', 'with the same namespace twice'],
    ['/namespaces/default/topics/default/t/', 'with the same namespace twice'],
    ['/namespaces/a.b/policy', 'the namespace "a.b" holds "."'],
    ['/topics/default/a*b/delivery', 'the topic "a*b" holds "*"'],
    ['/topics/default/t/delivery/', 'is not of the form /topics/{namespace}/{topic}/delivery'],
    ['/topics/default/', 'the topic is empty'],
    ['/topics/default/t/producers/p1', '"p1" is not a producer id'],
    ['/topics/default/t/subscriptions/', 'the subscription is empty'],
    ['/topics/default/t/subscriptions//cursor', 'the subscription is empty'],
    ['/topics/default/t/subscriptions/s/head', 'is not of the form /topics/{namespace}/{topic}/subscriptions'],
    ['/danube-data/storage/topics/default/t/objects/1', "an object's name is its first offset in 20 digits"],
    ['/danube-data/storage/topics/default/t/objects/99999999999999999999', 'is not a first offset'],
    ['/danube-data/storage/topics/default/a.b/state', 'the topic "a.b" holds "."'],
    ['/danube\ufffd/storage/topics/default/t/state', 'the storage root "/danube\ufffd" holds'],
    ['/schemas/_index/by_id/x', '"x" is not a schema id'],
  ])('%j is refused: %s', (key, problem) => {
    const parsed = keys.parseKey(key);

    expect(parsed).toMatchObject({ kind: 'other', problem: expect.stringContaining(problem) });
  });

  it.each([
    ['', '/', 'no key of anybody'],
    ['/danube-load-manager/fence', '/danube-load-manager/moves/default/a.b', 'our own'],
    ['/registry/pods/default/p', 'cluster/leader', "other programs'"],
    ['/cluster/later/version', '/topics/default/t/later', 'of later versions'],
  ])('%j and %j are other, without a problem: %s', (...all) => {
    for (const key of all.slice(0, 2)) expect(keys.parseKey(key)).toEqual({ kind: 'other' });
  });

  it.each([
    ['/danube/storage/topics/storage/topics/state', '/danube', '/storage/topics'],
    ['/a/storage/topics/b/storage/topics/default/t/state', '/a/storage/topics/b', '/default/t'],
    ['/cluster/storage/topics/default/t/state', '/cluster', '/default/t'],
    ['/topics/storage/topics/default/t/state', '/topics', '/default/t'],
    ['/storage/topics/default/t/state', '', '/default/t'],
    ['no-slash/storage/topics/default/t/state', 'no-slash', '/default/t'],
  ])('%s is a sealed state below %j', (key, at, name) => {
    expect(keys.parseKey(key)).toEqual({ kind: 'sealedState', root: at, topic: name });
    expect(keys.sealedStateKey(at, name)).toBe(key);
  });

  it.each([
    ['/cluster/MY_CLUSTER', { kind: 'cluster', name: 'MY_CLUSTER' }],
    ['/cluster/brokers/load/12', { kind: 'loadReport', broker: '12' }],
    ['/cluster/load_balance', { kind: 'loadBalance' }],
    ['/cluster/rebalancing_history/1771180000', { kind: 'rebalancingRecord', unixSeconds: '1771180000' }],
    ['/namespaces/default/policy', { kind: 'namespacePolicy', namespace: 'default' }],
    ['/topics/system/_events_topic', { kind: 'topicRoot', topic: '/system/_events_topic' }],
    ['/topics/default/t/policy', { kind: 'topicPolicy', topic: '/default/t' }],
    ['/topics/default/t/schema_subject', { kind: 'schemaSubject', topic: '/default/t' }],
    ['/topics/default/t/schema_config', { kind: 'schemaConfig', topic: '/default/t' }],
    ['/schemas/user-events/metadata', { kind: 'schemaMetadata', subject: 'user-events' }],
    ['/schemas/user-events/compatibility', { kind: 'schemaCompatibility', subject: 'user-events' }],
    ['/schemas/user-events/versions/3', { kind: 'schemaVersion', subject: 'user-events', version: '3' }],
    ['/schemas/_index/by_id/7', { kind: 'schemaById', id: '7' }],
    ['/schemas/_global/next_schema_id', { kind: 'nextSchemaId' }],
  ])('%s is known', (key, parsed) => {
    expect(keys.parseKey(key)).toEqual(parsed);
  });

  it('recorded from real brokers are all known', () => {
    const all = [...recordedSnapshot(), ...recordedEvents(), ...recordedEvents('history-2')].map(({ key }) => key);

    const unknown = all.filter((key) => keys.parseKey(key).kind === 'other');

    expect(all.length).toBeGreaterThan(3_000);
    expect(unknown).toEqual([]);
  });

  it('of any length are refused in one short line', () => {
    const parsed = keys.parseKey(`/cluster/unassigned/default/${'.'.repeat(2 ** 20)}`);

    expect(parsed).toHaveProperty('problem', expect.stringMatching(/^.{1,200}$/));
  });

  it('below a broker end in a slash, so that no longer id matches', () => {
    expect(keys.assignmentKey('1234', '/default/t').startsWith(keys.assignmentsPrefix('123'))).toBe(false);
  });
});
