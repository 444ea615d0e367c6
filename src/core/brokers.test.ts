import { describe, expect, it } from 'vitest';
import { brokersByPod, judgeBroker, judgeBrokers } from './brokers.ts';
import { createPlaces, hostOf } from './places.ts';
import {
  type BrokerParts,
  buildSnapshot,
  type ContainerParts,
  NAMESPACE,
  type PodParts,
  type SnapshotParts,
  urlOf,
} from './snapshot-builder.ts';

const POD = 'danube-0';
const NEVER_RESTARTED: ContainerParts = { runningSince: 50 };

function livenessOf(id: string, parts: SnapshotParts): string {
  const { liveness } = judgeBroker(buildSnapshot(parts), id);
  return liveness.state === 'Dead' ? `Dead: ${liveness.proof}` : liveness.state;
}

/** Process `old`, then process `next`, registered at the address of the one Pod. */
function restartedIn(container: ContainerParts, old: Partial<BrokerParts> = {}, next: Partial<BrokerParts> = {}) {
  return {
    pods: [{ name: POD, container }],
    brokers: [
      { id: 'old', pod: POD, reportedAt: 90, ...old },
      { id: 'next', pod: POD, reportedAt: 102, ...next },
    ],
  } satisfies SnapshotParts;
}

describe('a registered broker whose container was restarted', () => {
  it.each<[string, ContainerParts, Partial<BrokerParts>, string]>([
    [
      'its last report is older than the new container',
      { restartCount: 1, runningSince: 100 },
      { reportedAt: 90 },
      'Dead: ContainerRestarted',
    ],
    [
      'it reported in the very second of the restart',
      { restartCount: 1, runningSince: 100.9 },
      { reportedAt: 100.1 },
      'Dead: ContainerRestarted',
    ],
    ['it never reported', { restartCount: 1, runningSince: 100 }, { reportedAt: false }, 'Dead: ContainerRestarted'],
    [
      'the container has ended again meanwhile',
      { restartCount: 1, lastFinishedAt: 110 },
      { reportedAt: 90 },
      'Dead: ContainerRestarted',
    ],
    [
      'it reported after that container had started: the status is older than the restart',
      { restartCount: 1, runningSince: 60 },
      { reportedAt: 90 },
      'Live',
    ],
    [
      'it reported after the end that the status shows: the status is older than the process',
      { restartCount: 1, lastFinishedAt: 60 },
      { reportedAt: 90 },
      'Live',
    ],
    ['no container was ever restarted: the address alone proves nothing', NEVER_RESTARTED, { reportedAt: 40 }, 'Live'],
    [
      'it ran in an earlier Pod of that name, which may still run on a node that is cut off',
      { restartCount: 1, runningSince: 100 },
      { reportedAt: 90, remembered: { podUID: 'uid-of-an-earlier-pod' } },
      'Live',
    ],
    [
      'nobody knows which Pod of that name it ran in',
      { restartCount: 1, runningSince: 100 },
      { reportedAt: 90, remembered: { podUID: undefined } },
      'Live',
    ],
  ])('%s', (_what, container, old, expected) => {
    expect(livenessOf('old', restartedIn(container, old))).toBe(expected);
  });

  it.each<[string, ContainerParts, number | false]>([
    ['has not reported yet, status up to date', { restartCount: 1, runningSince: 100 }, false],
    ['reported in the second of its start', { restartCount: 1, runningSince: 100 }, 100.2],
    ['reported, status still shows the old container running', NEVER_RESTARTED, 100.2],
    ['reported, status still shows the old container as ended', { lastFinishedAt: 99 }, 100.2],
    ['reported in the second in which the old container ended', { lastFinishedAt: 100 }, 100.9],
    ['reported, status shows it waiting after several crashes', { restartCount: 7, lastFinishedAt: 99 }, 100.2],
    ['has not reported yet, status shows the old container as ended', { lastFinishedAt: 99 }, false],
  ])('its next process is never proved dead: %s', (_what, container, reportedAt) => {
    expect(livenessOf('next', restartedIn(container, {}, { reportedAt }))).toBe('Live');
  });

  it('the third process proves both earlier ones dead', () => {
    const parts = {
      pods: [{ name: POD, container: { restartCount: 2, runningSince: 200 } }],
      brokers: [
        { id: 'first', pod: POD, reportedAt: 90 },
        { id: 'second', pod: POD, reportedAt: 150 },
        { id: 'third', pod: POD, reportedAt: 201 },
      ],
    };

    expect(['first', 'second', 'third'].map((id) => livenessOf(id, parts))).toEqual([
      'Dead: ContainerRestarted',
      'Dead: ContainerRestarted',
      'Live',
    ]);
  });
});

