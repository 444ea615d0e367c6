import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isNotFound, type KubeClient } from '../../src/kube/client.ts';
import { clientOf, RESOURCES } from '../controlplane/api.ts';
import { applyManifests, type Manifest } from '../controlplane/apply.ts';
import { type ControlPlane, startControlPlane } from '../controlplane/start.ts';
import { holdToBar } from '../process/bars.ts';
import { isOwnerAlive, ownerTag } from '../process/owner.ts';
import { until } from '../process/until.ts';
import { ownCgroups } from './cgroups.ts';
import { type Kubelet, startKubelet } from './start.ts';
import type { Claim, Container, ContainerStatus, Pod, PodStatus } from './types.ts';

const IMAGE = 'example.test/server:1';
const NAMESPACE = 'default';

let controlPlane: ControlPlane;
let kubelet: Kubelet;
let client: KubeClient;
beforeAll(async () => {
  controlPlane = await startControlPlane({ log: (line) => process.stderr.write(`${line}\n`) });
  kubelet = await startKubelet({
    controlPlane,
    nodes: ['node-a', 'node-b'],
    images: { [IMAGE]: join(import.meta.dirname, 'fixtures/image') },
    backoffSeconds: { base: 0.5, max: 2 },
  });
  client = clientOf(controlPlane.adminKubeconfig);
});
afterAll(async () => {
  client?.close();
  await kubelet?.stop();
  await controlPlane?.stop();
});

