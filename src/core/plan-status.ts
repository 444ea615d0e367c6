/** What a policy's status says of balance: the condition Balanced, and the plan in a few figures. Pure. */
import type { PolicyConditionUpdate, WithoutGeneration } from '../api/conditions.ts';
import type { LoadResource } from '../api/load-resources.ts';
import { type PlanStatus, skippedBounds } from '../api/plan-status.ts';
import type { LoadPicture } from './load-model/picture.ts';
import type { Unplanned } from './load-model/planned-resources.ts';
import type { Detection, OutsideBand } from './planner/detection.ts';
import type { Plan, PlannerInput } from './planner/input.ts';

export interface PlanningFacts {
  readonly policy: string;
  /** Of the last look; its input may be without topics. Undefined: the load model has not looked yet. */
  readonly look:
    | { readonly picture: Pick<LoadPicture, 'input' | 'unplanned'>; readonly detection: Detection }
    | undefined;
  /** For moves for balance. */
  readonly settings: { readonly sustainedSeconds: number; readonly minActiveBrokers: number };
  /** The newest plan, with the input that it was made from. Undefined while none was needed. */
  readonly made:
    | {
        readonly purpose: PlanPurpose;
        readonly plan: Plan;
        readonly input: Pick<PlannerInput, 'topics' | 'resources' | 'immovable'>;
        readonly expiresAt: number;
      }
    | undefined;
}

/** Balance: load is uneven; such a plan follows the rules, too. Rules: it is not, and topics stand against rules. */
export type PlanPurpose = 'Balance' | 'Rules';

export type BalancedUpdate = WithoutGeneration<Extract<PolicyConditionUpdate, { type: 'Balanced' }>>;

export interface PlanSummary {
  readonly status: PlanStatus;
  readonly balanced: BalancedUpdate;
}

/** A plan counts while the cluster needs one: of what was balanced since, only the condition is left. */
export function summarisePlanning(facts: PlanningFacts): PlanSummary {
  const { look, made } = facts;
  if (look === undefined) return { status: {}, balanced: unknown('the load of the brokers was not looked at yet') };
  const { picture, detection } = look;
  const isImbalanced = detection.verdict === 'Imbalanced';
  const needed = isImbalanced === (made?.purpose === 'Balance') ? made : undefined;
  const imbalance = imbalanceOf(picture.input, detection, needed);
  const skipped = needed === undefined ? [] : skippedBy(needed);
  const aside = ignoredText(picture) + rulesText(needed);
  return {
    status: {
      ...(imbalance !== undefined && { imbalance }),
      ...(needed !== undefined && needed.plan.moves.length > 0 && { plan: planOf(facts.policy, needed) }),
      ...(skipped.length > 0 && { skipped }),
    },
    balanced:
      picture.input.resources.length === 0
        ? withoutResources(picture, aside)
        : balancedBy(facts, detection, needed?.plan, aside),
  };
}

type Made = NonNullable<PlanningFacts['made']>;

function unknown(message: string): BalancedUpdate {
  return { type: 'Balanced', status: 'Unknown', reason: 'MetricsUnusable', message };
}

function withoutResources({ unplanned }: Pick<LoadPicture, 'unplanned'>, aside: string): BalancedUpdate {
  const blind = unplanned.filter(({ reason }) => reason === 'Unknown');
  const [first] = blind;
  if (first !== undefined && unplanned.length === blind.length) {
    return unknown(`nothing is known well enough: ${first.resource}: ${first.message}`);
  }
  const message = `no resource is in use so much, or moved so easily, that moves would win anything${aside}`;
  return { type: 'Balanced', status: 'True', reason: 'WithinBand', message };
}

/** What is not known, or not to be changed, must not look as if it were even. */
function ignoredText({ unplanned }: Pick<LoadPicture, 'unplanned'>): string {
  const named = (reason: Unplanned['reason'], why: string) => {
    const resources = unplanned.filter((it) => it.reason === reason).map(({ resource }) => resource);
    return resources.length === 0 ? '' : `; ${why}: ${resources.join(', ')}`;
  };
  return (
    named('Unknown', 'not known well enough to be counted') +
    named('Unexplained', 'not caused by topics, so not counted')
  );
}

/** Load may be even, and topics still stand against rules. */
function rulesText(made: Made | undefined): string {
  if (made?.purpose !== 'Rules') return '';
  const { moves, blocked } = made.plan;
  return [
    ...(moves.length > 0 ? [`; topics that rules want elsewhere and that can go there: ${moves.length}`] : []),
    ...(blocked.length > 0 ? [`; topics that rules want elsewhere and that cannot go: ${blocked.length}`] : []),
  ].join('');
}

