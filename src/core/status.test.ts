import { describe, expect, it } from 'vitest';
import { type BrokerLoadStatus, brokerLoadResource } from '../api/broker-load.ts';
import { brokerConditions, type Condition, type ConditionCatalogue, policyConditions } from '../api/conditions.ts';
import type { PlacementSpec } from '../api/rebalance.ts';
import { effectiveSpec, type RebalancePolicyStatus, rebalancePolicyResource } from '../api/rebalance-policy.ts';
import { decideAssignments } from './assignment.ts';
import { judgeBrokers } from './brokers.ts';
import { at, buildPolicy, buildSnapshot, type SnapshotParts } from './snapshot-builder.ts';
import {
  type AuthorityView,
  type BrokerView,
  brokerLoadStatus,
  countUnserved,
  type PolicyFacts,
  policyStatus,
  viewBrokers,
} from './status.ts';

const POD = 'danube-0';
const RUNNING = { name: POD, container: { runningSince: -10 } };
const FRESH = { seenAt: 995, cpuCores: 0.4204, cpuLimitCores: 2, memoryBytes: 327_155_712.4 };
const UNPROVEN = { identity: { state: 'unproven', reason: 'its pid is in no cgroup' } } as const;

function conditionIn(status: { readonly conditions?: readonly Condition[] }, type: string): Condition | undefined {
  return status.conditions?.find((condition) => condition.type === type);
}

/** `True Reconciled`, undefined if absent. */
function stateOf(status: { readonly conditions?: readonly Condition[] }, type: string): string | undefined {
  const condition = conditionIn(status, type);
  return condition && `${condition.status} ${condition.reason}`;
}

/** Every condition is one of the catalogue, with a reason that goes with its status and a sentence. */
function expectCatalogued(conditions: readonly Condition[] | undefined, catalogue: ConditionCatalogue): void {
  for (const { type, status, reason, message } of conditions ?? []) {
    expect(catalogue[type]?.reasons[reason]?.status, `${type} ${status} ${reason}`).toBe(status);
    expect(message, `${type} ${reason}`).not.toMatch(/undefined|null|NaN|^$/);
  }
  const always = Object.entries(catalogue).filter(([, { absentUnlessTrue }]) => absentUnlessTrue !== true);
  expect(conditions?.map(({ type }) => type)).toEqual(expect.arrayContaining(always.map(([type]) => type)));
}

