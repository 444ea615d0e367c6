import { describe, expect, it } from 'vitest';
import type { RankingAlgorithm } from '../api/rebalance-policy.ts';
import { judgeBroker, judgeBrokers } from './brokers.ts';
import { createPlacement, rankBrokers, rankingInputs } from './placement.ts';
import type { Snapshot } from './snapshot.ts';
import { type AgentParts, buildSnapshot, type SnapshotParts } from './snapshot-builder.ts';

function placementOf(parts: SnapshotParts, algorithm: RankingAlgorithm = 'DanubeFair') {
  const snapshot = buildSnapshot(parts);
  return createPlacement(snapshot, judgeBrokers(snapshot), algorithm);
}

const topics = (owner: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({ name: `/default/${owner}${index}`, owners: [owner] }));

function inputOf(snapshot: Snapshot, id: string) {
  const [input] = rankingInputs(snapshot, [judgeBroker(snapshot, id)]);
  if (input === undefined) throw new Error('one broker has one input');
  return input;
}

const NOBODY = new Set<string>();

describe('a topic without an owner', () => {
  it('goes to the least loaded broker', () => {
    const placement = placementOf({
      brokers: [{ id: '1' }, { id: '2' }, { id: '3' }],
      topics: [...topics('1', 3), ...topics('2', 1), ...topics('3', 2)],
    });

    expect(placement.place(NOBODY)).toBe('2');
  });

  it('counts for that broker from then on, so that the next one may go elsewhere', () => {
    const placement = placementOf({ brokers: [{ id: '1' }, { id: '2' }], topics: topics('1', 2) });

    expect([1, 2, 3, 4].map(() => placement.place(NOBODY))).toEqual(['2', '2', '1', '2']);
  });

  it('goes to the next best broker if the best is to be avoided, and nowhere if all are', () => {
    const placement = placementOf({ brokers: [{ id: '1' }, { id: '2' }], topics: topics('2', 5) });

    expect(placement.place(new Set(['1']))).toBe('2');
    expect(placement.place(new Set(['1', '2']))).toBeUndefined();
  });

  it('goes only where topics are taken', () => {
    const placement = placementOf({
      brokers: [
        { id: '1', mode: 'draining' },
        { id: '2', reportedAt: false },
        { id: '3', registered: false },
      ],
    });

    expect(placement.place(NOBODY)).toBeUndefined();
  });
});

describe('the order of brokers', () => {
  it('is by score, then topics, then id, and ranks count from 1', () => {
    const input = inputOf(buildSnapshot({ brokers: [{ id: '1' }] }), '1');
    const brokers = [
      { ...input, broker: 'd', topicCount: 1 },
      { ...input, broker: 'c', topicCount: 1 },
      { ...input, broker: 'b', topicCount: 0, cpuPercent: 10 },
      { ...input, broker: 'a', topicCount: 5 },
    ];

    const ranks = rankBrokers('DanubeBalanced', brokers);

    expect(ranks).toEqual([
      { broker: 'c', score: 0, rank: 1 },
      { broker: 'd', score: 0, rank: 2 },
      { broker: 'a', score: 0, rank: 3 },
      { broker: 'b', score: 3, rank: 4 },
    ]);
    expect(rankBrokers('DanubeBalanced', brokers.toReversed())).toEqual(ranks);
  });
});

describe('what a broker is ranked by', () => {
  const snapshot = buildSnapshot({
    pods: [{ name: 'danube-0', container: { runningSince: 0 } }],
    brokers: [
      {
        id: '1',
        pod: 'danube-0',
        load: { bytesPerSecond: 2_500_000, connections: 7, backlogMessages: 40, messagesPerSecond: 9 },
      },
      { id: '2' },
    ],
    topics: topics('1', 3),
    agents: { 'danube-0': { cpuCores: 0.5, cpuLimitCores: 2, memoryBytes: 300, memoryLimitBytes: 400 } },
  });

  it('is assignments, its own report of traffic, and its agent’s CPU and memory', () => {
    expect(inputOf(snapshot, '1')).toEqual({
      broker: '1',
      topicCount: 3,
      megabytesPerSecond: 2.5,
      connections: 7,
      backlogMessages: 40,
      cpuPercent: 25,
      memoryPercent: 75,
      diskIo: 0,
      networkIo: 2.5,
      throughput: 2.5,
    });
  });

  it('is 0 where nothing is known', () => {
    const { broker, ...figures } = inputOf(snapshot, '2');

    expect(broker).toBe('2');
    expect(new Set(Object.values(figures))).toEqual(new Set([0]));
  });

  it.each([
    ['no limit and a node of unknown size', { cpuCores: 1, sample: { node: { cores: null, memoryBytes: null } } }],
    ['a limit of 0', { cpuCores: 1, cpuLimitCores: 0 }],
    ['no figure', { cpuCores: null, cpuLimitCores: 2 }],
  ])('has no CPU with %s', (_what, usage) => {
    const parts = { pods: [{ name: 'p', container: { runningSince: 0 } }], brokers: [{ id: '1', pod: 'p' }] };
    const without = buildSnapshot({ ...parts, agents: { p: usage } });

    expect(inputOf(without, '1').cpuPercent).toBe(0);
  });
});

describe('a broker whose figures cannot be used', () => {
  const LIES: readonly [string, Partial<AgentParts>][] = [
    ['another container’s cgroup', { sample: { identity: { state: 'unproven', reason: 'x' } } }],
    ['more than its limit', { cpuCores: 50, cpuLimitCores: 2 }],
    ['of long ago', { seenAt: 900 }],
    ['of a process that is gone', { sample: { broker: null } }],
  ];
  const busy = { cpuCores: 1.6, cpuLimitCores: 2, memoryBytes: 800, memoryLimitBytes: 1000 };
  const calm = { cpuCores: 0.4, cpuLimitCores: 2, memoryBytes: 200, memoryLimitBytes: 1000 };

  function parts(second: Partial<AgentParts>): SnapshotParts {
    const names = ['p1', 'p2', 'p3'];
    return {
      pods: names.map((name) => ({ name, container: { runningSince: 0 } })),
      brokers: names.map((pod, index) => ({ id: String(index + 1), pod })),
      agents: { p1: busy, p2: { ...calm, cpuCores: 0, memoryBytes: 0, ...second }, p3: calm },
    };
  }

  it.each(LIES)('(%s) counts as the mean of the others, neither idle nor busy', (_what, lie) => {
    const snapshot = buildSnapshot(parts(lie));

    const inputs = rankingInputs(snapshot, [...judgeBrokers(snapshot).values()]);

    expect(inputs.map(({ cpuPercent }) => cpuPercent)).toEqual([80, 50, 20]);
    expect(inputs.map(({ memoryPercent }) => memoryPercent)).toEqual([80, 50, 20]);
    expect(rankBrokers('DanubeBalanced', inputs).map(({ broker }) => broker)).toEqual(['3', '2', '1']);
  });

  it.each(LIES)('(%s) does not draw the next topic', (_what, lie) => {
    expect(placementOf(parts(lie), 'DanubeBalanced').place(NOBODY)).toBe('3');
  });

  it('would, were its figures true: it says that it is idle', () => {
    expect(placementOf(parts({}), 'DanubeBalanced').place(NOBODY)).toBe('2');
  });
});