function balancedBy(
  { settings }: PlanningFacts,
  { verdict, outside }: Detection,
  plan: Plan | undefined,
  aside: string,
): BalancedUpdate {
  const worst = `${describe(outside[0])}${outside.length > 1 ? `, and ${outside.length - 1} more are outside` : ''}`;
  switch (verdict) {
    case 'WithinBand':
      return within(`every resource of every broker is within its band${aside}`);
    case 'NotSustained':
      return within(`${worst}; it counts once it lasts ${settings.sustainedSeconds} s${aside}`);
    case 'TooFewBrokers':
      return imbalanced(`${worst}; nothing moves with fewer than ${settings.minActiveBrokers} active brokers${aside}`);
    case 'Imbalanced':
      if (plan === undefined) return imbalanced(`${worst}; a plan is being made${aside}`);
      if (plan.moves.length === 0) {
        const message = `${worst}; no topic that may move would help: ${plan.bindingConstraint}${aside}`;
        return { type: 'Balanced', status: 'False', reason: 'OnlyUnmovableLeft', message };
      }
      return imbalanced(`${worst}; ${outlook(plan)}${aside}`);
  }
}

function within(message: string): BalancedUpdate {
  return { type: 'Balanced', status: 'True', reason: 'WithinBand', message };
}

function imbalanced(message: string): BalancedUpdate {
  return { type: 'Balanced', status: 'False', reason: 'Imbalanced', message };
}

function outlook({ moves, inBand, bindingConstraint }: Plan): string {
  const count = `${moves.length} ${moves.length === 1 ? 'move' : 'moves'}`;
  return inBand ? `${count} would bring all within the band` : `${count} would help, and then: ${bindingConstraint}`;
}

/** `broker 7 is 23 % above the mean in cpu, for 5 min`. */
function describe(outside: OutsideBand | undefined): string {
  if (outside === undefined) return 'no broker is outside the band';
  const { broker, resource, side, level, forSeconds } = outside;
  const distance = Math.round(100 * Math.abs(level - 1));
  return `broker ${broker} is ${distance} % ${side === 'Above' ? 'above' : 'below'} the mean in ${resource}, for ${lasting(forSeconds)}`;
}

/** In minutes: a status that says something new every second would be written every second. */
function lasting(seconds: number): string {
  return seconds < 60 ? 'less than a minute' : `${Math.floor(seconds / 60)} min`;
}

function imbalanceOf(input: PlannerInput, { figures }: Detection, made: Made | undefined): PlanStatus['imbalance'] {
  const worst = figures.reduce(
    (best, it, index) => (it.maxOverMean > (figures[best]?.maxOverMean ?? 0) ? index : best),
    0,
  );
  const now = figures[worst];
  const resource = input.resources[worst] as LoadResource | undefined;
  if (now === undefined || resource === undefined) return undefined;
  // A plan may have been made when other resources were known.
  const at = made?.input.resources.indexOf(resource) ?? -1;
  const [planned, floor] = [made?.plan.after[at]?.maxOverMean, made?.plan.bounds.balance[at]];
  return {
    resource,
    currentPercent: percentAbove(now.maxOverMean),
    ...(planned !== undefined && { plannedPercent: percentAbove(planned) }),
    ...(floor !== undefined && { floorPercent: percentAbove(floor) }),
  };
}

function percentAbove(level: number): number {
  return Math.min(1_000_000, Math.max(0, Math.round(100 * (level - 1))));
}

/** The name ends in the hash: a plan that was approved by its name is that plan and no other. */
export function planName(policy: string, { hash }: Pick<Plan, 'hash'>): string {
  return `${policy}-${hash}`;
}

function planOf(policy: string, { plan, expiresAt }: Made): NonNullable<PlanStatus['plan']> {
  return {
    name: planName(policy, plan),
    moves: plan.moves.length,
    minMoves: plan.bounds.moves,
    bindingConstraint: plan.bindingConstraint.slice(0, 1024),
    expiresAt: new Date(expiresAt).toISOString(),
  };
}

/** Topics that may not move, as far as the plan would have had use for them, and those that a hard rule wants elsewhere in vain. */
function skippedBy({ purpose, plan, input }: Made): NonNullable<PlanStatus['skipped']> {
  const byReason = new Map<string, { count: number; examples: string[] }>();
  const add = (reason: string, topic: number) => {
    const entry = byReason.get(reason) ?? { count: 0, examples: [] };
    byReason.set(reason, entry);
    entry.count += 1;
    if (entry.examples.length < skippedBounds.examples) entry.examples.push(input.topics[topic] ?? '');
  };
  const immovable = purpose === 'Balance' ? input.immovable : undefined;
  for (let topic = 0; immovable !== undefined && topic < immovable.of.length; topic++) {
    const code = immovable.of[topic] as number;
    if (code > 0) add(immovable.reasons[code - 1] ?? '', topic);
  }
  for (const { topic, rule, because } of plan.blocked) {
    if ((immovable?.of[topic] ?? 0) === 0) add(rule === undefined ? because : `rule ${rule}: ${because}`, topic);
  }
  return [...byReason]
    .map(([reason, { count, examples }]) => ({ reason: reason.slice(0, 256), count, examples }))
    .sort((a, b) => b.count - a.count || (a.reason < b.reason ? -1 : 1))
    .slice(0, skippedBounds.reasons);
}