describe('a registered broker without a successor', () => {
  function alone(container: ContainerParts | undefined, broker: Partial<BrokerParts>): SnapshotParts {
    return { pods: [{ name: POD, container }], brokers: [{ id: '1', pod: POD, ...broker }] };
  }

  it.each<[string, ContainerParts | undefined, Partial<BrokerParts>, string]>([
    ['container ended after its last report', { lastFinishedAt: 100 }, { reportedAt: 99 }, 'Dead: ContainerEnded'],
    ['container ended in the second of its last report', { lastFinishedAt: 100 }, { reportedAt: 100 }, 'Live'],
    ['container ended before its last report', { lastFinishedAt: 100 }, { reportedAt: 101 }, 'Live'],
    ['container ended, never reported', { lastFinishedAt: 100 }, { reportedAt: false }, 'Live'],
    ['container runs again', { restartCount: 1, runningSince: 101, lastFinishedAt: 100 }, { reportedAt: 99 }, 'Live'],
    ['container not started', {}, { reportedAt: 99 }, 'Live'],
    ['container unknown', undefined, { reportedAt: 99 }, 'Live'],
    [
      'container ended in another Pod of that name',
      { lastFinishedAt: 100 },
      { reportedAt: 99, remembered: { podUID: 'uid-of-an-earlier-pod' } },
      'Live',
    ],
  ])('%s', (_what, container, broker, expected) => {
    expect(livenessOf('1', alone(container, broker))).toBe(expected);
  });

  it('stays dead when the Pod that proved its end is gone, whatever its lease says', () => {
    const gone: SnapshotParts = { pods: [], brokers: [{ id: 'a', pod: POD, deadSince: 110 }] };

    expect(livenessOf('a', gone)).toBe('Dead: ContainerEnded');
  });

  it('lives while its lease does, though its Pod is gone', () => {
    expect(livenessOf('1', { brokers: [{ id: '1', pod: POD }] })).toBe('Live');
  });
});

