/** Who is in a group of `placement.spread`. Each topic is looked at once, and not again in every round: there may be a million. */
import type { SpreadRuleSpec } from '../../api/rebalance.ts';
import type { TopicNumbers } from '../snapshot.ts';
import { createSpreadGroups, type TopicGroup } from './spread.ts';

export interface TopicGroups {
  /**
   * Takes in the topics that have come since. To be called once per round, before anything is asked: when topics have got other numbers, all
   * groups are found anew, and those of before mean nothing.
   */
  follow(numbers: TopicNumbers): void;
  /** Undefined where no rule says anything of the topic. */
  groupOf(topic: string): TopicGroup | undefined;
  /** All that were asked for or have taken in topics. */
  all(): readonly TopicGroup[];
  /** Numbers of all topics of the group that were taken in, those that are gone among them. */
  membersOf(group: TopicGroup): Iterable<number>;
}

const NONE = -1;

/** For one policy, as long as its rules stay. */
export function createTopicGroups(rules: readonly SpreadRuleSpec[]): TopicGroups {
  let groups = createSpreadGroups(rules);
  let table: object | undefined;
  let seen = 0;
  /** Lists in one array, since there may be a group for every few topics: per group its latest topic, per topic the one before it. */
  let latest: number[] = [];
  let before = new Int32Array(0);

  function takeIn(number: number, topic: string): void {
    const group = groups.of(topic);
    if (group === undefined) return;
    before[number] = latest[group.index] ?? NONE;
    latest[group.index] = number;
  }

  return {
    follow(numbers) {
      if (rules.length === 0) return;
      if (numbers.table !== table) {
        // Groups whose topics are all gone are given up with the numbers: names come and go as long as the operator runs.
        groups = createSpreadGroups(rules);
        table = numbers.table;
        seen = 0;
        latest = [];
        before = new Int32Array(0);
      }
      if (numbers.size > before.length) {
        const longer = new Int32Array(Math.max(numbers.size, 2 * before.length));
        longer.set(before);
        before = longer;
      }
      for (; seen < numbers.size; seen++) takeIn(seen, numbers.nameOf(seen));
    },
    groupOf: (topic) => groups.of(topic),
    all: () => groups.groups,
    *membersOf({ index }) {
      for (let number = latest[index] ?? NONE; number !== NONE; number = before[number] ?? NONE) yield number;
    },
  };
}
