/** Pods as the API server gives them, reduced to what decisions need of a broker's Pod. */
import type { BrokerContainer, BrokerPod, ContainerLimits } from '../core/snapshot.ts';
import type { KubeObject, Resource } from '../kube/client.ts';
import { parseQuantity } from './quantity.ts';

export const PODS: Resource = { group: '', version: 'v1', plural: 'pods', namespaced: true };

interface ContainerState {
  readonly running?: { readonly startedAt?: string };
  readonly terminated?: { readonly finishedAt?: string };
}

interface Resources {
  readonly limits?: { readonly cpu?: string; readonly memory?: string };
}

interface ContainerSpec {
  readonly name: string;
  readonly resources?: Resources;
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
}

export interface Pod extends KubeObject {
  readonly spec?: {
    readonly hostNetwork?: boolean;
    readonly containers: readonly ContainerSpec[];
    readonly initContainers?: readonly ContainerSpec[];
    readonly volumes?: readonly { readonly persistentVolumeClaim?: unknown }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly containerID?: string;
      readonly restartCount: number;
      readonly resources?: Resources;
      readonly state?: ContainerState;
      readonly lastState?: ContainerState;
    }[];
  };
}

const CLIENT_PORT = 6650;

export function toBrokerPod(pod: Pod): BrokerPod {
  // The Pod stays listed with its last address, which the next Pod may have got.
  const hasEnded = pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded';
  return {
    name: pod.metadata.name,
    uid: pod.metadata.uid ?? '',
    labels: pod.metadata.labels ?? {},
    ip: hasEnded ? undefined : pod.status?.podIP,
    deleting: pod.metadata.deletionTimestamp !== undefined,
    ready: pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false,
    persistentVolume: pod.spec?.volumes?.some((volume) => volume.persistentVolumeClaim !== undefined) ?? false,
    hostNetwork: pod.spec?.hostNetwork ?? false,
    container: brokerContainer(pod),
  };
}

/** The container that has the brokers' client port, or else the first. */
function brokerContainer(pod: Pod): BrokerContainer | undefined {
  const containers = pod.spec?.containers ?? [];
  const broker =
    containers.find(({ ports }) =>
      ports?.some(({ name, containerPort }) => name === 'client' || containerPort === CLIENT_PORT),
    ) ?? containers[0];
  const status = pod.status?.containerStatuses?.find(({ name }) => name === broker?.name);
  if (status === undefined) return undefined;
  return {
    id: status.containerID ?? '',
    restartCount: status.restartCount,
    runningSince: parseTime(status.state?.running?.startedAt),
    lastFinishedAt: parseTime(status.state?.terminated?.finishedAt ?? status.lastState?.terminated?.finishedAt),
    limits: toLimits(status.resources ?? broker?.resources),
  };
}

/** The status names what the kubelet has applied, which lags behind the spec while a Pod is resized; old kubelets do not say. */
function toLimits({ limits }: Resources = {}): ContainerLimits {
  return { cpuCores: parseQuantity(limits?.cpu), memoryBytes: parseQuantity(limits?.memory) };
}

/** Where the Pod's agent listens: the port named `agent` of any of its containers. */
export function agentPort(pod: Pod): number | undefined {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return containers.flatMap(({ ports }) => ports ?? []).find(({ name }) => name === 'agent')?.containerPort;
}

function parseTime(text: string | undefined): number | undefined {
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}
