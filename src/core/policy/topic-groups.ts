/** Who is in a group of `placement.spread`. Each topic is looked at once, and not again in every round: there may be a million. */
import type { SpreadRuleSpec } from '../../api/rebalance.ts';
import type { TopicNumbers } from '../snapshot.ts';
import { createSpreadGroups, type TopicGroup } from './spread.ts';

export interface TopicGroups {
  /** Undefined where no rule says anything of the topic. */
  groupOf(topic: string): TopicGroup | undefined;
  /** Numbers of all topics of the group, those that are gone among them. */
  membersOf(group: TopicGroup, numbers: TopicNumbers): readonly number[];
}

/** For one policy, as long as its rules stay. */
export function createTopicGroups(rules: readonly SpreadRuleSpec[]): TopicGroups {
  const groups = createSpreadGroups(rules);
  let table: object | undefined;
  let seen = 0;
  let members: number[][] = [];

  return {
    groupOf: groups.of,
    membersOf({ index }, numbers) {
      if (numbers.table !== table) {
        table = numbers.table;
        seen = 0;
        members = [];
      }
      for (; seen < numbers.size; seen++) {
        const group = groups.of(numbers.nameOf(seen));
        if (group === undefined) continue;
        const own = members[group.index] ?? [];
        members[group.index] = own;
        own.push(seen);
      }
      return members[index] ?? [];
    },
  };
}
