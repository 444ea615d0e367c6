/** The topics of a load report in columns: of a million topics, objects with names would be several times as large (design §9). */
import type { ReportedTopics } from '../core/snapshot.ts';
import type { TopicLoad } from './load-report.ts';

export const NO_TOPICS = columnsFor(0);

/**
 * Rows of topics that nobody has heard of are left out: brokers report topics that were assigned to them before, so these
 * are gone, and reports outlive brokers and topics (contract 4.1).
 */
export function toReportedTopics(
  loads: readonly TopicLoad[],
  numberOf: (topic: string) => number | undefined,
): ReportedTopics {
  const known = loads.flatMap((load) => {
    const number = numberOf(load.topic);
    return number === undefined ? [] : [{ number, load }];
  });
  if (known.length === 0) return NO_TOPICS;
  const columns = columnsFor(known.length);
  for (const [row, { number, load }] of known.entries()) {
    columns.topic[row] = number;
    columns.messagesPerSecond[row] = Math.max(0, load.messagesPerSecond);
    columns.bytesPerSecond[row] = Math.max(0, load.bytesPerSecond);
    columns.producers[row] = Math.max(0, Math.round(load.producers));
    columns.consumers[row] = Math.max(0, Math.round(load.consumers));
  }
  return columns;
}

function columnsFor(rows: number): ReportedTopics {
  return {
    topic: new Int32Array(rows),
    messagesPerSecond: new Float32Array(rows),
    bytesPerSecond: new Float32Array(rows),
    producers: new Float32Array(rows),
    consumers: new Float32Array(rows),
  };
}
