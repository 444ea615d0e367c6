/** Everything that the demo and the end-to-end suites run on: control plane, kubelet, brokers' etcd, operator, brokers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildPrograms } from '../../build.ts';
import { type BrokerLoad, brokerLoadResource } from '../../src/api/broker-load.ts';
import type { RebalancePolicy, RebalancePolicySpec } from '../../src/api/rebalance-policy.ts';
import { connectEtcd } from '../../src/etcd/etcd3.ts';
import type { EtcdPort } from '../../src/etcd/port.ts';
import type { KubeClient, KubeObject } from '../../src/kube/client.ts';
import { LEASES, type Lease } from '../../src/kube/election.ts';
import { BROKER_LOADS, POLICIES } from '../../src/operator/publish.ts';
import { clientOf, RESOURCES } from '../controlplane/api.ts';
import { applyManifests } from '../controlplane/apply.ts';
import { ensureAssets } from '../controlplane/assets.ts';
import { type Etcd, startEtcd } from '../controlplane/etcd.ts';
import { type ControlPlane, startControlPlane } from '../controlplane/start.ts';
import { type Kubelet, startKubelet } from '../kubelet/start.ts';
import type { Claim, PersistentVolume, Pod } from '../kubelet/types.ts';
import { until } from '../process/until.ts';
import { followHistory, type HistoryFollower } from './history.ts';
import {
  BROKER_IMAGE,
  BROKER_NAMESPACE,
  BROKERS,
  brokerManifests,
  OPERATOR_IMAGE,
  OPERATOR_NAMESPACE,
  operatorManifests,
  POLICY_NAME,
  policyManifest,
  REPOSITORY,
} from './manifests.ts';

export interface DemoClusterOptions {
  readonly log: (line: string) => void;
  readonly brokers: number;
  readonly policy?: Partial<Omit<RebalancePolicySpec, 'etcd' | 'brokerSelector'>>;
  readonly operatorArgs?: readonly string[];
  /** Of containers that crash again; default: a kubelet's. */
  readonly backoffSeconds?: { readonly base: number; readonly max: number };
  /** Ends the start within seconds; what was started by then is stopped. */
  readonly signal?: AbortSignal;
}

/** One process of a broker, as the broker itself wrote it down on its Pod's volume. Times are epoch ms. */
export interface Incarnation {
  readonly id: string;
  readonly startedAt: number;
  /** From then on it took assignments. */
  readonly acceptsAt: number;
}

export interface DemoCluster {
  readonly controlPlane: ControlPlane;
  readonly kubelet: Kubelet;
  readonly client: KubeClient;
  readonly brokersEtcd: Etcd;
  readonly etcd: EtcdPort;
  readonly history: HistoryFollower;
  brokerPods(): Promise<readonly Pod[]>;
  operatorPods(): Promise<readonly Pod[]>;
  brokerLoads(): Promise<readonly BrokerLoad[]>;
  policy(): Promise<RebalancePolicy>;
  lease(): Promise<Lease>;
  incarnations(pod: string): Promise<readonly Incarnation[]>;
  brokerPid(pod: string): number;
  operatorPid(pod: string): number;
  stop(): Promise<void>;
}

/** Resolves when all brokers are Ready and take assignments, and the operator holds their leader key. */
export async function startDemoCluster(options: DemoClusterOptions): Promise<DemoCluster> {
  const { log, signal = new AbortController().signal } = options;
  const undo: (() => unknown)[] = [];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    await abortable(ensureAssets({ log }), signal);
    const controlPlane = await startControlPlane({ log });
    undo.push(() => controlPlane.stop());
    signal.throwIfAborted();
    const brokersEtcd = await startEtcd({
      assets: controlPlane.assets,
      address: controlPlane.address,
      dir: join(controlPlane.dir, 'brokers-etcd'),
      name: 'brokers-etcd',
    });
    undo.push(() => brokersEtcd.stop());
    // Patient: what the tests themselves read and write must not fail for a machine that stands still.
    const etcd = connectEtcd({ endpoints: [brokersEtcd.endpoint], timeoutMs: 30_000 });
    undo.push(() => etcd.close());
    const history = await followHistory(etcd);
    undo.push(() => history.stop());
    const image = join(controlPlane.dir, 'image');
    await buildPrograms(image);
    const kubelet = await startKubelet({
      controlPlane,
      nodes: ['node-1', 'node-2'],
      images: { [OPERATOR_IMAGE]: image, [BROKER_IMAGE]: REPOSITORY },
      ...(options.backoffSeconds !== undefined && { backoffSeconds: options.backoffSeconds }),
    });
    undo.push(() => kubelet.stop());
    signal.throwIfAborted();
    const client = clientOf(controlPlane.adminKubeconfig);
    undo.push(() => client.close());
    const cluster = handles({ controlPlane, kubelet, client, brokersEtcd, etcd, history, stop });

    log('Applying the CRDs and the operator (2 replicas) …');
    const operatorArgs = ['--allow-any-etcd-endpoint', '--agent-interval-seconds=2', ...(options.operatorArgs ?? [])];
    await applyManifests(controlPlane.adminKubeconfig, [...operatorManifests(operatorArgs)]);
    log(`Applying the policy and ${options.brokers} brokers with an agent each …`);
    const endpoint = brokersEtcd.endpoint;
    const objects = [...brokerManifests({ etcdEndpoint: endpoint, replicas: options.brokers })];
    const policy = policyManifest(endpoint, options.policy);
    // The policy first: brokers that find their leader key taken do not lead themselves, and no quiet period is needed.
    await applyManifests(controlPlane.adminKubeconfig, [...objects.slice(0, 1), policy]);
    if (policyMode(options) !== 'Observe') await untilLeading(cluster, signal);
    await applyManifests(controlPlane.adminKubeconfig, objects);
    await untilBrokersReady(cluster, options.brokers, signal);
    return cluster;
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The build of the binaries takes minutes when it is the first; its process ends with ours. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  return Promise.race([work, aborted]);
}

