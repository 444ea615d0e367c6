/** The hard rules of a move: one function decides in every phase, and the same one answers `whyNot`. */
import { BrokerRole } from './input.ts';
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
} as const;

/** The first hard rule against moving `topic` to `broker` now, given that `leaving` (−1 = none) goes from there at the same time. */
export function refusal(work: Work, topic: number, broker: number, leaving = -1): number {
  if (!isMovable(work, topic)) return Refusal.NotMovable;
  if (work.owner[topic] === broker) return Refusal.AlreadyThere;
  // A topic that goes back home does not move at all, whatever its broker may receive; a draining home is no home.
  const home = work.home[topic] === broker && work.draining[broker] === 0;
  if (!home && work.receives[broker] === 0) return closedBecause(work, broker);
  return (
    ruleRefusal(work, topic, broker, leaving) ||
    (home || fits(work, topic, broker, leaving) ? Refusal.None : Refusal.Headroom)
  );
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
  // What leaves for the topic's own broker stays in the domain when both brokers are in it.
  const inDomain = membersInDomain(work, group, broker) - (sameDomain ? 1 : swapped);
  return inDomain + 1 > rule.maxPerDomain ? Refusal.SpreadOverDomains : Refusal.None;
}

export function isAllowed(work: Work, topic: number, broker: number): boolean {
  const placement = work.input.placement;
  const rule = placement?.of[topic] ?? -1;
  return rule < 0 || placement?.rules[rule]?.allowed[broker] === 1;
}

/** Whether a move keeps its destination below the headroom of the capacity, in every resource that it adds to. */
function fits(work: Work, topic: number, broker: number, leaving: number): boolean {
  const { width, level, scale, headroom } = work;
  const { loads } = work.input;
  for (let resource = 0, at = broker * width; resource < width; resource++, at++) {
    const added =
      (loads[topic * width + resource] as number) - (leaving < 0 ? 0 : (loads[leaving * width + resource] as number));
    if (added > 0 && (level[at] as number) + added * (scale[at] as number) > (headroom[at] as number)) return false;
  }
  return true;
}
