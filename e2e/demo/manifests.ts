/** What a user would apply: brokers with an agent each, and a policy. The shapes follow Danube's own chart. */
import { join } from 'node:path';
import type { RebalancePolicySpec } from '../../src/api/rebalance-policy.ts';
import { apiVersion } from '../../src/api/resource.ts';
import { type Manifest, readManifests } from '../controlplane/apply.ts';

export const REPOSITORY = join(import.meta.dirname, '../..');
export const OPERATOR_NAMESPACE = 'danube-load-manager';
export const BROKER_NAMESPACE = 'messaging';
export const OPERATOR_IMAGE = 'danube-load-manager:dev';
export const BROKER_IMAGE = 'danube-broker-simulated:dev';
export const POLICY_NAME = 'demo';
export const BROKERS = 'danube-core-broker';

const BROKER_LABELS = { 'app.kubernetes.io/instance': 'danube-core', 'app.kubernetes.io/component': 'broker' };
const AGENT_PORT = 9641;

/** The manifests that we ship, in their namespace, with the flags that this control plane needs. */
export function operatorManifests(extraArgs: readonly string[]): readonly Manifest[] {
  const folder = join(REPOSITORY, 'manifests');
  const crds = ['brokerloads', 'rebalancepolicies'].map((plural) =>
    join(REPOSITORY, 'crds', `loadmanager.danube.io_${plural}.yaml`),
  );
  const files = [...crds, ...['namespace', 'rbac', 'operator'].map((name) => join(folder, `${name}.yaml`))];
  return files.flatMap(readManifests).map((manifest) => withArgs(inNamespace(manifest), extraArgs));
}

const CLUSTER_SCOPED = new Set(['CustomResourceDefinition', 'Namespace', 'ClusterRole', 'ClusterRoleBinding']);

/** What kustomize's `namespace:` does. */
function inNamespace(manifest: Manifest): Manifest {
  if (CLUSTER_SCOPED.has(manifest.kind)) return manifest;
  return { ...manifest, metadata: { ...manifest.metadata, namespace: OPERATOR_NAMESPACE } };
}

interface Deployment extends Manifest {
  readonly spec: { readonly template: { readonly spec: { readonly containers: readonly object[] } } };
}

/** All Pods share one network here, so each listens at its own address. */
function withArgs(manifest: Manifest, extraArgs: readonly string[]): Manifest {
  if (manifest.kind !== 'Deployment') return manifest;
  const { spec } = manifest as Deployment;
  const args = ['--health-address=$(POD_IP):8081', '--metrics-address=$(POD_IP):8080', ...extraArgs];
  const containers = spec.template.spec.containers.map((container) => ({ ...container, args }));
  const template = { ...spec.template, spec: { ...spec.template.spec, containers } };
  return { ...manifest, spec: { ...spec, template } };
}

export function policyManifest(
  etcdEndpoint: string,
  overrides: Partial<Omit<RebalancePolicySpec, 'etcd' | 'brokerSelector'>> = {},
): Manifest {
  return {
    apiVersion,
    kind: 'RebalancePolicy',
    metadata: { name: POLICY_NAME, namespace: BROKER_NAMESPACE },
    spec: {
      brokerSelector: { matchLabels: BROKER_LABELS },
      etcd: { endpoints: [etcdEndpoint] },
      mode: 'Approve',
      ...overrides,
    },
  };
}

export interface BrokerOptions {
  readonly etcdEndpoint: string;
  readonly replicas: number;
}

export function brokerManifests({ etcdEndpoint, replicas }: BrokerOptions): readonly Manifest[] {
  const namespace = BROKER_NAMESPACE;
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'object-store', namespace },
      spec: volumeClaim('ReadWriteMany'),
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `${BROKERS}-headless`, namespace },
      spec: {
        clusterIP: 'None',
        publishNotReadyAddresses: true,
        selector: BROKER_LABELS,
        ports: [{ name: 'client', port: 6650 }],
      },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: BROKERS, namespace, labels: BROKER_LABELS },
      spec: {
        replicas,
        serviceName: `${BROKERS}-headless`,
        podManagementPolicy: 'Parallel',
        selector: { matchLabels: BROKER_LABELS },
        template: {
          metadata: { labels: BROKER_LABELS },
          spec: {
            // So that the agent sees the broker's processes.
            shareProcessNamespace: true,
            terminationGracePeriodSeconds: 5,
            automountServiceAccountToken: false,
            initContainers: [agentContainer()],
            containers: [brokerContainer(etcdEndpoint)],
            volumes: [{ name: 'object-store', persistentVolumeClaim: { claimName: 'object-store' } }],
          },
        },
        volumeClaimTemplates: [{ metadata: { name: 'danube-data' }, spec: volumeClaim('ReadWriteOnce') }],
      },
    },
  ];
}

function volumeClaim(accessMode: string): object {
  return { accessModes: [accessMode], storageClassName: 'folder', resources: { requests: { storage: '1Gi' } } };
}

function podField(name: string, fieldPath: string): object {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

/** A native sidecar: it starts before the broker and ends after it. */
function agentContainer(): object {
  return {
    name: 'load-agent',
    image: OPERATOR_IMAGE,
    restartPolicy: 'Always',
    command: ['node', 'agent/main.js'],
    args: [
      `--listen=$(POD_IP):${AGENT_PORT}`,
      '--broker-address=$(POD_IP):6650',
      '--broker-metrics-url=http://$(POD_IP):9040/metrics',
    ],
    env: [
      podField('POD_NAME', 'metadata.name'),
      podField('POD_NAMESPACE', 'metadata.namespace'),
      podField('POD_UID', 'metadata.uid'),
      podField('POD_IP', 'status.podIP'),
    ],
    ports: [{ name: 'agent', containerPort: AGENT_PORT }],
  };
}

function brokerContainer(etcdEndpoint: string): object {
  return {
    name: 'broker',
    image: BROKER_IMAGE,
    command: ['node', 'src/sim/broker/main.ts'],
    args: [
      `--etcd=${etcdEndpoint}`,
      '--address=$(POD_IP):6650',
      '--admin-address=$(POD_IP):50051',
      '--prometheus-address=$(POD_IP):9040',
      '--advertised-url=http://$(POD_IP):6650',
      '--data-dir=/danube-data/wal',
      '--object-store=/object-store',
      // The real default is 30; a demo is watched by people.
      '--report-interval-seconds=5',
    ],
    env: [podField('POD_IP', 'status.podIP')],
    ports: [
      { name: 'client', containerPort: 6650 },
      { name: 'admin', containerPort: 50051 },
      { name: 'prometheus', containerPort: 9040 },
    ],
    readinessProbe: { tcpSocket: { port: 'admin' }, periodSeconds: 1 },
    livenessProbe: { tcpSocket: { port: 'admin' }, initialDelaySeconds: 30, periodSeconds: 20 },
    resources: { limits: { cpu: '1', memory: '1Gi' } },
    volumeMounts: [
      { name: 'danube-data', mountPath: '/danube-data' },
      { name: 'object-store', mountPath: '/object-store' },
    ],
  };
}
