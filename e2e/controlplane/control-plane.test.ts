import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KubeError } from '../../src/kube/client.ts';
import { isOwnerAlive, ownerTag } from '../process/owner.ts';
import { spawnTied } from '../process/tied.ts';
import { until } from '../process/until.ts';
import { clientOf, RESOURCES } from './api.ts';
import { applyManifests } from './apply.ts';
import { ensureAssets } from './assets.ts';
import { withLock } from './build-lock.ts';
import { startEtcd } from './etcd.ts';
import { makeRunFolder, removeFolder } from './run-folder.ts';
import { type ControlPlane, startControlPlane } from './start.ts';

function log(line: string): void {
  process.stderr.write(`${line}\n`);
}

describe('two control planes side by side', () => {
  let planes: ControlPlane[];
  beforeAll(async () => {
    planes = await Promise.all([startControlPlane({ log }), startControlPlane({ log })]);
  });
  afterAll(async () => {
    for (const plane of planes) await plane.stop();
  });

  it('have addresses, folders and stores of their own', async () => {
    const [one, other] = both(planes);
    expect(one.block).not.toBe(other.block);
    await applyManifests(one.adminKubeconfig, [configMap('only-here')]);

    expect(await dataOf(one, 'only-here')).toEqual({ key: 'value' });
    await expect(dataOf(other, 'only-here')).rejects.toMatchObject({ status: 404 });
  });

  it('give a kubeconfig that only its owner can read', () => {
    expect(statSync(both(planes)[0].adminKubeconfig).mode & 0o777).toBe(0o600);
  });

  it('refuse what RBAC does not allow', async () => {
    const client = clientOf(both(planes)[0].kubeletKubeconfig);

    const refused = await client.list(RESOURCES.secrets, {}).catch((error: unknown) => error);

    expect(refused).toBeInstanceOf(KubeError);
    expect(refused).toMatchObject({ status: 403, reason: 'Forbidden' });
    client.close();
  });

  it('apply a CRD and an object of it in one call, whatever their order', async () => {
    const [plane] = both(planes);
    await applyManifests(plane.adminKubeconfig, [
      { apiVersion: 'e2e.test/v1', kind: 'Thing', metadata: { name: 'one' }, spec: { size: 3 } },
      thingCrd,
    ]);

    const client = clientOf(plane.adminKubeconfig);
    expect(await client.raw('GET', '/apis/e2e.test/v1/namespaces/default/things/one')).toMatchObject({
      spec: { size: 3 },
    });
    client.close();
  });

  it('keep their data when every server of one is killed and started again', async () => {
    const [plane] = both(planes);
    await applyManifests(plane.adminKubeconfig, [configMap('kept')]);

    for (const service of [plane.etcd, plane.apiserver, plane.controllerManager]) {
      service.kill('SIGKILL');
      await service.restart();
    }

    expect(await dataOf(plane, 'kept')).toEqual({ key: 'value' });
  });

  it('can have another etcd beside them, with a store of its own', async () => {
    const [plane] = both(planes);
    const etcd = await startEtcd({ ...plane, dir: join(plane.dir, 'brokers-etcd'), name: 'brokers-etcd' });

    expect(etcd.endpoint).not.toBe(plane.etcd.endpoint);
    expect((await fetch(`${etcd.endpoint}/health`)).status).toBe(200);
    await etcd.stop();
  });

  it('leave no process and no folder behind when they stop', async () => {
    const plane = await startControlPlane({ log });
    const services = [plane.etcd, plane.apiserver, plane.controllerManager];

    await plane.stop();

    expect(services.map((service) => service.process().exit())).not.toContain(undefined);
    expect(existsSync(plane.dir)).toBe(false);
  });
});

