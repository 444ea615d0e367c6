/** A client's side of the data plane: requests paired with answers, and the messages of its consumers. */
import { setMaxListeners } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { onLines, writeLine } from '../lines.ts';
import { type Answer, type Call, type Message, type Push, RequestError, type Response } from '../protocol.ts';

export interface Stream {
  /** Given with the consumer's id: the first message may come before `subscribe` has resolved. */
  onMessage(message: Message, consumer: string): void;
  /** The broker has ended the stream; never called for a reliable topic (M7). */
  onEnd(): void;
}

export interface Connection {
  readonly url: string;
  /** Aborted when the connection is gone, with the reason. */
  readonly lost: AbortSignal;
  /** @throws RequestError; UNAVAILABLE when the connection is lost or no answer comes in time */
  call(call: Call): Promise<Answer>;
  /** The consumer's id; messages go to `stream` from the first one on. @throws RequestError */
  subscribe(call: Call & { readonly op: 'subscribe' }, stream: Stream): Promise<string>;
  /** Forgets the stream, whatever the broker makes of it. */
  unsubscribe(consumer: string): void;
  close(): void;
}

const ANSWER_TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 2_000;

interface Waiting {
  readonly settle: (response: Response) => void;
  readonly timer: NodeJS.Timeout;
}

/** @throws RequestError UNAVAILABLE when nobody answers at `url` (`http://host:port`) */
export async function connect(url: string): Promise<Connection> {
  const socket = await openSocket(url);
  const gone = new AbortController();
  // Many topics share a connection, and each listens.
  setMaxListeners(0, gone.signal);
  const waiting = new Map<number, Waiting>();
  const streams = new Map<string, Stream>();
  let lastId = 0;

  function lose(reason: string): void {
    if (gone.signal.aborted) return;
    const error = new RequestError('UNAVAILABLE', `connection to ${url} lost: ${reason}`);
    gone.abort(error);
    socket.destroy();
    for (const [id, { settle }] of waiting) settle({ id, error: { code: error.code, message: error.message } });
  }

  socket.on('error', (error) => lose(error.message));
  socket.on('close', () => lose('closed by the broker'));
  onLines(socket, (line) => {
    const message = JSON.parse(line) as Response | Push;
    if ('id' in message) waiting.get(message.id)?.settle(message);
    else if ('message' in message) streams.get(message.consumer)?.onMessage(message.message, message.consumer);
    else streams.get(message.consumer)?.onEnd();
  });

  /** `onAnswer` runs before the next line is read. */
  function request(call: Call, onAnswer?: (answer: Answer) => void): Promise<Answer> {
    lastId += 1;
    const id = lastId;
    return new Promise<Answer>((resolve, reject) => {
      function settle(response: Response): void {
        clearTimeout(timer);
        waiting.delete(id);
        if ('error' in response) reject(new RequestError(response.error.code, response.error.message));
        else {
          onAnswer?.(response.ok);
          resolve(response.ok);
        }
      }
      const message = `no answer from ${url} to ${call.op} within ${ANSWER_TIMEOUT_MS / 1000} s`;
      const timer = setTimeout(() => settle({ id, error: { code: 'UNAVAILABLE', message } }), ANSWER_TIMEOUT_MS);
      waiting.set(id, { settle, timer });
      if (gone.signal.aborted) settle({ id, error: { code: 'UNAVAILABLE', message: `connection to ${url} is lost` } });
      else writeLine(socket, { id, ...call });
    });
  }

  return {
    url,
    lost: gone.signal,
    call: (call) => request(call),
    async subscribe(call, stream) {
      const { consumer = '' } = await request(call, (answer) => streams.set(answer.consumer ?? '', stream));
      return consumer;
    },
    unsubscribe: (consumer) => {
      streams.delete(consumer);
    },
    close: () => lose('closed by the client'),
  };
}

function openSocket(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host: hostname, port: Number(port), noDelay: true });
    function fail(reason: string): void {
      socket.destroy();
      reject(new RequestError('UNAVAILABLE', `cannot connect to ${url}: ${reason}`));
    }
    const timer = setTimeout(() => fail(`no answer within ${CONNECT_TIMEOUT_MS / 1000} s`), CONNECT_TIMEOUT_MS);
    socket.once('error', (error) => {
      clearTimeout(timer);
      fail(error.message);
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}

export interface ConnectionPool {
  /** The one connection to `url`, made if there is none. @throws RequestError UNAVAILABLE */
  get(url: string): Promise<Connection>;
  close(): void;
}

/** One connection to each broker, shared by all topics of a client process. */
export function createConnectionPool(): ConnectionPool {
  const open = new Map<string, Promise<Connection>>();
  return {
    get(url) {
      const known = open.get(url);
      if (known) return known;
      const fresh = connect(url);
      open.set(url, fresh);
      fresh.then(
        (connection) => connection.lost.addEventListener('abort', () => open.delete(url), { once: true }),
        // The caller gets the error; the next one tries again.
        () => open.delete(url),
      );
      return fresh;
    },
    close() {
      for (const connection of open.values()) {
        connection.then(
          ({ close }) => close(),
          () => undefined,
        );
      }
    },
  };
}
