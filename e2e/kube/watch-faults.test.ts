/**
 * The cache (`src/kube/list-watch.ts`) behind a proxy that fails in every way that we know of, in front of a real API
 * server. Whatever happened, once it is over the cache equals a fresh list; and while it lasts, we are no storm.
 */
import { randomUUID } from 'node:crypto';
import { KubeConfig } from '@kubernetes/client-node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createKubeClient, type KubeClient, type KubeObject } from '../../src/kube/client.ts';
import { byLabel, createListWatch, type ListWatch, type ListWatchOptions } from '../../src/kube/list-watch.ts';
import { createOwnWrites, recordWrites } from '../../src/kube/own-writes.ts';
import { createReconciler, DONE } from '../../src/kube/reconcile.ts';
import { clientOf, RESOURCES } from '../controlplane/api.ts';
import { type ControlPlane, startControlPlane } from '../controlplane/start.ts';
import { holdToBar } from '../process/bars.ts';
import { until } from '../process/until.ts';
import { type ApiProxy, type Fault, startApiProxy, type WatchEnd } from './proxy.ts';

interface ConfigMap extends KubeObject {
  readonly data: { readonly value: string };
}

const RESOURCE = RESOURCES.configMaps;
/** One label per test: its objects are its own. */
const LABEL = 'watch-faults';
/** How long a fault lasts. Long enough to see the tries get rarer. */
const STORM_MS = 2_000;
/** The longest wait between two tries, 200 ms doubled while the fault lasts, and the time of an answer. */
const RECOVERS_MS = 8_000;

let plane: ControlPlane;
let direct: KubeClient;
let proxy: ApiProxy;
let client: KubeClient;
let caches: ListWatch<ConfigMap>[] = [];
let test = 0;

beforeAll(async () => {
  plane = await startControlPlane({ log: (line) => process.stderr.write(`${line}\n`) });
  direct = clientOf(plane.adminKubeconfig);
});

afterAll(async () => {
  direct?.close();
  await plane?.stop();
});

beforeEach(async () => {
  test += 1;
  caches = [];
  proxy = await startApiProxy({ address: plane.address, target: plane.server, caFile: plane.caFile });
  client = clientThroughProxy();
});

function clientThroughProxy(timeoutMs = 30_000): KubeClient {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(plane.adminKubeconfig);
  const user = kubeConfig.getCurrentUser();
  if (user === null) throw new Error('the admin kubeconfig names no user');
  // The library refuses plain HTTP otherwise.
  kubeConfig.loadFromClusterAndUser({ name: 'proxy', server: proxy.endpoint, skipTLSVerify: true }, user);
  return createKubeClient({ kubeConfig, timeoutMs });
}

afterEach(async () => {
  await Promise.all(caches.map((cache) => cache.stop()));
  client.close();
  await proxy.stop();
});

async function put(name: string, value: string): Promise<void> {
  const ref = { namespace: 'default', name: `t${test}-${name}` };
  const metadata = { ...ref, labels: { [LABEL]: `t${test}` } };
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { value } };
  await direct.patch(RESOURCE, ref, object, { type: 'apply', fieldManager: 'test', force: true });
}

async function remove(name: string): Promise<void> {
  await direct.delete(RESOURCE, { namespace: 'default', name: `t${test}-${name}` });
}

/** Creates, changes, removes, and makes again under the old name. */
async function change(): Promise<void> {
  await put('new', '1');
  await put('changed', '2');
  await remove('removed');
  await remove('replaced');
  await put('replaced', '2');
}

async function startCache(options: Partial<ListWatchOptions<ConfigMap>> = {}): Promise<ListWatch<ConfigMap>> {
  const cache = createListWatch<ConfigMap>({
    client,
    resource: RESOURCE,
    namespace: 'default',
    labelSelector: `${LABEL}=t${test}`,
    ...options,
  });
  caches.push(cache);
  cache.start();
  await cache.synced;
  return cache;
}

/** A cache that watches, with objects for `change`. */
async function startWatching(options: Partial<ListWatchOptions<ConfigMap>> = {}): Promise<ListWatch<ConfigMap>> {
  for (const name of ['changed', 'removed', 'replaced']) await put(name, '1');
  const cache = await startCache(options);
  await until(() => proxy.openWatches() === 1, { what: 'the watch to be open' });
  return cache;
}

