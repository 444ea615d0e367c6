/** Where a plan may be cut: never so that a hard rule is broken, or the cluster is worse, until the next cut. */
import { describe, expect, it } from 'vitest';
import { clusterOf } from './cluster-builder.ts';
import type { PlannerInput } from './input.ts';
import { plan } from './plan.ts';

/** b0 is hot. `shard-0` would even it out, but must not stand beside `shard-1`: they can only change places. */
function shards(): PlannerInput {
  const input = clusterOf(['cpu'], { b0: { 'shard-0': [10] }, b1: { 'shard-1': [1] } });
  return {
    ...input,
    background: Float64Array.of(55, 44),
    spread: { of: Int32Array.of(0, 0), groups: [{ name: 'shards', maxPerBroker: 1 }] },
  };
}

describe('an exchange', () => {
  const band = { above: 0.1, below: 0.1 };

  it('is made where neither of its moves may be made alone', () => {
    const made = plan(shards(), { band });

    expect(made.inBand).toBe(true);
    expect(made.moves.map(({ topic, to }) => [topic, to])).toEqual(
      expect.arrayContaining([
        [0, 1],
        [1, 0],
      ]),
    );
  });

  it('is not cut in half by a budget, although its first move alone would balance best', () => {
    expect(plan(shards(), { band, maxMoves: 1 }).moves).toEqual([]);
    expect(plan(shards(), { band, maxMoves: 2 }).moves.length).toBe(2);
  });
});

describe('what hard rules ask for', () => {
  it('is done also where it costs nothing and helps nobody else', () => {
    const cluster = clusterOf(['cpu'], { b0: { t: [1] }, b1: { u: [1] } });
    const placement = { of: Int32Array.of(0, -1), rules: [{ name: 'off b0', allowed: Uint8Array.of(0, 1) }] };

    const made = plan({ ...cluster, placement, cost: Float64Array.of(0, 1) }, { band: { above: 2, below: 2 } });

    expect(made.moves.length).toBe(1);
  });

  it('may be cut after each move, even one that costs balance: a rule is kept sooner than the band', () => {
    const cluster = clusterOf(['cpu'], { b0: { 'pinned-0': [4], 'pinned-1': [4], a: [2] }, b1: { b: [5], c: [5] } });
    const input = {
      ...cluster,
      placement: { of: Int32Array.of(0, 0, -1, -1, -1), rules: [{ name: 'pinned', allowed: Uint8Array.of(0, 1) }] },
    };

    const { moves, cuts } = plan(input, { band: { above: 0.1, below: 0.1 } });
    const cut = plan(input, { band: { above: 0.1, below: 0.1 }, maxMoves: 1 });

    expect(moves.slice(0, 2).map(({ reason }) => reason)).toEqual(['NotAllowed', 'NotAllowed']);
    expect(cuts.slice(0, 2)).toEqual([1, 2]);
    expect(cut.moves.map(({ reason }) => reason)).toEqual(['NotAllowed']);
    expect(cut.after[0]?.maxOverMean).toBeGreaterThan(cut.before[0]?.maxOverMean ?? 0);
  });
});
