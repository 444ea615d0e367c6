/** Whatever is in a file, the answer is a plan or a problem in words, never an exception. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { isProblem } from '../api/problem.ts';
import { plan } from '../core/planner/plan.ts';
import { createSnapshotReader } from '../core/planner/snapshot-reader.ts';
import { applyPolicy } from '../core/policy/apply-policy.ts';
import { noPolicy, readPolicy } from './policy-file.ts';

const HEADER = {
  kind: 'ClusterSnapshot',
  version: 1,
  resources: ['cpu', 'memory'],
  brokers: [
    { id: 'b0', capacity: [4, 16] },
    { id: 'b1', capacity: [1e-9, 1e18], state: 'Cordoned' },
    { id: 'b2', capacity: [8, 32] },
  ],
};

/** The cases are many, the machine may be busy. */
const PATIENCE_MS = 60_000;

/** Mostly right, so that what is odd gets deep. */
const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom('', '__proto__', 'constructor', -0, 1e308, Number.MAX_SAFE_INTEGER),
);
const topicLine = fc.record(
  {
    topic: fc.oneof({ weight: 40, arbitrary: fc.string({ unit: 'binary', minLength: 1 }) }, odd),
    broker: fc.oneof({ weight: 40, arbitrary: fc.constantFrom('b0', 'b1', 'b2') }, odd),
    load: fc.oneof({ weight: 40, arbitrary: fc.tuple(fc.double({ min: 0, max: 1e18, noNaN: true }), fc.nat()) }, odd),
    reliable: fc.oneof({ weight: 40, arbitrary: fc.boolean() }, odd),
    connections: fc.oneof({ weight: 40, arbitrary: fc.nat() }, odd),
    movable: fc.oneof({ weight: 40, arbitrary: fc.constantFrom(true, false, 'Backlog') }, odd),
    ageSeconds: fc.oneof({ weight: 40, arbitrary: fc.nat() }, odd),
  },
  { requiredKeys: ['topic', 'broker', 'load'] },
);

describe('a snapshot', () => {
  it(
    'of any lines is a plan or a problem with its line',
    () => {
      const lines = fc.array(fc.oneof({ weight: 40, arbitrary: topicLine }, odd), { maxLength: 20 });
      let planned = 0;
      fc.assert(
        fc.property(lines, fc.boolean(), (topics, isWhole) => {
          const reader = createSnapshotReader();
          for (const line of isWhole ? [HEADER, ...topics] : topics) reader.line(JSON.stringify(line));
          const snapshot = reader.finish();
          if (isProblem(snapshot)) {
            expect(snapshot.problem).toMatch(/^(line \d+: |the snapshot is empty)/);
            return;
          }
          const { rebalance, placement } = noPolicy;
          const { input, options } = applyPolicy({ snapshot, rebalance, placement, mode: 'Full', brokers: [] });
          const made = plan(input, options);
          planned++;
          expect(made.after.every(({ maxOverMean, cv }) => Number.isFinite(maxOverMean) && Number.isFinite(cv))).toBe(
            true,
          );
        }),
        { numRuns: 300 },
      );
      expect(planned).toBeGreaterThan(50);
    },
    PATIENCE_MS,
  );
});

describe('a policy', () => {
  const blocks = fc.record(
    {
      rebalance: fc.oneof(
        odd,
        fc.dictionary(
          fc.constantFrom(
            'aggressiveness',
            'band',
            'limits',
            'windows',
            'connectedTopics',
            'excludeTopicPatterns',
            'x',
          ),
          odd,
        ),
      ),
      placement: fc.oneof(odd, fc.record({ rules: odd })),
    },
    { requiredKeys: [] },
  );

  it(
    'of any content is one, or a problem',
    () => {
      fc.assert(
        fc.property(fc.oneof(blocks, odd), (spec) => {
          const text = stringify({ apiVersion: 'loadmanager.danube.io/v1alpha1', kind: 'RebalancePolicy', spec });
          const policy = readPolicy(text);
          if (isProblem(policy)) expect(policy.problem).toMatch(/^(line \d+: |expected )/);
          else expect(policy.rebalance.limits.maxMovesPerHour).toBeGreaterThan(0);
        }),
        { numRuns: 300 },
      );
    },
    PATIENCE_MS,
  );

  it(
    'of any text is one, or a problem',
    () => {
      const fragment = fc.constantFrom(
        'kind: RebalancePolicy',
        'spec:',
        '  rebalance:',
        '- ',
        '{',
        '[',
        '&a',
        '*a',
        '!!x',
        '"',
        "'",
        '\n',
        '---\n',
        ': ',
        '<<: *a',
        '%YAML 9',
        '\t',
        '\u0000',
        '|',
        '>',
      );
      fc.assert(
        fc.property(fc.array(fragment, { maxLength: 30 }), (fragments) => {
          const policy = readPolicy(fragments.join(''));
          if (isProblem(policy)) expect(policy.problem).not.toBe('');
          else expect(policy.ignored).toBeInstanceOf(Array);
        }),
        { numRuns: 1_000 },
      );
    },
    PATIENCE_MS,
  );
});