describe('a run that is killed with -9', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'killed-run-'));
  });
  afterAll(() => {
    removeFolder(folder);
  });

  it('leaves no process, and its folder goes when the next run starts', async () => {
    const script = `import { startControlPlane } from '${import.meta.dirname}/start.ts';
      const plane = await startControlPlane({ dir: '${folder}', log: console.log });
      console.log('pids', plane.etcd.process().pid, plane.apiserver.process().pid, plane.controllerManager.process().pid, '.');
      setInterval(() => undefined, 60_000);`;
    const run = spawnTied(process.execPath, ['--input-type=module-typescript', '-e', script], {
      logFile: join(folder, 'log'),
    });
    const pids = await until(() => /pids (\d+) (\d+) (\d+) \./.exec(run.logTail())?.slice(1), {
      what: 'the run to be up',
    });
    const tags = pids.map((pid) => ownerTag(Number(pid)));

    // SIGKILL to the process alone: its group is not signalled, so only the ties can end the servers.
    process.kill(run.pid, 'SIGKILL');
    await run.exited;

    await until(() => tags.every((tag) => !isOwnerAlive(tag)), { what: 'its servers to be gone' });
    expect(runFoldersIn(folder)).toHaveLength(1);
    const next = makeRunFolder(folder);
    expect(runFoldersIn(folder).map((name) => join(folder, name))).toEqual([next]);
  });
});

describe('the binaries', () => {
  let empty: string;
  beforeAll(() => {
    empty = mkdtempSync(join(tmpdir(), 'no-assets-'));
  });
  afterAll(() => {
    rmSync(empty, { recursive: true });
  });

  it('that are missing, with no Go to build them, are an error that says what to install or set', async () => {
    const env = { KUBEBUILDER_ASSETS: empty, XDG_CACHE_HOME: empty, PATH: empty };

    const assets = ensureAssets({ env, log });

    await expect(assets).rejects.toThrow(
      `KUBEBUILDER_ASSETS=${empty} lacks etcd and kube-apiserver and kube-controller-manager`,
    );
    await expect(assets).rejects.toThrow('Install Go 1.26 or newer');
  });

  it('are told by the command in one readable message', async () => {
    const env = { XDG_CACHE_HOME: empty, PATH: empty };
    const failed = promisify(execFile)(process.execPath, [join(import.meta.dirname, 'assets.ts')], { env });

    await expect(failed).rejects.toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^The test control plane is not there\. Go is not in PATH\.\nInstall Go/),
    });
  });
});

describe('the lock of a build', () => {
  it('lets the second in when the first is done, and tells it who has it', async () => {
    const name = `test-${process.pid}`;
    const order: string[] = [];
    const release = Promise.withResolvers<void>();
    const first = withLock(
      name,
      () => undefined,
      async () => {
        order.push('first in');
        await release.promise;
        order.push('first out');
      },
    );
    const second = withLock(
      name,
      (holder) => {
        order.push(`waiting for ${holder}`);
        release.resolve();
      },
      async () => order.push('second in'),
    );

    await Promise.all([first, second]);

    expect(order).toEqual(['first in', `waiting for process ${process.pid}`, 'first out', 'second in']);
  });

  it('is free at once when its holder is killed with -9', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lock-test-'));
    const name = `test-killed-${process.pid}`;
    const script = `import { withLock } from '${import.meta.dirname}/build-lock.ts';
      await withLock('${name}', () => undefined, async () => { console.log('held'); await new Promise((done) => setTimeout(done, 60_000)); });`;
    const holder = spawnTied(process.execPath, ['--input-type=module-typescript', '-e', script], {
      logFile: join(folder, 'log'),
    });
    await until(() => holder.logTail().includes('held'), { what: 'the lock to be held' });

    await withLock(
      name,
      () => holder.kill('SIGKILL'),
      async () => undefined,
    );

    expect(await holder.exited).toEqual({ code: null, signal: 'SIGKILL' });
    removeFolder(folder);
  });
});

const thingCrd = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'things.e2e.test' },
  spec: {
    group: 'e2e.test',
    scope: 'Namespaced',
    names: { plural: 'things', singular: 'thing', kind: 'Thing' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: { spec: { type: 'object', properties: { size: { type: 'integer' } } } },
          },
        },
      },
    ],
  },
};

function configMap(name: string) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { key: 'value' } };
}

async function dataOf(plane: ControlPlane, name: string): Promise<unknown> {
  const client = clientOf(plane.adminKubeconfig);
  try {
    const { data } = await client.get<{ metadata: { name: string }; data?: unknown }>(RESOURCES.configMaps, {
      namespace: 'default',
      name,
    });
    return data;
  } finally {
    client.close();
  }
}

function both(planes: ControlPlane[]): [ControlPlane, ControlPlane] {
  const [one, other] = planes;
  if (one === undefined || other === undefined) throw new Error('two control planes were started');
  return [one, other];
}

function runFoldersIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('danube-load-manager-'));
}
