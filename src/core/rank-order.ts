/** The order of brokers by their scores: the first gets the next topic. */
import type { EffectiveRanking } from '../api/ranking.ts';
import { createScorer, isAboveBand, type RankingInput } from './ranking.ts';

export interface Rank {
  readonly broker: string;
  readonly score: number;
  /** From 1, the least loaded. */
  readonly rank: number;
}

export interface Scored {
  readonly input: RankingInput;
  readonly score: number;
}

/**
 * Those above the band last: what goes there would have to leave again. Then lower scores first; equal scores by topic count, then by
 * id, so that the order is always the same.
 */
export function compareScored(left: Scored, right: Scored): number {
  return (
    Number(isAboveBand(left.input)) - Number(isAboveBand(right.input)) ||
    left.score - right.score ||
    left.input.topicCount - right.input.topicCount ||
    (left.input.broker < right.input.broker ? -1 : 1)
  );
}

export type RankBrokers = (ranking: EffectiveRanking, inputs: readonly RankingInput[]) => readonly Rank[];

/** Least loaded first. */
export function rankBrokers(ranking: EffectiveRanking, inputs: readonly RankingInput[]): readonly Rank[] {
  const scorer = createScorer(ranking, inputs);
  return inputs
    .map((input): Scored => ({ input, score: scorer.score(input) }))
    .sort(compareScored)
    .map(toRank);
}

/** The same for looks that follow each other: they start from the order of before, and give the same array while it stays. */
export function createRanker(): RankBrokers {
  let last: readonly Rank[] = [];

  return (ranking, inputs) => {
    const scorer = createScorer(ranking, inputs);
    const scored = new Map(inputs.map((input) => [input.broker, { input, score: scorer.score(input) }]));
    const known = last.flatMap(({ broker }) => scored.get(broker) ?? []);
    const before = new Set(last.map(({ broker }) => broker));
    const added = [...scored.values()].filter(({ input }) => !before.has(input.broker));
    // What is almost sorted is sorted in almost no time.
    const ranks = [...known, ...added].sort(compareScored).map(toRank);
    const isSame =
      ranks.length === last.length &&
      ranks.every(({ broker, score }, index) => broker === last[index]?.broker && score === last[index]?.score);
    if (!isSame) last = ranks;
    return last;
  };
}

function toRank({ input, score }: Scored, index: number): Rank {
  return { broker: input.broker, score, rank: index + 1 };
}
