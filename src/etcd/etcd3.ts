/**
 * The etcd port on the `etcd3` package. Only its thin generated clients (kv, watch, lease) are used: its own retries
 * misreport writes and its watcher loses events on a second reconnect, so both are ours.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { noop } from 'cockatiel';
import { Etcd3, type ICompare, type IKeyValue, type IRequestOp, type IWatchResponse } from 'etcd3';
import {
  type Compare,
  type Entry,
  EtcdError,
  type EtcdPort,
  type Operation,
  type ReadOptions,
  rangeEnd,
  type WatchedEvent,
  type WatchMessage,
} from './port.ts';

export interface EtcdOptions {
  /** `http://host:port`, one or several members of one cluster. */
  readonly endpoints: readonly string[];
  /** Deadline of every unary call. Default 5000. */
  readonly timeoutMs?: number;
  /** A watch asks for a sign of life this often and reconnects when none came for three intervals. Default 2000. */
  readonly watchHeartbeatMs?: number;
}

const PAGE_SIZE = 5000;
const RECONNECT_FIRST_MS = 100;
const RECONNECT_MAX_MS = 2000;

type WatchStream = Awaited<ReturnType<Etcd3['watchClient']['watch']>>;

export function connectEtcd(options: EtcdOptions): EtcdPort {
  const timeoutMs = options.timeoutMs ?? 5000;
  const heartbeatMs = options.watchHeartbeatMs ?? 2000;
  const where = options.endpoints.join(', ');
  // Two clients, since a failed unary call makes the library close every stream of that client.
  const unary = newClient(options.endpoints, timeoutMs);
  const streams = newClient(options.endpoints, timeoutMs);

  async function call<T>(what: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw wrapError(what, where, error);
    }
  }

  async function scan(
    prefix: string,
    { revision: wanted = 0, minModRevision, keysOnly = false }: ReadOptions,
    visit: (entries: readonly Entry[]) => void,
  ): Promise<{ revision: number }> {
    return call(`read of "${prefix}*"`, async () => {
      let { key, range_end } = rangeOf(prefix);
      let revision = wanted;
      for (;;) {
        const page = await unary.kv.range({
          key,
          range_end,
          limit: PAGE_SIZE,
          revision,
          keys_only: keysOnly,
          ...(minModRevision !== undefined && { min_mod_revision: String(minModRevision) }),
        });
        if (revision === 0) revision = toRevision(page.header.revision);
        const last = page.kvs.at(-1);
        if (last) visit(page.kvs.map(toEntry));
        if (!page.more || !last) return { revision };
        key = Buffer.concat([last.key, Buffer.from([0])]);
      }
    });
  }

  return {
    async read(prefix, options = {}) {
      const entries: Entry[] = [];
      const { revision } = await scan(prefix, options, (page) => {
        for (const entry of page) entries.push(entry);
      });
      return { revision, entries };
    },

    scan,

    async count(prefix, revision) {
      return call(`count of "${prefix}*"`, async () => {
        const reply = await unary.kv.range({ ...rangeOf(prefix), count_only: true, revision: revision ?? 0 });
        return { revision: revision ?? toRevision(reply.header.revision), count: Number(reply.count) };
      });
    },

    async get(key) {
      return call(`get of "${key}"`, async () => {
        const reply = await unary.kv.range({ key: Buffer.from(key, 'utf8') });
        const kv = reply.kvs[0];
        return kv && toEntry(kv);
      });
    },

    async commit(compares, operations) {
      const compared = [...new Set(compares.map((compare) => compare.key))];
      try {
        const reply = await unary.kv.txn({
          compare: compares.map(toCompare),
          success: operations.map(toRequestOp),
          failure: compared.map((key) => ({ request_range: { key: Buffer.from(key, 'utf8') } })),
        });
        const revision = toRevision(reply.header.revision);
        if (reply.succeeded) return { outcome: 'applied', revision };
        const found = reply.responses.flatMap((response) => response.response_range?.kvs ?? []).map(toEntry);
        return { outcome: 'refused', revision, found };
      } catch (error) {
        return { outcome: 'unknown', error: wrapError('transaction', where, error) };
      }
    },

    watch(prefix, from, signal) {
      return watch({ client: streams, where, prefix, from, signal, heartbeatMs });
    },

    async grantLease(ttlSeconds) {
      const reply = await call('lease grant', () => unary.leaseClient.leaseGrant({ TTL: ttlSeconds }));
      return reply.ID;
    },

    async keepAliveLease(lease) {
      return call(`keep-alive of lease ${lease}`, () => keepAliveOnce(streams, lease, timeoutMs));
    },

    async revokeLease(lease) {
      await call(`revocation of lease ${lease}`, () => unary.leaseClient.leaseRevoke({ ID: lease }));
    },

    close() {
      unary.close();
      streams.close();
    },
  };
}

