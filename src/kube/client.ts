/**
 * Plain calls to a Kubernetes API server, each with a deadline. `@kubernetes/client-node` gives configuration and
 * authentication (kubeconfig, in-cluster, exec, token files); its generated calls have no deadline and cannot apply to
 * a subresource, and its watch swallows errors, so the few verbs that we need are here.
 */
import http from 'node:http';
import https from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import type { KubeConfig } from '@kubernetes/client-node';

/** A kind of object, as the API server's paths name it. */
export interface Resource {
  /** '' for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

export interface ObjectRef {
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface Selection {
  /** Absent: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ListPage<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly T[];
}

export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
}

export interface PatchOptions {
  /** `apply` is server-side apply and needs a field manager. */
  readonly type: 'merge' | 'json' | 'apply';
  readonly subresource?: string;
  readonly fieldManager?: string;
  readonly force?: boolean;
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
}

/**
 * Every call throws KubeError for an answer that is not a success, and for no answer within the deadline. A call that
 * can be repeated without harm (all but POST) and that the server puts off by Retry-After is repeated after that time,
 * within its deadline.
 */
export interface KubeClient {
  get<T extends KubeObject>(resource: Resource, ref: ObjectRef): Promise<T>;
  list<T extends KubeObject>(
    resource: Resource,
    selection: Selection & { readonly limit?: number; readonly continue?: string; readonly resourceVersion?: string },
  ): Promise<ListPage<T>>;
  create<T extends KubeObject>(resource: Resource, object: T): Promise<T>;
  replace<T extends KubeObject>(resource: Resource, object: T, subresource?: string): Promise<T>;
  patch<T extends KubeObject>(resource: Resource, ref: ObjectRef, body: unknown, options: PatchOptions): Promise<T>;
  delete(resource: Resource, ref: ObjectRef, options?: DeleteOptions): Promise<void>;
  /** POST to a subresource, such as `token` of a ServiceAccount or `binding` of a Pod. */
  post<T>(resource: Resource, ref: ObjectRef, subresource: string, body: unknown): Promise<T>;
  /** Any other path of the API server. `accept` asks for another form than JSON objects, such as a Table. */
  raw<T>(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<T>;
  /**
   * Events after `resourceVersion` until the server ends the watch (`timeoutSeconds`), the connection breaks (throws)
   * or `signal` aborts it. No event at all, not even a bookmark, for `idleMs` counts as broken.
   */
  watch<T extends KubeObject>(
    resource: Resource,
    selection: Selection & { readonly resourceVersion: string; readonly timeoutSeconds: number },
    options: { readonly signal: AbortSignal; readonly idleMs: number },
  ): AsyncIterable<WatchEvent<T>>;
  close(): void;
}

/** `status` is the HTTP code, or 0 when the server did not answer. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly status: number;
  /** The API's reason: NotFound, Conflict, Invalid, Forbidden, Timeout, Unreachable, … */
  readonly reason: string;
  readonly retryAfterSeconds: number | undefined;
  constructor(
    message: string,
    details: { status: number; reason: string; retryAfterSeconds?: number | undefined; cause?: unknown },
  ) {
    super(message, { cause: details.cause });
    this.status = details.status;
    this.reason = details.reason;
    this.retryAfterSeconds = details.retryAfterSeconds;
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof KubeError && error.status === 404;
}

/** Somebody else was first: AlreadyExists, or a resourceVersion or uid that is no longer current. */
export function isConflict(error: unknown): boolean {
  return error instanceof KubeError && error.status === 409;
}

export function resourcePath(
  resource: Resource,
  namespace: string | undefined,
  name?: string,
  subresource?: string,
): string {
  const base = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const scope = resource.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  const object = name === undefined ? '' : `/${encodeURIComponent(name)}`;
  return `${base}${scope}/${resource.plural}${object}${subresource === undefined ? '' : `/${subresource}`}`;
}

const CONTENT_TYPES = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

export interface KubeClientOptions {
  readonly kubeConfig: KubeConfig;
  /** Deadline of every call but watches. Default 10,000. */
  readonly timeoutMs?: number;
  /** Calls under way at a time; more wait for their turn. Watches are not counted. Default 16. */
  readonly maxInFlight?: number;
  readonly observer?: ClientObserver;
}

/** Told of what happens, for metrics. */
export interface ClientObserver {
  /** One answer, or (status 0) none; each try of a call that is repeated is told. */
  readonly onResponse?: (response: { readonly method: string; readonly host: string; readonly status: number }) => void;
}

export function createKubeClient(options: KubeClientOptions): KubeClient {
  const { kubeConfig, timeoutMs = 10_000, maxInFlight = 16, observer } = options;
  const cluster = kubeConfig.getCurrentCluster();
  if (!cluster) throw new Error('the kubeconfig names no current cluster: set current-context');
  const server = new URL(cluster.server);
  const transport = server.protocol === 'http:' ? http : https;
  const slots = createSlots(maxInFlight);
  let agent: http.Agent | undefined;
  let asked: { readonly at: number; readonly answer: Promise<https.RequestOptions> } | undefined;

  /**
   * What authenticates a call. A credential plugin (`exec`) has no deadline of its own, so the call's holds; calls that
   * wait for the same answer share it, and one that has not come in the time of a call is asked for anew.
   */
  function readCredentials(signal: AbortSignal): Promise<https.RequestOptions> {
    if (asked === undefined || performance.now() - asked.at >= timeoutMs) {
      const auth: https.RequestOptions = {};
      const asking = { at: performance.now(), answer: kubeConfig.applyToHTTPSOptions(auth).then(() => auth) };
      const forget = () => {
        if (asked === asking) asked = undefined;
      };
      asking.answer.then(forget, forget);
      asked = asking;
    }
    return orAborted(asked.answer, signal);
  }

  function told(method: string, status: number): void {
    observer?.onResponse?.({ method, host: server.host, status });
  }

  async function open(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<http.IncomingMessage> {
    const auth = await readCredentials(signal);
    // The library's own agent opens a new TLS connection for every call.
    agent ??= cluster?.proxyUrl
      ? (auth.agent as http.Agent)
      : server.protocol === 'http:'
        ? new http.Agent({ keepAlive: true })
        : new https.Agent({
            keepAlive: true,
            ...(auth.ca !== undefined && { ca: auth.ca }),
            ...(auth.cert !== undefined && { cert: auth.cert }),
            ...(auth.key !== undefined && { key: auth.key }),
            ...(auth.servername !== undefined && { servername: auth.servername }),
            ...(auth.rejectUnauthorized !== undefined && { rejectUnauthorized: auth.rejectUnauthorized }),
          });
    const prefix = server.pathname.replace(/\/$/, '');
    return new Promise((resolve, reject) => {
      const request = transport.request(
        new URL(prefix + path, server),
        {
          method,
          agent,
          signal,
          ...(auth.auth != null && { auth: auth.auth }),
          headers: {
            accept: 'application/json',
            ...(auth.headers as http.OutgoingHttpHeaders),
            ...headers,
            ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
          },
        },
        resolve,
      );
      request.on('error', reject);
      request.end(body);
    });
  }

  async function call<T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<T> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const contentType = text === undefined ? {} : { 'content-type': 'application/json' };
    const signal = AbortSignal.timeout(timeoutMs);
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      try {
        return JSON.parse(await callOnce(method, path, { ...contentType, ...headers }, text, signal)) as T;
      } catch (error) {
        const failure = noAnswer(method, path, signal, error, timeoutMs);
        const { retryAfterSeconds } = failure;
        // A POST may have been an eviction, whose 429 is an answer.
        if (method === 'POST' || retryAfterSeconds === undefined) throw failure;
        if (performance.now() + retryAfterSeconds * 1000 >= deadline) throw failure;
        await delay(retryAfterSeconds * 1000);
      }
    }
  }