function policyMode({ policy }: DemoClusterOptions): RebalancePolicySpec['mode'] {
  return policy?.mode ?? 'Approve';
}

type Parts = Pick<DemoCluster, 'controlPlane' | 'kubelet' | 'client' | 'brokersEtcd' | 'etcd' | 'history' | 'stop'>;

function handles(parts: Parts): DemoCluster {
  const { client, kubelet } = parts;
  const pods = async (namespace: string, labelSelector: string): Promise<readonly Pod[]> =>
    (await client.list<Pod>(RESOURCES.pods, { namespace, labelSelector })).items;

  const pidOf = (namespace: string, pod: string, container: string): number => {
    const pid = kubelet.containerPid(namespace, pod, container);
    if (pid === undefined) throw new Error(`container ${container} of Pod ${namespace}/${pod} has no process now`);
    return pid;
  };

  return {
    ...parts,
    brokerPods: () => pods(BROKER_NAMESPACE, 'app.kubernetes.io/component=broker'),
    operatorPods: () => pods(OPERATOR_NAMESPACE, 'app.kubernetes.io/name=danube-load-manager'),
    brokerLoads: async () =>
      (await client.list<BrokerLoad & KubeObject>(BROKER_LOADS, { namespace: BROKER_NAMESPACE })).items,
    policy: () => client.get(POLICIES, { namespace: BROKER_NAMESPACE, name: POLICY_NAME }),
    lease: () => client.get<Lease>(LEASES, { namespace: OPERATOR_NAMESPACE, name: 'danube-load-manager' }),

    async incarnations(pod) {
      const claim = await client.get<Claim>(RESOURCES.claims, {
        namespace: BROKER_NAMESPACE,
        name: `danube-data-${pod}`,
      });
      const volume = await client.get<PersistentVolume>(RESOURCES.volumes, { name: claim.spec.volumeName ?? '' });
      const file = join(volume.spec.hostPath?.path ?? '', 'wal', 'incarnations.ndjson');
      const lines = readFileSync(file, 'utf8').trim().split('\n');
      return lines.map((line) => JSON.parse(line) as Incarnation);
    },

    brokerPid: (pod) => pidOf(BROKER_NAMESPACE, pod, 'broker'),
    operatorPid: (pod) => pidOf(OPERATOR_NAMESPACE, pod, 'operator'),
  };
}

async function untilLeading(cluster: DemoCluster, signal: AbortSignal): Promise<void> {
  await until(
    async () => {
      const conditions = (await cluster.policy()).status?.conditions ?? [];
      return conditions.some(({ type, status }) => type === 'Leading' && status === 'True');
    },
    {
      what: `the operator to hold the brokers' leader key (logs: ${cluster.kubelet.logsFolder})`,
      intervalMs: 200,
      signal,
    },
  );
}

async function untilBrokersReady(cluster: DemoCluster, count: number, signal: AbortSignal): Promise<void> {
  await until(
    async () => {
      const ready = (await cluster.brokerLoads()).filter((load) =>
        load.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
      );
      return ready.length >= count;
    },
    {
      what: `${count} ${brokerLoadResource.plural} of ${BROKERS} to be Ready (logs: ${cluster.kubelet.logsFolder})`,
      timeoutMs: 90_000,
      intervalMs: 200,
      signal,
    },
  );
}
