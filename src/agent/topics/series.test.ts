import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readFixture } from './fixtures.ts';
import { createLineReader } from './line-reader.ts';
import { createSeriesReader, topicMetrics } from './series.ts';

interface Figure {
  readonly metric: (typeof topicMetrics)[number] | undefined;
  readonly topic: string;
  readonly value: number;
}

function read(text: string): { figures: Figure[]; owned: object[]; unreadable: number } {
  const figures: Figure[] = [];
  const owned: object[] = [];
  const series = createSeriesReader({
    onTopicFigure: (metric, bytes, start, end, value) => {
      figures.push({ metric: topicMetrics[metric], topic: Buffer.from(bytes.subarray(start, end)).toString(), value });
    },
    onTopicsOwned: (value, broker) => owned.push({ value, broker }),
  });
  createLineReader({ maxLineBytes: 8_192, onLine: series.readLine }).push(Buffer.from(text));
  return { figures, owned, unreadable: series.unreadable() };
}

function topicLine(labels: string, rest = ' 7'): string {
  return `danube_topic_bytes_in_total{${labels}}${rest}\n`;
}

describe('the recorded metrics of a real broker', () => {
  it('give the figures of each topic, and none without a topic', () => {
    const { figures, owned, unreadable } = read(readFixture('metrics-busy'));
    const ofPingpong = figures.filter(({ topic }) => topic === '/default/pingpong');

    expect(ofPingpong).toEqual([
      { metric: 'danube_topic_bytes_in_total', topic: '/default/pingpong', value: 650 },
      { metric: 'danube_topic_messages_in_total', topic: '/default/pingpong', value: 130 },
      { metric: 'danube_consumer_messages_out_total', topic: '/default/pingpong', value: 118 },
      { metric: 'danube_consumer_bytes_out_total', topic: '/default/pingpong', value: 590 },
      { metric: 'danube_topic_active_consumers', topic: '/default/pingpong', value: 0 },
      { metric: 'danube_topic_active_producers', topic: '/default/pingpong', value: 0 },
    ]);
    expect(new Set(figures.map(({ topic }) => topic)).size).toBe(10);
    expect(owned).toEqual([{ value: 10, broker: '4195421377007271117' }]);
    expect(unreadable).toBe(0);
  });

  it('add up to as much as a plain reading of the text', () => {
    const text = readFixture('metrics-busy');
    const plain = [...text.matchAll(/^danube_topic_bytes_in_total\{.*topic=.*\} (\d+)$/gm)].map((it) => Number(it[1]));
    const { figures } = read(text);
    const bytesIn = figures.filter(({ metric }) => metric === 'danube_topic_bytes_in_total').map(({ value }) => value);

    expect(bytesIn).toEqual(plain);
    expect(bytesIn.reduce((sum, value) => sum + value, 0)).toBe(5_815);
  });

  it('have a lag that is no topic’s, and it is not read', () => {
    expect(readFixture('metrics-busy')).toContain('danube_subscription_lag_messages{');
    expect(read(readFixture('metrics-busy')).figures.map(({ metric }) => metric)).not.toContain(
      'danube_subscription_lag_messages',
    );
  });
});

describe('a series is read', () => {
  it.each([
    ['wherever its label stands', 'broker="1",topic="/default/a",subscription="s"'],
    ['with a comma at the end', 'topic="/default/a",'],
    ['with spaces between labels', 'broker="1", topic="/default/a"'],
  ])('%s', (_, labels) => {
    expect(read(topicLine(labels)).figures).toMatchObject([{ topic: '/default/a', value: 7 }]);
  });

  it.each([
    ['3.5', 3.5],
    ['1e3', 1_000],
    ['+2', 2],
    ['0', 0],
    ['7 1700000000000', 7],
    ['18446744073709551615', 2 ** 64],
  ])('with the value %s', (text, value) => {
    expect(read(topicLine('topic="a"', ` ${text}`)).figures).toMatchObject([{ value }]);
  });

  it('with a name that is written with escapes', () => {
    expect(read(topicLine(String.raw`topic="a\"b\\c\nd}",broker="x"`)).figures).toMatchObject([
      { topic: 'a"b\\c\nd}' },
    ]);
  });

  it('with a lag that has a topic, as a later broker may have', () => {
    expect(read('danube_subscription_lag_messages{topic="a",subscription="s"} 5\n').figures).toEqual([
      { metric: 'danube_subscription_lag_messages', topic: 'a', value: 5 },
    ]);
  });
});