describe('a broker whose lease has expired', () => {
  const gone = { id: '1', pod: POD, registered: false, reportedAt: 90, reportRevision: 200 } as const;

  it.each<[string, readonly PodParts[], readonly BrokerParts[], string]>([
    ['its Pod is gone', [], [{ ...gone, remembered: { podName: POD, podUID: 'uid' } }], 'Dead: LeaseExpired'],
    ['its Pod runs on', [{ name: POD, container: NEVER_RESTARTED }], [gone], 'Zombie'],
    [
      'its Pod runs on, and its reports are of 0.6 and give no time',
      [{ name: POD, container: NEVER_RESTARTED }],
      [{ ...gone, reportsTime: false }],
      'Zombie',
    ],
    [
      'its Pod runs on, and it never reported',
      [{ name: POD, container: NEVER_RESTARTED }],
      [{ ...gone, reportedAt: false }],
      'Zombie',
    ],
    [
      'its Pod runs on while it is being deleted',
      [{ name: POD, deleting: true, container: NEVER_RESTARTED }],
      [gone],
      'Zombie',
    ],
    [
      'its container started again after its last report',
      [{ name: POD, container: { restartCount: 1, runningSince: 95 } }],
      [gone],
      'Dead: LeaseExpired',
    ],
    [
      'its container started again in the second of its last report: it may be either process',
      [{ name: POD, container: { restartCount: 1, runningSince: 90 } }],
      [gone],
      'Zombie',
    ],
    ['its container ended', [{ name: POD, container: { lastFinishedAt: 95 } }], [gone], 'Dead: LeaseExpired'],
    [
      'its container ended before it reported: the status is older than the process',
      [{ name: POD, container: { lastFinishedAt: 80 } }],
      [gone],
      'Unproven',
    ],
    [
      'the next process has registered in its Pod',
      [{ name: POD, container: NEVER_RESTARTED }],
      [gone, { id: '2', pod: POD, registered: 300 }],
      'Dead: LeaseExpired',
    ],
    [
      'a process from before is still registered in its Pod: it says nothing of this one',
      [{ name: POD, container: NEVER_RESTARTED }],
      [gone, { id: '0', pod: POD, registered: 150 }],
      'Zombie',
    ],
    [
      'its Pod was made again under its name and started after its last report',
      [{ name: POD, uid: 'new', container: { runningSince: 95 } }],
      [{ ...gone, remembered: { podUID: 'old' } }],
      'Dead: LeaseExpired',
    ],
    [
      'its Pod was made again under its name and does not run yet',
      [{ name: POD, uid: 'new' }],
      [{ ...gone, remembered: { podUID: 'old' } }],
      'Dead: LeaseExpired',
    ],
    [
      'it was taken for one of the earlier Pod, and reported after the present one had started',
      [{ name: POD, uid: 'new', container: NEVER_RESTARTED }],
      [{ ...gone, remembered: { podUID: 'old' } }],
      'Unproven',
    ],
    [
      'its Pod has another address now',
      [{ name: POD, ip: '10.0.0.8', container: NEVER_RESTARTED }],
      [{ ...gone, url: 'http://10.0.0.7:6650', remembered: { podName: POD, podUID: `uid-of-${POD}` } }],
      'Zombie',
    ],
  ])('%s', (_what, pods, brokers, expected) => {
    expect(livenessOf('1', { pods, brokers })).toBe(expected);
  });

  it('names the Pod that may still run it', () => {
    const parts = {
      pods: [{ name: POD, uid: 'new', container: NEVER_RESTARTED }],
      brokers: [{ ...gone, remembered: { podUID: 'old' } }],
    };

    expect(judgeBroker(buildSnapshot(parts), '1').liveness).toEqual({ state: 'Unproven', podName: POD });
  });
});

describe('a broker that owns topics and was never seen alive', () => {
  const unknown: BrokerParts = { id: '1', registered: false, reportedAt: 90, remembered: false };
  const running: PodParts = { name: POD, container: NEVER_RESTARTED };

  it.each<[string, readonly PodParts[], readonly BrokerParts[], string]>([
    ['no Pod at all', [], [unknown], 'Dead: LeaseExpired'],
    ['a running Pod without a registered broker', [running], [unknown], 'Unproven'],
    ['every running Pod has its registered broker', [running], [unknown, { id: '2', pod: POD }], 'Dead: LeaseExpired'],
    [
      'the only Pod without a broker has started after its last report',
      [{ name: POD, container: { runningSince: 91 } }],
      [unknown],
      'Dead: LeaseExpired',
    ],
    ['the only Pod without a broker does not run', [{ name: POD }], [unknown], 'Dead: LeaseExpired'],
    ['it never reported and a Pod runs without a broker', [running], [{ ...unknown, reportedAt: false }], 'Unproven'],
    [
      'it was seen, and its address names no Pod',
      [running],
      [{ ...unknown, url: 'http://broker-a.example.com:6650', remembered: {} }],
      'Unproven',
    ],
    [
      'it was seen, and its address is one that every Pod may have',
      [running],
      [{ ...unknown, url: 'http://0.0.0.0:6650', remembered: {} }],
      'Unproven',
    ],
  ])('%s', (_what, pods, brokers, expected) => {
    expect(livenessOf('1', { pods, brokers })).toBe(expected);
  });
});

