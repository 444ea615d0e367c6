import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Exit, ManagedProcess } from '../process/tied.ts';
import type { ContainerRuntime } from './pod-status.ts';
import { type ProbeTarget, watchProbe } from './probes.ts';
import type { Container, Terminated } from './types.ts';

export interface Backoff {
  /** Before the second restart in a row; the first is at once, and each further one waits twice as long. */
  readonly baseMs: number;
  readonly maxMs: number;
}

/** A container that ran this long begins anew with its back-off. */
const BACKOFF_RESET_MS = 600_000;
/** How long a restart waits for the crash to be reported, so that watchers see it; an API server that is down must not stop restarts. */
const REPORT_CRASH_WITHIN_MS = 1_000;

/** A container that cannot be started as its spec stands; reported as the reason that it waits. */
export class CannotStart extends Error {
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface Launched {
  readonly process: ManagedProcess;
  readonly probeTarget: ProbeTarget;
  oomKills(): number;
  /** Ends what is left of the container once its process is gone. */
  cleanUp(): Promise<void>;
}

export interface ContainerOptions {
  readonly container: Container;
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never';
  readonly backoff: Backoff;
  /** What an earlier kubelet reported of it, its processes being gone; NOT_STARTED for a new one. */
  readonly initially: ContainerRuntime;
  /** @throws CannotStart */
  readonly launch: (containerId: string) => Promise<Launched>;
  readonly newContainerId: () => string;
  readonly onChange: (runtime: ContainerRuntime) => void;
  /** Resolves when the API server has what `onChange` told last. */
  readonly reported: () => Promise<void>;
  /** For how long SIGTERM is waited for when the liveness probe fails. */
  readonly gracePeriodMs: number;
}

export interface RunningContainer {
  /** Resolves when it has started for the first time (its startup probe has passed), or will never. */
  readonly started: Promise<void>;
  /** Resolves when its process is gone and none will be started again. */
  readonly ended: Promise<void>;
  /** SIGTERM now, SIGKILL when `kill` aborts; no restart after this. */
  stop(kill: AbortSignal): Promise<void>;
}

/** Runs one container as a kubelet does: start, probe, restart by its policy with back-off, until it is stopped or done. */
export function runContainer(options: ContainerOptions): RunningContainer {
  const { container, restartPolicy, backoff, launch, newContainerId, reported, gracePeriodMs } = options;
  const stopping = new AbortController();
  const firstStart = Promise.withResolvers<void>();
  let runtime = options.initially;
  let current: ManagedProcess | undefined;
  let killed = false;

  function set(change: Partial<ContainerRuntime>): void {
    runtime = { ...runtime, ...change };
    if (runtime.started) firstStart.resolve();
    options.onChange(runtime);
  }

  async function run(): Promise<void> {
    let pauseMs = 0;
    while (!stopping.signal.aborted) {
      const terminated = await runOnce();
      if (terminated === undefined) {
        // Not a crash: what is missing may come at any time.
        await pause(Math.min(backoff.baseMs, 1_000));
        continue;
      }
      if (stopping.signal.aborted || !mayRestart(restartPolicy, terminated.exitCode)) break;
      await Promise.race([reported(), pause(REPORT_CRASH_WITHIN_MS)]);
      const ranMs = Date.parse(terminated.finishedAt) - Date.parse(terminated.startedAt);
      if (ranMs > BACKOFF_RESET_MS) pauseMs = 0;
      if (pauseMs > 0) {
        const message = `back-off ${pauseMs / 1000}s restarting failed container=${container.name}`;
        set({ state: { waiting: { reason: 'CrashLoopBackOff', message } }, lastState: { terminated } });
        await pause(pauseMs);
      }
      pauseMs = Math.min(Math.max(pauseMs * 2, backoff.baseMs), backoff.maxMs);
    }
    // A container that waited for its next start has none: what it was last is what it is now.
    if (runtime.state.waiting !== undefined && runtime.lastState.terminated !== undefined)
      set({ state: runtime.lastState });
  }

  /** One life of the container; undefined when there was none. */
  async function runOnce(): Promise<Terminated | undefined> {
    const containerId = newContainerId();
    let launched: Launched;
    try {
      launched = await launch(containerId);
    } catch (error) {
      const reason = error instanceof CannotStart ? error.reason : 'CreateContainerError';
      set({ state: { waiting: { reason, message: error instanceof Error ? error.message : String(error) } } });
      return undefined;
    }
    const { process } = launched;
    current = process;
    // Asked to stop while it was being started.
    if (stopping.signal.aborted) process.kill('SIGTERM');
    if (killed) process.kill('SIGKILL');
    const startedAt = apiTime(new Date());
    const before = runtime.state.terminated ?? runtime.lastState.terminated;
    const started = container.startupProbe === undefined;
    set({
      state: { running: { startedAt } },
      lastState: before === undefined ? {} : { terminated: before },
      restartCount: before === undefined ? runtime.restartCount : runtime.restartCount + 1,
      containerID: containerId,
      started,
      ready: started && container.readinessProbe === undefined,
    });

    const gone = new AbortController();
    const probing = probe(launched, gone.signal);
    const exit = await process.exited;
    gone.abort();
    const terminated = terminatedState(exit, {
      startedAt,
      containerID: containerId,
      oomKilled: launched.oomKills() > 0,
    });
    set({ state: { terminated }, started: false, ready: false });
    await Promise.all([probing, launched.cleanUp()]);
    return terminated;
  }

  async function probe({ process, probeTarget: target }: Launched, gone: AbortSignal): Promise<void> {
    const { startupProbe, livenessProbe, readinessProbe } = container;
    const restart = () => void process.stop(gracePeriodMs);
    if (startupProbe !== undefined) {
      const passed = new AbortController();
      const onChange = (passes: boolean) => (passes ? passed.abort() : restart());
      await watchProbe({
        probe: startupProbe,
        target,
        initially: false,
        onChange,
        signal: AbortSignal.any([gone, passed.signal]),
      });
      if (gone.aborted) return;
      set({ started: true, ready: readinessProbe === undefined });
    }
    await Promise.all([
      livenessProbe &&
        watchProbe({
          probe: livenessProbe,
          target,
          initially: true,
          onChange: (passes) => (passes ? undefined : restart()),
          signal: gone,
        }),
      readinessProbe &&
        watchProbe({
          probe: readinessProbe,
          target,
          initially: false,
          onChange: (ready) => set({ ready }),
          signal: gone,
        }),
    ]);
  }

  async function pause(ms: number): Promise<void> {
    try {
      await delay(ms, undefined, { signal: stopping.signal });
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
    }
  }

  const ended = run().finally(() => firstStart.resolve());
  return {
    started: firstStart.promise,
    ended,
    stop: async (kill) => {
      stopping.abort();
      const killNow = () => {
        killed = true;
        current?.kill('SIGKILL');
      };
      current?.kill('SIGTERM');
      if (kill.aborted) killNow();
      kill.addEventListener('abort', killNow);
      await ended;
      kill.removeEventListener('abort', killNow);
    },
  };
}

/** As a container runtime reports it: a death by signal N is exit code 128 + N. */
export function terminatedState(
  { code, signal }: Exit,
  { startedAt, containerID, oomKilled }: { startedAt: string; containerID: string; oomKilled: boolean },
): Terminated {
  const number = signal === null ? undefined : constants.signals[signal];
  const exitCode = number === undefined ? (code ?? 0) : 128 + number;
  return {
    exitCode,
    ...(number === undefined ? {} : { signal: number }),
    reason: oomKilled && exitCode === 137 ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error',
    startedAt,
    finishedAt: apiTime(new Date()),
    containerID,
  };
}

/** The API's times have seconds and nothing below. */
export function apiTime(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Whether a container that ended with this code is started again. */
export function mayRestart(policy: 'Always' | 'OnFailure' | 'Never', exitCode: number): boolean {
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}
