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
  groups.follow(numbers);
  const group = groups.groupOf(topic);
  return group && Array.from(groups.membersOf(group), numbers.nameOf).sort();
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

    const shop = () => {
      const group = groups.groupOf('/shop/carts');
      return group && [...groups.membersOf(group)].sort();
    };

    groups.follow(upTo(2));
    const ofTwo = shop();
    groups.follow(upTo(5));

    expect([ofTwo, shop()]).toEqual([[1], [1, 4]]);
    expect(looks).toEqual([0, 1, 2, 3, 4]);
  });

  it('are counted anew when topics get other numbers', () => {
    const groups = createTopicGroups(rules);
    namesOf(groups, '/shop/new', numbersOf(topics));

    expect(namesOf(groups, '/shop/new', numbersOf(['/x/z', '/shop/mails']))).toEqual(['/shop/mails']);
  });

  it('are given up with their group once all of them are gone: topics come and go as long as the operator runs', () => {
    const groups = createTopicGroups([{ name: 'all', topicPatterns: ['/*/*'], maxPerBroker: 1 }]);
    for (const name of ['a', 'b', 'c']) groups.follow(numbersOf([`/x/${name}-part-0`]));

    expect(groups.groupOf('/x/c-part-1')?.index).toBe(0);
  });
});
