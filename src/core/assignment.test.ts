import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PlacementSpec } from '../api/rebalance.ts';
import { type Assign, type Decision, decideAssignments, ORPHAN_AFTER_MS, type Wait } from './assignment.ts';
import { judgeBrokers } from './brokers.ts';
import {
  at,
  type BrokerParts,
  buildPolicy,
  buildSnapshot,
  NAMESPACE,
  type PodParts,
  type PolicyParts,
  type SnapshotParts,
  type TopicParts,
} from './snapshot-builder.ts';

const T = '/default/t';
const A: BrokerParts = { id: 'a', registered: 100 };
const B: BrokerParts = { id: 'b', registered: 110 };
const C: BrokerParts = { id: 'c', registered: 120 };

function decide(parts: SnapshotParts, policy?: PolicyParts): readonly Decision[] {
  const snapshot = buildSnapshot(parts);
  return decideAssignments(snapshot, judgeBrokers(snapshot), buildPolicy(policy));
}

function decideOne(parts: SnapshotParts, policy?: PolicyParts): Decision {
  const decisions = decide(parts, policy);
  expect(decisions).toHaveLength(1);
  const [decision] = decisions;
  if (decision === undefined) throw new Error('no decision');
  return decision;
}

/** `→ broker (reason)` or `waits (reason)`. */
function inShort(decision: Decision): string {
  return decision.kind === 'Assign' ? `→ ${decision.to} (${decision.reason})` : `waits (${decision.reason})`;
}

describe('a new topic', () => {
  const topic: TopicParts = { name: T, marker: { kind: 'new', modRevision: 600 } };

  it('goes to the least loaded broker, and the decision says what it rests on', () => {
    const decision = decideOne({
      brokers: [A, { ...B, mode: 'active' }],
      topics: [
        { ...topic, delivery: 'NonReliable' },
        { name: '/default/other', owners: ['a'] },
      ],
    });

    expect(decision).toEqual({
      kind: 'Assign',
      topic: T,
      to: 'b',
      target: { createRevision: 110, stateRevision: 1001 },
      reason: 'NewTopic',
      reliable: false,
      marker: { modRevision: 600 },
      seed: 'never',
      isFirst: false,
      lastOwner: undefined,
    } satisfies Assign);
  });

  it('that is reliable is asked for a past: brokers write the same marker after a crash', () => {
    expect(decideOne({ brokers: [A], topics: [topic] })).toMatchObject({ seed: 'ifHistory', lastOwner: undefined });
  });

  it('that was created after its marker has no past: nothing need be read while its client waits', () => {
    expect(decideOne({ brokers: [A], topics: [{ ...topic, createdAt: 601 }] })).toMatchObject({
      seed: 'never',
      isFirst: true,
    });
  });

  it('is served before it is listed: the marker is written first', () => {
    expect(inShort(decideOne({ brokers: [A], topics: [{ ...topic, exists: false }] }))).toBe('→ a (NewTopic)');
  });

  it('waits for its delivery: no broker would load it', () => {
    const decision = decideOne({ brokers: [A], topics: [{ ...topic, delivery: undefined }] });

    expect(inShort(decision)).toBe('waits (DeliveryMissing)');
    expect((decision as Wait).message).toContain('/topics/default/t/delivery');
  });

  it('waits while no broker takes topics, and says what to do', () => {
    const decision = decideOne({
      brokers: [
        { ...A, mode: 'draining' },
        { ...B, reportedAt: false },
      ],
      topics: [topic],
    });

    expect(inShort(decision)).toBe('waits (NoBroker)');
    expect((decision as Wait).message).toContain('start one');
  });

  it('with a marker that nobody can read is served if no data is at stake, and else left alone: it may be an unload', () => {
    const topic = { name: T, marker: { kind: 'unknown' } } as const;

    expect(inShort(decideOne({ brokers: [A], topics: [{ ...topic, delivery: 'NonReliable' }] }))).toBe(
      '→ a (NewTopic)',
    );
    expect(decideOne({ brokers: [A], topics: [topic] })).toMatchObject({
      reason: 'MarkerUnreadable',
      message: expect.stringContaining('put null there'),
    });
  });
});

