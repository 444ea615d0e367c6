import {
  type Condition,
  type Container,
  type ContainerState,
  type ContainerStatus,
  isSidecar,
  type Phase,
  type Pod,
  type PodStatus,
} from './types.ts';

/** What the kubelet knows of one container; an entry is replaced, never changed. */
export interface ContainerRuntime {
  readonly state: ContainerState;
  readonly lastState: ContainerState;
  readonly restartCount: number;
  /** Of the present or last process; absent before the first. */
  readonly containerID?: string;
  /** Startup probe passed, or there is none and it runs. */
  readonly started: boolean;
  /** Readiness probe passes, or there is none. */
  readonly ready: boolean;
}

export interface PodRuntime {
  readonly hostIP: string;
  /** Absent until the Pod has an address. */
  readonly podIP?: string;
  readonly startTime: string;
  /** By name, init containers included. */
  readonly containers: ReadonlyMap<string, ContainerRuntime>;
  /** True once no process of the Pod runs and none will be started again. */
  readonly ended: boolean;
}

export const NOT_STARTED: ContainerRuntime = {
  state: { waiting: { reason: 'ContainerCreating' } },
  lastState: {},
  restartCount: 0,
  started: false,
  ready: false,
};

/**
 * The status that a kubelet would report. Pure: the same input gives the same status, so a writer can leave out what did not change.
 *
 * @param pod gives the spec, the earlier conditions (for their times of change) and the readiness gates' conditions.
 * @param now ISO time of a condition that changes, to the second.
 */
export function buildPodStatus(pod: Pod, runtime: PodRuntime, previous: readonly Condition[], now: string): PodStatus {
  const { spec } = pod;
  const inits = spec.initContainers ?? [];
  const initialized = isInitialized(inits, runtime);
  const statusOf = (container: Container): ContainerStatus => {
    const { state, lastState, restartCount, containerID, started, ready } = runtime.containers.get(container.name) ?? {
      ...NOT_STARTED,
      state: {
        waiting: { reason: initialized || inits.includes(container) ? 'ContainerCreating' : 'PodInitializing' },
      },
    };
    const { name, image } = container;
    const id = containerID === undefined ? {} : { containerID };
    return { name, image, imageID: image, ...id, restartCount, ready, started, state, lastState };
  };
  const initContainerStatuses = inits.map(statusOf);
  const containerStatuses = spec.containers.map(statusOf);
  const phase = phaseOf(pod, runtime);
  const podIP = runtime.podIP === undefined ? {} : { podIP: runtime.podIP, podIPs: [{ ip: runtime.podIP }] };
  return {
    phase,
    hostIP: runtime.hostIP,
    hostIPs: [{ ip: runtime.hostIP }],
    ...podIP,
    startTime: runtime.startTime,
    conditions: conditionsOf(pod, runtime, { phase, initialized, initContainerStatuses, containerStatuses }).map(
      (condition) => withTime(condition, previous, now),
    ),
    ...(inits.length === 0 ? {} : { initContainerStatuses }),
    containerStatuses,
  };
}

/** Every ordinary init container ended well, and every sidecar has started. */
function isInitialized(inits: readonly Container[], { containers }: PodRuntime): boolean {
  return inits.every((container) => {
    const runtime = containers.get(container.name);
    return isSidecar(container) ? runtime?.started === true : runtime?.state.terminated?.exitCode === 0;
  });
}

function phaseOf({ spec }: Pod, { containers, ended }: PodRuntime): Phase {
  const runtimes = spec.containers.map(({ name }) => containers.get(name));
  if (ended) {
    return runtimes.every((runtime) => runtime?.state.terminated?.exitCode === 0) ? 'Succeeded' : 'Failed';
  }
  // A container that waits for its next start ran before, and the Pod keeps its phase meanwhile.
  return runtimes.every((runtime) => runtime?.containerID !== undefined) ? 'Running' : 'Pending';
}

interface Facts {
  readonly phase: Phase;
  readonly initialized: boolean;
  readonly initContainerStatuses: readonly ContainerStatus[];
  readonly containerStatuses: readonly ContainerStatus[];
}

function conditionsOf(pod: Pod, runtime: PodRuntime, facts: Facts): Condition[] {
  const sidecars = new Set((pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  const mustBeReady = [
    ...facts.initContainerStatuses.filter(({ name }) => sidecars.has(name)),
    ...facts.containerStatuses,
  ];
  const unready = mustBeReady.filter(({ ready }) => !ready).map(({ name }) => name);
  const containersReady = notReady(facts.phase, unready);
  return [
    { type: 'PodScheduled', status: 'True' },
    { type: 'PodReadyToStartContainers', status: runtime.podIP !== undefined && !runtime.ended ? 'True' : 'False' },
    facts.initialized || facts.phase === 'Running'
      ? { type: 'Initialized', status: 'True', ...(facts.phase === 'Succeeded' ? { reason: 'PodCompleted' } : {}) }
      : {
          type: 'Initialized',
          status: 'False',
          reason: 'ContainersNotInitialized',
          message: `containers with incomplete status: [${facts.initContainerStatuses.map(({ name }) => name).join(' ')}]`,
        },
    { type: 'ContainersReady', ...containersReady },
    { type: 'Ready', ...(containersReady.status === 'True' ? gatesOpen(pod) : containersReady) },
  ];
}

type Verdict = Omit<Condition, 'type' | 'lastTransitionTime'>;

function notReady(phase: Phase, unready: readonly string[]): Verdict {
  if (phase === 'Succeeded') return { status: 'False', reason: 'PodCompleted' };
  if (phase === 'Failed') return { status: 'False', reason: 'PodFailed' };
  if (unready.length === 0) return { status: 'True' };
  const message = `containers with unready status: [${unready.join(' ')}]`;
  return { status: 'False', reason: 'ContainersNotReady', message };
}

function gatesOpen({ spec, status }: Pod): Verdict {
  const closed = (spec.readinessGates ?? []).filter(
    ({ conditionType }) => !status?.conditions?.some(({ type, status }) => type === conditionType && status === 'True'),
  );
  if (closed.length === 0) return { status: 'True' };
  const message = closed.map(({ conditionType }) => `the condition "${conditionType}" is not True`).join(', ');
  return { status: 'False', reason: 'ReadinessGatesNotReady', message };
}

/** A condition keeps its time for as long as its status stays the same. */
function withTime(condition: Condition, previous: readonly Condition[], now: string): Condition {
  const before = previous.find(({ type }) => type === condition.type);
  const unchanged = before?.status === condition.status ? before.lastTransitionTime : undefined;
  return { ...condition, lastTransitionTime: unchanged ?? now };
}
