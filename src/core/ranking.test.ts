import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type RankingInput, scoreBrokers } from './ranking.ts';

/** Only what the rankings use; ids are compared as text, since they are beyond 2^53. */
interface RecordedReport {
  resources_usage: { resource: string; usage: number }[];
  topics: {
    byte_rate: number;
    byte_rate_mbps: number;
    producer_count: number;
    consumer_count: number;
    backlog_messages: number;
  }[];
  total_throughput_mbps: number;
}

interface RecordedCluster {
  reports: (RecordedReport & { broker_id: string })[];
  fair: [string, number][];
  balanced: [string, number][];
  weighted_load: [string, number][];
}

function recordedClusters(): RecordedCluster[] {
  const text = gunzipSync(readFileSync(new URL('./fixtures/rankings.ndjson.gz', import.meta.url))).toString('utf8');
  const idsAsText = text.replace(/("broker_id":|\[)(\d{10,})/g, '$1"$2"');
  return idsAsText
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RecordedCluster);
}

function toInput(report: RecordedCluster['reports'][number]): RankingInput {
  const usage = (name: string) => report.resources_usage.find((item) => item.resource === name)?.usage ?? 0;
  const sum = (of: (topic: RecordedReport['topics'][number]) => number) =>
    report.topics.reduce((total, topic) => total + of(topic), 0);
  return {
    broker: report.broker_id,
    topicCount: report.topics.length,
    megabytesPerSecond: sum((topic) => topic.byte_rate_mbps),
    connections: sum((topic) => topic.producer_count + topic.consumer_count),
    backlogMessages: sum((topic) => topic.backlog_messages),
    cpuPercent: usage('CPU'),
    memoryPercent: usage('Memory'),
    diskIo: usage('DiskIO'),
    networkIo: usage('NetworkIO'),
    throughput: report.total_throughput_mbps ?? 0,
  };
}

describe('rankings of the real brokers, 300 recorded clusters', () => {
  const clusters = recordedClusters();

  it('has all of them', () => {
    expect(clusters).toHaveLength(300);
  });

  it.each([
    ['DanubeFair', 'fair'],
    ['DanubeBalanced', 'balanced'],
    ['DanubeWeightedLoad', 'weighted_load'],
  ] as const)('%s gives every broker the recorded score', (algorithm, recorded) => {
    for (const cluster of clusters) {
      const scores = scoreBrokers(algorithm, cluster.reports.map(toInput));

      const byBroker = Object.fromEntries(scores.map(({ broker, score }) => [broker, score]));
      expect(byBroker).toEqual(Object.fromEntries(cluster[recorded]));
    }
  });
});

describe('DanubeBalanced', () => {
  const broker: RankingInput = {
    broker: '1',
    topicCount: 0,
    megabytesPerSecond: 0,
    connections: 0,
    backlogMessages: 0,
    cpuPercent: 0,
    memoryPercent: 0,
    diskIo: 0,
    networkIo: 0,
    throughput: 0,
  };

  it.each([
    [50, 30, 10, 28],
    [20, 20, 5, 14],
    [10, 10, 2, 7],
    [10, 10, 5, 7],
  ])(
    'scores cpu %i %%, memory %i %% and %i idle topics as the brokers do: %i',
    (cpuPercent, memoryPercent, topicCount, expected) => {
      const [score] = scoreBrokers('DanubeBalanced', [{ ...broker, cpuPercent, memoryPercent, topicCount }]);

      expect(score?.score).toBe(expected);
    },
  );

  it('counts topics while no broker reports any CPU or memory', () => {
    const scores = scoreBrokers('DanubeBalanced', [
      { ...broker, topicCount: 4 },
      { ...broker, broker: '2', topicCount: 9 },
    ]);

    expect(scores.map(({ score }) => score)).toEqual([4, 9]);
  });
});
