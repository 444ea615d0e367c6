/** What a move costs decides which topics move, and never how good the plan is. */
import { describe, expect, it } from 'vitest';
import { skewedCluster } from '../../../bench/planner/workloads.ts';
import { createCandidates } from './candidates.ts';
import { cheapen } from './cheapen.ts';
import { clusterOf } from './cluster-builder.ts';
import type { Plan, PlannerInput } from './input.ts';
import { plan } from './plan.ts';
import { assign, createWork, isInBand, movedTopics } from './work.ts';

const BAND = { above: 0.1, below: 0.1 };

/** b0 has 30 of cpu and b1 has 10: any of `a`, `b` and `c` evens it out. */
const ALIKE = clusterOf(['cpu', 'networkIn', 'networkOut'], {
  b0: { a: [10, 1.02, 1.01], b: [10, 1, 0.99], c: [10, 1.01, 1] },
  b1: { d: [10, 1, 1] },
});

function loadOf({ loads, resources }: PlannerInput, topic: number, resource: number): number {
  return loads[topic * resources.length + resource] ?? Number.NaN;
}

function moved(input: PlannerInput, options = { band: BAND }): readonly (string | undefined)[] {
  return plan(input, options).moves.map(({ topic }) => input.topics[topic]);
}

function costs(input: PlannerInput, dearer: Readonly<Record<string, number>>): Float64Array {
  return Float64Array.from(input.topics, (topic) => dearer[topic] ?? 1);
}

describe('of topics that would do', () => {
  it('the one with less traffic moves', () => {
    const input = { ...ALIKE, traffic: [1, 2] };

    expect(moved(input, { band: BAND })).toEqual(['b']);
  });

  it('the one that is not reliable moves, even with more traffic', () => {
    const input = { ...ALIKE, traffic: [1, 2], cost: costs(ALIKE, { b: 2, c: 2 }) };

    expect(moved(input)).toEqual(['a']);
  });

  it('the one with fewest connected clients moves', () => {
    expect(moved({ ...ALIKE, cost: costs(ALIKE, { a: 4, b: 3, c: 2 }) })).toEqual(['c']);
  });

  it('none moves where none has to, however cheap it is', () => {
    expect(moved({ ...ALIKE, traffic: [1, 2] }, { band: { above: 0.6, below: 0.6 } })).toEqual([]);
  });
});

describe('a plan', () => {
  /** The mean is 20. b0 gave `a` to b1, and b2 gave `b` to b3; but b1 may as well have `b`, and b0 can keep `a`. */
  function cheapened(more: Partial<PlannerInput> = {}) {
    const loads = { b0: { w: [18], a: [2] }, b1: { v: [16] }, b2: { u: [22], b: [2] }, b3: { t: [20] } };
    const input = { ...clusterOf(['cpu'], loads), ...more };
    const work = createWork(input, { band: { above: 0.11, below: 0.11 } });
    assign(work, input.topics.indexOf('a'), 1);
    assign(work, input.topics.indexOf('b'), 3);
    cheapen(work, createCandidates(work), new Map(), Infinity);
    return { moved: movedTopics(work).map((topic) => input.topics[topic]), inBand: isInBand(work) };
  }

  it('lets a topic that moves anyway do what another one moved for', () => {
    expect(cheapened()).toEqual({ moved: ['b'], inBand: true });
  });

  it('does so only as far as hard rules allow', () => {
    // Zone 0 has w and a already, wherever a is.
    const spread = {
      of: Int32Array.of(0, 0, -1, -1, 0, -1),
      groups: [{ name: 'zones', maxPerDomain: 2 }],
      domainOf: Int32Array.of(0, 0, 1, 1),
    };

    expect(cheapened({ spread })).toEqual({ moved: ['a', 'b'], inBand: true });
  });

  it('says what it costs: its moves, and the share of the traffic that moves', () => {
    const input = { ...ALIKE, traffic: [1], cost: costs(ALIKE, { a: 2, b: 2, c: 2 }) };
    const [moved] = plan(input, { band: BAND }).moves;

    expect(plan(input, { band: BAND }).cost).toBeCloseTo(2 + loadOf(input, moved?.topic ?? -1, 1) / 4.03);
    expect(plan(ALIKE, { band: BAND }).cost).toBe(1);
  });

  it('has no move more for the sake of traffic, and moves less of it', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const input = skewedCluster(30, 3_000, 4, seed);
      const plain = plan(input);
      const careful = plan({ ...input, traffic: [1, 2] });

      expect(careful.inBand).toBe(true);
      expect(careful.moves.length).toBeLessThanOrEqual(plain.moves.length);
      const trafficOf = ({ moves }: Plan): number => moves.reduce((sum, { topic }) => sum + loadOf(input, topic, 1), 0);
      expect(trafficOf(careful)).toBeLessThan(trafficOf(plain));
    }
  });

  it('breaks no hard rule to reach the band', () => {
    // One of both must leave b0. Costs say `free`; without them it is the smaller one, which may go nowhere: the band is met, the rule is not.
    const input = clusterOf(['cpu'], { b0: { free: [5], bound: [4] }, b1: { other: [9] } });

    const made = plan({
      ...input,
      cost: costs(input, { bound: 5 }),
      placement: { of: Int32Array.of(-1, 0, -1), rules: [{ name: 'home', allowed: Uint8Array.of(1, 0) }] },
      spread: { of: Int32Array.of(0, 0, -1), groups: [{ name: 'apart', maxPerBroker: 1 }] },
    });

    expect(made.blocked).toEqual([]);
    expect(made.moves.map(({ topic }) => input.topics[topic])).toContain('free');
  });

  it('reaches the band although the way there is not the cheapest at each step', () => {
    // One of ten thousand random clusters: heeding costs at each step ends outside the band.
    const input = clusterOf(
      ['cpu', 'memory', 'networkIn'],
      {
        b0: { t3: [2.348, 0.15, 0.673], t10: [1.038, 0.443, 4.555] },
        b1: { t2: [0.252, 0.851, 1.365], t5: [1.894, 0.886, 0.539], t6: [0.532, 0.91, 1.127] },
        b2: { t0: [1.444, 0.528, 1.093], t1: [1.99, 0.665, 1.833], t7: [2.654, 0.457, 0.607] },
        b3: { t4: [0.854, 0.734, 1.711], t8: [0.98, 2.056, 1.117], t9: [0.968, 2.523, 0.607] },
      },
      { b0: [10, 10, 10], b1: [10, 20, 20], b2: [10, 10, 20], b3: [10, 10, 10] },
    );
    const cost = costs(input, { t1: 5, t4: 7, t6: 12, t9: 2 });

    const made = plan({ ...input, cost, traffic: [2] }, { band: { above: 0.2939, below: 0.2939 } });

    expect(made.inBand).toBe(true);
    expect(made.cost).toBeGreaterThan(made.moves.length);
  });
});