describe('a StatefulSet of two with a claim and a native sidecar', () => {
  const history: Pod[] = [];
  const following = new AbortController();
  beforeAll(async () => {
    void followPods(history, following.signal);
    await applyManifests(controlPlane.adminKubeconfig, [statefulSet('web', 2)]);
    await podWhere('web-1', isReady);
  });
  afterAll(() => following.abort());

  it('has its Pods Ready in order, on different Nodes, at addresses of the block', async () => {
    const pods = [await getPod('web-0'), await getPod('web-1')];

    expect(pods.map(({ spec }) => spec.nodeName).sort()).toEqual(['node-a', 'node-b']);
    const ips = pods.map(({ status }) => status?.podIP ?? '');
    expect(new Set(ips).size).toBe(2);
    for (const ip of ips) expect(ip).toMatch(new RegExp(`^${controlPlane.block}\\.[1-9]\\d*\\.\\d+$`));
    const [zeroReady = 0, oneCreated = 0] = [
      history.findIndex((pod) => pod.metadata.name === 'web-0' && isReady(pod)),
      history.findIndex((pod) => pod.metadata.name === 'web-1'),
    ];
    expect(oneCreated).toBeGreaterThan(zeroReady);
  });

  it('has a status like a kubelet’s', async () => {
    const { status } = await getPod('web-0');

    expect(status).toMatchObject({ phase: 'Running', hostIP: expect.stringMatching(/^127\.\d+\.0\.1[12]$/) });
    expect(conditionsOf(status)).toEqual({
      PodScheduled: 'True',
      PodReadyToStartContainers: 'True',
      Initialized: 'True',
      ContainersReady: 'True',
      Ready: 'True',
    });
    expect(statusOf(status, 'server')).toMatchObject({
      image: IMAGE,
      containerID: expect.stringMatching(/^process:\/\/[0-9a-f]{32}$/),
      restartCount: 0,
      ready: true,
      started: true,
      state: { running: { startedAt: expect.any(String) } },
      lastState: {},
    });
  });

  it('starts the sidecar before the container', async () => {
    const first = history.find(
      (pod) => pod.metadata.name === 'web-0' && statusOf(pod.status, 'helper')?.state.running !== undefined,
    );

    // The sidecar counts as started only when its startup probe passes; until then the container waits.
    expect(statusOf(first?.status, 'server')?.state.waiting?.reason).toBe('PodInitializing');
  });

  it('gives the program its environment, with mount points replaced by folders', async () => {
    const { metadata, status } = await getPod('web-0');
    const environment = JSON.parse(readFileSync(join(await claimFolder('data-web-0'), 'env.json'), 'utf8'));

    expect(environment).toMatchObject({
      POD_NAME: 'web-0',
      POD_UID: metadata.uid,
      POD_IP: status?.podIP,
      APP: 'web',
      GREETING: 'hello web-0',
      DATA_FILE: join(await claimFolder('data-web-0'), 'file'),
      HOSTNAME: 'web-0',
    });
    expect(environment).not.toHaveProperty('VITEST');
  });

  it('serves at the Pod’s address', async () => {
    const { status } = await getPod('web-1');

    expect(await (await fetch(`http://${status?.podIP}:8080`)).text()).toBe('web-1');
  });

  it('restarts a container that is killed with -9, and says so: new id, count, last state, not Ready in between', async () => {
    const before = await getPod('web-0');
    const was = statusOf(before.status, 'server');
    const seen = history.length;
    const killedAt = Date.now();

    process.kill(serverPid('web-0'), 'SIGKILL');

    const after = await podWhere('web-0', (pod) => statusOf(pod.status, 'server')?.restartCount === 1 && isReady(pod));
    const is = statusOf(after.status, 'server');
    expect(is?.containerID).not.toBe(was?.containerID);
    expect(is?.lastState.terminated).toMatchObject({
      exitCode: 137,
      signal: 9,
      reason: 'Error',
      containerID: was?.containerID,
    });
    expect(statusOf(after.status, 'helper')?.restartCount).toBe(0);
    expect(after.metadata.uid).toBe(before.metadata.uid);
    expect(after.status?.podIP).toBe(before.status?.podIP);
    const changes = history.slice(seen).filter(({ metadata }) => metadata.name === 'web-0');
    const crash = changes.find((pod) => !isReady(pod));
    expect(statusOf(crash?.status, 'server')).toMatchObject({ ready: false, state: { terminated: { exitCode: 137 } } });
    holdToBar('a container killed with -9: its Pod says so after', (seenAt.get(crash ?? after) ?? 0) - killedAt, 1_000);
    expect(await starts('data-web-0')).toHaveLength(2);
    expect((await starts('data-web-0')).at(-1)).toBe(`web-0 ${serverPid('web-0')}`);
  });

  it('keeps the claim’s data when a Pod is deleted, and gives it to the next of that name', async () => {
    const before = await getPod('web-1');
    const earlier = await starts('data-web-1');
    await client.delete(RESOURCES.pods, { namespace: NAMESPACE, name: 'web-1' });

    await podWhere('web-1', (pod) => pod.metadata.uid !== before.metadata.uid && isReady(pod));

    expect((await starts('data-web-1')).slice(0, earlier.length)).toEqual(earlier);
    expect(await starts('data-web-1')).toHaveLength(earlier.length + 1);
  });

  it('starts every container again, counted, when the kubelet is killed and started again', async () => {
    const before = await getPod('web-0');
    const pid = serverPid('web-0');
    const tag = ownerTag(pid);
    const cgroups = cgroupFolders(pid);

    kubelet.kill('SIGKILL');
    await until(() => !isOwnerAlive(tag), { what: 'the container to die with its kubelet' });
    await kubelet.restart();

    const was = statusOf(before.status, 'server');
    const after = await podWhere(
      'web-0',
      (pod) => isReady(pod) && statusOf(pod.status, 'server')?.containerID !== was?.containerID,
    );
    expect(statusOf(after.status, 'server')).toMatchObject({
      restartCount: (was?.restartCount ?? 0) + 1,
      lastState: { terminated: { exitCode: 137, containerID: was?.containerID } },
    });
    expect(statusOf(after.status, 'helper')?.restartCount).toBe(1);
    expect(after.metadata.uid).toBe(before.metadata.uid);
    expect(cgroups.filter((folder) => existsSync(folder))).toEqual([]);
  });
});

