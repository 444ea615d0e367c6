/**
 * The etcd port on the `etcd3` package, of which only the generated gRPC clients are used: its retries misreport writes,
 * its watcher loses events on a second reconnect, and its calls may hang for ever. The suites in e2e/etcd show each.
 */
import { noop } from 'cockatiel';
import type { IOptions } from 'etcd3';
import { ConnectionPool } from 'etcd3/lib/connection-pool.js';
import { createClient } from './client.ts';
import { isAuthDisabled, isStaleToken, toEtcdError } from './errors.ts';
import type { Call, Connection, Stream, StreamHandlers, UnaryCall } from './link.ts';
import { EtcdError, type EtcdPort } from './port.ts';

export interface EtcdOptions {
  /** `http://host:port`, or `https://` for TLS; one or several members of one cluster. */
  readonly endpoints: readonly string[];
  /** For `https://` endpoints: PEM. Without `ca`, the system's authorities are trusted. */
  readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
  readonly auth?: { readonly username: string; readonly password: string };
  /** Until a call that was sent counts as unanswered. Default 5000. */
  readonly timeoutMs?: number;
  /** Until a member counts as unreachable. Default 2000. */
  readonly connectTimeoutMs?: number;
  /** A watch asks for a sign of life this often and reconnects when none came for three intervals. Default 2000. */
  readonly watchHeartbeatMs?: number;
  /** What a watch keeps for a slow reader before it stops and fetches the rest again later. Default 8 MiB. */
  readonly maxBufferedBytes?: number;
}

type Service = Parameters<ConnectionPool['withConnection']>[0];
type Handle = Pick<Parameters<Parameters<ConnectionPool['withConnection']>[1]>[0], 'client' | 'metadata'>;

interface MethodDefinition {
  readonly path: string;
  readonly requestSerialize: (message: object) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
}

/** gRPC's connectivity state READY. */
const READY = 2;

/** Never throws: what is wrong with the options or the cluster is told by each call. */
export function connectEtcd(options: EtcdOptions): EtcdPort {
  let connections = 0;
  return createClient({
    endpoints: options.endpoints,
    connect: (endpoint) => openConnection(endpoint, options, ++connections),
    timeoutMs: options.timeoutMs ?? 5000,
    connectTimeoutMs: options.connectTimeoutMs ?? 2000,
    watchHeartbeatMs: options.watchHeartbeatMs ?? 2000,
    maxBufferedBytes: options.maxBufferedBytes ?? 8 * 1024 * 1024,
  });
}

