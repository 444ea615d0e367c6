import { describe, expect, it } from 'vitest';
import { effectiveRebalance } from '../api/rebalance.ts';
import { examplePolicy } from '../api/rebalance-policy.ts';
import { noPolicy, readPolicy } from './policy-file.ts';

const HEAD = 'apiVersion: loadmanager.danube.io/v1alpha1\nkind: RebalancePolicy\n';

/** The lines of the spec, from line 4. */
function policy(...lines: readonly string[]) {
  return readPolicy(`${HEAD}spec:\n${lines.map((line) => `  ${line}\n`).join('')}`);
}

describe('a policy file', () => {
  it('gives the settings, defaults filled in', () => {
    const read = policy('rebalance:', '  aggressiveness: High', '  band: {abovePercent: 7}');

    expect(read).toMatchObject({
      rebalance: effectiveRebalance({ aggressiveness: 'High', band: { abovePercent: 7 } }),
      placement: {},
      ignored: [],
    });
  });

  it('may be complete, or JSON, or one of several documents', () => {
    const json = JSON.stringify(examplePolicy);

    expect(readPolicy(json)).toMatchObject({ rebalance: noPolicy.rebalance, ignored: [] });
    expect(readPolicy(`kind: Service\n---\n${HEAD}spec: {mode: Auto}\n---\n`)).toMatchObject({ ignored: [] });
  });

  it('may say what concerns a live cluster, right or wrong', () => {
    expect(policy('mode: 17', 'etcd: nowhere', 'failover: {samePodWaitSeconds: -1}')).toMatchObject({ ignored: [] });
  });

  it('names the fields that mean nothing, each with its line', () => {
    expect(
      policy(
        'drain: {}',
        'rebalance:',
        '  windows:',
        '    - {name: a, schedule: 0 2 * * *, durationSeconds: 60, zone: x}',
      ),
    ).toMatchObject({
      ignored: ['line 4: spec.drain is not a field', 'line 7: spec.rebalance.windows[0].zone is not a field'],
    });
  });
});

describe('a policy file is refused', () => {
  it.each([
    [
      ['rebalance: {aggressiveness: Extreme}'],
      'line 4: spec.rebalance.aggressiveness: expected one of "Low"|"Medium"|"High", found "Extreme"',
    ],
    [
      ['rebalance:', '  band:', '    abovePercent: 900'],
      'line 6: spec.rebalance.band.abovePercent: expected number to be <=100, found 900',
    ],
    [
      ['rebalance:', '  band:', '    abovePercent: 9 %'],
      'line 6: spec.rebalance.band.abovePercent: expected number, found "9 %"',
    ],
    [['rebalance: 3'], 'line 4: spec.rebalance: expected object, found 3'],
    [
      ['rebalance:', '  limits: {maxConcurrentMoves: 9, maxMovesPerHour: 3}'],
      /^line 5: spec\.rebalance\.limits: maxConcurrentMoves is above maxMovesPerHour.*found \{/,
    ],
    [
      [
        'rebalance:',
        '  windows:',
        '    - {name: night, schedule: 0 2 * * *, timeZone: Mars/Olympus, durationSeconds: 60}',
      ],
      'line 6: spec.rebalance.windows[0].timeZone: expected an IANA time zone such as Europe/Berlin, found "Mars/Olympus"',
    ],
    [
      [
        'placement:',
        '  rules:',
        '    - {name: fast, topicPatterns: [/a/*], brokerSelector: {matchLabels: {no key: x}}}',
      ],
      /^line 6: spec\.placement\.rules\[0\]\.brokerSelector\.matchLabels\.no key: write label keys/,
    ],
    [
      ['placement:', '  rules:', '    - name: fast'],
      /^line 6: spec\.placement\.rules\[0\]\.topicPatterns: expected array, found nothing\nline 6: /,
    ],
    [['rebalance: {', '  band: }'], /^line 5: /],
    [['rebalance: {}', 'rebalance: {}'], 'line 5: Map keys must be unique'],
  ])('with %j', (lines, problem) => {
    expect(policy(...lines)).toEqual({
      problem: typeof problem === 'string' ? problem : expect.stringMatching(problem),
    });
  });

  it.each([
    ['', 'expected one document with "kind: RebalancePolicy", found 0'],
    ['kind: Service', 'expected one document with "kind: RebalancePolicy", found 0'],
    ['just text', 'expected one document with "kind: RebalancePolicy", found 0'],
    [`${HEAD}spec: {}\n---\n${HEAD}spec: {}`, 'expected one document with "kind: RebalancePolicy", found 2'],
    [HEAD, 'line 1: spec: expected the fields of a policy, found nothing'],
    [
      'apiVersion: v2\nkind: RebalancePolicy',
      'line 1: apiVersion: expected loadmanager.danube.io/v1alpha1, found "v2"',
    ],
  ])('when it is %j', (text, problem) => {
    expect(readPolicy(text)).toEqual({ problem });
  });

  it('when it would grow without end, or go down without end', () => {
    const levels = Array.from(
      { length: 12 },
      (_, n) => `l${n + 1}: &l${n + 1} [${Array(9).fill(`*l${n}`).join(', ')}]`,
    );

    expect(readPolicy(`${HEAD}l0: &l0 [x]\n${levels.join('\n')}\nspec: {}`)).toEqual({
      problem: expect.stringMatching(/^expected a policy: Excessive alias count/),
    });
    expect(readPolicy(`${HEAD}spec: ${'['.repeat(200_000)}`)).toEqual({
      problem: expect.stringMatching(/lists in lists|line \d+/),
    });
  });
});
