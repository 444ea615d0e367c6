/** Held against the generic decoder of the generated clients, message by message. */
import { ConnectionPool } from 'etcd3/lib/connection-pool.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeRangeReply, decodeTxnReply, decodeWatchReply } from './decode.ts';

interface Codec {
  readonly responseSerialize: (message: object) => Buffer;
}

/** The generated codecs of the library's protocol definition. */
async function codecOf(service: 'KV' | 'Watch', method: string): Promise<Codec> {
  const pool = new ConnectionPool({ hosts: 'http://127.0.0.1:1' });
  const { client } = await pool.withConnection(service, (args) => args);
  const definition = (client.constructor as unknown as { service: Record<string, Codec> }).service[method];
  pool.close();
  if (definition === undefined) throw new Error(`${service} has no method ${method}`);
  return definition;
}

const revision = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const lease = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String);
const kv = fc.record({
  key: fc.string({ unit: 'binary', minLength: 1 }).map((text) => Buffer.from(text)),
  value: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  create_revision: revision,
  mod_revision: revision,
  version: revision,
  lease,
});
const header = fc.record({ cluster_id: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String), revision });

function entryOf(message: typeof kv extends fc.Arbitrary<infer T> ? T : never): object {
  return {
    key: message.key.toString('utf8'),
    value: message.value,
    createRevision: message.create_revision,
    modRevision: message.mod_revision,
    version: message.version,
    ...(message.lease !== '0' && { lease: message.lease }),
  };
}

describe('the decoder', () => {
  it('reads every page of keys as it was written', async () => {
    const { responseSerialize } = await codecOf('KV', 'Range');
    const message = fc.record({ header, kvs: fc.array(kv), more: fc.boolean(), count: fc.nat() });

    fc.assert(
      fc.property(message, (reply) => {
        const bytes = responseSerialize(reply);

        expect(decodeRangeReply(bytes)).toEqual({
          revision: reply.header.revision,
          entries: reply.kvs.map(entryOf),
          more: reply.more,
          count: reply.count,
          lastKey: reply.kvs.at(-1)?.key,
          bytes: bytes.length,
        });
      }),
    );
  });

  it('reads every watch reply as it was written', async () => {
    const { responseSerialize } = await codecOf('Watch', 'Watch');
    const event = fc.record({ type: fc.constantFrom('Put', 'Delete'), kv });
    const message = fc.record({
      header,
      created: fc.boolean(),
      canceled: fc.boolean(),
      compact_revision: fc.nat(),
      cancel_reason: fc.string({ unit: 'binary' }),
      fragment: fc.boolean(),
      events: fc.array(event),
    });

    fc.assert(
      fc.property(message, (reply) => {
        const bytes = responseSerialize(reply);

        expect(decodeWatchReply(bytes)).toEqual({
          clusterId: reply.header.cluster_id,
          revision: reply.header.revision,
          created: reply.created,
          canceled: reply.canceled,
          compactRevision: reply.compact_revision,
          cancelReason: reply.cancel_reason,
          fragment: reply.fragment,
          events: reply.events.map((one) => ({ type: one.type === 'Put' ? 'put' : 'delete', entry: entryOf(one.kv) })),
          bytes: bytes.length,
        });
      }),
    );
  });

  it('reads what a refused transaction has found', async () => {
    const { responseSerialize } = await codecOf('KV', 'Txn');
    const range = fc.array(kv).map((kvs) => ({ response_range: { kvs } }));
    const message = fc.record({ header, succeeded: fc.boolean(), responses: fc.array(range) });

    fc.assert(
      fc.property(message, (reply) => {
        expect(decodeTxnReply(responseSerialize(reply))).toEqual({
          revision: reply.header.revision,
          succeeded: reply.succeeded,
          found: reply.responses.flatMap(({ response_range }) => response_range.kvs.map(entryOf)),
        });
      }),
    );
  });

  it('refuses a revision that JavaScript would round', async () => {
    const { responseSerialize } = await codecOf('KV', 'Range');

    const bytes = responseSerialize({ header: { revision: '9007199254740993' } });

    expect(() => decodeRangeReply(bytes)).toThrow('beyond 2^53');
  });

  it('does not read beyond a reply that was cut off', async () => {
    const { responseSerialize } = await codecOf('KV', 'Range');
    const bytes = responseSerialize({ kvs: [{ key: Buffer.from('/key'), value: Buffer.from('value') }] });

    expect(() => decodeRangeReply(bytes.subarray(0, -2))).toThrow('in the middle of a field');
  });
});
