/** What `plan` found, with names in place of indexes: the JSON output is this, the table is made from it. */

import { brokerLoads, loadsAfter, meanUtilisation } from '../core/planner/figures.ts';
import {
  BrokerRole,
  type Plan,
  type PlanMode,
  type PlannerInput,
  type ResourceFigures,
} from '../core/planner/input.ts';
import { ruleName } from '../core/planner/rules.ts';
import { durationSeconds, type Wave } from '../core/policy/waves.ts';

export interface PlanReport {
  /** Milliseconds: reading the snapshot; planning. */
  readonly loadMs: number;
  readonly planMs: number;
  readonly mode: PlanMode;
  readonly brokers: number;
  readonly topics: number;
  /** Levels, as multiples of the mean. */
  readonly band: { readonly lowest: number; readonly highest: number };
  readonly inBand: boolean;
  /** Per resource. */
  readonly before: Readonly<Record<string, ResourceFigures>>;
  readonly after: Readonly<Record<string, ResourceFigures>>;
  readonly moves: readonly ReportedMove[];
  readonly bounds: { readonly balance: Readonly<Record<string, number>>; readonly moves: number };
  readonly gap: { readonly balance: Readonly<Record<string, number>>; readonly moves: number };
  /** Of all moves, 1 = that of a plain topic, with the share of the cluster's traffic that moves. */
  readonly cost: number;
  readonly bindingConstraint: string;
  readonly waves: readonly ReportedWave[];
  /** Until the last wave has ended; null if one never starts. */
  readonly durationSeconds: number | null;
  /** How many topics may not move, by reason. */
  readonly heldBack: Readonly<Record<string, number>>;
  readonly blocked: readonly ReportedBlocked[];
  /** Brokers that are furthest from the mean, now or after the plan, the furthest first. */
  readonly furthest: readonly ReportedBroker[];
  readonly notes: readonly string[];
  readonly hash: string;
}

export interface ReportedMove {
  readonly topic: string;
  readonly from: string;
  readonly to: string;
  /** Null where a hard rule asks for the move. */
  readonly resource: string | null;
  readonly reason: string;
  /** The policy's rule, of `NotAllowed` and `Spread`. */
  readonly rule?: string;
  /** From 1. */
  readonly wave: number;
}

export interface ReportedBlocked {
  readonly topic: string;
  readonly wanted: string;
  /** The policy's rule, of `NotAllowed` and `Spread`. */
  readonly rule?: string;
  readonly because: string;
}

export interface ReportedWave {
  readonly moves: number;
  /** Null = never. */
  readonly startsAfterSeconds: number | null;
  /** RFC 3339; null where no window decides it. */
  readonly startsAt: string | null;
  readonly lastsSeconds: number;
  readonly window: string | null;
  readonly movedPercent: number;
}

export interface ReportedBroker {
  readonly broker: string;
  readonly resource: string;
  readonly before: number;
  readonly after: number;
  readonly gives: number;
  readonly takes: number;
}

export interface ReportInput {
  readonly input: PlannerInput;
  readonly plan: Plan;
  readonly waves: readonly Wave[];
  readonly mode: PlanMode;
  readonly band: { readonly above: number; readonly below: number };
  readonly notes: readonly string[];
  readonly nowMs: number;
  readonly loadMs: number;
  readonly planMs: number;
}

const FURTHEST = 5;

export function reportPlan({ input, plan, waves, mode, band, notes, nowMs, loadMs, planMs }: ReportInput): PlanReport {
  const byResource = <T>(values: readonly T[]): Readonly<Record<string, T>> =>
    Object.fromEntries(input.resources.map((resource, index) => [resource, values[index] as T]));
  return {
    loadMs: tenths(loadMs),
    planMs: tenths(planMs),
    mode,
    brokers: input.brokers.length,
    topics: input.topics.length,
    band: { lowest: rounded(1 - band.below), highest: rounded(1 + band.above) },
    inBand: plan.inBand,
    before: byResource(plan.before.map(roundedFigures)),
    after: byResource(plan.after.map(roundedFigures)),
    bounds: { balance: byResource(plan.bounds.balance.map(rounded)), moves: plan.bounds.moves },
    gap: { balance: byResource(plan.gap.balance.map(rounded)), moves: rounded(plan.gap.moves) },
    cost: rounded(plan.cost),
    bindingConstraint: plan.bindingConstraint,
    durationSeconds: durationSeconds(waves) ?? null,
    waves: waves.map(({ from, to, startsAfterSeconds, lastsSeconds, window, movedPercent }) => ({
      moves: to - from,
      startsAfterSeconds: startsAfterSeconds ?? null,
      startsAt:
        window === undefined || startsAfterSeconds === undefined
          ? null
          : new Date(nowMs + startsAfterSeconds * 1000).toISOString(),
      lastsSeconds,
      window: window ?? null,
      movedPercent: rounded(movedPercent),
    })),
    heldBack: countHeldBack(input),
    blocked: plan.blocked.map(({ topic, ...why }) => ({ topic: topicName(input, topic), ...why })),
    furthest: furthestBrokers(input, plan),
    notes,
    hash: plan.hash,
    moves: reportMoves(input, plan, waves),
  };
}