describe('two brokers that register the same address', () => {
  it('proves nothing if the address is unspecified, and both take topics', () => {
    const brokers = judgeBrokers(
      buildSnapshot({
        pods: [{ name: POD, ip: '10.0.0.7', container: { restartCount: 1, runningSince: 100 } }],
        brokers: [
          { id: '1', url: 'http://0.0.0.0:6650', reportedAt: 90 },
          { id: '2', url: 'http://0.0.0.0:6650', reportedAt: 90 },
        ],
      }),
    );

    expect([...brokers.values()].map(({ liveness, accepting }) => [liveness.state, accepting])).toEqual([
      ['Live', true],
      ['Live', true],
    ]);
  });

  it('proves nothing if two Pods have that address', () => {
    const parts: SnapshotParts = {
      pods: [
        { name: 'a', ip: '10.0.0.7', container: { restartCount: 1, runningSince: 100 } },
        { name: 'b', ip: '10.0.0.7', container: { restartCount: 1, runningSince: 100 } },
      ],
      brokers: [
        { id: '1', url: 'http://10.0.0.7:6650', reportedAt: 90 },
        { id: '2', url: 'http://10.0.0.7:6650', reportedAt: 110 },
      ],
    };

    expect(livenessOf('1', parts)).toBe('Live');
  });
});

describe('the Pod at an address', () => {
  const pods = [
    { name: 'danube-0', ip: '10.0.0.7' },
    { name: 'danube-1', ip: 'fd00::1' },
    { name: '10', ip: '10.0.0.8' },
  ];

  it.each<[string, string | undefined]>([
    ['http://10.0.0.7:6650', 'danube-0'],
    ['https://10.0.0.7', 'danube-0'],
    ['http://[fd00::1]:6650', 'danube-1'],
    ['http://[fd00:0:0:0:0:0:0:1]:6650', 'danube-1'],
    [urlOf('danube-0'), 'danube-0'],
    [`http://danube-0.danube.${NAMESPACE}.svc:6650`, 'danube-0'],
    [`http://danube-0.danube.${NAMESPACE}:6650`, 'danube-0'],
    ['http://danube-0.danube:6650', 'danube-0'],
    [`http://DANUBE-0.danube.${NAMESPACE}.svc.cluster.local:6650`, 'danube-0'],
    ['http://danube-0.danube.other.svc.cluster.local:6650', undefined],
    ['http://danube-0:6650', undefined],
    ['http://danube-7.danube.messaging.svc:6650', undefined],
    ['http://danube-0.example.com:6650', undefined],
    ['http://10.0.0.9:6650', undefined],
    ['http://0.0.0.0:6650', undefined],
    ['http://[::]:6650', undefined],
    ['http://localhost:6650', undefined],
    ['danube-0', undefined],
    ['', undefined],
  ])('%s → %s', (url, expected) => {
    expect(createPlaces(buildSnapshot({ pods })).podAt(url)?.name).toBe(expected);
  });

  it('is none if two Pods have it', () => {
    const shared = [
      { name: 'a', ip: '10.0.0.7' },
      { name: 'b', ip: '10.0.0.7' },
    ];

    expect(createPlaces(buildSnapshot({ pods: shared })).podAt('http://10.0.0.7:6650')).toBeUndefined();
  });

  it('has a host without brackets', () => {
    expect([hostOf('http://[fd00::1]:6650'), hostOf('http://a.b:1'), hostOf('nonsense')]).toEqual([
      'fd00::1',
      'a.b',
      undefined,
    ]);
  });
});

