import { describe, expect, it } from 'vitest';
import type { AgentReport, TopicEntry } from '../api/agent-report.ts';
import { exampleReport } from '../api/example-report.ts';
import { type AgentRecord, noRecord, noteFailure, noteReport, noteUnchanged } from './agent-record.ts';

const WALL = exampleReport.observedAt;

function noteAll(...reports: readonly Partial<AgentReport>[]): AgentRecord {
  let record = noRecord;
  for (const [index, report] of reports.entries()) {
    record = noteReport(record, { ...exampleReport, ...report }, { now: 1000 * index, wallNow: WALL });
  }
  return record;
}

describe('what is kept of an agent', () => {
  it('is its last sample, without what only its transport needs', () => {
    const { last, failure } = noteAll({ nonce: 'n' }, { sequence: 8, nonce: 'm' });

    expect(last).toMatchObject({ seenAt: 1000, isFollowing: true, contradiction: undefined, aheadMs: 0 });
    expect(last?.sample).toMatchObject({ sequence: 8, cpu: exampleReport.cpu });
    expect(Object.keys(last?.sample ?? {})).not.toEqual(expect.arrayContaining(['nonce']));
    expect(failure).toBeUndefined();
  });

  it('dates a sample by its first coming, however often it comes', () => {
    const { last } = noteAll({}, { sequence: 8 }, { sequence: 8 }, { sequence: 8, observedAt: WALL + 1 });

    expect(last?.seenAt).toBe(1000);
  });

  it('takes the same number of another run of the agent for another sample', () => {
    expect(noteAll({}, { agentStartedAt: WALL }).last?.seenAt).toBe(1000);
  });

  it('knows of the very first sample only that it came', () => {
    expect(noteAll({}).last?.isFollowing).toBe(false);
  });

  it('notes how far the clock of the sample is off', () => {
    expect(noteAll({ observedAt: WALL + 60_000 }).last?.aheadMs).toBe(60_000);
    expect(noteAll({ observedAt: WALL - 60_000 }).last?.aheadMs).toBe(-60_000);
  });

  it('keeps the last sample through failures, and forgets the failure with the next answer', () => {
    const before = noteAll({});
    const failed = noteFailure(before, { kind: 'Unanswered', message: 'timed out' });

    expect(failed).toEqual({ last: before.last, failure: { kind: 'Unanswered', message: 'timed out' } });
    expect(noteUnchanged(failed)).toEqual(before);
    expect(noteReport(failed, exampleReport, { now: 9000, wallNow: WALL })).toEqual(before);
    expect(noteFailure(noRecord, { kind: 'Unanswered', message: 'refused' }).last).toBeUndefined();
  });
});

describe('two samples', () => {
  const { cpu, memory } = exampleReport;
  const less = { cpu: { ...cpu, usageSeconds: 12 }, sequence: 8 };

  it.each<[string, Partial<AgentReport>, RegExp]>([
    ['CPU time went back', less, /cpu.usageSeconds went back from 12.5 to 12 .*restarted/],
    [
      'throttled time went back',
      { cpu: { ...cpu, throttledSeconds: 0 }, sequence: 8 },
      /cpu.throttledSeconds went back from 3 to 0/,
    ],
    [
      'kills went back after some were counted',
      { memory: { ...memory, oomKills: -1 }, sequence: 8 },
      /memory.oomKills went back from 0 to -1/,
    ],
    ['an older one comes later', { sequence: 3 }, /sample 3 came after sample 7/],
    ['the agent was restarted, and CPU time went back', { ...less, sequence: 1, agentStartedAt: WALL }, /usageSeconds/],
  ])('contradict each other when %s', (_what, next, message) => {
    expect(noteAll({}, next).last?.contradiction).toMatch(message);
  });

  it.each<[string, Partial<AgentReport>]>([
    ['the broker was restarted', { ...less, broker: { pid: 43, startedAt: WALL } }],
    ['the broker was restarted under the same pid', { ...less, broker: { pid: 42, startedAt: WALL } }],
    ['the broker is gone', { ...less, broker: null }],
    ['the agent found another way to measure', { ...less, cpu: { ...less.cpu, source: 'proc' } }],
    ['the counter is unknown now', { sequence: 8, cpu: { ...cpu, usageSeconds: null } }],
    ['the counter was rounded', { sequence: 8, cpu: { ...cpu, usageSeconds: 12.4999 } }],
    ['the agent was restarted', { sequence: 1, agentStartedAt: WALL }],
  ])('do not when %s', (_what, next) => {
    expect(noteAll({}, next).last?.contradiction).toBeUndefined();
  });

  it('are judged pair by pair: after a contradiction the next one counts again', () => {
    expect(noteAll({}, less, { ...less, sequence: 9 }).last?.contradiction).toBeUndefined();
  });
});

describe('of the topics', () => {
  const entry = (topic: string, cpu: number | null, bytesOut: number | null = 10): TopicEntry => [
    topic,
    1,
    2,
    3,
    bytesOut,
    1,
    1,
    5,
    cpu,
  ];

  function summaryOf(entries: readonly TopicEntry[], rest: readonly (number | null)[] = [0, 0, 7, 100, 0, 0, 0, 0]) {
    const { topics } = exampleReport;
    if (topics === null) throw new Error('the example has topics');
    return noteAll({ topics: { ...topics, entries, total: entries.length + 1, rest: { topics: 1, figures: rest } } })
      .last?.sample.topics;
  }

  it('only those that cost most are kept, the costliest first, and sums of all', () => {
    const entries = Array.from({ length: 30 }, (_, index) =>
      entry(`/default/${String(index).padStart(2, '0')}`, index === 3 ? null : index / 100),
    );

    const summary = summaryOf(entries);

    expect(summary?.busiest.map(({ topic }) => topic)).toEqual(
      Array.from({ length: 10 }, (_, index) => `/default/${29 - index}`),
    );
    expect(summary?.busiest[0]).toEqual({
      topic: '/default/29',
      cpuCores: 0.29,
      bytesInPerSecond: 2,
      bytesOutPerSecond: 10,
      lagMessages: 5,
    });
    expect(summary).toMatchObject({ messagesOutPerSecond: 30 * 3 + 7, bytesOutPerSecond: 30 * 10 + 100 });
  });

  it('a sum leaves out what is unknown, and is unknown when all is', () => {
    const nulls = Array.from({ length: 8 }, () => null);

    expect(summaryOf([entry('/default/a', 1, null), entry('/default/b', 1, 4)], nulls)?.bytesOutPerSecond).toBe(4);
    expect(summaryOf([entry('/default/a', 1, null)], nulls)?.bytesOutPerSecond).toBeNull();
  });

  it('nothing is known when the agent does not read them', () => {
    expect(noteAll({ topics: null, topicsReason: 'x' }).last?.sample.topics).toBeNull();
  });
});