function topicName(input: PlannerInput, topic: number): string {
  return input.topics[topic] as string;
}

function ruleOf(input: PlannerInput, topic: number, reason: string): { readonly rule?: string } {
  const rule = ruleName(input, topic, reason);
  return rule === undefined ? {} : { rule };
}

/** Digits beyond these are noise. */
function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}

function tenths(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}

function roundedFigures({ maxOverMean, minOverMean, cv }: ResourceFigures): ResourceFigures {
  return { maxOverMean: rounded(maxOverMean), minOverMean: rounded(minOverMean), cv: rounded(cv) };
}

function reportMoves(input: PlannerInput, { moves }: Plan, waves: readonly Wave[]): readonly ReportedMove[] {
  return waves.flatMap(({ from, to: end }, index) =>
    moves.slice(from, end).map(({ topic, from: source, to, resource, reason }) => ({
      topic: topicName(input, topic),
      from: input.brokers[source] as string,
      to: input.brokers[to] as string,
      resource: input.resources[resource] ?? null,
      reason,
      ...ruleOf(input, topic, reason),
      wave: index + 1,
    })),
  );
}

function countHeldBack({ immovable }: PlannerInput): Readonly<Record<string, number>> {
  if (immovable === undefined) return {};
  const counts = new Int32Array(immovable.reasons.length + 1);
  for (const code of immovable.of) counts[code] = (counts[code] as number) + 1;
  return Object.fromEntries(
    immovable.reasons
      .map((reason, index) => [reason, counts[index + 1] as number] as const)
      .filter(([, count]) => count > 0),
  );
}

function furthestBrokers(input: PlannerInput, { moves }: Plan): readonly ReportedBroker[] {
  const width = input.resources.length;
  const before = brokerLoads(input);
  const after = loadsAfter(input, before, moves);
  const means = meanUtilisation(input, before);
  const gives = new Int32Array(input.brokers.length);
  const takes = new Int32Array(input.brokers.length);
  for (const { from, to } of moves) {
    gives[from] = (gives[from] as number) + 1;
    takes[to] = (takes[to] as number) + 1;
  }
  const rows: (ReportedBroker & { readonly distance: number })[] = [];
  for (const [broker, name] of input.brokers.entries()) {
    if (input.roles?.[broker] === BrokerRole.Draining) continue;
    let worst: (typeof rows)[number] | undefined;
    for (const [number, resource] of input.resources.entries()) {
      const at = broker * width + number;
      const full = (means[number] as number) * (input.capacity[at] as number);
      if (full <= 0) continue;
      const [then, later] = [(before[at] as number) / full, (after[at] as number) / full];
      const distance = Math.max(Math.abs(then - 1), Math.abs(later - 1));
      if (worst !== undefined && distance <= worst.distance) continue;
      const counts = { gives: gives[broker] as number, takes: takes[broker] as number };
      worst = { broker: name, resource, before: rounded(then), after: rounded(later), ...counts, distance };
    }
    if (worst !== undefined) rows.push(worst);
  }
  return rows
    .sort((a, b) => b.distance - a.distance)
    .slice(0, FURTHEST)
    .map(({ distance: _, ...row }) => row);
}

/** The report with a line per move, which reads and compares well. */
export function planJson({ moves, ...rest }: PlanReport): string {
  const head = JSON.stringify(rest, null, 2).slice(0, -'\n}'.length);
  const lines = moves.map((move) => `\n    ${JSON.stringify(move)}`);
  return `${head},\n  "moves": [${lines.join(',')}${lines.length > 0 ? '\n  ' : ''}]\n}\n`;
}
