/** Legal histories are clean, whatever happens in them; every single fault in one is found. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  assignmentKey,
  brokerStateKey,
  currentObjectKey,
  cursorKey,
  deliveryKey,
  LEADER_KEY,
  loadReportKey,
  objectKey,
  producerKey,
  registrationKey,
  sealedStateKey,
  subscriptionKey,
  topicKey,
  unassignedKey,
} from '../keys.ts';
import { OWN_PREFIX } from '../metadata.ts';
import { encodeMarker } from '../values.ts';
import { type Auditor, createAuditor } from './auditor.ts';
import { FINDING_KINDS, type Finding, type FindingKind } from './kinds.ts';
import {
  createPaperCluster,
  OPERATOR,
  type PaperCluster,
  type PaperTopic,
  ROOT,
  sealed,
  standing,
  type Write,
} from './paper-cluster.ts';

function auditOf(cluster: PaperCluster): Auditor {
  const auditor = createAuditor({ leaderId: OPERATOR });
  auditor.apply(cluster.events);
  return auditor;
}

function violations(findings: readonly Finding[]): readonly string[] {
  return findings
    .filter(({ severity }) => severity === 'violation')
    .map(({ kind, revision, message }) => `${revision} ${kind}: ${message}`);
}

// --- legal histories ----------------------------------------------------------------------------------------------------

/** What may happen, with random choices of who; a step that cannot be taken is left out. */
type Step = readonly [
  what: 'boot' | 'create' | 'produce' | 'move' | 'crash' | 'restart' | 'delete' | 'lead',
  who: number,
  where: number,
];

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom(
    'boot',
    'create',
    'create',
    'produce',
    'produce',
    'move',
    'move',
    'crash',
    'restart',
    'delete',
    'lead',
  ),
  fc.nat(1000),
  fc.nat(1000),
);

function pick<T>(items: readonly T[], at: number): T | undefined {
  return items[at % Math.max(items.length, 1)];
}

function take(cluster: PaperCluster, [what, who, where]: Step): void {
  const brokers = [...cluster.live.keys()];
  const topic = pick(cluster.topics, who);
  const broker = pick(brokers, where);
  if (what === 'boot' && brokers.length < 8) cluster.bootBroker();
  if (what === 'lead') cluster.takeFence();
  if (what === 'create' && broker !== undefined) cluster.createTopic(who % 3 > 0, broker);
  if (what === 'produce' && topic !== undefined) cluster.produce(topic, 1 + (where % 50));
  if (what === 'delete' && topic !== undefined) cluster.deleteTopic(topic);
  if (what === 'move' && topic !== undefined) {
    const target = pick(neverHad(cluster, topic), where);
    if (target !== undefined) cluster.move(topic, target);
  }
  if (what === 'crash' && broker !== undefined) {
    cluster.killBroker(broker);
    for (const lost of ownedBy(cluster, broker)) {
      cluster.failOver(lost, pick(neverHad(cluster, lost), who) ?? cluster.bootBroker());
    }
  }
  if (what === 'restart' && broker !== undefined) {
    const next = cluster.bootBroker(cluster.live.get(broker));
    for (const lost of ownedBy(cluster, broker)) cluster.failOver(lost, next);
    // The lease of the old process ends when its topics have long been elsewhere.
    cluster.write([registrationKey(broker)]);
  }
}

function ownedBy(cluster: PaperCluster, broker: string): readonly PaperTopic[] {
  return cluster.topics.filter(({ owner }) => owner === broker);
}

/** Where a topic may go: a reliable one never to a process that had it (contract M6). */
function neverHad({ live }: PaperCluster, topic: PaperTopic): readonly string[] {
  return [...live.keys()].filter((id) => id !== topic.owner && !(topic.reliable && topic.hosts.includes(id)));
}

function legalHistory(steps: readonly Step[]): PaperCluster {
  const cluster = createPaperCluster();
  cluster.bootBroker();
  cluster.bootBroker();
  cluster.bootBroker();
  for (const next of steps) take(cluster, next);
  return cluster;
}

const legalSteps = fc.array(step, { maxLength: 60, size: 'max' });

