import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AgentReport, bounds, parseReport } from './agent-report.ts';
import { isProblem } from './problem.ts';

const report: AgentReport = {
  version: 1,
  pod: { name: 'broker-0', namespace: 'messaging', uid: '5b1f3c1e-0000-4000-8000-000000000000' },
  observedAt: 1_700_000_000_000,
  intervalSeconds: 2,
  broker: { pid: 42, startedAt: 1_699_999_000_000 },
  source: 'cgroup-v2',
  reason: null,
  cpu: { usageSeconds: 12.5, cores: 0.25, limitCores: 1.5 },
  memory: { workingSetBytes: 50_000_000, usageBytes: 80_000_000, limitBytes: null },
  node: { cores: 4, memoryBytes: 8_589_934_592 },
};

const unknown: AgentReport = {
  ...report,
  broker: null,
  source: null,
  reason: 'nothing listens on 10.0.1.7:6650',
  cpu: { usageSeconds: null, cores: null, limitCores: null },
  memory: { workingSetBytes: null, usageBytes: null, limitBytes: null },
};

function parse(value: unknown): ReturnType<typeof parseReport> {
  return parseReport(JSON.stringify(value));
}

describe('a report is read', () => {
  it.each([
    ['with all figures', report],
    ['with a nonce', { ...report, nonce: 'a-1' }],
    ['without a broker', unknown],
    ['of the process alone', { ...report, source: 'proc', reason: 'in the root cgroup' }],
  ])('%s', (_, value) => {
    expect(parse(value)).toEqual(value);
  });

  it('without the fields that a newer agent adds', () => {
    expect(parse({ ...report, topics: [], cpu: { ...report.cpu, throttledSeconds: 1 } })).toEqual(report);
  });
});

describe('a report is refused, and the field is named,', () => {
  it.each<[string, unknown, string]>([
    ['of another version', { ...report, version: 2 }, 'version: want 1, got 2'],
    ['that is a list', [], 'report: want an object'],
    ['without a pod', { ...report, pod: null }, 'pod: want an object'],
    ['with an empty uid', { ...report, pod: { ...report.pod, uid: '' } }, 'pod.uid'],
    ['with an endless name', { ...report, pod: { ...report.pod, name: 'x'.repeat(254) } }, 'pod.name'],
    ['with a time in words', { ...report, observedAt: '2024' }, 'observedAt: want a finite number'],
    ['with pid 0', { ...report, broker: { pid: 0, startedAt: 1 } }, 'broker.pid'],
    ['with half a pid', { ...report, broker: { pid: 1.5, startedAt: 1 } }, 'broker.pid'],
    ['with a made-up source', { ...report, source: 'guess' }, 'source: want cgroup-v1, cgroup-v2, proc or null'],
    ['with negative use', { ...report, cpu: { ...report.cpu, cores: -0.1 } }, 'cpu.cores'],
    ['with a missing figure', { ...report, memory: { usageBytes: 1, limitBytes: 1 } }, 'memory.workingSetBytes'],
    ['with an endless reason', { ...report, reason: 'x'.repeat(bounds.reasonCharacters + 1) }, 'reason'],
    ['with a nonce of other characters', { ...report, nonce: 'a b' }, 'nonce'],
    ['with a source but no broker', { ...report, broker: null }, 'source: must be null without a broker'],
    ['with figures but no source', { ...report, source: null, reason: 'x' }, 'usageSeconds: must be null'],
    ['of the process alone without a reason', { ...report, source: 'proc' }, 'reason: must be given'],
    ['without a source and without a reason', { ...unknown, reason: null }, 'reason: must be given'],
  ])('%s', (_, value, problem) => {
    expect(parse(value)).toEqual({ problem: expect.stringContaining(problem) });
  });

  it('with a number that JSON can write and a double cannot hold', () => {
    const text = JSON.stringify(report).replace('0.25', '1e999');

    expect(parseReport(text)).toEqual({ problem: expect.stringContaining('cpu.cores: want a finite number') });
  });

  it('that is no JSON', () => {
    expect(parseReport('<html>')).toEqual({ problem: expect.stringContaining('not JSON') });
  });

  it('that is longer than any report, before it is parsed', () => {
    const text = JSON.stringify(report) + ' '.repeat(bounds.reportCharacters);

    expect(parseReport(text)).toEqual({ problem: `longer than ${bounds.reportCharacters} characters` });
  });
});

describe('whatever comes over the wire', () => {
  const paths = [
    'version',
    'pod',
    'observedAt',
    'broker',
    'source',
    'reason',
    'cpu',
    'memory',
    'node',
    'nonce',
  ] as const;

  it('is a report or a problem, never an exception', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(isProblem(parseReport(text))).toBe(true);
      }),
    );
  });

  it('is a report only if every figure of it is finite and not negative', () => {
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue(), (field, value) => {
        const outcome = parse({ ...report, [field]: value });

        if (!isProblem(outcome)) {
          for (const figure of Object.values({ ...outcome.cpu, ...outcome.memory, ...outcome.node })) {
            expect(figure === null || (Number.isFinite(figure) && figure >= 0)).toBe(true);
          }
        }
      }),
    );
  });
});