  /** One try; gives the body of the answer. */
  async function callOnce(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    text: string | undefined,
    signal: AbortSignal,
  ): Promise<string> {
    await slots.take(signal);
    let status = 0;
    try {
      const response = await open(method, path, headers, text, signal);
      const answer = await readAll(response);
      status = response.statusCode ?? 0;
      if (status < 200 || status > 299) throw errorOf(method, path, status, response, answer);
      return answer;
    } finally {
      slots.give();
      told(method, status);
    }
  }

  return {
    get: (resource, ref) => call('GET', resourcePath(resource, ref.namespace, ref.name)),

    list(resource, selection) {
      const { namespace, ...query } = selection;
      return call('GET', withQuery(resourcePath(resource, namespace), query));
    },

    create(resource, object) {
      return call('POST', resourcePath(resource, object.metadata.namespace), object);
    },

    replace(resource, object, subresource) {
      const { namespace, name } = object.metadata;
      return call('PUT', resourcePath(resource, namespace, name, subresource), object);
    },

    patch(resource, ref, body, { type, subresource, fieldManager, force }) {
      const path = resourcePath(resource, ref.namespace, ref.name, subresource);
      const query = { fieldManager, force: force === undefined ? undefined : String(force) };
      return call('PATCH', withQuery(path, query), body, { 'content-type': CONTENT_TYPES[type] });
    },

    async delete(resource, ref, deleteOptions) {
      await call('DELETE', resourcePath(resource, ref.namespace, ref.name), {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        ...deleteOptions,
      });
    },

    post: (resource, ref, subresource, body) =>
      call('POST', resourcePath(resource, ref.namespace, ref.name, subresource), body),

    raw: (method, path, body, headers) => call(method, path, body, headers),

    async *watch(resource, selection, { signal, idleMs }) {
      const { namespace, ...rest } = selection;
      const path = withQuery(resourcePath(resource, namespace), {
        ...rest,
        watch: 'true',
        allowWatchBookmarks: 'true',
      });
      const idle = new AbortController();
      const timer = setTimeout(
        () => idle.abort(new DOMException(`nothing came for ${idleMs} ms`, 'TimeoutError')),
        idleMs,
      );
      let status = 0;
      try {
        const response = await open('GET', path, {}, undefined, AbortSignal.any([signal, idle.signal]));
        status = response.statusCode ?? 0;
        told('GET', status);
        if (status !== 200) throw errorOf('WATCH', path, status, response, await readAll(response));
        for await (const line of linesOf(response)) {
          timer.refresh();
          yield JSON.parse(line) as WatchEvent<never>;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (status === 0) told('GET', status);
        throw noAnswer('WATCH', path, idle.signal, error, idleMs);
      } finally {
        clearTimeout(timer);
        idle.abort();
      }
    },

    close() {
      agent?.destroy();
    },
  };
}

function withQuery(path: string, query: Readonly<Record<string, string | number | undefined>>): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  return search.size === 0 ? path : `${path}?${search}`;
}

