/** Ranking serves placement, the band serves balance: the two must not chase topics around between them. */
import { describe, expect, it } from 'vitest';
import { type EffectiveRanking, rankingAlgorithms } from '../../api/ranking.ts';
import { createPlacement } from '../placement.ts';
import { type DetectionOptions, type DetectionState, detect } from '../planner/detection.ts';
import { plan } from '../planner/plan.ts';
import { balanceOf } from './balance.ts';
import { createLoadModel } from './model.ts';
import { createTestCluster, type TrueTopic } from './test-cluster.ts';

const DETECTION: DetectionOptions = { band: { above: 0.09, below: 0.09 }, sustainedSeconds: 60, minActiveBrokers: 2 };
const RESOURCES = ['cpu', 'networkIn'] as const;

/** Broker 1 has few topics, and they are large: by number of topics it always looks idle. */
function cluster() {
  const topics: Record<string, TrueTopic> = {};
  for (let index = 0; index < 6; index++) topics[`/default/large-${index}`] = { owner: '1', kilobytesIn: 200 };
  for (const owner of ['2', '3']) {
    for (let index = 0; index < 120; index++) topics[`/default/${owner}-${index}`] = { owner, kilobytesIn: 10 };
  }
  return createTestCluster({ '1': {}, '2': {}, '3': {} }, topics);
}

interface Outcome {
  readonly moves: number;
  /** Moves of topics that were placed during the run. */
  readonly movesOfNew: number;
  readonly placed: Readonly<Record<string, number>>;
}

/** Twenty minutes in which a topic of average size is made every 20 s, placed, and moved whenever the band asks for it. */
function run(ranking: EffectiveRanking, heedsBand: boolean): Outcome {
  const paper = cluster();
  const model = createLoadModel();
  const placed: Record<string, number> = { '1': 0, '2': 0, '3': 0 };
  let state: DetectionState = new Map();
  let moves = 0;
  let movesOfNew = 0;
  for (let second = -300; second < 1200; second += 10) {
    paper.sample(second);
    const observation = paper.observation(second);
    model.observe(observation);
    const look = model.picture({ resources: RESOURCES, topics: false });
    const balance = balanceOf(look, DETECTION.band.above);
    if (second >= 0 && second % 20 === 0) {
      const snapshot = paper.snapshot(second);
      const seen = heedsBand ? { ...snapshot, balance } : snapshot;
      const topic = `/default/new-${second}`;
      const owner = createPlacement(seen, observation.brokers, { ranking }).place(topic, new Set()) ?? '';
      placed[owner] = (placed[owner] ?? 0) + 1;
      paper.setTopic(topic, { owner, kilobytesIn: 10 });
    }
    const seen = detect({ input: look.input, options: DETECTION, previous: state, nowSeconds: second });
    state = seen.state;
    if (seen.verdict !== 'Imbalanced') continue;
    const picture = model.picture({ resources: RESOURCES });
    for (const { topic, to } of plan(picture.input, { band: DETECTION.band }).moves) {
      const name = picture.input.topics[topic] ?? '';
      paper.move(name, picture.input.brokers[to]);
      moves += 1;
      if (name.startsWith('/default/new')) movesOfNew += 1;
    }
  }
  return { moves, movesOfNew, placed };
}

describe('placement and band', () => {
  it.each(rankingAlgorithms)('%s: no topic is moved away from where it has just been placed', (algorithm) => {
    const { movesOfNew, placed } = run({ algorithm, ...(algorithm === 'Weighted' && { weights: { cpu: 1 } }) }, true);

    expect(movesOfNew).toBe(0);
    expect(Object.values(placed).reduce((sum, count) => sum + count, 0)).toBe(60);
  });

  it('would chase topics if placement did not heed the band', () => {
    expect(run({ algorithm: 'DanubeFair' }, false).movesOfNew).toBeGreaterThan(0);
  });
});
