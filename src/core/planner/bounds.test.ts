/** What sets the balance, each case with the one constraint that binds. */
import { describe, expect, it } from 'vitest';
import { constrainedCluster, messagingCluster } from '../../../bench/planner/workloads.ts';
import { clusterOf, topicsOf } from './cluster-builder.ts';
import { BrokerRole, type PlannerInput, type PlanOptions } from './input.ts';
import { domainsByLabel, ruleByLabels } from './labels.ts';
import { plan } from './plan.ts';

const ZONES = [{ zone: 'a' }, { zone: 'a' }, { zone: 'b' }];

/** Two brokers in zone a, one in zone b that holds `load` of 1 each, all kept in zone b. */
function zoneCase(load: number): PlannerInput {
  const input = clusterOf(['memory'], {
    b0: topicsOf('t', 20, [1]),
    b1: topicsOf('u', 20, [1]),
    b2: topicsOf('v', load, [1]),
  });
  const rules = [ruleByLabels('zone b', ZONES, { zone: 'b' })];
  return { ...input, placement: { of: Int32Array.from(input.owner, (owner) => (owner === 2 ? 0 : -1)), rules } };
}

describe('the lowest max/mean, and what sets it', () => {
  it('is the mean where nothing binds', () => {
    const made = plan(clusterOf(['cpu'], { b0: topicsOf('t', 20, [1]), b1: {} }));

    expect(made.bounds.balance).toEqual([1]);
    expect(made.bindingConstraint).toBe('none: every resource of every broker is within the band');
  });

  it('is the mean of the brokers that a rule allows', () => {
    const made = plan(zoneCase(35));

    expect(made.bounds.balance[0]).toBeCloseTo(35 / 25);
    expect(made.after[0]?.maxOverMean).toBeCloseTo(35 / 25);
    expect(made.bindingConstraint).toBe('rule zone b has 1 brokers: memory cannot go below 1.40 × mean');
  });

  it('adds up rules that keep topics on the same brokers', () => {
    const input = zoneCase(35);
    const rules = [...(input.placement?.rules ?? []), ruleByLabels('tenant', ZONES, { zone: 'b' })];
    const of = (input.placement?.of ?? new Int32Array()).map((rule, topic) => (rule === 0 ? topic % 2 : rule));

    expect(plan({ ...input, placement: { of, rules } }).bounds.balance[0]).toBeCloseTo(35 / 25);
  });

  it('is the largest topic on the largest broker that it may use', () => {
    const input = clusterOf(['cpu'], { b0: { big: [60] }, b1: topicsOf('t', 40, [1]), b2: {} }, { b2: [200] });

    // Mean 0.25: 60 on a broker of 200 is 1.2 of it.
    expect(plan(input).bounds.balance[0]).toBeCloseTo(1.2);
  });

  it('is two of the N + 1 largest topics on one of N brokers', () => {
    const made = plan(clusterOf(['cpu'], { b0: { t0: [40], t1: [40] }, b1: { t2: [40] } }));

    expect(made.bounds.balance[0]).toBeCloseTo(80 / 60);
    expect(made.moves).toEqual([]);
    expect(made.bindingConstraint).toBe('the 3 largest topics on 2 brokers: cpu cannot go below 1.33 × mean');
  });

  it('is what closed brokers leave to the others', () => {
    const input = clusterOf(['cpu'], { b0: topicsOf('t', 30, [1]), b1: topicsOf('u', 30, [1]), b2: {} });
    const made = plan({ ...input, roles: Uint8Array.of(0, 0, BrokerRole.Closed) });

    expect(made.bounds.balance[0]).toBeCloseTo(30 / 20);
    expect(made.bindingConstraint).toBe('only 2 of 3 brokers may receive: cpu cannot go below 1.50 × mean');
  });

  it('names a topic that cannot leave a draining broker, before all else', () => {
    const input = clusterOf(['cpu'], { b0: { stuck: [5], free: [5] }, b1: topicsOf('t', 10, [1]) });
    const made = plan({
      ...input,
      roles: Uint8Array.of(BrokerRole.Draining, 0),
      immovable: { of: Uint8Array.from(input.topics, (topic) => Number(topic === 'stuck')), reasons: ['Backlog'] },
    });

    expect(made.blocked).toEqual([{ topic: 0, wanted: 'Drain', because: 'Backlog' }]);
    expect(made.bindingConstraint).toBe('topic stuck cannot leave broker b0 (Drain): Backlog');
  });

  it('is right with all constraints at once: zone, spread, headroom, drain, pinned load and sizes', () => {
    const labels = ['a', 'a', 'b', 'b', 'c'].map((zone) => ({ zone }));
    const input = clusterOf(
      ['cpu', 'memory'],
      {
        b0: topicsOf('s', 30, [1, 2]),
        b1: topicsOf('t', 30, [1, 1]),
        b2: topicsOf('u', 10, [1, 1]),
        b3: {},
        b4: topicsOf('v', 10, [1, 1]),
      },
      { b2: [200, 200] },
    );
    const isPinned = Uint8Array.from(input.topics, (topic) =>
      Number(topic.startsWith('s') && Number(topic.slice(1)) < 25),
    );
    const ruled = Int32Array.from(input.topics, (topic) => (topic.startsWith('t') ? 0 : -1));
    const made = plan(
      {
        ...input,
        roles: Uint8Array.of(0, 0, 0, 0, BrokerRole.Draining),
        immovable: { of: isPinned, reasons: ['Excluded'] },
        placement: { of: ruled, rules: [ruleByLabels('zone a', labels, { zone: 'a' })] },
        spread: {
          of: Int32Array.from(input.topics, (topic) => (topic.startsWith('v') ? 0 : -1)),
          groups: [{ name: 'v', maxPerBroker: 4 }],
          ...domainsByLabel(labels, 'zone'),
        },
      },
      { headroom: 0.85 },
    );

    // 110 of memory on 500: the 25 pinned topics put 50 on b0, of 100.
    expect(made.bounds.balance[1]).toBeCloseTo(50 / (110 / 5));
    expect(made.after[1]?.maxOverMean).toBeCloseTo(50 / (110 / 5));
    expect(made.bindingConstraint).toBe('what may not move from broker b0: memory cannot go below 2.27 × mean');
    expect(made.blocked).toEqual([]);
  });
});

