import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseReport, type TopicsReport } from '../../api/agent-report.ts';
import { exampleReport } from '../../api/example-report.ts';
import { createTopicListing, type Selection, type TopicListing } from './listing.ts';
import { createTopicTable, type TopicTable } from './topic-table.ts';

interface Figures {
  readonly messages: number;
  readonly producers?: number;
}

let table: TopicTable;
let listing: TopicListing;
let seconds: number;
let counted: Map<string, number>;

beforeEach(() => {
  table = createTopicTable({ maxTopics: 50_000 });
  listing = createTopicListing({ table, cursorPrefix: '1.1' });
  seconds = 0;
  counted = new Map();
  update({});
});

/** One reading in which these topics received so many messages a second, of 100 bytes each. */
function update(topics: Readonly<Record<string, number | Figures>>, owned = 0): void {
  seconds += 1;
  table.begin();
  for (const [name, figures] of Object.entries(topics)) {
    const { messages, producers = 1 } = typeof figures === 'number' ? { messages: figures } : figures;
    const total = (counted.get(name) ?? 0) + messages;
    counted.set(name, total);
    const bytes = Buffer.from(name);
    for (const [metric, value] of [total, total * 100, total * 2, total * 200, producers, 2].entries()) {
      table.add(metric, bytes, 0, bytes.length, value);
    }
  }
  // So that each message costs a millisecond, whatever the others do.
  table.finish({ atMilliseconds: seconds * 1000, cores: messagesOf(topics) / 1000 });
  listing.update({ observedAt: seconds * 1000, owned });
}

function messagesOf(topics: Readonly<Record<string, number | Figures>>): number {
  return Object.values(topics).reduce<number>((sum, it) => sum + (typeof it === 'number' ? it : it.messages), 0);
}

/** Also holds every report against what the operator accepts. */
function report(selection: Selection = { kind: 'all' }): TopicsReport {
  const topics = listing.report(selection);
  expect(parseReport(JSON.stringify({ ...exampleReport, topics }))).toMatchObject({ topics });
  return topics;
}

function names(topics: TopicsReport): readonly string[] {
  return topics.entries.map(([topic]) => topic);
}

function since(cursor: string): TopicsReport {
  return report({ kind: 'since', cursor });
}

/** As users name topics, with Zipf's distribution of traffic: few large ones and a long tail. */
function manyTopics(count: number): Record<string, Figures> {
  const teams = ['payments', 'orders', 'inventory', 'shipping', 'audit', 'clickstream', 'telemetry', 'billing'];
  const kinds = ['created', 'updated', 'deleted', 'failed', 'retry', 'dead-letter', 'snapshot'];
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => {
      const team = teams[(index * 7) % teams.length];
      const name = `/${team}/${kinds[(index * 5) % kinds.length]}-v${index % 3}-part-${(index * 7919) % count}`;
      return [name, { messages: Math.round(1e6 / (index + 1) ** 1.1), producers: (index % 5) + 1 }];
    }),
  );
}

