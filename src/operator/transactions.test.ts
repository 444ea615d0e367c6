import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Assign } from '../core/assignment.ts';
import type { Operation } from '../etcd/port.ts';
import {
  mergeCompares,
  packTransactions,
  type SeedPolicy,
  type TopicHistory,
  type TopicTransaction,
  topicTransaction,
} from './transactions.ts';

const T = '/default/t';
const POLICY: SeedPolicy = { resumeOffsets: true, offsetMargin: 1000 };
const NOW = 1_795_000_000;

function assign(change: Partial<Assign> = {}): Assign {
  return {
    kind: 'Assign',
    topic: T,
    to: '7',
    target: { createRevision: 70, stateRevision: 71 },
    reason: 'NewTopic',
    reliable: true,
    seed: 'never',
    isFirst: false,
    lastOwner: undefined,
    ...change,
  };
}

const DEAD = { broker: '3', modRevision: 33, proof: 'LeaseExpired' } as const;

function history(
  evidence: Partial<TopicHistory['evidence']> = {},
  roots: TopicHistory['stateRevisions'] = new Map([['/danube', 0]]),
) {
  return {
    evidence: { sealedOffset: undefined, objectEnds: [], cursors: [], lastSeed: undefined, ...evidence },
    stateRevisions: roots,
    hosts: [],
    noteRevision: 0,
  } satisfies TopicHistory;
}

function keyOf(operation: Operation): string {
  return 'put' in operation ? operation.put : operation.delete;
}

function seedIn({ operations }: TopicTransaction): unknown {
  return operations.flatMap((operation) =>
    'put' in operation && operation.put.endsWith('/state') ? [operation.value] : [],
  )[0];
}

describe('the transaction of a new topic', () => {
  const transaction = topicTransaction(assign({ marker: { modRevision: 60 } }), undefined, POLICY, NOW);

  it('assigns it and removes its marker', () => {
    expect(transaction.operations).toEqual([
      { put: '/cluster/brokers/7/default/t', value: 'null' },
      { delete: '/cluster/unassigned/default/t' },
    ]);
  });

  it('asks whether the target is the same process in the same state, and the marker the same', () => {
    expect(transaction.compares).toEqual([
      { key: '/cluster/register/7', createRevision: 70 },
      { key: '/cluster/brokers/7/state', modRevision: 71 },
      { key: '/cluster/brokers/7/default/t', createRevision: 0 },
      { key: '/cluster/unassigned/default/t', modRevision: 60 },
    ]);
  });
});

describe('the transaction of an orphan', () => {
  it('asks whether the topic still exists: it may have been deleted meanwhile', () => {
    const { compares, operations } = topicTransaction(assign({ reason: 'Orphan' }), undefined, POLICY, NOW);

    expect(compares).toContainEqual({ key: '/namespaces/default/topics/default/t', exists: true });
    expect(operations).toEqual([{ put: '/cluster/brokers/7/default/t', value: 'null' }]);
  });
});

describe('the transaction of a failover', () => {
  const failover = assign({ reason: 'Failover', release: DEAD, seed: 'always', lastOwner: '3' });
  const known = history(
    { objectEnds: [59n], cursors: [108n], lastSeed: 7n },
    new Map([
      ['/danube', 0],
      ['/danube-data', 44],
    ]),
  );
  const transaction = topicTransaction(failover, known, POLICY, NOW);

  it('ends the dead owner’s assignment, as it was decided for', () => {
    expect(transaction.operations).toContainEqual({ delete: '/cluster/brokers/3/default/t' });
    expect(transaction.compares).toContainEqual({ key: '/cluster/brokers/3/default/t', modRevision: 33 });
  });

  it('seeds the offsets at every storage root, over the state that was read there', () => {
    const state = '{"broker_id":3,"last_committed_offset":1108,"sealed":true,"timestamp":1795000000}';

    expect(transaction.operations).toContainEqual({ put: '/danube/storage/topics/default/t/state', value: state });
    expect(transaction.operations).toContainEqual({ put: '/danube-data/storage/topics/default/t/state', value: state });
    expect(transaction.compares).toContainEqual({ key: '/danube/storage/topics/default/t/state', modRevision: 0 });
    expect(transaction.compares).toContainEqual({
      key: '/danube-data/storage/topics/default/t/state',
      modRevision: 44,
    });
  });

  it('notes the seed and the hosts, so that the next one goes beyond it and to another', () => {
    expect(transaction.operations).toContainEqual({
      put: '/danube-load-manager/offsets/default/t',
      value: '{"seed":"1108","hosts":["3","7"]}',
    });
  });

  it('adds to a note that is there, unless somebody else changed it meanwhile', () => {
    const past = { ...history({ lastSeed: 9n }), hosts: ['1', '3'], noteRevision: 44 };

    const { operations, compares } = topicTransaction({ ...failover, seed: 'never' }, past, POLICY, NOW);

    expect(compares).toContainEqual({ key: '/danube-load-manager/offsets/default/t', modRevision: 44 });
    expect(operations).toContainEqual({
      put: '/danube-load-manager/offsets/default/t',
      value: '{"seed":"9","hosts":["1","3","7"]}',
    });
  });

  it('keeps ids and offsets beyond 2^53 exact', () => {
    const big = topicTransaction(
      { ...failover, lastOwner: '18446744073709551615' },
      history({ cursors: [2n ** 53n + 1n] }),
      POLICY,
      NOW,
    );

    expect(seedIn(big)).toContain('"broker_id":18446744073709551615,"last_committed_offset":9007199254741993');
  });
});

