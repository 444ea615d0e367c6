/**
 * Whether a topic stands where the policy does not want it. It is asked every few seconds of up to a million topics, so the patterns are
 * asked once for each topic, and then only numbers are compared.
 */
import type { PlacementSpec } from '../../api/rebalance.ts';
import type { BrokerFacts } from '../brokers.ts';
import type { TopicNumbers } from '../snapshot.ts';
import { labelsOf } from './placement-rules.ts';
import type { TopicGroups } from './topic-groups.ts';
import { createListMatcher } from './topic-patterns.ts';

export interface Standing {
  /** Whether a live broker has a topic that a Required rule forbids it, or more of a group than `spread` lets it or its domain have. */
  isAgainstRules(numbers: TopicNumbers, brokers: ReadonlyMap<string, BrokerFacts>): boolean;
}

/** For one policy, as long as its rules stay; `groups` are those of its `spread`. */
export function createStanding({ rules = [], spread = [] }: PlacementSpec, groups: TopicGroups): Standing {
  const required = rules.filter(({ enforcement }) => enforcement !== 'Preferred');
  const rulesOf = createListMatcher(required.map(({ topicPatterns }) => topicPatterns));
  let table: object | undefined;
  let seen = 0;
  /** Per topic: bit n is set if the Required rule n covers it. */
  let covering = new Int32Array(0);

  function follow(numbers: TopicNumbers): void {
    if (numbers.table !== table) {
      table = numbers.table;
      seen = 0;
    }
    if (numbers.size > covering.length) {
      const longer = new Int32Array(Math.max(numbers.size, 2 * covering.length));
      longer.set(covering);
      covering = longer;
    }
    for (; seen < numbers.size; seen++) covering[seen] = rulesOf(numbers.nameOf(seen));
  }

  function isForbidden(numbers: TopicNumbers, owners: readonly (BrokerFacts | undefined)[]): boolean {
    follow(numbers);
    const forbidding = owners.map((owner) => {
      const labels = labelsOf(owner);
      const refuses = ({ brokerSelector }: (typeof required)[number]) =>
        Object.entries(brokerSelector.matchLabels).some(([key, value]) => labels[key] !== value);
      return owner === undefined ? 0 : required.reduce((bits, rule, at) => bits | (Number(refuses(rule)) << at), 0);
    });
    for (let topic = 0; topic < numbers.size; topic++) {
      if (((covering[topic] as number) & (forbidding[numbers.ownerOf(topic)] ?? 0)) !== 0) return true;
    }
    return false;
  }

  function isTooClose(numbers: TopicNumbers, owners: readonly (BrokerFacts | undefined)[]): boolean {
    groups.follow(numbers);
    const key = spread.find(({ topologyKey }) => topologyKey !== undefined)?.topologyKey ?? '';
    const values = owners.map((owner) => labelsOf(owner)[key] ?? '');
    const indexes = new Map([...new Set(values)].map((value, index) => [value, index]));
    const domainOf = values.map((value) => indexes.get(value) ?? 0);
    const onBroker = new Int32Array(owners.length);
    const inDomain = new Int32Array(indexes.size);
    for (const group of groups.all()) {
      const { maxPerBroker = Infinity, maxPerDomain = Infinity } = group;
      let isTooMany = false;
      const counted: number[] = [];
      for (const topic of groups.membersOf(group)) {
        const owner = numbers.ownerOf(topic);
        if (owners[owner] === undefined) continue;
        const domain = domainOf[owner] as number;
        onBroker[owner] = (onBroker[owner] as number) + 1;
        inDomain[domain] = (inDomain[domain] as number) + 1;
        counted.push(owner);
        isTooMany ||= (onBroker[owner] as number) > maxPerBroker || (inDomain[domain] as number) > maxPerDomain;
      }
      if (isTooMany) return true;
      for (const owner of counted) {
        onBroker[owner] = 0;
        inDomain[domainOf[owner] as number] = 0;
      }
    }
    return false;
  }

  return {
    isAgainstRules(numbers, brokers) {
      if (required.length === 0 && spread.length === 0) return false;
      // By the owner's number in `numbers`.
      const owners = numbers.brokers.map((id) => {
        const facts = brokers.get(id);
        return facts?.liveness.state === 'Live' ? facts : undefined;
      });
      return (
        (required.length > 0 && isForbidden(numbers, owners)) || (spread.length > 0 && isTooClose(numbers, owners))
      );
    },
  };
}
