/** Rules of spread where they are broken already. */
import { describe, expect, it } from 'vitest';
import { clusterOf } from './cluster-builder.ts';
import { BrokerRole } from './input.ts';
import { plan } from './plan.ts';

describe('a domain that has more of a group than it may', () => {
  /** Zone a has b0 and b1, zone b has b2. */
  const spread = {
    groups: [{ name: 'zones', maxPerDomain: 1 }],
    domainOf: Int32Array.of(0, 0, 1),
    domains: ['zone=a', 'zone=b'],
  };

  it('does not keep a topic on a draining broker: within the domain nothing comes closer', () => {
    const input = clusterOf(['cpu'], { b0: { p0: [10] }, b1: { p1: [10] }, b2: { p2: [10] } });

    const made = plan(
      { ...input, roles: Uint8Array.of(BrokerRole.Draining, 0, 0), spread: { ...spread, of: Int32Array.of(0, 0, 0) } },
      { mode: 'Drain' },
    );

    expect(made.moves.map(({ topic, to }) => [input.topics[topic], input.brokers[to]])).toEqual([['p0', 'b1']]);
    expect(made.blocked).toMatchObject([{ wanted: 'Spread', rule: 'zones' }]);
  });

  it('does not keep a topic on a broker that its rule forbids', () => {
    const input = clusterOf(['cpu'], { b0: { p0: [10] }, b1: { p1: [10] }, b2: { p2: [10] } });
    const rules = [{ name: 'not-b0', allowed: Uint8Array.of(0, 1, 1) }];

    const made = plan(
      {
        ...input,
        placement: { of: Int32Array.of(0, -1, -1), rules },
        spread: { ...spread, of: Int32Array.of(0, 0, 0) },
      },
      { mode: 'Drain' },
    );

    expect(made.moves.map(({ topic, to }) => [input.topics[topic], input.brokers[to]])).toEqual([['p0', 'b1']]);
  });

  it('is left, and not only changed within, by what is one too many', () => {
    const input = clusterOf(['cpu'], { b0: { p0: [10], p1: [10] }, b1: {}, b2: { rest: [50] } });

    const made = plan({ ...input, spread: { ...spread, of: Int32Array.of(0, 0, -1) } }, { mode: 'Drain' });

    expect(made.moves.map(({ to }) => input.brokers[to])).toEqual(['b2']);
  });
});
