/**
 * Brokers that exist on paper only: a Pod with limits and the port of an agent, a registration, a report. What listens at
 * that port is up to the test.
 */
import { loadReportKey, registrationKey } from '../../src/danube/keys.ts';
import { encodeLoadReport, encodeRegistration } from '../../src/danube/values.ts';
import type { EtcdPort } from '../../src/etcd/port.ts';
import type { KubeObject } from '../../src/kube/client.ts';
import { PODS } from '../../src/operator/pods.ts';
import { BROKER_NAMESPACE, policyManifest } from '../demo/manifests.ts';
import type { OperatorCluster } from '../kube/operators.ts';

export const AGENT_PORT = 9641;
export const LIMITS = { cores: 2, memoryBytes: 1024 ** 3 };

export interface Broker {
  readonly id: string;
  readonly podUID: string;
  /** Epoch ms, whole seconds, as the API gives it. */
  readonly containerStartedAt: number;
  /** The kubelet says that the container was started again just now, and its broker reports. */
  restartContainer(): Promise<void>;
}

export interface BrokerOptions {
  readonly cluster: OperatorCluster;
  readonly pod: string;
  readonly ip: string;
  readonly id: string;
}

/** Its container was started a minute ago. */
export async function addBroker({ cluster, pod, ip, id }: BrokerOptions): Promise<Broker> {
  const { client, etcd } = cluster;
  const ref = { namespace: BROKER_NAMESPACE, name: pod };
  const { matchLabels } = (policyManifest('').spec as { brokerSelector: { matchLabels: Record<string, string> } })
    .brokerSelector;
  const object = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...ref, labels: matchLabels },
    spec: {
      nodeName: 'nowhere',
      containers: [
        {
          name: 'broker',
          image: 'none',
          ports: [{ name: 'client', containerPort: 6650 }],
          resources: { limits: { cpu: String(LIMITS.cores), memory: '1Gi' } },
        },
        { name: 'agent', image: 'none', ports: [{ name: 'agent', containerPort: AGENT_PORT }] },
      ],
    },
  };
  const created = await client.create<KubeObject>(PODS, object);
  const putStatus = async (startedAt: number, restartCount: number) => {
    const container = {
      name: 'broker',
      image: 'none',
      imageID: 'none',
      ready: true,
      restartCount,
      containerID: `paper://${pod}-${restartCount}`,
      state: { running: { startedAt: new Date(startedAt).toISOString() } },
    };
    const conditions = [{ type: 'Ready', status: 'True' }];
    const status = {
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      conditions,
      containerStatuses: [container],
    };
    await client.patch(PODS, ref, { status }, { type: 'merge', subresource: 'status' });
  };
  const containerStartedAt = wholeSecond(Date.now() - 60_000);
  await putStatus(containerStartedAt, 0);
  await register(etcd, id, ip);
  return {
    id,
    podUID: created.metadata.uid ?? '',
    containerStartedAt,
    async restartContainer() {
      await putStatus(wholeSecond(Date.now()), 1);
      await report(etcd, id);
    },
  };
}

async function register(etcd: EtcdPort, id: string, ip: string): Promise<void> {
  const url = `http://${ip}:6650`;
  const registration = { brokerUrl: url, connectUrl: url, adminAddr: `${ip}:50051`, format: '0.7.3' } as const;
  // The broker reports after it has registered.
  await put(etcd, registrationKey(id), encodeRegistration(registration), await etcd.grantLease(3600));
  await report(etcd, id);
}

async function report(etcd: EtcdPort, id: string): Promise<void> {
  const idle = { cpuPercent: 0, memoryPercent: 0, diskIo: 0, networkIo: 0, throughputMegabytesPerSecond: 0 };
  const timestamp = Math.floor(Date.now() / 1000);
  await put(etcd, loadReportKey(id), encodeLoadReport({ broker: id, timestamp, ...idle, topics: [] }));
}

async function put(etcd: EtcdPort, key: string, value: string, lease?: string): Promise<void> {
  const result = await etcd.commit([], [{ put: key, value, ...(lease !== undefined && { lease }) }]);
  if (result.outcome !== 'applied') throw new Error(`${key} was not written: ${result.outcome}`);
}

function wholeSecond(epochMs: number): number {
  return 1000 * Math.floor(epochMs / 1000);
}
