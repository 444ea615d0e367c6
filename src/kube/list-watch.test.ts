import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createKubeClient, type KubeClient, KubeError, type KubeObject } from './client.ts';
import { type FakeApiServer, type Fault, startFakeApiServer } from './fake-api-server.ts';
import { byLabel, byOwner, createListWatch, type ListWatch, type ListWatchOptions } from './list-watch.ts';

interface Thing extends KubeObject {
  readonly value: number;
}

const RESOURCE = { group: 'test', version: 'v1', plural: 'things', namespaced: true };

function thing(name: string, value: number): Thing {
  return { metadata: { name, namespace: 'n' }, value };
}

const PATIENCE = { timeout: 30_000 };

let server: FakeApiServer<Thing>;
let client: KubeClient;
let cache: ListWatch<Thing> | undefined;
let clock = 0;

beforeEach(async () => {
  server = await startFakeApiServer<Thing>();
  // The library refuses plain HTTP otherwise.
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromClusterAndUser({ name: 'fake', server: server.url, skipTLSVerify: true }, { name: 'nobody' });
  // Shorter than the Retry-After of the tests: the client itself waits only within its deadline.
  client = createKubeClient({ kubeConfig, timeoutMs: 60_000 });
  clock = 0;
});

afterEach(async () => {
  server.failWith(() => undefined);
  await cache?.stop();
  cache = undefined;
  client.close();
  await server.close();
});

function start(options: Partial<ListWatchOptions<Thing>> = {}): ListWatch<Thing> {
  // random 0: the shortest waits, always the same.
  cache = createListWatch<Thing>({
    client,
    resource: RESOURCE,
    namespace: 'n',
    random: () => 0,
    monotonic: () => clock,
    ...options,
  });
  cache.start();
  return cache;
}

function contents(of: ListWatch<Thing>): Readonly<Record<string, number>> {
  return Object.fromEntries(of.list().map(({ metadata, value }) => [metadata.name, value]));
}

async function untilHolds(of: ListWatch<Thing>, expected: Readonly<Record<string, number>>): Promise<void> {
  await vi.waitFor(() => expect(contents(of)).toEqual(expected), { ...PATIENCE, interval: 5 });
}

async function untilWatching(): Promise<void> {
  await vi.waitFor(() => expect(server.openWatches()).toBe(1), { ...PATIENCE, interval: 5 });
}

function verbs(): readonly string[] {
  return server.requests.map(({ verb }) => verb);
}

/** Fails the next request of this kind, once, or `times` times. */
function failNext(verb: string, fault: Fault, times = 1): void {
  let left = times;
  server.failWith((request) => {
    if (request.verb !== verb || left === 0) return undefined;
    left -= 1;
    return fault;
  });
}