describe('a Pod', () => {
  it('goes only when its process is gone, though that ignores SIGTERM for 2 s', async () => {
    await applyPod('slow', [server({ 'ignore-term-ms': 2_000 })], { terminationGracePeriodSeconds: 20 });
    await podWhere('slow', isReady);
    const tag = ownerTag(serverPid('slow'));
    const asked = performance.now();

    await client.delete(RESOURCES.pods, { namespace: NAMESPACE, name: 'slow' });
    const last = await untilGone('slow', tag);

    expect(performance.now() - asked).toBeGreaterThan(1_900);
    expect(last.status?.phase).toBe('Succeeded');
    expect(statusOf(last.status, 'server')?.state.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
  });

  it('is killed when its grace period is over', async () => {
    await applyPod('deaf', [server({ 'ignore-term-ms': 60_000 })], { terminationGracePeriodSeconds: 1 });
    await podWhere('deaf', isReady);
    const tag = ownerTag(serverPid('deaf'));

    await client.delete(RESOURCES.pods, { namespace: NAMESPACE, name: 'deaf' });
    const last = await untilGone('deaf', tag);

    expect(last.status?.phase).toBe('Failed');
    expect(statusOf(last.status, 'server')?.state.terminated).toMatchObject({ exitCode: 137, signal: 9 });
  });

  it('that is removed by force loses its process at once', async () => {
    await applyPod('forced', [server({ 'ignore-term-ms': 60_000 })]);
    await podWhere('forced', isReady);
    const tag = ownerTag(serverPid('forced'));

    await client.delete(RESOURCES.pods, { namespace: NAMESPACE, name: 'forced' }, { gracePeriodSeconds: 0 });

    await until(() => !isOwnerAlive(tag), { what: 'its process to be gone' });
  });

  it('whose container keeps crashing waits longer and longer', async () => {
    await applyPod('crashing', [{ name: 'server', image: IMAGE, command: ['sh', '-c', 'exit 3'] }]);

    const pod = await podWhere(
      'crashing',
      ({ status }) => statusOf(status, 'server')?.state.waiting?.reason === 'CrashLoopBackOff',
    );

    const crashed = statusOf(pod.status, 'server');
    expect(crashed?.restartCount).toBe(1);
    expect(crashed?.lastState.terminated).toMatchObject({ exitCode: 3, reason: 'Error' });
    await removePod('crashing');
  });

  it('that runs to its end is Succeeded, its init containers first', async () => {
    await applyPod(
      'once',
      [
        {
          name: 'main',
          image: IMAGE,
          command: ['sh', '-c', 'cat /scratch/note'],
          volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }],
        },
      ],
      {
        restartPolicy: 'Never',
        initContainers: [
          {
            name: 'init',
            image: IMAGE,
            command: ['sh', '-c', 'echo from init > /scratch/note'],
            volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }],
          },
        ],
        volumes: [{ name: 'scratch', emptyDir: {} }],
      },
    );

    const { status } = await podWhere('once', (pod) => pod.status?.phase === 'Succeeded');

    expect(statusOf(status, 'init')?.state.terminated?.exitCode).toBe(0);
    expect(readFileSync(join(kubelet.logsFolder, 'default_once_main.log'), 'utf8')).toBe('from init\n');
    await removePod('once');
  });

  it('with an image that nobody gave says which', async () => {
    await applyPod('no-image', [{ name: 'server', image: 'nowhere:1', command: ['true'] }]);

    const { status } = await podWhere(
      'no-image',
      (pod) => statusOf(pod.status, 'server')?.state.waiting?.reason === 'ErrImagePull',
    );

    expect(statusOf(status, 'server')?.state.waiting?.message).toContain('nowhere:1');
    await removePod('no-image');
  });

  it('is restarted when its liveness probe fails, and not Ready while its readiness probe does', async () => {
    const file = (name: string) => ({
      exec: { command: ['test', '-e', `/data/${name}`] },
      timeoutSeconds: 30,
      periodSeconds: 1,
      failureThreshold: 1,
    });
    const command = ['sh', '-c', 'touch /data/live; exec node server.ts --address=$(POD_IP) --data=/data'];
    await applyPod('probed', [
      {
        ...server({}),
        command,
        livenessProbe: { ...file('live'), initialDelaySeconds: 3 },
        readinessProbe: file('ready'),
      },
    ]);
    const running = await podWhere('probed', ({ status }) => statusOf(status, 'server')?.state.running !== undefined);
    expect(isReady(running)).toBe(false);
    const folder = dataFolder(running);

    writeFileSync(join(folder, 'ready'), '');
    await podWhere('probed', isReady);
    rmSync(join(folder, 'live'));

    const restarted = await podWhere('probed', ({ status }) => statusOf(status, 'server')?.restartCount === 1);
    expect(statusOf(restarted.status, 'server')?.lastState.terminated?.exitCode).toBe(0);
    await removePod('probed');
  });

  it('has the rights of its service account, and no more', async () => {
    await applyManifests(controlPlane.adminKubeconfig, readerOfConfigMaps);
    await applyPod('reader', [server({})], { serviceAccountName: 'reader' });
    const pod = await podWhere('reader', isReady);
    const { KUBECONFIG } = await environmentOf(pod);
    const reader = clientOf(KUBECONFIG ?? '');

    expect((await reader.list(RESOURCES.configMaps, { namespace: NAMESPACE })).items).not.toHaveLength(0);
    await expect(reader.list(RESOURCES.secrets, { namespace: NAMESPACE })).rejects.toMatchObject({ status: 403 });
    await expect(reader.list(RESOURCES.configMaps, { namespace: 'kube-system' })).rejects.toMatchObject({
      status: 403,
    });
    reader.close();
    await removePod('reader');
  });

  it('without a token has no kubeconfig', async () => {
    await applyPod('anonymous', [server({})], { automountServiceAccountToken: false });

    expect(await environmentOf(await podWhere('anonymous', isReady))).not.toHaveProperty('KUBECONFIG');
    await removePod('anonymous');
  });

  it.runIf(machineHasCpuLimits())('has a cgroup of its own with its limits, which goes with it', async () => {
    await applyPod('limited', [{ ...server({}), resources: { limits: { cpu: '500m', memory: '256Mi' } } }]);
    await podWhere('limited', isReady);
    const folders = cgroupFolders(serverPid('limited'));

    const limits = folders.flatMap((folder) =>
      ['cpu.cfs_quota_us', 'memory.limit_in_bytes']
        .map((file) => join(folder, file))
        .filter((file) => existsSync(file)),
    );
    expect(limits.map((file) => readFileSync(file, 'utf8').trim())).toEqual(
      expect.arrayContaining(['50000', String(256 * 2 ** 20)]),
    );
    await removePod('limited');
    expect(folders.filter((folder) => existsSync(folder))).toEqual([]);
  });

  it.runIf(machineHasCpuLimits())('that takes more memory than its limit is OOMKilled', async () => {
    const hog = 'const kept = []; setInterval(() => kept.push(Buffer.alloc(16 * 2 ** 20, 1)), 5)';
    const container = {
      name: 'server',
      image: IMAGE,
      command: ['node', '-e', hog],
      resources: { limits: { memory: '100Mi' } },
    };
    await applyPod('hog', [container], { restartPolicy: 'Never' });

    const { status } = await podWhere('hog', (pod) => pod.status?.phase === 'Failed');

    expect(statusOf(status, 'server')?.state.terminated).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
    await removePod('hog');
  });
});