describe('a burst of new topics', () => {
  it.each(['DanubeFair', 'DanubeBalanced', 'DanubeWeightedLoad'] as const)(
    'spreads over equal brokers (%s)',
    (algorithm) => {
      const topics = Array.from({ length: 30 }, (_, index) => ({ name: `/default/t${index}`, marker: {} }));

      const decisions = decide({ brokers: [A, B, C], topics }, { algorithm });

      const counts = Map.groupBy(decisions, (decision) => (decision as Assign).to);
      expect([...counts.values()].map((list) => list.length)).toEqual([10, 10, 10]);
    },
  );

  it('is served before failovers: its clients give up first', () => {
    const decisions = decide({
      brokers: [A, { ...B, registered: false, remembered: false }],
      topics: [
        { name: '/default/failed', owners: ['b'], delivery: 'NonReliable' },
        { name: '/default/new', marker: {} },
      ],
    });

    expect(decisions.map(({ topic }) => topic)).toEqual(['/default/new', '/default/failed']);
  });
});

describe('a topic with neither owner nor marker', () => {
  const now = 1000;

  it('is left alone for a moment: it may be half deleted', () => {
    const unownedSince = now - ORPHAN_AFTER_MS / 1000 + 0.1;

    expect(inShort(decideOne({ now, brokers: [A], topics: [{ name: T, unownedSince }] }))).toBe('waits (BeingDeleted)');
  });

  it('is an orphan after that', () => {
    const unownedSince = now - ORPHAN_AFTER_MS / 1000;

    const decision = decideOne({ now, brokers: [A], topics: [{ name: T, unownedSince }] });

    expect(decision).toMatchObject({ kind: 'Assign', to: 'a', reason: 'Orphan', seed: 'ifHistory' });
    expect(decision).not.toHaveProperty('marker');
  });

  it('waits if no broker takes topics', () => {
    expect(inShort(decideOne({ now, topics: [{ name: T, unownedSince: 0 }] }))).toBe('waits (NoBroker)');
  });
});

describe('a reliable topic that other brokers have had', () => {
  it.each<[string, Partial<TopicParts>]>([
    ['after a failover by the brokers', { marker: { kind: 'new', modRevision: 600 } }],
    ['without a marker', { unownedSince: 1 }],
    [
      'after its seal',
      { marker: { kind: 'unload', fromBroker: 'c', modRevision: 600 }, sealed: { broker: 'c', revision: 700 } },
    ],
  ])('never goes back to one of them, %s: it would reuse its old log', (_when, parts) => {
    const decision = decideOne({ brokers: [A, B, C], topics: [{ name: T, formerHosts: ['a', 'c'], ...parts }] });

    expect(inShort(decision)).toMatch(/^→ b /);
  });

  it('waits if there is no other', () => {
    const topic = { name: T, formerHosts: ['a', 'b'], marker: { kind: 'new', modRevision: 600 } } as const;

    expect(inShort(decideOne({ brokers: [A, B], topics: [topic] }))).toBe('waits (NoBroker)');
  });
});

