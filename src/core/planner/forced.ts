/**
 * What hard rules want elsewhere: topics of a draining broker, topics on a broker that their rule does not allow, and members of a
 * group that stand too close. They go first, wherever the rules let them, to the broker that suffers least; the band comes after.
 */
import type { Blocked } from './input.ts';
import { roomiest } from './place.ts';
import { hardRefusal, isAllowed, Refusal, refusal } from './rules.ts';
import {
  assign,
  costOf,
  energy,
  energyAfter,
  groupOf,
  isMovable,
  isStopped,
  levelOf,
  membersInDomain,
  membersOnBroker,
  type Work,
} from './work.ts';

export type Wanted = Blocked['wanted'];

export interface Forced {
  /** Topics that must leave, with the rule. */
  readonly wanted: ReadonlyMap<number, Wanted>;
  /** Those of them that cannot, with the reason. */
  readonly blocked: readonly Blocked[];
}

const RECEIVERS = 160;
const REFRESH = 40;

/** How often what found no place is tried again: each time takes as long as the first. */
const PASSES = 3;

/**
 * Finds them and moves those that can move. What finds no place is tried again once others have left theirs, since these may be of its
 * group. Once `shouldStop`, those that are left are blocked by the time allowed.
 */
export function placeForced(work: Work, size: Float64Array): Forced {
  const wanted = findForced(work, size);
  const rules = createRuleReceivers(work);
  let left: readonly number[] = [...wanted.keys()].sort((a, b) => (size[b] as number) - (size[a] as number) || a - b);
  for (let pass = 0, before = Infinity; pass < PASSES && left.length < before; pass++) {
    before = left.length;
    left = placeOnce(work, rules, wanted, left);
  }
  const blocked = left.map((topic) => ({
    topic,
    wanted: wanted.get(topic) as Wanted,
    because: blockedBecause(work, rules, topic),
  }));
  return { wanted, blocked };
}

/** Returns those that stay where a hard rule does not want them, in their order. */
function placeOnce(
  work: Work,
  rules: RuleReceivers,
  wanted: ReadonlyMap<number, Wanted>,
  topics: readonly number[],
): readonly number[] {
  let receivers: Int32Array = new Int32Array(0);
  let placed = REFRESH;
  return topics.filter((topic) => {
    if (!isMovable(work, topic)) return true;
    // Two that stood too close may be apart by now.
    if (wanted.get(topic) === 'Spread' && !standsTooClose(work, topic)) return false;
    if (isStopped(work)) return true;
    const all = rules.allowed(topic);
    if (all.length === 0) return true;
    if (placed >= REFRESH) {
      receivers = roomiest(work, RECEIVERS);
      placed = 0;
    }
    const best =
      leastHarmed(work, topic, receivers, refusal) ??
      leastHarmed(work, topic, all, refusal) ??
      (hasPreference(work, topic) ? leastHarmed(work, topic, all, hardRefusal) : undefined);
    if (best === undefined) return true;
    assign(work, topic, best);
    placed++;
    return false;
  });
}

function blockedBecause(work: Work, rules: RuleReceivers, topic: number): string {
  if (!isMovable(work, topic)) return immovableBecause(work, topic);
  if (isStopped(work)) return 'the time allowed';
  return rules.allowed(topic).length === 0 ? rules.refusedBecause(topic) : refusedEverywhere(work, topic);
}

interface RuleReceivers {
  /** The brokers that may receive and that the topic's rule allows, in order. */
  allowed(topic: number): Int32Array;
  /** `refusedEverywhere` of a topic for which there are none. */
  refusedBecause(topic: number): string;
}

/** Found once per rule: one that selects no broker must not cost all brokers for each of its topics. */
function createRuleReceivers(work: Work): RuleReceivers {
  const { brokerCount, home, input } = work;
  const allowed = new Map<number, Int32Array>();
  const because = new Map<number, string>();
  const ruleOf = (topic: number): number => input.placement?.of[topic] ?? -1;
  return {
    allowed(topic) {
      const rule = ruleOf(topic);
      const known = allowed.get(rule) ?? allReceivers(work).filter((broker) => isAllowed(work, topic, broker));
      allowed.set(rule, known);
      return known;
    },
    refusedBecause(topic) {
      // Without a receiver every broker refuses for itself or by the rule, so only the topic's own broker makes a difference.
      const key = (ruleOf(topic) + 1) * brokerCount + (home[topic] as number);
      const known = because.get(key) ?? refusedEverywhere(work, topic);
      because.set(key, known);
      return known;
    },
  };
}

function hasPreference(work: Work, topic: number): boolean {
  const { placement } = work.input;
  return placement?.rules[placement.of[topic] ?? -1]?.preferred !== undefined;
}

