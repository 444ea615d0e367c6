import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { skewedCluster } from '../../../bench/planner/workloads.ts';
import { isProblem } from '../../api/problem.ts';
import type { WindowSpec } from '../../api/rebalance.ts';
import { clusterOf, topicsOf } from '../planner/cluster-builder.ts';
import { brokerLoads, meanUtilisation } from '../planner/figures.ts';
import { BrokerRole, type PlannerInput, type PlanOptions } from '../planner/input.ts';
import { plan } from '../planner/plan.ts';
import { cutIntoWaves, durationSeconds, type WaveLimits } from './waves.ts';
import { createCalendar } from './windows.ts';

const LIMITS: WaveLimits = { maxConcurrentMoves: 4, maxMovesPerHour: 8, maxMovedLoadPercentPerHour: 100 };
const NOW = Date.parse('2026-11-21T10:00:00Z');

function wavesOf(
  input: PlannerInput,
  limits: Partial<WaveLimits> = {},
  windows: readonly WindowSpec[] = [],
  options: PlanOptions = {},
) {
  const calendar = createCalendar(windows);
  if (isProblem(calendar)) throw new Error(calendar.problem);
  const made = plan(input, options);
  return { made, waves: cutIntoWaves({ input, plan: made, limits: { ...LIMITS, ...limits }, calendar, nowMs: NOW }) };
}

/** 20 moves of 1 out of 80 bring b0 down and b1 up. */
const TWENTY = clusterOf(['cpu'], { b0: topicsOf('t', 60, [1]), b1: topicsOf('u', 20, [1]) });
const EXACT: PlanOptions = { band: { above: 0.001, below: 0.001 } };

describe('limits', () => {
  it('cut a plan into one wave an hour', () => {
    const { waves } = wavesOf(TWENTY, {}, [], EXACT);

    expect(waves).toEqual([
      { from: 0, to: 8, startsAfterSeconds: 0, lastsSeconds: 20, window: undefined, movedPercent: 10 },
      { from: 8, to: 16, startsAfterSeconds: 3600, lastsSeconds: 20, window: undefined, movedPercent: 10 },
      { from: 16, to: 20, startsAfterSeconds: 7200, lastsSeconds: 10, window: undefined, movedPercent: 5 },
    ]);
    expect(durationSeconds(waves)).toBe(7210);
  });

  it('count load as well as moves', () => {
    const { waves } = wavesOf(TWENTY, { maxMovedLoadPercentPerHour: 5 }, [], EXACT);

    expect(waves.map(({ from, to }) => to - from)).toEqual([4, 4, 4, 4, 4]);
  });

  it('are kept on average where one topic is more than an hour allows', () => {
    const input = clusterOf(['cpu'], {
      b0: { big: [30], ...topicsOf('t', 10, [1]) },
      b1: {},
      b2: topicsOf('u', 20, [1]),
    });

    const { made, waves } = wavesOf(input, { maxMovedLoadPercentPerHour: 10 });

    const [first, second] = waves;
    expect(made.moves.length).toBeGreaterThan(1);
    expect(first).toMatchObject({ from: 0, to: 1, movedPercent: 50 });
    expect(second?.startsAfterSeconds).toBe(5 * 3600);
  });

  it('leave no wave for a plan without moves', () => {
    const { waves } = wavesOf(clusterOf(['cpu'], { b0: { t: [1] }, b1: { u: [1] } }));

    expect(waves).toEqual([]);
    expect(durationSeconds(waves)).toBe(0);
  });

  it('stretch an hour when moves take longer', () => {
    const { waves } = wavesOf(TWENTY, { maxConcurrentMoves: 1, maxMovesPerHour: 1000 }, [], EXACT);

    expect(waves).toHaveLength(1);
    expect(durationSeconds(waves)).toBe(200);
  });
});