describe('offsets are seeded', () => {
  it.each<[string, Assign['seed'], Partial<TopicHistory['evidence']>, boolean]>([
    ['after a crash', 'always', {}, true],
    ['after a crash, though it was sealed once', 'always', { sealedOffset: 500n, cursors: [20n] }, true],
    ['not where there is nothing to carry on', 'never', { cursors: [20n] }, false],
    ['not for a topic without a past', 'ifHistory', {}, false],
    ['for a topic with cursors and no seal', 'ifHistory', { cursors: [20n] }, true],
    ['for a topic with objects and no seal', 'ifHistory', { objectEnds: [20n] }, true],
    ['for a topic that we have seeded before', 'ifHistory', { lastSeed: 20n }, true],
    [
      'not if the last owner’s seal covers all that is known',
      'ifHistory',
      { sealedOffset: 20n, cursors: [20n] },
      false,
    ],
    ['if an object is beyond the seal', 'ifHistory', { sealedOffset: 20n, objectEnds: [3n, 21n] }, true],
    ['if a cursor is beyond the seal', 'ifHistory', { sealedOffset: 20n, cursors: [21n] }, true],
    [
      'if our last seed is beyond the seal: that is an older one',
      'ifHistory',
      { sealedOffset: 20n, lastSeed: 21n },
      true,
    ],
  ])('%s', (_what, seed, evidence, expected) => {
    const transaction = topicTransaction(assign({ seed, lastOwner: '3' }), history(evidence), POLICY, NOW);

    expect(seedIn(transaction) !== undefined).toBe(expected);
  });

  it('never if the policy does not want it', () => {
    const policy = { ...POLICY, resumeOffsets: false };

    expect(
      seedIn(topicTransaction(assign({ seed: 'always' }), history({ cursors: [1n] }), policy, NOW)),
    ).toBeUndefined();
  });

  it('in the name of the target if nobody knows the last owner', () => {
    const transaction = topicTransaction(assign({ seed: 'always' }), history({ cursors: [1n] }), POLICY, NOW);

    expect(seedIn(transaction)).toContain('"broker_id":7');
  });
});

describe('packs of transactions', () => {
  const change = fc.record(
    {
      to: fc.constantFrom('1', '2', '3', '4', '5', '6', '7'),
      marker: fc.constant({ modRevision: 60 }),
      release: fc.integer({ min: 100, max: 140 }).map((id) => ({ ...DEAD, broker: String(id) })),
      seed: fc.constantFrom('always', 'never'),
    } as const,
    { requiredKeys: ['to', 'seed'] },
  );
  const roots = fc.constantFrom(['/danube'], ['/danube', '/danube-data'], ['/a', '/b', '/c', '/d']);

  function transactions(changes: readonly Partial<Assign>[], prefixes: readonly string[]): readonly TopicTransaction[] {
    return changes.map((part, index) => {
      const stateRevisions = new Map(prefixes.map((root) => [root, 0]));
      return topicTransaction(
        assign({ topic: `/default/t${index}`, ...part }),
        history({}, stateRevisions),
        POLICY,
        NOW,
      );
    });
  }

  it('keep all topics in their order, within the limits of etcd, and never name a key twice', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 300, size: 'max' }), roots, (changes, prefixes) => {
        const topics = transactions(changes, prefixes);

        const packs = packTransactions(topics);

        expect(packs.flat()).toEqual(topics);
        for (const pack of packs) {
          const compares = mergeCompares(pack);
          const operations = pack.flatMap((topic) => topic.operations);
          const records = new Set(pack.flatMap(({ assign: { release } }) => release?.broker ?? [])).size;
          // 128 each, less the fence, the leader key and the lane; the lane is written, too.
          expect(compares.length).toBeLessThanOrEqual(128 - 3);
          expect(operations.length + records).toBeLessThanOrEqual(128 - 1);
          expect(new Set(compares.map(({ key }) => key)).size).toBe(compares.length);
          expect(new Set(operations.map(keyOf)).size).toBe(operations.length);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('delete an assignment only for a broker that the decision releases, and ask for it as it was', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), roots, (changes, prefixes) => {
        for (const topic of transactions(changes, prefixes)) {
          const deleted = topic.operations.flatMap((operation) => ('delete' in operation ? [operation.delete] : []));
          const { release } = topic.assign;
          const assignments = deleted.filter((key) => key.startsWith('/cluster/brokers/'));
          const expected = release === undefined ? [] : [`/cluster/brokers/${release.broker}${topic.assign.topic}`];
          expect(assignments).toEqual(expected);
          for (const key of assignments) expect(topic.compares).toContainEqual({ key, modRevision: 33 });
        }
      }),
    );
  });

  it('are few: what topics ask of one broker is asked once', () => {
    const topics = transactions(
      Array.from({ length: 54 }, () => ({ to: '1' })),
      ['/danube'],
    );

    expect(packTransactions(topics)).toHaveLength(1);
    // Two on the broker, then its own assignment and its note for each topic.
    expect(mergeCompares(topics)).toHaveLength(110);
  });

  it('leave room for a record of each dead broker', () => {
    const dead = Array.from({ length: 50 }, (_, index) => ({
      to: '1',
      seed: 'never' as const,
      release: { ...DEAD, broker: String(100 + index) },
    }));

    const packs = packTransactions(transactions(dead, []));

    // 27 topics: an assignment, a deletion, a note and a record each.
    expect(packs.map((pack) => pack.length)).toEqual([27, 23]);
  });

  it('are none for no topics', () => {
    expect(packTransactions([])).toEqual([]);
  });
});
