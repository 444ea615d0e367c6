import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EffectiveRanking, rankingAlgorithms } from '../api/ranking.ts';
import { createRanker, rankBrokers } from './rank-order.ts';
import type { RankingInput } from './ranking.ts';

const figure = fc.nat(100);
const brokers: fc.Arbitrary<readonly RankingInput[]> = fc.uniqueArray(
  fc.record({
    broker: fc.nat(30).map(String),
    topicCount: fc.nat(5),
    megabytesPerSecond: figure,
    connections: figure,
    backlogMessages: figure,
    cpuPercent: figure,
    memoryPercent: figure,
    diskIo: figure,
    networkIo: figure,
    throughput: figure,
  }),
  { selector: ({ broker }) => broker, maxLength: 20 },
);
const ranking: fc.Arbitrary<EffectiveRanking> = fc.constantFrom(
  ...rankingAlgorithms.map((algorithm) => ({ algorithm, ...(algorithm === 'Weighted' && { weights: { cpu: 1 } }) })),
);

describe('the order of brokers', () => {
  it('does not depend on the order in which they are given', () => {
    fc.assert(
      fc.property(ranking, brokers, (how, inputs) => {
        expect(rankBrokers(how, inputs.toReversed())).toEqual(rankBrokers(how, inputs));
      }),
    );
  });

  it('puts those above the band last, whatever their score', () => {
    const [first] = fc.sample(
      brokers.filter((list) => list.length > 0),
      { numRuns: 1, seed: 1 },
    );
    const example = first?.[0] as RankingInput;
    const inputs = [
      { ...example, broker: 'idle but hot', topicCount: 1, levels: { cpu: 1.2, topics: 0.1 }, highestLevel: 1.09 },
      {
        ...example,
        broker: 'busy but within',
        topicCount: 50,
        levels: { cpu: 1.05, topics: 1.09 },
        highestLevel: 1.09,
      },
    ];

    expect(rankBrokers({ algorithm: 'DanubeFair' }, inputs).map(({ broker }) => broker)).toEqual([
      'busy but within',
      'idle but hot',
    ]);
  });
});

describe('a ranker that remembers', () => {
  it('says the same as one that does not, look after look', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(ranking, brokers), { maxLength: 5 }), (looks) => {
        const rank = createRanker();
        for (const [how, inputs] of looks) expect(rank(how, inputs)).toEqual(rankBrokers(how, inputs));
      }),
    );
  });

  it('gives the same ranks, not only equal ones, while nothing has changed', () => {
    const rank = createRanker();
    const [inputs = []] = fc.sample(
      brokers.filter((list) => list.length > 2),
      { numRuns: 1, seed: 1 },
    );
    const first = rank({ algorithm: 'DanubeFair' }, inputs);

    expect(rank({ algorithm: 'DanubeFair' }, structuredClone(inputs))).toBe(first);
    const changed = inputs.map((input, index) => (index === 0 ? { ...input, topicCount: 99 } : input));
    expect(rank({ algorithm: 'DanubeFair' }, changed)).not.toBe(first);
  });
});
