import { arch, availableParallelism, release, totalmem, version } from 'node:os';
import { isNotFound, type KubeClient } from '../../src/kube/client.ts';
import { RESOURCES } from '../controlplane/api.ts';
import { apiTime } from './container.ts';
import type { Node } from './types.ts';

const FIELD_MANAGER = 'e2e-kubelet';
/** Admission puts it on a new Node, for the node lifecycle controller (which does not run here) to take off. */
const NOT_READY = 'node.kubernetes.io/not-ready';
const MAX_PODS = 110;

/** Makes a Node, or takes over one that is there, with the machine's size and the Ready condition. */
export async function registerNode(client: KubeClient, name: string, address: string): Promise<void> {
  const labels = { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': goArch() };
  const identity = { apiVersion: 'v1', kind: 'Node' };
  const apply = { type: 'apply', fieldManager: FIELD_MANAGER, force: true } as const;
  const earlier = await client.get<Node>(RESOURCES.nodes, { name }).catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  const node = await client.patch<Node>(RESOURCES.nodes, { name }, { ...identity, metadata: { name, labels } }, apply);
  const size = {
    cpu: String(availableParallelism()),
    memory: `${Math.floor(totalmem() / 1024)}Ki`,
    pods: String(MAX_PODS),
  };
  const status = {
    addresses: [
      { type: 'InternalIP', address },
      { type: 'Hostname', address: name },
    ],
    capacity: size,
    allocatable: size,
    conditions: conditions(earlier),
    nodeInfo: nodeInfo(),
  };
  const body = { ...identity, metadata: { name }, status };
  await client.patch(RESOURCES.nodes, { name }, body, { ...apply, subresource: 'status' });
  const taints = node.spec?.taints ?? [];
  if (taints.some(({ key }) => key === NOT_READY)) {
    const others = taints.filter(({ key }) => key !== NOT_READY);
    await client.patch(
      RESOURCES.nodes,
      { name },
      { spec: { taints: others.length > 0 ? others : null } },
      { type: 'merge' },
    );
  }
}

function conditions(earlier: Node | undefined) {
  const now = apiTime(new Date());
  const condition = (type: string, status: 'True' | 'False', reason: string, message: string) => {
    const before = earlier?.status?.conditions?.find((other) => other.type === type);
    const lastTransitionTime = before?.status === status ? (before.lastTransitionTime ?? now) : now;
    return { type, status, reason, message, lastHeartbeatTime: now, lastTransitionTime };
  };
  return [
    condition('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status'),
    condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    condition('PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
  ];
}

/** What `kubectl get nodes -o wide` shows. */
function nodeInfo() {
  return {
    operatingSystem: 'linux',
    architecture: goArch(),
    osImage: version(),
    kernelVersion: release(),
    kubeletVersion: 'v1.36.2-e2e',
    kubeProxyVersion: '',
    containerRuntimeVersion: 'process://1',
    machineID: '',
    systemUUID: '',
    bootID: '',
  };
}

/** The names that Kubernetes uses are Go's. */
function goArch(): string {
  return arch() === 'x64' ? 'amd64' : arch();
}
