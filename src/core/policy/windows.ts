/** When topics may move for balance: windows that open by a schedule of cron, in a time zone, for a while. */
import { Cron } from 'croner';
import { isProblem, type Problem } from '../../api/problem.ts';
import type { WindowSpec } from '../../api/rebalance.ts';

/** A stretch of time in which moves may run. Milliseconds since 1970, UTC. */
export interface Opening {
  readonly fromMs: number;
  readonly untilMs: number;
  /** Undefined where no window is needed. */
  readonly window: string | undefined;
}

export interface Calendar {
  /** The first stretch of at least `neededMs` that begins at `afterMs` or later; undefined if none does within four years. */
  next(afterMs: number, neededMs: number): Opening | undefined;
  /** The longest of its stretches. */
  readonly longestMs: number;
}

/** So that a leap day is found. */
const HORIZON_MS = (4 * 365 + 2) * 86_400_000;

/** Of no windows: always open. The problem names the window and the field. */
export function createCalendar(windows: readonly WindowSpec[]): Calendar | Problem {
  if (windows.length === 0) {
    const untilMs = Number.POSITIVE_INFINITY;
    return { next: (afterMs) => ({ fromMs: afterMs, untilMs, window: undefined }), longestMs: untilMs };
  }
  const calendars: Calendar[] = [];
  for (const [index, window] of windows.entries()) {
    const calendar = createWindowCalendar(window);
    if (isProblem(calendar)) return { problem: `windows[${index}].${calendar.problem}` };
    calendars.push(calendar);
  }
  return {
    next: (afterMs, neededMs) => earliest(calendars.map((one) => one.next(afterMs, neededMs))),
    longestMs: Math.max(...calendars.map(({ longestMs }) => longestMs)),
  };
}

function earliest(openings: readonly (Opening | undefined)[]): Opening | undefined {
  let best: Opening | undefined;
  for (const opening of openings) {
    if (opening !== undefined && (best === undefined || opening.fromMs < best.fromMs)) best = opening;
  }
  return best;
}

function createWindowCalendar(window: WindowSpec): Calendar | Problem {
  const cron = parseSchedule(window);
  if (isProblem(cron)) return cron;
  const durationMs = window.durationSeconds * 1000;
  return {
    longestMs: durationMs,
    next(afterMs, neededMs) {
      if (neededMs > durationMs) return undefined;
      // The first opening of which enough is left: one before it closes too soon.
      const opens = cron.nextRun(new Date(afterMs + Math.max(neededMs, 1) - durationMs - 1));
      if (opens === null || opens.getTime() > afterMs + HORIZON_MS) return undefined;
      return {
        fromMs: Math.max(opens.getTime(), afterMs),
        untilMs: opens.getTime() + durationMs,
        window: window.name,
      };
    },
  };
}

function parseSchedule({ schedule, timeZone = 'UTC' }: WindowSpec): Cron | Problem {
  if (!isTimeZone(timeZone)) {
    return { problem: `timeZone: expected an IANA time zone such as Europe/Berlin, found ${JSON.stringify(timeZone)}` };
  }
  try {
    const cron = new Cron(schedule, { paused: true, mode: '5-part', timezone: timeZone });
    if (cron.nextRun(new Date(0)) !== null) return cron;
    return { problem: `schedule: expected a date that exists, found ${JSON.stringify(schedule)}, which never comes` };
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).replace(/^\w+: /, '');
    return { problem: `schedule: expected five fields of cron, found ${JSON.stringify(schedule)}: ${reason}` };
  }
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
