/** What a policy makes of a snapshot: the planner's input and options, with a reason for every topic that it holds back. */
import type { EffectiveRebalance, PlacementRuleSpec, PlacementSpec, SpreadRuleSpec } from '../../api/rebalance.ts';
import { BrokerRole, type PlanMode, type PlannerInput, type PlanOptions } from '../planner/input.ts';
import type { PlannerSnapshot } from '../planner/snapshot-reader.ts';
import { compileRules, rulesOnBrokers } from './placement-rules.ts';
import { createSpreadGroups, domainsOf } from './spread.ts';
import { createTopicMatcher } from './topic-patterns.ts';

export interface PolicyInput {
  readonly snapshot: PlannerSnapshot;
  readonly rebalance: EffectiveRebalance;
  readonly placement?: PlacementSpec;
  readonly mode: PlanMode;
  /** Indexes of the brokers to be emptied, besides those that are draining, or in mode ScaleOut of those that may receive. */
  readonly brokers: readonly number[];
}

export interface PolicyOutcome {
  readonly input: PlannerInput;
  readonly options: PlanOptions;
  /** What the user should know and no move says. */
  readonly notes: readonly string[];
}

/** Why the policy holds a topic back. Topics of a draining broker are held back by none of these: they must leave. */
export const heldBack = {
  Excluded: 'rebalance.excludeTopicPatterns covers it',
  ConnectedClients:
    'it has connected clients, which do not follow a move (rebalance.connectedTopics: Allow lets it move)',
  Cooldown: 'it moved less than rebalance.limits.topicCooldownSeconds ago',
  TooYoung: 'it is younger than rebalance.limits.minTopicAgeSeconds',
} as const;

export type HeldBack = keyof typeof heldBack;

export function applyPolicy({ snapshot, rebalance, placement: rules = {}, mode, brokers }: PolicyInput): PolicyOutcome {
  const roles = rolesOf(snapshot, mode, brokers);
  const active = roles.reduce((count, role) => count + Number(role === BrokerRole.Active), 0);
  const { minActiveBrokers, maxBrokerUtilizationPercent } = rebalance.limits;
  const notes: string[] = [];
  const tooFew = active < minActiveBrokers && mode !== 'Drain';
  if (tooFew) {
    notes.push(
      `${active} brokers take topics, and rebalance.limits.minActiveBrokers asks for ${minActiveBrokers}: nothing moves for balance`,
    );
  }
  const receivers =
    mode === 'ScaleOut' ? roles.map((role, broker) => (brokers.includes(broker) ? role : BrokerRole.Closed)) : roles;
  const placement = rules.rules?.length ? placementOf(snapshot, rules.rules, receivers, notes) : undefined;
  const spread = rules.spread?.length ? spreadOf(snapshot, rules.spread, notes) : undefined;
  const immovable = immovableOf(snapshot, rebalance, roles);
  return {
    input: {
      ...snapshot.input,
      ...(roles.some((role) => role !== BrokerRole.Active) && { roles }),
      ...(immovable.of.some((code) => code > 0) && { immovable }),
      ...(placement !== undefined && { placement }),
      ...(spread !== undefined && { spread }),
      ...costsOf(snapshot),
    },
    options: {
      mode: tooFew ? 'Drain' : mode,
      band: { above: rebalance.band.abovePercent / 100, below: rebalance.band.belowPercent / 100 },
      ...(mode === 'ScaleOut' && { scaleOutTo: brokers }),
      ...(maxBrokerUtilizationPercent !== undefined && { headroom: maxBrokerUtilizationPercent / 100 }),
    },
    notes,
  };
}

function rolesOf({ input }: PlannerSnapshot, mode: PlanMode, brokers: readonly number[]): Uint8Array {
  const roles = new Uint8Array(input.brokers.length);
  if (input.roles !== undefined) roles.set(input.roles);
  if (mode === 'Drain') for (const broker of brokers) roles[broker] = BrokerRole.Draining;
  return roles;
}

