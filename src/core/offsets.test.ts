import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasHistory, type OffsetEvidence, seedOffset } from './offsets.ts';

const nothing: OffsetEvidence = { sealedOffset: undefined, objectEnds: [], cursors: [], lastSeed: undefined };

describe('the offset to go on from', () => {
  it.each<[string, Partial<OffsetEvidence>, bigint]>([
    ['nothing is known', {}, 1000n],
    ['objects were uploaded', { objectEnds: [29n, 59n, 12n] }, 1059n],
    ['a cursor is ahead of the objects', { objectEnds: [59n], cursors: [3n, 108n] }, 1108n],
    ['the last owner had sealed it', { objectEnds: [59n], cursors: [3n], sealedOffset: 164n }, 1164n],
    ['we seeded beyond all that is known since', { objectEnds: [59n], lastSeed: 1_000_059n }, 1_001_059n],
    ['offsets are beyond what a JavaScript number holds', { cursors: [2n ** 53n + 1n] }, 2n ** 53n + 1001n],
  ])('is beyond everything if %s', (_what, evidence, expected) => {
    expect(seedOffset({ ...nothing, ...evidence }, 1000n)).toBe(expected);
  });

  it('is beyond each known offset by the margin, whatever is known', () => {
    const offset = fc.bigInt({ min: 0n, max: 2n ** 62n });
    const evidence = fc.record({
      sealedOffset: fc.option(offset, { nil: undefined }),
      objectEnds: fc.array(offset),
      cursors: fc.array(offset),
      lastSeed: fc.option(offset, { nil: undefined }),
    });
    fc.assert(
      fc.property(evidence, fc.bigInt({ min: 0n, max: 10n ** 6n }), (known, margin) => {
        const seed = seedOffset(known, margin);
        const offsets = [...known.objectEnds, ...known.cursors, known.sealedOffset, known.lastSeed];
        for (const each of offsets) if (each !== undefined) expect(seed - margin >= each).toBe(true);
      }),
    );
  });
});

describe('a topic has a past', () => {
  it.each<[string, Partial<OffsetEvidence>]>([
    ['it is sealed', { sealedOffset: 0n }],
    ['we have seeded it', { lastSeed: 0n }],
    ['objects were uploaded', { objectEnds: [0n] }],
    ['a cursor is stored', { cursors: [0n] }],
  ])('if %s', (_what, evidence) => {
    expect(hasHistory({ ...nothing, ...evidence })).toBe(true);
  });

  it('not if nothing is known of it', () => {
    expect(hasHistory(nothing)).toBe(false);
  });
});