function versions(objects: readonly ConfigMap[]): readonly string[] {
  return objects.map(({ metadata: { name, uid, resourceVersion } }) => `${name} ${uid} ${resourceVersion}`).sort();
}

async function freshList(): Promise<readonly string[]> {
  const selection = { namespace: 'default', labelSelector: `${LABEL}=t${test}` };
  return versions((await direct.list<ConfigMap>(RESOURCE, selection)).items);
}

/** Resolves when the cache equals a fresh list; prints the milliseconds that it took. */
async function recovered(cache: ListWatch<ConfigMap>, what: string): Promise<void> {
  const startedAt = performance.now();
  const fresh = await freshList();
  const same = () => {
    const cached = versions(cache.list());
    return cached.length === fresh.length && cached.every((line, at) => line === fresh[at]);
  };
  await until(same, { what: `the cache to equal a fresh list after ${what}`, intervalMs: 10 });
  holdToBar(`${what}, ${proxy.requests.length} requests: equal after`, performance.now() - startedAt, RECOVERS_MS);
}

/**
 * At most so many requests of one cache while everything fails for `ms`: waits are at least 100 ms and double, the
 * first may be none (the watch before was a good one), and a try is a LIST and a WATCH.
 */
function requestBound(ms: number): number {
  return 2 * (3 + Math.ceil(Math.log2(1 + ms / 100)));
}

