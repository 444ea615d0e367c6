/** The planner against the true optimum of small random clusters. The distribution of the gap is printed. */
import { expect, it } from 'vitest';
import { createRandom, type Random } from '../../../bench/planner/random.ts';
import { fewestMoves } from './exact.ts';
import type { PlannerInput } from './input.ts';
import { plan } from './plan.ts';

const CASES = 3_500;
const SEED = 7;
const MOST_MOVES = 6;
const MOST_VISITS = 40_000;

function smallCluster(random: Random): PlannerInput {
  const brokers = 2 + random.index(4);
  const topics = 4 + random.index(9);
  const width = 1 + random.index(3);
  return {
    resources: Array.from({ length: width }, (_, index) => `r${index}`),
    brokers: Array.from({ length: brokers }, (_, index) => `b${index}`),
    topics: Array.from({ length: topics }, (_, index) => `t${index}`),
    loads: Float64Array.from({ length: topics * width }, () => Math.exp(2 * (random.uniform() + random.uniform() - 1))),
    owner: Int32Array.from({ length: topics }, () => Math.floor(random.uniform() ** 1.5 * brokers)),
    capacity: Float64Array.from({ length: brokers * width }, () => (random.uniform() < 0.3 ? 20 : 10)),
  };
}

it(`reaches the fewest moves possible in nearly all of ${CASES} small cases`, { timeout: 120_000 }, () => {
  const random = createRandom(SEED);
  const gaps = new Map<string, number>();
  const wrongBounds: string[] = [];
  for (let number = 0; number < CASES; number++) {
    const input = smallCluster(random);
    const band = 0.15 + 0.35 * random.uniform();
    const options = { band: { above: band, below: band } };

    const made = plan(input, options);
    const optimum = fewestMoves(input, options, MOST_MOVES, MOST_VISITS);

    if (optimum !== undefined && made.inBand && made.bounds.moves > optimum) wrongBounds.push(`case ${number}`);
    const outcome = outcomeOf(made.inBand, made.moves.length, optimum);
    gaps.set(outcome, (gaps.get(outcome) ?? 0) + 1);
  }
  const count = (outcome: string): number => gaps.get(outcome) ?? 0;
  const sorted = [...gaps].sort(([a], [b]) => (a < b ? -1 : 1)).map(([outcome, cases]) => `${outcome}: ${cases}`);
  console.info(`seed ${SEED}, ${CASES} cases by moves above the optimum: ${sorted.join(', ')}`);

  const solved = [0, 1, 2, 3, 4, 5, 6].reduce((sum, above) => sum + count(`+${above}`), 0);
  expect(wrongBounds).toEqual([]);
  expect(solved).toBeGreaterThanOrEqual(2_000);
  expect(count('+0') / solved).toBeGreaterThan(0.96);
  expect(count('missed') / (solved + count('missed'))).toBeLessThan(0.003);
  expect([...gaps.keys()].some((outcome) => outcome.startsWith('+-'))).toBe(false);
});

/** `missed`: the band can be reached, and the planner did not. */
function outcomeOf(inBand: boolean, moves: number, optimum: number | undefined): string {
  if (optimum === undefined) return 'optimum unknown';
  if (optimum === Infinity) return inBand ? `only in more than ${MOST_MOVES}` : 'out of reach';
  return inBand ? `+${moves - optimum}` : 'missed';
}