function immovableOf(
  snapshot: PlannerSnapshot,
  rebalance: EffectiveRebalance,
  roles: Uint8Array,
): NonNullable<PlannerInput['immovable']> {
  const { input, connections, ageSeconds, movedSecondsAgo } = snapshot;
  const { topicCooldownSeconds, minTopicAgeSeconds } = rebalance.limits;
  const isExcluded = createTopicMatcher(rebalance.excludeTopicPatterns);
  const own = input.immovable?.reasons ?? [];
  const codes = Object.keys(heldBack) as HeldBack[];

  function reasonFor(topic: number): HeldBack | undefined {
    if (roles[input.owner[topic] as number] === BrokerRole.Draining) return undefined;
    if (isExcluded(input.topics[topic] as string)) return 'Excluded';
    if (rebalance.connectedTopics === 'Never' && (connections[topic] as number) > 0) return 'ConnectedClients';
    if ((movedSecondsAgo?.[topic] ?? Infinity) < topicCooldownSeconds) return 'Cooldown';
    return (ageSeconds?.[topic] ?? Infinity) < minTopicAgeSeconds ? 'TooYoung' : undefined;
  }

  const of = new Uint8Array(input.topics.length);
  for (let topic = 0; topic < of.length; topic++) {
    const given = input.immovable?.of[topic] ?? 0;
    const reason = given > 0 ? undefined : reasonFor(topic);
    of[topic] = reason === undefined ? given : own.length + 1 + codes.indexOf(reason);
  }
  return { of, reasons: [...own, ...codes] };
}

/** Of a plain topic 1; each message that must survive and each client that must connect anew makes a move dearer (contract M7). */
const RELIABLE_COST = 1;
const CLIENT_COST = 1;
const MOST_CLIENTS = 10;
/** Bytes per second, or whatever a snapshot measures: what stands still while a topic moves. Only shares of it count. */
const TRAFFIC: readonly string[] = ['networkIn', 'networkOut'];

function costsOf({ input, reliable, connections }: PlannerSnapshot): Pick<PlannerInput, 'cost' | 'traffic'> {
  const cost = Float64Array.from(
    reliable,
    (flag, topic) => 1 + flag * RELIABLE_COST + Math.min(MOST_CLIENTS, connections[topic] as number) * CLIENT_COST,
  );
  const traffic = [...input.resources.keys()].filter((resource) =>
    TRAFFIC.includes(input.resources[resource] as string),
  );
  return { ...(cost.some((own) => own !== 1) && { cost }), ...(traffic.length > 0 && { traffic }) };
}

function placementOf(
  { input, labels }: PlannerSnapshot,
  rules: readonly PlacementRuleSpec[],
  roles: Uint8Array,
  notes: string[],
): NonNullable<PlannerInput['placement']> {
  const onBrokers = rulesOnBrokers(compileRules(rules), {
    labels,
    takes: (broker) => roles[broker] === BrokerRole.Active,
  });
  const of = Int32Array.from(input.topics, (topic) => onBrokers.of(topic)?.index ?? -1);
  for (const { rule, isUsed, brokers } of onBrokers.usage) {
    if (!isUsed) notes.push(`rule ${rule.name} covers no topic`);
    else if (brokers === 0) notes.push(`rule ${rule.name} selects no broker: check its labels`);
  }
  return {
    of,
    rules: onBrokers.combinations.map(({ name, allowed, preferred }) => ({
      name,
      allowed,
      ...(preferred !== undefined && { preferred }),
    })),
  };
}

function spreadOf(
  { input, labels }: PlannerSnapshot,
  rules: readonly SpreadRuleSpec[],
  notes: string[],
): NonNullable<PlannerInput['spread']> {
  const spread = createSpreadGroups(rules);
  const of = Int32Array.from(input.topics, (topic) => spread.of(topic)?.index ?? -1);
  const used = new Set(spread.groups.map(({ rule }) => rule));
  for (const rule of rules) {
    if (used.has(rule)) continue;
    const what = rule.scope === 'Topics' ? 'topic' : 'partition of a partitioned topic';
    notes.push(`spread rule ${rule.name} counts for no ${what}`);
  }
  for (const [pair, topics] of spread.overlaps) {
    notes.push(`spread rules ${pair} both cover ${topics} topics: the first one counts`);
  }
  const topology = domainsOf(rules, labels);
  if (topology !== undefined && topology.unlabelled > 0) {
    notes.push(`brokers without the label ${topology.key}: ${topology.unlabelled}; they count as one domain`);
  }
  return {
    of,
    groups: spread.groups.map(({ name, maxPerBroker, maxPerDomain }) => ({
      name,
      ...(maxPerBroker !== undefined && { maxPerBroker }),
      ...(maxPerDomain !== undefined && { maxPerDomain }),
    })),
    ...(topology !== undefined && { domainOf: topology.domainOf, domains: topology.domains }),
  };
}
