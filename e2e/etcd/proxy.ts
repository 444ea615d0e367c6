/** A TCP proxy that breaks connections in the ways that networks do. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface TcpProxy {
  /** `http://address:port`, in front of the target. */
  readonly endpoint: string;
  /** Resets every connection; new ones are accepted. */
  cut(): void;
  /** Resets every connection and refuses new ones until `heal`. */
  refuse(): void;
  /**
   * Until `heal`, bytes vanish without an error, in both directions, also on new connections. A connection that was
   * open or opened meanwhile never works again, as after the loss of a NAT entry.
   */
  blackhole(): void;
  /** Until `heal`, requests arrive and replies vanish; the connections that lost one never work again. */
  dropReplies(): void;
  /** Bytes arrive this much later, until `heal`. */
  delay(ms: number): void;
  /** Resets each connection after so many bytes of replies, until `heal`. */
  limitReplies(bytes: number): void;
  heal(): void;
  /** How many connections the client has made so far. */
  connections(): number;
  /** How many connections have met the limit of `limitReplies`. */
  limited(): number;
  stop(): Promise<void>;
}

interface Faults {
  refuse?: true;
  blackhole?: true;
  dropReplies?: true;
  delayMs?: number;
  replyBytes?: number;
}

/** Starts a proxy on `address` in front of an `http://host:port`. */
export async function startProxy(address: string, target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target);
  const pairs = new Set<readonly [Socket, Socket]>();
  /** Sockets from which bytes no longer arrive. */
  const dead = new Set<Socket>();
  let faults: Faults = {};
  let connections = 0;
  let limited = 0;

  const server = createServer((client) => {
    connections++;
    if (faults.refuse) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(Number(port), hostname);
    const pair = [client, upstream] as const;
    pairs.add(pair);
    if (faults.blackhole) for (const socket of pair) dead.add(socket);
    if (faults.dropReplies) dead.add(upstream);
    let replied = 0;

    client.on('data', (bytes) => pass(client, upstream, bytes));
    upstream.on('data', (bytes) => {
      replied += bytes.length;
      const allowed = faults.replyBytes ?? Number.POSITIVE_INFINITY;
      pass(upstream, client, bytes);
      if (replied < allowed || dead.has(upstream)) return;
      dead.add(upstream);
      limited++;
      // A reset discards what the client has not read yet: leave it the time to.
      setTimeout(() => end(pair), 50);
    });
    for (const socket of pair) {
      socket.setNoDelay();
      socket.on('error', () => end(pair)); // a reset is what this proxy is about
      socket.on('close', () => end(pair));
    }
  });

  function pass(from: Socket, to: Socket, bytes: Buffer): void {
    if (dead.has(from)) return;
    if (faults.delayMs === undefined) to.write(bytes);
    else setTimeout(() => to.writable && to.write(bytes), faults.delayMs);
  }

  function end(pair: readonly [Socket, Socket]): void {
    if (!pairs.delete(pair)) return;
    for (const socket of pair) {
      dead.delete(socket);
      // A reset fails on a socket that is just ending, and Node then waits for its end for ever, in a busy loop at exit.
      if (socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
  }

  function cut(): void {
    for (const pair of [...pairs]) end(pair);
  }

  server.listen(0, address);
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error(`the proxy has no port on ${address}`);

  return {
    endpoint: `http://${address}:${bound.port}`,
    cut,
    refuse() {
      faults.refuse = true;
      cut();
    },
    blackhole() {
      faults.blackhole = true;
      for (const pair of pairs) for (const socket of pair) dead.add(socket);
    },
    dropReplies() {
      faults.dropReplies = true;
      for (const [, upstream] of pairs) dead.add(upstream);
    },
    delay(ms) {
      faults.delayMs = ms;
    },
    limitReplies(bytes) {
      faults.replyBytes = bytes;
    },
    heal() {
      faults = {};
    },
    connections: () => connections,
    limited: () => limited,
    async stop() {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
