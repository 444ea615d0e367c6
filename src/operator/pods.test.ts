import { describe, expect, it } from 'vitest';
import * as pods from './pods.ts';

// The API server gives more than what is read of a Pod.
const toBrokerPod = (pod: object) => pods.toBrokerPod(pod as pods.Pod);
const agentPort = (pod: object) => pods.agentPort(pod as pods.Pod);

/** A broker's Pod with an agent, as the API server gives it (fields that nobody reads are left out). */
const running = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'danube-core-broker-0',
    namespace: 'messaging',
    uid: '7f1f6c2e-3c7b-4a4e-9f0f-0d5e9b6f2a11',
    labels: { 'app.kubernetes.io/component': 'broker' },
  },
  spec: {
    initContainers: [
      { name: 'agent', restartPolicy: 'Always', ports: [{ name: 'agent', containerPort: 9055, protocol: 'TCP' }] },
    ],
    containers: [
      { name: 'logs', ports: [{ containerPort: 8080 }] },
      {
        name: 'broker',
        ports: [
          { name: 'client', containerPort: 6650, protocol: 'TCP' },
          { name: 'admin', containerPort: 50051, protocol: 'TCP' },
        ],
      },
    ],
    volumes: [
      { name: 'data', persistentVolumeClaim: { claimName: 'data-danube-core-broker-0' } },
      { name: 'config', configMap: { name: 'danube-broker-config' } },
    ],
  },
  status: {
    phase: 'Running',
    podIP: '10.244.1.7',
    conditions: [
      { type: 'PodScheduled', status: 'True' },
      { type: 'Ready', status: 'True' },
    ],
    containerStatuses: [
      {
        name: 'logs',
        containerID: 'containerd://aaaa',
        restartCount: 9,
        state: { running: { startedAt: '2026-11-21T05:00:00Z' } },
        lastState: {},
      },
      {
        name: 'broker',
        containerID: 'containerd://bbbb',
        restartCount: 1,
        state: { running: { startedAt: '2026-11-21T06:00:05Z' } },
        lastState: {
          terminated: { exitCode: 137, startedAt: '2026-11-21T05:00:00Z', finishedAt: '2026-11-21T06:00:04Z' },
        },
      },
    ],
  },
};

function brokerStatus(status: object): object {
  return {
    ...running,
    status: { ...running.status, containerStatuses: [{ name: 'broker', restartCount: 0, ...status }] },
  };
}

describe('a Pod of a broker', () => {
  it('is its name, address and disk, and the container that has the client port', () => {
    expect(toBrokerPod(running)).toEqual({
      name: 'danube-core-broker-0',
      uid: '7f1f6c2e-3c7b-4a4e-9f0f-0d5e9b6f2a11',
      labels: { 'app.kubernetes.io/component': 'broker' },
      ip: '10.244.1.7',
      deleting: false,
      ready: true,
      persistentVolume: true,
      hostNetwork: false,
      container: {
        id: 'containerd://bbbb',
        restartCount: 1,
        runningSince: Date.parse('2026-11-21T06:00:05Z'),
        lastFinishedAt: Date.parse('2026-11-21T06:00:04Z'),
        limits: { cpuCores: undefined, memoryBytes: undefined },
      },
    });
  });

  it.each<[string, object, { runningSince?: string; lastFinishedAt?: string; restartCount?: number } | undefined]>([
    ['has just been made', { ...running, status: {} }, undefined],
    ['has no status of the broker yet', { ...running, status: { containerStatuses: [] } }, undefined],
    [
      'waits for its image',
      brokerStatus({ state: { waiting: { reason: 'ContainerCreating' } }, lastState: {} }),
      { restartCount: 0 },
    ],
    [
      'has ended',
      brokerStatus({ restartCount: 2, state: { terminated: { exitCode: 1, finishedAt: '2026-11-21T06:01:00Z' } } }),
      { restartCount: 2, lastFinishedAt: '2026-11-21T06:01:00Z' },
    ],
    [
      'waits after a crash',
      brokerStatus({
        restartCount: 3,
        state: { waiting: { reason: 'CrashLoopBackOff' } },
        lastState: { terminated: { exitCode: 1, finishedAt: '2026-11-21T06:02:00Z' } },
      }),
      { restartCount: 3, lastFinishedAt: '2026-11-21T06:02:00Z' },
    ],
    [
      'ended on a node that lost the times',
      brokerStatus({ state: { terminated: { exitCode: 137, finishedAt: null } } }),
      { restartCount: 0 },
    ],
  ])('whose broker %s', (_what, pod, expected) => {
    const time = (text: string | undefined) => (text === undefined ? undefined : Date.parse(text));

    expect(toBrokerPod(pod).container).toEqual(
      expected && {
        id: '',
        restartCount: expected.restartCount,
        runningSince: time(expected.runningSince),
        lastFinishedAt: time(expected.lastFinishedAt),
        limits: { cpuCores: undefined, memoryBytes: undefined },
      },
    );
  });

  it('may have the network of its node', () => {
    expect(toBrokerPod({ ...running, spec: { ...running.spec, hostNetwork: true } }).hostNetwork).toBe(true);
  });

  it('is being deleted once it has a time of deletion', () => {
    const deleting = { ...running, metadata: { ...running.metadata, deletionTimestamp: '2026-11-21T06:00:00Z' } };

    expect(toBrokerPod(deleting).deleting).toBe(true);
  });

  it.each(['Failed', 'Succeeded'])('that has %s keeps no address: another Pod may have it by now', (phase) => {
    expect(toBrokerPod({ ...running, status: { ...running.status, phase } }).ip).toBeUndefined();
  });

  it.each<[string, readonly object[], boolean]>([
    ['a claim of its own', [{ persistentVolumeClaim: { claimName: 'x' } }], true],
    ['an emptyDir', [{ emptyDir: {} }], false],
    ['an ephemeral volume, which goes with the Pod', [{ ephemeral: { volumeClaimTemplate: {} } }], false],
    ['no volume', [], false],
  ])('with %s', (_what, volumes, expected) => {
    expect(toBrokerPod({ ...running, spec: { ...running.spec, volumes } }).persistentVolume).toBe(expected);
  });

  it.each<[string, object, string]>([
    ['by the name of the port', { name: 'b', ports: [{ name: 'client', containerPort: 7000 }] }, 'b'],
    ['by its number', { name: 'b', ports: [{ containerPort: 6650 }] }, 'b'],
    ['as the first, if no port tells', { name: 'b' }, 'a'],
  ])('finds the container of the broker %s', (_what, second, expected) => {
    const status = (name: string) => ({ name, containerID: name, restartCount: 0, state: {}, lastState: {} });
    const pod = {
      ...running,
      spec: { containers: [{ name: 'a', ports: [{ containerPort: 80 }] }, second] },
      status: { containerStatuses: [status('b'), status('a')] },
    };

    expect(toBrokerPod(pod).container?.id).toBe(expected);
  });
});

describe('the agent of a Pod', () => {
  it('listens at the port of that name, in a sidecar or in any container', () => {
    expect(agentPort(running)).toBe(9055);
    const beside = { containers: [{ name: 'x', ports: [{ name: 'agent', containerPort: 9056 }] }] };
    expect(agentPort({ ...running, spec: beside })).toBe(9056);
  });

  it('is absent if no port has that name', () => {
    expect(agentPort({ ...running, spec: { containers: [{ name: 'broker' }] } })).toBeUndefined();
    expect(agentPort({ metadata: running.metadata })).toBeUndefined();
  });
});
