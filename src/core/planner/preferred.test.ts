import { describe, expect, it } from 'vitest';
import { clusterOf, topicsOf } from './cluster-builder.ts';
import { createExplainer } from './explain.ts';
import { BrokerRole, type PlannerInput } from './input.ts';
import { plan } from './plan.ts';

/** b0 is hot; its topics prefer b3, all others may go anywhere. */
const CLUSTER = clusterOf(['cpu'], {
  b0: topicsOf('fast', 40, [1]),
  b1: topicsOf('u', 20, [1]),
  b2: topicsOf('v', 20, [1]),
  b3: topicsOf('w', 20, [1]),
});

function preferring(broker: number, input: PlannerInput = CLUSTER): PlannerInput {
  const all = new Uint8Array(input.brokers.length).fill(1);
  const preferred = Uint8Array.from(all.keys(), (index) => Number(index === broker));
  const of = Int32Array.from(input.topics, (name) => (name.startsWith('fast') ? 0 : -1));
  return { ...input, placement: { of, rules: [{ name: 'fast', allowed: all, preferred }] } };
}

describe('a topic with preferred brokers', () => {
  it('goes to one of them when it moves, and stays where it is otherwise', () => {
    const input = preferring(3);

    const made = plan(input);

    const fast = made.moves.filter(({ topic }) => input.topics[topic]?.startsWith('fast'));
    expect(fast.length).toBeGreaterThan(0);
    expect(fast.every(({ to }) => to === 3)).toBe(true);
    expect(made.inBand).toBe(true);
    expect(plan(preferring(3, { ...CLUSTER, owner: Int32Array.from({ length: 100 }, (_, t) => t % 4) })).moves).toEqual(
      [],
    );
  });

  it('is refused elsewhere, with the rule', () => {
    const input = preferring(3);
    const about = createExplainer(input, {}, plan(input));

    const stays = input.topics.findIndex(
      (name, topic) => name.startsWith('fast') && about.explain(topic).move === undefined,
    );
    expect(about.whyNot(stays, 1)).toEqual({ code: 'NotPreferred', text: 'rule fast prefers other brokers than b1' });
  });

  it('leaves a draining broker even if no preferred broker has room', () => {
    const input = { ...preferring(3), roles: Uint8Array.of(BrokerRole.Draining, 0, 0, BrokerRole.Closed) };

    const made = plan(input);

    expect(made.blocked).toEqual([]);
    expect(made.moves.filter(({ from }) => from === 0)).toHaveLength(40);
  });
});
