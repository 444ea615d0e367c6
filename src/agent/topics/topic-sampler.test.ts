import { beforeEach, describe, expect, it } from 'vitest';
import { type TopicsReport, topicColumns } from '../../api/agent-report.ts';
import type { Problem } from '../../api/problem.ts';
import { readFixture } from './fixtures.ts';
import { type CpuCounter, createTopicSampler, type TopicSampler } from './topic-sampler.ts';

let exposition: string;
let problem: Problem | null;
let cpu: CpuCounter | null;
let now: number;
let sampler: TopicSampler;

beforeEach(() => {
  exposition = '';
  problem = null;
  cpu = null;
  now = 0;
  sampler = createTopicSampler({
    fetchExposition: async (onChunk) => {
      onChunk(Buffer.from(exposition));
      return problem;
    },
    clock: { wallMilliseconds: () => 1_700_000_000_000 + now, monotonicMilliseconds: () => now },
    readCpu: () => cpu,
    agentStartedAt: 1_699_999_000_000,
  });
});

async function sampleAt(seconds: number, text: string): Promise<void> {
  now = seconds * 1000;
  exposition = text;
  await sampler.sample();
}

function topics(): TopicsReport {
  const { topics, topicsReason } = sampler.report({ kind: 'all' });
  if (topics === null) throw new Error(`there are no topics: ${topicsReason}`);
  return topics;
}

function reason(): string | null {
  return sampler.report({ kind: 'all' }).topicsReason;
}

/** A broker that serves so many topics, with these counts of messages received. */
function brokerWith(
  messages: Record<string, number>,
  { broker = '7', owned = Object.keys(messages).length } = {},
): string {
  const lines = Object.entries(messages).map(
    ([topic, count]) => `danube_topic_messages_in_total{broker="${broker}",topic="${topic}"} ${count}\n`,
  );
  return `${lines.join('')}danube_broker_topics_owned{broker="${broker}"} ${owned}\n`;
}

/** A sampler of its own, whose broker answers each request with the next of these, so many seconds late. */
async function sampleLate(
  answers: readonly { at: number; lateSeconds: number; text: string }[],
): Promise<TopicsReport> {
  const left = [...answers];
  let seconds = 0;
  const late = createTopicSampler({
    fetchExposition: async (onChunk) => {
      const answer = left.shift();
      seconds += answer?.lateSeconds ?? 0;
      onChunk(Buffer.from(answer?.text ?? ''));
      // Its end may come later still.
      seconds += 1;
      return null;
    },
    clock: { wallMilliseconds: () => seconds * 1000, monotonicMilliseconds: () => seconds * 1000 },
    // As the agent does, once every 10 s.
    readCpu: () => ({
      series: 'one',
      seconds: seconds < 20 ? 0 : 4,
      atMilliseconds: Math.floor(seconds / 10) * 10_000,
    }),
    agentStartedAt: 1,
  });
  for (const { at } of answers) {
    seconds = at;
    await late.sample();
  }
  const { topics, topicsReason } = late.report({ kind: 'all' });
  if (topics === null) throw new Error(`there are no topics: ${topicsReason}`);
  return topics;
}