/** Written from the definition: the largest topic of each resource on the largest broker, of the mean. */
function largestTopics(input: PlannerInput): readonly { readonly topic: number; readonly level: number }[] {
  const width = input.resources.length;
  return input.resources.map((_, resource) => {
    const column = (values: Float64Array): number[] => [...values].filter((_, at) => at % width === resource);
    const loads = column(input.loads);
    const capacity = column(input.capacity);
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
    const most = Math.max(...loads);
    const mean = sum(loads) / sum(capacity);
    return { topic: loads.indexOf(most), level: most / (mean * Math.max(...capacity)) };
  });
}

describe('what keeps a plan from being better, where no bound does,', () => {
  const hot = { b0: topicsOf('t', 32, [1]), b1: topicsOf('u', 19, [1]), b2: topicsOf('v', 9, [1]) };

  it.each<{ name: string; input: PlannerInput; options: PlanOptions; says: string }>([
    {
      name: 'the mode, where only what must leave moves',
      input: clusterOf(['cpu'], hot),
      options: { mode: 'Drain' },
      says: 'broker b0 stays at 1.60 × mean of cpu: only what must leave its broker moves, nothing for balance',
    },
    {
      name: 'that mode also beside a topic that sets a bound',
      input: clusterOf(['cpu'], { b0: { giant: [60] }, b1: topicsOf('u', 30, [1]), b2: {} }),
      options: { mode: 'Drain' },
      says: 'broker b0 stays at 2.00 × mean of cpu: only what must leave its broker moves, nothing for balance',
    },
    {
      name: 'a broker that takes no topics',
      input: {
        ...clusterOf(['cpu'], { b0: topicsOf('t', 21, [1]), b1: topicsOf('u', 21, [1]), b2: topicsOf('v', 18, [1]) }),
        roles: Uint8Array.of(0, 0, BrokerRole.Closed),
      },
      options: {},
      says: 'broker b2 stays at 0.90 × mean of cpu: it takes no topics now',
    },
    {
      name: 'a target of a scale-out that takes no topics',
      input: { ...clusterOf(['cpu'], hot), roles: Uint8Array.of(0, 0, BrokerRole.Closed) },
      options: { mode: 'ScaleOut', scaleOutTo: [2] },
      says: 'broker b0 stays at 1.60 × mean of cpu: no broker may receive topics',
    },
    {
      name: 'the scope of a scale-out',
      input: clusterOf(['cpu'], { b0: topicsOf('t', 21, [1]), b1: topicsOf('u', 18, [1]), b2: topicsOf('v', 21, [1]) }),
      options: { mode: 'ScaleOut', scaleOutTo: [2] },
      says: 'broker b1 stays at 0.90 × mean of cpu: this plan moves topics only to others',
    },
    {
      name: 'nothing, where none is above the band and none has to be above its floor',
      input: clusterOf(['cpu'], hot),
      options: { mode: 'HotSpots', band: { above: 0.6, below: 0.1 } },
      says: 'none: no broker is above the band',
    },
    {
      name: 'the band, where a topic fits nowhere',
      input: clusterOf(['cpu'], { b0: topicsOf('t', 3, [1]), b1: topicsOf('u', 2, [1]) }),
      options: { band: { above: 0.05, below: 0.15 } },
      says: 'broker b0 stays at 1.20 × mean of cpu: its largest movable topic is t0; no broker takes it: 1 would leave the band',
    },
  ])('is $name', ({ input, options, says }) => {
    expect(plan(input, options).bindingConstraint).toBe(says);
  });
});

