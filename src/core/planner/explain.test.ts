import { describe, expect, it } from 'vitest';
import { clusterOf, topicsOf } from './cluster-builder.ts';
import { createExplainer } from './explain.ts';
import { BrokerRole, type PlannerInput, type PlanOptions } from './input.ts';
import { domainsByLabel, ruleByLabels } from './labels.ts';
import { plan } from './plan.ts';

function explainer(input: PlannerInput, options: PlanOptions = {}) {
  const made = plan(input, options);
  const about = createExplainer(input, options, made);
  const topicOf = (name: string) => input.topics.indexOf(name);
  const brokerOf = (name: string) => input.brokers.indexOf(name);
  return {
    made,
    explain: (topic: string) => about.explain(topicOf(topic)),
    whyNot: (topic: string, broker: string) => about.whyNot(topicOf(topic), brokerOf(broker)),
  };
}

/** b0 is hot, b1 is empty, b2 and b3 are at the mean. */
const HOT = clusterOf(['cpu'], {
  b0: { big: [30], ...topicsOf('t', 30, [1]) },
  b1: {},
  b2: topicsOf('u', 30, [1]),
  b3: topicsOf('v', 30, [1]),
});

describe('why a topic moves', () => {
  it('with the broker that it relieves, before and after, and why it goes nowhere else', () => {
    const { explain } = explainer(HOT);

    const { move, text, others } = explain('big');

    expect(move).toMatchObject({ from: 0, to: 1, resource: 0, reason: 'Relieve' });
    expect(text).toBe('big goes to b1: the plan brings b0 from 2.00 to 1.00 × mean of cpu');
    expect(others).toEqual([{ code: 'LeavesBand', count: 2 }]);
  });

  it('with the broker that it fills', () => {
    const input = clusterOf(['cpu'], {
      b0: topicsOf('t', 40, [1]),
      b1: topicsOf('u', 40, [1]),
      b2: topicsOf('v', 34, [1]),
    });
    const { made, explain } = explainer(input);

    expect(made.moves[0]).toMatchObject({ to: 2, reason: 'Fill' });
    expect(explain(input.topics[made.moves[0]?.topic ?? 0] ?? '').text).toMatch(
      /goes to b2: the plan brings it from 0\.89 to 0\.92 × mean of cpu$/,
    );
  });

  it('as an exchange from a hot broker that a hard rule makes hotter still', () => {
    const input = clusterOf(['cpu'], { b0: { small: [10], rest: [5] }, b1: { giant: [20] }, b2: {} });
    const { made, explain } = explainer({
      ...input,
      placement: { of: Int32Array.of(-1, -1, 0), rules: [{ name: 'home', allowed: Uint8Array.of(1, 0, 0) }] },
    });

    expect(made.moves.map(({ reason }) => reason)).not.toContain('Relieve');
    expect(explain('small').text).toBe('small goes to b1 in exchange, so that another move fits');
  });

  it('with the hard rule that asks for it', () => {
    const { explain } = explainer({ ...HOT, roles: Uint8Array.of(0, 0, 0, BrokerRole.Draining) });

    expect(explain('v0').text).toMatch(/^v0 leaves b3, which is being drained, for b/);
  });
});

describe('why a topic stays', () => {
  it('because its broker is fine, or because it may not move', () => {
    const of = Uint8Array.from(HOT.topics, (topic) => Number(topic === 'u0'));
    const { explain } = explainer({ ...HOT, immovable: { of, reasons: ['SubscriptionWithoutCursor'] } });

    expect(explain('v0').text).toBe('v0 stays: b3 is within the band with it');
    expect(explain('u0').text).toBe('u0 may not move: SubscriptionWithoutCursor');
  });
});

describe('why a topic does not go to a broker', () => {
  const labels = [{ zone: 'a' }, { zone: 'b' }, { zone: 'a' }, { zone: 'b' }];

  it('because it goes there, is there, or need not', () => {
    const { whyNot } = explainer(HOT, { band: { above: 0.3, below: 0.3 } });

    expect(whyNot('big', 'b1')).toEqual({ code: 'Planned', text: 'the plan moves big to b1' });
    expect(whyNot('u0', 'b2').code).toBe('AlreadyThere');
    expect(whyNot('u0', 'b3')).toEqual({
      code: 'NotNeeded',
      text: 'b3 could take u0; the plan needs no further move of it',
    });
  });

  it('because it, or its own broker, would leave the band', () => {
    const { whyNot } = explainer(HOT);

    expect(whyNot('big', 'b2')).toEqual({
      code: 'LeavesBand',
      text: 'b2 would be at 2.00 × mean of cpu, and the band ends at 1.09',
    });
    const wide = explainer(HOT, { band: { above: 2, below: 0.09 } });
    expect(wide.whyNot('big', 'b3')).toMatchObject({ code: 'SourceLeavesBand' });
  });

  it('because of a hard rule, which is named', () => {
    const rules = [ruleByLabels('payments', labels, { zone: 'a' })];
    const ruled = {
      ...HOT,
      placement: { of: Int32Array.from(HOT.topics, (topic) => (topic === 'u0' ? 0 : -1)), rules },
    };
    const spread = {
      of: Int32Array.from(HOT.topics, (topic) => (['u0', 'v0'].includes(topic) ? 0 : -1)),
      groups: [{ name: 'shards', maxPerBroker: 1, maxPerDomain: 1 }],
      ...domainsByLabel(labels, 'zone'),
    };
    const roles = Uint8Array.of(0, 0, BrokerRole.Closed, BrokerRole.Draining);
    const onlyNew: PlanOptions = { mode: 'ScaleOut', scaleOutTo: [1] };

    expect(explainer(ruled).whyNot('u0', 'b3')).toEqual({
      code: 'NotAllowed',
      text: 'rule payments does not allow b3',
    });
    expect(explainer({ ...HOT, spread }).whyNot('u0', 'b3').text).toBe(
      'b3 already has as many topics of rule shards as it may',
    );
    expect(explainer({ ...HOT, spread }).whyNot('u0', 'b1').text).toBe(
      'b already has as many topics of rule shards as it may',
    );
    expect(explainer({ ...HOT, roles }).whyNot('t0', 'b2')).toEqual({
      code: 'BrokerClosed',
      text: 'b2 takes no topics now',
    });
    expect(explainer({ ...HOT, roles }).whyNot('t0', 'b3')).toEqual({
      code: 'BrokerDraining',
      text: 'b3 is being drained',
    });
    expect(explainer(HOT, onlyNew).whyNot('u0', 'b3').code).toBe('BrokerNotInScope');
    expect(explainer(HOT, { headroom: 0.305 }).whyNot('u0', 'b3').code).toBe('Headroom');
  });
});