describe('a topic that a broker unloads', () => {
  const marker = { kind: 'unload', fromBroker: 'a', modRevision: 600 } as const;

  it('that is not reliable goes elsewhere at once', () => {
    const decision = decideOne({ brokers: [A, B], topics: [{ name: T, delivery: 'NonReliable', marker }] });

    expect(decision).toMatchObject({ to: 'b', reason: 'Unloaded', seed: 'never', marker: { modRevision: 600 } });
  });

  it.each<[string, TopicParts['sealed']]>([
    ['it is not sealed', undefined],
    ['the seal is older than the marker', { broker: 'a', revision: 599 }],
    ['the seal is of another broker', { broker: 'b', revision: 601 }],
    ['its state says that it is not sealed', { broker: 'a', revision: 601, sealed: false }],
  ])('that is reliable waits while %s', (_what, sealed) => {
    const topic = { name: T, marker, ...(sealed !== undefined && { sealed }) };

    expect(inShort(decideOne({ brokers: [A, B], topics: [topic] }))).toBe('waits (NotSealed)');
  });

  it('that is sealed goes elsewhere, to be carried on from the seal', () => {
    const sealed = { broker: 'a', revision: 601 };

    expect(decideOne({ brokers: [A, B], topics: [{ name: T, marker, sealed }] })).toMatchObject({
      to: 'b',
      reason: 'Unloaded',
      seed: 'never',
      isFirst: false,
      lastOwner: 'a',
    });
  });

  it.each(['Reliable', 'NonReliable'] as const)(
    'never goes back to its source, not even if that is the only one (%s)',
    (delivery) => {
      const sealed = { broker: 'a', revision: 601 };

      const decision = decideOne({ brokers: [A], topics: [{ name: T, delivery, marker, sealed }] });

      expect(inShort(decision)).toBe('waits (NoBroker)');
      expect((decision as Wait).message).toContain('no broker but a');
    },
  );

  describe('and that then dies unsealed', () => {
    const dead: BrokerParts = { id: 'a', pod: 'danube-0', registered: false, reportedAt: 90, deadSince: 990 };
    const topics = [{ name: T, marker }];
    const restarted: PodParts = { name: 'danube-0', container: { restartCount: 1, runningSince: 95 } };

    it('waits for the next process of its Pod: the end of the log is on that disk', () => {
      expect(inShort(decideOne({ now: 1000, brokers: [dead, B], pods: [restarted], topics }))).toBe(
        'waits (AwaitingSamePod)',
      );
    });

    it('goes to the next process of its Pod', () => {
      const next = { id: 'next', pod: 'danube-0', registered: 300, reportedAt: 96 };

      expect(decideOne({ now: 1000, brokers: [dead, B, next], pods: [restarted], topics })).toMatchObject({
        to: 'next',
        seed: 'always',
        lastOwner: 'a',
        marker: { modRevision: 600 },
      });
    });

    it('goes elsewhere after the wait', () => {
      expect(decideOne({ now: 1051, brokers: [dead, B], pods: [restarted], topics })).toMatchObject({
        to: 'b',
        seed: 'always',
      });
    });

    it('goes elsewhere at once if its Pod is gone with its disk', () => {
      const lost = { ...dead, remembered: { podName: 'danube-0', podUID: 'gone' } };

      expect(decideOne({ now: 1000, brokers: [lost, B], topics })).toMatchObject({ to: 'b', seed: 'always' });
    });
  });

  it('waits while its source may still run', () => {
    const zombie: BrokerParts = { id: 'a', pod: 'danube-0', registered: false, reportedAt: 90 };
    const pods = [{ name: 'danube-0', container: { runningSince: 50 } }];

    expect(inShort(decideOne({ brokers: [zombie, B], pods, topics: [{ name: T, marker }] }))).toBe('waits (NotSealed)');
  });
});

describe('a topic that a draining broker has handed back', () => {
  it('goes to another broker', () => {
    const marker = { kind: 'drain_redirect', fromBroker: 'a' } as const;

    expect(decideOne({ brokers: [A, B], topics: [{ name: T, marker }] })).toMatchObject({
      to: 'b',
      reason: 'Redirected',
      seed: 'ifHistory',
      lastOwner: 'a',
    });
  });
});

describe('a topic that a broker moves for balance', () => {
  const marker = { kind: 'rebalance', fromBroker: 'a', toBroker: 'c', modRevision: 600 } as const;

  it('goes where the marker says; its storage is gone, so nothing is carried on', () => {
    expect(decideOne({ brokers: [A, B, C], topics: [{ name: T, marker }] })).toMatchObject({
      to: 'c',
      reason: 'Rebalance',
      seed: 'never',
    });
  });

  it.each<[string, readonly BrokerParts[], Partial<NonNullable<TopicParts['marker']>>]>([
    ['that broker drains', [A, B, { ...C, mode: 'draining' }], {}],
    ['that broker is not there', [A, B], {}],
    ['the marker names none', [A, B], { toBroker: undefined as never }],
    ['the marker names the source', [A, B], { toBroker: 'a' }],
  ])('goes to the least loaded other broker if %s', (_what, brokers, change) => {
    expect(decideOne({ brokers, topics: [{ name: T, marker: { ...marker, ...change } }] })).toMatchObject({ to: 'b' });
  });
});

describe('topics of a live broker', () => {
  it('are nobody else’s business', () => {
    const marker = { kind: 'unload', fromBroker: 'a' } as const;

    expect(decide({ brokers: [A, B], topics: [{ name: T, owners: ['a'], marker }] })).toEqual([]);
    expect(decide({ brokers: [{ ...A, mode: 'drained' }, B], topics: [{ name: T, owners: ['a'] }] })).toEqual([]);
  });
});

