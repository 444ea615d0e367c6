import { describe, expect, it } from 'vitest';
import { encodeLoadReport } from '../../danube/values.ts';
import { buildReport } from './report.ts';
import { createTopic } from './topic.ts';

const BASE = { broker: '18062192786702443389', now: 1_795_233_963_999, networkBytes: 627_381_420, residentBytes: 1e9 };

describe('a load report', () => {
  it('of an idle broker is the recorded one, its made-up figures included (M11)', () => {
    const { report } = buildReport({ ...BASE, topics: [], before: new Map(), elapsedSeconds: 0 });

    expect(encodeLoadReport(report)).toBe(
      '{"broker_id":18062192786702443389,"resources_usage":[{"resource":"CPU","usage":0.0},' +
        `{"resource":"Memory","usage":${((1e9 / 2 ** 63) * 100).toExponential()}},{"resource":"DiskIO","usage":0.0},` +
        '{"resource":"NetworkIO","usage":627381420.0}],"timestamp":1795233963,"topics":[],' +
        '"total_lag_messages":0,"total_message_rate":0,"total_throughput_mbps":-0.0}',
    );
  });

  it('has the whole messages and bytes per second since the last one, and 0 at first', () => {
    const topic = createTopic('/default/t', 'NonReliable', undefined);
    topic.messagesIn = 10;
    topic.bytesIn = 1_000;
    const first = buildReport({ ...BASE, topics: [topic], before: new Map(), elapsedSeconds: 0 });
    topic.messagesIn += 49;
    topic.bytesIn += 245;

    const second = buildReport({ ...BASE, topics: [topic], before: first.totals, elapsedSeconds: 5 });

    expect(first.report.topics).toMatchObject([{ messagesPerSecond: 0, bytesPerSecond: 0 }]);
    expect(second.report.topics).toMatchObject([{ messagesPerSecond: 9, bytesPerSecond: 49, backlogMessages: 0 }]);
    expect(second.report.throughputMegabytesPerSecond).toBeCloseTo(0.000049, 12);
  });

  it('counts a topic that was loaded anew from 0', () => {
    const old = createTopic('/default/t', 'NonReliable', undefined);
    old.messagesIn = 100;
    const { totals } = buildReport({ ...BASE, topics: [old], before: new Map(), elapsedSeconds: 0 });
    const anew = createTopic('/default/t', 'NonReliable', undefined);
    anew.messagesIn = 10;

    const { report } = buildReport({ ...BASE, topics: [anew], before: totals, elapsedSeconds: 5 });

    expect(report.topics).toMatchObject([{ messagesPerSecond: 2 }]);
  });
});
