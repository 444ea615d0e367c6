/** What is kept of one Pod's agent from pull to pull: enough to judge its last report by (`agent-judgement.ts`). */
import { type AgentReport, type TopicsReport, topicColumns } from '../api/agent-report.ts';

/** Times are epoch milliseconds of a clock of the operator's that never goes back. */
export interface AgentRecord {
  /** Undefined until it has reported. */
  readonly last: SeenSample | undefined;
  /** Why the newest pull brought no report; undefined when it brought one. */
  readonly failure: AgentFailure | undefined;
}

export interface SeenSample {
  readonly sample: AgentSample;
  /** When it first came; it may have come again and again since. */
  readonly seenAt: number;
  /** How far its node's clock was ahead of ours then, in milliseconds; negative: behind, or an old sample. */
  readonly aheadMs: number;
  /** Another one had come before, so this one was new when it came. */
  readonly isFollowing: boolean;
  /** What cannot be true of both it and the one before, and what to do. */
  readonly contradiction: string | undefined;
}

export interface AgentFailure {
  /** `Unanswered`: nothing came, or nothing of this Pod's. `Unusable`: this Pod's agent answered nonsense. */
  readonly kind: 'Unanswered' | 'Unusable';
  readonly message: string;
}

/** A report without its envelope, and of its topics only a summary: a thousand brokers serve a million of them. */
export type AgentSample = Omit<AgentReport, 'version' | 'pod' | 'nonce' | 'topics'> & {
  readonly topics: TopicsSummary | null;
};

export interface TopicsSummary {
  /** Of all topics together; null is unknown. */
  readonly messagesOutPerSecond: number | null;
  readonly bytesOutPerSecond: number | null;
  /** At most ten, those that cost the most CPU first. */
  readonly busiest: readonly BusyTopic[];
}

export interface BusyTopic {
  readonly topic: string;
  readonly cpuCores: number | null;
  readonly bytesInPerSecond: number | null;
  readonly bytesOutPerSecond: number | null;
  readonly lagMessages: number | null;
}

export interface Moment {
  /** Epoch milliseconds by a clock that never goes back. */
  readonly now: number;
  /** Epoch milliseconds by the clock on the wall, which may be set. */
  readonly wallNow: number;
}

/** Of an agent that was never asked. */
export const noRecord: AgentRecord = { last: undefined, failure: undefined };

/**
 * A report came. The same sample again changes nothing, however often it comes: its age is that of its first coming.
 *
 * @returns `before` itself if nothing is new, as all of these do.
 */
export function noteReport(before: AgentRecord, report: AgentReport, { now, wallNow }: Moment): AgentRecord {
  const { last } = before;
  if (last !== undefined && isSameSample(last.sample, report)) return noteUnchanged(before);
  const sample = toSample(report);
  return {
    last: {
      sample,
      seenAt: now,
      aheadMs: report.observedAt - wallNow,
      isFollowing: last !== undefined,
      contradiction: last && contradictionOf(last.sample, sample),
    },
    failure: undefined,
  };
}

/** The agent says that its last sample, which we have, is still its last one. */
export function noteUnchanged(before: AgentRecord): AgentRecord {
  return before.failure === undefined ? before : { last: before.last, failure: undefined };
}

/** A pull brought no report; the last one stays, and ages. */
export function noteFailure(before: AgentRecord, failure: AgentFailure): AgentRecord {
  const known = before.failure;
  if (known?.kind === failure.kind && known.message === failure.message) return before;
  return { last: before.last, failure };
}

function isSameSample(sample: AgentSample, { agentStartedAt, sequence }: AgentReport): boolean {
  return sample.agentStartedAt === agentStartedAt && sample.sequence === sequence;
}

/** Counters of the kernel are cut to milliseconds and less on their way here. */
const COUNTER_SLACK_SECONDS = 0.01;

function contradictionOf(before: AgentSample, after: AgentSample): string | undefined {
  if (after.agentStartedAt === before.agentStartedAt && after.sequence < before.sequence) {
    return (
      `sample ${after.sequence} came after sample ${before.sequence} of the same agent: ` +
      'see whether a proxy or a second agent answers at its address'
    );
  }
  if (!isSameBroker(before, after)) return undefined;
  const counters = [
    { name: 'cpu.usageSeconds', from: before.cpu.usageSeconds, to: after.cpu.usageSeconds },
    { name: 'cpu.throttledSeconds', from: before.cpu.throttledSeconds, to: after.cpu.throttledSeconds },
    { name: 'memory.oomKills', from: before.memory.oomKills, to: after.memory.oomKills },
  ];
  const fallen = counters.find(({ from, to }) => from !== null && to !== null && to < from - COUNTER_SLACK_SECONDS);
  return (
    fallen &&
    `${fallen.name} went back from ${fallen.from} to ${fallen.to} though process ${after.broker?.pid} was not ` +
      'restarted: see whether the agent looks at another cgroup than before'
  );
}

/** The same run of the broker, measured in the same way: only then do counters go on where they were. */
function isSameBroker(before: AgentSample, after: AgentSample): boolean {
  return (
    before.broker !== null &&
    before.broker.pid === after.broker?.pid &&
    before.broker.startedAt === after.broker.startedAt &&
    before.cpu.source === after.cpu.source &&
    before.memory.source === after.memory.source
  );
}

function toSample({ version: _, pod: _pod, nonce: _nonce, topics, ...sample }: AgentReport): AgentSample {
  return { ...sample, topics: topics && summarise(topics) };
}

const MAX_BUSIEST = 10;

type Column = (typeof topicColumns)[number];

function summarise({ entries, rest }: TopicsReport): TopicsSummary {
  const total = (name: Column) =>
    sumKnown([...entries.map((entry) => figure(entry, name)), rest.figures[topicColumns.indexOf(name)] ?? null]);
  const costOf = (entry: TopicsReport['entries'][number]) => figure(entry, 'cpu') ?? -1;
  return {
    messagesOutPerSecond: total('messagesOut'),
    bytesOutPerSecond: total('bytesOut'),
    busiest: [...entries]
      .sort((a, b) => costOf(b) - costOf(a))
      .slice(0, MAX_BUSIEST)
      .map((entry) => ({
        topic: entry[0],
        cpuCores: figure(entry, 'cpu'),
        bytesInPerSecond: figure(entry, 'bytesIn'),
        bytesOutPerSecond: figure(entry, 'bytesOut'),
        lagMessages: figure(entry, 'lag'),
      })),
  };
}

function figure(entry: TopicsReport['entries'][number], name: Column): number | null {
  const value = entry[1 + topicColumns.indexOf(name)];
  return typeof value === 'number' ? value : null;
}

/** A topic's first reading has no rate yet; what the others do is worth showing all the same. */
function sumKnown(figures: readonly (number | null)[]): number | null {
  const known = figures.filter((it) => it !== null);
  return known.length === 0 ? null : known.reduce((sum, it) => sum + it, 0);
}