describe('the list of all topics', () => {
  it('has each with its figures to three digits, in the order of names', () => {
    update({ '/b/b': 1_234, '/a/a': 2, '/a/B': 3 });

    expect(report()).toMatchObject({ complete: true, total: 3, rest: { topics: 0 } });
    expect(names(report())).toEqual(['/a/B', '/a/a', '/b/b']);
    expect(report().entries[2]).toEqual(['/b/b', 1_230, 123_000, 2_470, 247_000, 1, 2, null, 1.23]);
  });

  it('leaves out those without traffic; their connections are in the sum', () => {
    update({ a: 5, b: { messages: 0, producers: 3 } }, 4);

    expect(names(report())).toEqual(['a']);
    expect(report()).toMatchObject({ total: 4, rest: { topics: 3, figures: [0, 0, 0, 0, 3, 2, null, 0] } });
  });

  it.each([
    [1_000, 10_000, 300],
    [20_000, 64_000, 2_000],
  ])('of %i topics keeps the whole report below %i bytes, with %i of the largest at least', (count, bytes, least) => {
    update(manyTopics(count), count);

    const topics = report();
    const size = gzipSync(JSON.stringify({ ...exampleReport, topics, nonce: 'x'.repeat(64) })).length;
    expect(size).toBeLessThan(bytes);
    expect(topics.entries.length).toBeGreaterThan(least);
    expect(topics.entries.length + topics.rest.topics).toBe(count);
    const listedMessages = topics.entries.reduce((sum, [, messages]) => sum + (messages ?? 0), 0);
    expect(listedMessages).toBeGreaterThan(5 * (topics.rest.figures[0] ?? 0));
  });

  it('stays below its size with names that do not compress, and grows again when they have gone', () => {
    let state = 1;
    const random = (): string => {
      state = (state * 48_271) % 2_147_483_647;
      return state.toString(36);
    };
    const name = (): string => `/default/${Array.from({ length: 40 }, random).join('')}`;
    update(Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [name(), index + 1])), 1_000);

    expect(gzipSync(JSON.stringify({ ...exampleReport, topics: report() })).length).toBeLessThan(10_000);
    const few = report().entries.length;
    expect(few).toBeGreaterThan(30);

    for (let reading = 0; reading < 30; reading += 1) update(manyTopics(1_000), 1_000);
    expect(report().entries.length).toBeGreaterThan(2 * few);
  });

  it('is taken by the operator however long the names are, with what has gone as well', { timeout: 20_000 }, () => {
    const long = (prefix: string, count: number): Record<string, number> =>
      Object.fromEntries(
        Array.from({ length: count }, (_, index) => [`${prefix}${'\n'.repeat(1_000)}${index}`, 1_000 + index]),
      );
    update(long('a', 600), 5_000);
    const { cursor, entries } = report();
    expect(entries.length).toBeGreaterThan(200);

    for (const prefix of ['b', 'c', 'd', 'e']) update(long(prefix, 300), 5_000);
    const short = Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`short-${index}`, 1_000]));
    for (let reading = 0; reading < 20; reading += 1) update(short, 5_000);
    expect(report().entries.length).toBeGreaterThan(1_000);
    expect(since(cursor).complete).toBe(true);
  });

  it('holds as many when all are equal', () => {
    update(Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`/default/topic-${index}`, 10])), 5_000);

    expect(report().entries.length).toBeGreaterThan(500);
    expect(report().rest.topics).toBe(5_000 - report().entries.length);
  });

  it('sums what is not listed', () => {
    const topics = manyTopics(5_000);
    update(topics, 5_000);

    const { entries, rest } = report();
    const told = entries.reduce((sum, [, messages]) => sum + (messages ?? 0), 0) + (rest.figures[0] ?? 0);
    expect(told / messagesOf(topics)).toBeCloseTo(1, 2);
  });

  it('does not change for topics near the threshold that are now a little more, now a little less', () => {
    const even = Array.from({ length: 5_000 }, (_, index) => [`/default/topic-${index}`, 100 + (index % 10)] as const);
    update(Object.fromEntries(even));
    const { cursor } = report();
    update(Object.fromEntries(even.map(([topic, messages]) => [topic, 209 - messages])));

    expect(since(cursor).gone).toEqual([]);
  });
});