describe('topics of a broker that is proved dead', () => {
  const dead: BrokerParts = { id: 'dead', pod: 'danube-0', registered: false, reportedAt: 90, deadSince: 1000 };
  const restarted: PodParts = { name: 'danube-0', container: { restartCount: 1, runningSince: 95 } };
  const next: BrokerParts = { id: 'next', pod: 'danube-0', registered: 300, reportedAt: 96 };

  it('that are not reliable go elsewhere at once', () => {
    const topics = [{ name: T, owners: ['dead'], assignedAt: 555, delivery: 'NonReliable' as const }];

    expect(decideOne({ brokers: [dead, B], pods: [restarted], topics })).toEqual({
      kind: 'Assign',
      topic: T,
      to: 'b',
      target: { createRevision: 110, stateRevision: 0 },
      reason: 'Failover',
      reliable: false,
      release: { broker: 'dead', modRevision: 555, proof: 'LeaseExpired' },
      seed: 'never',
      isFirst: false,
      lastOwner: 'dead',
    } satisfies Assign);
  });

  it('wait for a delivery that is missing', () => {
    const topics = [{ name: T, owners: ['dead'], delivery: undefined }];

    expect(inShort(decideOne({ brokers: [dead, B], pods: [restarted], topics }))).toBe('waits (DeliveryMissing)');
  });

  const reliable = [{ name: T, owners: ['dead'] }];

  it('that are reliable wait for the next process of the same Pod', () => {
    const decision = decideOne({ now: 1059, brokers: [dead, B], pods: [restarted], topics: reliable });

    expect(inShort(decision)).toBe('waits (AwaitingSamePod)');
    expect((decision as Wait).message).toContain('Pod danube-0');
  });

  it('go to it as soon as it takes topics, with their offsets carried on', () => {
    const brokers = [dead, B, next];

    expect(decideOne({ brokers, pods: [restarted], topics: reliable })).toMatchObject({
      to: 'next',
      reason: 'Failover',
      seed: 'always',
      lastOwner: 'dead',
    });
    expect(decideOne({ brokers, pods: [restarted], topics: reliable }, { resumeOffsets: false })).toMatchObject({
      seed: 'never',
    });
  });

  it('wait for it while it is there and does not take topics yet', () => {
    const brokers = [dead, B, { ...next, reportSeenAt: 999.5 }];

    expect(inShort(decideOne({ brokers, pods: [restarted], topics: reliable }))).toBe('waits (AwaitingSamePod)');
  });

  it('go elsewhere when the wait is over', () => {
    const parts = { now: 1060, brokers: [dead, B], pods: [restarted], topics: reliable };

    expect(inShort(decideOne(parts))).toBe('→ b (Failover)');
    expect(inShort(decideOne({ ...parts, now: 1000 }, { samePodWaitSeconds: 0 }))).toBe('→ b (Failover)');
  });

  it.each<[string, Partial<PodParts>, boolean, string]>([
    ['a Pod of that name under another uid, own disk', { uid: 'new' }, false, '→ b (Failover)'],
    ['a Pod of that name under another uid, persistent volume', { uid: 'new' }, true, 'waits (AwaitingSamePod)'],
    ['the same Pod, which is being deleted, own disk', { deleting: true }, false, '→ b (Failover)'],
    ['the same Pod, which is being deleted, persistent volume', { deleting: true }, true, 'waits (AwaitingSamePod)'],
    ['no Pod, own disk', { name: 'another' }, false, '→ b (Failover)'],
    ['no Pod, persistent volume', { name: 'another' }, true, 'waits (AwaitingSamePod)'],
  ])('that are reliable, with %s: %s', (_what, change, persistentVolume, expected) => {
    const broker = { ...dead, remembered: { podName: 'danube-0', podUID: 'uid-of-danube-0', persistentVolume } };

    expect(inShort(decideOne({ brokers: [broker, B], pods: [{ ...restarted, ...change }], topics: reliable }))).toBe(
      expected,
    );
  });

  it('go to the Pod that came back under a new uid with its persistent volume', () => {
    const remembered = { podName: 'danube-0', podUID: 'old', persistentVolume: true };
    const pods = [{ name: 'danube-0', uid: 'new', container: { runningSince: 95 } }];

    expect(inShort(decideOne({ brokers: [{ ...dead, remembered }, B, next], pods, topics: reliable }))).toBe(
      '→ next (Failover)',
    );
  });

  it('take their marker with them: the dead broker will not ask for it', () => {
    const topics = [
      { name: T, owners: ['dead'], marker: { kind: 'unload', fromBroker: 'dead', modRevision: 700 } as const },
    ];

    expect(decideOne({ brokers: [dead, B, next], pods: [restarted], topics })).toMatchObject({
      to: 'next',
      reason: 'Failover',
      marker: { modRevision: 700 },
      seed: 'always',
    });
  });

  it('wait if nobody takes topics', () => {
    const topics = [{ name: T, owners: ['dead'], delivery: 'NonReliable' as const }];

    expect(inShort(decideOne({ brokers: [dead], pods: [restarted], topics }))).toBe('waits (NoBroker)');
  });

  it('that another dead broker owns, too, get one decision, on the later assignment', () => {
    const snapshot = buildSnapshot({
      brokers: [{ ...dead, remembered: false }, { id: 'dead2', registered: false, remembered: false }, B],
      topics: [{ name: T, owners: ['dead', 'dead2'], delivery: 'NonReliable' }],
    });
    const owners = new Map([[T, new Map(Object.entries({ dead: 500, dead2: 510 }))]]);
    const both = { ...snapshot, metadata: { ...snapshot.metadata, owners } };

    const decisions = decideAssignments(both, judgeBrokers(both), buildPolicy());

    expect(decisions).toHaveLength(1);
    expect(decisions[0]).toMatchObject({ release: { broker: 'dead2', modRevision: 510 } });
  });

  it('that a live broker owns, too, stay with that one', () => {
    const topics = [{ name: T, owners: ['dead', 'b'] }];

    const decision = decideOne({ brokers: [dead, B], pods: [restarted], topics });

    expect(inShort(decision)).toBe('waits (SecondOwner)');
    expect((decision as Wait).message).toContain('served by broker b and also assigned to dead');
  });

  it('that a zombie owns, too, are not free', () => {
    const zombie: BrokerParts = { id: 'zombie', pod: 'danube-1', registered: false, reportedAt: 90 };
    const pods = [restarted, { name: 'danube-1', container: { runningSince: 50 } }];

    expect(
      inShort(decideOne({ brokers: [dead, zombie, B], pods, topics: [{ name: T, owners: ['dead', 'zombie'] }] })),
    ).toBe('waits (Zombie)');
  });
});

