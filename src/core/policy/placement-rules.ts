/**
 * The rules of `placement.rules` on the brokers of one moment. Moves and topics without an owner ask here, so that they never disagree.
 * A topic of several rules has one combination of them: the brokers that all of its Required rules allow, of which those are preferred
 * that all of its Preferred rules name.
 */
import type { PlacementRuleSpec } from '../../api/rebalance.ts';
import type { BrokerFacts } from '../brokers.ts';
import type { PlacementRule } from '../planner/input.ts';
import { ruleByLabels } from '../planner/labels.ts';
import { createListMatcher } from './topic-patterns.ts';

/** Rules whose patterns are compiled: once for a policy. */
export interface CompiledRules {
  readonly rules: readonly PlacementRuleSpec[];
  /** Bit n is set if rule n covers the topic. */
  readonly rulesOf: (topic: string) => number;
}

export function compileRules(rules: readonly PlacementRuleSpec[]): CompiledRules {
  return { rules, rulesOf: createListMatcher(rules.map(({ topicPatterns }) => topicPatterns)) };
}

export interface Combination extends PlacementRule {
  /** Counts from 0, in the order in which they were asked for. */
  readonly index: number;
  /** Of the rules that are Required. */
  readonly required: readonly PlacementRuleSpec[];
}

export interface RulesOnBrokers {
  /** Undefined where no rule covers the topic: it may live anywhere. Found once for each combination, however many topics have it. */
  of(topic: string): Combination | undefined;
  /** All that were asked for, by their index. */
  readonly combinations: readonly Combination[];
  /** Per rule, whether a topic that was asked for is covered by it, and how many brokers have its labels. */
  readonly usage: readonly { readonly rule: PlacementRuleSpec; readonly isUsed: boolean; readonly brokers: number }[];
}

export type Labels = Readonly<Record<string, string>>;

/** Of the Pod that runs the broker; none where that is not known. */
export function labelsOf(broker: Pick<BrokerFacts, 'pod'> | undefined): Labels {
  return broker?.pod?.labels ?? {};
}

export interface Brokers {
  /** Of the Pod of each broker; empty where there is none. */
  readonly labels: readonly Labels[];
  /** Whether the broker of that index takes topics: a preference that only others could meet is none. */
  readonly takes: (broker: number) => boolean;
}

export function rulesOnBrokers({ rules, rulesOf }: CompiledRules, { labels, takes }: Brokers): RulesOnBrokers {
  const onLabels = rules.map((rule) => ({ rule, ...ruleByLabels(rule.name, labels, rule.brokerSelector.matchLabels) }));
  const combinations: Combination[] = [];
  const byRules = new Map<number, Combination>();

  function combine(which: number): Combination {
    const own = onLabels.filter((_, index) => (which & (1 << index)) !== 0);
    const required = own.filter(({ rule }) => rule.enforcement !== 'Preferred');
    const allowed = Uint8Array.from(labels, (_, broker) =>
      Number(required.every((rule) => rule.allowed[broker] === 1)),
    );
    const preferred = Uint8Array.from(labels, (_, broker) => Number(own.every((rule) => rule.allowed[broker] === 1)));
    const isPossible = preferred.some((is, broker) => is === 1 && takes(broker));
    return {
      index: combinations.length,
      name: own.map(({ rule }) => rule.name).join(' and '),
      required: required.map(({ rule }) => rule),
      allowed,
      ...(required.length < own.length && isPossible && { preferred }),
    };
  }

  return {
    of(topic) {
      const which = rulesOf(topic);
      if (which === 0) return undefined;
      const known = byRules.get(which);
      if (known !== undefined) return known;
      const combination = combine(which);
      combinations.push(combination);
      byRules.set(which, combination);
      return combination;
    },
    combinations,
    get usage() {
      const used = [...byRules.keys()].reduce((all, which) => all | which, 0);
      return onLabels.map(({ rule, allowed }, index) => ({
        rule,
        isUsed: (used & (1 << index)) !== 0,
        brokers: allowed.reduce((sum, own) => sum + own, 0),
      }));
    },
  };
}
