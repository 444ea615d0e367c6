/**
 * An API server for tests, on loopback, that keeps objects of one kind in memory and does what real ones do to a client:
 * pages, resource versions, watches from a version, conflicts, and every way of failing that a test asks for.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubeObject } from './client.ts';

/** How one request ends, instead of its answer. */
export type Fault =
  | { readonly status: number; readonly retryAfter?: number; readonly body?: string }
  /** The connection breaks without an answer. */
  | 'reset'
  /** The connection stays open, and no answer comes. */
  | 'hang'
  /** 200, and the first event of a watch is an ERROR with this code. */
  | { readonly errorEvent: number }
  /** 200, and the server ends the watch at once. */
  | 'end';

export interface Request {
  readonly verb: 'LIST' | 'WATCH' | 'GET' | 'POST' | 'PUT';
  readonly query: URLSearchParams;
}

interface Version<T> {
  readonly revision: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: T;
}

export interface FakeApiServer<T extends KubeObject> {
  readonly url: string;
  readonly requests: readonly Request[];
  /** Creates the object or changes it; gives it a uid and its new resourceVersion. */
  put(object: T): T;
  remove(name: string): void;
  get(name: string): T | undefined;
  /** Asked before each request; the first fault that it names is what happens. */
  failWith(fault: (request: Request) => Fault | undefined): void;
  /** Ends all open watches: cleanly, by a broken connection, or after these bytes. */
  endWatches(how: 'end' | 'reset' | { readonly after: string }): void;
  openWatches(): number;
  /** Watches from a version up to now answer 410 from now on. */
  compact(): void;
  /** From now on these are all objects, and versions go on from this one. */
  restoreFromBackup(objects: readonly T[], revision: number): void;
  close(): Promise<void>;
}

export async function startFakeApiServer<T extends KubeObject>(): Promise<FakeApiServer<T>> {
  const objects = new Map<string, T>();
  const history: Version<T>[] = [];
  const watches = new Set<http.ServerResponse>();
  const requests: Request[] = [];
  let revision = 100;
  let compactedAt = 0;
  let uids = 0;
  let faultOf: (request: Request) => Fault | undefined = () => undefined;

  function record(type: Version<T>['type'], object: T): T {
    history.push({ revision, type, object });
    for (const watch of watches) watch.write(`${JSON.stringify({ type, object })}\n`);
    return object;
  }

  function put(object: T): T {
    const { name } = object.metadata;
    const old = objects.get(name);
    revision += 1;
    const uid = old?.metadata.uid ?? `uid-${++uids}`;
    const stored = { ...object, metadata: { ...object.metadata, uid, resourceVersion: String(revision) } };
    objects.set(name, stored);
    return record(old === undefined ? 'ADDED' : 'MODIFIED', stored);
  }

  function remove(name: string): void {
    const old = objects.get(name);
    if (old === undefined) return;
    revision += 1;
    objects.delete(name);
    record('DELETED', { ...old, metadata: { ...old.metadata, resourceVersion: String(revision) } });
  }

  function list(query: URLSearchParams, response: http.ServerResponse): void {
    const all = [...objects.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    const start = Number(query.get('continue') ?? 0);
    const end = start + Number(query.get('limit') ?? all.length);
    const metadata = { resourceVersion: String(revision), ...(end < all.length && { continue: String(end) }) };
    answer(response, 200, { metadata, items: all.slice(start, end) });
  }

  function watch(query: URLSearchParams, response: http.ServerResponse): void {
    const from = Number(query.get('resourceVersion'));
    if (from < compactedAt) {
      fail(response, { status: 410 });
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const { revision: at, type, object } of history) {
      if (at > from) response.write(`${JSON.stringify({ type, object })}\n`);
    }
    watches.add(response);
    response.on('close', () => watches.delete(response));
  }

  function write(verb: 'POST' | 'PUT', object: T, response: http.ServerResponse): void {
    const status = verb === 'POST' ? refusalOfCreate(object) : refusalOfReplace(object);
    if (status !== undefined) fail(response, { status });
    else answer(response, verb === 'POST' ? 201 : 200, put(object));
  }

  function refusalOfCreate({ metadata }: T): number | undefined {
    return objects.has(metadata.name) ? 409 : undefined;
  }

  function refusalOfReplace({ metadata }: T): number | undefined {
    const old = objects.get(metadata.name);
    if (old === undefined) return 404;
    // A write without a version would win over everything; nothing of ours may do that.
    if (metadata.resourceVersion === undefined) return 422;
    return metadata.resourceVersion === old.metadata.resourceVersion ? undefined : 409;
  }

  const server = http.createServer(async (incoming, response) => {
    const url = new URL(incoming.url ?? '/', 'http://localhost');
    const query = url.searchParams;
    const name = /\/[a-z]+\/([^/]+)$/.exec(url.pathname.replace(/.*\/namespaces\/[^/]+/, ''))?.[1];
    const body = await bodyOf(incoming);
    const verb = incoming.method === 'GET' ? (query.has('watch') ? 'WATCH' : name ? 'GET' : 'LIST') : incoming.method;
    const request = { verb, query } as Request;
    requests.push(request);
    const fault = faultOf(request);
    const object = objects.get(name ?? '');
    if (fault !== undefined) fail(response, fault);
    else if (request.verb === 'LIST') list(query, response);
    else if (request.verb === 'WATCH') watch(query, response);
    else if (request.verb !== 'GET') write(request.verb, JSON.parse(body) as T, response);
    else if (object === undefined) fail(response, { status: 404 });
    else answer(response, 200, object);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    put,
    remove,
    get: (name) => objects.get(name),
    failWith(fault) {
      faultOf = fault;
    },
    endWatches(how) {
      for (const response of watches) {
        watches.delete(response);
        if (how === 'end') response.end();
        else if (how === 'reset') response.destroy();
        else response.end(how.after);
      }
    },
    openWatches: () => watches.size,
    compact() {
      compactedAt = revision + 1;
    },
    restoreFromBackup(backup, at) {
      objects.clear();
      history.length = 0;
      compactedAt = 0;
      revision = at;
      for (const object of backup) put(object);
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(response: http.ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

const REASONS: Readonly<Record<number, string>> = { 404: 'NotFound', 409: 'Conflict', 410: 'Expired', 422: 'Invalid' };

function fail(response: http.ServerResponse, fault: Fault): void {
  if (fault === 'hang') return;
  if (fault === 'reset') response.destroy();
  else if (fault === 'end') response.end();
  else if ('errorEvent' in fault) {
    const object = { kind: 'Status', code: fault.errorEvent, reason: 'Expired', message: 'too old resource version' };
    response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
  } else {
    const { status, retryAfter, body } = fault;
    response.writeHead(status, { ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }) });
    response.end(body ?? JSON.stringify({ kind: 'Status', message: `fake ${status}`, reason: REASONS[status] ?? '' }));
  }
}

async function bodyOf(incoming: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
