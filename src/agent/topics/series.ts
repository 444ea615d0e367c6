/**
 * What is read of the broker's exposition (contract 7), in the order of the columns of a report. `lag` has no label
 * `topic` in Danube 0.7: two topics with subscriptions of one name would share a series, so it is no topic's.
 */
export const topicMetrics = [
  'danube_topic_messages_in_total',
  'danube_topic_bytes_in_total',
  'danube_consumer_messages_out_total',
  'danube_consumer_bytes_out_total',
  'danube_topic_active_producers',
  'danube_topic_active_consumers',
  'danube_subscription_lag_messages',
] as const;

/** The one gauge of the broker as a whole: the topics that it serves now. */
const topicsOwnedMetric = 'danube_broker_topics_owned';

export interface SeriesHandler {
  /**
   * A figure of a topic, `metric` being its place in topicMetrics. The topic's name is in `bytes` from `start` to before
   * `end`, valid during the call. A topic may have several figures of one metric, one for each subscription.
   */
  readonly onTopicFigure: (metric: number, bytes: Uint8Array, start: number, end: number, value: number) => void;
  /** `broker`: the id of the broker's process, empty when it is not given. */
  readonly onTopicsOwned: (value: number, broker: string) => void;
}

export interface SeriesReader {
  /**
   * Reads one line of the exposition; what is not wanted costs a few comparisons and allocates nothing. Says `skip` when
   * a metric begins that is not wanted: its lines follow each other, and the next metric begins with a comment.
   */
  readonly readLine: (bytes: Uint8Array, start: number, end: number) => 'next' | 'skip';
  /** Wanted lines left out so far because they could not be read: broken, or a value that counts nothing. */
  readonly unreadable: () => number;
}

const space = 0x20;
const quote = 0x22;
const numberSign = 0x23;
const comma = 0x2c;
const equals = 0x3d;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;

const wanted: readonly Uint8Array[] = [...topicMetrics, topicsOwnedMetric].map((name) => Buffer.from(name));
const typeComment: Uint8Array = Buffer.from('# TYPE ');
const topicLabel: Uint8Array = Buffer.from('topic');
const brokerLabel: Uint8Array = Buffer.from('broker');

/** Where a label's value is in its line; `start` is -1 when the line lacks the label. */
interface LabelValue {
  start: number;
  end: number;
  escaped: boolean;
}

/**
 * Reads the series of Prometheus' text format that are wanted here. A series that lacks the label `topic` is not a
 * topic's (every metric is there once without, at 0), and neither are summaries: their names differ.
 */
export function createSeriesReader({ onTopicFigure, onTopicsOwned }: SeriesHandler): SeriesReader {
  let unreadable = 0;
  // The labels of the line at hand: fields instead of an object for each line.
  const topic: LabelValue = { start: -1, end: -1, escaped: false };
  const broker: LabelValue = { start: -1, end: -1, escaped: false };

  /** Finds the labels' values. @returns where the labels end, or -1 when they are broken. */
  function readLabels(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (bytes[at] !== closeBrace) {
      const nameStart = at;
      while (at < end && bytes[at] !== equals) at += 1;
      const nameEnd = at;
      if (at + 1 >= end || bytes[at + 1] !== quote) return -1;
      at += 2;
      const valueStart = at;
      let escaped = false;
      while (at < end && bytes[at] !== quote) {
        if (bytes[at] === backslash) {
          escaped = true;
          at += 1;
        }
        at += 1;
      }
      if (at >= end) return -1;
      const label = isText(bytes, nameStart, nameEnd, topicLabel)
        ? topic
        : isText(bytes, nameStart, nameEnd, brokerLabel)
          ? broker
          : null;
      if (label !== null) {
        label.start = valueStart;
        label.end = at;
        label.escaped = escaped;
      }
      at += 1;
      if (bytes[at] === comma) at += 1;
      while (bytes[at] === space) at += 1;
      if (at >= end) return -1;
    }
    return at + 1;
  }

  function handOn(metric: number, bytes: Uint8Array, value: number): void {
    if (metric === topicMetrics.length) {
      onTopicsOwned(value, broker.start === -1 ? '' : Buffer.from(bytes.subarray(broker.start, broker.end)).toString());
      return;
    }
    if (topic.escaped) {
      const name = unescaped(bytes.subarray(topic.start, topic.end));
      onTopicFigure(metric, name, 0, name.length, value);
      return;
    }
    onTopicFigure(metric, bytes, topic.start, topic.end, value);
  }

  function readSeries(metric: number, bytes: Uint8Array, start: number, end: number): void {
    topic.start = -1;
    broker.start = -1;
    let at = start + (wanted[metric]?.length ?? 0);
    if (bytes[at] === openBrace) at = readLabels(bytes, at + 1, end);
    if (at !== -1 && metric < topicMetrics.length && topic.start === -1) return;
    const value = at === -1 || bytes[at] !== space ? Number.NaN : readValue(bytes, at + 1, end);
    const isCount = metric < topicMetrics.length || Number.isSafeInteger(value);
    if (Number.isNaN(value) || !isCount) unreadable += 1;
    else handOn(metric, bytes, value);
  }

  return {
    readLine(bytes, start, end) {
      if (bytes[start] === numberSign) {
        const isType = isText(bytes, start, Math.min(end, start + typeComment.length), typeComment);
        return isType && findWanted(bytes, start + typeComment.length, end) === -1 ? 'skip' : 'next';
      }
      const metric = findWanted(bytes, start, end);
      if (metric !== -1) readSeries(metric, bytes, start, end);
      return 'next';
    },
    unreadable: () => unreadable,
  };
}

/** The wanted metric whose name begins the line and ends at its labels or value, or -1. */
function findWanted(bytes: Uint8Array, start: number, end: number): number {
  for (let metric = 0; metric < wanted.length; metric += 1) {
    const name = wanted[metric];
    if (name === undefined) continue;
    const nameEnd = start + name.length;
    if (nameEnd >= end || (bytes[nameEnd] !== openBrace && bytes[nameEnd] !== space)) continue;
    if (isText(bytes, start, nameEnd, name)) return metric;
  }
  return -1;
}

/** Compares from the end, where names of metrics differ first. */
function isText(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
  if (end - start !== text.length) return false;
  for (let index = text.length - 1; index >= 0; index -= 1) {
    if (bytes[start + index] !== text[index]) return false;
  }
  return true;
}

/** The value, which a timestamp may follow; NaN for what counts nothing: NaN, infinities, below 0, beyond u64. */
function readValue(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  let at = start;
  for (; at < end; at += 1) {
    const digit = (bytes[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  const digits = at - start;
  if ((at === end || bytes[at] === space) && digits > 0 && digits <= 15) return value;
  const [text = ''] = Buffer.from(bytes.subarray(start, end)).toString('latin1').split(' ');
  const parsed = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN;
  return parsed >= 0 && parsed <= 2 ** 64 ? Math.abs(parsed) : Number.NaN;
}

/** Label values write a backslash, a quote and a newline as two characters each. */
function unescaped(value: Uint8Array): Uint8Array {
  const text = Buffer.from(value).toString('latin1');
  return Buffer.from(
    text.replaceAll(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character)),
    'latin1',
  );
}