describe('windows', () => {
  const night: WindowSpec = { name: 'night', schedule: '0 2 * * *', durationSeconds: 7200 };

  it('let a wave start when they open, and as many as fit', () => {
    const { waves } = wavesOf(TWENTY, {}, [night], EXACT);

    const hour = 3600;
    expect(waves.map(({ startsAfterSeconds, window }) => [startsAfterSeconds, window])).toEqual([
      [16 * hour, 'night'],
      [17 * hour, 'night'],
      [(16 + 24) * hour, 'night'],
    ]);
  });

  it('make waves as short as they are: the longest of them decides', () => {
    const short = { ...night, durationSeconds: 60 };
    const shorter = { ...short, name: 'noon', schedule: '0 12 * * *', durationSeconds: 30 };

    const { waves } = wavesOf(TWENTY, { maxConcurrentMoves: 1, maxMovesPerHour: 1000 }, [shorter, short], EXACT);

    const hour = 3600;
    expect(waves.map(({ from, to, startsAfterSeconds, window }) => [to - from, startsAfterSeconds, window])).toEqual([
      [6, 16 * hour, 'night'],
      [6, (16 + 24) * hour, 'night'],
      [6, (16 + 48) * hour, 'night'],
      [2, 74 * hour, 'noon'],
    ]);
  });

  it('that are too short for a single move leave the waves without a start', () => {
    const short = { ...night, durationSeconds: 9 };

    const { waves } = wavesOf(TWENTY, {}, [short], EXACT);

    expect(waves.every(({ startsAfterSeconds }) => startsAfterSeconds === undefined)).toBe(true);
    expect(waves.map(({ from, to }) => to - from)).toEqual(Array(20).fill(1));
    expect(durationSeconds(waves)).toBeUndefined();
  });
});

describe('an exchange', () => {
  it('is never cut in two', () => {
    // Only to swap 6 and 4 helps: either move alone takes a broker further from the mean.
    const input = clusterOf(['cpu', 'memory'], {
      b0: { a: [6, 5], b: [5, 5] },
      b1: { c: [4, 5], d: [5, 5] },
    });

    const { made, waves } = wavesOf(input, { maxConcurrentMoves: 1, maxMovesPerHour: 1 }, [], {
      band: { above: 0.05, below: 0.05 },
    });

    expect(made.moves).toHaveLength(2);
    expect(made.cuts).toEqual([2]);
    expect(waves).toMatchObject([{ from: 0, to: 2 }]);
  });
});

interface Imbalance {
  readonly total: number;
  readonly worst: number;
}

function imbalance(input: PlannerInput, owner: Int32Array, above: number, below = above): Imbalance {
  const sums = brokerLoads({ ...input, owner });
  const means = meanUtilisation(input, sums);
  let total = 0;
  let worst = 0;
  for (const [at, sum] of sums.entries()) {
    const mean = means[at % input.resources.length] ?? 0;
    if (mean === 0) continue;
    const level = sum / (mean * (input.capacity[at] ?? 1));
    const distance = Math.max(0, level - 1 - above, 1 - below - level);
    total += distance * distance;
    worst = Math.max(worst, distance);
  }
  return { total, worst };
}

/** The cases are many, the machine may be busy. */
const PATIENCE_MS = 60_000;

