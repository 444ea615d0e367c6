import { describe, expect, it } from 'vitest';
import type { Assign } from '../core/assignment.ts';
import { buildSnapshot } from '../core/snapshot-builder.ts';
import type { Compare, Entry, EtcdPort, Operation } from '../etcd/port.ts';
import { type ExecuteOptions, execute, type FailoverRecord, HISTORY_PREFIX } from './execute.ts';

const NOW = 1_795_000_000_000;

type FencedCommit = Awaited<ReturnType<ExecuteOptions['authority']['commit']>>;

interface Commit {
  readonly compares: readonly Compare[];
  readonly operations: readonly Operation[];
}

/** An etcd that holds these keys, and an authority that answers as told and applies at revisions 1001, 1002, … */
function fakeEtcd(
  keys: Readonly<Record<string, string | { readonly value: string; readonly modRevision: number }>>,
  answer: (commit: Commit) => FencedCommit['outcome'] = () => 'applied',
) {
  const commits: (Commit & { readonly outcome: FencedCommit['outcome'] })[] = [];
  const entries = Object.entries(keys).map(([key, stored]): Entry => {
    const { value, modRevision } = typeof stored === 'string' ? { value: stored, modRevision: 10 } : stored;
    return { key, value: Buffer.from(value), createRevision: 1, modRevision };
  });
  const etcd: Pick<EtcdPort, 'get' | 'read'> = {
    get: async (key) => entries.find((entry) => entry.key === key),
    read: async (prefix) => ({ revision: 1000, entries: entries.filter(({ key }) => key.startsWith(prefix)) }),
  };
  const authority: Pick<ExecuteOptions['authority'], 'commit'> = {
    async commit(compares, operations) {
      const outcome = answer({ compares, operations });
      commits.push({ compares, operations, outcome });
      if (outcome === 'fenced') return { outcome };
      const revision = 1000 + commits.length;
      return outcome === 'applied' ? { outcome, revision } : { outcome, revision, found: [] };
    },
  };
  return { etcd: etcd as EtcdPort, authority: authority as ExecuteOptions['authority'], commits };
}

function assign(topic: string, change: Partial<Assign> = {}): Assign {
  return {
    kind: 'Assign',
    topic,
    to: '7',
    target: { createRevision: 70, stateRevision: 71 },
    reason: 'NewTopic',
    reliable: false,
    marker: { modRevision: 60 },
    seed: 'never',
    isFirst: false,
    lastOwner: undefined,
    ...change,
  };
}

function failover(topic: string, broker: string, change: Partial<Assign> = {}): Assign {
  const { marker: _marker, ...rest } = assign(topic, {
    reason: 'Failover',
    reliable: true,
    seed: 'always',
    lastOwner: broker,
    release: { broker, modRevision: 500, proof: 'ContainerRestarted' },
    ...change,
  });
  return rest;
}

function run(fake: ReturnType<typeof fakeEtcd>, assigns: readonly Assign[], change: Partial<ExecuteOptions> = {}) {
  const owned = assigns.flatMap(({ topic, release }) => (release ? [{ name: topic, owners: [release.broker] }] : []));
  return execute({
    etcd: fake.etcd,
    authority: fake.authority,
    metadata: buildSnapshot({ topics: owned }).metadata,
    assigns,
    seed: { resumeOffsets: true, offsetMargin: 1000 },
    storageRoot: undefined,
    deaths: new Map(),
    now: () => NOW,
    ...change,
  });
}

function valuesAt(fake: ReturnType<typeof fakeEtcd>, part: string): readonly string[] {
  return fake.commits
    .flatMap(({ operations }) => operations)
    .flatMap((operation) => ('put' in operation && operation.put.includes(part) ? [operation.value] : []));
}

function recordsIn(fake: ReturnType<typeof fakeEtcd>): readonly FailoverRecord[] {
  return valuesAt(fake, HISTORY_PREFIX).map((value) => JSON.parse(value) as FailoverRecord);
}

