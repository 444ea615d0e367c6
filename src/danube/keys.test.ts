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
          fc.string(),
          fc.array(segment).map((parts) => parts.join('/')),
        ),
        (key) => {
          expect(keys.parseKey(key)).toHaveProperty('kind');
        },
      ),
    );
  });

  it.each([
    ['/cluster/brokers/18446744073709551616/default/t', 'an id beyond u64'],
    ['/cluster/brokers/007/default/t', 'an id with leading zeros'],
    ['/cluster/brokers/load/x', 'a report of no broker'],
    ['/cluster/brokers/12/default', 'an assignment without a topic'],
    ['/cluster/brokers/12/default/a/b', 'an assignment with a segment too many'],
    ['/cluster/leader/x', 'something below the leader'],
    ['/namespaces/default/topics/other/t', 'a topic of another namespace'],
    ['/danube-data/storage/topics/default/t/objects/1', 'an object without 20 digits'],
    ['/namespaces/default/policy', 'a policy'],
    ['/cluster/MY_CLUSTER', 'the cluster itself'],
  ])('%s is other: %s', (key) => {
    expect(keys.parseKey(key)).toEqual({ kind: 'other' });
  });

  it('recorded from real brokers are all known, but for those we do not need', () => {
    const unneeded = /^\/cluster\/MY_CLUSTER$|^\/namespaces\/\w+\/policy$|^\/topics\/system\/_events_topic$/;
    const all = [...recordedSnapshot(), ...recordedEvents()].map(({ key }) => key);

    const unknown = all.filter((key) => keys.parseKey(key).kind === 'other' && !unneeded.test(key));

    expect(all.length).toBeGreaterThan(300);
    expect(unknown).toEqual([]);
  });

  it('below a broker end in a slash, so that no longer id matches', () => {
    expect(keys.assignmentKey('1234', '/default/t').startsWith(keys.assignmentsPrefix('123'))).toBe(false);
  });
});

describe('topic names', () => {
  it.each(['/default/t', '/größe/t_1-x', '/default/t-part-0'])('%s is one', (name) => {
    expect(keys.isTopicName(name)).toBe(true);
  });
  it.each(['default/t', '/default', '/default/a.b', '/default/a/b', '/default/', '//t', ''])('"%s" is none', (name) => {
    expect(keys.isTopicName(name)).toBe(false);
  });
});