describe('the recorded metrics of a real broker', () => {
  /** The same broker before any of this was counted: its series are not there yet. */
  const before = brokerWith({}, { broker: '4195421377007271117' });

  it('give each topic its rates when they were counted between two readings', async () => {
    await sampleAt(0, before);
    await sampleAt(10, readFixture('metrics-busy'));

    const { entries, columns, rest, total } = topics();
    expect(columns).toEqual(topicColumns);
    expect(Object.fromEntries(entries.map(([topic, ...figures]) => [topic, figures.slice(0, 4)]))).toEqual({
      '/default/backlog': [20, 100, 12, 60],
      '/default/backlognm': [20, 100, 12.1, 60.5],
      '/default/backlognm2': [20, 100, 12, 60],
      '/default/fo-rel': [2, 10, 0, 0],
      '/default/fo-resc': [2, 10, 2, 10],
      '/default/pingpong': [13, 65, 11.8, 59],
      '/default/rebal': [12, 60, 10.7, 53.5],
      '/default/reconn': [2.8, 14, 0, 0],
      '/default/rel5': [8, 40, 6.5, 32.5],
      '/default/rel6': [16.5, 82.5, 15.3, 76.5],
    });
    expect({ rest, total }).toEqual({ rest: { topics: 0, figures: [0, 0, 0, 0, 0, 0, 0, 0] }, total: 10 });
  });

  it('are all of topics that have moved away: none is listed, and those served are counted by the gauge', async () => {
    await sampleAt(0, readFixture('metrics-busy'));
    await sampleAt(10, readFixture('metrics-busy'));

    // The ten topics that it owned then (nat-1, nat-6, nat-b1 to nat-b7, part-part-2) had no traffic, hence no series.
    expect(topics()).toMatchObject({ entries: [], total: 10, rest: { topics: 10 } });
  });

  it('of another broker do not count as growth', async () => {
    await sampleAt(0, readFixture('metrics-quiet'));
    await sampleAt(10, readFixture('metrics-busy'));
    expect(reason()).toContain('it was 5415487778015639281 and is 4195421377007271117');

    await sampleAt(20, readFixture('metrics-busy'));
    expect(topics()).toMatchObject({ entries: [], rest: { figures: [null, null, null, null, 0, 0, null, null] } });
    await sampleAt(30, readFixture('metrics-busy'));
    expect(topics()).toMatchObject({ entries: [], rest: { figures: [0, 0, 0, 0, 0, 0, null, null] } });
  });
});

describe('a reading', () => {
  it('that failed is said, and the next one spans both', async () => {
    await sampleAt(0, brokerWith({ a: 0 }));
    problem = { problem: 'the answer was cut off 4 bytes early' };
    await sampleAt(10, brokerWith({}));
    expect(sampler.report({ kind: 'all' })).toEqual({
      topics: null,
      topicsReason: "the broker's metrics are not known: the answer was cut off 4 bytes early",
    });

    problem = null;
    await sampleAt(20, brokerWith({ a: 100 }));
    expect(topics().entries).toEqual([['a', 5, 0, 0, 0, 0, 0, null, null]]);
  });

  it('of something else than a broker is no reading', async () => {
    await sampleAt(0, 'node_cpu_seconds_total{cpu="0"} 17\n');

    expect(reason()).toContain('no danube_broker_topics_owned');
  });

  it('has a time, and a number that grows whatever comes of it', async () => {
    await sampleAt(0, brokerWith({ a: 0 }));
    await sampleAt(10, '');
    await sampleAt(20, brokerWith({ a: 0 }));

    expect(sampler.readings()).toBe(3);
    expect(topics().observedAt).toBe(1_700_000_020_000);
  });

  it('is not begun while another goes on', async () => {
    await Promise.all([sampler.sample(), sampler.sample()]);

    expect(sampler.readings()).toBe(1);
  });

  it('counts what it left out', async () => {
    const long = `danube_topic_bytes_in_total{topic="${'x'.repeat(9_000)}"} 1\n`;
    const longName = `danube_topic_bytes_in_total{topic="${'x'.repeat(1_025)}"} 1\n`;
    await sampleAt(0, `danube_topic_bytes_in_total{topic="a"} NaN\n${long}${longName}${brokerWith({ a: 1 })}`);

    expect(sampler.skippedLines()).toBe(3);
    expect(topics().total).toBe(1);
  });

  it('has the time of its answer, however late that comes', async () => {
    const { observedAt, entries } = await sampleLate([
      { at: 0, lateSeconds: 0, text: brokerWith({ a: 0 }) },
      { at: 10, lateSeconds: 8, text: brokerWith({ a: 18_000 }) },
      { at: 20, lateSeconds: 0, text: brokerWith({ a: 20_000 }) },
    ]);

    expect(observedAt).toBe(20_000);
    expect(entries[0]?.slice(0, 2)).toEqual(['a', 1_000]);
  });

  it('has the CPU of the time of its answer', async () => {
    const { entries } = await sampleLate([
      { at: 0, lateSeconds: 0, text: brokerWith({ a: 0 }) },
      { at: 12, lateSeconds: 8, text: brokerWith({ a: 100 }) },
    ]);

    expect(entries[0]?.at(-1)).toBe(0.2);
  });

  it('before the first there is none', () => {
    expect(reason()).toContain('have not been read yet');
  });
});