describe('the status of a broker', () => {
  function viewsOf(parts: SnapshotParts): readonly BrokerView[] {
    const snapshot = buildSnapshot(parts);
    return viewBrokers(snapshot, judgeBrokers(snapshot), { algorithm: 'DanubeFair' });
  }

  function statusOf(parts: SnapshotParts, previous?: BrokerLoadStatus): BrokerLoadStatus {
    const [view] = viewsOf(parts);
    if (view === undefined) throw new Error('no broker to look at');
    return checked(brokerLoadStatus(buildSnapshot(parts), view, previous, 3));
  }

  function checked(status: BrokerLoadStatus): BrokerLoadStatus {
    expect(brokerLoadResource.schema.shape.status.parse(status)).toEqual(status);
    expectCatalogued(status.conditions, brokerConditions);
    return status;
  }

  const serving: SnapshotParts = {
    pods: [RUNNING],
    brokers: [
      {
        id: '18446744073709551615',
        pod: POD,
        load: { messagesPerSecond: 1000, bytesPerSecond: 1_234_567, connections: 12 },
      },
    ],
    agents: { [POD]: { ...FRESH, memoryLimitBytes: 1024 ** 3 } },
    topics: [{ name: '/default/a', owners: ['18446744073709551615'] }],
  };

  it('says all that is known of one that serves', () => {
    expect(statusOf(serving)).toEqual({
      observedGeneration: 3,
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'Serving',
          message: 'takes topics',
          observedGeneration: 3,
          lastTransitionTime: new Date(at(1000)).toISOString().replace('.000Z', 'Z'),
        },
        expect.objectContaining({ type: 'MetricsUsable', status: 'True', reason: 'Fresh' }),
      ],
      podUID: 'uid-of-danube-0',
      brokerID: '18446744073709551615',
      brokerURL: 'http://danube-0.danube.messaging.svc.cluster.local:6650',
      state: 'Active',
      usage: {
        cpuCores: 0.42,
        cpuThrottledPercent: 10,
        memoryBytes: 327_155_712,
        diskReadBytesPerSecond: 0,
        diskWriteBytesPerSecond: 4096,
        networkReceivedBytesPerSecond: 1500,
        networkSentBytesPerSecond: 3000,
        openFiles: 31,
        sources: { cpu: 'cgroup-v2', memory: 'cgroup-v2', disk: 'cgroup-v2', network: 'proc', openFiles: 'proc' },
        observedAt: new Date(at(995)).toISOString(),
      },
      pressure: { cpuPercent: 2, memoryPercent: 0 },
      capacity: { cpuCores: 2, memoryBytes: 1_073_741_824, openFiles: 1_048_576 },
      rates: { messagesInPerSecond: 1000, bytesInPerSecond: 1_234_567 },
      connections: 12,
      topics: 1,
      score: 1,
      rank: 1,
      display: { cpu: '0.42/2', memory: '312Mi/1Gi', in: '1.23MB/s', out: '0.00MB/s' },
    });
  });

  it.each<[string, SnapshotParts, string | undefined, string]>([
    ['serves', serving, 'Active', 'True Serving'],
    ['has no broker yet', { pods: [RUNNING] }, undefined, 'False NotRegistered'],
    [
      'has not reported',
      { pods: [RUNNING], brokers: [{ id: '1', pod: POD, reportedAt: false }] },
      'Active',
      'False NotAccepting',
    ],
    [
      'drains',
      { pods: [RUNNING], brokers: [{ id: '1', pod: POD, mode: 'draining' }] },
      'Draining',
      'False NotAccepting',
    ],
    [
      'is drained',
      { pods: [RUNNING], brokers: [{ id: '1', pod: POD, mode: 'drained' }] },
      'Drained',
      'False NotAccepting',
    ],
    [
      'is in a Pod that is being deleted',
      { pods: [{ ...RUNNING, deleting: true }], brokers: [{ id: '1', pod: POD }] },
      'Active',
      'False NotAccepting',
    ],
    ['has no Pod', { brokers: [{ id: '1' }] }, 'Active', 'True Serving'],
  ])('of a Pod whose broker %s', (_what, parts, state, ready) => {
    const status = statusOf(parts);

    expect(status.state).toBe(state);
    expect(stateOf(status, 'Ready')).toBe(ready);
  });

  it.each<[string, SnapshotParts['agents'], string]>([
    ['fresh figures', { [POD]: FRESH }, 'True Fresh'],
    ['figures half a minute old', { [POD]: { ...FRESH, seenAt: 969.9 } }, 'False Stale'],
    ['no agent', {}, 'False NoAgent'],
    [
      'an agent that does not find the broker',
      { [POD]: { ...FRESH, sample: { broker: null, reason: 'x' } } },
      'False BrokerNotFound',
    ],
    ['figures that may be another container’s', { [POD]: { ...FRESH, sample: UNPROVEN } }, 'False WrongCgroup'],
    ['more CPU than there is', { [POD]: { ...FRESH, cpuCores: 3 } }, 'False Implausible'],
  ])('says of its figures, with %s', (_what, agents, expected) => {
    const status = statusOf({ ...serving, agents: agents ?? {} });

    expect(stateOf(status, 'MetricsUsable')).toBe(expected);
  });

  it('shows no figures that are not the broker’s own', () => {
    const status = statusOf({ ...serving, agents: { [POD]: { ...FRESH, sample: UNPROVEN } } });

    expect(status).not.toHaveProperty('usage');
    expect(status).not.toHaveProperty('capacity');
  });

  describe('after the broker is gone', () => {
    const previous = statusOf(serving);
    const topics = serving.topics ?? [];

    it('keeps its id and the Pod that ran it, so that the next leader can judge its death', () => {
      const status = statusOf({ pods: [{ ...RUNNING, uid: 'new' }], topics }, previous);

      expect(status).toMatchObject({
        state: 'Lost',
        brokerID: '18446744073709551615',
        brokerURL: previous.brokerURL,
        podUID: 'uid-of-danube-0',
        topics: 1,
      });
      expect(stateOf(status, 'Ready')).toBe('False Lost');
      expect(status).not.toHaveProperty('rank');
    });

    it('keeps them, too, while nothing is left but the BrokerLoad', () => {
      const view: BrokerView = { name: POD, pod: undefined, broker: undefined, rank: undefined };

      const status = checked(brokerLoadStatus(buildSnapshot({ topics }), view, previous, 3));

      expect(status).toMatchObject({ state: 'Lost', podUID: 'uid-of-danube-0', brokerID: '18446744073709551615' });
      expect(stateOf(status, 'MetricsUsable')).toBe('False NoAgent');
    });

    it('names the Pod of the next process together with its id', () => {
      const parts = { pods: [{ ...RUNNING, uid: 'new' }], brokers: [{ id: '2', pod: POD }] };

      expect(statusOf(parts, previous)).toMatchObject({ state: 'Active', podUID: 'new', brokerID: '2' });
    });

    it('does not say that a new Pod of the name ran a broker of the old one', () => {
      const [broker] = serving.brokers ?? [];
      if (broker === undefined) throw new Error('the example has a broker');
      const parts = {
        pods: [{ ...RUNNING, uid: 'new' }],
        brokers: [{ ...broker, remembered: { podUID: 'uid-of-danube-0' } }],
      };

      expect(statusOf(parts, previous)).toMatchObject({ podUID: 'uid-of-danube-0', brokerID: broker.id });
    });
  });

  it('keeps the time of a condition while its status stays, and moves it when it changes', () => {
    const before = statusOf(serving);
    const later = statusOf({ ...serving, now: 1010, agents: {} }, before);

    expect(conditionIn(later, 'Ready')?.lastTransitionTime).toBe(conditionIn(before, 'Ready')?.lastTransitionTime);
    expect(conditionIn(later, 'MetricsUsable')?.lastTransitionTime).not.toBe(
      conditionIn(before, 'MetricsUsable')?.lastTransitionTime,
    );
  });

  it('one view for each Pod and each broker without one, by name', () => {
    const views = viewsOf({
      pods: [{ name: 'danube-1' }, RUNNING],
      brokers: [{ id: '7' }, { id: '1', pod: POD }, { id: '8', registered: false, remembered: false }],
    });

    expect(views.map(({ name, broker }) => [name, broker?.id])).toEqual([
      ['broker-7', '7'],
      [POD, '1'],
      ['danube-1', undefined],
    ]);
  });

  it('ranks only brokers that take topics: the first is the one that gets the next', () => {
    const views = viewsOf({
      brokers: [{ id: '1', mode: 'draining' }, { id: '2' }, { id: '3' }],
      topics: [{ name: '/default/a', owners: ['2'] }],
    });

    expect(views.map(({ broker, rank }) => [broker?.id, rank?.rank])).toEqual([
      ['1', undefined],
      ['2', 2],
      ['3', 1],
    ]);
  });
});

