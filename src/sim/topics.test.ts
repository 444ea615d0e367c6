import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isTopicName } from '../danube/keys.ts';
import { formatTopics, generateTopics, parseTopics, type TopicMix } from './topics.ts';

const MIX: TopicMix = {
  seed: 1,
  topics: 120,
  reliableShare: 0.5,
  maxSubscriptions: 3,
  totalMessagesPerSecond: 600,
  minMessagesPerSecond: 0.5,
  messageBytes: 1_000,
  exponent: 1,
};

describe('generated topics', () => {
  it('are the same for the same seed, and others for another', () => {
    expect(generateTopics(MIX)).toEqual(generateTopics(MIX));
    expect(generateTopics({ ...MIX, seed: 2 })).not.toEqual(generateTopics(MIX));
  });

  it('are skewed: the first tenth has more than half of the load, nobody less than the minimum', () => {
    const rates = generateTopics(MIX)
      .map(({ messagesPerSecond }) => messagesPerSecond)
      .sort((a, b) => b - a);
    const total = rates.reduce((sum, rate) => sum + rate, 0);

    expect(rates.slice(0, 12).reduce((sum, rate) => sum + rate, 0) / total).toBeGreaterThan(0.5);
    expect(rates.at(-1)).toBeGreaterThanOrEqual(0.5);
    // Raised to the minimum, so a little more than asked for.
    expect(total).toBeGreaterThanOrEqual(600);
    expect(total).toBeLessThan(660);
  });

  it('have the asked for share of reliable ones, and one to three subscriptions', () => {
    const topics = generateTopics({ ...MIX, topics: 1_000 });
    const reliable = topics.filter(({ delivery }) => delivery === 'Reliable').length;

    expect(reliable).toBeGreaterThan(430);
    expect(reliable).toBeLessThan(570);
    expect(new Set(topics.map(({ subscriptions }) => subscriptions.length))).toEqual(new Set([1, 2, 3]));
  });

  it('have names that brokers accept, none of which is part of another (contract 5.4)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 150 }), fc.integer(), (topics, seed) => {
        const names = generateTopics({ ...MIX, topics, seed }).map(({ topic }) => topic);

        expect(names.every(isTopicName)).toBe(true);
        expect(names.filter((name) => names.some((other) => other !== name && other.includes(name)))).toEqual([]);
        expect(new Set(names).size).toBe(topics);
      }),
    );
  });

  it('survive being written to a file', () => {
    expect(parseTopics(formatTopics(generateTopics(MIX)))).toEqual(generateTopics(MIX));
  });

  it('from a file are checked', () => {
    expect(() => parseTopics('{"topic":"/default/t","delivery":"Maybe"}\n')).toThrow(/delivery/);
  });
});
