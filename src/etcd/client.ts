/** The etcd port over two links: calls and streams apart, so that neither waits behind the other's bytes. */
import { decodeRangeReply, decodeTxnReply, type RangeReply, type TxnReply } from './decode.ts';
import { toEtcdError } from './errors.ts';
import { type Connection, createLink, type Link } from './link.ts';
import { type Compare, type Entry, type EtcdPort, type Operation, rangeOf } from './port.ts';
import { createScan } from './scan.ts';
import { watch } from './watch.ts';

export interface ClientOptions {
  readonly endpoints: readonly string[];
  /** A new connection to one member. */
  readonly connect: (endpoint: string) => Connection;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly watchHeartbeatMs: number;
  readonly maxBufferedBytes: number;
}

export function createClient(options: ClientOptions): EtcdPort {
  const { endpoints, timeoutMs } = options;
  const calls = createLink(options);
  const streams = createLink(options);

  function range(what: string, message: object): Promise<RangeReply> {
    return calls.call({ what, service: 'KV', method: 'Range', message, repeatable: true, decode: decodeRangeReply });
  }

  async function count(prefix: string, revision = 0): Promise<{ revision: number; count: number }> {
    const reply = await range(`count of "${prefix}*"`, { ...rangeOf(prefix), count_only: true, revision });
    return { revision: revision || reply.revision, count: reply.count };
  }

  const scan = createScan(({ what, from, to, limit, revision, keysOnly, minModRevision }) =>
    range(what, {
      key: from,
      range_end: to,
      limit,
      revision,
      keys_only: keysOnly,
      min_mod_revision: minModRevision,
    }),
  );

  return {
    async read(prefix, readOptions = {}) {
      const pages: (readonly Entry[])[] = [];
      const { revision } = await scan(prefix, readOptions, (entries) => pages.push(entries));
      return { revision, entries: pages.flat() };
    },

    scan,
    count,

    async get(key) {
      const reply = await range(`get of "${key}"`, { key: Buffer.from(key, 'utf8') });
      return reply.entries[0];
    },

    async commit(compares, operations) {
      checkDistinct(operations);
      const compared = [...new Set(compares.map((compare) => compare.key))];
      try {
        const reply = await calls.call<TxnReply>({
          what: 'transaction',
          service: 'KV',
          method: 'Txn',
          message: {
            compare: compares.map(toCompare),
            success: operations.map(toRequestOp),
            failure: compared.map((key) => ({ request_range: { key: Buffer.from(key, 'utf8') } })),
          },
          repeatable: false,
          decode: decodeTxnReply,
        });
        return reply.succeeded
          ? { outcome: 'applied', revision: reply.revision }
          : { outcome: 'refused', revision: reply.revision, found: reply.found };
      } catch (error) {
        return { outcome: 'unknown', error: toEtcdError('transaction', endpoints.join(', '), error) };
      }
    },

    watch(prefix, from, signal) {
      return watch({
        link: streams,
        prefix,
        from,
        signal,
        heartbeatMs: options.watchHeartbeatMs,
        maxBufferedBytes: options.maxBufferedBytes,
        readRevision: async () => (await count('\0')).revision,
        onSilence: calls.suspect,
      });
    },

    async grantLease(ttlSeconds) {
      const message = { TTL: ttlSeconds };
      const call = { what: 'lease grant', service: 'Lease', method: 'LeaseGrant', message, repeatable: true } as const;
      // Granted twice, the first one simply expires.
      return (await calls.call<{ ID: string }>(call)).ID;
    },

    keepAliveLease: (lease) => keepAliveOnce(streams, lease, timeoutMs),

    async revokeLease(lease) {
      const message = { ID: lease };
      const what = `revocation of lease ${lease}`;
      await calls.call({ what, service: 'Lease', method: 'LeaseRevoke', message, repeatable: false });
    },

    close() {
      calls.close();
      streams.close();
    },
  };
}

/** A stream per renewal: one that was lost in the network then costs one renewal, not all that follow. */
async function keepAliveOnce(link: Link, lease: string, timeoutMs: number): Promise<number> {
  const what = `keep-alive of lease ${lease}`;
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const stream = await link.stream<{ TTL: string }>(
    { what, service: 'Lease', method: 'LeaseKeepAlive' },
    {
      onReply: ({ TTL }) => resolve(Number(TTL)),
      onEnd: (error) => reject(error ?? new Error('the stream was closed by the server')),
    },
  );
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    stream.write({ ID: lease });
    return await promise;
  } catch (error) {
    throw stream.fail(error);
  } finally {
    clearTimeout(timer);
    stream.cancel();
  }
}

/** etcd refuses a transaction that writes a key twice; to find out here names the key. */
function checkDistinct(operations: readonly Operation[]): void {
  const keys = new Set<string>();
  for (const operation of operations) {
    const key = keyOf(operation);
    if (keys.has(key)) throw new Error(`a transaction may write a key only once; ${key} is in it twice`);
    keys.add(key);
  }
}

function keyOf(operation: Operation): string {
  return 'delete' in operation ? operation.delete : operation.put;
}

function toCompare(compare: Compare): object {
  const key = Buffer.from(compare.key, 'utf8');
  if ('value' in compare) {
    return { key, result: 'Equal', target: 'Value', value: Buffer.from(compare.value, 'utf8') };
  }
  if ('modRevision' in compare) {
    return { key, result: 'Equal', target: 'Mod', mod_revision: compare.modRevision };
  }
  if ('createRevision' in compare) {
    return { key, result: 'Equal', target: 'Create', create_revision: compare.createRevision };
  }
  return { key, result: 'Greater', target: 'Create', create_revision: 0 };
}

function toRequestOp(operation: Operation): object {
  if ('delete' in operation) return { request_delete_range: { key: Buffer.from(operation.delete, 'utf8') } };
  return {
    request_put: {
      key: Buffer.from(operation.put, 'utf8'),
      value: Buffer.from(operation.value, 'utf8'),
      ...(operation.lease !== undefined && { lease: operation.lease }),
    },
  };
}
