import { describe, expect, it } from 'vitest';
import type { Exit, ManagedProcess } from '../process/tied.ts';
import { until } from '../process/until.ts';
import { CannotStart, type ContainerOptions, type Launched, type RunningContainer, runContainer } from './container.ts';
import { type ContainerRuntime, NOT_STARTED } from './pod-status.ts';

interface FakeProcess {
  readonly containerId: string;
  readonly signals: string[];
  /** Ends it; by itself it ends only at SIGKILL. */
  end(exit: Exit): void;
}

interface Run {
  readonly container: RunningContainer;
  readonly processes: FakeProcess[];
  /** What was told of the container, in order. */
  readonly told: ContainerRuntime[];
  process(index: number): Promise<FakeProcess>;
}

/** Runs a container whose processes are fakes, with a back-off of 50 ms. */
function runFake(options: Partial<ContainerOptions> = {}): Run {
  const processes: FakeProcess[] = [];
  const told: ContainerRuntime[] = [];
  const launch = async (containerId: string): Promise<Launched> => {
    const exited = Promise.withResolvers<Exit>();
    const signals: string[] = [];
    const kill = (signal: NodeJS.Signals) => {
      signals.push(signal);
      if (signal === 'SIGKILL') exited.resolve({ code: null, signal });
    };
    const stop = () => exited.promise;
    const process: ManagedProcess = {
      pid: 0,
      exited: exited.promise,
      exit: () => undefined,
      kill,
      stop,
      logTail: () => '',
    };
    processes.push({ containerId, signals, end: exited.resolve });
    const exec = () => Promise.resolve(0);
    return {
      process,
      probeTarget: { podIP: '127.9.1.1', ports: [], exec },
      oomKills: () => 0,
      cleanUp: () => Promise.resolve(),
    };
  };
  const container = runContainer({
    container: { name: 'main', image: 'main:1' },
    restartPolicy: 'Always',
    backoff: { baseMs: 50, maxMs: 100 },
    initially: NOT_STARTED,
    launch,
    newContainerId: () => `process://${processes.length}`,
    onChange: (runtime) => told.push(runtime),
    reported: () => Promise.resolve(),
    gracePeriodMs: 1_000,
    ...options,
  });
  const process = (index: number) => until(() => processes[index], { what: `process ${index}`, intervalMs: 1 });
  return { container, processes, told, process };
}

const CRASH: Exit = { code: 1, signal: null };
const killNow = AbortSignal.abort();

describe('a container that crashes', () => {
  it('is started again only when its crash has been reported', async () => {
    const report = Promise.withResolvers<void>();
    const run = runFake({ reported: () => report.promise });
    (await run.process(0)).end(CRASH);
    await until(() => run.told.at(-1)?.state.terminated, { what: 'the crash', intervalMs: 1 });
    // Any number of turns of the event loop would do, were it not waiting for the report.
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    const before = run.processes.length;

    report.resolve();
    await run.process(1);

    expect(before).toBe(1);
    await run.container.stop(killNow);
  });

  it('is started again though the API server takes no report', async () => {
    const run = runFake({ reported: () => new Promise(() => undefined) });
    (await run.process(0)).end(CRASH);

    await run.process(1);

    await run.container.stop(killNow);
  });

  it('starts at once the first time, and says that it waits the second', async () => {
    const run = runFake();
    (await run.process(0)).end(CRASH);
    (await run.process(1)).end(CRASH);
    await run.process(2);

    const reasons = run.told.map(({ state }) => Object.keys(state)[0]);
    const inOrder = ['running', 'terminated', 'running', 'terminated', 'waiting', 'running'];
    expect(reasons).toEqual(inOrder);
    expect(run.told[4]).toMatchObject({
      state: { waiting: { reason: 'CrashLoopBackOff' } },
      lastState: { terminated: { exitCode: 1 } },
      restartCount: 1,
    });
    expect(run.told.at(-1)).toMatchObject({
      restartCount: 2,
      containerID: 'process://2',
      lastState: { terminated: { containerID: 'process://1' } },
    });
    await run.container.stop(killNow);
  });

  it('that is stopped while it waits is what it was last', async () => {
    const run = runFake({ backoff: { baseMs: 600_000, maxMs: 600_000 } });
    (await run.process(0)).end(CRASH);
    (await run.process(1)).end(CRASH);
    await until(() => run.told.at(-1)?.state.waiting, { what: 'the back-off', intervalMs: 1 });

    await run.container.stop(killNow);

    expect(run.told.at(-1)?.state.terminated).toMatchObject({ exitCode: 1, containerID: 'process://1' });
  });

  it.each([
    ['Never', 1],
    ['Never', 0],
    ['OnFailure', 0],
  ] as const)('is not started again by the policy %s after exit code %i', async (restartPolicy, code) => {
    const run = runFake({ restartPolicy });
    (await run.process(0)).end({ code, signal: null });

    await run.container.ended;

    expect(run.processes).toHaveLength(1);
  });
});

describe('a container that is stopped', () => {
  it('gets SIGTERM, and SIGKILL only when there is no more grace', async () => {
    const run = runFake();
    const { signals } = await run.process(0);
    const noMoreGrace = new AbortController();

    const stopped = run.container.stop(noMoreGrace.signal);
    expect(signals).toEqual(['SIGTERM']);
    noMoreGrace.abort();
    await stopped;

    expect(signals).toEqual(['SIGTERM', 'SIGKILL']);
    expect(run.told.at(-1)?.state.terminated).toMatchObject({ exitCode: 137, signal: 9 });
    expect(run.processes).toHaveLength(1);
  });

  it('while it is being started ends all the same', async () => {
    const run = runFake();

    await run.container.stop(killNow);

    expect(run.processes[0]?.signals).toEqual(['SIGTERM', 'SIGKILL']);
  });
});

describe('a container that cannot start', () => {
  it('says why, and is tried again without counting a restart', async () => {
    let tries = 0;
    const run = runFake({
      launch: async () => {
        tries += 1;
        if (tries === 1) throw new CannotStart('ErrImagePull', 'no such image');
        throw new CannotStart('RunContainerError', 'still not');
      },
    });

    await until(() => tries === 2, { what: 'a second try', intervalMs: 1 });

    expect(run.told[0]).toMatchObject({
      state: { waiting: { reason: 'ErrImagePull', message: 'no such image' } },
      restartCount: 0,
    });
    await run.container.stop(killNow);
  });
});

describe('a container with a startup probe', () => {
  it('has started, and is ready, when the probe passes', async () => {
    const startupProbe = { exec: { command: ['true'] }, periodSeconds: 1 };
    const run = runFake({ container: { name: 'main', image: 'main:1', startupProbe } });

    await run.container.started;

    expect(run.told.map(({ started, ready }) => [started, ready])).toEqual([
      [false, false],
      [true, true],
    ]);
    await run.container.stop(killNow);
  });
});
