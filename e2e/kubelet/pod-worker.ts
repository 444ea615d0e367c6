import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isConflict, isNotFound } from '../../src/kube/client.ts';
import { RESOURCES } from '../controlplane/api.ts';
import { until } from '../process/until.ts';
import type { Addresses } from './addresses.ts';
import { apiTime, type Backoff, mayRestart, type RunningContainer, runContainer } from './container.ts';
import { type LaunchSettings, launch } from './launch.ts';
import { createLoop } from './loop.ts';
import { buildPodStatus, type ContainerRuntime, NOT_STARTED } from './pod-status.ts';
import { type Condition, type Container, type ContainerStatus, isSidecar, type Pod, type PodStatus } from './types.ts';
import { prepareVolumes } from './volumes.ts';

export interface PodWorkerOptions extends LaunchSettings {
  readonly pod: Pod;
  readonly hostIP: string;
  readonly addresses: Addresses;
  readonly backoff: Backoff;
  readonly podsFolder: string;
  readonly claimFolder: (namespace: string, claim: string) => string | undefined;
  readonly log: (line: string) => void;
}

export interface PodWorker {
  readonly uid: string;
  /** A newer version of the object: readiness gates, or a deletion that began or got less time. */
  update(pod: Pod): void;
  /** The object is gone, or we are: its processes are killed without a word to the API server. */
  vanish(): void;
  /** Resolves when no process, cgroup or folder of the Pod is left (nor its object, unless it vanished). */
  readonly done: Promise<void>;
}

const FIELD_MANAGER = 'e2e-kubelet';

