/** The command line of `plan`. */
import { parseArgs } from 'node:util';
import type { Problem } from '../api/problem.ts';
import type { PlanMode } from '../core/planner/input.ts';

export const usage = `usage: danube-load-manager plan --snapshot FILE [options]

Plans moves of topics that bring every resource of every broker within a band around the mean. Changes nothing anywhere.

  --snapshot FILE          the cluster: NDJSON, may be gzip; - is standard input
  --policy FILE            a RebalancePolicy (YAML or JSON): its band, limits, windows, rules, patterns and preset are used
  -o, --output table|json  table (for people) is the default
  --mode MODE              full (default): into the band, both sides. hot-spots: only what is above it.
                           drain: empty the brokers of --broker. scale-out: move only to those, or to those without topics
  --broker ID              a broker for --mode drain or scale-out; may be repeated
  --explain TOPIC          why this topic moves or stays, instead of the plan
  --why-not TOPIC BROKER   why this topic does not go to this broker, instead of the plan
  --at TIME                when the plan would start, for windows; RFC 3339, default now
  --time-limit SECONDS     stop planning after this time and answer with what there is; default none
  -h, --help

Exit codes: 0 planned (also if there is nothing to move), 1 a fault of this program, 2 wrong options or input.
All about formats and figures: docs/plan.md`;

export interface PlanCommand {
  readonly snapshot: string;
  readonly policy: string | undefined;
  readonly output: 'table' | 'json';
  readonly mode: PlanMode;
  readonly brokers: readonly string[];
  readonly question: Question | undefined;
  readonly at: number | undefined;
  readonly timeLimitSeconds: number | undefined;
}

/** About one topic; with a broker it is why not there. */
export interface Question {
  readonly topic: string;
  readonly broker: string | undefined;
}

const MODES: ReadonlyMap<string, PlanMode> = new Map([
  ['full', 'Full'],
  ['drain', 'Drain'],
  ['scale-out', 'ScaleOut'],
  ['hot-spots', 'HotSpots'],
]);

const OPTIONS = {
  snapshot: { type: 'string' },
  policy: { type: 'string' },
  output: { type: 'string', short: 'o', default: 'table' },
  mode: { type: 'string', default: 'full' },
  broker: { type: 'string', multiple: true },
  explain: { type: 'string' },
  'why-not': { type: 'string' },
  at: { type: 'string' },
  'time-limit': { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** `args` without the word plan. */
export function parsePlanCommand(args: readonly string[]): PlanCommand | Problem | 'help' {
  const parsed = parse(args);
  if ('problem' in parsed) return parsed;
  const { values, positionals } = parsed;
  const { snapshot, policy, output, broker: brokers = [] } = values;
  if (values.help) return 'help';
  if (snapshot === undefined) return { problem: '--snapshot: expected the file of a snapshot' };
  if (output !== 'table' && output !== 'json') {
    return { problem: `--output: expected table or json, found ${JSON.stringify(output)}` };
  }
  const mode = MODES.get(values.mode);
  if (mode === undefined) {
    return { problem: `--mode: expected ${[...MODES.keys()].join(', ')}, found ${JSON.stringify(values.mode)}` };
  }
  if (brokers.length > 0 && mode !== 'Drain' && mode !== 'ScaleOut') {
    return { problem: '--broker: means something only with --mode drain or --mode scale-out' };
  }
  const question = questionOf(values, positionals);
  if (question !== undefined && 'problem' in question) return question;
  const at = values.at === undefined ? undefined : momentOf(values.at);
  if (typeof at === 'object') return at;
  const timeLimitSeconds = values['time-limit'] === undefined ? undefined : Number(values['time-limit']);
  if (timeLimitSeconds !== undefined && !(timeLimitSeconds > 0)) {
    return { problem: `--time-limit: expected seconds, more than 0, found ${JSON.stringify(values['time-limit'])}` };
  }
  return { snapshot, policy, output, mode, brokers, question, at, timeLimitSeconds };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')) {
      return { problem: (error as Error).message };
    }
    throw error;
  }
}

function questionOf(
  values: { readonly explain?: string; readonly 'why-not'?: string },
  positionals: readonly string[],
): Question | Problem | undefined {
  const { explain, 'why-not': whyNot } = values;
  const [broker, ...more] = positionals;
  if (explain !== undefined && whyNot !== undefined)
    return { problem: '--explain and --why-not: expected one of them' };
  if (whyNot !== undefined && broker === undefined) return { problem: '--why-not: expected a topic and a broker' };
  const [stray] = whyNot === undefined ? positionals : more;
  if (stray !== undefined) return { problem: `expected an option, found ${JSON.stringify(stray)}` };
  const topic = explain ?? whyNot;
  return topic === undefined ? undefined : { topic, broker };
}

const RFC_3339 = /^(\d{4}-\d\d-\d\d)T(?!24)\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/;

function momentOf(text: string): number | Problem {
  const [, day] = RFC_3339.exec(text) ?? [];
  const moment = day === undefined || !isDay(day) ? Number.NaN : Date.parse(text);
  if (!Number.isNaN(moment)) return moment;
  return { problem: `--at: expected a time such as 2026-11-21T10:00:00Z, found ${JSON.stringify(text)}` };
}

/** Dates take February 30 for March 2. */
function isDay(day: string): boolean {
  const moment = Date.parse(day);
  return !Number.isNaN(moment) && new Date(moment).toISOString().startsWith(day);
}
