/** A plan for people: what is wrong, what the plan does about it, how long it takes, what stands in the way. */
import type { PlanMode } from '../core/planner/input.ts';
import { type HeldBack, heldBack } from '../core/policy/apply-policy.ts';
import type { PlanReport, ReportedWave } from './plan-report.ts';
import { printable } from './printable.ts';

/** More would scroll the rest away. */
const MOST_MOVES = 20;
const MOST_WAVES = 10;
const MOST_BLOCKED = 5;

export function planTable(report: PlanReport): string {
  return [
    headline(report),
    resourceTable(report),
    brokerTable(report),
    factLines(report),
    waveTable(report),
    blockedTable(report),
    moveTable(report),
    ...report.notes.map((note) => `Note: ${printable(note)}`),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
    .concat('\n');
}

function headline({ moves, topics, brokers, inBand, band, mode, blocked, hash }: PlanReport): string {
  const highest = percent(band.highest, band);
  const range = `${percent(band.lowest, band)} to ${highest} of the mean`;
  const what =
    moves.length === 0
      ? 'Nothing moves'
      : `${number(moves.length)} of ${count(topics, 'topic')} on ${count(brokers, 'broker')} move`;
  const goals = {
    Full: inBand ? `every broker ends within the band, ${range}` : `NOT every broker ends within the band, ${range}`,
    HotSpots: inBand ? `no broker ends above ${highest} of the mean` : `SOME brokers stay above ${highest} of the mean`,
    ScaleOut: inBand
      ? `every broker ends within the band, ${range}`
      : `not every broker ends within the band, ${range}`,
    Drain:
      blocked.length === 0 ? 'all that must leave its broker does' : `${number(blocked.length)} that must leave CANNOT`,
  };
  return `Plan ${hash}: ${what}; ${goals[mode]}.`;
}

function resourceTable({ before, after, bounds, band }: PlanReport): string {
  const rows = Object.entries(before).map(([resource, now]) => {
    const then = after[resource];
    return [
      resource,
      percent(now.minOverMean, band),
      percent(now.maxOverMean, band),
      percent(then?.minOverMean ?? 0, band),
      percent(then?.maxOverMean ?? 0, band),
      percent(bounds.balance[resource] ?? 1, band),
    ];
  });
  return table(['RESOURCE', 'LOWEST NOW', 'HIGHEST NOW', 'LOWEST AFTER', 'HIGHEST AFTER', 'BEST POSSIBLE'], rows);
}

function brokerTable({ furthest, moves, band }: PlanReport): string {
  if (moves.length === 0 || furthest.length === 0) return '';
  const rows = furthest.map(({ broker, resource, before, after, gives, takes }) => [
    broker,
    resource,
    percent(before, band),
    percent(after, band),
    number(gives),
    number(takes),
  ]);
  return `Brokers furthest from the mean:\n${table(['BROKER', 'RESOURCE', 'NOW', 'AFTER', 'GIVES', 'TAKES'], rows)}`;
}

function factLines({
  mode,
  moves,
  bounds,
  cost,
  durationSeconds,
  waves,
  bindingConstraint,
  heldBack: held,
  loadMs,
  planMs,
}: PlanReport): string {
  const facts: [string, string][] = [];
  if (moves.length > 0) {
    facts.push(['Moves', `${number(moves.length)}; any plan as good needs at least ${number(bounds.moves)}`]);
    // The share of traffic, which is below 1, only decides between moves.
    const plain = Math.floor(cost);
    if (plain > moves.length) facts.push(['Cost', `that of ${number(plain)} moves of plain topics`]);
    facts.push(['Time', timeText(durationSeconds, waves.length, mode)]);
  }
  facts.push(['Limited by', printable(bindingConstraint)]);
  for (const [reason, topics] of Object.entries(held)) {
    const meaning = Object.hasOwn(heldBack, reason) ? `: ${heldBack[reason as HeldBack]}` : '';
    facts.push(['Held back', `${count(topics, 'topic')}, ${printable(reason)}${meaning}`]);
  }
  facts.push(['Took', `${number(Math.round(loadMs))} ms to read, ${number(Math.round(planMs))} ms to plan`]);
  const width = Math.max(...facts.map(([label]) => label.length));
  return facts.map(([label, text]) => `${label.padEnd(width)}  ${text}`).join('\n');
}

function timeText(seconds: number | null, waves: number, mode: PlanMode): string {
  const portions = count(waves, 'wave');
  if (seconds === null)
    return `${portions}, of which not all can start: no window is long enough, or none opens for years`;
  const pace = mode === 'Drain' ? 'whatever the windows and hourly limits' : 'under the limits and windows';
  return `about ${duration(seconds)} in ${portions}, ${pace} of the policy`;
}

function waveTable({ waves }: PlanReport): string {
  if (waves.length < 2) return '';
  const shown = waves.length > MOST_WAVES + 1 ? waves.slice(0, MOST_WAVES) : waves;
  const rows = shown.map(({ moves, window, movedPercent, ...start }, index) => [
    String(index + 1),
    number(moves),
    startText(start),
    `${movedPercent.toFixed(1)} %`,
    window ?? '-',
  ]);
  return `${table(['WAVE', 'MOVES', 'STARTS', 'LOAD MOVED', 'WINDOW'], rows)}${more(waves.length - shown.length, 'wave')}`;
}

function startText({ startsAfterSeconds, startsAt }: Pick<ReportedWave, 'startsAfterSeconds' | 'startsAt'>): string {
  if (startsAt !== null) return `${startsAt.slice(0, 16).replace('T', ' ')} UTC`;
  if (startsAfterSeconds === null) return 'never';
  return startsAfterSeconds === 0 ? 'at once' : `after ${duration(startsAfterSeconds)}`;
}

function blockedTable({ blocked }: PlanReport): string {
  if (blocked.length === 0) return '';
  const shown = blocked.slice(0, MOST_BLOCKED);
  const rows = shown.map(({ topic, wanted, rule, because }) => [
    topic,
    rule === undefined ? wanted : `${wanted}, rule ${rule}`,
    because,
  ]);
  return `Must move and cannot:\n${table(['TOPIC', 'WANTED BY', 'BECAUSE'], rows)}${more(blocked.length - shown.length, 'topic')}`;
}

function moveTable({ moves }: PlanReport): string {
  if (moves.length === 0) return '';
  const shown = moves.slice(0, MOST_MOVES);
  const rows = shown.map(({ topic, from, to, resource, reason, rule, wave }) => [
    String(wave),
    topic,
    from,
    to,
    reason,
    resource ?? (rule === undefined ? '-' : `rule ${rule}`),
  ]);
  return `${table(['WAVE', 'TOPIC', 'FROM', 'TO', 'REASON', 'FOR'], rows)}${more(moves.length - shown.length, 'move')}`;
}

function more(left: number, what: string): string {
  return left > 0 ? `\n… and ${count(left, `more ${what}`)}: -o json has all` : '';
}

const FIGURE = /^[\d,.]+( %)?$/;

/** Columns that hold only figures are set to the right. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows.map((row) => row.map(printable))];
  const columns = head.map((_, column) => ({
    width: Math.max(...cells.map((row) => row[column]?.length ?? 0)),
    isFigure: rows.every((row) => FIGURE.test(row[column] ?? '')),
  }));
  return cells
    .map((row) =>
      columns
        .map(({ width, isFigure }, column) => (isFigure ? row[column]?.padStart(width) : row[column]?.padEnd(width)))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

const MOST_DECIMALS = 4;

/** With decimals only where a rounded level would be on the other side of the band's edge. */
function percent(level: number, { lowest, highest }: PlanReport['band']): string {
  const sideOf = (value: number) => Number(value > highest) - Number(value < lowest);
  let text = '';
  for (let decimals = 0; decimals <= MOST_DECIMALS; decimals++) {
    text = (level * 100).toFixed(decimals);
    if (sideOf(Number(text) / 100) === sideOf(level)) break;
  }
  return `${text} %`;
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}

function count(value: number, what: string): string {
  return `${number(value)} ${what}${value === 1 ? '' : 's'}`;
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.round(minutes / 6) / 10;
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 2.4) / 10} d`;
}