describe('the cache', () => {
  it('holds what is listed and follows what changes', async () => {
    server.put(thing('a', 1));
    const things = start();
    await things.synced;
    expect(things.hasSynced()).toBe(true);
    expect(contents(things)).toEqual({ a: 1 });

    await untilWatching();
    server.put(thing('b', 2));
    server.put(thing('a', 3));
    server.remove('b');
    server.put(thing('c', 4));

    await untilHolds(things, { a: 3, c: 4 });
    expect(things.get('n/a')?.value).toBe(3);
    expect(things.get('n/b')).toBeUndefined();
    expect(verbs()).toEqual(['LIST', 'WATCH']);
  });

  it('reads long lists page by page', async () => {
    for (let index = 0; index < 1203; index++) server.put(thing(`t${index}`, index));

    const things = start();
    await things.synced;

    expect(things.list()).toHaveLength(1203);
    expect(verbs().filter((verb) => verb === 'LIST')).toHaveLength(3);
  });

  it('starts the watch at the version of the list, so that nothing falls in between', async () => {
    server.put(thing('a', 1));
    let listed = false;
    server.failWith(({ verb }) => {
      if (verb === 'WATCH' && !listed) {
        listed = true;
        server.put(thing('between', 2));
      }
      return undefined;
    });

    const things = start();

    await untilHolds(things, { a: 1, between: 2 });
  });

  it('gives objects that nobody can change', async () => {
    server.put(thing('a', 1));
    const things = start();
    await things.synced;

    const found = things.get('n/a') as { value: number; metadata: { name: string } };

    expect(() => {
      found.value = 9;
    }).toThrow(TypeError);
    expect(() => {
      found.metadata.name = 'x';
    }).toThrow(TypeError);
  });

  it('tells which object appeared, changed and went, once each', async () => {
    const seen: string[] = [];
    const things = start({ onChange: (key, object) => seen.push(`${key} ${object?.value ?? 'gone'}`) });
    await things.synced;
    await untilWatching();

    server.put(thing('a', 1));
    server.put(thing('a', 2));
    server.remove('a');

    await vi.waitFor(() => expect(seen).toEqual(['n/a 1', 'n/a 2', 'n/a gone']), PATIENCE);
  });

  it('finds objects by label and by owner, as they are now', async () => {
    const labelled = (name: string, app: string, owner: string): Thing => ({
      metadata: {
        name,
        namespace: 'n',
        labels: { app },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Owner', name: owner, uid: owner }],
      },
      value: 0,
    });
    server.put(labelled('a', 'x', 'o1'));
    server.put(labelled('b', 'x', 'o2'));
    server.put(thing('plain', 1));
    const things = start({ indexes: { app: byLabel('app'), owner: byOwner } });
    const names = (index: string, value: string) => things.byIndex(index, value).map(({ metadata }) => metadata.name);
    await things.synced;
    await untilWatching();
    expect([names('app', 'x'), names('owner', 'o2'), names('app', 'y')]).toEqual([['a', 'b'], ['b'], []]);

    server.put(labelled('a', 'y', 'o2'));
    server.remove('b');

    await vi.waitFor(() => expect(names('app', 'x')).toEqual([]), PATIENCE);
    expect([names('app', 'y'), names('owner', 'o1'), names('owner', 'o2')]).toEqual([['a'], [], ['a']]);
    expect(() => things.byIndex('color', 'red')).toThrow('no index color');
  });

  it('tells up to which version it shows everything', async () => {
    const things = start();
    expect(things.shownUpTo()).toBeUndefined();
    await things.synced;
    await untilWatching();

    const { resourceVersion } = server.put(thing('a', 1)).metadata;
    await untilHolds(things, { a: 1 });

    expect(things.shownUpTo()).toBe(resourceVersion);
  });

  it('selects as it was told', async () => {
    const things = start({ labelSelector: 'app=x', fieldSelector: 'spec.y=z' });
    await things.synced;
    await untilWatching();

    for (const { query } of server.requests) {
      expect([query.get('labelSelector'), query.get('fieldSelector')]).toEqual(['app=x', 'spec.y=z']);
    }
  });
});

describe('an object that was deleted and made again under its name', () => {
  it('is two objects, also if the deletion was missed', async () => {
    const seen: string[] = [];
    server.put(thing('a', 1));
    const things = start({
      onChange: (key, object) => seen.push(`${key} ${object === undefined ? 'gone' : object.metadata.uid}`),
    });
    await things.synced;
    await untilWatching();

    failNext('WATCH', { status: 410 });
    server.endWatches('reset');
    server.remove('a');
    server.put(thing('a', 2));

    await untilHolds(things, { a: 2 });
    expect(seen).toEqual(['n/a uid-1', 'n/a gone', 'n/a uid-2']);
  });
});

