/**
 * Where a reliable topic goes on after a crash. Its next owner starts at offset 0 unless `state` says otherwise, and
 * offsets given out twice lose messages (contract M9, M10, M13); a gap costs nothing (M14).
 */

export interface OffsetEvidence {
  /** The sealed state, if it was written after the assignment that it ends: an older one proves nothing. */
  readonly sealedOffset: bigint | undefined;
  /** Last offsets of uploaded objects. */
  readonly objectEnds: readonly bigint[];
  /** Stored cursors of the topic's subscriptions. */
  readonly cursors: readonly bigint[];
  /** What we seeded last. */
  readonly lastSeed: bigint | undefined;
}

/** Offsets are u64; this many are left for messages, whatever a broken cursor or object claims. */
const HIGHEST_SEED = 2n ** 64n - 2n ** 32n;

/** The `last_committed_offset` to write: beyond everything that is known and `margin` that is not. Always a u64. */
export function seedOffset(evidence: OffsetEvidence, margin: bigint): bigint {
  let highest = 0n;
  const known = [...evidence.objectEnds, ...evidence.cursors, evidence.sealedOffset, evidence.lastSeed];
  for (const offset of known) if (offset !== undefined && offset > highest) highest = offset;
  const seed = highest + margin;
  return seed < HIGHEST_SEED ? seed : HIGHEST_SEED;
}

/** Whether anything shows that messages were ever written to the topic. */
export function hasHistory(evidence: OffsetEvidence): boolean {
  return (
    evidence.sealedOffset !== undefined ||
    evidence.lastSeed !== undefined ||
    evidence.objectEnds.length > 0 ||
    evidence.cursors.length > 0
  );
}
