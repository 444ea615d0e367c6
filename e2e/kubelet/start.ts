import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { applyManifests } from '../controlplane/apply.ts';
import type { ControlPlane } from '../controlplane/start.ts';
import { type Service, startService } from '../process/service.ts';
import { spawnTied } from '../process/tied.ts';
import { until } from '../process/until.ts';
import { KUBELET_ACCESS } from './access.ts';
import { pidOf } from './pids.ts';

export interface KubeletOptions {
  readonly controlPlane: ControlPlane;
  /** Names; default: one, `node-1`. */
  readonly nodes?: readonly string[];
  /** Folders by image reference. */
  readonly images: Readonly<Record<string, string>>;
  /** Of containers that crash again; default: a kubelet's, 10 s doubled up to 300 s. */
  readonly backoffSeconds?: { readonly base: number; readonly max: number };
}

/** A kubelet in a process of its own. Killing it kills its containers; a restart finds its Pods and starts them again. */
export interface Kubelet extends Service {
  /** Of the containers: `<namespace>_<pod>_<container>.log`. */
  readonly logsFolder: string;
  /** Its own. */
  readonly logFile: string;
  /** The process of a container, to kill or look into; undefined while it has none. */
  containerPid(namespace: string, pod: string, container: string): number | undefined;
}

/** Starts the kubelet with the rights that it needs and the StorageClass `folder`; resolves when its Nodes are Ready. */
export async function startKubelet(options: KubeletOptions): Promise<Kubelet> {
  const { controlPlane, nodes = ['node-1'], images, backoffSeconds = { base: 10, max: 300 } } = options;
  await applyManifests(controlPlane.adminKubeconfig, KUBELET_ACCESS);
  const root = join(controlPlane.dir, 'kubelet');
  const logFile = join(controlPlane.dir, 'kubelet.log');
  const readyFile = join(root, 'ready');
  mkdirSync(root, { recursive: true });
  const args = [
    join(import.meta.dirname, 'main.ts'),
    `--kubeconfig=${controlPlane.kubeletKubeconfig}`,
    `--root=${root}`,
    `--block=${controlPlane.block}`,
    ...nodes.map((name) => `--node=${name}`),
    ...Object.entries(images).map(([image, folder]) => `--image=${image}=${folder}`),
    `--backoff-base-seconds=${backoffSeconds.base}`,
    `--backoff-max-seconds=${backoffSeconds.max}`,
  ];
  let pid = 0;
  const service = await startService({
    name: 'kubelet',
    launch: () => {
      rmSync(readyFile, { force: true });
      const launched = spawnTied(process.execPath, args, { logFile });
      pid = launched.pid;
      return launched;
    },
    ready: (signal) =>
      until(() => existsSync(readyFile) && readFileSync(readyFile, 'utf8') === String(pid), {
        what: 'the kubelet to have its Nodes ready',
        signal,
      }),
  });
  const containerPid = (namespace: string, pod: string, container: string) =>
    pidOf(join(root, 'pids'), { namespace, pod, container });
  return { ...service, logsFolder: join(root, 'logs'), logFile, containerPid };
}
