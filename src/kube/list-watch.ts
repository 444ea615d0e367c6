/**
 * A cache of one kind of object: list, watch from there, and start again with back-off after any failure
 * (the client library's informer stops for good on most errors). Level-triggered: handlers are told which object
 * changed and nothing more, and a periodic relist repairs whatever an event missed (design §1.2).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type KubeClient, KubeError, type KubeObject, type Resource, type Selection } from './client.ts';
import { isOlder } from './resource-version.ts';

export interface ListWatchOptions<T extends KubeObject> extends Selection {
  readonly client: KubeClient;
  readonly resource: Resource;
  /** The object with this key (`namespace/name`, or `name`) appeared, changed or went; read it by `get`. Must not throw. */
  readonly onChange?: (key: string, object: T | undefined) => void;
  /** A list or watch failed and will be tried again in `retryInMs`. */
  readonly onError?: (error: KubeError, retryInMs: number) => void;
  /** A list is repeated after about this long. Default 600,000. */
  readonly relistMs?: number;
  /**
   * A watch on which nothing came for this long is given up. Default 90,000: the server sends a bookmark every minute.
   * Peers that are gone are noticed sooner, by TCP keep-alive.
   */
  readonly idleMs?: number;
  /** By name: the values under which `byIndex` finds an object. */
  readonly indexes?: Readonly<Record<string, IndexFunction<T>>>;
  readonly random?: () => number;
  /** Monotonic milliseconds. */
  readonly monotonic?: () => number;
}

export type IndexFunction<T extends KubeObject> = (object: T) => readonly string[];

export interface ListWatch<T extends KubeObject> {
  start(): void;
  stop(): Promise<void>;
  /** Resolves after the first complete list. */
  readonly synced: Promise<void>;
  hasSynced(): boolean;
  get(key: string): T | undefined;
  list(): readonly T[];
  /** The objects with this value in that index; throws if there is no such index. */
  byIndex(index: string, value: string): readonly T[];
  /** The resourceVersion up to which the cache shows everything; undefined before the first list. */
  shownUpTo(): string | undefined;
}

const PAGE_SIZE = 500;
const BACKOFF_FIRST_MS = 200;
const BACKOFF_MAX_MS = 30_000;
/** The server ends a watch after this long at the latest, and sends a bookmark about every minute. */
const WATCH_SECONDS = 240;
/** A watch that its server does not end this long after its time is ended by us. */
const WATCH_GRACE_MS = 5_000;
/** A watch that has lasted this long was a good one: whatever ends it, the next try comes soon. */
const GOOD_WATCH_MS = 5_000;
/**
 * A list older than what the cache shows comes from an API server that lags, and is refused for this long. Then it is
 * believed: an etcd restored from a backup counts from a lower number.
 */
const REFUSE_PAST_MS = 60_000;