function elapse(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Fails requests for STORM_MS or somewhat longer, with changes meanwhile; checks that we were no storm. */
async function storm(fault: Fault, verbs: readonly ('LIST' | 'WATCH')[]): Promise<void> {
  const before = proxy.requests.length;
  const startedAt = performance.now();
  proxy.failWith(({ verb }) => (verbs.some((each) => each === verb) ? fault : undefined));
  proxy.endWatches('reset');
  await Promise.all([change(), elapse(STORM_MS)]);
  proxy.heal();
  expect(proxy.requests.length - before).toBeLessThanOrEqual(requestBound(performance.now() - startedAt));
}

describe('an open watch', () => {
  it.each<[string, WatchEnd]>([
    ['is closed', 'end'],
    ['is reset', 'reset'],
    ['ends in the middle of an event', 'truncate'],
  ])('%s: the cache catches up from the last event', async (what, how) => {
    const cache = await startWatching();

    proxy.endWatches(how);
    await change();

    await recovered(cache, `a watch that ${what}`);
    expect(proxy.requests.filter(({ verb }) => verb === 'LIST')).toHaveLength(1);
  });

  it('is half open: it is given up when nothing has come for the idle time', async () => {
    const cache = await startWatching({ idleMs: 2_000 });

    proxy.endWatches('half-open');
    await change();

    await recovered(cache, 'a half-open watch (idle time 2 s)');
  });
});

describe('every request', () => {
  it.each<[string, Fault]>([
    ['is reset', 'reset'],
    ['answers 401', { status: 401 }],
    ['answers 403', { status: 403 }],
    ['answers 429 with Retry-After', { status: 429, retryAfterSeconds: 1 }],
    ['answers 500', { status: 500 }],
    ['answers 410', { status: 410 }],
    ['answers half of its JSON', 'truncate'],
  ])('%s for a while', async (what, fault) => {
    const cache = await startWatching();

    await storm(fault, ['LIST', 'WATCH']);

    await recovered(cache, `every request ${what}`);
  });

  it('gets no answer for a while', async () => {
    client.close();
    client = clientThroughProxy(1_000);
    const cache = await startWatching({ idleMs: 1_000 });

    await storm('hang', ['LIST', 'WATCH']);

    await recovered(cache, 'every request hangs');
  });
});

describe('every watch', () => {
  it.each<[string, Fault]>([
    ['is closed at once', 'end'],
    ['answers 410 (a storm)', { status: 410 }],
    ['begins with an ERROR event of 410 (a storm)', { errorEvent: 410 }],
    ['begins with an ERROR event of 500', { errorEvent: 500 }],
  ])('%s for a while, lists are answered', async (what, fault) => {
    const cache = await startWatching();

    await storm(fault, ['WATCH']);

    await recovered(cache, `every watch ${what}`);
  });
});

describe('events that never come', () => {
  it.each(['DELETED', 'MODIFIED', 'ADDED'])('%s: the next periodic list repairs it', async (type) => {
    const cache = await startWatching({ relistMs: 2_000 });
    const known = versions(cache.list());

    proxy.dropEvents(type);
    await change();

    await recovered(cache, `${type} dropped (list every 2 s)`);
    expect(versions(cache.list())).not.toEqual(known);
  });
});

describe('an API server that lags', () => {
  it('shows the past to a cache that starts, which catches up', async () => {
    await startWatching();
    const past = await freshList();
    proxy.lag();
    await change();

    const restarted = await startCache();
    expect(versions(restarted.list())).toEqual(past);

    proxy.heal();
    await recovered(restarted, 'a start against a lagging API server');
  });

  it('does not take a cache back to the past', async () => {
    const cache = await startWatching({ relistMs: 1_000 });
    await change();
    await recovered(cache, 'changes');
    const present = versions(cache.list());
    const lists = () => proxy.requests.filter(({ verb }) => verb === 'LIST').length;
    const listsBefore = lists();

    proxy.lag();
    await until(() => lists() >= listsBefore + 3, { what: 'three lists of the past' });

    expect(versions(cache.list())).toEqual(present);
    proxy.heal();
    await put('new', '2');
    await recovered(cache, 'lists of the past');
  });
});

describe('a controller that makes one child per parent, from a cache that lags behind its own writes', () => {
  /** Each time that it is asked, it looks for the child in the cache and makes one if there is none. */
  async function childrenMade({ gated }: { readonly gated: boolean }): Promise<number> {
    await startWatching();
    const children = await startCache({ indexes: { parent: byLabel('parent') } });
    const ownWrites = createOwnWrites({ shownUpTo: children.shownUpTo });
    const forParent = { wrote: (_child: string, version: string | undefined) => ownWrites.wrote('parent', version) };
    const writer = recordWrites({ client: direct, resource: RESOURCE, ownWrites: forParent });
    let looked = 0;
    const controller = createReconciler({
      async reconcile(parent) {
        looked += 1;
        if (children.byIndex('parent', parent).length > 0) return DONE;
        const labels = { [LABEL]: `t${test}`, parent };
        const name = `t${test}-child-${randomUUID()}`;
        await writer.create<ConfigMap>(RESOURCE, {
          metadata: { namespace: 'default', name, labels },
          data: { value: '' },
        });
        return DONE;
      },
      onError: (key, error) => process.stderr.write(`${key}: ${String(error)}\n`),
      isReady: (key) => !gated || ownWrites.areVisible(key),
    });

    proxy.lag();
    controller.add('parent');
    await until(() => looked === 1 && controller.workingForMs().length === 0, { what: 'a child' });
    for (let again = 0; again < 3; again++) {
      controller.add('parent');
      await until(() => controller.depth() + controller.workingForMs().length === 0, {
        what: 'the controller to be idle',
      });
    }
    proxy.heal();
    await recovered(children, `own writes (${gated ? 'gated' : 'not gated'})`);
    const before = looked;
    controller.add('parent');
    await until(() => looked > before, { what: 'a look at the present' });
    await controller.stop();
    return children.byIndex('parent', 'parent').length;
  }

  it('makes one when it waits until its own last writes are visible', async () => {
    expect(await childrenMade({ gated: true })).toBe(1);
  });

  it('makes one each time that it looks when it does not', async () => {
    expect(await childrenMade({ gated: false })).toBe(4);
  });
});

describe('the servers', () => {
  it('API server killed and started again', async () => {
    const cache = await startWatching();

    plane.apiserver.kill('SIGKILL');
    await plane.apiserver.restart();
    await change();

    await recovered(cache, 'kill -9 of the API server');
  });

  it('etcd of Kubernetes killed and started again', async () => {
    const cache = await startWatching();

    plane.etcd.kill('SIGKILL');
    await plane.etcd.restart();
    await until(() => put('new', '0').then(() => true), { what: 'the API server to write again' });
    await change();

    await recovered(cache, "kill -9 of Kubernetes' etcd");
  });
});