describe('carrying decisions out', () => {
  it('takes topics without a past first: their clients wait', async () => {
    const fake = fakeEtcd({});

    const execution = await run(fake, [failover('/d/old', '3'), assign('/d/new')]);

    expect(execution.applied.map(({ topic }) => topic)).toEqual(['/d/new', '/d/old']);
    expect(fake.commits).toHaveLength(2);
    expect(execution).toMatchObject({ refused: [], fenced: false, revision: 1002 });
  });

  it('serves many topics with a past a part at a time, so that a new one need not wait for all', async () => {
    const fake = fakeEtcd({});
    const many = Array.from({ length: 1000 }, (_, index) => failover(`/d/t${index}`, '3'));

    const { applied, refused } = await run(fake, [...many, assign('/d/new')]);

    expect(applied).toHaveLength(65);
    expect(applied[0]?.topic).toBe('/d/new');
    expect(refused).toEqual([]);
  });

  it('tries each topic of a refused transaction by itself, and says which one was refused', async () => {
    const bad = '/cluster/unassigned/d/bad';
    const fake = fakeEtcd({}, ({ compares }) => (compares.some(({ key }) => key === bad) ? 'refused' : 'applied'));

    const execution = await run(fake, [assign('/d/a'), assign('/d/bad'), assign('/d/b')]);

    expect(execution.applied.map(({ topic }) => topic)).toEqual(['/d/a', '/d/b']);
    expect(execution.refused.map(({ topic }) => topic)).toEqual(['/d/bad']);
    expect(fake.commits.map(({ outcome }) => outcome)).toEqual(['refused', 'applied', 'refused', 'applied']);
  });

  it('sends no reliable topic back to a broker that had it: it says who had it, and nothing is written', async () => {
    const fake = fakeEtcd({ '/danube-load-manager/offsets/d/t': '{"seed":"5","hosts":["7","3"]}' });

    const execution = await run(fake, [failover('/d/t', '3', { to: '7' })]);

    expect(execution.applied).toEqual([]);
    expect(execution.formerHosts).toEqual(new Map([['/d/t', new Set(['7', '3'])]]));
    expect(fake.commits).toEqual([]);
  });

  it('writes nothing more once it is fenced', async () => {
    const fake = fakeEtcd({}, () => 'fenced');

    const execution = await run(fake, [assign('/d/a'), failover('/d/b', '3')]);

    expect(execution).toEqual({ applied: [], refused: [], formerHosts: new Map(), revision: 0, fenced: true });
    expect(fake.commits).toHaveLength(1);
  });

  it('does nothing for no decisions', async () => {
    const fake = fakeEtcd({});

    expect(await run(fake, [])).toEqual({
      applied: [],
      refused: [],
      formerHosts: new Map(),
      revision: 0,
      fenced: false,
    });
    expect(fake.commits).toEqual([]);
  });
});