function newClient(endpoints: readonly string[], timeoutMs: number): Etcd3 {
  return new Etcd3({
    hosts: [...endpoints],
    grpcOptions: {
      // The server refuses pings more often than every 5 s; 10 s is safe.
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 5_000,
      'grpc.keepalive_permit_without_calls': 1,
      'grpc.max_receive_message_length': 64 * 1024 * 1024,
      // A connection that failed is tried again soon: a broker's client gives up after 2.3 s (contract M1).
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2000,
    },
    defaultCallOptions: (context) => (context.isStream ? {} : { deadline: Date.now() + timeoutMs }),
    // No retries and no circuit breaker inside: an error means "unknown" and is read back by us.
    faultHandling: { global: noop, host: () => noop },
  });
}

interface WatchArguments {
  readonly client: Etcd3;
  readonly where: string;
  readonly prefix: string;
  readonly from: number;
  readonly signal: AbortSignal;
  readonly heartbeatMs: number;
}

async function* watch(args: WatchArguments): AsyncGenerator<WatchMessage> {
  const { signal } = args;
  let next = args.from;
  let interrupted = false;
  let backoffMs = RECONNECT_FIRST_MS;
  while (!signal.aborted) {
    let error: EtcdError;
    try {
      for await (const response of openWatch(args, next)) {
        backoffMs = RECONNECT_FIRST_MS;
        if (response.canceled) {
          const compactRevision = toRevision(response.compact_revision);
          if (compactRevision > 0) {
            yield { kind: 'compacted', compactRevision };
            return;
          }
          throw new EtcdError(`etcd cancelled the watch: ${response.cancel_reason || 'no reason given'}`);
        }
        if (interrupted) {
          interrupted = false;
          yield { kind: 'resumed' };
        }
        const events = response.events.map(toWatchedEvent);
        const last = events.at(-1);
        if (!last) continue;
        // Resume after the last event handed over, never after header.revision, which is the store's head and may be
        // ahead of a backlog that is still on its way.
        next = last.entry.modRevision + 1;
        yield { kind: 'events', events };
      }
      if (signal.aborted) return;
      error = new EtcdError(`the watch of "${args.prefix}*" at ${args.where} was closed by the server`);
    } catch (caught) {
      if (signal.aborted) return;
      error = wrapError(`watch of "${args.prefix}*"`, args.where, caught);
    }
    if (!interrupted) {
      interrupted = true;
      yield { kind: 'interrupted', error };
    }
    await delay(backoffMs, undefined, { signal }).catch(ignoreAbort);
    backoffMs = Math.min(backoffMs * 2, RECONNECT_MAX_MS);
  }
}

