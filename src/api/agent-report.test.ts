import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AgentReport, bounds, parseReport, type TopicsReport, topicColumns } from './agent-report.ts';
import { exampleReport as report, exampleReportWithoutBroker as unknown } from './example-report.ts';
import { isProblem } from './problem.ts';

const { cpu, memory, disk, network } = report;
const topics = report.topics as TopicsReport;
const figures = topicColumns.map(() => 1);

function parse(value: unknown): ReturnType<typeof parseReport> {
  return parseReport(JSON.stringify(value));
}

const ofProcess: AgentReport = {
  ...report,
  identity: { state: 'unproven', reason: 'in the root cgroup' },
  reason: 'in the root cgroup',
  cpu: { ...cpu, source: 'proc', pressure: null },
  memory: { ...memory, source: 'proc', usageBytes: null },
};

const ofMachine: AgentReport = {
  ...unknown,
  cpu: { ...unknown.cpu, source: 'os', cores: 1 },
  memory: { ...unknown.memory, source: 'os', workingSetBytes: 1 },
};

describe('a report is read', () => {
  it.each<[string, AgentReport]>([
    ['with all figures', report],
    ['with a nonce', { ...report, nonce: 'a-1' }],
    ['without a broker', unknown],
    ['of the process alone', ofProcess],
    ['of the machine as a whole, without a broker', ofMachine],
    ['proven, and with a remark', { ...report, identity: { state: 'proven', reason: 'holds the agent too' } }],
    [
      'with the topics that changed, and those that went',
      { ...report, topics: { ...topics, complete: false, total: 9, gone: ['/default/old'] } },
    ],
  ])('%s', (_, value) => {
    expect(parse(value)).toEqual(value);
  });

  it('without the fields that a newer agent adds', () => {
    expect(parse({ ...report, gpu: {}, cpu: { ...cpu, bursts: 1 } })).toEqual(report);
  });

  it('with as many topics as a broker may serve', () => {
    const entries = Array.from({ length: bounds.topics }, (_, index) => [`/a/${index + 100_000}`, ...figures]);

    const outcome = parse({ ...report, topics: { ...topics, total: entries.length + 2, entries } });

    expect(isProblem(outcome) ? outcome.problem : outcome.topics?.entries.length).toBe(bounds.topics);
  });
});

