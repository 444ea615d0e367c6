/**
 * How long something took, and how long it may take by the project's own bars. A machine that is shared says little of that: the
 * gate tests what happens and in which order, and prints the time; the long runs, alone on theirs, hold it against the bar.
 */
import { expect } from 'vitest';

/** Prints the milliseconds that something took; with TEST_TIER=full they must be less than the bar. */
export function holdToBar(what: string, tookMs: number, barMs: number): void {
  process.stderr.write(`${what}: ${Math.round(tookMs)} ms (bar: ${barMs} ms)\n`);
  if (process.env.TEST_TIER === 'full') expect(tookMs, what).toBeLessThan(barMs);
}
