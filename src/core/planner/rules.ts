/** The hard rules of a move: one function decides in every phase, and the same one answers `whyNot`. */
import { BrokerRole, type PlannerInput } from './input.ts';
import { groupOf, isMovable, membersInDomain, membersOnBroker, type Work } from './work.ts';

/** Why a topic may not go to a broker; 0 = it may. */
export const Refusal = {
  None: 0,
  NotMovable: 1,
  AlreadyThere: 2,
  BrokerDraining: 3,
  BrokerClosed: 4,
  BrokerNotInScope: 5,
  NotAllowed: 6,
  SpreadOverBrokers: 7,
  SpreadOverDomains: 8,
  Headroom: 9,
  NotPreferred: 10,
} as const;

/** The first rule against moving `topic` to `broker` now, given that `leaving` (−1 = none) goes from there at the same time. */
export function refusal(work: Work, topic: number, broker: number, leaving = -1): number {
  const hard = hardRefusal(work, topic, broker, leaving);
  return hard === Refusal.None && !isPreferred(work, topic, broker) ? Refusal.NotPreferred : hard;
}

/** The same without regard to what the topic's rule prefers. */
export function hardRefusal(work: Work, topic: number, broker: number, leaving = -1): number {
  if (!isMovable(work, topic)) return Refusal.NotMovable;
  if (work.owner[topic] === broker) return Refusal.AlreadyThere;
  // A topic that goes back home does not move at all, whatever its broker may receive; a draining home is no home.
  const isHome = work.home[topic] === broker && work.draining[broker] === 0;
  if (!isHome && work.receives[broker] === 0) return closedBecause(work, broker);
  const rule = ruleRefusal(work, topic, broker, leaving);
  if (rule !== Refusal.None) return rule;
  return fits(work, topic, broker, leaving, isHome) ? Refusal.None : Refusal.Headroom;
}

function closedBecause(work: Work, broker: number): number {
  if (work.draining[broker] === 1) return Refusal.BrokerDraining;
  return work.input.roles?.[broker] === BrokerRole.Closed ? Refusal.BrokerClosed : Refusal.BrokerNotInScope;
}

/** Rules of placement and spread alone: also asked of topics where they are. */
export function ruleRefusal(work: Work, topic: number, broker: number, leaving = -1): number {
  if (!isAllowed(work, topic, broker)) return Refusal.NotAllowed;
  const group = groupOf(work, topic);
  if (group < 0) return Refusal.None;
  const rule = work.input.spread?.groups[group];
  const from = work.owner[topic] as number;
  const swapped = leaving >= 0 && groupOf(work, leaving) === group ? 1 : 0;
  const present = membersOnBroker(work, group, broker) - swapped - Number(from === broker);
  if (rule?.maxPerBroker !== undefined && present + 1 > rule.maxPerBroker) return Refusal.SpreadOverBrokers;
  if (rule?.maxPerDomain === undefined) return Refusal.None;
  const domainOf = work.input.spread?.domainOf;
  const sameDomain = domainOf !== undefined && domainOf[from] === domainOf[broker];
  // Within a domain nothing comes closer: one that has too many must not keep a topic where it may not stay.
  if (sameDomain && from !== broker && mustLeave(work, topic)) return Refusal.None;
  // What leaves for the topic's own broker stays in the domain when both brokers are in it.
  const inDomain = membersInDomain(work, group, broker) - (sameDomain ? 1 : swapped);
  return inDomain + 1 > rule.maxPerDomain ? Refusal.SpreadOverDomains : Refusal.None;
}

/** Whether a topic that has moved may be where it is. */
export function standsByRules(work: Work, topic: number): boolean {
  const broker = work.owner[topic] as number;
  const rule = ruleRefusal(work, topic, broker);
  // A domain that has too many may still have them where the topic has not come from elsewhere.
  if (rule !== Refusal.None && !(rule === Refusal.SpreadOverDomains && isWithinDomain(work, topic, broker)))
    return false;
  const { width, level, levelBefore, headroom } = work;
  if (headroom === undefined) return true;
  for (let resource = 0, at = broker * width; resource < width; resource++, at++) {
    const limit = Math.max(headroom[at] as number, levelBefore[at] as number) + ROUNDING;
    if ((level[at] as number) > limit) return false;
  }
  return true;
}

/** Whether another rule than that of its group wants the topic off its broker. */
function mustLeave(work: Work, topic: number): boolean {
  const from = work.owner[topic] as number;
  return work.draining[from] === 1 || !isAllowed(work, topic, from);
}

/** Whether the topic's first broker, another one, is in the same domain. */
function isWithinDomain({ home, input }: Work, topic: number, broker: number): boolean {
  const domainOf = input.spread?.domainOf;
  const from = home[topic] as number;
  return domainOf !== undefined && from !== broker && domainOf[from] === domainOf[broker];
}

export function isAllowed(work: Work, topic: number, broker: number): boolean {
  const placement = work.input.placement;
  const rule = placement?.of[topic] ?? -1;
  return rule < 0 || placement?.rules[rule]?.allowed[broker] === 1;
}

/** The name of the policy's rule behind `NotAllowed` or `Spread`; undefined for all other reasons. */
export function ruleName({ placement, spread }: PlannerInput, topic: number, reason: string): string | undefined {
  if (reason === 'NotAllowed') return placement?.rules[placement.of[topic] ?? -1]?.name;
  return reason === 'Spread' ? spread?.groups[spread.of[topic] ?? -1]?.name : undefined;
}

function isPreferred(work: Work, topic: number, broker: number): boolean {
  const preferred = work.input.placement?.rules[work.input.placement.of[topic] ?? -1]?.preferred;
  return preferred === undefined || preferred[broker] === 1 || work.home[topic] === broker;
}

/**
 * Whether a move keeps its destination below the headroom of the capacity, in every resource that it adds to. Its home may be as full
 * as it was.
 */
function fits(work: Work, topic: number, broker: number, leaving: number, isHome: boolean): boolean {
  const { width, level, scale, headroom, levelBefore } = work;
  const { loads } = work.input;
  if (headroom === undefined) return true;
  for (let resource = 0, at = broker * width; resource < width; resource++, at++) {
    const leavingLoad = leaving < 0 ? 0 : (loads[leaving * width + resource] as number);
    const added = (loads[topic * width + resource] as number) - leavingLoad;
    const limit = isHome
      ? Math.max(headroom[at] as number, (levelBefore[at] as number) + ROUNDING)
      : (headroom[at] as number);
    if (added > 0 && (level[at] as number) + added * (scale[at] as number) > limit) return false;
  }
  return true;
}

/** Levels differ in their last digits when topics have come and gone. */
const ROUNDING = 1e-9;