describe('changes since a cursor', () => {
  it('are the topics whose figures have left their band, new ones, and those gone', () => {
    update({ steady: 100, grows: 100, goes: 100, small: 10 });
    const { cursor } = report();
    update({ steady: 109, grows: 111, comes: 100, small: 10 });

    const changes = since(cursor);
    expect(changes.complete).toBe(false);
    expect(names(changes)).toEqual(['comes', 'grows']);
    expect(changes.gone).toEqual(['goes']);
    expect(changes.total).toBe(4);
  });

  it('add up, however small each step', () => {
    update({ a: 100 });
    const { cursor } = report();
    update({ a: 106 });
    expect(names(since(cursor))).toEqual([]);
    update({ a: 112 });

    expect(names(since(cursor))).toEqual(['a']);
  });

  it('are those since that cursor, not since the last question', () => {
    update({ a: 100, b: 100 });
    const first = report().cursor;
    update({ a: 200, b: 100 });
    const second = since(first).cursor;
    update({ a: 200, b: 200 });

    expect(names(since(first))).toEqual(['a', 'b']);
    expect(names(since(second))).toEqual(['b']);
  });

  it('are none right after the report that gave it', () => {
    update({ a: 100 });

    expect(since(report().cursor)).toMatchObject({ complete: false, entries: [], gone: [], cursor: report().cursor });
  });

  it('have what comes to an idle topic: its first connection', () => {
    update({ a: { messages: 10, producers: 0 } });
    const { cursor } = report();
    update({ a: { messages: 10, producers: 1 } });

    expect(names(since(cursor))).toEqual(['a']);
  });

  it('leave out noise: less than a thousandth of what the broker does', () => {
    update({ large: 1_000_000, small: 100 });
    const { cursor } = report();
    update({ large: 1_000_000, small: 300 });

    expect(names(since(cursor))).toEqual([]);
  });

  it('make up the report that they change, whatever happens in between', () => {
    const held = new Map<string, unknown>();
    let cursor = '';
    for (let round = 0; round < 50; round += 1) {
      const topics: Record<string, number> = {};
      for (let index = 0; index < 40; index += 1) {
        const messages = Math.round(1_000 * Math.abs(Math.sin(round * index + index)));
        if ((round * 7 + index) % 5 !== 0) topics[`t${index}`] = messages;
      }
      update(topics, 40);
      // Some readings are missed.
      if (round % 3 === 1) continue;
      const changes = since(cursor);
      if (changes.complete) held.clear();
      for (const topic of changes.gone ?? []) held.delete(topic);
      for (const [topic, messages] of changes.entries) held.set(topic, messages);
      cursor = changes.cursor;

      const all = report();
      const most = all.entries.reduce((sum, [, messages]) => sum + (messages ?? 0), 0);
      expect([...held.keys()].sort()).toEqual(names(all));
      for (const [topic, messages] of all.entries) {
        const difference = Math.abs(Number(held.get(topic)) - (messages ?? 0));
        // Twice the band: it is drawn around what was told in the last change, a complete report tells what is.
        expect(difference).toBeLessThanOrEqual(Math.max(0.2 * Number(messages) + 3, 0.004 * most));
      }
    }
    expect(cursor).not.toBe('');
  });

  it.each(['', 'x', '1.2.2', '1.1.', '1.1.99', '1.1.-1', '1.1.0', '1.1.1e0x', '2.1.2'])(
    'are all topics for the cursor %j, which it does not know',
    (cursor) => {
      update({ a: 100 });

      expect(since(cursor)).toEqual(report());
    },
  );

  it('are all topics when more has gone than there is', () => {
    update({ a: 1, b: 1, c: 1 });
    const { cursor } = report();
    update({ c: 1 });

    expect(since(cursor).complete).toBe(true);
  });
});

describe('one topic by its name', () => {
  function one(topic: string): TopicsReport {
    return report({ kind: 'topic', topic });
  }

  it('is there with its figures, also when it is not listed; the rest is without it', () => {
    update({ a: 5, b: { messages: 0, producers: 3 } }, 4);

    expect(one('a')).toMatchObject({ complete: false, entries: [['a', 5, 500, 10, 1_000, 1, 2, null, 0.005]] });
    expect(one('b')).toMatchObject({ entries: [['b', 0, 0, 0, 0, 3, 2, null, 0]] });
    expect(one('b').rest).toEqual({ topics: 2, figures: [0, 0, 0, 0, 0, 0, null, 0] });
  });

  it('is not there when nothing shows that it is served', () => {
    update({ a: 5 });

    expect(one('b').entries).toEqual([]);
    update({ a: { messages: 0, producers: 0 } });
    expect(one('c').entries).toEqual([]);
  });
});
