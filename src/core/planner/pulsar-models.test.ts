/** Our models of Pulsar's rules, which the benchmark compares the planner with, against what its real classes did on the same clusters. */
import { describe, expect, it } from 'vitest';
import { MEASURED, RULES } from '../../../bench/planner/pulsar/measured.ts';
import { runPulsar } from '../../../bench/planner/pulsar/run.ts';
import { skewedCluster } from '../../../bench/planner/workloads.ts';
import { plan } from './plan.ts';

function runModel(brokers: number, name: string) {
  const rule = RULES.find((one) => one.name === name);
  if (rule === undefined) throw new Error(`no model of ${name}`);
  const { shedder, placement } = rule.create(brokers);
  return runPulsar(skewedCluster(brokers, 100 * brokers, 4, 42), shedder, placement);
}

describe("our models of Pulsar's rules", () => {
  it.each(MEASURED)('$rule on $brokers brokers: as many moves, and as balanced, as the real class', (measured) => {
    const made = runModel(measured.brokers, measured.rule);

    console.info(
      `${measured.rule}, ${measured.brokers} brokers (real / model): moves ${measured.moves.join('-')} / ${made.moves}, ` +
        `minutes ${measured.minutes} / ${made.minutes}, max ${measured.max} / ${made.max.toFixed(2)}, ` +
        `min ${measured.min} / ${made.min.toFixed(2)}`,
    );
    expect(made.moves).toBeGreaterThanOrEqual(measured.moves[0] * 0.9 - 1);
    expect(made.moves).toBeLessThanOrEqual(measured.moves[1] * 1.15 + 1);
    expect(Math.abs(made.max - measured.max)).toBeLessThan(0.05);
    // Threshold draws its targets by lot, so its coldest broker differs from run to run.
    if (measured.rule !== 'Threshold') expect(Math.abs(made.min - measured.min)).toBeLessThan(0.2);
    expect(Math.abs(made.minutes - measured.minutes)).toBeLessThanOrEqual(Math.max(2, 0.35 * measured.minutes));
  });

  it('leave the band open on a side where one plan of ours closes it, on every resource', () => {
    const made = plan(skewedCluster(100, 10_000, 4, 42));

    const bestMin = Math.max(...RULES.map(({ name }) => runModel(100, name).min));

    expect(made.inBand).toBe(true);
    expect(bestMin).toBeLessThan(0.91);
  });
});
