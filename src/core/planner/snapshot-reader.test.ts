import { describe, expect, it } from 'vitest';
import { BrokerRole } from './input.ts';
import { createSnapshotReader } from './snapshot-reader.ts';

const HEADER = {
  kind: 'ClusterSnapshot',
  version: 1,
  resources: ['cpu', 'memory'],
  brokers: [
    { id: 'b0', capacity: [4, 16], labels: { zone: 'a' } },
    { id: 'b1', capacity: [8, 32] },
  ],
};
const TOPIC = { topic: '/default/a', broker: 'b1', load: [0.5, 2] };

function read(...lines: readonly unknown[]) {
  const reader = createSnapshotReader();
  for (const line of lines) reader.line(typeof line === 'string' ? line : JSON.stringify(line));
  return reader.finish();
}

describe('a snapshot', () => {
  it('becomes rows of numbers', () => {
    const snapshot = read(HEADER, TOPIC, '', {
      topic: '/default/b',
      broker: 'b0',
      load: [1, 1],
      reliable: true,
      connections: 3,
      movable: 'Backlog',
    });

    expect(snapshot).toEqual({
      input: {
        resources: ['cpu', 'memory'],
        brokers: ['b0', 'b1'],
        topics: ['/default/a', '/default/b'],
        capacity: Float64Array.of(4, 16, 8, 32),
        loads: Float64Array.of(0.5, 2, 1, 1),
        owner: Int32Array.of(1, 0),
        immovable: { of: Uint8Array.of(0, 1), reasons: ['Backlog'] },
      },
      labels: [{ zone: 'a' }, {}],
      reliable: Uint8Array.of(0, 1),
      connections: Float64Array.of(0, 3),
      ignored: [],
    });
  });

  it('may say which brokers are cordoned or draining, how old topics are and when they moved', () => {
    const [b0, b1] = HEADER.brokers;
    const snapshot = read(
      {
        ...HEADER,
        brokers: [
          { ...b0, state: 'Cordoned' },
          { ...b1, state: 'Draining' },
        ],
      },
      TOPIC,
      { ...TOPIC, topic: '/default/b', ageSeconds: 30, movedSecondsAgo: 5 },
    );

    expect(snapshot).toMatchObject({
      input: { roles: Uint8Array.of(BrokerRole.Closed, BrokerRole.Draining) },
      ageSeconds: Float64Array.of(Infinity, 30),
      movedSecondsAgo: Float64Array.of(Infinity, 5),
    });
  });

  it('names the fields that it has and that mean nothing, each once', () => {
    const snapshot = read(
      { ...HEADER, zone: 'a' },
      { ...TOPIC, moveable: false },
      { ...TOPIC, topic: '/a/b', moveable: true },
    );

    expect(snapshot).toMatchObject({
      ignored: ['line 1: "zone" is not a field', 'line 2: "moveable" is not a field'],
    });
  });

  it('may have more topics than were expected', () => {
    const topics = Array.from({ length: 3_000 }, (_, index) => ({
      ...TOPIC,
      topic: `/default/t${index}`,
      load: [index, 1],
    }));

    const snapshot = read(HEADER, ...topics);

    expect(snapshot).toMatchObject({ input: { topics: { length: 3_000 }, owner: { length: 3_000 } } });
    expect('input' in snapshot && snapshot.input.loads[2 * 2_999]).toBe(2_999);
  });
});