describe('a legal history', () => {
  it('has no violation, whatever is created, moved, killed, restarted and deleted', () => {
    fc.assert(
      fc.property(legalSteps, (steps) => {
        const auditor = auditOf(legalHistory(steps));

        expect(violations(auditor.findings())).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('has none for an auditor that starts in its middle', () => {
    fc.assert(
      fc.property(legalSteps, fc.nat(), (steps, at) => {
        const { events, revision } = legalHistory(steps);
        const middle = 1 + (at % revision());
        const entries = standing(events.filter(({ entry }) => entry.modRevision <= middle));
        const auditor = createAuditor({
          leaderId: OPERATOR,
          snapshot: { revision: middle, entries },
        });

        auditor.apply(events.filter(({ entry }) => entry.modRevision > middle));

        expect(violations(auditor.findings())).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  it('tells its moves and failovers', () => {
    const cluster = legalHistory([]);
    const [a = '', b = '', c = ''] = cluster.live.keys();
    const topic = cluster.createTopic(true, a);
    cluster.produce(topic, 10);
    cluster.move(topic, b);
    cluster.killBroker(b);
    cluster.failOver(topic, c);

    const findings = auditOf(cluster).findings();

    expect(findings.map(({ kind, topic: name, broker }) => ({ kind, name, broker }))).toEqual([
      { kind: 'Move', name: topic.name, broker: b },
      { kind: 'Failover', name: topic.name, broker: c },
    ]);
  });
});

// --- faults -------------------------------------------------------------------------------------------------------------

/** In the middle of a random history: a has both topics; b and c never had them. */
interface Scene {
  readonly cluster: PaperCluster;
  /** Reliable, with messages 0 to 9, all uploaded and consumed by subscription s, whose cursor is stored. */
  readonly topic: PaperTopic;
  /** Not reliable. */
  readonly plain: PaperTopic;
  readonly a: string;
  readonly b: string;
  readonly c: string;
}

interface Fault {
  readonly what: string;
  /** The kinds of violation that must be found: these and no others. */
  readonly found: readonly FindingKind[];
  readonly plant: (scene: Scene) => void;
}

const LANE = `${OWN_PREFIX}commits/main`;
const FENCE = `${OWN_PREFIX}fence`;

function lane(epoch: number): Write {
  return [LANE, JSON.stringify({ epoch, transaction: 'planted' })];
}

/** Broker a dies; what else it had is failed over as it should be. */
function killOwner({ cluster, topic, plain, a, c }: Scene): void {
  cluster.killBroker(a);
  for (const other of cluster.topics.filter(({ owner }) => owner === a)) {
    if (other !== topic && other !== plain) cluster.failOver(other, c);
  }
}

const FAULTS: readonly Fault[] = [
  {
    what: 'a second owner is written beside the first',
    found: ['DoublyOwned'],
    plant: ({ cluster, plain, b }) => cluster.commit([assignmentKey(b, plain.name), 'null']),
  },
  {
    what: 'an assignment is deleted, and the marker follows a revision later',
    found: ['Unowned'],
    plant: ({ cluster, plain, a }) => {
      cluster.commit([assignmentKey(a, plain.name)]);
      cluster.write([unassignedKey(plain.name), 'null']);
    },
  },
  {
    what: 'an assignment is deleted, and that is all',
    found: ['Unowned'],
    plant: ({ cluster, plain, a }) => cluster.commit([assignmentKey(a, plain.name)]),
  },
  {
    what: 'the marker of a topic on its way is deleted',
    found: ['Unowned'],
    plant: ({ cluster, plain }) => {
      cluster.unload(plain);
      cluster.commit([unassignedKey(plain.name)]);
    },
  },
  {
    what: 'an assignment is put on the broker that has it',
    found: ['AssignmentRewritten'],
    plant: ({ cluster, topic, a }) => cluster.commit([assignmentKey(a, topic.name), 'null']),
  },
  {
    what: 'a new topic is assigned before its delivery is known',
    found: ['AssignedWithoutDelivery'],
    plant: ({ cluster, a }) => {
      const name = '/default/hasty';
      cluster.write([unassignedKey(name), 'null']);
      cluster.write([topicKey(name), 'null']);
      cluster.commit([assignmentKey(a, name), 'null'], [unassignedKey(name)]);
      cluster.write([deliveryKey(name), '"Reliable"']);
    },
  },
  {
    what: 'a topic is assigned to a broker that does not exist',
    found: ['AssignedToUnregistered'],
    plant: ({ cluster, plain }) => cluster.move(plain, '12345'),
  },
  {
    what: 'a topic is assigned to a broker that is gone',
    found: ['AssignedToUnregistered'],
    plant: ({ cluster, plain }) => {
      const gone = cluster.bootBroker();
      cluster.killBroker(gone);
      cluster.move(plain, gone);
    },
  },
  {
    what: 'a topic is assigned to a draining broker',
    found: ['AssignedToInactive'],
    plant: ({ cluster, topic }) => {
      const draining = cluster.bootBroker();
      cluster.live.delete(draining);
      cluster.write([brokerStateKey(draining), '{"mode":"draining","reason":"admin_unload"}']);
      cluster.move(topic, draining);
    },
  },
  {
    what: 'a reliable topic is taken away under a marker "rebalance"',
    found: ['DestructiveDeletion'],
    plant: ({ cluster, topic, a, b }) => {
      const marker = encodeMarker({ kind: 'rebalance', fromBroker: a, toBroker: b });
      cluster.commit([unassignedKey(topic.name), marker], [assignmentKey(a, topic.name)]);
    },
  },
  {
    what: 'a reliable topic is taken away under no marker',
    found: ['DestructiveDeletion', 'Unowned'],
    plant: ({ cluster, topic, a }) => cluster.commit([assignmentKey(a, topic.name)]),
  },
  {
    what: 'two live brokers say that they are 0.0.0.0, and one is taken for dead',
    found: ['DestructiveDeletion'],
    plant: ({ cluster }) => {
      const first = cluster.bootBroker('http://0.0.0.0:6650');
      const topic = cluster.createTopic(true, first);
      cluster.live.delete(cluster.bootBroker('http://0.0.0.0:6650'));
      cluster.commit([assignmentKey(first, topic.name)], [unassignedKey(topic.name), 'null']);
      cluster.topics.pop();
    },
  },
  {
    what: 'a source destroys what it had, and the topic starts again from nothing',
    found: ['DestructiveDeletion', 'StorageDestroyed', 'CursorDestroyed'],
    plant: ({ cluster, topic, a, b }) => {
      const marker = encodeMarker({ kind: 'rebalance', fromBroker: a, toBroker: b });
      cluster.commit([unassignedKey(topic.name), marker], [assignmentKey(a, topic.name)]);
      cluster.write([objectKey(ROOT, topic.name, 0n)]);
      cluster.write([currentObjectKey(ROOT, topic.name)]);
      cluster.write([cursorKey(topic.name, 's')]);
      cluster.assignUnloaded(topic, b);
    },
  },
  {
    what: 'a reliable topic changes its owner in one transaction',
    found: ['DestructiveDeletion', 'SeedMissing'],
    plant: ({ cluster, topic, a, b }) => {
      cluster.commit([assignmentKey(a, topic.name)], [assignmentKey(b, topic.name), 'null']);
    },
  },
  {
    what: 'an unload is rolled back before the source has sealed',
    found: ['MarkerRemovedBeforeSeal'],
    plant: ({ cluster, topic, a }) => {
      cluster.unload(topic);
      cluster.assignUnloaded(topic, a);
    },
  },
  {
    what: 'the marker of an unload is overwritten before the source has sealed',
    found: ['MarkerRemovedBeforeSeal'],
    plant: ({ cluster, topic, a, b }) => {
      cluster.unload(topic);
      cluster.write([unassignedKey(topic.name), 'null']);
      cluster.seal(topic, a);
      cluster.assignUnloaded(topic, b);
    },
  },
  {
    what: 'the target is assigned before the source has sealed, the marker stays until it has',
    found: ['AssignedBeforeSeal'],
    plant: ({ cluster, topic, a, b }) => {
      cluster.unload(topic);
      cluster.commit([assignmentKey(b, topic.name), 'null']);
      cluster.seal(topic, a);
      // It serves, and the late seal is not what it should have started from.
      cluster.write([producerKey(topic.name, '78'), '{}']);
      cluster.commit([unassignedKey(topic.name)]);
    },
  },
  {
    what: 'the target is assigned, the marker removed, and the source has not sealed',
    found: ['AssignedBeforeSeal', 'MarkerRemovedBeforeSeal'],
    plant: ({ cluster, topic, b }) => {
      cluster.unload(topic);
      cluster.assignUnloaded(topic, b);
    },
  },
  {
    what: 'a seal of an earlier move is taken for this one',
    found: ['AssignedBeforeSeal', 'MarkerRemovedBeforeSeal'],
    plant: ({ cluster, topic, a, b, c }) => {
      cluster.unload(topic);
      cluster.seal(topic, a);
      cluster.assignUnloaded(topic, b);
      cluster.unload(topic);
      cluster.assignUnloaded(topic, c);
    },
  },
  {
    what: 'a reliable topic returns to a process that had it',
    found: ['ReturnToProcess'],
    plant: ({ cluster, topic, a, b }) => {
      cluster.move(topic, b);
      cluster.move(topic, a);
    },
  },
  {
    what: 'a target takes clients and leaves the state where it is',
    found: ['StateLeftBehind'],
    plant: ({ cluster, topic, a, b }) => {
      cluster.unload(topic);
      cluster.seal(topic, a);
      cluster.assignUnloaded(topic, b);
      cluster.write([producerKey(topic.name, '78'), '{}']);
    },
  },
  {
    what: 'a failover does not seed',
    found: ['SeedMissing'],
    plant: (scene) => {
      const { cluster, topic, a, b } = scene;
      killOwner(scene);
      cluster.commit([assignmentKey(a, topic.name)], [assignmentKey(b, topic.name), 'null']);
    },
  },
  {
    what: 'a failover does not seed a topic whose producers may have sent what was not uploaded',
    found: ['SeedMissing'],
    plant: ({ cluster, b }) => {
      const mortal = cluster.bootBroker();
      const { name } = cluster.createTopic(true, mortal);
      cluster.killBroker(mortal);
      cluster.commit([assignmentKey(mortal, name)], [assignmentKey(b, name), 'null']);
      cluster.topics.pop();
    },
  },
  {
    what: 'a failover leans on a state that is older than the dead owner',
    found: ['SeedMissing'],
    plant: (scene) => {
      const { cluster, topic, a, b, c } = scene;
      cluster.unload(topic);
      cluster.seal(topic, a);
      cluster.assignUnloaded(topic, b);
      cluster.killBroker(b);
      cluster.commit([assignmentKey(b, topic.name)], [assignmentKey(c, topic.name), 'null']);
    },
  },
  {
    what: 'a failover seeds behind the uploaded objects',
    found: ['SeedBehind'],
    plant: (scene) => {
      const { cluster, topic, a, b } = scene;
      killOwner(scene);
      cluster.commit(
        [assignmentKey(a, topic.name)],
        [sealedStateKey(ROOT, topic.name), sealed(a, 3)],
        [assignmentKey(b, topic.name), 'null'],
      );
    },
  },
  {
    what: 'a failover seeds behind the seed before it',
    found: ['SeedBehind'],
    plant: (scene) => {
      const { cluster, topic, b, c } = scene;
      killOwner(scene);
      cluster.failOver(topic, b);
      cluster.killBroker(b);
      cluster.commit(
        [assignmentKey(b, topic.name)],
        [sealedStateKey(ROOT, topic.name), sealed(b, 500)],
        [assignmentKey(c, topic.name), 'null'],
      );
    },
  },
  {
    what: 'a source seals behind the uploaded objects',
    found: ['SealBehind'],
    plant: ({ cluster, topic, a, b }) => {
      cluster.unload(topic);
      cluster.write([sealedStateKey(ROOT, topic.name), sealed(a, 2)]);
      cluster.assignUnloaded(topic, b);
    },
  },
  {
    what: 'the operator seeds a topic whose owner lives',
    found: ['SeedWithoutDeadOwner'],
    plant: ({ cluster, topic, a }) => cluster.commit([sealedStateKey(ROOT, topic.name), sealed(a, 500)]),
  },
  {
    what: 'the operator seals in the place of a source that lives',
    found: ['SeedWithoutDeadOwner', 'AssignedBeforeSeal', 'MarkerRemovedBeforeSeal'],
    plant: ({ cluster, topic, a, b }) => {
      cluster.unload(topic);
      cluster.commit([sealedStateKey(ROOT, topic.name), sealed(a, 500)]);
      cluster.assignUnloaded(topic, b);
    },
  },
  {
    what: 'offsets are given out twice',
    found: ['OffsetsRepeated'],
    plant: ({ cluster, topic }) => {
      cluster.write([objectKey(ROOT, topic.name, 5n), '{"start_offset":5,"end_offset":12,"completed":true}']);
    },
  },
  {
    what: 'a topic moves whose subscription has not caught up',
    found: ['BacklogAtStake'],
    plant: ({ cluster, topic, b }) => {
      topic.cursor = 5;
      cluster.move(topic, b);
    },
  },
  {
    what: 'a topic moves whose subscription has no cursor',
    found: ['SubscriptionWithoutCursor'],
    plant: ({ cluster, topic, b }) => {
      cluster.write([subscriptionKey(topic.name, 'late'), '{}']);
      cluster.move(topic, b);
    },
  },
  {
    what: 'an object goes while its topic stays',
    found: ['StorageDestroyed'],
    plant: ({ cluster, topic }) => cluster.write([objectKey(ROOT, topic.name, 0n)]),
  },
  {
    what: 'a cursor goes while its subscription stays',
    found: ['CursorDestroyed'],
    plant: ({ cluster, topic }) => cluster.write([cursorKey(topic.name, 's')]),
  },
  {
    what: 'a cursor goes while its subscription stays, and the topic is deleted much later',
    found: ['CursorDestroyed'],
    plant: ({ cluster, topic }) => {
      cluster.write([cursorKey(topic.name, 's')]);
      topic.cursor = undefined;
      cluster.deleteTopic(topic);
    },
  },
  {
    what: 'a broker that was given up for dead reports',
    found: ['DeadOwnerAlive'],
    plant: (scene) => {
      const { cluster, topic, a, b } = scene;
      killOwner(scene);
      cluster.failOver(topic, b);
      cluster.write([loadReportKey(a), `{"broker_id":${a},"resources_usage":[],"timestamp":2}`]);
    },
  },
  {
    what: 'the operator takes a broker for dead that goes on reporting',
    found: ['DeadOwnerAlive'],
    plant: ({ cluster, topic, a, b }) => {
      cluster.failOver(topic, b);
      cluster.write([loadReportKey(a), `{"broker_id":${a},"resources_usage":[],"timestamp":2}`]);
    },
  },
  {
    what: 'a fence is written with the epoch of the one before',
    found: ['FenceWentBack'],
    plant: ({ cluster }) => cluster.write([FENCE, `{"epoch":${cluster.epoch()},"holder":"r","nonce":"other"}`]),
  },
  {
    what: 'the fence is deleted',
    found: ['FenceWentBack'],
    plant: ({ cluster }) => cluster.write([FENCE]),
  },
  {
    what: 'an old leader writes',
    found: ['StaleEpoch'],
    plant: ({ cluster, plain, b }) => {
      cluster.unload(plain);
      cluster.takeFence();
      cluster.write(lane(cluster.epoch() - 1), [assignmentKey(b, plain.name), 'null'], [unassignedKey(plain.name)]);
    },
  },
  {
    what: 'the operator writes while a broker holds the leader key',
    found: ['NotLeading'],
    plant: ({ cluster, plain, b }) => {
      cluster.write([LEADER_KEY, b]);
      cluster.unload(plain);
      cluster.write([LEADER_KEY, OPERATOR]);
    },
  },
  {
    what: 'the operator writes while nobody holds the leader key',
    found: ['NotLeading'],
    plant: ({ cluster, plain }) => {
      cluster.write([LEADER_KEY]);
      cluster.unload(plain);
      cluster.write([LEADER_KEY, OPERATOR]);
    },
  },
  {
    what: 'somebody else assigns while the operator leads',
    found: ['ForeignAssignment'],
    plant: ({ cluster, plain, b }) => {
      cluster.unload(plain);
      cluster.write([assignmentKey(b, plain.name), 'null'], [unassignedKey(plain.name)]);
    },
  },
  {
    what: 'a second operator takes the leader key',
    found: ['ForeignLeader'],
    plant: ({ cluster }) => {
      cluster.write([LEADER_KEY, '999']);
      cluster.write([LEADER_KEY, OPERATOR]);
    },
  },
  {
    what: 'the leader key holds what brokers cannot read',
    found: ['ForeignLeader'],
    plant: ({ cluster }) => {
      cluster.write([LEADER_KEY, '"me"']);
      cluster.write([LEADER_KEY, OPERATOR]);
    },
  },
];

/** Needs a clock; has a test of its own below. */
const TIMED: readonly FindingKind[] = ['ActedInQuietPeriod'];

describe('a single fault in a legal history', () => {
  it.each(FAULTS)('is found: $what', ({ found, plant }) => {
    fc.assert(
      fc.property(legalSteps, legalSteps, (before, after) => {
        const cluster = legalHistory(before);
        const [a, b, c] = [cluster.bootBroker(), cluster.bootBroker(), cluster.bootBroker()];
        const topic = cluster.createTopic(true, a);
        const plain = cluster.createTopic(false, a);
        cluster.produce(topic, 10);
        plant({ cluster, topic, plain, a, b, c });
        cluster.topics.splice(
          0,
          cluster.topics.length,
          ...cluster.topics.filter((one) => one !== topic && one !== plain),
        );
        for (const next of after) take(cluster, next);

        const kinds = auditOf(cluster)
          .findings()
          .filter(({ severity }) => severity === 'violation')
          .map(({ kind }) => kind);

        expect([...new Set(kinds)].toSorted()).toEqual(found.toSorted());
      }),
      { numRuns: 25 },
    );
  });

  it('is planted for every kind of violation', () => {
    const planted = new Set([...FAULTS.flatMap(({ found }) => found), ...TIMED]);
    const kinds = Object.entries(FINDING_KINDS).filter(([, { severity }]) => severity === 'violation');

    expect(kinds.map(([kind]) => kind).filter((kind) => !planted.has(kind as FindingKind))).toEqual([]);
  });
});

interface Harmless {
  readonly what: string;
  /** Violations that belong to the story itself. */
  readonly found?: readonly FindingKind[];
  readonly happen: (scene: Scene) => void;
}

const HARMLESS: readonly Harmless[] = [
  {
    what: 'a source dies before it has sealed, and its topic goes on behind a seed',
    happen: (scene) => {
      const { cluster, topic, a, b } = scene;
      cluster.unload(topic);
      killOwner(scene);
      cluster.commit(
        [sealedStateKey(ROOT, topic.name), sealed(a, 100_000)],
        [assignmentKey(b, topic.name), 'null'],
        [unassignedKey(topic.name)],
      );
      cluster.load(topic);
    },
  },
  {
    what: 'a topic that bounced goes elsewhere with its seal',
    found: ['AssignedToInactive'],
    happen: ({ cluster, topic, a, b, c }) => {
      cluster.write([brokerStateKey(b), '{"mode":"draining","reason":"admin_unload"}']);
      cluster.unload(topic);
      cluster.seal(topic, a);
      cluster.assignUnloaded(topic, b);
      cluster.write([assignmentKey(b, topic.name)]);
      cluster.write([unassignedKey(topic.name), encodeMarker({ kind: 'drain_redirect', fromBroker: b })]);
      cluster.assignUnloaded(topic, c);
      cluster.load(topic);
    },
  },
  {
    what: 'an upload is retried',
    happen: ({ cluster, topic }) => {
      cluster.write([objectKey(ROOT, topic.name, 0n), '{"start_offset":0,"end_offset":9,"completed":true}']);
    },
  },
  {
    what: 'a topic that never had a producer is failed over without a seed',
    happen: ({ cluster, b }) => {
      const mortal = cluster.bootBroker();
      const name = '/default/untouched';
      cluster.write([unassignedKey(name), 'null']);
      cluster.write([topicKey(name), 'null']);
      cluster.write([deliveryKey(name), '"Reliable"']);
      cluster.commit([assignmentKey(mortal, name), 'null'], [unassignedKey(name)]);
      cluster.killBroker(mortal);
      cluster.commit([assignmentKey(mortal, name)], [assignmentKey(b, name), 'null']);
    },
  },
  {
    what: 'a topic is deleted with its assignment last',
    happen: ({ cluster, topic, a }) => {
      cluster.write([topicKey(topic.name)]);
      cluster.write([assignmentKey(a, topic.name)]);
    },
  },
  {
    what: 'an unsubscribe takes the cursor first',
    happen: ({ cluster, topic }) => {
      cluster.write([cursorKey(topic.name, 's')]);
      cluster.write([subscriptionKey(topic.name, 's')]);
    },
  },
];

describe('no fault is found', () => {
  it.each(HARMLESS)('where $what', ({ found = [], happen }) => {
    const cluster = legalHistory([]);
    const [a = '', b = '', c = ''] = cluster.live.keys();
    const topic = cluster.createTopic(true, a);
    const plain = cluster.createTopic(false, a);
    cluster.produce(topic, 10);

    happen({ cluster, topic, plain, a, b, c });

    const kinds = auditOf(cluster)
      .findings()
      .filter(({ severity }) => severity === 'violation')
      .map(({ kind }) => kind);
    expect(kinds).toEqual(found);
  });
});

describe('the quiet period after taking the key from a broker', () => {
  const T0 = 1_800_000_000_000;

  function actAfter(ms: number): readonly string[] {
    const cluster = createPaperCluster();
    const a = cluster.bootBroker();
    cluster.write([LEADER_KEY]);
    cluster.write([LEADER_KEY, a]);
    cluster.write([LEADER_KEY, OPERATOR]);
    const taken = cluster.events.length;
    cluster.createTopic(true, a);
    const auditor = createAuditor({ leaderId: OPERATOR });
    auditor.apply(cluster.events.slice(0, taken), T0);
    auditor.apply(cluster.events.slice(taken), T0 + ms);
    return violations(auditor.findings()).map((line) => line.split(/[ :]/)[1] ?? '');
  }

  it('is broken by a transaction 9.9 s later', () => {
    expect(actAfter(9900)).toEqual(['ActedInQuietPeriod']);
  });

  it('lets a broker that may still lead assign', () => {
    const cluster = createPaperCluster();
    const a = cluster.bootBroker();
    const { name } = cluster.createTopic(false, a);
    cluster.unload({ ...(cluster.topics[0] as PaperTopic) });
    cluster.write([LEADER_KEY, a]);
    cluster.write([LEADER_KEY, OPERATOR]);
    cluster.write([assignmentKey(a, name), 'null'], [unassignedKey(name)]);
    const auditor = createAuditor({ leaderId: OPERATOR });

    auditor.apply(cluster.events, T0);

    expect(violations(auditor.findings())).toEqual([]);
  });

  it('is over 12 s later', () => {
    expect(actAfter(12_000)).toEqual([]);
  });
});

describe('the auditor', () => {
  it('counts what it does not keep', () => {
    const cluster = createPaperCluster();
    const a = cluster.bootBroker();
    const topic = cluster.createTopic(false, a);
    for (let round = 0; round < 10; round++) cluster.commit([assignmentKey(a, topic.name), 'null']);
    const auditor = createAuditor({ leaderId: OPERATOR, examplesPerKind: 3 });

    auditor.apply(cluster.events);

    expect(auditor.findings()).toHaveLength(3);
    expect(auditor.counts()).toEqual(new Map([['AssignmentRewritten', 10]]));
  });

  it('keeps a few of the topics that stand without an owner, and counts all', () => {
    const cluster = createPaperCluster();
    const a = cluster.bootBroker();
    for (let round = 0; round < 10; round++) cluster.commit([assignmentKey(a, cluster.createTopic(false, a).name)]);
    const auditor = createAuditor({ leaderId: OPERATOR, examplesPerKind: 3 });

    auditor.apply(cluster.events);

    expect(auditor.findings()).toHaveLength(3);
    expect(auditor.counts()).toEqual(new Map([['Unowned', 10]]));
  });

  it('takes a topic that is being deleted for unowned only until the deletion is complete', () => {
    const cluster = createPaperCluster();
    const topic = cluster.createTopic(true, cluster.bootBroker());
    cluster.produce(topic, 10);
    const before = cluster.revision();
    cluster.deleteTopic(topic);
    const half = createAuditor({ leaderId: OPERATOR });
    half.apply(cluster.events.filter(({ entry }) => entry.modRevision <= before + 1));

    const whole = auditOf(cluster);

    expect(violations(half.findings()).map((line) => line.split(':')[0])).toEqual([
      `${before + 1} Unowned`,
      `${before + 1} DestructiveDeletion`,
    ]);
    expect(violations(whole.findings())).toEqual([]);
  });

  it('lets a replica that lost the fence make its last outcome certain', () => {
    const cluster = createPaperCluster();
    cluster.takeFence();
    // The broker's key may have gone as well: it changes nothing.
    cluster.write([LEADER_KEY]);
    cluster.write(lane(1));

    const auditor = auditOf(cluster);

    expect(auditor.findings().map(({ kind }) => kind)).toEqual(['LateBarrier']);
  });

  it('dates an unowned topic by the revision that left it so', () => {
    const cluster = createPaperCluster();
    const a = cluster.bootBroker();
    const { name } = cluster.createTopic(false, a);
    cluster.commit([assignmentKey(a, name)]);
    const since = cluster.revision();
    cluster.write([producerKey(name, '78'), '{}']);

    const [finding] = auditOf(cluster).findings();

    expect(finding).toMatchObject({ kind: 'Unowned', topic: name, revision: since });
  });

  it('says of a dead broker once that it lives', () => {
    const cluster = createPaperCluster();
    const [a, b] = [cluster.bootBroker(), cluster.bootBroker()];
    cluster.failOver(cluster.createTopic(true, a), b);
    for (let round = 0; round < 3; round++) cluster.write([loadReportKey(a), '{}']);

    expect(auditOf(cluster).counts().get('DeadOwnerAlive')).toBe(1);
  });

  it('tells a move that was under way when it began', () => {
    const cluster = createPaperCluster();
    const [a, b] = [cluster.bootBroker(), cluster.bootBroker()];
    const topic = cluster.createTopic(true, a);
    cluster.unload(topic);
    const revision = cluster.revision();
    const snapshot = { revision, entries: standing(cluster.events) };
    const auditor = createAuditor({ leaderId: OPERATOR, snapshot });
    cluster.seal(topic, a);
    cluster.assignUnloaded(topic, b);

    auditor.apply(cluster.events.filter(({ entry }) => entry.modRevision > revision));

    expect(auditor.findings().map(({ kind }) => kind)).toEqual(['Move']);
  });

  it('refuses a revision that comes twice', () => {
    const cluster = createPaperCluster();
    const auditor = auditOf(cluster);

    expect(() => auditor.apply(cluster.events)).toThrow('revision 2 comes after 3');
  });

  it.each([
    ['state', sealedStateKey(ROOT, '/default/t1')],
    ['cursor', cursorKey('/default/t1', 's')],
    ['object', objectKey(ROOT, '/default/t1', 0n)],
    ['delivery', deliveryKey('/default/t1')],
    ['marker', unassignedKey('/default/t1')],
    ['registration', registrationKey('7')],
  ])('names a %s that it cannot read and goes on', (_what, key) => {
    const cluster = createPaperCluster();
    cluster.createTopic(true, cluster.bootBroker());
    for (const value of ['', '{', '[]', '"\ud800"', '{"broker_id":-1}']) cluster.write([key, value]);

    const findings = auditOf(cluster).findings();

    expect(findings.filter(({ kind }) => kind === 'Undecodable')).toHaveLength(5);
    expect(violations(findings)).toEqual([]);
  });

  it('reads a long history quickly (printed)', () => {
    const cluster = createPaperCluster();
    const brokers = Array.from({ length: 20 }, () => cluster.bootBroker());
    for (let round = 0; cluster.events.length < 200_000; round++) {
      const topic = cluster.createTopic(true, brokers[round % 20] ?? '');
      cluster.produce(topic, 10);
      for (let hop = 1; hop <= 3; hop++) {
        cluster.move(topic, brokers[(round + hop) % 20] ?? '');
        cluster.produce(topic, 10);
      }
      if (round % 2 === 0) cluster.deleteTopic(topic);
    }
    const auditor = createAuditor({ leaderId: OPERATOR });
    const startedAt = performance.now();

    auditor.apply(cluster.events);

    const perSecond = Math.round(cluster.events.length / ((performance.now() - startedAt) / 1000));
    process.stderr.write(`auditor: ${cluster.events.length} events, ${perSecond} a second\n`);
    expect(violations(auditor.findings())).toEqual([]);
  });
});