export function objectKey(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** An index by the value of a label. */
export function byLabel(label: string): IndexFunction<KubeObject> {
  return ({ metadata: { labels } }) => (labels?.[label] === undefined ? [] : [labels[label]]);
}

/** An index by the uids of the owners. */
export function byOwner({ metadata: { ownerReferences = [] } }: KubeObject): readonly string[] {
  return ownerReferences.map(({ uid }) => uid);
}

export function createListWatch<T extends KubeObject>(options: ListWatchOptions<T>): ListWatch<T> {
  const { client, resource, onChange, onError, relistMs = 600_000, idleMs = 90_000, random = Math.random } = options;
  const monotonic = options.monotonic ?? (() => performance.now());
  const selection: Selection = {
    namespace: options.namespace,
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
  };
  const objects = new Map<string, T>();
  const indexes = new Map(
    Object.entries(options.indexes ?? {}).map(([name, valuesOf]) => [name, createIndex(valuesOf)]),
  );
  const stopped = new AbortController();
  const firstList = Promise.withResolvers<void>();
  let hasSynced = false;
  let running: Promise<void> | undefined;

  function put(object: T): void {
    const key = objectKey(object);
    const old = objects.get(key);
    if (old?.metadata.resourceVersion === object.metadata.resourceVersion) return;
    objects.set(key, deepFreeze(object));
    for (const index of indexes.values()) index.replace(key, old, object);
    // Deleted and made again under the same name is two objects, not one that changed.
    if (old !== undefined && old.metadata.uid !== object.metadata.uid) onChange?.(key, undefined);
    onChange?.(key, object);
  }

  function remove(key: string): void {
    const old = objects.get(key);
    if (old === undefined) return;
    objects.delete(key);
    for (const index of indexes.values()) index.replace(key, old, undefined);
    onChange?.(key, undefined);
  }

  async function listAll(): Promise<string> {
    const seen = new Set<string>();
    let next: string | undefined;
    let resourceVersion: string;
    do {
      const page = await client.list<T>(resource, {
        ...selection,
        limit: PAGE_SIZE,
        ...(next !== undefined && { continue: next }),
      });
      refusePast(page.metadata.resourceVersion);
      for (const object of page.items) {
        seen.add(objectKey(object));
        put(object);
      }
      next = page.metadata.continue || undefined;
      resourceVersion = page.metadata.resourceVersion;
    } while (next !== undefined);
    for (const key of [...objects.keys()]) if (!seen.has(key)) remove(key);
    return resourceVersion;
  }

  function refusePast(resourceVersion: string): void {
    if (!isOlder(resourceVersion, shownUpTo)) {
      pastSince = undefined;
      return;
    }
    pastSince ??= monotonic();
    if (monotonic() - pastSince > REFUSE_PAST_MS) return;
    const message = `list of ${resource.plural}: version ${resourceVersion} is older than ${shownUpTo}, which was seen`;
    throw new KubeError(message, { status: 200, reason: 'Stale' });
  }

  /**
   * Where the next watch starts, undefined for "list again". Moved on with every event: after a broken connection an
   * older start would show objects in a state that they have already left.
   */
  let from: string | undefined;
  let shownUpTo: string | undefined;
  /** Since when each list is older than that. */
  let pastSince: number | undefined;

  /** Watches until the server ends it, at the latest when the next list is due. */
  async function watchOnce(resourceVersion: string, relistAt: number): Promise<void> {
    const untilRelist = Math.max(1, Math.ceil((relistAt - monotonic()) / 1000));
    const timeoutSeconds = Math.min(Math.round(WATCH_SECONDS * (1 + random() / 4)), untilRelist);
    // Bookmarks may keep alive a watch that its server never ends, and the next list would never come.
    const overdue = AbortSignal.timeout(timeoutSeconds * 1000 + WATCH_GRACE_MS);
    const watchOptions = { signal: AbortSignal.any([stopped.signal, overdue]), idleMs };
    const events = client.watch<T>(resource, { ...selection, resourceVersion, timeoutSeconds }, watchOptions);
    for await (const event of events) {
      if (stopped.signal.aborted) return;
      if (event.type === 'ERROR') {
        const status = event.object as unknown as { code?: number; message?: string; reason?: string };
        throw new KubeError(`watch of ${resource.plural}: ${status.message ?? 'error event'}`, {
          status: status.code ?? 0,
          reason: status.reason ?? 'Unknown',
        });
      }
      from = event.object.metadata.resourceVersion ?? from;
      shownUpTo = from;
      if (event.type === 'DELETED') remove(objectKey(event.object));
      else if (event.type !== 'BOOKMARK') put(event.object);
    }
  }

  async function run(): Promise<void> {
    let relistAt = 0;
    let backoffMs = 0;
    while (!stopped.signal.aborted) {
      let watchingSince: number | undefined;
      const backOff = () => {
        const wasGood = watchingSince !== undefined && monotonic() - watchingSince > GOOD_WATCH_MS;
        return wasGood ? 0 : nextBackoff(backoffMs);
      };
      let retryAfterMs = 0;
      let failure: KubeError | undefined;
      try {
        if (from === undefined || monotonic() > relistAt) {
          from = await listAll();
          shownUpTo = from;
          relistAt = monotonic() + relistMs * (1 + random() / 4);
          hasSynced = true;
          firstList.resolve();
        }
        watchingSince = monotonic();
        await watchOnce(from, relistAt);
      } catch (error) {
        failure =
          error instanceof KubeError
            ? error
            : new KubeError(String(error), { status: 0, reason: 'Unknown', cause: error });
        if (failure.status === 410) from = undefined;
        retryAfterMs = (failure.retryAfterSeconds ?? 0) * 1000;
      }
      // Also without a failure: a server that ends every watch at once must not make us a storm of requests.
      backoffMs = backOff();
      const waitMs = Math.max(backoffMs * (0.5 + random() / 2), retryAfterMs);
      if (failure !== undefined && !stopped.signal.aborted) onError?.(failure, waitMs);
      if (waitMs > 0) await delay(waitMs, undefined, { signal: stopped.signal }).catch(ignoreAbort);
    }
  }

  return {
    start() {
      running ??= run();
    },
    async stop() {
      stopped.abort();
      await running;
    },
    synced: firstList.promise,
    hasSynced: () => hasSynced,
    get: (key) => objects.get(key),
    list: () => [...objects.values()],
    byIndex(name, value) {
      const index = indexes.get(name);
      if (index === undefined) throw new Error(`no index ${name}: name it in the options of this cache`);
      return [...index.keys(value)].flatMap((key) => objects.get(key) ?? []);
    },
    shownUpTo: () => shownUpTo,
  };
}

interface Index<T> {
  /** The object with this key was `old` and is `now`. */
  replace(key: string, old: T | undefined, now: T | undefined): void;
  keys(value: string): Iterable<string>;
}

function createIndex<T extends KubeObject>(valuesOf: IndexFunction<T>): Index<T> {
  const keysOf = new Map<string, Set<string>>();
  return {
    replace(key, old, now) {
      for (const value of old === undefined ? [] : valuesOf(old)) {
        const keys = keysOf.get(value);
        keys?.delete(key);
        if (keys?.size === 0) keysOf.delete(value);
      }
      for (const value of now === undefined ? [] : valuesOf(now)) {
        const keys = keysOf.get(value) ?? new Set();
        keysOf.set(value, keys.add(key));
      }
    },
    keys: (value) => keysOf.get(value) ?? [],
  };
}

function nextBackoff(backoffMs: number): number {
  return Math.min(Math.max(backoffMs * 2, BACKOFF_FIRST_MS), BACKOFF_MAX_MS);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) deepFreeze(member);
  }
  return value;
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error;
}
