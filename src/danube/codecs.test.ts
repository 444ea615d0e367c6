import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CODECS, type Codec, loadReportCodec, problemWith, rewriteValue } from './codecs.ts';
import type { Decoded } from './fields.ts';
import { recordedEvents, recordedSnapshot } from './fixtures.ts';
import { parseKey } from './keys.ts';

interface AnyCodec {
  decode(bytes: Uint8Array): Decoded<unknown>;
  encode(value: unknown): string;
}

/** Codecs differ in what they decode to; here only the round trip counts. */
function codecOf(key: string): AnyCodec {
  const parsed = parseKey(key);
  if (parsed.kind === 'other') throw new Error(`${key}: ${parsed.problem ?? 'unknown'}`);
  return (parsed.kind === 'loadReport' ? loadReportCodec(parsed.broker) : CODECS[parsed.kind]) as AnyCodec;
}

function ok<T>(decoded: Decoded<T>): T {
  if (!decoded.ok) throw new Error(decoded.problem);
  return decoded.value;
}

function survives<T>(codec: Codec<T>, value: T): void {
  expect(ok(codec.decode(Buffer.from(codec.encode(value))))).toEqual(value);
}

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

/** One key and an example of its value for each kind (contract 2.2), beyond those that were recorded. */
const EXAMPLES: readonly (readonly [string, string])[] = [
  ['/cluster/MY_CLUSTER', 'null'],
  [
    '/cluster/register/12',
    '{"admin_addr":"http://0.0.0.0:50051","broker_url":"https://b-0:6650","connect_url":"https://p:1"}',
  ],
  [
    '/cluster/register/12',
    '{"admin_addr":"http://0.0.0.0:1","advertised_addr":"b-0:6650","broker_addr":"http://0.0.0.0:6650","prom_exporter":"0.0.0.0:9040"}',
  ],
  ['/cluster/leader', '18446744073709551615'],
  ['/cluster/brokers/12/state', '{"mode":"drained","reason":"drain_complete"}'],
  ['/cluster/brokers/12/default/t', 'null'],
  ['/cluster/unassigned/default/t', '{"from_broker":12549595323552083708,"reason":"unload"}'],
  ['/cluster/unassigned/default/t', '{"from_broker":1,"reason":"rebalance","timestamp":1771180000,"to_broker":2}'],
  ['/cluster/unassigned/default/t', '{"from_broker":1,"reason":"drain_redirect"}'],
  ['/cluster/unassigned/default/t', '{"reason":"of a later version"}'],
  [
    '/cluster/load/12',
    '{"resources_usage":[{"resource":"CPU","usage":30},{"resource":"Memory","usage":30}],"topic_list":["/default/t"],"topics_len":1}',
  ],
  [
    '/cluster/brokers/load/12',
    '{"broker_id":12,"resources_usage":[{"resource":"CPU","usage":3.1},{"resource":"Memory","usage":41.7},{"resource":"DiskIO","usage":0.0},{"resource":"NetworkIO","usage":1234.0}],"timestamp":1771180000,"topics":[],"total_lag_messages":0,"total_message_rate":0,"total_throughput_mbps":-0.0}',
  ],
  ['/cluster/load_balance', '{"ranking":[12]}'],
  [
    '/cluster/rebalancing_history/1771180000',
    '{"estimated_load":5.2,"from_broker":18446744073709551615,"reason":"LoadImbalance","timestamp":1771180000,"to_broker":2,"topic":"/default/t"}',
  ],
  [
    '/topics/default/t/policy',
    '{"max_consumers_per_subscription":0,"max_consumers_per_topic":0,"max_message_size":10485760,"max_producers_per_topic":0,"max_publish_rate":0,"max_subscription_dispatch_rate":0,"max_subscriptions_per_topic":0}',
  ],
  ['/topics/default/t/schema_subject', '"user-events"'],
  ['/topics/default/t/schema_config', '{"enable_payload_validation":false,"subject":"s","validation_policy":"None"}'],
  [
    '/topics/default/t/subscriptions/s',
    '{"consumer_id":18446744073709551615,"consumer_name":"c","subscription_name":"s","subscription_type":1}',
  ],
  [
    '/any/where/storage/topics/default/t/objects/00000000000000000000',
    '{"completed":false,"created_at":1,"end_offset":18446744073709551615,"etag":"x","object_id":"data-0-29.dnb1","offset_index":[[0,0],[18446744073709551615,7164]],"size":7164,"start_offset":0}',
  ],
  ['/any/where/storage/topics/default/t/objects/cur', '{"start":"18446744073709551615"}'],
  ['/schemas/user-events/metadata', '{"schema_id":18446744073709551615}'],
  ['/schemas/user-events/versions/3', '{"x":0.0}'],
  ['/schemas/user-events/compatibility', '{"mode":"Backward"}'],
  ['/schemas/_global/next_schema_id', '4'],
  ['/schemas/_index/by_id/3', '"user-events"'],
];

