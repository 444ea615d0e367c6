import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseReport, type TopicsReport } from '../../api/agent-report.ts';
import { exampleReport } from '../../api/example-report.ts';
import { createExpositionClient } from './fetch-exposition.ts';
import { createTopicSampler, type TopicSampler } from './topic-sampler.ts';

/* The whole way from a server's socket to what the operator reads, against servers that behave and that do not. */

let server: Server;
let respond: (response: ServerResponse) => void;
let sampler: TopicSampler;
let seconds: number;

beforeEach(async () => {
  seconds = 0;
  server = createServer((_, response) => respond(response.on('error', () => undefined)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  sampler = createTopicSampler({
    fetchExposition: createExpositionClient({
      endpoint: { ip: '127.0.0.1', port, path: '/metrics' },
      limits: { milliseconds: 20_000, bodyBytes: 256 * 1024 * 1024 },
    }),
    clock: { wallMilliseconds: () => 1_700_000_000_000 + seconds * 1000, monotonicMilliseconds: () => seconds * 1000 },
    readCpu: () => ({ series: 'one', seconds: seconds / 2, atMilliseconds: seconds * 1000 }),
    agentStartedAt: 1,
  });
});
afterEach(async () => {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
});

async function sampleAt(at: number, answer: (response: ServerResponse) => void): Promise<void> {
  seconds = at;
  respond = answer;
  await sampler.sample();
}

/** What the operator would read. */
function topics(): TopicsReport {
  const report = parseReport(JSON.stringify({ ...exampleReport, ...sampler.report({ kind: 'all' }) }));
  if ('problem' in report) throw new Error(report.problem);
  if (report.topics === null) throw new Error(`there are no topics: ${report.topicsReason}`);
  return report.topics;
}

const head = { 'Content-Type': 'text/plain; version=0.0.4' };

function answerWith(body: string): (response: ServerResponse) => void {
  return (response) => response.writeHead(200, head).end(body);
}

function broker(messages: number): string {
  return [
    `danube_topic_messages_in_total{broker="7"} 0`,
    `danube_topic_messages_in_total{broker="7",topic="/default/a"} ${messages}`,
    `danube_broker_topics_owned{broker="7"} 1\n`,
  ].join('\n');
}

describe('a broker with 20,000 topics', () => {
  const count = 20_000;
  const metrics = [
    'danube_topic_messages_in_total',
    'danube_topic_bytes_in_total',
    'danube_consumer_messages_out_total',
    'danube_consumer_bytes_out_total',
    'danube_topic_active_producers',
    'danube_topic_active_consumers',
    'danube_wal_flush_latency_ms',
  ];

  /** In the order in which a broker writes it: metric by metric. The messages of a topic grow with its rank. */
  function* exposition(reading: number): Generator<string> {
    for (const metric of metrics) {
      yield `# TYPE ${metric} counter\n${metric}{broker="7"} 0\n`;
      const factor = metric.includes('bytes') ? 512 : 1;
      for (let rank = 1; rank <= count; rank += 1) {
        const value = metric.includes('active') ? 1 : Math.round((reading * 1e7 * factor) / rank);
        yield `${metric}{broker="7",topic="/default/orders-eu-west-${rank}"} ${value}\n`;
      }
    }
    yield `# TYPE danube_broker_topics_owned gauge\ndanube_broker_topics_owned{broker="7"} ${count}\n`;
  }

  it('is read within a few buffers, and its largest topics are told with their shares', {
    timeout: 60_000,
  }, async () => {
    for (const reading of [1, 2]) {
      await sampleAt(reading * 10, async (response) => {
        response.writeHead(200, head);
        let piece = '';
        for (const line of exposition(reading)) {
          piece += line;
          if (piece.length < 100_000) continue;
          if (!response.write(piece)) await once(response, 'drain');
          piece = '';
        }
        response.end(piece);
      });
    }

    const { entries, rest, total } = topics();
    expect(total).toBe(count);
    expect(entries.length).toBeGreaterThan(1_500);
    expect(entries.length + rest.topics).toBe(count);
    const harmonic = Array.from({ length: count }, (_, index) => 1 / (index + 1)).reduce((sum, it) => sum + it, 0);
    const largest = entries.find(([topic]) => topic === '/default/orders-eu-west-1');
    expect(largest?.slice(0, 8)).toEqual(['/default/orders-eu-west-1', 1e6, 5.12e8, 1e6, 5.12e8, 1, 1, null]);
    expect(largest?.[8]).toBeCloseTo(0.5 / harmonic, 3);
    const cpu = entries.reduce((sum, entry) => sum + Number(entry[8]), Number(rest.figures[7]));
    expect(cpu).toBeCloseTo(0.5, 2);
  });
});

describe('an answer that is hostile or broken', () => {
  const endlessLine = Buffer.alloc(1024 * 1024, 'x');

  it.each<[string, (response: ServerResponse) => void, string]>([
    [
      'is cut off',
      (response) => {
        response.writeHead(200, { ...head, 'Content-Length': 10_000 });
        response.write(broker(99), () => response.destroy());
      },
      'cut off',
    ],
    [
      'is a web page',
      (response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(broker(99)),
      'text/html',
    ],
    ['is an error', (response) => response.writeHead(503, head).end(broker(99)), '503'],
    [
      'is compressed',
      (response) => response.writeHead(200, { ...head, 'Content-Encoding': 'gzip' }).end(gzipSync(broker(99))),
      'Content-Encoding is gzip',
    ],
    ['is of another program', answerWith('up 1\n'), 'is this the endpoint of a broker?'],
    [
      'is longer than any broker has to say',
      (response) => response.writeHead(200, { ...head, 'Content-Length': 1e12 }).write(broker(99)),
      'has 1000000000000 bytes',
    ],
  ])('%s: it is said, and counts for nothing afterwards', async (_, answer, problem) => {
    await sampleAt(0, answerWith(broker(100)));
    await sampleAt(10, answer);
    expect(sampler.report({ kind: 'all' })).toEqual({ topics: null, topicsReason: expect.stringContaining(problem) });

    await sampleAt(20, answerWith(broker(300)));
    expect(topics().entries).toEqual([['/default/a', 10, 0, 0, 0, 0, 0, null, 0.5]]);
  });

  it('has a line without end: it is skipped, in memory of a few buffers, and the others are read', async () => {
    await sampleAt(0, answerWith(broker(100)));
    const before = process.memoryUsage().arrayBuffers;
    await sampleAt(10, async (response) => {
      response.writeHead(200, head);
      response.write(broker(200));
      for (let megabyte = 0; megabyte < 30; megabyte += 1) {
        if (!response.write(endlessLine)) await once(response, 'drain');
      }
      response.end('\ndanube_topic_messages_in_total{broker="7",topic="/default/b"} 50\n');
    });

    expect(sampler.skippedLines()).toBe(1);
    expect(topics().entries.map(([topic, messages]) => [topic, messages])).toEqual([
      ['/default/a', 10],
      ['/default/b', 5],
    ]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20 * 1024 * 1024);
  });

  it('has values that are none: they are skipped, and the others are read', async () => {
    const nonsense = ['NaN', '+Inf', '-5', '1e400', 'x', ''].map(
      (value) => `danube_topic_messages_in_total{broker="7",topic="/default/bad"} ${value}\n`,
    );
    await sampleAt(0, answerWith(broker(100)));
    await sampleAt(10, answerWith(nonsense.join('') + broker(200)));

    expect(sampler.skippedLines()).toBe(6);
    expect(topics()).toMatchObject({ entries: [['/default/a', 10, 0, 0, 0, 0, 0, null, 0.5]], total: 1 });
  });
});
