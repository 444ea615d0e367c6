import { describe, expect, it } from 'vitest';
import { buildPodStatus, type ContainerRuntime, type PodRuntime } from './pod-status.ts';
import type { Container, Pod, PodSpec } from './types.ts';

const NOW = '2026-11-21T10:00:00Z';
const EARLIER = '2026-11-21T09:00:00Z';

const main: Container = { name: 'main', image: 'main:1' };
const init: Container = { name: 'init', image: 'init:1' };
const sidecar: Container = { name: 'sidecar', image: 'sidecar:1', restartPolicy: 'Always' };

const running: ContainerRuntime = {
  state: { running: { startedAt: EARLIER } },
  lastState: {},
  restartCount: 0,
  containerID: 'process://a',
  started: true,
  ready: true,
};

function terminated(exitCode: number): ContainerRuntime {
  const state = {
    terminated: {
      exitCode,
      reason: exitCode === 0 ? 'Completed' : 'Error',
      startedAt: EARLIER,
      finishedAt: NOW,
      containerID: 'process://a',
    },
  };
  return { ...running, state, started: false, ready: false };
}

function podOf(spec: Partial<PodSpec> = {}, status: Pod['status'] = {}): Pod {
  return { metadata: { name: 'pod', namespace: 'default', uid: 'u' }, spec: { containers: [main], ...spec }, status };
}

function runtimeOf(containers: Record<string, ContainerRuntime>, more: Partial<PodRuntime> = {}): PodRuntime {
  return {
    hostIP: '127.9.0.11',
    podIP: '127.9.1.1',
    startTime: EARLIER,
    containers: new Map(Object.entries(containers)),
    ended: false,
    ...more,
  };
}

function build(pod: Pod, runtime: PodRuntime) {
  const status = buildPodStatus(pod, runtime, [], NOW);
  const conditions = Object.fromEntries((status.conditions ?? []).map((condition) => [condition.type, condition]));
  return { ...status, conditions };
}

describe('the status of a Pod', () => {
  it('is Pending until every container has started, which waits for its creation', () => {
    const { phase, containerStatuses, conditions } = build(podOf(), runtimeOf({}));

    expect(phase).toBe('Pending');
    expect(containerStatuses?.[0]).toMatchObject({
      state: { waiting: { reason: 'ContainerCreating' } },
      restartCount: 0,
      ready: false,
    });
    expect(conditions.Ready).toMatchObject({
      status: 'False',
      reason: 'ContainersNotReady',
      message: 'containers with unready status: [main]',
    });
  });

  it('says PodInitializing of containers that wait for init containers', () => {
    const { containerStatuses, conditions } = build(podOf({ initContainers: [init] }), runtimeOf({ init: running }));

    expect(containerStatuses?.[0]?.state.waiting?.reason).toBe('PodInitializing');
    expect(conditions.Initialized).toMatchObject({ status: 'False', reason: 'ContainersNotInitialized' });
  });

  it('is initialized when init containers have ended well and sidecars have started', () => {
    const pod = podOf({ initContainers: [init, sidecar] });

    expect(build(pod, runtimeOf({ init: terminated(0), sidecar: running })).conditions.Initialized?.status).toBe(
      'True',
    );
    expect(build(pod, runtimeOf({ init: terminated(1), sidecar: running })).conditions.Initialized?.status).toBe(
      'False',
    );
    expect(build(pod, runtimeOf({ init: terminated(0) })).conditions.Initialized?.status).toBe('False');
  });

  it('is Running and Ready when its containers are', () => {
    const status = build(podOf(), runtimeOf({ main: running }));

    expect(status).toMatchObject({
      phase: 'Running',
      podIP: '127.9.1.1',
      podIPs: [{ ip: '127.9.1.1' }],
      hostIP: '127.9.0.11',
      startTime: EARLIER,
    });
    expect(status.conditions.Ready).toEqual({ type: 'Ready', status: 'True', lastTransitionTime: NOW });
  });

  it('stays Running, but is not Ready, while a container waits for its restart', () => {
    const crashed = {
      ...running,
      state: { waiting: { reason: 'CrashLoopBackOff' } },
      lastState: terminated(1).state,
      ready: false,
    };

    const { phase, conditions } = build(podOf(), runtimeOf({ main: crashed }));

    expect([phase, conditions.Ready?.status]).toEqual(['Running', 'False']);
  });

  it('is not Ready when a sidecar is not', () => {
    const pod = podOf({ initContainers: [sidecar] });

    const { conditions } = build(pod, runtimeOf({ main: running, sidecar: { ...running, ready: false } }));

    expect(conditions.ContainersReady?.message).toBe('containers with unready status: [sidecar]');
  });

  it('is Ready only when its readiness gates are open, though its containers are ready', () => {
    const gated = { readinessGates: [{ conditionType: 'example.test/in-rotation' }] };

    const closed = build(podOf(gated), runtimeOf({ main: running }));
    const open = build(
      podOf(gated, { conditions: [{ type: 'example.test/in-rotation', status: 'True' }] }),
      runtimeOf({ main: running }),
    );

    expect(closed.conditions.ContainersReady?.status).toBe('True');
    expect(closed.conditions.Ready).toMatchObject({ status: 'False', reason: 'ReadinessGatesNotReady' });
    expect(open.conditions.Ready?.status).toBe('True');
  });

  it.each([
    [[0], 'Succeeded', 'PodCompleted'],
    [[137], 'Failed', 'PodFailed'],
  ])('that has ended with exit codes %j is %s', ([exitCode = 0], phase, reason) => {
    const status = build(podOf(), runtimeOf({ main: terminated(exitCode) }, { ended: true }));

    expect(status.phase).toBe(phase);
    expect(status.conditions.Ready).toMatchObject({ status: 'False', reason });
  });

  it('that ended before its container ever ran is Failed', () => {
    expect(build(podOf(), runtimeOf({}, { ended: true })).phase).toBe('Failed');
  });

  it('keeps the time of a condition whose status stays the same', () => {
    const previous = [{ type: 'Ready', status: 'True', lastTransitionTime: EARLIER } as const];
    const at = (runtime: PodRuntime) =>
      buildPodStatus(podOf(), runtime, previous, NOW).conditions?.find(({ type }) => type === 'Ready')
        ?.lastTransitionTime;

    expect(at(runtimeOf({ main: running }))).toBe(EARLIER);
    expect(at(runtimeOf({ main: terminated(1) }))).toBe(NOW);
  });
});