describe('a watch that ends', () => {
  it.each<[string, () => void]>([
    ['by the server', () => server.endWatches('end')],
    ['by a broken connection', () => server.endWatches('reset')],
    ['in the middle of an event', () => server.endWatches({ after: '{"type":"MODIFIED","object":{"meta' })],
  ])('%s, goes on from the last event, and nothing is listed again', async (_what, end) => {
    const things = start();
    await things.synced;
    await untilWatching();
    server.put(thing('a', 1));
    server.put(thing('a', 2));
    await untilHolds(things, { a: 2 });

    end();
    server.put(thing('b', 3));
    server.remove('a');

    await untilHolds(things, { b: 3 });
    expect(verbs().filter((verb) => verb === 'LIST')).toHaveLength(1);
  });

  it('never shows an object in a state that it has left', async () => {
    const values: number[] = [];
    const things = start({ onChange: (_key, object) => object && values.push(object.value) });
    await things.synced;
    await untilWatching();

    for (let value = 1; value <= 5; value++) {
      server.put(thing('a', value));
      await untilHolds(things, { a: value });
      server.endWatches('reset');
      await untilWatching();
    }

    expect(values).toEqual([1, 2, 3, 4, 5]);
  });

  it.each<[string, Fault]>([
    ['410 Gone', { status: 410 }],
    ['an ERROR event of 410', { errorEvent: 410 }],
  ])('by %s, lists again, and finds what was deleted meanwhile', async (_what, fault) => {
    const errors: number[] = [];
    server.put(thing('a', 1));
    const things = start({ onError: ({ status }) => errors.push(status) });
    await things.synced;
    await untilWatching();

    failNext('WATCH', fault);
    server.endWatches('reset');
    server.remove('a');
    server.put(thing('b', 2));
    server.compact();
    server.put(thing('c', 3));

    await untilHolds(things, { b: 2, c: 3 });
    expect(errors).toContain(410);
    expect(verbs().filter((verb) => verb === 'LIST').length).toBeGreaterThan(1);
  });
});

describe('a server that refuses', () => {
  it.each([
    ['401', { status: 401 }],
    ['403', { status: 403 }],
    ['500 with a page of a proxy', { status: 500, body: '<html>oops</html>' }],
    ['503', { status: 503 }],
    ['a broken connection', 'reset'],
  ] as const)('the list with %s, is asked again until it answers, and the error is told', async (_what, fault) => {
    const errors: KubeError[] = [];
    server.put(thing('a', 1));
    failNext('LIST', fault, 2);

    const things = start({ onError: (error) => errors.push(error) });
    await things.synced;

    expect(contents(things)).toEqual({ a: 1 });
    expect(errors).toHaveLength(2);
    expect(errors[0]).toBeInstanceOf(KubeError);
    expect(errors[0]?.status).toBe(fault === 'reset' ? 0 : fault.status);
  });

  it('the watch for a while, keeps what is known meanwhile', async () => {
    server.put(thing('a', 1));
    failNext('WATCH', { status: 500 }, 2);

    const things = start();
    await untilWatching();
    server.put(thing('b', 2));

    await untilHolds(things, { a: 1, b: 2 });
    expect(verbs()).toEqual(['LIST', 'WATCH', 'WATCH', 'WATCH']);
  });

  it('with Retry-After, is left alone for that long', async () => {
    const waits: number[] = [];
    failNext('LIST', { status: 429, retryAfter: 70 });

    start({ onError: (_error, retryInMs) => waits.push(retryInMs) });
    await vi.waitFor(() => expect(waits).toHaveLength(1), PATIENCE);

    expect(waits).toEqual([70_000]);
  });

  it('with Retry-After, is not asked a moment earlier, and after that by the back-off again', async () => {
    const waits: number[] = [];
    const later = new KubeError('later', { status: 429, reason: 'TooManyRequests', retryAfterSeconds: 2 });
    vi.spyOn(client, 'list').mockRejectedValueOnce(later);
    const startedAt = performance.now();

    const things = start({ onError: (_error, retryInMs) => waits.push(retryInMs) });
    await things.synced;

    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(2000);
    expect(waits).toEqual([2000]);
  });

  it('everything, is asked less and less often', async () => {
    const waits: number[] = [];
    server.failWith(() => ({ status: 500 }));

    start({ onError: (_error, retryInMs) => waits.push(retryInMs) });
    await vi.waitFor(() => expect(waits.length).toBeGreaterThanOrEqual(4), PATIENCE);

    expect(waits.slice(0, 4)).toEqual([100, 200, 400, 800]);
    expect(server.requests.length).toBeLessThanOrEqual(waits.length + 1);
  });

  it('ends every watch at once, is not stormed', async () => {
    failNext('WATCH', 'end', Number.POSITIVE_INFINITY);
    const startedAt = performance.now();
    const things = start();
    await things.synced;

    // Half of 200 + 400 + 800 ms have passed by the fourth try.
    await vi.waitFor(() => expect(verbs().filter((verb) => verb === 'WATCH').length).toBe(4), PATIENCE);

    expect(performance.now() - startedAt).toBeGreaterThan(600);
    expect(verbs().filter((verb) => verb === 'LIST')).toHaveLength(1);
  });
});