describe('topics of a broker that lost its registration and runs on', () => {
  const zombie: BrokerParts = { id: 'zombie', pod: 'danube-0', registered: false, reportedAt: 90 };
  const pods = [{ name: 'danube-0', container: { runningSince: 50 } }];

  it('wait if they are reliable, and name the Pod to delete', () => {
    const decision = decideOne({ brokers: [zombie, B], pods, topics: [{ name: T, owners: ['zombie'] }] });

    expect(inShort(decision)).toBe('waits (Zombie)');
    expect((decision as Wait).message).toContain('delete that Pod');
  });

  it('go elsewhere if they are not', () => {
    const topics = [{ name: T, owners: ['zombie'], delivery: 'NonReliable' as const }];

    expect(inShort(decideOne({ brokers: [zombie, B], pods, topics }))).toBe('→ b (Failover)');
  });
});

describe('topics of a broker that some Pod may still run', () => {
  it.each(['Reliable', 'NonReliable'] as const)('wait (%s)', (delivery) => {
    const parts: SnapshotParts = {
      brokers: [{ id: 'x', registered: false, reportedAt: 90, remembered: false }, B],
      pods: [{ name: 'danube-0', container: { runningSince: 50 } }],
      topics: [{ name: T, owners: ['x'], delivery }],
    };

    const decision = decideOne(parts);

    expect(inShort(decision)).toBe('waits (OwnerUnproven)');
    expect((decision as Wait).message).toContain('Pod danube-0');
  });
});

