/** The low side of the band where something holds more than its share: the others need no more than their share of the rest. */
import { expect, it } from 'vitest';
import { clusterOf, topicsOf } from './cluster-builder.ts';
import { BrokerRole, type PlannerInput } from './input.ts';
import { plan } from './plan.ts';

const OTHERS = { b1: topicsOf('t', 40, [1]), b2: topicsOf('u', 20, [1]) };

const CASES: readonly { readonly name: string; readonly input: PlannerInput }[] = [
  { name: 'a giant topic', input: clusterOf(['cpu'], { b0: { giant: [100] }, ...OTHERS }) },
  {
    name: 'load that no topic explains',
    input: { ...clusterOf(['cpu'], { b0: {}, ...OTHERS }), background: Float64Array.of(100, 0, 0) },
  },
  {
    name: 'a giant topic beside a broker that is being drained',
    input: {
      ...clusterOf(['cpu'], { b0: { giant: [100] }, ...OTHERS, b3: {} }),
      roles: Uint8Array.of(0, 0, 0, BrokerRole.Draining),
    },
  },
];

it.each(CASES)('moves what brings the others to 0.91 of what $name leaves to each, and no more', ({ input }) => {
  const made = plan(input);

  // 60 is left for two: 30 each, so b2 is to have 27.3 and has 20.
  expect(made.moves.map(({ from, to }) => [from, to])).toEqual(Array.from({ length: 8 }, () => [1, 2]));
});