function openConnection(endpoint: string, options: EtcdOptions, id: number): Connection {
  const { auth } = options;
  const pool = createPool(endpoint, options, id);
  // Told by the first call that needs it.
  pool.catch(() => undefined);
  const handles = new Map<Service, Handle>();
  const cancels = new Set<() => void>();
  let token: string | undefined;
  let authenticated = auth === undefined;
  let opening: Promise<void> | undefined;
  let retired = false;
  let closed = false;

  async function handleOf(service: Service): Promise<Handle> {
    const known = closed ? undefined : handles.get(service);
    if (known !== undefined) return known;
    const { client, metadata } = await (await pool).withConnection(service, (args) => args);
    if (closed) {
      client.close();
      throw new EtcdError(`the connection to ${endpoint} was closed before the request was sent`, {
        kind: 'Unreachable',
      });
    }
    // A member that has lost its leader says so at once, instead of serving the past or keeping us waiting.
    metadata.set('hasleader', 'true');
    if (token !== undefined) metadata.set('token', token);
    const handle = { client, metadata };
    handles.set(service, handle);
    return handle;
  }

  function useToken(text: string | undefined): void {
    token = text;
    for (const { metadata } of handles.values()) {
      if (text === undefined) metadata.remove('token');
      else metadata.set('token', text);
    }
  }

  /** Until the call has ended, it can be cancelled and keeps a retired connection open. */
  function track(cancel: () => void): () => void {
    cancels.add(cancel);
    return () => {
      if (cancels.delete(cancel) && retired && cancels.size === 0) shut();
    };
  }

  async function send<Reply>(
    call: Pick<UnaryCall<Reply>, 'method' | 'message' | 'decode'> & { readonly service: Service },
    timeoutMs: number,
  ): Promise<Reply> {
    const { client, metadata } = await handleOf(call.service);
    const { path, requestSerialize, responseDeserialize } = methodOf(client, call.method);
    const decode = call.decode ?? (responseDeserialize as (bytes: Buffer) => Reply);
    return new Promise((resolve, reject) => {
      const request = client.makeUnaryRequest(
        path,
        requestSerialize,
        decode,
        call.message,
        metadata,
        (error, reply) => {
          clearTimeout(timer);
          done();
          if (error !== null || reply === undefined) reject(error ?? new Error('an empty reply'));
          else resolve(reply);
        },
      );
      // Our own timer, since gRPC's deadlines are moments of the wall clock, which may jump.
      const timer = setTimeout(() => {
        done();
        reject(new EtcdError(`${endpoint} gave no answer within ${timeoutMs} ms`, { kind: 'Timeout' }));
        request.cancel();
      }, timeoutMs);
      const done = track(() => request.cancel());
    });
  }

  /** Tells connected from not, and the reason; touches no key, and an answer of "not permitted" is an answer. */
  async function probe(timeoutMs: number): Promise<void> {
    const message = { key: Buffer.from([0]), serializable: true, count_only: true };
    await send({ service: 'KV', method: 'Range', message }, timeoutMs).catch((error) => {
      if (toEtcdError('probe', endpoint, error).kind !== 'PermissionDenied') throw error;
    });
  }

  async function authenticate(timeoutMs: number): Promise<void> {
    if (auth === undefined || authenticated) return;
    const message = { name: auth.username, password: auth.password };
    useToken(undefined);
    try {
      const reply = await send<{ token: string }>({ service: 'Auth', method: 'Authenticate', message }, timeoutMs);
      useToken(reply.token);
    } catch (error) {
      // A password that nobody asks for is no reason not to work, and may be asked for later.
      if (!isAuthDisabled(error)) throw error;
    }
    authenticated = true;
  }

  async function open(timeoutMs: number): Promise<void> {
    await authenticate(timeoutMs);
    await probe(timeoutMs).catch((error) => {
      if (isStaleToken(error)) authenticated = false;
      throw error;
    });
  }

  /** Not by the pool, which first waits for a connection that is being made, by the wall clock. */
  function shut(): void {
    closed = true;
    for (const { client } of handles.values()) client.close();
  }

  return {
    endpoint,

    async open(timeoutMs) {
      if (authenticated && handles.get('KV')?.client.getChannel().getConnectivityState(false) === READY) return;
      opening ??= open(timeoutMs).finally(() => {
        opening = undefined;
      });
      await opening;
    },

    answers: (timeoutMs) =>
      probe(timeoutMs).then(
        () => true,
        () => false, // the reason does not matter: the stream that we ask for is given up
      ),

    unary: send,

    async stream<Reply>(call: Call<Reply>, handlers: StreamHandlers<Reply>): Promise<Stream> {
      const { client, metadata } = await handleOf(call.service);
      const { path, requestSerialize, responseDeserialize } = methodOf(client, call.method);
      const decode = call.decode ?? (responseDeserialize as (bytes: Buffer) => Reply);
      const stream = client.makeBidiStreamRequest(path, requestSerialize, decode, metadata);
      const done = track(cancel);
      let over = false;

      function end(error?: unknown): void {
        if (over) return;
        over = true;
        done();
        handlers.onEnd(error);
      }

      /** Its end is reported as an error, too, which nobody wants to hear of. */
      function cancel(): void {
        if (over) return;
        over = true;
        done();
        stream.cancel();
      }

      stream.on('data', (reply: Reply) => over || handlers.onReply(reply));
      stream.on('error', end);
      stream.on('end', () => end());
      return { write: (message) => over || stream.write(message), cancel };
    },

    forgetToken() {
      authenticated = auth === undefined;
    },

    retire() {
      retired = true;
      if (cancels.size === 0) shut();
    },

    close() {
      for (const cancel of cancels) cancel();
      shut();
    },
  };
}

/** @throws EtcdError for certificates that cannot be read. */
async function createPool(endpoint: string, { tls }: EtcdOptions, id: number): Promise<ConnectionPool> {
  const options: IOptions = {
    hosts: [endpoint],
    ...(tls !== undefined && { credentials: toCredentials(endpoint, tls) }),
    grpcOptions: {
      // Connections of equal options are shared within a process: a name of its own keeps this one from inheriting a
      // connection that hangs.
      'grpc.primary_user_agent': `danube-load-manager/${id}`,
      // etcd refuses pings more often than every 5 s, and after some all that come while nothing is under way: then it
      // closes the connection, which would make calls fail on a healthy network.
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 5_000,
      'grpc.keepalive_permit_without_calls': 0,
      'grpc.max_receive_message_length': 64 * 1024 * 1024,
      // Nothing is sent twice without our knowing.
      'grpc.enable_retries': 0,
      'grpc.enable_channelz': 0,
      'grpc.service_config_disable_resolution': 1,
    },
    faultHandling: { global: noop, host: () => noop },
  };
  try {
    return new ConnectionPool(options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new EtcdError(`the TLS files for ${endpoint} cannot be used: ${reason}; check ca.crt, tls.crt and tls.key`, {
      cause: error,
      kind: 'BadCertificate',
    });
  }
}

function toCredentials(endpoint: string, tls: NonNullable<EtcdOptions['tls']>): NonNullable<IOptions['credentials']> {
  if (!endpoint.startsWith('https://')) {
    throw new EtcdError(`${endpoint} is not an https:// endpoint, but TLS files are given: change one of the two`, {
      kind: 'BadCertificate',
    });
  }
  return {
    // The library's type asks for a CA; gRPC takes the system's authorities without one.
    ...((tls.ca !== undefined && { rootCertificate: tls.ca }) as { rootCertificate: Buffer }),
    ...(tls.key !== undefined && { privateKey: tls.key }),
    ...(tls.cert !== undefined && { certChain: tls.cert }),
  };
}

function methodOf(client: Handle['client'], name: string): MethodDefinition {
  const { service } = client.constructor as unknown as { readonly service: Readonly<Record<string, MethodDefinition>> };
  const method = service[name];
  if (method === undefined) throw new Error(`etcd has no method ${name}`);
  return method;
}
