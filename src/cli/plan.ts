/** The command `plan`: reads a snapshot and a policy, plans, and says what it would do. Changes nothing anywhere. */
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { isProblem, type Problem } from '../api/problem.ts';
import { createExplainer } from '../core/planner/explain.ts';
import { BrokerRole, type PlanMode, type PlannerInput } from '../core/planner/input.ts';
import { planInNameOrder } from '../core/planner/name-order.ts';
import { createSnapshotReader, type PlannerSnapshot } from '../core/planner/snapshot-reader.ts';
import { applyPolicy } from '../core/policy/apply-policy.ts';
import { cutIntoWaves, type WaveInput } from '../core/policy/waves.ts';
import { answerJson, answerQuestion, answerText } from './plan-answer.ts';
import { type PlanCommand, parsePlanCommand, usage } from './plan-options.ts';
import { planJson, reportPlan } from './plan-report.ts';
import { planTable } from './plan-table.ts';
import { noPolicy, type PolicyFile, readPolicy } from './policy-file.ts';
import { fileProblem, inputName, readLines } from './read-lines.ts';

export interface CommandOutcome {
  readonly exitCode: 0 | 2;
  readonly out: string;
  /** For standard error: problems and warnings. */
  readonly err: string;
}

/** A policy is a page of text. */
const MOST_POLICY_BYTES = 1024 ** 2;

/** `args` without the word plan; `nowMs` counts for windows where --at says nothing. */
export async function runPlan(args: readonly string[], nowMs: number): Promise<CommandOutcome> {
  const command = parsePlanCommand(args);
  if (command === 'help') return { exitCode: 0, out: `${usage}\n`, err: '' };
  if (isProblem(command)) return refused(`${command.problem}\n${usage}`);
  const policy = command.policy === undefined ? noPolicy : await readPolicyFile(command.policy);
  if (isProblem(policy)) return refused(policy.problem);
  const started = performance.now();
  const snapshot = await readSnapshot(command.snapshot);
  if (isProblem(snapshot)) return refused(snapshot.problem);
  const loadMs = performance.now() - started;
  const out = makePlan(command, policy, snapshot, { loadMs, nowMs: command.at ?? nowMs });
  if (isProblem(out)) return refused(out.problem);
  const ignored = [
    ...snapshot.ignored.map((text) => `${inputName(command.snapshot)}: ${text}`),
    ...policy.ignored.map((text) => `${command.policy}: ${text}`),
  ];
  return { exitCode: 0, out, err: ignored.map((text) => `warning: ${text}: it is ignored\n`).join('') };
}

function refused(problem: string): CommandOutcome {
  return { exitCode: 2, out: '', err: `${problem}\n` };
}

function makePlan(
  command: PlanCommand,
  policy: PolicyFile,
  snapshot: PlannerSnapshot,
  { loadMs, nowMs }: { readonly loadMs: number; readonly nowMs: number },
): string | Problem {
  const { rebalance, placement } = policy;
  const { mode } = command;
  const brokers = chosenBrokers(command.brokers, mode, snapshot.input);
  if (isProblem(brokers)) return brokers;
  const { input, options, notes } = applyPolicy({ snapshot, rebalance, placement, mode, brokers });

  const started = performance.now();
  const until = started + (command.timeLimitSeconds ?? Infinity) * 1000;
  const made = planInNameOrder(input, { ...options, shouldStop: () => performance.now() >= until });
  const planMs = performance.now() - started;

  if (command.question !== undefined) {
    const answer = answerQuestion(command.question, input, createExplainer(input, options, made));
    if (isProblem(answer)) return answer;
    return command.output === 'json' ? answerJson(answer) : answerText(answer);
  }
  const waves = cutIntoWaves({ input, plan: made, nowMs, ...pace(policy, mode) });
  const band = options.band ?? { above: 0, below: 0 };
  const report = reportPlan({ input, plan: made, waves, mode, band, notes, nowMs, loadMs, planMs });
  return command.output === 'json' ? planJson(report) : planTable(report);
}

/** Windows and hourly limits are for balance: who drains a broker wants it empty now. */
function pace({ rebalance, calendar }: PolicyFile, mode: PlanMode): Pick<WaveInput, 'limits' | 'calendar'> {
  if (mode !== 'Drain') return { limits: rebalance.limits, calendar };
  const { maxConcurrentMoves } = rebalance.limits;
  return {
    limits: { maxConcurrentMoves, maxMovesPerHour: Infinity, maxMovedLoadPercentPerHour: Infinity },
    calendar: noPolicy.calendar,
  };
}

/** Indexes of the brokers that the mode is about. */
function chosenBrokers(names: readonly string[], mode: PlanMode, input: PlannerInput): readonly number[] | Problem {
  const chosen: number[] = [];
  for (const name of names) {
    const broker = input.brokers.indexOf(name);
    if (broker < 0)
      return { problem: `--broker: expected the id of a broker of the snapshot, found ${JSON.stringify(name)}` };
    if (mode === 'ScaleOut' && !takesTopics(input, broker)) {
      return { problem: `--broker: expected an Active broker for --mode scale-out, found ${JSON.stringify(name)}` };
    }
    chosen.push(broker);
  }
  if (mode === 'Drain' && chosen.length === 0 && input.roles?.includes(BrokerRole.Draining) !== true) {
    return {
      problem: '--mode drain: name the brokers to be emptied with --broker, since none in the snapshot is draining',
    };
  }
  if (mode !== 'ScaleOut' || chosen.length > 0) return chosen;
  const used = new Set(input.owner);
  const empty = [...input.brokers.keys()].filter((broker) => !used.has(broker) && takesTopics(input, broker));
  if (empty.length > 0) return empty;
  return {
    problem:
      '--mode scale-out: name the new brokers with --broker, since no Active one in the snapshot is without topics',
  };
}

function takesTopics({ roles }: PlannerInput, broker: number): boolean {
  return (roles?.[broker] ?? BrokerRole.Active) === BrokerRole.Active;
}

async function readSnapshot(path: string): Promise<PlannerSnapshot | Problem> {
  const reader = createSnapshotReader();
  const failed = await readLines(path, (line) => reader.line(line));
  if (failed !== undefined) return failed;
  const snapshot = reader.finish();
  return isProblem(snapshot) ? { problem: `${inputName(path)}: ${snapshot.problem}` } : snapshot;
}

async function readPolicyFile(path: string): Promise<PolicyFile | Problem> {
  const text = await readBounded(path);
  if (isProblem(text)) return { problem: `${path}: ${text.problem}` };
  const policy = readPolicy(text);
  if (!isProblem(policy)) return policy;
  return {
    problem: policy.problem
      .split('\n')
      .map((line) => `${path}: ${line}`)
      .join('\n'),
  };
}

/** What a file says of its size is not to be relied on: it may be a pipe. */
async function readBounded(path: string): Promise<string | Problem> {
  const blocks: Buffer[] = [];
  try {
    for await (const block of createReadStream(path, { end: MOST_POLICY_BYTES })) blocks.push(block);
  } catch (error) {
    return { problem: fileProblem(error as NodeJS.ErrnoException) };
  }
  const content = Buffer.concat(blocks);
  if (content.length > MOST_POLICY_BYTES) return { problem: 'expected a policy of at most 1 MiB' };
  return isUtf8(content) ? content.toString() : { problem: 'expected UTF-8' };
}
