import { describe, expect, it } from 'vitest';
import { type BrokerLoadStatus, brokerLoadResource } from './broker-load.ts';

const full: BrokerLoadStatus = {
  observedGeneration: 1,
  podUID: '0b6b7a3e-6f0e-4c58-9d4a-6f7a6a0f9f11',
  brokerID: '18446744073709551615',
  brokerURL: 'http://danube-core-broker-0.danube-core-broker.messaging.svc.cluster.local:6650',
  state: 'Active',
  usage: {
    cpuCores: 0.42,
    cpuThrottledPercent: 3,
    memoryBytes: 327155712,
    diskReadBytesPerSecond: 0,
    diskWriteBytesPerSecond: 4096,
    networkReceivedBytesPerSecond: 1500,
    networkSentBytesPerSecond: 3000,
    openFiles: 31,
    sources: { cpu: 'cgroup-v2', memory: 'cgroup-v2', disk: 'cgroup-v2', network: 'proc', openFiles: 'proc' },
    observedAt: '2026-11-21T06:00:00Z',
  },
  pressure: { cpuPercent: 1, memoryPercent: 0, diskPercent: 12.5 },
  capacity: { cpuCores: 2, memoryBytes: 1073741824, openFiles: 1048576 },
  rates: {
    messagesInPerSecond: 1000.5,
    bytesInPerSecond: 1200000,
    messagesOutPerSecond: 2000.5,
    bytesOutPerSecond: 2400000,
  },
  topTopics: [
    {
      topic: '/default/orders',
      cpuCores: 0.2,
      bytesInPerSecond: 51200,
      bytesOutPerSecond: 102400,
      lagMessages: 17,
    },
  ],
  topics: 120,
  connections: 240,
  score: 28,
  rank: 1,
  display: { cpu: '0.42/2', memory: '312Mi/1Gi', in: '1.2MB/s', out: '2.4MB/s' },
};

describe('the status of a BrokerLoad', () => {
  it('holds all that is known of a broker', () => {
    expect(brokerLoadResource.schema.shape.status.parse(full)).toEqual(full);
  });

  it('holds nothing but the generation when nothing is known', () => {
    expect(brokerLoadResource.schema.shape.status.parse({ observedGeneration: 0 })).toEqual({ observedGeneration: 0 });
  });

  it.each<[string, Record<string, unknown>]>([
    ['an id as a number, which JavaScript would round', { brokerID: 625722408599 }],
    ['an id with a sign', { brokerID: '-1' }],
    ['a rank from 0', { rank: 0 }],
    ['half a topic', { topics: 1.5 }],
    ['a count beyond what JavaScript counts exactly', { topics: 2 ** 53 }],
    ['a load below zero', { usage: { ...full.usage, cpuCores: -0.1 } }],
    ['figures from nowhere', { usage: { ...full.usage, sources: { cpu: 'guess' } } }],
    ['a share beyond all of the time', { pressure: { cpuPercent: 101 } }],
    ['more than ten top topics', { topTopics: Array.from({ length: 11 }, () => ({ topic: '/default/a' })) }],
    ['a load that is not a number', { usage: { ...full.usage, cpuCores: Number.NaN } }],
  ])('refuses %s', (_what, wrong) => {
    expect(brokerLoadResource.schema.shape.status.safeParse({ ...full, ...wrong }).success).toBe(false);
  });
});