/** The result of the work, or the signal's reason as soon as it aborts; the work itself goes on. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const giveUp = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', giveUp);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

interface Slots {
  /** Resolves when one of the slots is the caller's; rejects with the signal's reason. */
  take(signal: AbortSignal): Promise<void>;
  give(): void;
}

/** At most so many holders at a time, in the order of asking. */
function createSlots(count: number): Slots {
  let free = count;
  const waiting = new Set<() => void>();
  return {
    async take(signal) {
      if (free > 0) {
        free -= 1;
        return;
      }
      const turn = Promise.withResolvers<void>();
      const giveUp = () => {
        // At once: a slot that is given to who no longer waits would be lost.
        waiting.delete(turn.resolve);
        turn.reject(signal.reason);
      };
      signal.throwIfAborted();
      waiting.add(turn.resolve);
      signal.addEventListener('abort', giveUp);
      try {
        await turn.promise;
      } finally {
        waiting.delete(turn.resolve);
        signal.removeEventListener('abort', giveUp);
      }
    },
    give() {
      const [next] = waiting;
      if (next === undefined) free += 1;
      else {
        waiting.delete(next);
        next();
      }
    },
  };
}

async function readAll(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** Lines of a stream, complete ones only: a connection that breaks inside an event must not yield half of it. */
async function* linesOf(response: http.IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    const lines = (rest + (chunk as string)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield line;
  }
}

function errorOf(
  method: string,
  path: string,
  status: number,
  response: http.IncomingMessage,
  answer: string,
): KubeError {
  const { message, reason } = statusOf(answer);
  const retryAfter = Number(response.headers['retry-after']);
  return new KubeError(`${method} ${path}: ${status} ${message}`, {
    status,
    reason,
    retryAfterSeconds: Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : undefined,
  });
}

/** The message and reason of a `Status` object; proxies in between answer in other forms. */
function statusOf(answer: string): { message: string; reason: string } {
  try {
    const { message, reason } = JSON.parse(answer) as { message?: unknown; reason?: unknown };
    return { message: String(message ?? answer), reason: String(reason ?? 'Unknown') };
  } catch {
    return { message: answer.slice(0, 500), reason: 'Unknown' };
  }
}

/** What an aborted request throws names no time; the signal that ended it tells. */
function noAnswer(method: string, path: string, deadline: AbortSignal, error: unknown, afterMs: number): KubeError {
  if (error instanceof KubeError) return error;
  const timedOut = deadline.aborted;
  const text = timedOut ? `no answer within ${afterMs} ms` : error instanceof Error ? error.message : String(error);
  return new KubeError(`${method} ${path}: ${text}`, {
    status: 0,
    reason: timedOut ? 'Timeout' : 'Unreachable',
    cause: error,
  });
}