describe('the past of a reliable topic', () => {
  const storage = '/danube-data/storage/topics/d/t';
  const object = (end: number) => `{"completed":true,"end_offset":${end},"start_offset":0}`;
  const state = (offset: number) =>
    `{"broker_id":3,"last_committed_offset":${offset},"sealed":true,"timestamp":1768625254}`;

  it('is its objects, its cursors, its seal and our note, read when it is needed', async () => {
    const fake = fakeEtcd({
      [`${storage}/objects/00000000000000000000`]: object(29),
      [`${storage}/objects/00000000000000000030`]: object(140),
      [`${storage}/objects/cur`]: '{"start":"00000000000000000030"}',
      '/topics/d/t/subscriptions/s': '{"subscription_name":"s"}',
      '/topics/d/t/subscriptions/s/cursor': '108',
      '/danube-load-manager/offsets/d/t': '{"seed":"9007199254740993"}',
      [`${storage}/state`]: { value: state(12), modRevision: 900 },
    });

    await run(fake, [failover('/d/t', '3')]);

    expect(valuesAt(fake, '/danube-data/storage/topics/d/t/state')).toEqual([
      '{"broker_id":3,"last_committed_offset":9007199254741993,"sealed":true,"timestamp":1795000000}',
    ]);
    expect(fake.commits[0]?.compares).toContainEqual({ key: `${storage}/state`, modRevision: 900 });
  });

  it.each([
    ['counts a seal that is newer than the assignment', 501, 1164],
    ['does not count a seal from before the assignment: an earlier move left it there', 499, 1020],
  ])('%s', async (_what, modRevision, expected) => {
    const fake = fakeEtcd({
      [`${storage}/state`]: { value: state(164), modRevision },
      '/topics/d/t/subscriptions/s/cursor': '20',
    });

    await run(fake, [failover('/d/t', '3')]);

    expect(valuesAt(fake, `${storage}/state`)[0]).toContain(`"last_committed_offset":${expected},`);
  });

  it.each<[string, Partial<ExecuteOptions>, readonly string[]]>([
    ['at the root of the policy', { storageRoot: '/mine' }, ['/mine']],
    ['at every root that was found', {}, ['/danube-data']],
    [
      'at both defaults while none was found',
      { metadata: { ...buildSnapshot().metadata, storageRoots: new Set() } },
      ['/danube-data', '/danube'],
    ],
  ])('is seeded %s', async (_what, options, roots) => {
    const fake = fakeEtcd({});

    await run(fake, [failover('/d/t', '3')], options);

    const written = fake.commits
      .flatMap(({ operations }) => operations)
      .flatMap((operation) => ('put' in operation && operation.put.endsWith('/state') ? [operation.put] : []));
    expect(written).toEqual(roots.map((root) => `${root}/storage/topics/d/t/state`));
  });
});

describe('the record of a failover', () => {
  it('says whose topics went where, when and on what proof', async () => {
    const fake = fakeEtcd({});

    await run(fake, [failover('/d/a', '3'), failover('/d/b', '3', { to: '8' })], {
      deaths: new Map([['3', { pod: 'danube-0', provenAt: NOW - 100 }]]),
    });

    expect(recordsIn(fake)).toEqual([
      {
        kind: 'Failover',
        pod: 'danube-0',
        broker: '3',
        proof: 'ContainerRestarted',
        provenAt: NOW - 100,
        committedAt: NOW,
        topics: 2,
        to: ['7', '8'],
      },
    ]);
  });

  it('is one for each dead broker', async () => {
    const fake = fakeEtcd({});

    await run(fake, [failover('/d/a', '3'), failover('/d/b', '4', { to: '8' }), failover('/d/c', '4')]);

    expect(recordsIn(fake).map(({ broker, topics, to }) => [broker, topics, to])).toEqual([
      ['3', 1, ['7']],
      ['4', 2, ['8', '7']],
    ]);
  });

  it('has a key of its own, even for transactions of the same millisecond', async () => {
    const fake = fakeEtcd({});
    const topics = Array.from({ length: 100 }, (_, index) => `/d/t${index}`);

    await run(
      fake,
      topics.map((topic) => failover(topic, '3', { seed: 'never', reliable: false })),
    );

    const keys = fake.commits.flatMap(({ operations }) =>
      operations.flatMap((operation) =>
        'put' in operation && operation.put.startsWith(HISTORY_PREFIX) ? [operation.put] : [],
      ),
    );
    expect(keys.length).toBeGreaterThan(1);
    expect(new Set(keys).size).toBe(keys.length);
    expect(recordsIn(fake).reduce((sum, record) => sum + record.topics, 0)).toBe(100);
  });

  it('is not written for a topic that nobody died for', async () => {
    const fake = fakeEtcd({});

    await run(fake, [assign('/d/new')]);

    expect(recordsIn(fake)).toEqual([]);
  });
});