describe('a policy whose rule allows no broker', () => {
  const placement: PlacementSpec = {
    rules: [{ name: 'fast', topicPatterns: ['/default/t'], brokerSelector: { matchLabels: { tier: 'fast' } } }],
  };
  const slow: PodParts = { name: 'p', labels: { tier: 'slow' }, container: { runningSince: 0 } };
  const onSlow: BrokerParts = { ...A, pod: 'p' };
  const marker = { kind: 'new', modRevision: 600 } as const;

  it('leaves a new topic without an owner, and says which rule', () => {
    const decision = decideOne({ pods: [slow], brokers: [onSlow], topics: [{ name: T, marker }] }, { placement });

    expect(decision).toMatchObject({ kind: 'Wait', reason: 'NoBrokerAllowed', rule: 'fast' });
    expect((decision as Wait).message).toContain('rule fast needs a broker with the label tier=fast');
  });

  it('gives it to one that comes', () => {
    const fast = { ...slow, name: 'q', labels: { tier: 'fast' } };
    const brokers = [onSlow, { ...B, pod: 'q' }];

    const decision = decideOne({ pods: [slow, fast], brokers, topics: [{ name: T, marker }] }, { placement });

    expect(inShort(decision)).toBe('→ b (NewTopic)');
  });

  it.each(['NonReliable', 'Reliable'] as const)('leaves the %s topic of a dead broker to wait, too', (delivery) => {
    const decision = decideOne(
      {
        pods: [slow],
        brokers: [onSlow, { id: 'dead', registered: false, remembered: false }],
        topics: [{ name: T, owners: ['dead'], delivery }],
      },
      { placement },
    );

    expect(inShort(decision)).toBe('waits (NoBrokerAllowed)');
  });

  it('still lets a reliable topic go home, where its log is: a move loses nothing, and a rule must not', () => {
    const home: PodParts = {
      ...slow,
      uid: 'home',
      persistentVolume: true,
      container: { restartCount: 1, runningSince: 900 },
    };
    const decision = decideOne(
      {
        pods: [home],
        brokers: [
          { ...onSlow, reportedAt: 950 },
          { id: 'dead', pod: 'p', registered: false, reportRevision: 50 },
        ],
        topics: [{ name: T, owners: ['dead'] }],
      },
      { placement },
    );

    expect(inShort(decision)).toBe('→ a (Failover)');
  });

  it('does not keep a topic waiting that no broker takes for other reasons: that is said instead', () => {
    const draining = { ...onSlow, mode: 'draining' };
    const decision = decideOne({ pods: [slow], brokers: [draining], topics: [{ name: T, marker }] }, { placement });

    expect(inShort(decision)).toBe('waits (NoBroker)');
  });

  it('overrules the target that a marker names', () => {
    const decision = decideOne(
      {
        pods: [slow],
        brokers: [onSlow],
        topics: [{ name: T, marker: { kind: 'rebalance', fromBroker: 'x', toBroker: 'a' }, delivery: 'NonReliable' }],
      },
      { placement },
    );

    expect(inShort(decision)).toBe('waits (NoBrokerAllowed)');
  });
});

describe('partitions that must stay apart', () => {
  const placement: PlacementSpec = { spread: [{ name: 'apart', topicPatterns: ['/default/*'], maxPerBroker: 1 }] };
  const part = (index: number) => `/default/t-part-${index}`;

  it('go to different brokers in one round, and wait where there are too few', () => {
    const topics = [0, 1, 2, 3].map((index) => ({ name: part(index), marker: {} }));

    const decisions = decide({ brokers: [A, B, C], topics }, { placement });

    expect(decisions.map(inShort)).toEqual([
      '→ a (NewTopic)',
      '→ b (NewTopic)',
      '→ c (NewTopic)',
      'waits (NoBrokerAllowed)',
    ]);
    expect(decisions[3]).toMatchObject({ rule: 'apart' });
  });

  it('stay apart when a broker dies: its partition waits for one that has none', () => {
    const dead: BrokerParts = { id: 'dead', registered: false, remembered: false };
    const lost: TopicParts = { name: part(0), owners: ['dead'], delivery: 'NonReliable' };
    const others = [
      { name: part(1), owners: ['a'] },
      { name: part(2), owners: ['b'] },
    ];

    expect(inShort(decideOne({ brokers: [A, B, dead], topics: [lost, ...others] }, { placement }))).toBe(
      'waits (NoBrokerAllowed)',
    );
    expect(inShort(decideOne({ brokers: [A, B, C, dead], topics: [lost, ...others] }, { placement }))).toBe(
      '→ c (Failover)',
    );
  });

  it('heed one that goes home in the same round, although it is looked at later', () => {
    const home: PodParts = { name: 'p', persistentVolume: true, container: { restartCount: 1, runningSince: 900 } };
    const decisions = decide(
      {
        pods: [home],
        brokers: [
          { ...A, pod: 'p', reportedAt: 950 },
          { id: 'dead', pod: 'p', registered: false, reportRevision: 50 },
        ],
        topics: [
          { name: part(1), marker: {} },
          { name: part(0), owners: ['dead'] },
        ],
      },
      { placement },
    );

    expect(decisions.map(inShort)).toEqual(['waits (NoBrokerAllowed)', '→ a (Failover)']);
  });

  it('heed one that waits to go home: its domain must not have one too many when it is back', () => {
    const zone = (name: string, value: string): PodParts => ({
      name,
      labels: { zone: value },
      persistentVolume: true,
      container: { runningSince: 0 },
    });
    const dead: BrokerParts = { id: 'dead', pod: 'p', registered: false, reportRevision: 50 };
    const parts: SnapshotParts = {
      pods: [zone('p', 'a'), zone('q', 'a')].map((pod) =>
        pod.name === 'p' ? { ...pod, container: { restartCount: 0, lastFinishedAt: 990 } } : pod,
      ),
      brokers: [{ ...A, pod: 'q' }, dead],
      topics: [
        { name: part(1), marker: {} },
        { name: part(0), owners: ['dead'] },
      ],
    };
    const spread = [{ name: 'apart', topicPatterns: ['/default/*'], topologyKey: 'zone', maxPerDomain: 1 }];

    expect(decide(parts, { placement: { spread } }).map(inShort)).toEqual([
      'waits (NoBrokerAllowed)',
      'waits (AwaitingSamePod)',
    ]);
  });

  it('heed one that goes home in the same round', () => {
    const home: PodParts = { name: 'p', persistentVolume: true, container: { restartCount: 1, runningSince: 900 } };
    const decisions = decide(
      {
        pods: [home],
        brokers: [
          { ...A, pod: 'p', reportedAt: 950 },
          { id: 'dead', pod: 'p', registered: false, reportRevision: 50 },
          { id: 'dead2', registered: false, remembered: false },
        ],
        topics: [
          { name: part(0), owners: ['dead'] },
          { name: part(1), owners: ['dead2'], delivery: 'NonReliable' },
        ],
      },
      { placement },
    );

    expect(decisions.map(inShort)).toEqual(['→ a (Failover)', 'waits (NoBrokerAllowed)']);
  });
});

