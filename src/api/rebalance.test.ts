import { describe, expect, it } from 'vitest';
import { aggressivenessLevels, presetRows, presets } from './presets.ts';
import { effectiveRebalance, placement, rebalance, rebalanceStatus } from './rebalance.ts';

function problemsOf(schema: typeof rebalance | typeof placement, block: unknown): readonly string[] {
  const read = schema.safeParse(block);
  return read.success ? [] : read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe('the presets', () => {
  it.each(aggressivenessLevels)('%s is within the bounds of every field', (level) => {
    expect(problemsOf(rebalance, { aggressiveness: level, ...presets[level] })).toEqual([]);
  });

  it('allow more and tolerate less from Low to High', () => {
    const [low, medium, high] = aggressivenessLevels.map((level) => presets[level]);

    expect(low?.band.abovePercent).toBeGreaterThan(medium?.band.abovePercent ?? 0);
    expect(medium?.band.abovePercent).toBeGreaterThan(high?.band.abovePercent ?? 0);
    expect(low?.limits.maxMovesPerHour).toBeLessThan(medium?.limits.maxMovesPerHour ?? 0);
    expect(medium?.limits.maxMovesPerHour).toBeLessThan(high?.limits.maxMovesPerHour ?? 0);
  });

  it('are documented with one row per setting', () => {
    expect(presetRows()).toContainEqual(['`band.abovePercent`', '20', '9', '5']);
    expect(presetRows()).toHaveLength(9);
  });
});

describe('what a policy leaves out', () => {
  it('is Medium', () => {
    expect(effectiveRebalance()).toEqual({
      aggressiveness: 'Medium',
      ...presets.Medium,
      connectedTopics: 'Never',
      excludeTopicPatterns: [],
      windows: [],
    });
  });

  it('comes from the preset, field by field', () => {
    const effective = effectiveRebalance({ aggressiveness: 'High', band: { belowPercent: 50 } });

    expect(effective.band).toEqual({ abovePercent: 5, belowPercent: 50 });
    expect(effective.limits).toEqual(presets.High.limits);
  });

  it('gives way to what the user wrote, where the two contradict each other', () => {
    expect(effectiveRebalance({ limits: { maxMovesPerHour: 2 } }).limits.maxConcurrentMoves).toBe(2);
    expect(effectiveRebalance({ limits: { maxConcurrentMoves: 100 } }).limits.maxMovesPerHour).toBe(100);
  });
});

describe('the limit on filling brokers', () => {
  it('is none unless it is written, at every level, and the status shows it', () => {
    expect(effectiveRebalance({ aggressiveness: 'High' }).limits).not.toHaveProperty('maxBrokerUtilizationPercent');

    const effective = effectiveRebalance({ limits: { maxBrokerUtilizationPercent: 80 } });

    expect(rebalanceStatus(effective).limits).toEqual({ ...presets.Medium.limits, maxBrokerUtilizationPercent: 80 });
  });
});

describe('a policy is refused', () => {
  it('when a limit can never count', () => {
    expect(problemsOf(rebalance, { limits: { maxConcurrentMoves: 5, maxMovesPerHour: 4 } })).toEqual([
      expect.stringMatching(/^limits: maxConcurrentMoves is above maxMovesPerHour.*lower the one or raise the other$/),
    ]);
  });

  it.each(['payments/*', '/payments', '/a/b/c', '/a b/c', ''])('when %j is to be a pattern', (pattern) => {
    expect(problemsOf(rebalance, { excludeTopicPatterns: [pattern] })).toEqual([
      expect.stringMatching(/^excludeTopicPatterns\.0: write \/<namespace>\/<topic>/),
    ]);
  });

  it.each(['0 2 * *', '0 0 2 * * *', '@daily', '0 2 L * *', '0 2 * * 1#2', '0  2 * * *', '2026-01-01T00:00:00'])(
    'when %j is to be a schedule',
    (schedule) => {
      expect(problemsOf(rebalance, { windows: [{ name: 'night', schedule, durationSeconds: 3600 }] })).toEqual([
        expect.stringMatching(/^windows\.0\.schedule: write five fields of cron/),
      ]);
    },
  );

  it.each(['0 2 * * *', '*/15 8-17 1,15 JAN-MAR MON-FRI', '5 0 * * 0'])('but not when it is %j', (schedule) => {
    expect(problemsOf(rebalance, { windows: [{ name: 'night', schedule, durationSeconds: 3600 }] })).toEqual([]);
  });

  it('when two windows or two rules have the same name', () => {
    const window = { name: 'night', schedule: '0 2 * * *', durationSeconds: 3600 };
    const rule = { name: 'fast', topicPatterns: ['/a/*'], brokerSelector: { matchLabels: { tier: 'fast' } } };

    expect(problemsOf(rebalance, { windows: [window, window] })).toEqual([
      'windows: give each window a name of its own',
    ]);
    expect(problemsOf(placement, { rules: [rule, rule] })).toEqual(['rules: give each rule a name of its own']);
  });

  const spread = { name: 'orders', topicPatterns: ['/shop/*'] };
  const zone = { topologyKey: 'topology.kubernetes.io/zone', maxPerDomain: 2 };

  it.each([
    ['without a limit', spread, 'spread.0: write maxPerBroker, or maxPerDomain with topologyKey'],
    [
      'with a domain and no number',
      { ...spread, maxPerBroker: 1, topologyKey: 'zone' },
      'spread.0: write topologyKey and maxPerDomain together',
    ],
    [
      'with a number of no domain',
      { ...spread, maxPerDomain: 1 },
      'spread.0: write topologyKey and maxPerDomain together',
    ],
    [
      'with more on a broker than in its domain',
      { ...spread, ...zone, maxPerBroker: 3 },
      'spread.0: maxPerBroker is above maxPerDomain',
    ],
    [
      'with a domain that is no label',
      { ...spread, ...zone, topologyKey: 'a zone' },
      'spread.0.topologyKey: write label keys as the Pods have them',
    ],
  ])('when a spread rule is %s', (_what, rule, problem) => {
    expect(problemsOf(placement, { spread: [rule] })).toEqual([expect.stringContaining(problem)]);
  });

  it('when spread rules have different domains, or the name of another rule', () => {
    const [first, second] = [
      { ...spread, ...zone },
      { ...spread, ...zone, name: 'carts', topologyKey: 'rack' },
    ];
    const rule = { ...spread, brokerSelector: { matchLabels: { tier: 'fast' } } };

    expect(problemsOf(placement, { spread: [first, second] })).toEqual([
      'spread: write the same topologyKey in all spread rules: topics are kept apart by one kind of domain',
    ]);
    expect(problemsOf(placement, { spread: [first, first] })).toEqual(['spread: give each rule a name of its own']);
    expect(problemsOf(placement, { spread: [first], rules: [rule] })).toEqual([
      ': give each rule of rules and of spread a name of its own: messages name them',
    ]);
  });

  it('but not when they say what they mean', () => {
    const byBroker = {
      ...spread,
      name: 'by-broker',
      scope: 'Topics',
      maxPerBroker: 1,
      whenUnsatisfiable: 'AssignAnyway',
    };

    expect(problemsOf(placement, { spread: [{ ...spread, ...zone, maxPerBroker: 1 }, byBroker] })).toEqual([]);
  });
});
