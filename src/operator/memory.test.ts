import { describe, expect, it } from 'vitest';
import type { BrokerLoad } from '../api/broker-load.ts';
import { judgeBrokers } from '../core/brokers.ts';
import { at, buildSnapshot, type SnapshotParts, urlOf } from '../core/snapshot-builder.ts';
import { createMemory, type Memory, noteDeaths, observe, snapshotOf } from './memory.ts';

const POD = 'danube-0';
const RUNNING = { name: POD, container: { runningSince: 50 } };

/** What is seen at one moment; who is remembered and since when comes from the memory alone. */
function observation(parts: SnapshotParts, brokerLoads: readonly BrokerLoad[] = []) {
  const { now, namespace, metadata, pods } = buildSnapshot(parts);
  return { now, namespace, metadata, pods, brokerLoads };
}

function see(memory: Memory, parts: SnapshotParts, brokerLoads: readonly BrokerLoad[] = []) {
  observe(memory, observation(parts, brokerLoads));
}

function brokerLoad(name: string, status: BrokerLoad['status']): BrokerLoad {
  return {
    apiVersion: 'loadmanager.danube.io/v1alpha1',
    kind: 'BrokerLoad',
    metadata: { name, namespace: 'messaging', uid: 'u', generation: 1 } as BrokerLoad['metadata'],
    spec: { policyName: 'prod' },
    ...(status !== undefined && { status }),
  };
}

describe('who ran where', () => {
  it('is noted when the broker is first seen, and stays when its Pod is made again', () => {
    const memory = createMemory();
    see(memory, { brokers: [{ id: '1', pod: POD, reportedAt: 60 }], pods: [{ ...RUNNING, persistentVolume: true }] });

    see(memory, {
      brokers: [{ id: '1', pod: POD, reportedAt: 60 }],
      pods: [{ name: POD, uid: 'new', container: { runningSince: 40 } }],
    });

    expect(memory.remembered.get('1')).toEqual({
      brokerUrl: urlOf(POD),
      podName: POD,
      podUID: `uid-of-${POD}`,
      persistentVolume: true,
    });
  });

  it('is found later if the Pod was not there yet', () => {
    const memory = createMemory();
    see(memory, { brokers: [{ id: '1', pod: POD, reportedAt: 60 }] });
    expect(memory.remembered.get('1')?.podUID).toBeUndefined();

    see(memory, { brokers: [{ id: '1', pod: POD, reportedAt: 60 }], pods: [RUNNING] });

    expect(memory.remembered.get('1')?.podUID).toBe(`uid-of-${POD}`);
  });

  it.each<[string, SnapshotParts]>([
    [
      'another has registered at the address since: the Pod may be only that one’s',
      {
        brokers: [
          { id: '1', pod: POD, reportedAt: 60 },
          { id: '2', pod: POD, reportedAt: 60 },
        ],
        pods: [RUNNING],
      },
    ],
    [
      'its last report is older than the container',
      { brokers: [{ id: '1', pod: POD, reportedAt: 49 }], pods: [RUNNING] },
    ],
    ['the Pod does not run yet', { brokers: [{ id: '1', pod: POD }], pods: [{ name: POD }] }],
  ])('is uncertain if %s; then only the name is kept', (_what, parts) => {
    const memory = createMemory();

    see(memory, parts);

    expect(memory.remembered.get('1')).toMatchObject({ podName: POD, podUID: undefined });
  });

  it('is read back from the BrokerLoads after a restart of the operator', () => {
    const memory = createMemory();
    const load = brokerLoad(POD, { brokerID: '1', brokerURL: urlOf(POD), podUID: 'earlier' });

    see(
      memory,
      {
        brokers: [{ id: '1', pod: POD, registered: false }],
        topics: [{ name: '/default/a', owners: ['1'] }],
        pods: [{ ...RUNNING, persistentVolume: true }],
      },
      [load],
    );

    expect(memory.remembered.get('1')).toEqual({
      brokerUrl: urlOf(POD),
      podName: POD,
      podUID: 'earlier',
      persistentVolume: true,
    });
  });

  it('is not taken from a BrokerLoad of a broker that is gone without topics, nor against what was seen', () => {
    const memory = createMemory();
    see(memory, { brokers: [{ id: '1', pod: POD, reportedAt: 60 }], pods: [RUNNING] });

    see(memory, { brokers: [{ id: '1', pod: POD, reportedAt: 60 }], pods: [RUNNING] }, [
      brokerLoad(POD, { brokerID: '1', brokerURL: urlOf(POD), podUID: 'another' }),
      brokerLoad('danube-1', { brokerID: '2', brokerURL: urlOf('danube-1'), podUID: 'x' }),
      brokerLoad('danube-2', { observedGeneration: 0 }),
    ]);

    expect([...memory.remembered].map(([id, { podUID }]) => [id, podUID])).toEqual([['1', `uid-of-${POD}`]]);
  });

  it.each([
    ['it owns topics', [{ name: '/default/a', owners: ['1'] }]],
    ['it is the source of a move', [{ name: '/default/a', marker: { kind: 'unload', fromBroker: '1' } }]],
  ] as const)('is kept for a broker whose registration is gone while %s, and no longer', (_what, topics) => {
    const memory = createMemory();
    const gone = { id: '1', pod: POD, registered: false } as const;
    see(memory, { brokers: [{ id: '1', pod: POD, reportedAt: 60 }], pods: [RUNNING] });

    see(memory, { brokers: [gone], topics });
    expect(memory.remembered.has('1')).toBe(true);

    see(memory, { brokers: [gone] });
    expect([memory.remembered, memory.reportSeenAt].map((notes) => notes.has('1'))).toEqual([false, false]);
  });
});

