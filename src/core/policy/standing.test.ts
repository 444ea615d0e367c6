import { describe, expect, it } from 'vitest';
import type { PlacementSpec } from '../../api/rebalance.ts';
import { judgeBrokers } from '../brokers.ts';
import { buildSnapshot, type SnapshotParts } from '../snapshot-builder.ts';
import { createStanding } from './standing.ts';
import { createTopicGroups } from './topic-groups.ts';

const brokers = ['fast', 'slow', 'slow'].map((tier, index) => ({ id: String(index + 1), tier }));

function clusterOf(topics: Readonly<Record<string, string>>, parts: SnapshotParts = {}) {
  const snapshot = buildSnapshot({
    pods: brokers.map(({ id, tier }) => ({ name: `p${id}`, labels: { tier }, container: { runningSince: 0 } })),
    brokers: brokers.map(({ id }) => ({ id, pod: `p${id}` })),
    topics: Object.entries(topics).map(([name, owner]) => ({ name, owners: [owner] })),
    ...parts,
  });
  return [snapshot.metadata.topicNumbers, judgeBrokers(snapshot)] as const;
}

function standingOf(placement: PlacementSpec) {
  return createStanding(placement, createTopicGroups(placement.spread ?? []));
}

const rule = { name: 'paid', topicPatterns: ['/pay/*'], brokerSelector: { matchLabels: { tier: 'fast' } } };
const apart = { name: 'apart', topicPatterns: ['/shop/*'], maxPerBroker: 1 };

describe('topics stand against the rules', () => {
  it('where a Required rule does not allow their broker', () => {
    const { isAgainstRules } = standingOf({ rules: [rule] });

    expect(isAgainstRules(...clusterOf({ '/pay/a': '1', '/x/b': '2' }))).toBe(false);
    expect(isAgainstRules(...clusterOf({ '/pay/a': '1', '/pay/b': '2' }))).toBe(true);
  });

  it('not where a rule only prefers others, and not on a broker that is gone: these are placed anew', () => {
    const gone = { id: '9', registered: false as const, remembered: false as const };
    const onGone = clusterOf({}, { brokers: [gone], topics: [{ name: '/pay/b', owners: ['9'] }] });

    expect(
      standingOf({ rules: [{ ...rule, enforcement: 'Preferred' }] }).isAgainstRules(...clusterOf({ '/pay/b': '2' })),
    ).toBe(false);
    expect(standingOf({ rules: [rule] }).isAgainstRules(...onGone)).toBe(false);
  });

  it('where a broker has more of a group than it may', () => {
    const { isAgainstRules } = standingOf({ spread: [apart] });

    expect(isAgainstRules(...clusterOf({ '/shop/a-part-0': '2', '/shop/b-part-1': '2' }))).toBe(false);
    expect(isAgainstRules(...clusterOf({ '/shop/a-part-0': '2', '/shop/a-part-1': '2' }))).toBe(true);
  });

  it('where a domain has: two brokers of one tier count together', () => {
    const { isAgainstRules } = standingOf({
      spread: [{ name: 'apart', topicPatterns: ['/shop/*'], topologyKey: 'tier', maxPerDomain: 1 }],
    });

    expect(isAgainstRules(...clusterOf({ '/shop/a-part-0': '1', '/shop/a-part-1': '2' }))).toBe(false);
    expect(isAgainstRules(...clusterOf({ '/shop/a-part-0': '2', '/shop/a-part-1': '3' }))).toBe(true);
  });

  it('as the labels and the topics are now, of which each is matched once', () => {
    const { isAgainstRules } = standingOf({ rules: [rule] });
    const [numbers, facts] = clusterOf({ '/pay/a': '2', '/x/b': '1' });
    const looks: number[] = [];
    const watched = {
      ...numbers,
      nameOf(number: number) {
        looks.push(number);
        return numbers.nameOf(number);
      },
    };
    const relabelled = clusterOf(
      {},
      {
        pods: [{ name: 'p2', labels: { tier: 'fast' }, container: { runningSince: 0 } }],
        brokers: [{ id: '2', pod: 'p2' }],
      },
    )[1];

    expect([isAgainstRules(watched, facts), isAgainstRules(watched, relabelled)]).toEqual([true, false]);
    expect(looks).toEqual([0, 1]);
  });
});
