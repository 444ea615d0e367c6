/**
 * A link to the cluster: one connection at a time, replaced by one to the next member when it fails, times out or falls
 * silent. gRPC reconnects by itself, but may wait for minutes on a connection that nobody answers; a new one does not.
 */
import { isStaleToken, toEtcdError } from './errors.ts';
import { EtcdError, type EtcdErrorKind } from './port.ts';

export interface Call<Reply> {
  /** In the user's words, for errors: 'read of "/cluster/*"'. */
  readonly what: string;
  readonly service: 'KV' | 'Lease' | 'Watch';
  readonly method: string;
  /** Replaces the generic decoder. */
  readonly decode?: (bytes: Buffer) => Reply;
}

export interface UnaryCall<Reply> extends Call<Reply> {
  readonly message: object;
  /** Whether it may be sent to another member when its outcome is unknown: true for reads only. */
  readonly repeatable: boolean;
}

export interface StreamHandlers<Reply> {
  readonly onReply: (reply: Reply) => void;
  /** Once, unless cancelled by us; without an error when the server closed it. */
  readonly onEnd: (error?: unknown) => void;
}

export interface Stream {
  write(message: object): void;
  cancel(): void;
}

/** One connection to one member. */
export interface Connection {
  readonly endpoint: string;
  /** Resolves when connected, trusted, authenticated and the member has a leader; nothing is sent for a caller before. */
  open(timeoutMs: number): Promise<void>;
  /** Whether the member answers at all. */
  answers(timeoutMs: number): Promise<boolean>;
  unary<Reply>(call: UnaryCall<Reply>, timeoutMs: number): Promise<Reply>;
  stream<Reply>(call: Call<Reply>, handlers: StreamHandlers<Reply>): Promise<Stream>;
  /** The next `open` authenticates again. */
  forgetToken(): void;
  /** Closes once what is under way has ended. */
  retire(): void;
  /** Ends everything now. */
  close(): void;
}

export interface LinkOptions {
  readonly endpoints: readonly string[];
  readonly connect: (endpoint: string) => Connection;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
}

export interface OpenStream extends Stream {
  readonly endpoint: string;
  answers(): Promise<boolean>;
  /** Ends the stream because of an error found in it, and draws the conclusions for the connection. */
  fail(error: unknown): EtcdError;
}

export interface Link {
  /** @throws EtcdError; the outcome of a write is unknown then. */
  call<Reply>(call: UnaryCall<Reply>): Promise<Reply>;
  /** @throws EtcdError when no member can be reached. */
  stream<Reply>(call: Call<Reply>, handlers: StreamHandlers<Reply>): Promise<OpenStream>;
  /** Something else saw no sign of life since `since` (monotonic ms): replaces a connection that saw none either. */
  suspect(since: number): void;
  close(): void;
}

/** What another member, or the same one over a new connection, may not suffer from. */
const CURABLE: ReadonlySet<EtcdErrorKind> = new Set(['Unreachable', 'Timeout', 'NoQuorum', 'BadCertificate']);

export function createLink({ endpoints, connect, timeoutMs, connectTimeoutMs }: LinkOptions): Link {
  const all = new Set<Connection>();
  let turn = 0;
  let closed = false;
  let lastAnswer = 0;
  let current = next();

  function next(): Connection {
    const endpoint = endpoints[turn++ % endpoints.length];
    if (endpoint === undefined) throw new EtcdError('no etcd endpoint is configured: name at least one');
    const connection = connect(endpoint);
    all.add(connection);
    return connection;
  }

  /** Calls under way end on the old connection: to break them would make more outcomes unknown. */
  function replace(bad: Connection): void {
    if (bad !== current || closed) return;
    bad.retire();
    all.delete(bad);
    current = next();
  }

  /** What an error says about the connection. */
  function judge(connection: Connection, what: string, error: unknown): EtcdError {
    if (isStaleToken(error)) connection.forgetToken();
    const judged = toEtcdError(what, connection.endpoint, error);
    if (CURABLE.has(judged.kind)) replace(connection);
    return judged;
  }

  /** An open connection, over as many members as need be; nothing was sent if it throws. */
  async function open(what: string): Promise<Connection> {
    let last: EtcdError | undefined;
    for (const _ of endpoints) {
      if (closed) break;
      const connection = current;
      try {
        await connection.open(connectTimeoutMs);
        return connection;
      } catch (error) {
        last = judge(connection, what, error);
        if (!CURABLE.has(last.kind)) break;
      }
    }
    throw last ?? new EtcdError(`${what} failed: this client is closed`);
  }

  async function attempt<Reply>(call: UnaryCall<Reply>): Promise<Reply> {
    const connection = await open(call.what);
    try {
      const reply = await connection.unary(call, timeoutMs);
      lastAnswer = performance.now();
      return reply;
    } catch (error) {
      if (!isStaleToken(error)) throw judge(connection, call.what, error);
      // Refused before anything was done, so that even a write may be sent again.
      connection.forgetToken();
    }
    const again = await open(call.what);
    return again.unary(call, timeoutMs).catch((error) => {
      throw judge(again, call.what, error);
    });
  }

  return {
    async call(call) {
      for (let tries = 1; ; tries++) {
        try {
          return await attempt(call);
        } catch (error) {
          const curable = error instanceof EtcdError && CURABLE.has(error.kind);
          if (!call.repeatable || !curable || closed || tries >= endpoints.length) throw error;
        }
      }
    },

    async stream(call, handlers) {
      const connection = await open(call.what);
      const stream = await connection.stream(call, handlers);
      return {
        endpoint: connection.endpoint,
        write: stream.write,
        cancel: stream.cancel,
        answers: () => connection.answers(connectTimeoutMs),
        fail(error) {
          stream.cancel();
          return judge(connection, call.what, error);
        },
      };
    },

    suspect(since) {
      if (lastAnswer < since) replace(current);
    },

    close() {
      closed = true;
      for (const connection of all) connection.close();
    },
  };
}
