import { describe, expect, it } from 'vitest';
import type { BrokerLoadStatus } from '../api/broker-load.ts';
import { type Change, compareBrokerLoad } from './publish.ts';

const before: BrokerLoadStatus = {
  observedGeneration: 1,
  conditions: [
    {
      type: 'Ready',
      status: 'True',
      reason: 'Serving',
      message: 'takes topics',
      observedGeneration: 1,
      lastTransitionTime: '2026-11-21T06:00:00Z',
    },
  ],
  podUID: 'u',
  brokerID: '1',
  state: 'Active',
  usage: { cpuCores: 1, memoryBytes: 1024 ** 3, sources: { cpu: 'cgroup-v2' }, observedAt: '2026-11-21T06:00:00Z' },
  rates: { messagesInPerSecond: 1000, bytesInPerSecond: 1_000_000 },
  topics: 10,
  connections: 20,
  score: 30,
  rank: 2,
  display: { cpu: '1/2' },
};
const usage = { ...before.usage, sources: { cpu: 'cgroup-v2' }, observedAt: '2026-11-21T06:00:09Z' } as const;
const [ready] = before.conditions ?? [];
if (ready === undefined) throw new Error('the example has a condition');

describe('a BrokerLoad is written', () => {
  it.each<[string, Partial<BrokerLoadStatus>, Change]>([
    ['not if nothing has changed', {}, 'none'],
    ['not for a newer reading of the same figures', { usage }, 'none'],
    ['not for a new text of a column', { display: { cpu: '1.01/2' } }, 'none'],
    ['not for a new message alone', { conditions: [{ ...ready, message: 'other' }] }, 'none'],
    ['not for some more CPU', { usage: { ...usage, cpuCores: 1.09 } }, 'none'],
    [
      'not for a little more of next to nothing',
      { rates: { messagesInPerSecond: 1000.9, bytesInPerSecond: 1e6 } },
      'none',
    ],
    ['in its turn for more than a tenth more CPU', { usage: { ...usage, cpuCores: 1.11 } }, 'figures'],
    [
      'in its turn for more than a tenth less memory',
      { usage: { ...usage, memoryBytes: 0.89 * 1024 ** 3 } },
      'figures',
    ],
    ['in its turn for other traffic', { rates: { messagesInPerSecond: 2000, bytesInPerSecond: 1e6 } }, 'figures'],
    ['in its turn for another score', { score: 34 }, 'figures'],
    ['at once for another state', { state: 'Draining' }, 'facts'],
    ['at once for another broker', { brokerID: '2' }, 'facts'],
    ['at once for another Pod', { podUID: 'v' }, 'facts'],
    ['in its turn for another number of topics', { topics: 11 }, 'figures'],
    ['in its turn for another rank', { rank: 1 }, 'figures'],
    ['at once for a newer generation', { observedGeneration: 2 }, 'facts'],
    ['at once for a condition that changed', { conditions: [{ ...ready, status: 'False', reason: 'Lost' }] }, 'facts'],
    ['at once for figures of another kind', { usage: { ...usage, sources: { cpu: 'proc' } } }, 'facts'],
  ])('%s', (_what, change, expected) => {
    expect(compareBrokerLoad(before, { ...before, ...change })).toBe(expected);
  });

  it('at once for a new one', () => {
    expect(compareBrokerLoad(undefined, before)).toBe('facts');
    expect(compareBrokerLoad({ observedGeneration: -1 }, before)).toBe('facts');
  });

  it.each<[string, BrokerLoadStatus, BrokerLoadStatus, Change]>([
    [
      'at once for a first figure',
      { usage: { sources: { cpu: 'proc' }, observedAt: 'a' } },
      { usage: { sources: { cpu: 'proc' }, observedAt: 'b', cpuCores: 0.001 } },
      'facts',
    ],
    ['in its turn for a figure that went', { rates: { bytesInPerSecond: 1 } }, { rates: {} }, 'figures'],
    [
      'not for less than a fiftieth of a core',
      { usage: { sources: { cpu: 'proc' }, observedAt: 'a', cpuCores: 0 } },
      { usage: { sources: { cpu: 'proc' }, observedAt: 'a', cpuCores: 0.02 } },
      'none',
    ],
    ['in its turn for the first point of a score', { score: 0 }, { score: 1 }, 'figures'],
  ])('%s', (_what, from, to, expected) => {
    expect(compareBrokerLoad(from, to)).toBe(expected);
  });
});
