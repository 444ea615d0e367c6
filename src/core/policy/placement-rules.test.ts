import { describe, expect, it } from 'vitest';
import type { PlacementRuleSpec } from '../../api/rebalance.ts';
import { compileRules, rulesOnBrokers } from './placement-rules.ts';

const LABELS = [{ tier: 'fast', zone: 'a' }, { tier: 'fast', zone: 'b' }, { tier: 'slow', zone: 'a' }, {}];

function rule(name: string, pattern: string, labels: Record<string, string>, isPreferred = false): PlacementRuleSpec {
  return {
    name,
    topicPatterns: [pattern],
    brokerSelector: { matchLabels: labels },
    ...(isPreferred && { enforcement: 'Preferred' }),
  };
}

function onBrokers(rules: readonly PlacementRuleSpec[], takes: (broker: number) => boolean = () => true) {
  return rulesOnBrokers(compileRules(rules), { labels: LABELS, takes });
}

describe('the rules of a topic', () => {
  it('are none where no pattern covers it: it may live anywhere', () => {
    expect(onBrokers([rule('fast', '/payments/*', { tier: 'fast' })]).of('/default/a')).toBeUndefined();
  });

  it('allow the brokers that satisfy all that are Required', () => {
    const rules = onBrokers([rule('fast', '/p/*', { tier: 'fast' }), rule('zone', '/p/a*', { zone: 'a' })]);

    expect(rules.of('/p/b')).toMatchObject({ name: 'fast', allowed: Uint8Array.of(1, 1, 0, 0) });
    expect(rules.of('/p/a')).toMatchObject({ name: 'fast and zone', allowed: Uint8Array.of(1, 0, 0, 0) });
  });

  it('prefer those of the allowed brokers that all Preferred ones name, as long as one of these takes topics', () => {
    const specs = [rule('fast', '/p/*', { tier: 'fast' }), rule('zone', '/p/*', { zone: 'a' }, true)];

    expect(onBrokers(specs).of('/p/a')?.preferred).toEqual(Uint8Array.of(1, 0, 0, 0));
    expect(onBrokers(specs, (broker) => broker > 0).of('/p/a')?.preferred).toBeUndefined();
  });

  it('are combined once, however many topics have them', () => {
    const rules = onBrokers([rule('fast', '/p/*', { tier: 'fast' }), rule('zone', '/*/a*', { zone: 'a' })]);

    expect(rules.of('/p/b1')).toBe(rules.of('/p/b2'));
    expect(rules.of('/p/a')).not.toBe(rules.of('/p/b1'));
    expect(rules.combinations.map(({ name, index }) => [index, name])).toEqual([
      [0, 'fast'],
      [1, 'fast and zone'],
    ]);
  });

  it('can be told from those that no topic was asked for with', () => {
    const rules = onBrokers([rule('none', '/x/*', { tier: 'none' }), rule('fast', '/p/*', { tier: 'fast' })]);
    rules.of('/p/a');

    expect(rules.usage.map(({ rule: { name }, isUsed, brokers }) => [name, isUsed, brokers])).toEqual([
      ['none', false, 0],
      ['fast', true, 2],
    ]);
  });
});