describe('the CPU of topics', () => {
  it('is that of the broker between the same two readings', async () => {
    cpu = { series: 'one', seconds: 100, atMilliseconds: 0 };
    await sampleAt(0, brokerWith({ a: 0, b: 0 }));
    cpu = { series: 'one', seconds: 104, atMilliseconds: 10_000 };
    await sampleAt(10, brokerWith({ a: 300, b: 100 }));

    expect(topics().entries.map(([topic, ...figures]) => [topic, figures.at(-1)])).toEqual([
      ['a', 0.3],
      ['b', 0.1],
    ]);
  });

  it.each([
    ['is not known', null],
    ['is counted from another point', { series: 'two', seconds: 104, atMilliseconds: 10_000 }],
    ['has gone back', { series: 'one', seconds: 99, atMilliseconds: 10_000 }],
  ])('is unknown when that of the broker %s', async (_, later) => {
    cpu = { series: 'one', seconds: 100, atMilliseconds: 0 };
    await sampleAt(0, brokerWith({ a: 0 }));
    cpu = later;
    await sampleAt(10, brokerWith({ a: 300 }));

    expect(topics().entries).toEqual([['a', 30, 0, 0, 0, 0, 0, null, null]]);
  });
});

describe('topics that there is no place for', () => {
  const mostTopics = Object.fromEntries(Array.from({ length: 65_536 }, (_, index) => [`old-${index}`, 5]));

  it('beyond 65,536 leave none known, since they may be the busiest; a restart of the broker helps', async () => {
    await sampleAt(0, brokerWith(mostTopics));
    expect(topics().total).toBe(65_536);

    await sampleAt(10, brokerWith({ ...mostTopics, busy: 1_000 }));
    expect(sampler.report({ kind: 'all' })).toEqual({
      topics: null,
      topicsReason: expect.stringMatching(/more than 65536 topics, .*: restart the broker/),
    });
    expect(sampler.skippedLines()).toBe(1);

    await sampleAt(20, brokerWith({ busy: 0 }, { broker: '8' }));
    expect(reason()).toContain('the broker restarted');
    await sampleAt(30, brokerWith({ busy: 0 }, { broker: '8' }));
    expect(topics().total).toBe(1);
  });

  it('whose name is too long leave unknown what the rest and the CPU are', async () => {
    const named = (count: number): string =>
      brokerWith({ a: 10 * count, [`/default/${'x'.repeat(1_024)}`]: 10_000 * count }, { owned: 2 });
    cpu = { series: 'one', seconds: 100, atMilliseconds: 0 };
    await sampleAt(0, named(1));
    cpu = { series: 'one', seconds: 104, atMilliseconds: 10_000 };
    await sampleAt(10, named(2));

    const unknown = topicColumns.map(() => null);
    expect(topics()).toMatchObject({
      entries: [['a', 1, 0, 0, 0, 0, 0, null, null]],
      rest: { topics: 1, figures: unknown },
    });
  });
});

describe('how many topics are served', () => {
  it('is what the gauge says, with or without traffic', async () => {
    await sampleAt(0, brokerWith({ a: 0 }, { owned: 100 }));
    await sampleAt(10, brokerWith({ a: 5 }, { owned: 100 }));

    expect(topics()).toMatchObject({
      total: 100,
      entries: [['a', 0.5, 0, 0, 0, 0, 0, null, null]],
      rest: { topics: 99 },
    });
  });

  it.each([1.5, 1e300, 2 ** 53])(
    'is not %d: nothing is known then, rather than a report that the operator refuses',
    async (owned) => {
      await sampleAt(0, brokerWith({ a: 0 }, { owned }));

      expect(reason()).toContain('no danube_broker_topics_owned');
    },
  );

  it('is no less than the topics that are seen at work', async () => {
    await sampleAt(0, brokerWith({ a: 0, b: 0 }));
    await sampleAt(10, brokerWith({ a: 5, b: 5 }, { owned: 1 }));

    expect(topics()).toMatchObject({ total: 2, rest: { topics: 0 } });
  });
});