describe('every wave', () => {
  const cluster = fc
    .record({
      brokers: fc.integer({ min: 2, max: 8 }),
      topics: fc.integer({ min: 4, max: 60 }),
      resources: fc.integer({ min: 1, max: 3 }),
      seed: fc.nat({ max: 1e6 }),
    })
    .map(({ brokers, topics, resources, seed }) => skewedCluster(brokers, topics, resources, seed));
  const limits = fc.record({
    maxConcurrentMoves: fc.integer({ min: 1, max: 8 }),
    maxMovesPerHour: fc.integer({ min: 1, max: 12 }),
    maxMovedLoadPercentPerHour: fc.integer({ min: 1, max: 30 }),
  });

  it(
    'leaves the cluster no worse, and all of them make the plan',
    () => {
      fc.assert(
        fc.property(cluster, limits, fc.constantFrom(0.02, 0.09, 0.2), (input, limit, width) => {
          const { made, waves } = wavesOf(input, limit, [], { band: { above: width, below: width } });
          const owner = input.owner.slice();
          // A giant takes the low side out of reach of the others; the planner then measures against less.
          const isMeasured = made.bounds.balance.every((level) => level <= 1 + width);
          let before = imbalance(input, owner, width);
          let at = 0;
          for (const { from, to } of waves) {
            expect(from).toBe(at);
            expect(to).toBeGreaterThan(from);
            for (const move of made.moves.slice(from, to)) owner[move.topic] = move.to;
            const after = imbalance(input, owner, width);
            if (isMeasured) {
              expect(after.total).toBeLessThanOrEqual(before.total + 1e-9);
              expect(after.worst).toBeLessThanOrEqual(before.worst + 1e-9);
            }
            before = after;
            at = to;
          }
          expect(at).toBe(made.moves.length);
        }),
        { numRuns: 300 },
      );
    },
    PATIENCE_MS,
  );

  it(
    'leaves the cluster no worse also where the band is out of reach',
    () => {
      const mixed = fc
        .record({
          brokers: fc.integer({ min: 2, max: 5 }),
          topics: fc.integer({ min: 3, max: 20 }),
          width: fc.integer({ min: 1, max: 3 }),
        })
        .chain(({ brokers, topics, width }) => {
          const list = (item: fc.Arbitrary<number>, length: number) =>
            fc.array(item, { minLength: length, maxLength: length });
          return fc
            .record({
              loads: list(fc.nat({ max: 60 }), topics * width),
              owner: list(fc.nat({ max: brokers - 1 }), topics),
              capacity: list(fc.constantFrom(50, 100, 200), brokers * width),
              background: list(fc.constantFrom(0, 0, 30, 60), brokers * width),
            })
            .map(
              (made): PlannerInput => ({
                resources: Array.from({ length: width }, (_, index) => `r${index}`),
                brokers: Array.from({ length: brokers }, (_, index) => `b${index}`),
                topics: Array.from({ length: topics }, (_, index) => `t${index}`),
                loads: Float64Array.from(made.loads),
                owner: Int32Array.from(made.owner),
                capacity: Float64Array.from(made.capacity),
                background: Float64Array.from(made.background),
              }),
            );
        });
      fc.assert(
        fc.property(mixed, (input) => {
          // Only the upper side counts in this mode: the lower one is measured against less where it is out of reach.
          const { made, waves } = wavesOf(input, { maxMovesPerHour: 1 }, [], { mode: 'HotSpots' });
          const owner = input.owner.slice();
          let before = imbalance(input, owner, 0.09, Infinity);
          for (const { from, to } of waves) {
            for (const move of made.moves.slice(from, to)) owner[move.topic] = move.to;
            const after = imbalance(input, owner, 0.09, Infinity);
            expect(after.total).toBeLessThanOrEqual(before.total + 1e-9);
            expect(after.worst).toBeLessThanOrEqual(before.worst + 1e-9);
            before = after;
          }
        }),
        { numRuns: 400 },
      );
    },
    PATIENCE_MS,
  );

  it(
    'is of a whole plan also where a broker must become empty and topics may not move',
    () => {
      fc.assert(
        fc.property(cluster, limits, (input, limit) => {
          const roles = Uint8Array.from(input.brokers.keys(), (broker) =>
            broker === 0 ? BrokerRole.Draining : BrokerRole.Active,
          );
          const immovable = {
            of: Uint8Array.from(input.topics.keys(), (topic) => Number(topic % 5 === 0)),
            reasons: ['Backlog'],
          };

          const { made, waves } = wavesOf({ ...input, roles, immovable }, limit);

          expect(made.cuts.at(-1) ?? 0).toBe(made.moves.length);
          expect(waves.at(-1)?.to ?? 0).toBe(made.moves.length);
        }),
        { numRuns: 200 },
      );
    },
    PATIENCE_MS,
  );

  it(
    'keeps the rates, counted from the start of any wave to the start of any later one',
    () => {
      fc.assert(
        fc.property(cluster, limits, (input, limit) => {
          const { waves } = wavesOf(input, limit);
          for (const [first, { from, startsAfterSeconds: start = 0 }] of waves.entries()) {
            let percent = 0;
            for (const [index, wave] of waves.entries()) {
              if (index < first) continue;
              const hours = ((wave.startsAfterSeconds ?? 0) - start) / 3600;
              expect(wave.from - from).toBeLessThanOrEqual(hours * limit.maxMovesPerHour + 1e-6);
              expect(percent).toBeLessThanOrEqual(hours * limit.maxMovedLoadPercentPerHour + 1e-6);
              percent += wave.movedPercent;
            }
          }
        }),
        { numRuns: 300 },
      );
    },
    PATIENCE_MS,
  );
});
