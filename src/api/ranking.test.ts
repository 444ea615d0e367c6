import { describe, expect, it } from 'vitest';
import { effectiveRanking, ranking, rankingDefaults } from './ranking.ts';

function problems(spec: unknown): readonly string[] {
  return ranking.safeParse(spec).error?.issues.map(({ message }) => message) ?? [];
}

describe('the ranking of a policy', () => {
  it('is the brokers’ own when the policy says nothing', () => {
    expect(effectiveRanking(undefined)).toEqual({ algorithm: 'DanubeBalanced' });
  });

  it('has weights in algorithm Weighted alone: those of the policy, or ours', () => {
    expect(effectiveRanking({ algorithm: 'Weighted' })).toEqual({
      algorithm: 'Weighted',
      weights: rankingDefaults.weights,
    });
    expect(effectiveRanking({ algorithm: 'Weighted', weights: { cpu: 2, topics: 1 } }).weights).toEqual({
      cpu: 2,
      topics: 1,
    });
    expect(effectiveRanking({ algorithm: 'Bottleneck' })).toEqual({ algorithm: 'Bottleneck' });
  });

  it.each([
    [{ algorithm: 'Weighted', weights: { cpu: 35, memory: 15 } }, []],
    [{ algorithm: 'Weighted' }, []],
    [{ algorithm: 'Weighted', weights: {} }, ['all weights are 0: write one above 0, for example cpu: 1']],
    [{ algorithm: 'Weighted', weights: { cpu: 0 } }, ['all weights are 0: write one above 0, for example cpu: 1']],
    [
      { algorithm: 'DanubeFair', weights: { cpu: 1 } },
      ['only algorithm Weighted has weights: leave them out, or write algorithm: Weighted'],
    ],
  ])('%j: %j', (spec, expected) => {
    expect(problems(spec)).toEqual(expected);
  });
});