describe('a broker takes assignments', () => {
  const running: PodParts = { name: POD, container: NEVER_RESTARTED };

  function accepting(broker: Partial<BrokerParts>, pod: Partial<PodParts> = {}, others: readonly BrokerParts[] = []) {
    const parts: SnapshotParts = {
      pods: [{ ...running, ...pod }],
      brokers: [{ id: '1', pod: POD, registered: 100, reportedAt: 60, ...broker }, ...others],
    };
    return judgeBroker(buildSnapshot(parts), '1').accepting;
  }

  it.each<[string, Partial<BrokerParts>, Partial<PodParts>]>([
    ['its admin port has answered', { adminAnswered: true, reportSeenAt: 1000 }, {}],
    ['its report was seen two seconds ago', { reportSeenAt: 998 }, {}],
    ['its state says active', { mode: 'active' }, {}],
    ['it reported in the second of its start', { reportedAt: 50 }, {}],
    ['its reports are of 0.6 and give no time', { reportsTime: false }, {}],
    ['it has no Pod that we know', { url: 'http://broker.example.com:6650', remembered: {} }, {}],
    ['its Pod has no container status yet', {}, { container: undefined }],
    ['the status still shows the old container as ended, long before', {}, { container: { lastFinishedAt: 59 } }],
  ])('if %s', (_what, broker, pod) => {
    expect(accepting(broker, pod)).toBe(true);
  });

  it.each<[string, Partial<BrokerParts>, Partial<PodParts>]>([
    ['it has never reported', { reportedAt: false, adminAnswered: true }, {}],
    ['its report is older than its registration', { reportRevision: 100, adminAnswered: true }, {}],
    ['its report was seen less than two seconds ago', { reportSeenAt: 998.1 }, {}],
    ['nobody knows when its report was seen', { reportSeenAt: false }, {}],
    ['it is draining', { mode: 'draining', adminAnswered: true }, {}],
    ['it is drained', { mode: 'drained', adminAnswered: true }, {}],
    ['its state is one that we do not know', { mode: 'paused', adminAnswered: true }, {}],
    ['its Pod is being deleted', { adminAnswered: true }, { deleting: true }],
    ['its container has started after its last report', { adminAnswered: true }, { container: { runningSince: 61 } }],
    ['its container has ended', { adminAnswered: true }, { container: { lastFinishedAt: 60 } }],
    ['its Pod is gone', { adminAnswered: true, remembered: { podUID: 'x' } }, { name: 'danube-1' }],
    ['it is no longer registered', { registered: false, adminAnswered: true }, {}],
    [
      'its address is that of every machine: whoever answered at its admin port need not be it',
      { url: 'http://0.0.0.0:6650', adminAnswered: true, reportSeenAt: 999 },
      {},
    ],
  ])('not if %s', (_what, broker, pod) => {
    expect(accepting(broker, pod)).toBe(false);
  });

  it('not if another has registered at its address since', () => {
    expect(accepting({ adminAnswered: true }, {}, [{ id: '2', pod: POD, registered: 200 }])).toBe(false);
    expect(accepting({ adminAnswered: true }, {}, [{ id: '2', pod: POD, registered: 50 }])).toBe(true);
  });
});

describe('the broker in a Pod', () => {
  it('is the newest live one', () => {
    const snapshot = buildSnapshot({
      ...restartedIn({ restartCount: 1, runningSince: 100 }, {}, { registered: 300 }),
    });
    const brokers = judgeBrokers(snapshot);

    expect(brokersByPod(snapshot, brokers).get(POD)?.id).toBe('next');
    expect(brokersByPod(snapshot, brokers).get('danube-9')).toBeUndefined();
  });

  it('is none while only a dead one is registered', () => {
    const snapshot = buildSnapshot({
      pods: [{ name: POD, container: { lastFinishedAt: 100 } }],
      brokers: [{ id: '1', pod: POD, reportedAt: 90 }],
    });

    expect(brokersByPod(snapshot, judgeBrokers(snapshot)).get(POD)).toBeUndefined();
  });
});
