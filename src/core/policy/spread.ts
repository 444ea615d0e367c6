/**
 * The rules of `placement.spread`: which topics are kept apart as one group. Moves and topics without an owner ask here, so that they
 * never disagree. A topic has one group: that of the first rule that says something of it.
 */
import type { SpreadRuleSpec } from '../../api/rebalance.ts';
import type { SpreadGroup } from '../planner/input.ts';
import { domainsByLabel } from '../planner/labels.ts';
import type { Labels } from './placement-rules.ts';
import { createListMatcher, withoutPartition } from './topic-patterns.ts';

export interface TopicGroup extends SpreadGroup {
  /** Counts from 0, in the order in which they were asked for. */
  readonly index: number;
  readonly rule: SpreadRuleSpec;
}

export interface SpreadGroups {
  /** Undefined where nothing is said of the topic. */
  of(topic: string): TopicGroup | undefined;
  /** All that were asked for, by their index. */
  readonly groups: readonly TopicGroup[];
  /** Topics that a rule covers that does not count for them, by the names of the rule that does and of that one. */
  readonly overlaps: ReadonlyMap<string, number>;
}

export function createSpreadGroups(rules: readonly SpreadRuleSpec[]): SpreadGroups {
  const rulesOf = createListMatcher(rules.map(({ topicPatterns }) => topicPatterns));
  const groups: TopicGroup[] = [];
  /** Of each rule by the name of the partitioned topic; '' where all topics of the rule are one group. */
  const byBase = rules.map(() => new Map<string, TopicGroup>());
  const overlaps = new Map<string, number>();
  /** Partitions of a topic come one after the other: most of a million are found without a look into the map. */
  let last: { readonly rule: SpreadRuleSpec; readonly base: string; readonly group: TopicGroup } | undefined;

  function groupOf(rule: SpreadRuleSpec, known: Map<string, TopicGroup>, base: string): TopicGroup {
    if (last?.rule === rule && last.base === base) return last.group;
    const group = known.get(base) ?? createGroup(rule, known, base);
    last = { rule, base, group };
    return group;
  }

  function createGroup(rule: SpreadRuleSpec, known: Map<string, TopicGroup>, base: string): TopicGroup {
    const { name, maxPerBroker, maxPerDomain } = rule;
    const group = {
      index: groups.length,
      name: base === '' ? name : `${name} for ${base}`,
      rule,
      ...(maxPerBroker !== undefined && { maxPerBroker }),
      ...(maxPerDomain !== undefined && { maxPerDomain }),
    };
    groups.push(group);
    known.set(base, group);
    return group;
  }

  return {
    of(topic) {
      const which = rulesOf(topic);
      if (which === 0) return undefined;
      const base = withoutPartition(topic);
      let first: number | undefined;
      for (const [index, { name, scope }] of rules.entries()) {
        if ((which & (1 << index)) === 0 || (scope !== 'Topics' && base === topic)) continue;
        if (first === undefined) first = index;
        else {
          const pair = `${rules[first]?.name} and ${name}`;
          overlaps.set(pair, (overlaps.get(pair) ?? 0) + 1);
        }
      }
      const [rule, known] = [rules[first ?? -1], byBase[first ?? -1]];
      return rule && known && groupOf(rule, known, rule.scope === 'Topics' ? '' : base);
    },
    groups,
    overlaps,
  };
}

export interface Domains {
  /** The label. */
  readonly key: string;
  /** Per broker the index of its domain. */
  readonly domainOf: Int32Array;
  readonly domains: readonly string[];
  /** How many brokers do not have the label. */
  readonly unlabelled: number;
}

/** The domains of the rules, which all have the same label; undefined where only brokers count. */
export function domainsOf(rules: readonly SpreadRuleSpec[], labels: readonly Labels[]): Domains | undefined {
  const key = rules.find(({ topologyKey }) => topologyKey !== undefined)?.topologyKey;
  if (key === undefined) return undefined;
  const { domainOf, domains } = domainsByLabel(labels, key);
  const unlabelled = labels.reduce((count, own) => count + Number(own[key] === undefined), 0);
  return {
    key,
    domainOf,
    domains: domains.map((value) => (value === '' ? `no ${key}` : `${key}=${value}`)),
    unlabelled,
  };
}