/** One watch stream until it fails, ends or falls silent. */
async function* openWatch(args: WatchArguments, from: number): AsyncGenerator<IWatchResponse> {
  const { signal, heartbeatMs } = args;
  const queue: IWatchResponse[] = [];
  let failure: unknown;
  let ended = false;
  let wake: () => void = () => undefined;
  let lastSign = performance.now();

  const stream: WatchStream = await args.client.watchClient.watch();
  stream.on('data', (response: IWatchResponse) => {
    lastSign = performance.now();
    queue.push(response);
    wake();
  });
  stream.on('error', (error: unknown) => {
    failure = error;
    ended = true;
    wake();
  });
  stream.on('end', () => {
    ended = true;
    wake();
  });
  const onAbort = () => {
    ended = true;
    wake();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  // A half-open connection never errors by itself: ask for progress, and give up when nothing at all comes back.
  const heartbeat = setInterval(() => {
    if (performance.now() - lastSign > heartbeatMs * 3) {
      failure = new EtcdError(`no sign of life from ${args.where} for ${(heartbeatMs * 3) / 1000} s`);
      ended = true;
      wake();
      return;
    }
    stream.write({ progress_request: {} });
  }, heartbeatMs);

  try {
    stream.write({
      create_request: {
        ...rangeOf(args.prefix),
        start_revision: String(from),
      },
    });
    for (;;) {
      const response = queue.shift();
      if (response) {
        yield response;
        continue;
      }
      if (ended) break;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (failure !== undefined && !signal.aborted) throw failure;
  } finally {
    clearInterval(heartbeat);
    signal.removeEventListener('abort', onAbort);
    stream.on('error', () => undefined); // cancel() below is reported as an error of its own
    stream.cancel();
  }
}

async function keepAliveOnce(client: Etcd3, lease: string, timeoutMs: number): Promise<number> {
  const stream = await client.leaseClient.leaseKeepAlive();
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<number>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      stream.on('data', (reply: { TTL: string }) => resolve(Number(reply.TTL)));
      stream.on('error', reject);
      stream.on('end', () => reject(new Error('the stream was closed by the server')));
      stream.write({ ID: lease });
    });
  } finally {
    clearTimeout(timer);
    stream.on('error', () => undefined); // cancel() below is reported as an error of its own
    stream.cancel();
  }
}

function rangeOf(prefix: string): { key: Buffer; range_end: Buffer } {
  return { key: prefix === '' ? Buffer.from([0]) : Buffer.from(prefix, 'utf8'), range_end: rangeEnd(prefix) };
}

function toCompare(compare: Compare): ICompare {
  const key = Buffer.from(compare.key, 'utf8');
  if ('value' in compare) {
    return { key, result: 'Equal', target: 'Value', value: Buffer.from(compare.value, 'utf8') };
  }
  if ('modRevision' in compare) {
    return { key, result: 'Equal', target: 'Mod', mod_revision: String(compare.modRevision) };
  }
  if ('createRevision' in compare) {
    return { key, result: 'Equal', target: 'Create', create_revision: String(compare.createRevision) };
  }
  return { key, result: 'Greater', target: 'Create', create_revision: '0' };
}

function toRequestOp(operation: Operation): IRequestOp {
  if ('delete' in operation) return { request_delete_range: { key: Buffer.from(operation.delete, 'utf8') } };
  return {
    request_put: {
      key: Buffer.from(operation.put, 'utf8'),
      value: Buffer.from(operation.value, 'utf8'),
      ...(operation.lease !== undefined && { lease: operation.lease }),
    },
  };
}

function toEntry(kv: IKeyValue): Entry {
  return {
    key: kv.key.toString('utf8'),
    value: kv.value,
    createRevision: toRevision(kv.create_revision),
    modRevision: toRevision(kv.mod_revision),
    version: toRevision(kv.version),
    ...(kv.lease !== '0' && { lease: kv.lease }),
  };
}

function toWatchedEvent(event: IWatchResponse['events'][number]): WatchedEvent {
  return { type: event.type === 'Delete' ? 'delete' : 'put', entry: toEntry(event.kv) };
}

/** Revisions are int64 on the wire; past 2^53 they would be rounded, so that is an error instead. */
function toRevision(text: string | number): number {
  const revision = Number(text);
  if (!Number.isSafeInteger(revision)) throw new EtcdError(`etcd revision ${text} is beyond 2^53 and cannot be used`);
  return revision;
}

function wrapError(what: string, where: string, error: unknown): EtcdError {
  if (error instanceof EtcdError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new EtcdError(`${what} at ${where} failed: ${reason}`, { cause: error });
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error;
}
