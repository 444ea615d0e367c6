/** What decoded values mean. That every value survives decoding and encoding is in `codecs.test.ts`. */
import { describe, expect, it } from 'vitest';
import * as values from './values.ts';

function read<T>(decode: (bytes: Uint8Array) => values.Decoded<T>, text: string): T {
  const decoded = decode(Buffer.from(text));
  if (!decoded.ok) throw new Error(decoded.problem);
  return decoded.value;
}

describe('a registration', () => {
  it('of 0.7.3 has an internal and a client address', () => {
    const text = '{"admin_addr":"http://0.0.0.0:50051","broker_url":"http://b-0:6650","connect_url":"http://proxy:1"}';

    expect(read(values.decodeRegistration, text)).toEqual({
      adminAddr: 'http://0.0.0.0:50051',
      brokerUrl: 'http://b-0:6650',
      connectUrl: 'http://proxy:1',
      format: '0.7.3',
    });
  });

  it.each([
    ['"http://0.0.0.0:6650"', 'http://b-0:6650'],
    ['"https://0.0.0.0:6650"', 'https://b-0:6650'],
  ])('of 0.5 to 0.7.2 has one address, with the scheme of the bind address %s', (bind, url) => {
    const text = `{"admin_addr":"http://h:1","advertised_addr":"b-0:6650","broker_addr":${bind},"prom_exporter":null}`;

    expect(read(values.decodeRegistration, text)).toEqual({
      adminAddr: 'http://h:1',
      brokerAddr: JSON.parse(bind),
      brokerUrl: url,
      connectUrl: url,
      format: '0.5',
    });
  });
});

describe('a marker', () => {
  it.each([
    ['null', { kind: 'new' }],
    ['{"from_broker":12549595323552083708,"reason":"unload"}', { kind: 'unload', fromBroker: '12549595323552083708' }],
    [
      '{"from_broker":1,"reason":"rebalance","timestamp":1771180000,"to_broker":18446744073709551615}',
      { kind: 'rebalance', fromBroker: '1', timestamp: 1771180000, toBroker: '18446744073709551615' },
    ],
    ['{"from_broker":0,"reason":"drain_redirect","to_broker":null}', { kind: 'drain_redirect', fromBroker: '0' }],
    ['{"reason":"unload","timestamp":"today"}', { kind: 'unload' }],
    ['{"reason":"split","from_broker":"?"}', { kind: 'unknown', reason: 'split' }],
  ])('%s is understood', (text, marker) => {
    expect(read(values.decodeMarker, text)).toEqual(marker);
  });

  it('is null for a new topic, never empty', () => {
    expect(values.encodeMarker({ kind: 'new' })).toBe('null');
  });
});

describe('a state of a broker', () => {
  it.each(['{"reason":"boot"}', '{"mode":5,"reason":"boot"}'])('without a string "mode" is active: %s', (text) => {
    expect(read(values.decodeBrokerState, text)).toEqual({ mode: 'active', reason: 'boot' });
  });
});

describe('a load report', () => {
  const decode = (bytes: Uint8Array) => values.decodeLoadReport(bytes, '7');

  it('of 0.6.2 and before names its topics and nothing more; its broker is in the key', () => {
    const text =
      '{"resources_usage":[{"resource":"CPU","usage":30},{"resource":"Memory","usage":31}],"topic_list":["/default/t"],"topics_len":1}';

    expect(read(decode, text)).toEqual({
      broker: '7',
      timestamp: 0,
      cpuPercent: 30,
      memoryPercent: 31,
      diskIo: 0,
      networkIo: 0,
      throughputMegabytesPerSecond: 0,
      topics: [
        {
          topic: '/default/t',
          messagesPerSecond: 0,
          bytesPerSecond: 0,
          producers: 0,
          consumers: 0,
          subscriptions: 0,
          backlogMessages: 0,
        },
      ],
      format: '0.6',
    });
  });

  it('of 0.7 may leave out all but resources, time and broker', () => {
    const report = read(decode, '{"broker_id":18446744073709551615,"resources_usage":[],"timestamp":5}');

    expect(report).toMatchObject({ broker: '18446744073709551615', timestamp: 5, cpuPercent: 0, topics: [] });
    expect(report.format).toBeUndefined();
  });
});

describe('offsets', () => {
  it('are exact beyond 2^53', () => {
    const seal = '{"broker_id":1,"last_committed_offset":9007199254740993,"sealed":true,"timestamp":1}';

    expect(read(values.decodeCursor, '9007199254740993')).toBe(9007199254740993n);
    expect(read(values.decodeSealedState, seal).lastCommittedOffset).toBe(9007199254740993n);
    expect(read(values.decodeObjectEnd, '{"end_offset":18446744073709551615}')).toBe(2n ** 64n - 1n);
    expect(read(values.decodeCurrentObject, '{"start":"09007199254740993000"}')).toBe(9007199254740993000n);
  });
});

describe('an object', () => {
  it('is named after its first offset and its time, unless it says otherwise', () => {
    const object = { startOffset: 30n, endOffset: 39n, sizeBytes: 1, createdAt: 1771180000 };

    expect(values.objectId(object)).toBe('data-30-1771180000.dnb1');
    expect(values.objectId({ ...object, id: 'data-0-29.dnb1' })).toBe('data-0-29.dnb1');
  });

  it.each(['[[0]]', '[[0,1,2]]', '[[0,-1]]', '[[0,1.5]]', '[0]', '{}'])('with the index %s is refused', (index) => {
    const text = `{"completed":true,"created_at":1,"end_offset":2,"object_id":"o","offset_index":${index},"size":1,"start_offset":0}`;

    expect(values.decodeObject(Buffer.from(text))).toMatchObject({
      ok: false,
      problem: expect.stringContaining('offset_index'),
    });
  });
});