/** Topics that a hard rule wants elsewhere, with the rule. Of a group that stands too close, the cheapest and smallest leave. */
export function findForced(work: Work, size: Float64Array): Map<number, Wanted> {
  const wanted = new Map<number, Wanted>();
  const { input, home } = work;
  if (!work.draining.includes(1) && input.placement === undefined && input.spread === undefined) return wanted;
  const grouped: number[] = [];
  for (let topic = 0; topic < home.length; topic++) {
    const broker = home[topic] as number;
    if (work.draining[broker] === 1) wanted.set(topic, 'Drain');
    else if (input.placement !== undefined && !isAllowed(work, topic, broker)) wanted.set(topic, 'NotAllowed');
    else if (groupOf(work, topic) >= 0) grouped.push(topic);
  }
  if (grouped.length > 0) findCrowded(work, size, grouped, wanted);
  return wanted;
}

function findCrowded(work: Work, size: Float64Array, grouped: number[], wanted: Map<number, Wanted>): void {
  const gone = new Map<string, number>();
  grouped.sort(
    (a, b) =>
      Number(isMovable(work, b)) - Number(isMovable(work, a)) ||
      costOf(work, a) - costOf(work, b) ||
      (size[a] as number) - (size[b] as number) ||
      a - b,
  );
  for (const topic of grouped) {
    const group = groupOf(work, topic);
    const broker = work.home[topic] as number;
    const rule = work.input.spread?.groups[group];
    const domain = work.input.spread?.domainOf?.[broker] ?? -1;
    const here = `${group} b ${broker}`;
    const there = `${group} d ${domain}`;
    const onBroker = membersOnBroker(work, group, broker) - (gone.get(here) ?? 0);
    const inDomain = membersInDomain(work, group, broker) - (gone.get(there) ?? 0);
    if (onBroker <= (rule?.maxPerBroker ?? Infinity) && inDomain <= (rule?.maxPerDomain ?? Infinity)) continue;
    wanted.set(topic, 'Spread');
    gone.set(here, (gone.get(here) ?? 0) + 1);
    gone.set(there, (gone.get(there) ?? 0) + 1);
  }
}

function standsTooClose(work: Work, topic: number): boolean {
  const group = groupOf(work, topic);
  const broker = work.owner[topic] as number;
  const rule = work.input.spread?.groups[group];
  return (
    membersOnBroker(work, group, broker) > (rule?.maxPerBroker ?? Infinity) ||
    membersInDomain(work, group, broker) > (rule?.maxPerDomain ?? Infinity)
  );
}

function allReceivers(work: Work): Int32Array {
  return Int32Array.from(work.receives.keys()).filter((broker) => work.receives[broker] === 1);
}

/** The broker whose energy grows least, then the one that ends nearest to the mean; ties by index. */
function leastHarmed(work: Work, topic: number, receivers: Int32Array, refusalOf: typeof refusal): number | undefined {
  let best: number | undefined;
  let bestHarm = Infinity;
  let bestLevel = Infinity;
  for (const broker of receivers) {
    if (refusalOf(work, topic, broker) !== Refusal.None) continue;
    const harm = energyAfter(work, broker, topic, -1, Infinity) - energy(work, broker);
    const level = fullness(work, topic, broker);
    if (harm > bestHarm || (harm === bestHarm && level >= bestLevel)) continue;
    best = broker;
    bestHarm = harm;
    bestLevel = level;
  }
  return best;
}

function fullness(work: Work, topic: number, broker: number): number {
  let sum = 0;
  for (let resource = 0; resource < work.width; resource++) {
    const added = levelOf(work, topic, broker, resource);
    sum += added * (2 * ((work.level[broker * work.width + resource] as number) - 1) + added);
  }
  return sum;
}

export function immovableBecause(work: Work, topic: number): string {
  const { immovable } = work.input;
  return immovable?.reasons[(immovable.of[topic] as number) - 1] ?? 'it may not move';
}

/** How many brokers refuse a topic, by reason: `no broker takes it: 3 NotAllowed, 1 would leave the band`. */
export function refusedEverywhere(work: Work, topic: number): string {
  const names = Object.keys(Refusal);
  const counts = new Map<number, number>();
  for (let broker = 0; broker < work.brokerCount; broker++) {
    if (broker === work.owner[topic]) continue;
    const code = refusal(work, topic, broker);
    counts.set(code, (counts.get(code) ?? 0) + 1);
  }
  const parts = [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([code, count]) => `${count} ${code === Refusal.None ? 'would leave the band' : names[code]}`);
  return parts.length === 0 ? 'there is no other broker' : `no broker takes it: ${parts.join(', ')}`;
}