describe('after a watch that lasted', () => {
  it.each(['end', 'reset'] as const)('the next one comes soon, however it ended (%s)', async (how) => {
    const waits: number[] = [];
    failNext('WATCH', { status: 500 }, 3);
    const things = start({ onError: (_error, retryInMs) => waits.push(retryInMs) });
    await things.synced;
    await untilWatching();
    expect(waits).toEqual([100, 200, 400]);

    clock += 60_000;
    server.endWatches(how);
    await untilWatching();
    server.put(thing('a', 1));

    await untilHolds(things, { a: 1 });
    expect(waits.slice(3)).toEqual(how === 'end' ? [] : [0]);
  });
});

describe('from time to time', () => {
  it('the list is read again, and repairs what an event missed', async () => {
    server.put(thing('a', 1));
    const things = start({ relistMs: 1000 });
    await things.synced;
    await untilWatching();

    clock += 1001;
    server.endWatches('end');

    await vi.waitFor(() => expect(verbs().filter((verb) => verb === 'LIST')).toHaveLength(2), PATIENCE);
  });

  it('also behind a server that never ends a watch', async () => {
    start({ relistMs: 1 });
    await untilWatching();

    clock += 1001;

    const lists = () => verbs().filter((verb) => verb === 'LIST').length;
    await vi.waitFor(() => expect(lists()).toBe(2), PATIENCE);
  });

  it('no watch outlasts the time of the next list', async () => {
    const things = start({ relistMs: 7_000 });
    await things.synced;
    await untilWatching();

    expect(server.requests.at(-1)?.query.get('timeoutSeconds')).toBe('7');
  });
});

describe('a list older than what was seen', () => {
  it('is refused for a minute, then believed: the cluster was restored from a backup', async () => {
    const errors: string[] = [];
    server.put(thing('a', 1));
    const things = start({ onError: ({ reason }) => errors.push(reason) });
    await things.synced;
    await untilWatching();
    server.put(thing('a', 2));
    await untilHolds(things, { a: 2 });

    failNext('WATCH', { status: 410 });
    server.restoreFromBackup([thing('b', 3)], 50);
    server.endWatches('reset');
    await vi.waitFor(() => expect(errors).toContain('Stale'), PATIENCE);
    expect(contents(things)).toEqual({ a: 2 });
    clock += 60_001;

    await untilHolds(things, { b: 3 });
  });
});

describe('stopping', () => {
  it('ends an open watch at once', async () => {
    const things = start();
    await things.synced;
    await untilWatching();

    await things.stop();

    await vi.waitFor(() => expect(server.openWatches()).toBe(0), PATIENCE);
    expect(verbs()).toEqual(['LIST', 'WATCH']);
  });

  it('ends a wait for the next try at once', async () => {
    const waits: number[] = [];
    failNext('LIST', { status: 429, retryAfter: 3600 });
    const things = start({ onError: (_error, retryInMs) => waits.push(retryInMs) });
    await vi.waitFor(() => expect(waits).toEqual([3_600_000]), PATIENCE);

    await things.stop();

    expect(verbs()).toEqual(['LIST']);
  });

  it('is possible before the start', async () => {
    const things = createListWatch<Thing>({ client, resource: RESOURCE });

    await things.stop();

    expect(server.requests).toEqual([]);
  });
});
