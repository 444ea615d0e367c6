import { describe, expect, it } from 'vitest';
import { topicColumns } from '../../api/agent-report.ts';
import { topicMetrics } from './series.ts';
import { createTopicTable, type TopicTable } from './topic-table.ts';

type Column = (typeof topicColumns)[number];
type Figures = Partial<Record<Column, number>>;

/** Reads these figures of these topics; a list of figures stands for several series. */
function read(table: TopicTable, atSeconds: number, topics: Record<string, Figures | Figures[]>, cores = 1): void {
  table.begin();
  for (const [name, figures] of Object.entries(topics)) {
    for (const one of [figures].flat()) {
      for (const [column, value] of Object.entries(one)) {
        const bytes = Buffer.from(name);
        table.add(topicColumns.indexOf(column as Column), bytes, 0, bytes.length, value);
      }
    }
  }
  table.finish({ atMilliseconds: atSeconds * 1000, cores });
}

function figuresOf(table: TopicTable, name: string): Record<Column, number> {
  const topic = table.find(name);
  const values = table.figures().map((column) => column[topic] ?? Number.NaN);
  return Object.fromEntries(topicColumns.map((column, index) => [column, values[index]])) as Record<Column, number>;
}

it('has a column for each metric, in the order of the report', () => {
  expect(topicMetrics.length).toBe(topicColumns.indexOf('cpu'));
});

describe('rates', () => {
  it('are differences over the time between two readings, of all series together', () => {
    const table = createTopicTable({ maxTopics: 10 });
    read(table, 0, { a: [{ messagesIn: 100, bytesIn: 1_000, messagesOut: 50 }, { messagesOut: 7 }] });
    read(table, 10, { a: [{ messagesIn: 150, bytesIn: 6_000, messagesOut: 90 }, { messagesOut: 17 }] });

    expect(figuresOf(table, 'a')).toMatchObject({ messagesIn: 5, bytesIn: 500, messagesOut: 5, bytesOut: 0 });
  });

  it('are unknown in the first reading, connections are not', () => {
    const table = createTopicTable({ maxTopics: 10 });
    read(table, 0, { a: { messagesIn: 100, producers: 2 } });

    expect(figuresOf(table, 'a')).toMatchObject({ messagesIn: Number.NaN, bytesOut: Number.NaN, producers: 2 });
    expect(figuresOf(table, 'a').cpu).toBeNaN();
  });

  it('of a topic that is new count from 0', () => {
    const table = createTopicTable({ maxTopics: 10 });
    read(table, 0, {});
    read(table, 10, { a: { messagesIn: 50 } });

    expect(figuresOf(table, 'a').messagesIn).toBe(5);
  });

  it('are unknown once when a counter has gone back', () => {
    const table = createTopicTable({ maxTopics: 10 });
    read(table, 0, { a: { messagesIn: 1_000, messagesOut: 10 } });
    read(table, 10, { a: { messagesIn: 5, messagesOut: 20 } });
    expect(figuresOf(table, 'a')).toMatchObject({ messagesIn: Number.NaN, messagesOut: 1 });

    read(table, 20, { a: { messagesIn: 15, messagesOut: 20 } });
    expect(figuresOf(table, 'a')).toMatchObject({ messagesIn: 1, messagesOut: 0 });
  });

  it('are unknown once when a topic comes back that was missing, and 0 while it is missing', () => {
    const table = createTopicTable({ maxTopics: 10 });
    read(table, 0, { a: { messagesIn: 1_000, producers: 1 } });
    read(table, 10, {});
    expect(figuresOf(table, 'a')).toMatchObject({ messagesIn: 0, producers: 0 });

    read(table, 20, { a: { messagesIn: 2_000 } });
    expect(figuresOf(table, 'a').messagesIn).toBeNaN();

    read(table, 30, { a: { messagesIn: 2_010 } });
    expect(figuresOf(table, 'a').messagesIn).toBe(1);
  });

  it('span a reading that was not finished', () => {
    const table = createTopicTable({ maxTopics: 10 });
    read(table, 0, { a: { messagesIn: 100 } });
    table.begin();
    table.add(0, Buffer.from('a'), 0, 1, 110);
    table.add(0, Buffer.from('b'), 0, 1, 30);
    read(table, 20, { a: { messagesIn: 140 }, b: { messagesIn: 40 } });

    expect(figuresOf(table, 'a').messagesIn).toBe(2);
    expect(figuresOf(table, 'b').messagesIn).toBe(2);
  });
});

describe('a topic whose series stand still', () => {
  it('has 0 everywhere, whether it is idle or has moved away, and its lag is unknown', () => {
    const table = createTopicTable({ maxTopics: 10 });
    for (const atSeconds of [0, 10]) read(table, atSeconds, { a: { messagesIn: 9, producers: 0, consumers: 0 } });

    expect(figuresOf(table, 'a')).toEqual({
      messagesIn: 0,
      bytesIn: 0,
      messagesOut: 0,
      bytesOut: 0,
      producers: 0,
      consumers: 0,
      lag: Number.NaN,
      cpu: 0,
    });
  });
});

describe('CPU', () => {
  it('is shared out by traffic, all of it', () => {
    const table = createTopicTable({ maxTopics: 10 });
    read(table, 0, {});
    read(table, 1, { a: { messagesIn: 100, messagesOut: 200 }, b: { bytesIn: 819_200 }, c: { producers: 1 } }, 0.8);

    expect(figuresOf(table, 'a').cpu).toBeCloseTo(0.6);
    expect(figuresOf(table, 'b').cpu).toBeCloseTo(0.2);
    expect(figuresOf(table, 'c').cpu).toBe(0);
  });

  it('is unknown when that of the broker is', () => {
    const table = createTopicTable({ maxTopics: 10 });
    read(table, 0, {});
    table.begin();
    table.add(0, Buffer.from('a'), 0, 1, 30);
    table.finish({ atMilliseconds: 1_000, cores: null });

    expect(figuresOf(table, 'a').cpu).toBeNaN();
  });
});

describe('room', () => {
  it('is made for as many topics as there are, up to the bound', () => {
    const table = createTopicTable({ maxTopics: 1_000 });
    const topics = Object.fromEntries(Array.from({ length: 1_003 }, (_, index) => [`t${index}`, { bytesIn: index }]));
    read(table, 0, {});
    read(table, 1, topics);

    expect(table.size()).toBe(1_000);
    expect(table.refused()).toBe(3);
    expect(figuresOf(table, 't999').bytesIn).toBe(999);
    expect(figuresOf(table, 't0').bytesIn).toBe(0);
  });
});
