import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { join } from 'node:path';
import { type Service, startService } from '../process/service.ts';
import { spawnTied } from '../process/tied.ts';
import { until } from '../process/until.ts';
import { clientOf, RESOURCES } from './api.ts';
import { type Assets, ensureAssets, type Log } from './assets.ts';
import { type Block, claimBlock, freePort } from './block.ts';
import { type Etcd, startEtcd } from './etcd.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { makeRunFolder, removeFolder } from './run-folder.ts';

/** A running control plane: real etcd, kube-apiserver (RBAC on) and kube-controller-manager, and no kubelet. */
export interface ControlPlane {
  /** The /16 of the loopback network that is ours: "127.42". The control plane is at 127.42.0.1; Pods and others take the rest. */
  readonly block: string;
  readonly address: string;
  /** The run's folder, for data and logs; removed by `stop`. */
  readonly dir: string;
  readonly assets: Assets;
  /** https://127.42.0.1:P */
  readonly server: string;
  readonly caFile: string;
  /** Paths; usable with `kubectl --kubeconfig`. The admin is in system:masters. */
  readonly adminKubeconfig: string;
  /** Of the user `e2e-kubelet`, who may do nothing until somebody binds a role to it (e2e/kubelet does). */
  readonly kubeletKubeconfig: string;
  /** Writes a kubeconfig for a token, such as a service account's, and gives its path. */
  kubeconfigForToken(name: string, token: string): string;
  readonly etcd: Etcd;
  readonly apiserver: Service;
  readonly controllerManager: Service;
  /** Ends the processes and removes the folder. */
  stop(): Promise<void>;
}

export interface ControlPlaneOptions {
  readonly log: Log;
  /** Where to make the run's folder; default: the system's temporary folder. */
  readonly dir?: string;
}

export const KUBELET_USER = 'e2e-kubelet';

/** What makes workloads, their Pods, volumes and accounts come and go as in a real cluster. */
const CONTROLLERS = [
  'daemonset-controller',
  'deployment-controller',
  'disruption-controller',
  'endpointslice-controller',
  'garbage-collector-controller',
  'namespace-controller',
  'persistentvolume-binder-controller',
  // Admission puts finalizers on claims and volumes, which only these two take off again.
  'persistentvolume-protection-controller',
  'persistentvolumeclaim-protection-controller',
  'replicaset-controller',
  'root-ca-certificate-publisher-controller',
  'serviceaccount-controller',
  'serviceaccount-token-controller',
  'statefulset-controller',
];

/**
 * Starts a control plane on a block of loopback addresses of its own, so that several live side by side, and waits until a Pod can be
 * created in the namespace `default`. Everything ends with this process, however that ends.
 *
 * @throws Error that says what to install (`ensureAssets`), or the end of the log of the server that died.
 */