describe('a value', () => {
  const recorded = [...recordedSnapshot(), ...recordedEvents(), ...recordedEvents('history-2')].flatMap(
    ({ key, value }) => (value === undefined ? [] : [[key, value] as const]),
  );

  it('that a real broker wrote is decoded, and encoded back byte for byte', () => {
    expect(recorded.length).toBeGreaterThan(2_900);
    for (const [key, value] of recorded) {
      const codec = codecOf(key);
      expect(codec.encode(ok(codec.decode(Buffer.from(value)))), key).toBe(value);
    }
  });

  it.each(EXAMPLES)('of %s is, too: %s', (key, value) => {
    const codec = codecOf(key);

    expect(codec.encode(ok(codec.decode(Buffer.from(value))))).toBe(value);
  });

  it('survives being encoded and decoded with any u64 for its ids and offsets', () => {
    fc.assert(
      fc.property(u64.map(String), u64.map(String), u64, fc.string({ unit: 'binary' }), (from, to, offset, text) => {
        const object = { startOffset: offset, endOffset: BigInt(from), sizeBytes: 1, createdAt: 2, completed: false };
        const stored = { ...object, id: text, etag: text, offsetIndex: [[offset, BigInt(to)] as const] };
        const record = { topic: text, fromBroker: from, toBroker: to, reason: text, estimatedLoad: 0.1, timestamp: 1 };

        survives(CODECS.leader, from);
        survives(CODECS.cursor, offset);
        survives(CODECS.currentObject, offset);
        survives(CODECS.object, stored);
        survives(CODECS.unassigned, { kind: 'rebalance', fromBroker: from, toBroker: to, timestamp: 5 });
        survives(CODECS.sealedState, { broker: from, lastCommittedOffset: offset, sealed: false, timestamp: 5 });
        survives(CODECS.producer, { id: from, name: text, topic: text, accessMode: 1, status: false });
        survives(CODECS.subscription, { name: text, consumerName: text, consumerId: to, type: 2 });
        survives(CODECS.rebalancingRecord, record);
      }),
    );
  });

  it('of every kind is among those', () => {
    const kinds = [...recorded, ...EXAMPLES].map(([key]) => parseKey(key).kind);

    expect(new Set(kinds)).toEqual(new Set([...Object.keys(CODECS), 'loadReport']));
  });
});

describe('rewriteValue', () => {
  const report =
    '{"zone":"b","broker_id":7,"resources_usage":[{"resource":"CPU","usage":0.0,"cores":4.0},{"usage":2.227373840923975e-8,"resource":"Memory"},{"resource":"GPU","usage":1E1}],"timestamp":1,"topics":[{"topic_name":"/default/t","message_rate":1,"tags":[1e-7,{"id":18446744073709551615}]}],"2":-0,"total_lag_messages":99999999999999999999999}';

  it('changes what is asked for and keeps everything else, of other writers and of later versions', () => {
    const changed = rewriteValue(loadReportCodec('7'), Buffer.from(report), (value) => ({ ...value, timestamp: 2 }));

    expect(ok(changed)).toBe(report.replace('"timestamp":1', '"timestamp":2'));
  });

  it('reaches into lists', () => {
    const changed = rewriteValue(loadReportCodec('7'), Buffer.from(report), (value) => ({
      ...value,
      topics: value.topics.map((topic) => ({ ...topic, producers: 3 })),
    }));

    expect(ok(changed)).toBe(report.replace('615}]}', '615}],"producer_count":3}'));
  });

  it('keeps the flag that later brokers add to a marker', () => {
    const marker = '{"from_broker":12549595323552083708,"ready":false,"reason":"unload"}';

    const changed = rewriteValue(CODECS.unassigned, Buffer.from(marker), (value) => ({ ...value, toBroker: '5' }));

    expect(ok(changed)).toBe('{"from_broker":12549595323552083708,"ready":false,"reason":"unload","to_broker":5}');
  });

  it('raises the seed of any state by any u64, around any unknown members', () => {
    const unknown = fc.dictionary(fc.stringMatching(/^[a-z0-9]{1,6}\?$/), fc.jsonValue());
    fc.assert(
      fc.property(u64, u64, u64, unknown, unknown, (broker, offset, raised, before, after) => {
        const text = (to: bigint): string =>
          `{"first":${JSON.stringify(before)},"broker_id":${broker},"last_committed_offset":${to},"sealed":true,"timestamp":1.0,"last":${JSON.stringify(after)}}`;

        const changed = rewriteValue(CODECS.sealedState, Buffer.from(text(offset)), (state) => ({
          ...state,
          lastCommittedOffset: raised,
        }));

        expect(ok(changed)).toBe(text(raised));
      }),
    );
  });

  it('leaves a value alone that it cannot read', () => {
    const changed = rewriteValue(CODECS.sealedState, Buffer.from('{}'), (state) => ({ ...state, sealed: false }));

    expect(changed).toMatchObject({ ok: false, problem: expect.stringContaining('broker_id is missing') });
  });
});

