/** An HTTP proxy in front of a real API server that fails as networks, load balancers and API servers do. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

/** How one request ends, instead of its answer. */
export type Fault =
  | { readonly status: number; readonly retryAfterSeconds?: number }
  /** The connection breaks without an answer. */
  | 'reset'
  /** The connection stays open, and no answer comes. */
  | 'hang'
  /** 200, and the body ends at once. */
  | 'end'
  /** 200, and the body ends in the middle of its JSON, without an error of the connection. */
  | 'truncate'
  /** 200, and the first event of the watch is an ERROR with this code. */
  | { readonly errorEvent: number };

export interface SeenRequest {
  readonly verb: 'LIST' | 'WATCH' | 'OTHER';
  /** HTTP's word. */
  readonly method: string;
  readonly url: string;
}

/** How open watches end, or (`half-open`) stay open without another byte. */
export type WatchEnd = 'end' | 'reset' | 'half-open' | 'truncate';

export interface ApiProxy {
  /** `http://address:port` */
  readonly endpoint: string;
  /** Every request so far. */
  readonly requests: readonly SeenRequest[];
  openWatches(): number;
  /** Asked before each request until `heal`; the fault that it names happens. */
  failWith(fault: (request: SeenRequest) => Fault | undefined): void;
  endWatches(how: WatchEnd): void;
  /** Until `heal`, events of this type vanish from all watches. */
  dropEvents(type: string): void;
  /**
   * Until `heal`, this is an API server that lags: each LIST gets the answer of the last one before now, watches stay
   * silent. Open watches are reset, as when a load balancer sends their client elsewhere.
   */
  lag(): void;
  heal(): void;
  stop(): Promise<void>;
}

export interface ApiProxyOptions {
  /** Where to listen: 127.X.0.1. */
  readonly address: string;
  /** https://127.X.0.1:P */
  readonly target: string;
  readonly caFile: string;
}

interface Watch {
  readonly response: http.ServerResponse;
  silent: boolean;
}

const HALF_AN_EVENT = '{"type":"MODIFIED","object":{"metada';

export async function startApiProxy({ address, target, caFile }: ApiProxyOptions): Promise<ApiProxy> {
  const agent = new https.Agent({ keepAlive: true, ca: readFileSync(caFile) });
  const requests: SeenRequest[] = [];
  const watches = new Set<Watch>();
  const lastLists = new Map<string, string>();
  let faultOf: (request: SeenRequest) => Fault | undefined = () => undefined;
  let dropped: string | undefined;
  let lagging = false;

  function openWatch(response: http.ServerResponse, silent: boolean): Watch {
    const watch = { response, silent };
    watches.add(watch);
    response.on('close', () => watches.delete(watch));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    return watch;
  }

  /** As a server ends it, when its time is over. */
  function openSilentWatch({ url }: SeenRequest, response: http.ServerResponse): void {
    openWatch(response, true);
    const seconds = Number(new URL(url, target).searchParams.get('timeoutSeconds'));
    const timer = setTimeout(() => response.end(), seconds * 1000);
    response.on('close', () => clearTimeout(timer));
  }

  async function relayWatch(answer: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const watch = openWatch(response, false);
    let rest = '';
    answer.setEncoding('utf8');
    for await (const chunk of answer) {
      const lines = (rest + (chunk as string)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const vanishes = watch.silent || (dropped !== undefined && line.startsWith(`{"type":"${dropped}"`));
        if (!vanishes) response.write(`${line}\n`);
      }
    }
    if (!watch.silent) response.end();
  }

  async function relayWhole(seen: SeenRequest, answer: http.IncomingMessage, fault: Fault | undefined) {
    const body = await textOf(answer);
    if (seen.verb === 'LIST' && answer.statusCode === 200) lastLists.set(seen.url, body);
    return fault === 'truncate' ? body.slice(0, body.length / 2) : body;
  }

  async function forward(
    seen: SeenRequest,
    incoming: http.IncomingMessage,
    response: http.ServerResponse,
    fault: Fault | undefined,
  ): Promise<void> {
    const { method, headers } = incoming;
    const upstream = https.request(new URL(seen.url, target), { agent, method, headers });
    response.on('close', () => upstream.destroy());
    const answered = once(upstream, 'response') as Promise<[http.IncomingMessage]>;
    incoming.pipe(upstream);
    const [answer] = await answered;
    const status = answer.statusCode ?? 502;
    if (seen.verb === 'WATCH' && status === 200) {
      await relayWatch(answer, response);
      return;
    }
    const body = await relayWhole(seen, answer, fault);
    const retryAfter = answer.headers['retry-after'];
    response.writeHead(status, {
      'content-type': answer.headers['content-type'] ?? 'application/json',
      ...(retryAfter !== undefined && { 'retry-after': retryAfter }),
    });
    response.end(body);
  }

  const server = http.createServer((incoming, response) => {
    const seen = { verb: verbOf(incoming), method: incoming.method ?? 'GET', url: incoming.url ?? '/' };
    requests.push(seen);
    const old = lagging && seen.verb === 'LIST' ? lastLists.get(seen.url) : undefined;
    const fault = faultOf(seen);
    if (fault !== undefined && !(fault === 'truncate' && seen.verb === 'LIST')) fail(response, fault);
    else if (old !== undefined) response.end(old);
    else if (lagging && seen.verb === 'WATCH') openSilentWatch(seen, response);
    // Whatever happens to the connection behind happens to the one in front.
    else forward(seen, incoming, response, fault).catch(() => response.destroy());
  });
  server.listen(0, address);
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error(`the proxy has no port on ${address}`);

  function endWatches(how: WatchEnd): void {
    for (const watch of watches) {
      if (how === 'half-open') watch.silent = true;
      else if (how === 'reset') watch.response.destroy();
      else watch.response.end(how === 'truncate' ? HALF_AN_EVENT : '');
    }
  }

  return {
    endpoint: `http://${address}:${bound.port}`,
    requests,
    openWatches: () => [...watches].filter(({ silent }) => !silent).length,
    failWith(fault) {
      faultOf = fault;
    },
    endWatches,
    dropEvents(type) {
      dropped = type;
    },
    lag() {
      lagging = true;
      endWatches('reset');
    },
    heal() {
      faultOf = () => undefined;
      dropped = undefined;
      if (lagging) endWatches('end');
      lagging = false;
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      agent.destroy();
    },
  };
}

function verbOf({ method, url = '/' }: http.IncomingMessage): SeenRequest['verb'] {
  if (method !== 'GET') return 'OTHER';
  const { searchParams } = new URL(url, 'http://proxy');
  if (searchParams.has('watch')) return 'WATCH';
  return searchParams.has('limit') ? 'LIST' : 'OTHER';
}

function fail(response: http.ServerResponse, fault: Fault): void {
  if (fault === 'hang') return;
  if (fault === 'reset') response.destroy();
  else if (fault === 'end') response.end();
  else if (fault === 'truncate') response.end(HALF_AN_EVENT);
  else if ('errorEvent' in fault) {
    const object = { kind: 'Status', code: fault.errorEvent, reason: 'Expired', message: 'too old resource version' };
    response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
  } else {
    const { status, retryAfterSeconds } = fault;
    response.writeHead(status, retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) });
    response.end(JSON.stringify({ kind: 'Status', message: `injected ${status}`, reason: 'Injected', code: status }));
  }
}

async function textOf(stream: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