describe('a series is not read', () => {
  it.each([
    ['without labels', 'danube_topic_bytes_in_total 7\n'],
    ['without a topic', topicLine('broker="1"')],
    ['with a topic that is only like one', topicLine('my_topic="a",topics="b"')],
    ['of another metric', 'danube_topic_bytes_in_total_sum{topic="a"} 7\ndanube_topic_bytes_in{topic="a"} 7\n'],
    ['in a comment', '# danube_topic_bytes_in_total{topic="a"} 7\n'],
  ])('%s', (_, text) => {
    expect(read(text)).toEqual({ figures: [], owned: [], unreadable: 0 });
  });

  it.each([
    ['NaN', 'topic="a"', ' NaN'],
    ['infinite', 'topic="a"', ' +Inf'],
    ['negative', 'topic="a"', ' -1'],
    ['beyond what can be counted', 'topic="a"', ' 1e300'],
    ['hexadecimal', 'topic="a"', ' 0x10'],
    ['without a value', 'topic="a"', ''],
    ['with an empty value', 'topic="a"', ' '],
    ['with a label that does not end', 'topic="a', ' 7'],
    ['with a label that has no quotes', 'topic=a', ' 7'],
    ['that ends in an escape', 'topic="a\\', ''],
  ])('but counted as unreadable when it is %s', (_, labels, rest) => {
    expect(read(topicLine(labels, rest))).toMatchObject({ figures: [], unreadable: 1 });
  });

  it('among those of a metric that is not wanted, all of which are passed over', () => {
    const text = '# TYPE danube_wal_append_total counter\ndanube_wal_append_total{topic="a"} 1\n';
    const unwanted = 'danube_topic_bytes_in_total{topic="b"} 2\n# HELP danube_topic_bytes_in_total Bytes\n';
    const type = '# TYPE danube_topic_bytes_in_total counter\n';

    expect(read(text + unwanted + type + topicLine('topic="c"')).figures).toMatchObject([{ topic: 'c' }]);
  });

  it('beyond the end of its line', () => {
    expect(read('danube_topic_bytes_in_total{\ntopic="a"} 7\n').figures).toEqual([]);
    expect(read('danube_topic_bytes_in_total{topic="a"}\n 7\n').figures).toEqual([]);
  });
});

describe('whatever the exposition', () => {
  it('its names and values come through', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1 }).map((it) => it.toWellFormed());
    const value = fc.oneof(fc.nat(), fc.double({ min: 0, max: 2 ** 53, noNaN: true }));

    fc.assert(
      fc.property(name, name, value, (topic, subscription, figure) => {
        const labels = `subscription="${escaped(subscription)}",topic="${escaped(topic)}"`;

        expect(read(topicLine(labels, ` ${figure}`)).figures).toEqual([
          { metric: 'danube_topic_bytes_in_total', topic, value: Object.is(figure, -0) ? 0 : figure },
        ]);
      }),
    );
  });

  it('nonsense gives no nonsense', () => {
    const piece = fc.constantFrom(
      'danube_topic_bytes_in_total',
      '{',
      '}',
      'topic',
      '=',
      '"',
      '\\',
      ',',
      ' ',
      '1',
      '\n',
    );

    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        for (const { value } of read(`${pieces.join('')}\n`).figures) expect(value).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
