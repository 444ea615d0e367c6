import { bounds, topicColumns } from '../../api/agent-report.ts';
import { createIdleCost, trafficWeight } from './model.ts';
import { createNameTable } from './name-table.ts';

/* The columns of a report: first the rates of counters, then what is taken as it is read, then what the model says. */
const counterColumns = topicColumns.slice(0, 4);
const levelColumns = topicColumns.slice(4, 7);
const lagColumn = topicColumns.indexOf('lag');
const cpuColumn = topicColumns.indexOf('cpu');

/** What is known of a reading of the whole exposition besides the topics' figures. */
export interface Reading {
  /** Monotonic, when the reading began. */
  readonly atMilliseconds: number;
  /** Mean of the broker since the reading before, or null. */
  readonly cores: number | null;
}

export interface TopicTable {
  /** Begins a reading. One that is not finished leaves no trace. */
  readonly begin: () => void;
  /** A figure of the topic whose name is in `bytes`; `metric` is its column. Several of one metric are summed. */
  readonly add: (metric: number, bytes: Uint8Array, start: number, end: number, value: number) => void;
  /** Ends a reading in which everything was read, and works out the figures. */
  readonly finish: (reading: Reading) => void;
  /** How many topics have a number; they are numbered from 0. */
  readonly size: () => number;
  readonly name: (topic: number) => string;
  /** The topic's number, or -1. */
  readonly find: (name: string) => number;
  /** For each column of a report the figures of all topics by number, as of the last finished reading; NaN is unknown. */
  readonly figures: () => readonly Float32Array[];
  /** Series left out in this reading: there was no room for their topic, or its name is none. */
  readonly refused: () => number;
  /** Whether there is no room for another topic. */
  readonly isFull: () => boolean;
}

/**
 * The figures of each topic of one process of the broker, in columns, between two readings of its exposition.
 *
 * **Which topics are served?** Series stay when their topic has moved away (contract 7), so a series proves nothing. In
 * the recordings the counters of such topics stand still and their gauges are 0; a topic that is served and idle looks
 * the same. So a topic is taken to be here when it has traffic between two readings or connections now. Any other has 0
 * everywhere, which is true of it in either case, is never listed, and is not counted: how many topics the broker serves
 * is said by its gauge `danube_broker_topics_owned` alone.
 *
 * **Rates** are differences of counters over monotonic time. They are unknown in the first reading, when a counter has
 * gone back, and when a topic comes back that was missing; the reading after that knows them. A topic that is new since
 * the reading before began at 0, so its first rate is known.
 */
export function createTopicTable({ maxTopics }: { readonly maxTopics: number }): TopicTable {
  const idle = createIdleCost();
  const names = createNameTable({ maxNames: maxTopics, maxNameBytes: bounds.topicCharacters });
  let capacity = 256;
  /** Whether the reading at hand has anything of the topic. */
  let seen = new Uint8Array(capacity);
  /** What the reading at hand has read; NaN where nothing. */
  let read = columnsOf(Float64Array, counterColumns.length + levelColumns.length);
  /** The counters of the last finished reading. */
  let counted = columnsOf(Float64Array, counterColumns.length);
  let figures = columnsOf(Float32Array, topicColumns.length);
  let lastAtMilliseconds: number | null = null;
  let refused = 0;

  function columnsOf<T>(Column: new (length: number) => T, count: number): T[] {
    return Array.from({ length: count }, () => new Column(capacity));
  }

  function grow(): void {
    capacity = Math.ceil(capacity * 1.5);
    seen = grown(Uint8Array, seen, capacity);
    read = read.map((column) => grown(Float64Array, column, capacity));
    counted = counted.map((column) => grown(Float64Array, column, capacity));
    figures = figures.map((column) => grown(Float32Array, column, capacity));
  }

  function addTopic(topic: number): void {
    if (topic === capacity) grow();
    for (const column of read) column[topic] = Number.NaN;
    for (const column of counted) column[topic] = 0;
  }

  function finishCounter(column: number, seconds: number): void {
    const now = read[column];
    const before = counted[column];
    const rate = figures[column];
    if (now === undefined || before === undefined || rate === undefined) return;
    for (let topic = 0; topic < names.size(); topic += 1) {
      if (seen[topic] === 0) {
        rate[topic] = 0;
        continue;
      }
      // A counter that has never counted is not in the exposition.
      const count = Number.isNaN(now[topic]) ? 0 : (now[topic] ?? 0);
      const growth = count - (before[topic] ?? 0);
      rate[topic] = growth >= 0 && seconds > 0 ? growth / seconds : Number.NaN;
      now[topic] = count;
    }
    read[column] = before;
    counted[column] = now;
  }

  function finishLevel(column: number): void {
    const level = read[column];
    const figure = figures[column];
    if (level === undefined || figure === undefined) return;
    const missing = column === lagColumn ? Number.NaN : 0;
    for (let topic = 0; topic < names.size(); topic += 1) {
      figure[topic] = Number.isNaN(level[topic]) ? missing : (level[topic] ?? missing);
    }
  }

  function finishCpu(cores: number | null): void {
    const [messagesIn, bytesIn, messagesOut, bytesOut] = figures;
    const cpu = figures[cpuColumn];
    if (!messagesIn || !bytesIn || !messagesOut || !bytesOut || !cpu) return;
    let total = 0;
    for (let topic = 0; topic < names.size(); topic += 1) {
      const weight = trafficWeight(
        (messagesIn[topic] ?? 0) + (messagesOut[topic] ?? 0),
        (bytesIn[topic] ?? 0) + (bytesOut[topic] ?? 0),
      );
      cpu[topic] = weight;
      // Where one topic's weight is unknown, the others share.
      if (!Number.isNaN(weight)) total += weight;
    }
    const coresPerWeight = cores === null ? Number.NaN : idle.attributable(cores, total) / (total || 1);
    for (let topic = 0; topic < names.size(); topic += 1) cpu[topic] = (cpu[topic] ?? 0) * coresPerWeight;
  }

  return {
    begin() {
      refused = 0;
      seen.fill(0);
      for (const column of read) column.fill(Number.NaN);
    },
    add(metric, bytes, start, end, value) {
      const known = names.size();
      const topic = names.intern(bytes, start, end);
      if (topic === known) addTopic(topic);
      const column = read[metric];
      if (topic === -1 || column === undefined) {
        refused += 1;
        return;
      }
      const sum = column[topic] ?? Number.NaN;
      column[topic] = Number.isNaN(sum) ? value : sum + value;
      seen[topic] = 1;
    },
    finish({ atMilliseconds, cores }) {
      const seconds = lastAtMilliseconds === null ? 0 : (atMilliseconds - lastAtMilliseconds) / 1000;
      for (let column = 0; column < counterColumns.length; column += 1) finishCounter(column, seconds);
      for (let level = 0; level < levelColumns.length; level += 1) finishLevel(counterColumns.length + level);
      // What was left out has its part of the CPU, which nobody knows.
      finishCpu(lastAtMilliseconds === null || refused > 0 ? null : cores);
      lastAtMilliseconds = atMilliseconds;
    },
    size: names.size,
    name: names.name,
    find: names.find,
    figures: () => figures,
    refused: () => refused,
    isFull: () => names.size() === maxTopics,
  };
}

function grown<T extends Float64Array | Float32Array | Uint8Array>(
  Column: new (length: number) => T,
  column: T,
  length: number,
): T {
  const longer = new Column(length);
  longer.set(column);
  return longer;
}
