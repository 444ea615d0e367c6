import { describe, expect, it } from 'vitest';
import type { SpreadRuleSpec } from '../../api/rebalance.ts';
import { createSpreadGroups, domainsOf } from './spread.ts';

const orders: SpreadRuleSpec = { name: 'orders', topicPatterns: ['/shop/*'], maxPerBroker: 1 };
const shop: SpreadRuleSpec = { name: 'shop', topicPatterns: ['/shop/*', '/carts/*'], scope: 'Topics', maxPerBroker: 2 };

function namesOf(rules: readonly SpreadRuleSpec[], ...topics: readonly string[]) {
  const groups = createSpreadGroups(rules);
  return topics.map((topic) => groups.of(topic)?.name);
}

describe('a spread rule', () => {
  it('of scope Partitions has a group for each partitioned topic, and none for others', () => {
    expect(namesOf([orders], '/shop/a-part-0', '/shop/a-part-12', '/shop/b-part-0', '/shop/a', '/x/a-part-0')).toEqual([
      'orders for /shop/a',
      'orders for /shop/a',
      'orders for /shop/b',
      undefined,
      undefined,
    ]);
  });

  it('of scope Topics has one group, in which partitions are topics', () => {
    expect(namesOf([shop], '/shop/a-part-0', '/shop/b', '/carts/c', '/x/y')).toEqual([
      'shop',
      'shop',
      'shop',
      undefined,
    ]);
  });

  it('that comes first counts where two say something of a topic, and that is told', () => {
    const groups = createSpreadGroups([orders, shop]);

    const names = ['/shop/a-part-0', '/shop/a-part-1', '/shop/b', '/carts/c'].map((topic) => groups.of(topic)?.name);

    expect(names).toEqual(['orders for /shop/a', 'orders for /shop/a', 'shop', 'shop']);
    expect([...groups.overlaps]).toEqual([['orders and shop', 2]]);
  });

  it('gives its limits to its groups', () => {
    const zoned = { ...orders, topologyKey: 'zone', maxPerDomain: 3 };

    expect(createSpreadGroups([zoned]).of('/shop/a-part-0')).toMatchObject({
      index: 0,
      maxPerBroker: 1,
      maxPerDomain: 3,
    });
    expect(createSpreadGroups([shop]).of('/shop/a')).not.toHaveProperty('maxPerDomain');
  });
});

describe('domains', () => {
  it('are the values of the label that the rules name; brokers without it are one', () => {
    const rules = [orders, { ...shop, topologyKey: 'zone', maxPerDomain: 3 }];

    expect(domainsOf(rules, [{ zone: 'b' }, {}, { zone: 'a' }, { rack: '1' }])).toEqual({
      key: 'zone',
      domains: ['no zone', 'zone=a', 'zone=b'],
      domainOf: Int32Array.of(2, 0, 1, 0),
      unlabelled: 2,
    });
  });

  it('are none where no rule names a label', () => {
    expect(domainsOf([orders, shop], [{ zone: 'a' }])).toBeUndefined();
  });
});
