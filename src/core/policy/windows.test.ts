import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isProblem } from '../../api/problem.ts';
import type { WindowSpec } from '../../api/rebalance.ts';
import { createCalendar } from './windows.ts';

const NIGHT: WindowSpec = { name: 'night', schedule: '0 2 * * *', timeZone: 'Europe/Berlin', durationSeconds: 7200 };

function nextOf(windows: readonly WindowSpec[], after: string, neededSeconds = 60) {
  const calendar = createCalendar(windows);
  if (isProblem(calendar)) return calendar.problem;
  const opening = calendar.next(Date.parse(after), neededSeconds * 1000);
  if (opening === undefined) return undefined;
  const until = Number.isFinite(opening.untilMs) ? new Date(opening.untilMs).toISOString() : 'for ever';
  return `${opening.window} ${new Date(opening.fromMs).toISOString()} to ${until}`;
}

describe('moves may run', () => {
  it('at any time without windows', () => {
    expect(nextOf([], '2026-11-21T10:00:00Z', 1e9)).toBe('undefined 2026-11-21T10:00:00.000Z to for ever');
  });

  it('from when the next window opens', () => {
    expect(nextOf([NIGHT], '2026-11-21T10:00:00Z')).toBe('night 2026-11-22T01:00:00.000Z to 2026-11-22T03:00:00.000Z');
  });

  it('at once in a window that is open, until it closes', () => {
    expect(nextOf([NIGHT], '2026-11-22T02:30:00Z')).toBe('night 2026-11-22T02:30:00.000Z to 2026-11-22T03:00:00.000Z');
    expect(nextOf([NIGHT], '2026-11-22T01:00:00Z')).toBe('night 2026-11-22T01:00:00.000Z to 2026-11-22T03:00:00.000Z');
  });

  it('in the next one, when this one closes too soon or now', () => {
    const tomorrow = 'night 2026-11-23T01:00:00.000Z to 2026-11-23T03:00:00.000Z';

    expect(nextOf([NIGHT], '2026-11-22T02:30:00Z', 1801)).toBe(tomorrow);
    expect(nextOf([NIGHT], '2026-11-22T03:00:00Z', 0)).toBe(tomorrow);
  });

  it('never, when no window is long enough', () => {
    expect(nextOf([NIGHT], '2026-11-22T02:30:00Z', 7201)).toBeUndefined();
  });

  it('from any moment until enough of a window is left, for every moment of three days', () => {
    const calendar = createCalendar([NIGHT, { name: 'often', schedule: '*/7 9-17 * * *', durationSeconds: 3600 }]);
    if (isProblem(calendar)) throw new Error(calendar.problem);
    const start = Date.parse('2026-10-24T00:00:00Z');
    fc.assert(
      fc.property(fc.nat({ max: 3 * 86_400_000 }), fc.nat({ max: 3_600_000 }), (offset, needed) => {
        const opening = calendar.next(start + offset, needed);

        expect(opening?.fromMs).toBeGreaterThanOrEqual(start + offset);
        expect((opening?.untilMs ?? 0) - (opening?.fromMs ?? 0)).toBeGreaterThanOrEqual(Math.max(needed, 1));
        // Asked again from there it says the same, and a moment before, nothing earlier than was asked for.
        expect(calendar.next(opening?.fromMs ?? 0, needed)?.fromMs).toBe(opening?.fromMs);
      }),
      { numRuns: 300 },
    );
  });

  it('in whichever window comes first', () => {
    const noon = { name: 'noon', schedule: '0 12 * * *', durationSeconds: 600 };

    expect(nextOf([NIGHT, noon], '2026-11-21T10:00:00Z')).toMatch(/^noon 2026-11-21T12:00/);
    expect(nextOf([NIGHT, noon], '2026-11-21T10:00:00Z', 601)).toMatch(/^night/);
  });

  it('by the clock of the time zone, also when it changes', () => {
    expect(nextOf([NIGHT], '2026-07-01T10:00:00Z')).toMatch(/^night 2026-07-02T00:00/);
    // 02:00 does not exist on 29 March 2026, and happens twice on 25 October.
    expect(nextOf([NIGHT], '2026-03-28T10:00:00Z')).toMatch(/^night 2026-03-29T01:00/);
    expect(nextOf([NIGHT], '2026-10-24T10:00:00Z')).toMatch(/^night 2026-10-25T00:00/);
    expect(nextOf([NIGHT], '2026-10-25T02:00:00Z')).toMatch(/^night 2026-10-26T01:00/);
  });

  it('on a day that comes every four years', () => {
    const leap = { name: 'leap', schedule: '0 0 29 2 *', durationSeconds: 3600 };

    expect(nextOf([leap], '2024-03-01T00:00:00Z')).toMatch(/^leap 2028-02-29/);
  });
});

describe('a window is refused', () => {
  it.each([
    [
      { schedule: '61 2 * * *' },
      /^windows\[1\]\.schedule: expected five fields of cron, found "61 2 \* \* \*": .*minute: 61/,
    ],
    [{ schedule: '0 2 * *' }, /^windows\[1\]\.schedule: expected five fields of cron/],
    [
      { schedule: '0 0 31 2 *' },
      'windows[1].schedule: expected a date that exists, found "0 0 31 2 *", which never comes',
    ],
    [
      { timeZone: 'Mars/Olympus' },
      'windows[1].timeZone: expected an IANA time zone such as Europe/Berlin, found "Mars/Olympus"',
    ],
  ])('with %j', (change, problem) => {
    const found = createCalendar([NIGHT, { ...NIGHT, ...change }]);

    expect(found).toEqual({ problem: typeof problem === 'string' ? problem : expect.stringMatching(problem) });
  });
});
