/** Topics without an owner and moves go by the same rules: what was just placed must never have to leave for a rule's sake. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { effectiveRebalance, type PlacementSpec, placement as placementSchema } from '../../api/rebalance.ts';
import { judgeBrokers } from '../brokers.ts';
import { createPlacement } from '../placement.ts';
import { plan } from '../planner/plan.ts';
import { buildSnapshot } from '../snapshot-builder.ts';
import { applyPolicy } from './apply-policy.ts';
import { labelsOf } from './placement-rules.ts';

const labels = fc.record(
  { tier: fc.constantFrom('fast', 'slow'), zone: fc.constantFrom('a', 'b', 'c') },
  { requiredKeys: [] },
);
const patterns = fc.uniqueArray(fc.constantFrom('/a/*', '/b/*', '/*/x', '/a/y-part-1', '/*/y'), {
  minLength: 1,
  maxLength: 2,
});

const rule = fc.record(
  {
    topicPatterns: patterns,
    brokerSelector: fc.record({
      matchLabels: fc.constantFrom<Record<string, string>>(
        { tier: 'fast' },
        { tier: 'slow' },
        { zone: 'a' },
        { zone: 'b', tier: 'fast' },
      ),
    }),
    enforcement: fc.constantFrom('Required' as const, 'Preferred' as const),
  },
  { requiredKeys: ['topicPatterns', 'brokerSelector'] },
);

const spreadRule = fc
  .record({
    topicPatterns: patterns,
    scope: fc.constantFrom('Partitions' as const, 'Topics' as const),
    maxPerBroker: fc.integer({ min: 1, max: 3 }),
    maxPerDomain: fc.option(fc.integer({ min: 3, max: 6 }), { nil: undefined }),
  })
  .map(({ maxPerDomain, ...spread }) => ({
    ...spread,
    ...(maxPerDomain !== undefined && { topologyKey: 'zone', maxPerDomain }),
  }));

const policies: fc.Arbitrary<PlacementSpec> = fc.record({
  rules: fc.array(rule, { maxLength: 3 }).map((list) => list.map((one, index) => ({ ...one, name: `rule-${index}` }))),
  spread: fc
    .array(spreadRule, { maxLength: 2 })
    .map((list) => list.map((one, index) => ({ ...one, name: `spread-${index}` }))),
});

const TOPICS = ['/a', '/b', '/c'].flatMap((namespace) => [
  `${namespace}/x`,
  ...[0, 1, 2, 3, 4].map((index) => `${namespace}/y-part-${index}`),
]);

it('what is placed by rules and spread stays there by them', () => {
  let placed = 0;
  let waited = 0;
  fc.assert(
    fc.property(fc.array(labels, { minLength: 1, maxLength: 6 }), policies, (of, placement) => {
      expect(placementSchema.safeParse(placement).success).toBe(true);
      const snapshot = buildSnapshot({
        pods: of.map((own, index) => ({ name: `p${index}`, labels: own, container: { runningSince: 0 } })),
        brokers: of.map((_, index) => ({ id: `b${index}`, pod: `p${index}` })),
      });
      const brokers = judgeBrokers(snapshot);
      const { place, ruledOut } = createPlacement(snapshot, brokers, {
        ranking: { algorithm: 'DanubeFair' },
        placement,
      });

      const owned = new Map<string, number>();
      for (const topic of TOPICS) {
        const broker = place(topic, new Set());
        if (broker === undefined) expect(ruledOut(topic, new Set())?.rule).toMatch(/^(rule|spread)-\d/);
        else
          owned.set(
            topic,
            of.findIndex((_, index) => `b${index}` === broker),
          );
      }
      placed += owned.size;
      waited += TOPICS.length - owned.size;

      const ids = of.map((_, index) => `b${index}`);
      const { input, options } = applyPolicy({
        snapshot: {
          input: {
            resources: ['topics'],
            brokers: ids,
            topics: [...owned.keys()],
            capacity: new Float64Array(ids.length).fill(1),
            loads: new Float64Array(owned.size).fill(1),
            owner: Int32Array.from(owned.values()),
          },
          labels: ids.map((id) => labelsOf(brokers.get(id))),
          reliable: new Uint8Array(owned.size),
          connections: new Float64Array(owned.size),
          ignored: [],
        },
        rebalance: effectiveRebalance(),
        placement,
        mode: 'Full',
        brokers: [],
      });
      const made = plan(input, { ...options, mode: 'Drain' });
      expect([made.moves, made.blocked]).toEqual([[], []]);
    }),
    { numRuns: 300 },
  );
  // Neither half of the property may be empty.
  expect(Math.min(placed, waited)).toBeGreaterThan(300);
});