describe('since when', () => {
  it('a broker reports is counted from its first report after its registration', () => {
    const memory = createMemory();
    see(memory, { now: 10, brokers: [{ id: '1', registered: 100, reportRevision: 90 }] });
    expect(memory.reportSeenAt.has('1')).toBe(false);

    see(memory, { now: 11, brokers: [{ id: '1', registered: 100, reportRevision: 110 }] });
    see(memory, { now: 12, brokers: [{ id: '1', registered: 100, reportRevision: 120 }] });

    expect(memory.reportSeenAt.get('1')).toBe(at(11));
  });

  it('a topic has no owner is counted from the first sight, anew each time', () => {
    const memory = createMemory();
    see(memory, { now: 10, topics: [{ name: '/default/a' }] });
    see(memory, { now: 12, topics: [{ name: '/default/a' }] });
    expect(memory.unownedSince.get('/default/a')).toBe(at(10));

    see(memory, { now: 14, brokers: [{ id: '1' }], topics: [{ name: '/default/a', owners: ['1'] }] });
    see(memory, { now: 16, topics: [{ name: '/default/a' }] });

    expect(memory.unownedSince.get('/default/a')).toBe(at(16));
  });

  it('a broker is dead is counted from the first proof, and forgotten when it turns out alive', () => {
    const memory = createMemory();
    const dead = judgeBrokers(
      buildSnapshot({
        brokers: [{ id: '1', registered: false, remembered: false }],
        topics: [{ name: '/default/a', owners: ['1'] }],
      }),
    );
    const alive = judgeBrokers(buildSnapshot({ brokers: [{ id: '1' }] }));

    noteDeaths(memory, dead, at(10));
    noteDeaths(memory, dead, at(12));
    expect(memory.deadSince.get('1')).toBe(at(10));

    noteDeaths(memory, alive, at(13));
    noteDeaths(memory, dead, at(14));
    expect(memory.deadSince.get('1')).toBe(at(14));
  });
});

it('a snapshot carries the moment, what was seen and what is remembered', () => {
  const memory = createMemory();
  const seen = observation({ brokers: [{ id: '1', pod: POD, reportedAt: 60 }], pods: [RUNNING] });
  observe(memory, seen);
  memory.adminAnswered.add('1');

  const snapshot = snapshotOf(seen, memory, new Map());

  expect(snapshot).toMatchObject({ now: seen.now, namespace: 'messaging', pods: seen.pods });
  expect(judgeBrokers(snapshot).get('1')?.accepting).toBe(true);
});