export async function startControlPlane({ log, dir: parent }: ControlPlaneOptions): Promise<ControlPlane> {
  const assets = await ensureAssets({ log });
  const undo: (() => unknown)[] = [];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const dir = makeRunFolder(parent);
    undo.push(() => removeFolder(dir));
    const block = await claimBlock();
    undo.push(() => block.release());
    const started = performance.now();

    const etcd = await startEtcd({ assets, address: block.address, dir: join(dir, 'etcd') });
    undo.push(() => etcd.stop());
    const files = writeCredentials(dir);
    const port = await freePort(block.address);
    const server = `https://${block.address}:${port}`;
    const apiserver = await startApiserver({ assets, dir, block, port, etcd, files });
    undo.push(() => apiserver.stop());

    const caFile = join(files.certDir, 'apiserver.crt');
    const kubeconfigForToken = (name: string, token: string) => {
      const file = join(dir, `${name}.kubeconfig`);
      writeKubeconfig(file, { server, caFile, user: { token } });
      return file;
    };
    const adminKubeconfig = kubeconfigForToken('admin', files.tokens.admin);
    const kubeletKubeconfig = kubeconfigForToken('kubelet', files.tokens.kubelet);

    const controllerManager = await startControllerManager({ assets, dir, block, files, adminKubeconfig, caFile });
    undo.push(() => controllerManager.stop());
    await defaultNamespaceUsable(adminKubeconfig);
    log(`The control plane serves at ${server} after ${((performance.now() - started) / 1000).toFixed(1)} s.`);
    const { address } = block;
    const paths = { dir, caFile, adminKubeconfig, kubeletKubeconfig };
    const services = { etcd, apiserver, controllerManager };
    return { block: block.block, address, assets, server, ...paths, kubeconfigForToken, ...services, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Credentials {
  readonly tokens: { readonly admin: string; readonly kubelet: string };
  readonly tokenFile: string;
  readonly accountKey: string;
  readonly accountPublicKey: string;
  readonly certDir: string;
}

function writeCredentials(dir: string): Credentials {
  const tokens = { admin: randomBytes(16).toString('hex'), kubelet: randomBytes(16).toString('hex') };
  const tokenFile = join(dir, 'tokens.csv');
  const lines = [`${tokens.admin},admin,1,"system:masters"`, `${tokens.kubelet},${KUBELET_USER},2,"e2e:kubelets"`];
  writeFileSync(tokenFile, `${lines.join('\n')}\n`, { mode: 0o600 });
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const accountKey = join(dir, 'service-account.key');
  const accountPublicKey = join(dir, 'service-account.pub');
  writeFileSync(accountKey, privateKey, { mode: 0o600 });
  writeFileSync(accountPublicKey, publicKey);
  const certDir = join(dir, 'certificates');
  mkdirSync(certDir);
  return { tokens, tokenFile, accountKey, accountPublicKey, certDir };
}

interface ServerOptions {
  readonly assets: Assets;
  readonly dir: string;
  readonly block: Block;
  readonly files: Credentials;
}

function startApiserver(options: ServerOptions & { readonly port: number; readonly etcd: Etcd }): Promise<Service> {
  const { assets, dir, block, port, etcd, files } = options;
  const { address } = block;
  const flags = [
    `--etcd-servers=${etcd.endpoint}`,
    `--bind-address=${address}`,
    `--advertise-address=${address}`,
    `--secure-port=${port}`,
    `--cert-dir=${files.certDir}`,
    '--service-cluster-ip-range=10.0.0.0/24',
    // The default authorizer allows everything, and tests of RBAC would pass for nothing.
    '--authorization-mode=RBAC',
    `--token-auth-file=${files.tokenFile}`,
    `--service-account-issuer=https://${address}:${port}`,
    `--service-account-key-file=${files.accountPublicKey}`,
    `--service-account-signing-key-file=${files.accountKey}`,
    '--allow-privileged=true',
    '--endpoint-reconciler-type=none',
  ];
  const certificate = join(files.certDir, 'apiserver.crt');
  return startService({
    name: 'kube-apiserver',
    launch: () => spawnTied(assets.kubeApiserver, flags, { logFile: join(dir, 'kube-apiserver.log') }),
    ready: (signal) =>
      until(() => answersOk(`https://${address}:${port}/readyz`, certificate), {
        what: `the API server to be ready at ${address}:${port}`,
        signal,
      }),
  });
}

async function startControllerManager(
  options: ServerOptions & { readonly adminKubeconfig: string; readonly caFile: string },
): Promise<Service> {
  const { assets, dir, block, files, adminKubeconfig, caFile } = options;
  const port = await freePort(block.address);
  const flags = [
    `--kubeconfig=${adminKubeconfig}`,
    `--authentication-kubeconfig=${adminKubeconfig}`,
    `--authorization-kubeconfig=${adminKubeconfig}`,
    `--service-account-private-key-file=${files.accountKey}`,
    `--root-ca-file=${caFile}`,
    '--use-service-account-credentials=true',
    // There is one copy.
    '--leader-elect=false',
    `--bind-address=${block.address}`,
    `--secure-port=${port}`,
    `--cert-dir=${files.certDir}`,
    `--controllers=${CONTROLLERS.join(',')}`,
  ];
  const certificate = join(files.certDir, 'kube-controller-manager.crt');
  return startService({
    name: 'kube-controller-manager',
    launch: () => spawnTied(assets.kubeControllerManager, flags, { logFile: join(dir, 'kube-controller-manager.log') }),
    ready: (signal) =>
      until(() => answersOk(`https://${block.address}:${port}/healthz`, certificate), {
        what: 'the controller manager to be healthy',
        signal,
      }),
  });
}

/** Both come from controllers; without the first no Pod is admitted, without the second none can check the server's certificate. */
async function defaultNamespaceUsable(kubeconfig: string): Promise<void> {
  const client = clientOf(kubeconfig);
  try {
    for (const [resource, name] of [
      [RESOURCES.serviceAccounts, 'default'],
      [RESOURCES.configMaps, 'kube-root-ca.crt'],
    ] as const) {
      await until(() => client.get(resource, { namespace: 'default', name }), {
        what: `${resource.plural}/${name} in the namespace default`,
      });
    }
  } finally {
    client.close();
  }
}

/** Whether a GET is answered with 200. The certificate is the server's own, written by it when it starts. */
async function answersOk(url: string, certificate: string): Promise<boolean> {
  const request = get(url, { ca: readFileSync(certificate), agent: false, signal: AbortSignal.timeout(2_000) });
  const [response]: IncomingMessage[] = await once(request, 'response');
  response?.resume();
  return response?.statusCode === 200;
}
