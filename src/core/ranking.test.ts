import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type EffectiveRanking, rankingAlgorithms } from '../api/ranking.ts';
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
      const scores = scoreBrokers({ algorithm }, cluster.reports.map(toInput));

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
      const [score] = scoreBrokers({ algorithm: 'DanubeBalanced' }, [
        { ...broker, cpuPercent, memoryPercent, topicCount },
      ]);

      expect(score?.score).toBe(expected);
    },
  );

  it('counts topics while no broker reports any CPU or memory', () => {
    const scores = scoreBrokers({ algorithm: 'DanubeBalanced' }, [
      { ...broker, topicCount: 4 },
      { ...broker, broker: '2', topicCount: 9 },
    ]);

    expect(scores.map(({ score }) => score)).toEqual([4, 9]);
  });
});

it.each(rankingAlgorithms)(
  '%s gives scores that a BrokerLoad can hold, whatever a broker says of itself',
  (algorithm) => {
    const beyond = { connections: 1e300, backlogMessages: 1e300, cpuPercent: 1e300, memoryPercent: 1e300 };
    const normal = { connections: 1, backlogMessages: 1, cpuPercent: 1, memoryPercent: 1 };
    const rest = { topicCount: 1, megabytesPerSecond: 1, diskIo: 0, networkIo: 1, throughput: 1 };

    const scores = scoreBrokers({ algorithm, weights: { topics: 1, cpu: 1 } }, [
      { broker: '1', ...rest, ...beyond },
      { broker: '2', ...rest, ...normal },
    ]);

    expect(scores.filter(({ score }) => !Number.isSafeInteger(score))).toEqual([]);
  },
);

describe('Weighted and Bottleneck', () => {
  const idle: RankingInput = {
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
  const score = (ranking: EffectiveRanking, ...brokers: readonly Partial<RankingInput>[]) =>
    scoreBrokers(
      ranking,
      brokers.map((parts, index) => ({ ...idle, broker: String(index + 1), ...parts })),
    ).map((it) => it.score);
  const weighted = (weights: EffectiveRanking['weights'] = {}): EffectiveRanking => ({
    algorithm: 'Weighted',
    weights,
  });
  const bottleneck: EffectiveRanking = { algorithm: 'Bottleneck' };

  it('score a broker at the mean of everything with 100', () => {
    const mean = { cpuPercent: 40, memoryPercent: 50, topicCount: 7, connections: 20, networkIo: 3 };

    expect(score(weighted({ cpu: 1, memory: 1 }), mean, mean)).toEqual([100, 100]);
    expect(score(bottleneck, mean, mean)).toEqual([100, 100]);
  });

  it('weigh what the weights say, whatever they add up to', () => {
    const brokers = [
      { cpuPercent: 60, memoryPercent: 20 },
      { cpuPercent: 20, memoryPercent: 60 },
    ];

    expect(score(weighted({ cpu: 3, memory: 1 }), ...brokers)).toEqual([125, 75]);
    expect(score(weighted({ cpu: 75, memory: 25 }), ...brokers)).toEqual([125, 75]);
    expect(score(weighted({ memory: 1 }), ...brokers)).toEqual([50, 150]);
  });

  it('take the worst resource', () => {
    expect(score(bottleneck, { cpuPercent: 50, memoryPercent: 30 }, { cpuPercent: 50, memoryPercent: 70 })).toEqual([
      100, 140,
    ]);
  });

  it('are the same in any unit', () => {
    const scaled = (factor: number) => [
      { connections: 90 * factor, networkIo: 8 * factor },
      { connections: 30 * factor, networkIo: 24 * factor },
    ];

    for (const ranking of [weighted({ connections: 2, networkIn: 1 }), bottleneck]) {
      expect(score(ranking, ...scaled(1000))).toEqual(score(ranking, ...scaled(1)));
    }
  });

  it('leave out what is idle or unknown: its weight goes to the others', () => {
    const brokers = [
      { cpuPercent: 3, topicCount: 10 },
      { cpuPercent: 1, topicCount: 30 },
    ];

    expect(score(weighted({ cpu: 99, topics: 1 }), ...brokers)).toEqual([50, 150]);
    expect(score(bottleneck, ...brokers)).toEqual([50, 150]);
  });

  it('count topics from the first one on, so that a new cluster fills evenly', () => {
    expect(score(bottleneck, { topicCount: 2 }, { topicCount: 1 }, { topicCount: 0 })).toEqual([200, 100, 0]);
  });

  it('give the same scores in any order of the brokers, to the last digit', () => {
    const brokers = [100, 65, 26, 43, 81, 5, 43, 45, 72].map((cpuPercent) => ({ cpuPercent }));

    expect(score(bottleneck, ...brokers.toReversed()).toReversed()).toEqual(score(bottleneck, ...brokers));
  });

  it('go by topics when nothing with a weight is known', () => {
    expect(score(weighted({ networkOut: 1 }), { topicCount: 10 }, { topicCount: 30 })).toEqual([50, 150]);
    expect(score(weighted({ cpu: 1 }), {}, {})).toEqual([0, 0]);
  });

  it('go by the levels of the load model where there are any: they know capacities, and all resources', () => {
    const brokers = [
      { cpuPercent: 90, levels: { cpu: 0.5, networkOut: 1.5 } },
      { cpuPercent: 10, levels: { cpu: 1.5, networkOut: 0.5 } },
    ];

    expect(score(weighted({ cpu: 3, networkOut: 1 }), ...brokers)).toEqual([75, 125]);
    expect(score(bottleneck, ...brokers)).toEqual([150, 150]);
  });
});
