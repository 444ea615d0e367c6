/** What brokers say of their load (contract 4.1): the form of 0.7, and the older one with mock figures. */
import {
  asList,
  asNumber,
  asObject,
  asString,
  type Decoded,
  decodeFields,
  idField,
  orZero,
  ValueError,
} from './fields.ts';
import { formatJson, type Json, jsonFloat } from './json.ts';
import { u64 } from './u64.ts';

export interface TopicLoad {
  readonly topic: string;
  readonly messagesPerSecond: number;
  readonly bytesPerSecond: number;
  readonly producers: number;
  readonly consumers: number;
  readonly subscriptions: number;
  readonly backlogMessages: number;
}

export interface LoadReport {
  readonly broker: string;
  /** Unix seconds of the broker's clock; 0 in the older form, which has none. */
  readonly timestamp: number;
  readonly cpuPercent: number;
  readonly memoryPercent: number;
  readonly diskIo: number;
  readonly networkIo: number;
  /** MB/s (not megabit) of all topics together. */
  readonly throughputMegabytesPerSecond: number;
  readonly topics: readonly TopicLoad[];
  /** `0.6` is the form of 0.5 to 0.6.2: mock figures, and topics by name only. Absent: the form of 0.7. */
  readonly format?: '0.6';
}

/** `broker` is the id in the report's key: the older form does not repeat it. */
export function decodeLoadReport(bytes: Uint8Array, broker: string): Decoded<LoadReport> {
  return decodeFields(bytes, 'report', (fields) => {
    const { members } = fields;
    const usage = new Map<string, number>();
    for (const item of asList(members.resources_usage, 'resources_usage')) {
      const resource = asObject(item, 'an item of resources_usage');
      usage.set(asString(resource.resource, 'resource'), asNumber(resource.usage, 'usage'));
    }
    const resources = {
      cpuPercent: usage.get('CPU') ?? 0,
      memoryPercent: usage.get('Memory') ?? 0,
      diskIo: usage.get('DiskIO') ?? 0,
      networkIo: usage.get('NetworkIO') ?? 0,
      throughputMegabytesPerSecond: orZero(members.total_throughput_mbps, 'total_throughput_mbps'),
    };
    if (members.topic_list !== undefined)
      return { broker, timestamp: 0, ...resources, topics: oldTopics(members.topic_list), format: '0.6' };
    return {
      broker: idField(fields, 'broker_id'),
      timestamp: asNumber(members.timestamp, 'timestamp'),
      ...resources,
      topics: currentTopics(members.topics),
    };
  });
}

function currentTopics(json: Json | undefined): readonly TopicLoad[] {
  if (json === undefined) return [];
  return asList(json, 'topics').map((item, index) => {
    try {
      return topicLoad(item);
    } catch (error) {
      if (error instanceof ValueError) throw new ValueError(`topics[${index}]: ${error.message}`);
      throw error;
    }
  });
}

function topicLoad(item: Json): TopicLoad {
  const topic = asObject(item, 'it');
  return {
    topic: asString(topic.topic_name, 'topic_name'),
    messagesPerSecond: orZero(topic.message_rate, 'message_rate'),
    bytesPerSecond: orZero(topic.byte_rate, 'byte_rate'),
    producers: orZero(topic.producer_count, 'producer_count'),
    consumers: orZero(topic.consumer_count, 'consumer_count'),
    subscriptions: orZero(topic.subscription_count, 'subscription_count'),
    backlogMessages: orZero(topic.backlog_messages, 'backlog_messages'),
  };
}

function oldTopics(json: Json): readonly TopicLoad[] {
  return asList(json, 'topic_list').map((item, index) => ({
    topic: asString(item, `topic_list[${index}]`),
    messagesPerSecond: 0,
    bytesPerSecond: 0,
    producers: 0,
    consumers: 0,
    subscriptions: 0,
    backlogMessages: 0,
  }));
}

/**
 * In the form that `format` says. In that of 0.7 totals are sums over the topics, and a broker's total lag is always 0.
 * @throws RangeError when the broker is not a u64 or a figure is not finite.
 */
export function encodeLoadReport(report: LoadReport): string {
  return report.format === '0.6' ? encodeOldReport(report) : encodeCurrentReport(report);
}

function encodeCurrentReport(report: LoadReport): string {
  return formatJson({
    broker_id: u64(report.broker),
    resources_usage: [
      { resource: 'CPU', usage: jsonFloat(report.cpuPercent) },
      { resource: 'Memory', usage: jsonFloat(report.memoryPercent) },
      { resource: 'DiskIO', usage: jsonFloat(report.diskIo) },
      { resource: 'NetworkIO', usage: jsonFloat(report.networkIo) },
    ],
    timestamp: report.timestamp,
    topics: report.topics.map((topic) => ({
      backlog_messages: topic.backlogMessages,
      byte_rate: topic.bytesPerSecond,
      byte_rate_mbps: jsonFloat(topic.bytesPerSecond / 1e6),
      consumer_count: topic.consumers,
      message_rate: topic.messagesPerSecond,
      producer_count: topic.producers,
      subscription_count: topic.subscriptions,
      topic_name: topic.topic,
    })),
    total_lag_messages: 0,
    total_message_rate: report.topics.reduce((total, topic) => total + topic.messagesPerSecond, 0),
    total_throughput_mbps: jsonFloat(report.throughputMegabytesPerSecond),
  });
}

function encodeOldReport(report: LoadReport): string {
  return formatJson({
    resources_usage: [
      { resource: 'CPU', usage: report.cpuPercent },
      { resource: 'Memory', usage: report.memoryPercent },
    ],
    topic_list: report.topics.map(({ topic }) => topic),
    topics_len: report.topics.length,
  });
}