describe('a claim that is deleted', () => {
  it('takes its volume and its folder with it', async () => {
    await applyManifests(controlPlane.adminKubeconfig, [
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'loose' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } },
      },
    ]);
    await claimFolder('loose');
    const { spec } = await client.get<Claim>(RESOURCES.claims, { namespace: NAMESPACE, name: 'loose' });

    await client.delete(RESOURCES.claims, { namespace: NAMESPACE, name: 'loose' });

    await until(() => isGone(client.get(RESOURCES.volumes, { name: spec.volumeName ?? '' })), {
      what: 'its volume to be gone',
    });
  });
});

const DATA_MOUNT = { name: 'data', mountPath: '/data' };
const POD_IP = { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } };
const POD_NAME = { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } };

/** The image's program, serving on port 8080 of the Pod's address, with its data in the volume `data`. */
function server(flags: Readonly<Record<string, string | number>>): Container {
  const more = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  return {
    name: 'server',
    image: IMAGE,
    command: ['node', 'server.ts', '--address=$(POD_IP)', '--data=/data', ...more],
    env: [POD_IP, POD_NAME],
    ports: [{ name: 'http', containerPort: 8080 }],
    readinessProbe: { httpGet: { port: 'http' }, periodSeconds: 1 },
    volumeMounts: [DATA_MOUNT],
  };
}

function statefulSet(name: string, replicas: number): Manifest {
  const labels = { app: name };
  const main = server({});
  const env = [
    ...(main.env ?? []),
    { name: 'POD_UID', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } },
    { name: 'APP', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
    { name: 'GREETING', value: 'hello $(POD_NAME)' },
    { name: 'DATA_FILE', value: '/data/file' },
  ];
  const helper: Container = {
    ...server({ port: 8081 }),
    name: 'helper',
    restartPolicy: 'Always',
    ports: [{ name: 'http', containerPort: 8081 }],
    startupProbe: { tcpSocket: { port: 8081 }, periodSeconds: 1, failureThreshold: 30 },
    volumeMounts: [{ name: 'scratch', mountPath: '/data' }],
  };
  const template = {
    metadata: { labels },
    spec: {
      terminationGracePeriodSeconds: 5,
      initContainers: [helper],
      containers: [{ ...main, env }],
      volumes: [{ name: 'scratch', emptyDir: {} }],
    },
  };
  const claim = {
    metadata: { name: 'data' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } },
  };
  const spec = {
    replicas,
    serviceName: name,
    selector: { matchLabels: labels },
    template,
    volumeClaimTemplates: [claim],
  };
  return { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name }, spec };
}

async function applyPod(name: string, containers: readonly Container[], spec: object = {}): Promise<void> {
  await applyManifests(controlPlane.adminKubeconfig, [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: { terminationGracePeriodSeconds: 2, volumes: [{ name: 'data', emptyDir: {} }], ...spec, containers },
    },
  ]);
}

const subject = { kind: 'ServiceAccount', name: 'reader', namespace: NAMESPACE };
const readerOfConfigMaps: readonly Manifest[] = [
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'reader' } },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'reader' },
    rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'reader' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
    subjects: [subject],
  },
];

