import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recordedEvents, recordedSnapshot } from './fixtures.ts';
import { parseJson } from './json.ts';
import { type ParsedKey, parseKey } from './keys.ts';
import * as values from './values.ts';

const recorded = [...recordedSnapshot(), ...recordedEvents(), ...recordedEvents('history-2')].flatMap(
  ({ key, value }) => (value === undefined ? [] : [{ key, value, parsed: parseKey(key) }]),
);

function ofKind<K extends ParsedKey['kind']>(
  kind: K,
): { key: string; value: string; parsed: ParsedKey & { readonly kind: K } }[] {
  return recorded.flatMap(({ key, value, parsed }) =>
    parsed.kind === kind ? [{ key, value, parsed: parsed as ParsedKey & { readonly kind: K } }] : [],
  );
}

function ok<T>(decoded: values.Decoded<T>): T {
  if (!decoded.ok) throw new Error(decoded.problem);
  return decoded.value;
}

const DECODERS = {
  registration: values.decodeRegistration,
  brokerState: values.decodeBrokerState,
  unassigned: values.decodeMarker,
  leader: values.decodeLeader,
  delivery: values.decodeDelivery,
  cursor: values.decodeCursor,
  sealedState: values.decodeSealedState,
  object: values.decodeObjectEnd,
  loadReport: (bytes: Uint8Array) => values.decodeLoadReport(bytes, '1'),
};

describe('decoding', () => {
  it.each(Object.keys(DECODERS) as (keyof typeof DECODERS)[])('reads every recorded value of %s', (kind) => {
    const all = ofKind(kind);

    expect(all.length).toBeGreaterThan(0);
    for (const { key, value } of all) {
      expect(DECODERS[kind](Buffer.from(value)), key).toMatchObject({ ok: true });
    }
  });

  it.each(Object.keys(DECODERS) as (keyof typeof DECODERS)[])('never throws, whatever %s holds', (kind) => {
    const anything = fc.oneof(
      fc.uint8Array(),
      fc.json().map((text) => Buffer.from(text)),
      fc
        .constantFrom('null', '{}', '[]', '0', '-1', '"x"', '18446744073709551616', '{"reason":1}', '')
        .map(Buffer.from),
    );
    fc.assert(
      fc.property(anything, (bytes) => {
        const decoded = DECODERS[kind](bytes);

        if (!decoded.ok) expect(decoded.problem).not.toBe('');
      }),
    );
  });

  it('knows the ids of a marker and of a registration beyond 2^53', () => {
    const marker = '{"from_broker":12549595323552083708,"reason":"unload"}';

    expect(values.decodeMarker(Buffer.from(marker))).toEqual({
      ok: true,
      value: { kind: 'unload', fromBroker: '12549595323552083708' },
    });
  });

  it('reads the older registration of 0.5 to 0.7.2, and the older load report of 0.6.2', () => {
    const registration = '{"admin_addr":"http://h:1","advertised_addr":"b-0:6650","broker_addr":"http://b-0:6650"}';
    const report =
      '{"resources_usage":[{"resource":"CPU","usage":30},{"resource":"Memory","usage":30}],"topic_list":["/default/t"],"topics_len":1}';

    expect(values.decodeRegistration(Buffer.from(registration))).toEqual({
      ok: true,
      value: { adminAddr: 'http://h:1', brokerUrl: 'http://b-0:6650', connectUrl: 'http://b-0:6650', format: '0.5' },
    });
    expect(values.decodeLoadReport(Buffer.from(report), '7')).toMatchObject({
      ok: true,
      value: { broker: '7', cpuPercent: 30, topics: [{ topic: '/default/t', messagesPerSecond: 0 }] },
    });
  });

  it('says what is wrong with an empty value', () => {
    expect(values.decodeMarker(Buffer.of())).toEqual({
      ok: false,
      problem: 'is empty; brokers write JSON, "nothing" is null',
    });
  });
});

describe('encoding gives back every recorded value, byte for byte:', () => {
  it('registrations', () => {
    for (const { value } of ofKind('registration')) {
      expect(values.encodeRegistration(ok(values.decodeRegistration(Buffer.from(value))))).toBe(value);
    }
  });

  it('states of brokers and sealed topics, cursors, deliveries', () => {
    for (const { value } of ofKind('brokerState')) {
      expect(values.encodeBrokerState(ok(values.decodeBrokerState(Buffer.from(value))))).toBe(value);
    }
    for (const { value } of ofKind('sealedState')) {
      expect(values.encodeSealedState(ok(values.decodeSealedState(Buffer.from(value))))).toBe(value);
    }
    for (const { value } of ofKind('cursor')) {
      expect(values.encodeCursor(ok(values.decodeCursor(Buffer.from(value))))).toBe(value);
    }
    for (const { value } of ofKind('delivery')) {
      expect(values.encodeDelivery(ok(values.decodeDelivery(Buffer.from(value))))).toBe(value);
    }
  });

  it('markers, but for the time stamp that only the brokers themselves write', () => {
    const markers = ofKind('unassigned').filter(({ value }) => !value.includes('timestamp'));

    expect(new Set(markers.map(({ value }) => ok(values.decodeMarker(Buffer.from(value))).kind)).size).toBe(3);
    for (const { value } of markers) {
      const marker = ok(values.decodeMarker(Buffer.from(value)));
      if (marker.kind === 'unknown') throw new Error(`unknown marker ${value}`);
      expect(values.encodeMarker(marker)).toBe(value);
    }
  });

  it('load reports, floats included', () => {
    const reports = ofKind('loadReport');

    expect(reports.some(({ value }) => value.includes('"byte_rate":48,'))).toBe(true);
    for (const { value, parsed } of reports) {
      expect(values.encodeLoadReport(ok(values.decodeLoadReport(Buffer.from(value), parsed.broker)))).toBe(value);
    }
  });

  it('objects and the current one', () => {
    for (const { value } of ofKind('object')) {
      const object = parseJson(value) as { start_offset: number; end_offset: number; size: number; created_at: number };
      expect(
        values.encodeObject({
          startOffset: BigInt(object.start_offset),
          endOffset: BigInt(object.end_offset),
          sizeBytes: object.size,
          createdAt: object.created_at,
        }),
      ).toBe(value);
    }
    for (const { value } of ofKind('currentObject')) {
      expect(values.encodeCurrentObject(BigInt(/\d+/.exec(value)?.[0] ?? ''))).toBe(value);
    }
  });

  it('producers and subscriptions', () => {
    for (const { value, parsed } of ofKind('producer')) {
      const name = /"producer_name":"([^"]*)"/.exec(value)?.[1] ?? '';
      expect(values.encodeProducer({ id: parsed.producer, name, topic: parsed.topic })).toBe(value);
    }
    for (const { value, parsed } of ofKind('subscription')) {
      const name = /"consumer_name":"([^"]*)"/.exec(value)?.[1] ?? '';
      expect(values.encodeSubscription(parsed.subscription, name)).toBe(value);
    }
  });
});
