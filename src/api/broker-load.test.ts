import { describe, expect, it } from 'vitest';
import { type BrokerLoadStatus, brokerLoadResource } from './broker-load.ts';

const full: BrokerLoadStatus = {
  observedGeneration: 1,
  podUID: '0b6b7a3e-6f0e-4c58-9d4a-6f7a6a0f9f11',
  brokerID: '18446744073709551615',
  brokerURL: 'http://danube-core-broker-0.danube-core-broker.messaging.svc.cluster.local:6650',
  state: 'Active',
  usage: { cpuCores: 0.42, memoryBytes: 327155712, source: 'cgroup-v2', observedAt: '2026-11-21T06:00:00Z' },
  capacity: { cpuCores: 2, memoryBytes: 1073741824 },
  rates: { messagesInPerSecond: 1000.5, bytesInPerSecond: 1200000 },
  topics: 120,
  connections: 240,
  score: 28,
  rank: 1,
  display: { cpu: '0.42/2', memory: '312Mi/1Gi', in: '1.2MB/s' },
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
    ['figures from nowhere', { usage: { ...full.usage, source: 'guess' } }],
    ['a load that is not a number', { usage: { ...full.usage, cpuCores: Number.NaN } }],
  ])('refuses %s', (_what, wrong) => {
    expect(brokerLoadResource.schema.shape.status.safeParse({ ...full, ...wrong }).success).toBe(false);
  });
});