describe('generated clusters', () => {
  const shape = { brokers: 60, topics: 6_000, width: 4, emptyBrokers: 6 } as const;

  it.each([
    { name: 'equal brokers', sizes: [1] },
    { name: 'brokers of 1:1:2', sizes: [1, 1, 2] },
  ])('with uncapped heavy tails on $name are bound by their largest topic, which is named', ({ sizes }) => {
    const input = messagingCluster({ ...shape, sizes, tail: { kind: 'LogNormal', sigma: 2 } }, 5);
    const largest = largestTopics(input);
    const tightest = largest.reduce((best, one) => (one.level > best.level ? one : best));

    const made = plan(input);

    for (const [resource, { level }] of largest.entries()) expect(made.bounds.balance[resource]).toBeCloseTo(level);
    expect(made.bindingConstraint).toBe(
      `topic ${input.topics[tightest.topic]} alone: ${input.resources[largest.indexOf(tightest)]} cannot go below ${tightest.level.toFixed(2)} × mean`,
    );
    expect(made.after[largest.indexOf(tightest)]?.maxOverMean).toBeLessThan(1.1 * tightest.level);
  });

  it('of 1:1:2 with capped topics have no bound but the mean, and none binds', () => {
    const sizes = [1, 1, 2];
    const made = plan(messagingCluster({ ...shape, sizes, tail: { kind: 'Zipf', exponent: 0.9 }, cap: 0.1 }, 5));

    expect(made.bounds.balance).toEqual([1, 1, 1, 1]);
    expect(made.inBand).toBe(true);
    expect(made.bindingConstraint).toBe('none: every resource of every broker is within the band');
    expect(made.gap.balance.every((gap) => gap <= 0.09 + 1e-9)).toBe(true);
  });

  it('with all constraints at once name what stays against a rule, and follow every other rule', () => {
    const input = constrainedCluster(1);

    const made = plan(input, { headroom: 0.9 });

    expect(made.bindingConstraint).toMatch(
      /^topic \S+ and \d+ more cannot leave broker b\d+ \(\w+(, rule [^)]+)?\): Excluded$/,
    );
    expect(new Set(made.blocked.map(({ because }) => because))).toEqual(new Set(['Excluded']));
    for (const { topic, to } of made.moves) {
      const rule = input.placement?.rules[input.placement.of[topic] ?? -1];
      expect(rule?.allowed[to] ?? 1).toBe(1);
      expect(input.roles?.[to]).toBe(BrokerRole.Active);
    }
    expect(made.moves.length / made.bounds.moves).toBeLessThan(1.4);
  });
});

describe('the fewest moves', () => {
  it('count what the others need where a giant topic keeps one broker outside', () => {
    const input = clusterOf(['cpu'], {
      b0: { giant: [200] },
      b1: topicsOf('t', 80, [1]),
      b2: topicsOf('u', 80, [1]),
      ...Object.fromEntries(['b3', 'b4', 'b5', 'b6'].map((broker) => [broker, {}])),
    });

    const made = plan(input, { mode: 'HotSpots' });

    // The band ends at 1.09 × 360 / 7 = 56.06: 24 must leave b1, 24 b2, and one b0. One of the three may stay outside, in any plan.
    expect(made.moves.length).toBe(48);
    expect(made.bounds.moves).toBe(25);
  });
});