describe('whatever the picture', () => {
  const podNames = ['danube-0', 'danube-1', 'danube-2', 'danube-3'];
  // Brokers report late enough to accept more often than not.
  const second = fc.integer({ min: 40, max: 50 });
  const reportSecond = fc.integer({ min: 44, max: 60 });
  const container = fc.record(
    { restartCount: fc.integer({ min: 0, max: 2 }), runningSince: second, lastFinishedAt: second },
    { requiredKeys: [] },
  );
  const pod = fc.record({
    name: fc.constantFrom(...podNames),
    uid: fc.constantFrom('u1', 'u2'),
    deleting: fc.constantFrom(false, false, false, true),
    persistentVolume: fc.boolean(),
    container: fc.option(container, { nil: undefined }),
  });
  const broker = fc.record({
    pod: fc.constantFrom(...podNames),
    registered: fc.oneof(
      { weight: 1, arbitrary: fc.constant(false as const) },
      { weight: 2, arbitrary: fc.integer({ min: 100, max: 110 }) },
    ),
    reportedAt: fc.oneof({ weight: 1, arbitrary: fc.constant(false as const) }, { weight: 9, arbitrary: reportSecond }),
    reportRevision: fc.integer({ min: 105, max: 115 }),
    reportSeenAt: fc.constantFrom<(number | false)[]>(false, 997, 999),
    adminAnswered: fc.boolean(),
    mode: fc.constantFrom('active', 'active', 'active', 'draining', 'drained'),
    deadSince: fc.constantFrom(undefined, undefined, undefined, undefined, 900, 999),
  });
  const rememberedAs = fc.constantFrom<(false | { podUID: string | undefined })[]>(
    false,
    { podUID: undefined },
    { podUID: 'u1' },
    { podUID: 'u2' },
  );
  const id = fc.constantFrom('1', '2', '3', '4', '18446744073709551615');
  const topic = fc.record(
    {
      name: fc.constantFrom('/d/a', '/d/b', '/d/c', '/d/d', '/d/e', '/d/f'),
      delivery: fc.constantFrom<TopicParts['delivery'][]>(
        'Reliable',
        'Reliable',
        'NonReliable',
        'NonReliable',
        undefined,
      ),
      owners: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.uniqueArray(id, { maxLength: 2 })),
      marker: fc.record(
        {
          kind: fc.constantFrom('new', 'unload', 'rebalance', 'drain_redirect', 'unknown'),
          fromBroker: id,
          toBroker: id,
        },
        { requiredKeys: ['kind'] },
      ),
      sealed: fc.record({ broker: id, revision: fc.integer({ min: 590, max: 610 }) }),
      unownedSince: fc.constantFrom(900, 999),
    },
    { requiredKeys: ['name', 'delivery'] },
  );
  const world = fc
    .record({
      pods: fc.uniqueArray(pod, { selector: ({ name }) => name, maxLength: 4 }),
      brokers: fc.uniqueArray(fc.tuple(id, broker, rememberedAs), { selector: ([brokerId]) => brokerId, maxLength: 5 }),
      topics: fc.uniqueArray(topic, { selector: ({ name }) => name, maxLength: 6 }),
    })
    .map(
      ({ brokers, ...rest }): SnapshotParts => ({
        ...rest,
        brokers: brokers.map(([brokerId, parts, remembered]) => ({ id: brokerId, ...parts, remembered })),
      }),
    );

  /** Runs the check on many pictures, and makes sure that enough of them had anything to decide. */
  function always(check: (decisions: readonly Decision[], parts: SnapshotParts) => void): void {
    let assigns = 0;
    fc.assert(
      fc.property(world, (parts) => {
        const decisions = decide(parts);
        assigns += decisions.filter(({ kind }) => kind === 'Assign').length;
        check(decisions, parts);
      }),
      { numRuns: 3000 },
    );
    expect(assigns).toBeGreaterThan(500);
  }

  function assignsOf(decisions: readonly Decision[]): readonly Assign[] {
    return decisions.filter((decision) => decision.kind === 'Assign');
  }

  it('a topic goes only to a broker that takes topics, as it is now', () => {
    always((decisions, parts) => {
      const snapshot = buildSnapshot(parts);
      const brokers = judgeBrokers(snapshot);
      for (const { to, target } of assignsOf(decisions)) {
        expect(brokers.get(to)?.accepting).toBe(true);
        expect(snapshot.metadata.states.get(to)?.mode ?? 'active').toBe('active');
        expect(target.createRevision).toBe(snapshot.metadata.registrations.get(to)?.createRevision);
      }
    });
  });

  it('a live broker keeps its topics, and a topic with a live owner gets no second one', () => {
    always((decisions, parts) => {
      const snapshot = buildSnapshot(parts);
      const brokers = judgeBrokers(snapshot);
      for (const { topic: name, release } of assignsOf(decisions)) {
        for (const owner of snapshot.metadata.owners.get(name)?.keys() ?? []) {
          expect(brokers.get(owner)?.liveness.state).not.toBe('Live');
        }
        if (release === undefined) expect(snapshot.metadata.owners.get(name)).toBeUndefined();
      }
    });
  });

  it('a reliable topic leaves only a broker that is dead', () => {
    always((decisions, parts) => {
      const brokers = judgeBrokers(buildSnapshot(parts));
      for (const { reliable, release } of assignsOf(decisions)) {
        if (reliable && release !== undefined) expect(brokers.get(release.broker)?.liveness.state).toBe('Dead');
      }
    });
  });

  it('a topic gets one decision, and every topic without a live owner gets one', () => {
    always((decisions, parts) => {
      const names = decisions.map(({ topic: name }) => name);
      expect(new Set(names).size).toBe(names.length);
      const { metadata } = buildSnapshot(parts);
      for (const name of metadata.unowned) expect(names).toContain(name);
    });
  });

  it('no topic is assigned before its delivery is known, and its kind is that of its delivery', () => {
    always((decisions, parts) => {
      const { metadata } = buildSnapshot(parts);
      for (const { topic: name, reliable } of assignsOf(decisions)) {
        expect(metadata.deliveries.get(name)).toBe(reliable ? 'Reliable' : 'NonReliable');
      }
    });
  });

  it('a topic never goes back to the broker that its marker says it comes from', () => {
    always((decisions, parts) => {
      const { metadata } = buildSnapshot(parts);
      for (const { topic: name, to, release } of assignsOf(decisions)) {
        const marker = metadata.markers.get(name);
        if (marker?.fromBroker === undefined || marker.kind === 'new' || release !== undefined) continue;
        expect(to).not.toBe(marker.fromBroker);
      }
    });
  });

  it('the same picture gives the same decisions', () => {
    always((decisions, parts) => expect(decide(parts)).toEqual(decisions));
  });
});

it('the builder derives what the operator would see', () => {
  const snapshot = buildSnapshot({ now: 5, brokers: [A], topics: [{ name: T, owners: ['a'] }, { name: '/d/x' }] });

  expect(snapshot.now).toBe(at(5));
  expect(snapshot.namespace).toBe(NAMESPACE);
  expect([...snapshot.metadata.unowned]).toEqual(['/d/x']);
  expect([...(snapshot.metadata.topicsOf.get('a') ?? [])]).toEqual([T]);
});