describe('the status of a policy', () => {
  const spec = effectiveSpec({
    brokerSelector: { matchLabels: { app: 'danube' } },
    etcd: { endpoints: ['http://etcd.messaging.svc:2379'] },
    mode: 'Approve',
  });
  const held: AuthorityView = { state: 'Held', message: 'holds the key', epoch: 4, clusterUID: 'c' };
  const healthy: SnapshotParts = {
    pods: [RUNNING],
    brokers: [{ id: '1', pod: POD }],
    agents: { [POD]: FRESH },
    topics: [
      { name: '/default/a', owners: ['1'] },
      { name: '/default/b', owners: ['1'], delivery: 'NonReliable' },
    ],
  };

  function clusterOf(parts: SnapshotParts, placement?: PlacementSpec): NonNullable<PolicyFacts['cluster']> {
    const snapshot = buildSnapshot(parts);
    const brokers = judgeBrokers(snapshot);
    const policy = buildPolicy(placement === undefined ? {} : { placement });
    const decisions = decideAssignments(snapshot, brokers, policy);
    return {
      snapshot,
      brokers,
      views: viewBrokers(snapshot, brokers, { algorithm: 'DanubeFair' }),
      waits: decisions.filter((decision) => decision.kind === 'Wait'),
    };
  }

  function factsOf(change: Partial<PolicyFacts> = {}): PolicyFacts {
    return {
      generation: 5,
      now: at(1000),
      specProblems: [],
      effective: spec,
      etcdError: undefined,
      authority: held,
      operator: 'operator-0',
      cluster: clusterOf(healthy),
      ...change,
    };
  }

  function statusOf(change: Partial<PolicyFacts> = {}, previous?: RebalancePolicyStatus): RebalancePolicyStatus {
    const status = policyStatus(factsOf(change), previous);
    expect(rebalancePolicyResource.schema.shape.status.parse(status)).toEqual(status);
    expectCatalogued(status.conditions, policyConditions);
    return status;
  }

  it('counts brokers and topics and says what is in force', () => {
    expect(statusOf()).toMatchObject({
      observedGeneration: 5,
      operator: 'operator-0',
      clusterUID: 'c',
      fencingEpoch: 4,
      brokers: { total: 1, live: 1 },
      topics: { total: 2, unserved: 0, reliable: 1 },
      effective: {
        etcd: { storageRootPrefixes: ['/danube-data'] },
        ranking: { algorithm: 'DanubeBalanced' },
        failover: { samePodWaitSeconds: 60, resumeOffsets: true, offsetMargin: 1_000_000 },
      },
    });
  });

  const situations: readonly [string, Partial<PolicyFacts>, Readonly<Record<string, string | undefined>>][] = [
    [
      'all is well',
      {},
      { Ready: 'True Reconciled', TopicsServed: 'True AllServed', MetricsUsable: 'True Fresh', Leading: 'True Held' },
    ],
    [
      'it has just been made',
      { cluster: undefined, authority: { state: 'Connecting', message: 'not yet' } },
      {
        Ready: 'False Starting',
        Reconciling: 'True Starting',
        TopicsServed: 'Unknown EtcdUnreachable',
        MetricsUsable: 'Unknown NoBrokers',
        Leading: 'Unknown Connecting',
      },
    ],
    [
      'its spec cannot be acted on',
      { specProblems: ['spec.etcd: no', 'spec.mode: no'], cluster: undefined, effective: undefined },
      { Ready: 'False InvalidSpec', Stalled: 'True InvalidSpec' },
    ],
    [
      'the etcd belongs to another policy',
      { authority: { state: 'PolicyConflict', message: 'other' } },
      { Ready: 'False PolicyConflict', Stalled: 'True PolicyConflict' },
    ],
    [
      'another program leads the brokers',
      { authority: { state: 'ForeignOperator', message: 'other' } },
      { Ready: 'False ForeignOperator', Stalled: 'True ForeignOperator' },
    ],
    [
      'etcd does not answer',
      { etcdError: 'no answer' },
      { Ready: 'False EtcdUnreachable', Reconciling: 'True EtcdUnreachable', TopicsServed: 'Unknown EtcdUnreachable' },
    ],
    [
      'the leader key was just taken from a broker',
      { authority: { ...held, quietUntil: at(1001) } },
      { Ready: 'True Reconciled', Reconciling: 'True QuietPeriod' },
    ],
    [
      'there is no broker',
      { cluster: clusterOf({}) },
      { Ready: 'False NoBrokers', MetricsUsable: 'Unknown NoBrokers' },
    ],
    [
      'a topic has no owner',
      { cluster: clusterOf({ ...healthy, topics: [{ name: '/default/a', delivery: undefined, marker: {} }] }) },
      { Ready: 'True Reconciled', TopicsServed: 'False Unserved' },
    ],
    ['no agent answers', { cluster: clusterOf({ ...healthy, agents: {} }) }, { MetricsUsable: 'False NoAgent' }],
    [
      'figures are old',
      { cluster: clusterOf({ ...healthy, agents: { [POD]: { ...FRESH, seenAt: 900 } } }) },
      { MetricsUsable: 'False Unusable' },
    ],
    ['it only observes', { authority: { state: 'NotWanted', message: 'no' } }, { Leading: 'False NotWanted' }],
    ['a broker leads', { authority: { state: 'HeldByBroker', message: 'no' } }, { Leading: 'False HeldByBroker' }],
    ['another replica leads', { authority: { state: 'Fenced', message: 'no' } }, { Leading: 'False Fenced' }],
  ];

  it.each(situations)('when %s', (_what, change, expected) => {
    const status = statusOf(change);

    for (const [type, state] of Object.entries(expected)) expect(stateOf(status, type), type).toBe(state);
    for (const type of ['Reconciling', 'Stalled']) expect(stateOf(status, type), type).toBe(expected[type]);
  });

  it('never says that it is on its way and stuck at once, whatever it said before', () => {
    for (const [, before] of situations) {
      for (const [what, after] of situations) {
        const status = statusOf(after, statusOf(before));

        const reported = ['Reconciling', 'Stalled'].filter((type) => conditionIn(status, type) !== undefined);
        expect(reported.length, what).toBeLessThan(2);
        expect(reported, what).toEqual(['Reconciling', 'Stalled'].filter((type) => stateOf(statusOf(after), type)));
      }
    }
  });

  it('keeps the time of a transition until the status changes', () => {
    const before = statusOf();
    const later = statusOf({ now: at(2000), authority: { state: 'Fenced', message: 'no' } }, before);

    expect(conditionIn(later, 'Ready')?.lastTransitionTime).toBe(conditionIn(before, 'Ready')?.lastTransitionTime);
    expect(conditionIn(later, 'Leading')?.lastTransitionTime).not.toBe(
      conditionIn(before, 'Leading')?.lastTransitionTime,
    );
  });

  it('names both mistakes of a spec', () => {
    const { conditions } = statusOf({ specProblems: ['spec.a: one', 'spec.b: two'], cluster: undefined });

    expect(conditionIn({ conditions: conditions ?? [] }, 'Stalled')?.message).toBe('spec.a: one; spec.b: two');
  });

  it('says how many topics wait for what, with an example of each', () => {
    const cluster = clusterOf({
      ...healthy,
      topics: [
        { name: '/default/a', delivery: undefined, marker: {} },
        { name: '/default/b', delivery: undefined, marker: {} },
        { name: '/default/c', marker: { kind: 'unload', fromBroker: '1' } },
      ],
    });

    const message = conditionIn(statusOf({ cluster }), 'TopicsServed')?.message;

    expect(message).toContain('3 topics have no live owner');
    expect(message).toContain('2 DeliveryMissing, for example /default/a');
    expect(message).toContain('1 NotSealed, for example /default/c');
  });

  it('says of every rule that leaves topics without a broker how many, and what to do', () => {
    const rule = (name: string) => ({
      name,
      topicPatterns: [`/${name}/*`],
      brokerSelector: { matchLabels: { tier: name } },
    });
    const topics = ['/fast/a', '/fast/b', '/slow/c'].map((name) => ({ name, marker: {} }));
    const placement = { rules: [rule('fast'), rule('slow')] };
    const cluster = clusterOf({ ...healthy, topics }, placement);

    const message = conditionIn(statusOf({ cluster }), 'TopicsServed')?.message;

    expect(message).toContain(
      '2 NoBrokerAllowed, for example /fast/a: rule fast needs a broker with the label tier=fast',
    );
    expect(message).toContain(
      '1 NoBrokerAllowed, for example /slow/c: rule slow needs a broker with the label tier=slow',
    );
  });

  it('names the storage root of the spec rather than those that were found', () => {
    const effective = { ...spec, etcd: { ...spec.etcd, storageRootPrefix: '/mine' } };

    expect(statusOf({ effective }).effective?.etcd.storageRootPrefixes).toEqual(['/mine']);
  });
});

describe('topics without a live owner', () => {
  function unservedIn(parts: SnapshotParts): number {
    const snapshot = buildSnapshot(parts);
    return countUnserved(snapshot, judgeBrokers(snapshot));
  }
  const gone = { registered: false, remembered: false } as const;

  it('are those without any, and those of brokers that do not live', () => {
    expect(
      unservedIn({
        brokers: [{ id: '1' }, { id: '2', ...gone }],
        topics: [
          { name: '/default/none' },
          { name: '/default/live', owners: ['1'] },
          { name: '/default/gone', owners: ['2'] },
        ],
      }),
    ).toBe(2);
  });

  it('count once each, and not at all if one of several owners lives', () => {
    expect(
      unservedIn({
        brokers: [{ id: '1' }, { id: '2', ...gone }, { id: '3', ...gone }],
        topics: [
          { name: '/default/two-gone', owners: ['2', '3'] },
          { name: '/default/one-lives', owners: ['1', '2'] },
        ],
      }),
    ).toBe(1);
  });
});
