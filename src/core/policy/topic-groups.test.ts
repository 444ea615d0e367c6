import { describe, expect, it } from 'vitest';
import type { SpreadRuleSpec } from '../../api/rebalance.ts';
import { buildSnapshot } from '../snapshot-builder.ts';
import { createTopicGroups } from './topic-groups.ts';

const rules: readonly SpreadRuleSpec[] = [
  { name: 'orders', topicPatterns: ['/shop/orders'], maxPerBroker: 1 },
  { name: 'shop', topicPatterns: ['/shop/*'], scope: 'Topics', maxPerBroker: 1 },
];

function numbersOf(topics: readonly string[]) {
  return buildSnapshot({ topics: topics.map((name) => ({ name })) }).metadata.topicNumbers;
}

function namesOf(groups: ReturnType<typeof createTopicGroups>, topic: string, numbers: ReturnType<typeof numbersOf>) {
  const group = groups.groupOf(topic);
  return group && groups.membersOf(group, numbers).map(numbers.nameOf);
}

describe('the members of a group', () => {
  const topics = ['/shop/orders-part-0', '/shop/carts', '/x/y', '/shop/orders-part-1', '/shop/mails'];

  it('are all topics of it', () => {
    const groups = createTopicGroups(rules);

    expect(namesOf(groups, '/shop/orders-part-7', numbersOf(topics))).toEqual([
      '/shop/orders-part-0',
      '/shop/orders-part-1',
    ]);
    expect(namesOf(groups, '/shop/new', numbersOf(topics))).toEqual(['/shop/carts', '/shop/mails']);
    expect(namesOf(groups, '/x/y', numbersOf(topics))).toBeUndefined();
  });

  it('grow with the topics, of which each is looked at once', () => {
    const groups = createTopicGroups(rules);
    const looks: number[] = [];
    const all = numbersOf(topics);
    const upTo = (size: number) => ({
      ...all,
      size,
      nameOf(number: number) {
        looks.push(number);
        return all.nameOf(number);
      },
    });
    const shop = groups.groupOf('/shop/carts');
    if (shop === undefined) throw new Error('the rule covers it');

    expect(groups.membersOf(shop, upTo(2))).toEqual([1]);
    expect(groups.membersOf(shop, upTo(5))).toEqual([1, 4]);

    expect(looks).toEqual([0, 1, 2, 3, 4]);
  });

  it('are counted anew when topics get other numbers', () => {
    const groups = createTopicGroups(rules);
    namesOf(groups, '/shop/new', numbersOf(topics));

    expect(namesOf(groups, '/shop/new', numbersOf(['/x/z', '/shop/mails']))).toEqual(['/shop/mails']);
  });
});