describe('a report is refused, and the field is named,', () => {
  it.each<[string, unknown, string]>([
    ['of another version', { ...report, version: 1 }, 'version: want 2, got 1; use agent and operator of one release'],
    ['that is a list', [], 'report: want an object'],
    ['without a pod', { ...report, pod: null }, 'pod: want an object'],
    ['with an empty uid', { ...report, pod: { ...report.pod, uid: '' } }, 'pod.uid'],
    ['with an endless name', { ...report, pod: { ...report.pod, name: 'x'.repeat(254) } }, 'pod.name'],
    ['with a time in words', { ...report, observedAt: '2024' }, 'observedAt: want a finite number'],
    ['of no sample', { ...report, sequence: 0 }, 'sequence: want a whole number of at least 1'],
    ['without the agent’s start', { ...report, agentStartedAt: null }, 'agentStartedAt'],
    ['with a made-up mode', { ...report, mode: 'guess' }, 'mode: want one of self, shared-pid, host'],
    ['with a made-up identity', { ...report, identity: { state: 'likely', reason: null } }, 'identity.state'],
    ['with pid 0', { ...report, broker: { pid: 0, startedAt: 1 } }, 'broker.pid'],
    ['with half a pid', { ...report, broker: { pid: 1.5, startedAt: 1 } }, 'broker.pid'],
    ['with a made-up source', { ...report, cpu: { ...cpu, source: 'guess' } }, 'cpu.source: want one of cgroup-v1'],
    ['with negative use', { ...report, cpu: { ...cpu, cores: -0.1 } }, 'cpu.cores'],
    ['with a share above all', { ...report, cpu: { ...cpu, throttledShare: 1.1 } }, 'cpu.throttledShare: want a share'],
    [
      'with a pressure above all',
      { ...report, disk: { ...disk, pressure: { someShare: 2, fullShare: 0 } } },
      'disk.pressure.someShare: want a share',
    ],
    ['with half a kill', { ...report, memory: { ...memory, oomKills: 0.5 } }, 'memory.oomKills'],
    ['with a missing figure', { ...report, memory: { ...memory, workingSetBytes: undefined } }, 'workingSetBytes'],
    ['with an endless reason', { ...report, reason: 'x'.repeat(bounds.reasonCharacters + 1) }, 'reason'],
    ['with a nonce of other characters', { ...report, nonce: 'a b' }, 'nonce'],
    ['without a group', { ...report, network: undefined }, 'network: want an object'],
    ['with other columns', { ...report, topics: { ...topics, columns: ['cpu'] } }, 'topics.columns: want messagesIn'],
    ['with a figure short', { ...report, topics: { ...topics, entries: [['/a/b', 1]] } }, 'topics.entries[0]: want 8'],
    ['with a nameless topic', { ...report, topics: { ...topics, entries: [figures] } }, 'topics.entries[0]'],
    [
      'with too many topics',
      { ...report, topics: { ...topics, entries: Array(bounds.topics + 1).fill(null) } },
      'topics.entries: want a list of at most 20000',
    ],
    ['with half of completeness', { ...report, topics: { ...topics, complete: null } }, 'topics.complete'],
  ])('%s', (_, value, problem) => {
    expect(parse(value)).toEqual({ problem: expect.stringContaining(problem) });
  });

  it.each<[string, unknown, string]>([
    ['with figures of a process, but no process', { ...report, broker: null }, 'cpu.source: must be null without a b'],
    ['with figures but no source', { ...report, network: { ...network, source: null } }, 'network.receivedBytesPerS'],
    ['with pressure but no source', { ...report, disk: { ...unknown.disk, pressure: {} } }, 'disk.pressure.someShare'],
    ['with a mode but no broker', { ...unknown, mode: 'host' }, 'mode: must be null without a broker'],
    ['with a broker found in no way', { ...report, mode: null }, 'mode: must be null without a broker, and only then'],
    ['of the process alone without a reason', { ...ofProcess, reason: null }, 'reason: must be given when cpu.source'],
    ['without a source and without a reason', { ...unknown, reason: null }, 'reason: must be given'],
    ['unproven without a reason', { ...report, identity: { state: 'unproven', reason: null } }, 'identity.reason'],
    ['proven without a broker', { ...unknown, identity: { state: 'proven', reason: null } }, 'identity.state: must be'],
    ['proven without a cgroup', { ...ofProcess, identity: report.identity }, 'identity.state: must be unproven'],
    ['with neither topics nor a reason', { ...report, topics: null }, 'topicsReason: must be given when topics is'],
    ['with topics and a reason for none', { ...report, topicsReason: 'x' }, 'topicsReason'],
    ['of fewer topics than it lists', { ...report, topics: { ...topics, total: 2 } }, 'topics.total: want 3'],
    ['of more topics than it lists', { ...report, topics: { ...topics, total: 4 } }, 'topics.total: want 3'],
    [
      'of fewer topics than changed',
      { ...report, topics: { ...topics, complete: false, total: 2 } },
      'topics.total: want at least 3',
    ],
    ['complete and with topics gone', { ...report, topics: { ...topics, gone: [] } }, 'topics.gone: must be absent'],
    [
      'with a topic twice',
      { ...report, topics: { ...topics, total: 4, entries: [topics.entries[0], topics.entries[0]] } },
      'topics.entries: want ascending topics, got "/default/orders" too late',
    ],
  ])('as what cannot be true: %s', (_, value, problem) => {
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
  it('is a report or a problem, never an exception', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(isProblem(parseReport(text))).toBe(true);
      }),
    );
  });

  it('is a report only if every number in it is finite and not negative', () => {
    const paths = fc.constantFrom<(readonly string[])[]>(
      ...Object.entries(report).flatMap(([field, value]) => [
        [field],
        ...(typeof value === 'object' && value !== null ? Object.keys(value).map((key) => [field, key]) : []),
      ]),
    );

    fc.assert(
      fc.property(paths, fc.jsonValue(), ([field = '', key], value) => {
        const group = report[field as keyof AgentReport] as object;
        const outcome = parse({ ...report, [field]: key === undefined ? value : { ...group, [key]: value } });

        for (const figure of isProblem(outcome) ? [] : numbersIn(outcome)) {
          expect(Number.isFinite(figure) && figure >= 0).toBe(true);
        }
      }),
    );
  });
});

function numbersIn(value: unknown): readonly number[] {
  if (typeof value === 'number') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}
