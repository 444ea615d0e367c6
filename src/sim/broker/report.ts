/** The LoadReport of contract 4.1: ingress rates over the interval, and the figures that real brokers make up (M11). */
import type { LoadReport } from '../../danube/values.ts';
import { type Connected, connected, type Topic } from './topic.ts';

/** Ingress totals at the last report, by topic object: a topic that was loaded anew starts from 0. */
export type Totals = ReadonlyMap<Topic, { readonly messages: number; readonly bytes: number }>;

interface ReportInput {
  readonly broker: string;
  /** Epoch milliseconds. */
  readonly now: number;
  readonly topics: Iterable<Topic>;
  readonly before: Totals;
  /** Since the last report; 0 for the first one, whose rates are 0. */
  readonly elapsedSeconds: number;
  readonly networkBytes: number;
  readonly residentBytes: number;
}

/** What a cgroup without a memory limit says its limit is. */
const NO_LIMIT_BYTES = 2 ** 63;

export function buildReport(input: ReportInput): { readonly report: LoadReport; readonly totals: Totals } {
  const totals = new Map<Topic, { messages: number; bytes: number }>();
  const topics = [...input.topics].map((topic) => {
    totals.set(topic, { messages: topic.messagesIn, bytes: topic.bytesIn });
    const before = input.before.get(topic) ?? { messages: 0, bytes: 0 };
    const counts: Connected = connected(topic);
    return {
      topic: topic.name,
      messagesPerSecond: rate(topic.messagesIn - before.messages, input.elapsedSeconds),
      bytesPerSecond: rate(topic.bytesIn - before.bytes, input.elapsedSeconds),
      ...counts,
      backlogMessages: 0,
    };
  });
  const report: LoadReport = {
    broker: input.broker,
    timestamp: Math.floor(input.now / 1000),
    cpuPercent: 0,
    memoryPercent: (input.residentBytes / NO_LIMIT_BYTES) * 100,
    diskIo: 0,
    networkIo: input.networkBytes,
    // The sum over nothing is -0.0 there, and is written like that.
    throughputMegabytesPerSecond: topics.reduce((sum, topic) => sum + topic.bytesPerSecond / 1e6, -0),
    topics,
  };
  return { report, totals };
}

function rate(count: number, elapsedSeconds: number): number {
  return elapsedSeconds > 0 ? Math.floor(count / elapsedSeconds) : 0;
}