/** Runs one Pod from its binding to its removal. */
export function startPod(options: PodWorkerOptions): PodWorker {
  const { client, addresses, hostIP, log } = options;
  const { name, namespace = '', uid = '' } = options.pod.metadata;
  const podFolder = join(options.podsFolder, uid);
  const ref = { namespace, name };
  const earlier = options.pod.status;
  const podIP = earlier?.podIP !== undefined && addresses.reserve(earlier.podIP) ? earlier.podIP : addresses.take();
  const startTime = earlier?.startTime ?? apiTime(new Date());
  const runtimes = new Map<string, ContainerRuntime>();
  /** Its containers are to end: deletion, or the object is gone. */
  const ending = new AbortController();
  const deletion = Promise.withResolvers<void>();
  /** No more grace. */
  const kill = new AbortController();
  let pod = options.pod;
  let graceTimer: ReturnType<typeof setTimeout> | undefined;
  let graceEnds = Number.POSITIVE_INFINITY;
  let ended = false;
  let vanished = false;
  let conditions: readonly Condition[] = earlier?.conditions ?? [];
  let written = '';

  const status = createLoop({
    pass: async () => {
      const runtime = { hostIP, podIP, startTime, containers: runtimes, ended };
      const built = buildPodStatus(pod, runtime, conditions, apiTime(new Date()));
      conditions = built.conditions ?? [];
      const text = JSON.stringify(built);
      if (text === written || vanished) return;
      await writeStatus(built);
      written = text;
    },
    onError: (error) => log(`status of Pod ${namespace}/${name} not written, trying again: ${messageOf(error)}`),
  });

  /** Server-side apply leaves conditions of others (evictions, readiness gates) alone, and the uid keeps it off a namesake. */
  async function writeStatus(built: PodStatus): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, uid }, status: built };
    const applied = { type: 'apply', subresource: 'status', fieldManager: FIELD_MANAGER, force: true } as const;
    try {
      await client.patch(RESOURCES.pods, ref, body, applied);
    } catch (error) {
      // The object is gone, which its watch will tell.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  if ([...(pod.spec.initContainers ?? []), ...pod.spec.containers].some(({ lifecycle }) => lifecycle !== undefined)) {
    log(`Pod ${namespace}/${name} has lifecycle hooks, which this kubelet does not run yet`);
  }

  function start(
    container: Container,
    volumes: ReadonlyMap<string, string>,
    restartPolicy: 'Always' | 'OnFailure' | 'Never',
  ) {
    return runContainer({
      container,
      restartPolicy,
      backoff: options.backoff,
      initially: runtimes.get(container.name) ?? NOT_STARTED,
      launch: (containerId) =>
        launch({ ...options, pod, container, containerId, podFolder, volumes, addresses: { podIP, hostIP } }),
      newContainerId: () => `process://${randomBytes(16).toString('hex')}`,
      onChange: (runtime) => {
        runtimes.set(container.name, runtime);
        status.wake();
      },
      reported: () => status.idle(),
      gracePeriodMs: (pod.spec.terminationGracePeriodSeconds ?? 30) * 1000,
    });
  }

  /** Runs the Pod's containers in their order; returns when none of the ordinary ones will run again, or the Pod is to end. */
  async function run(sidecars: RunningContainer[], mains: RunningContainer[]): Promise<void> {
    const { restartPolicy = 'Always', initContainers = [], containers } = pod.spec;
    mkdirSync(podFolder, { recursive: true });
    const volumes = new Map<string, string>();
    const { claimFolder } = options;
    const wanted = { client, pod, podFolder, addresses: { podIP, hostIP }, claimFolder, signal: ending.signal, log };
    const told = new Set<string>();
    const prepare = async () => {
      try {
        await prepareVolumes(wanted, volumes);
        return true;
      } catch (error) {
        const why = messageOf(error);
        if (!told.has(why)) log(`Pod ${namespace}/${name} waits for its volumes: ${why}`);
        told.add(why);
        return false;
      }
    };
    const what = `the volumes of Pod ${namespace}/${name}`;
    await until(prepare, { what, timeoutMs: Number.POSITIVE_INFINITY, signal: ending.signal });
    ending.signal.throwIfAborted();
    for (const container of initContainers) {
      if (isSidecar(container)) {
        const sidecar = start(container, volumes, 'Always');
        sidecars.push(sidecar);
        await sidecar.started;
      } else if (runtimes.get(container.name)?.state.terminated?.exitCode !== 0) {
        const init = start(container, volumes, restartPolicy === 'Never' ? 'Never' : 'OnFailure');
        mains.push(init);
        await init.ended;
        if (runtimes.get(container.name)?.state.terminated?.exitCode !== 0) return;
      }
      ending.signal.throwIfAborted();
    }
    // What an earlier kubelet saw end, or took with it, starts again only if its policy says so.
    const due = containers.filter(({ name }) => {
      const { terminated } = runtimes.get(name)?.state ?? {};
      return terminated === undefined || mayRestart(restartPolicy, terminated.exitCode);
    });
    mains.push(...due.map((container) => start(container, volumes, restartPolicy)));
    status.wake();
    await Promise.all(mains.map((main) => main.ended));
  }

  async function live(): Promise<void> {
    if (earlier?.phase !== 'Succeeded' && earlier?.phase !== 'Failed') {
      takeOver(earlier, runtimes);
      status.wake();
      const sidecars: RunningContainer[] = [];
      const mains: RunningContainer[] = [];
      const running = run(sidecars, mains);
      const told = new Promise<void>((resolve) =>
        ending.signal.addEventListener('abort', () => resolve(), { once: true }),
      );
      await Promise.race([running.catch(unlessEnding), ending.signal.aborted ? undefined : told]);
      // The ordinary containers first, then the sidecars, the last one started first.
      await Promise.all(mains.map((main) => main.stop(kill.signal)));
      for (const sidecar of sidecars.toReversed()) await sidecar.stop(kill.signal);
      await running.catch(unlessEnding);
      ending.abort(new Error('the Pod has ended'));
      ended = true;
      status.wake();
    }
    await deletion.promise;
    await status.idle();
  }

  function unlessEnding(error: unknown): void {
    if (!ending.signal.aborted) throw error;
  }

  async function removeObject(): Promise<void> {
    await until(
      async () => {
        if (vanished) return true;
        try {
          await client.delete(RESOURCES.pods, ref, { gracePeriodSeconds: 0, preconditions: { uid } });
        } catch (error) {
          if (!isNotFound(error) && !isConflict(error)) throw error;
        }
        return true;
      },
      { what: `Pod ${namespace}/${name} to be removed`, timeoutMs: Number.POSITIVE_INFINITY, intervalMs: 500 },
    );
  }

  function endWithin(graceMs: number): void {
    const ends = performance.now() + graceMs;
    if (ends < graceEnds) {
      graceEnds = ends;
      clearTimeout(graceTimer);
      graceTimer = setTimeout(() => kill.abort(), graceMs);
    }
    ending.abort(new Error(`Pod ${namespace}/${name} is being deleted`));
    deletion.resolve();
  }

  function update(newer: Pod): void {
    const { deletionTimestamp, deletionGracePeriodSeconds = 30 } = newer.metadata;
    const shortened = pod === newer || deletionGracePeriodSeconds !== pod.metadata.deletionGracePeriodSeconds;
    pod = newer;
    if (deletionTimestamp !== undefined && shortened) endWithin(deletionGracePeriodSeconds * 1000);
    status.wake();
  }

  const done = live()
    .then(removeObject)
    .finally(async () => {
      clearTimeout(graceTimer);
      await status.stop();
      addresses.release(podIP);
      rmSync(podFolder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
    });
  update(pod);
  return {
    uid,
    update,
    vanish: () => {
      vanished = true;
      status.stop();
      kill.abort();
      endWithin(0);
    },
    done,
  };
}

/**
 * Containers that an earlier kubelet reported as running died with it: they are terminated, by its kill signal, and start again with
 * their count one higher.
 */
function takeOver(earlier: PodStatus | undefined, runtimes: Map<string, ContainerRuntime>): void {
  for (const was of [...(earlier?.initContainerStatuses ?? []), ...(earlier?.containerStatuses ?? [])]) {
    if (was.containerID === undefined) continue;
    runtimes.set(was.name, {
      state: stateAfterKubelet(was),
      lastState: was.lastState,
      restartCount: was.restartCount,
      containerID: was.containerID,
      started: false,
      ready: false,
    });
  }
}

function stateAfterKubelet({ state, containerID = '' }: ContainerStatus): ContainerStatus['state'] {
  if (state.running === undefined) return state;
  const { startedAt } = state.running;
  const finishedAt = apiTime(new Date());
  return { terminated: { exitCode: 137, signal: 9, reason: 'Error', startedAt, finishedAt, containerID } };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
