/**
 * A small kubelet for tests and demo, with the parts of a scheduler and a volume provisioner that a workload needs. Containers are
 * processes on this machine, images are folders, volumes are folders, Pod addresses are loopback addresses; what is reported is what
 * happened. Not here: namespaces and mounts (see `rewritePaths`), lifecycle hooks, evictions, taints, resource accounting.
 *
 *   node e2e/kubelet/main.ts --kubeconfig FILE --root DIR --block 127.X --node NAME … --image REF=DIR …
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { KubeConfig } from '@kubernetes/client-node';
import { createKubeClient, type KubeObject, type Resource } from '../../src/kube/client.ts';
import { createListWatch, type ListWatch } from '../../src/kube/list-watch.ts';
import { RESOURCES } from '../controlplane/api.ts';
import { createAddresses } from './addresses.ts';
import { createCgroups } from './cgroups.ts';
import { createLoop } from './loop.ts';
import { registerNode } from './nodes.ts';
import { type PodWorker, startPod } from './pod-worker.ts';
import { provision } from './provisioner.ts';
import { createScheduler } from './scheduler.ts';
import type { Claim, Node, PersistentVolume, Pod, StorageClass } from './types.ts';

const options = readOptions();
const { root, block } = options;
const podsFolder = join(root, 'pods');
const volumesFolder = join(root, 'volumes');
const logsFolder = join(root, 'logs');
const pidsFolder = join(root, 'pids');
for (const folder of [podsFolder, volumesFolder, logsFolder, pidsFolder]) mkdirSync(folder, { recursive: true });

const kubeConfig = new KubeConfig();
kubeConfig.loadFromFile(options.kubeconfig);
const cluster = kubeConfig.getCurrentCluster();
if (!cluster?.caData) throw new Error(`${options.kubeconfig} has no certificate-authority-data, which containers need`);
const caFile = join(root, 'ca.crt');
writeFileSync(caFile, Buffer.from(cluster.caData, 'base64'));
const client = createKubeClient({ kubeConfig });
const cgroups = await createCgroups();
log(cgroups.description);

const addresses = createAddresses(block);
/** By Node name. 127.X.0.1 is the control plane's. */
const hostIPs = new Map(options.nodes.map((name, index) => [name, `${block}.0.${11 + index}`]));
const workers = new Map<string, PodWorker>();

const volumes = cache<PersistentVolume>(RESOURCES.volumes, () => provisioning.wake());
const claims = cache<Claim>(RESOURCES.claims, () => provisioning.wake());
const storageClasses = cache<StorageClass>(RESOURCES.storageClasses, () => provisioning.wake());
const nodes = cache<Node>(RESOURCES.nodes, () => scheduling.wake());
const pods = cache<Pod>(RESOURCES.pods, (key, pod) => {
  scheduling.wake();
  follow(key, pod);
});
const caches = [volumes, claims, storageClasses, nodes, pods];

const scheduling = createLoop({
  pass: createScheduler({ client, pods: () => pods.list(), nodes: () => nodes.list(), log }),
  onError: (error) => log(`scheduling: ${messageOf(error)}`),
});
const provisioning = createLoop({
  pass: () =>
    provision({
      client,
      claims: () => claims.list(),
      volumes: () => volumes.list(),
      storageClasses: () => storageClasses.list(),
      folder: volumesFolder,
    }),
  onError: (error) => log(`provisioning: ${messageOf(error)}`),
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop());
for (const [name, address] of hostIPs) await registerNode(client, name, address);
for (const started of caches) started.start();
await Promise.all(caches.map(({ synced }) => synced));
// Tells whoever started us, by our pid, that this process (and not an earlier one) is ready.
writeFileSync(join(root, 'ready'), String(process.pid));
log(`ready with ${options.nodes.length} Nodes`);

/** A worker lives from the first sight of a Pod on one of our Nodes until nothing of it is left. */
function follow(key: string, pod: Pod | undefined): void {
  const worker = workers.get(key);
  if (worker !== undefined && worker.uid === pod?.metadata.uid) {
    worker.update(pod);
    return;
  }
  worker?.vanish();
  const hostIP = hostIPs.get(pod?.spec.nodeName ?? '');
  if (pod === undefined || hostIP === undefined) return;
  const path = [join(import.meta.dirname, '../../node_modules/.bin'), process.env.PATH].join(delimiter);
  const next = startPod({
    pod,
    client,
    hostIP,
    addresses,
    cgroups,
    images: options.images,
    path,
    backoff: options.backoff,
    podsFolder,
    logsFolder,
    pidsFolder,
    server: cluster?.server ?? '',
    caFile,
    claimFolder,
    log,
  });
  workers.set(key, next);
  next.done
    .catch((error: unknown) => log(`Pod ${key}: ${messageOf(error)}`))
    .finally(() => {
      if (workers.get(key) === next) workers.delete(key);
    });
}

function claimFolder(namespace: string, name: string): string | undefined {
  const claim = claims.get(`${namespace}/${name}`);
  if (claim?.status?.phase !== 'Bound') return undefined;
  return volumes.get(claim.spec.volumeName ?? '')?.spec.hostPath?.path;
}

/** Containers do not outlive the kubelet; what they were is told by the next one, or never. */
async function stop(): Promise<void> {
  for (const started of caches) await started.stop();
  await Promise.all([scheduling.stop(), provisioning.stop()]);
  const last = [...workers.values()];
  for (const worker of last) worker.vanish();
  await Promise.allSettled(last.map(({ done }) => done));
  await cgroups.removeAll();
  process.exit(0);
}

function cache<T extends KubeObject>(
  resource: Resource,
  onChange: (key: string, object: T | undefined) => void,
): ListWatch<T> {
  return createListWatch<T>({
    client,
    resource,
    onChange,
    onError: (error, retryInMs) => log(`watch of ${resource.plural}: ${error.message}; again in ${retryInMs} ms`),
  });
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      kubeconfig: { type: 'string' },
      root: { type: 'string' },
      block: { type: 'string' },
      node: { type: 'string', multiple: true, default: ['node-1'] },
      image: { type: 'string', multiple: true, default: [] },
      'backoff-base-seconds': { type: 'string', default: '10' },
      'backoff-max-seconds': { type: 'string', default: '300' },
    },
  });
  const { kubeconfig, root, block } = values;
  if (!kubeconfig || !root || !block) throw new Error('give --kubeconfig FILE, --root DIR and --block 127.X');
  const images = values.image.map((text): [string, string] => {
    const at = text.lastIndexOf('=');
    if (at < 1) throw new Error(`--image ${text}: write REF=DIR`);
    return [text.slice(0, at), text.slice(at + 1)];
  });
  return {
    kubeconfig,
    root,
    block,
    nodes: values.node.flatMap((names) => names.split(',')),
    images: new Map(images),
    backoff: {
      baseMs: Number(values['backoff-base-seconds']) * 1000,
      maxMs: Number(values['backoff-max-seconds']) * 1000,
    },
  };
}

function log(line: string): void {
  process.stdout.write(`${new Date().toISOString()} ${line}\n`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