describe('problemWith', () => {
  const MARKER = '/cluster/unassigned/default/t';
  const STATE = '/danube/storage/topics/default/t/state';

  it.each([
    [MARKER, '', 'is empty; brokers write JSON, "nothing" is null'],
    [MARKER, 'unload', 'is not JSON: '],
    [MARKER, '\0', "is not JSON: Unexpected token '\\u0000'"],
    [MARKER, '"unload"', 'marker is the string "unload", not an object'],
    [MARKER, '[]', 'marker is a list, not an object'],
    [MARKER, '{"reason":1}', 'reason is 1, not a string'],
    [MARKER, '{}', 'reason is missing, not a string'],
    [
      MARKER,
      '{"reason":"unload","from_broker":18446744073709551616}',
      'from_broker is 18446744073709551616, not a whole',
    ],
    [MARKER, '{"reason":"unload","from_broker":-1}', 'from_broker is -1, not a whole number from 0'],
    [MARKER, '{"reason":"unload","from_broker":-0}', 'from_broker is -0, not a whole'],
    [MARKER, '{"reason":"unload","from_broker":1e3}', 'from_broker is 1e3, not a whole'],
    [MARKER, '{"reason":"unload","from_broker":5.0}', 'from_broker is 5.0, not a whole'],
    [MARKER, '{"reason":"unload","from_broker":"5"}', 'from_broker is the string "5", not a whole'],
    [MARKER, '{"reason":"unload","from_broker":[5]}', 'from_broker is a list, not a whole'],
    [MARKER, '{"reason":"unload","reason":"rebalance"}', 'has a name twice in one object'],
    [MARKER, '{"__proto__":{"reason":"unload"}}', 'reason is missing'],
    [MARKER, '{"reason":"\\ud800"}', 'has half of a surrogate pair'],
    [MARKER, '\ufeffnull', 'is not JSON'],
    ['/cluster/leader', '1.8e19', 'leader is 1.8e19, not a whole'],
    ['/cluster/leader', 'null', 'leader is null, not a whole'],
    ['/cluster/leader', '"5"', 'leader is the string "5", not a whole'],
    ['/cluster/brokers/1/default/t', '{}', 'is not null, the only value that brokers write here'],
    ['/cluster/brokers/1/state', '"active"', 'state is the string "active", not an object'],
    ['/cluster/register/1', '{"admin_addr":"x"}', 'broker_url is missing, not a string'],
    ['/cluster/register/1', '{"admin_addr":"x","advertised_addr":5}', 'advertised_addr is 5, not a string'],
    ['/topics/default/t/delivery', '"reliable"', 'is neither "Reliable" nor "NonReliable"'],
    ['/topics/default/t/subscriptions/s/cursor', '-1', 'cursor is -1, not a whole'],
    [STATE, '{"broker_id":1,"last_committed_offset":1e2,"sealed":true,"timestamp":1}', 'last_committed_offset is 1e2'],
    [STATE, '{"broker_id":1,"last_committed_offset":1,"sealed":1,"timestamp":1}', 'sealed is 1, not true or false'],
    ['/cluster/load/1', '{"broker_id":1,"resources_usage":[],"topics":[]}', 'timestamp is missing, not a number'],
    ['/cluster/load/1', '{"timestamp":1,"resources_usage":[]}', 'broker_id is missing'],
    [
      '/cluster/load/1',
      '{"broker_id":1,"timestamp":1,"resources_usage":{}}',
      'resources_usage is an object, not a list',
    ],
    [
      '/cluster/load/1',
      '{"broker_id":1,"timestamp":1,"resources_usage":[],"topics":[{"topic_name":"/a/b"},{"topic_name":7}]}',
      'topics[1]: topic_name is 7, not a string',
    ],
    ['/cluster/load/1', '{"resources_usage":[],"topic_list":["/a/b",null]}', 'topic_list[1] is null, not a string'],
    ['/cluster/register/x', '{}', '"x" is not a broker id, which is a u64 in decimal'],
    ['/cluster/unassigned/default/a.b', 'null', 'the topic "a.b" holds "."; brokers take letters, digits, "_" and "-"'],
  ])('of %s = %j says: %s', (key, value, problem) => {
    expect(problemWith(key, Buffer.from(value))).toContain(problem);
  });

  it.each([
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'is not UTF-8'],
    ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'is not UTF-8'],
    ['1 MiB of nothing in particular', Buffer.alloc(2 ** 20, 'x'), 'is not JSON'],
    ['1 MiB of one string', Buffer.from(`"${'x'.repeat(2 ** 20)}"`), 'is the string "xxx'],
    ['1 MiB of one number', Buffer.alloc(2 ** 20, '1'), 'has a number beyond a double'],
    [
      '1 MiB of brackets',
      Buffer.from('['.repeat(2 ** 19) + ']'.repeat(2 ** 19)),
      'is nested deeper than the 127 levels',
    ],
    ['1 MiB of open brackets', Buffer.alloc(2 ** 20, '['), 'is not JSON'],
    ['1 MiB of one name', Buffer.from(`{${'"a":1,'.repeat(2 ** 17)}"a":1}`), 'has a name twice'],
  ])('understands %s, within one line', (_what, bytes, problem) => {
    expect(problemWith(MARKER, bytes)).toContain(problem);
    for (const key of [MARKER, STATE, '/cluster/leader', '/cluster/load/1', '/schemas/s/metadata'])
      expect(problemWith(key, bytes) ?? '').toMatch(/^.{0,250}$/);
  });

  it("is undefined for good values, and for keys that are not the brokers'", () => {
    for (const [key, value] of EXAMPLES) expect(problemWith(key, Buffer.from(value)), key).toBeUndefined();
    expect(problemWith('/danube-load-manager/fence', Buffer.of())).toBeUndefined();
  });

  it('never throws and never says nothing, whatever a key holds', () => {
    const scalar = fc.constantFrom<unknown>(null, true, 0, -1, 1e3, 5.5, '', '5', [], {}, [null], 2 ** 64);
    const nearly = fc
      .constantFrom(...EXAMPLES)
      .chain(([key, value]) =>
        fc.tuple(fc.constant(key), fc.constant(value), fc.integer({ min: 0, max: value.length }), scalar, fc.boolean()),
      )
      .map(([key, value, at, other, cut]) => {
        const text = cut ? value.slice(0, at) : value.replace(/:[^,:{}[\]]+/, `:${JSON.stringify(other)}`);
        return [key, Buffer.from(text)] as const;
      });
    const anything = fc.tuple(
      fc.constantFrom(...EXAMPLES.map(([key]) => key)),
      fc.oneof(
        fc.uint8Array(),
        fc.json({ stringUnit: 'binary' }).map((text) => Buffer.from(text)),
      ),
    );
    fc.assert(
      fc.property(fc.oneof(nearly, anything), ([key, bytes]) => {
        expect(problemWith(key, bytes)).not.toBe('');
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('encoders refuse what is not a u64, since it would stop a broker:', () => {
  it.each(['', '-1', '0x10', '1e3', '18446744073709551616', '12 '])('%j as an id', (id) => {
    const refused = 'is not a u64 and cannot be written';

    expect(() => CODECS.leader.encode(id)).toThrow(refused);
    expect(() => CODECS.unassigned.encode({ kind: 'unload', fromBroker: id })).toThrow(refused);
    expect(() =>
      CODECS.sealedState.encode({ broker: id, lastCommittedOffset: 0n, sealed: true, timestamp: 0 }),
    ).toThrow(refused);
  });

  it.each([-1n, 2n ** 64n])('%d as an offset', (offset) => {
    const refused = 'is not a u64 and cannot be written';

    expect(() => CODECS.cursor.encode(offset)).toThrow(refused);
    expect(() => CODECS.currentObject.encode(offset)).toThrow(refused);
  });
});