describe('bad input is refused with the line, the field and what was expected', () => {
  it.each([
    [[], 'the snapshot is empty: expected a first line with "kind": "ClusterSnapshot"'],
    [['{"kind"'], /^line 1: expected a JSON object: /],
    [[TOPIC], 'line 1: kind: expected "ClusterSnapshot" in the first line, found nothing'],
    [[{ ...HEADER, version: 2 }], 'line 1: version: expected 1, found 2'],
    [
      [{ ...HEADER, resources: ['cpu', 'cpu'] }],
      'line 1: resources: expected a list of 1 to 32 different names, found ["cpu","cpu"]',
    ],
    [[{ ...HEADER, brokers: [] }], 'line 1: brokers: expected a list of at least one broker, found []'],
    [
      [{ ...HEADER, brokers: [{ id: 'b0', capacity: [4, 0] }] }],
      'line 1: brokers[0].capacity: expected a list of 2 numbers, greater than 0, at most 1e18 (cpu, memory), found [4,0]',
    ],
    [
      [{ ...HEADER, brokers: [HEADER.brokers[0], HEADER.brokers[0]] }],
      'line 1: brokers: expected each id once, found "b0" twice',
    ],
    [
      [{ ...HEADER, brokers: [{ id: 'b0', capacity: [1, 1], labels: { zone: 1 } }] }],
      'line 1: brokers[0].labels: expected an object of texts, found an object',
    ],
    [[HEADER, [1]], 'line 2: expected a JSON object'],
    [[HEADER, { ...TOPIC, topic: '' }], 'line 2: topic: expected a name of 1 to 1024 characters, found ""'],
    [[HEADER, TOPIC, TOPIC], 'line 3: topic: expected each topic once, found "/default/a" again'],
    [
      [HEADER, '', { ...TOPIC, broker: 'b9' }],
      'line 3: broker: expected the id of a broker of the first line, found "b9"',
    ],
    [
      [HEADER, { ...TOPIC, load: [1] }],
      'line 2: load: expected a list of 2 numbers, not negative, at most 1e18 (cpu, memory), found [1]',
    ],
    [
      [HEADER, { ...TOPIC, load: [1, -1] }],
      'line 2: load: expected a list of 2 numbers, not negative, at most 1e18 (cpu, memory), found [1,-1]',
    ],
    [[HEADER, '{"topic":"/a/b","broker":"b0","load":[1e999,1]}'], /^line 2: load: .*, found \[Infinity,1\]$/],
    [[HEADER, { ...TOPIC, reliable: 'yes' }], 'line 2: reliable: expected true or false, found "yes"'],
    [[HEADER, { ...TOPIC, connections: -1 }], 'line 2: connections: expected a number, not negative, found -1'],
    [
      [{ ...HEADER, brokers: [{ ...HEADER.brokers[0], state: 'Lost' }] }],
      'line 1: brokers[0].state: expected Active, Cordoned, Draining, found "Lost"',
    ],
    [[HEADER, { ...TOPIC, ageSeconds: '1h' }], 'line 2: ageSeconds: expected seconds, not negative, found "1h"'],
    [[HEADER, { ...TOPIC, movedSecondsAgo: -1 }], 'line 2: movedSecondsAgo: expected seconds, not negative, found -1'],
    [
      [HEADER, { ...TOPIC, topic: 'x'.repeat(1025) }],
      /^line 2: topic: expected a name of 1 to 1024 characters, found "x{79}…$/,
    ],
    [[HEADER, { ...TOPIC, movable: '' }], 'line 2: movable: expected true, or the reason why not, found ""'],
  ])('%j', (lines, problem) => {
    expect(read(...lines)).toEqual({ problem: typeof problem === 'string' ? problem : expect.stringMatching(problem) });
  });

  it('of one resource in the singular', () => {
    const header = { ...HEADER, resources: ['cpu'], brokers: [{ id: 'b0', capacity: [] }] };

    expect(read(header)).toEqual({ problem: expect.stringContaining('expected a list of 1 number, greater than 0') });
  });

  it.each([
    ['load', '"broker":"b0"', '[a list]'],
    ['broker', '"load":[1,1]', '[a list]'],
  ])('however deep it goes in %s', (field, more, found) => {
    const deep = `{"topic":"/a/b",${more},"${field}":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;

    expect(read(HEADER, deep)).toEqual({
      problem: expect.stringMatching(new RegExp(`^line 2: ${field}: expected .*, found ${RegExp.escape(found)}$`)),
    });
  });

  it('reports the first problem', () => {
    expect(read(HEADER, { ...TOPIC, broker: 'b8' }, { ...TOPIC, broker: 'b9' })).toMatchObject({
      problem: expect.stringMatching(/^line 2/),
    });
  });
});