function getPod(name: string): Promise<Pod> {
  return client.get<Pod>(RESOURCES.pods, { namespace: NAMESPACE, name });
}

function podWhere(name: string, condition: (pod: Pod) => boolean): Promise<Pod> {
  let last: Pod | undefined;
  const found = until(
    async () => {
      last = await getPod(name);
      return condition(last) ? last : undefined;
    },
    { what: `Pod ${name}`, intervalMs: 25 },
  );
  return found.catch((error: unknown) => {
    const kubeletLog = readFileSync(kubelet.logFile, 'utf8').slice(-2_000);
    throw new Error(`${error}\n${JSON.stringify(last?.status, null, 1)}\n${kubeletLog}`, { cause: error });
  });
}

/** Waits until the Pod is gone, and checks at every look that its object does not go before its process. Gives its last version. */
async function untilGone(name: string, processTag: string): Promise<Pod> {
  const versions: Pod[] = [];
  const following = new AbortController();
  const followed = followPods(versions, following.signal);
  await until(() => isGone(getPod(name)), { what: `Pod ${name} to be gone`, intervalMs: 10 });
  expect(isOwnerAlive(processTag)).toBe(false);
  following.abort();
  await followed;
  const last = versions.findLast(({ metadata }) => metadata.name === name);
  if (last === undefined) throw new Error(`Pod ${name} was never seen`);
  return last;
}

async function removePod(name: string): Promise<void> {
  await client.delete(RESOURCES.pods, { namespace: NAMESPACE, name });
  await until(() => isGone(getPod(name)), { what: `Pod ${name} to be gone` });
}

async function isGone(read: Promise<unknown>): Promise<boolean> {
  try {
    await read;
    return false;
  } catch (error) {
    if (isNotFound(error)) return true;
    throw error;
  }
}

/** When a version of a Pod came to us. */
const seenAt = new Map<Pod, number>();

/** Collects every version of every Pod, as a watch gives them. */
async function followPods(versions: Pod[], signal: AbortSignal): Promise<void> {
  const { metadata, items } = await client.list<Pod>(RESOURCES.pods, { namespace: NAMESPACE });
  versions.push(...items);
  const { resourceVersion } = metadata;
  const selection = { namespace: NAMESPACE, resourceVersion, timeoutSeconds: 600 };
  for await (const { object } of client.watch<Pod>(RESOURCES.pods, selection, { signal, idleMs: 600_000 })) {
    seenAt.set(object, Date.now());
    versions.push(object);
  }
}

function isReady({ status, metadata }: Pod): boolean {
  return metadata.deletionTimestamp === undefined && conditionsOf(status).Ready === 'True';
}

function conditionsOf(status: PodStatus | undefined): Record<string, string> {
  return Object.fromEntries((status?.conditions ?? []).map(({ type, status: value }) => [type, value]));
}

function statusOf(status: PodStatus | undefined, container: string): ContainerStatus | undefined {
  return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].find(
    ({ name }) => name === container,
  );
}

async function claimFolder(name: string): Promise<string> {
  const volumeName = await until(
    async () => {
      const { spec, status } = await client.get<Claim>(RESOURCES.claims, { namespace: NAMESPACE, name });
      return status?.phase === 'Bound' && spec.volumeName;
    },
    { what: `the claim ${name} to be bound` },
  );
  return join(controlPlane.dir, 'kubelet/volumes', volumeName);
}

async function starts(claim: string): Promise<string[]> {
  return readFileSync(join(await claimFolder(claim), 'starts'), 'utf8')
    .trim()
    .split('\n');
}

function serverPid(pod: string): number {
  const pid = kubelet.containerPid(NAMESPACE, pod, 'server');
  if (pid === undefined) throw new Error(`the container server of Pod ${pod} has no process`);
  return pid;
}

async function environmentOf(pod: Pod): Promise<Record<string, string>> {
  return JSON.parse(readFileSync(join(dataFolder(pod), 'env.json'), 'utf8'));
}

function dataFolder({ metadata }: Pod): string {
  return join(controlPlane.dir, 'kubelet/pods', metadata.uid ?? '', 'volumes/data');
}

function cgroupFolders(pid: number): string[] {
  return ownCgroups(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), readFileSync('/proc/self/mountinfo', 'utf8'))
    .map(({ folder }) => folder)
    .filter((folder) => folder.includes('danube-e2e-'));
}

/** Only root may make cgroups on most machines; the kubelet's log says what it found. */
function machineHasCpuLimits(): boolean {
  return process.getuid?.() === 0 && existsSync('/sys/fs/cgroup/cpu/cpu.cfs_quota_us');
}
