/**
 * The values of the brokers' etcd, decoded and encoded (contract 2.2, 2.5, 4.1). Decoding never throws: a value that is
 * not what its key promises comes back as a problem in words. Ids are decimal strings, offsets are bigint.
 */
import { formatJson, type Json, type JsonObject, jsonFloat, parseJson } from './json.ts';
import { isBrokerId } from './keys.ts';

export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string };

/** "Nothing" is the four bytes `null`; brokers cannot read an empty value. */
export const NULL_VALUE = 'null';

export interface Registration {
  /** Internal identity, `http://host:port`. */
  readonly brokerUrl: string;
  /** Client facing address (a proxy, perhaps). */
  readonly connectUrl: string;
  /** Bind addresses: only their port is of use (contract 2.5). */
  readonly adminAddr: string;
  readonly promExporter?: string;
  /** `0.5` is the form of versions 0.5 to 0.7.2, `0.7.3` the later one. */
  readonly format: '0.5' | '0.7.3';
}

export interface BrokerState {
  /** `active`, `draining`, `drained`; anything else counts as not active. */
  readonly mode: string;
  readonly reason: string;
}

export type Marker =
  /** A new topic, or one whose owner died. */
  | { readonly kind: 'new' }
  | {
      readonly kind: 'unload' | 'rebalance' | 'drain_redirect';
      readonly fromBroker?: string;
      readonly toBroker?: string;
    }
  /** A reason of some other writer. */
  | { readonly kind: 'unknown'; readonly reason: string };

export type Delivery = 'Reliable' | 'NonReliable';

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
  /** Unix seconds of the broker's clock. */
  readonly timestamp: number;
  readonly cpuPercent: number;
  readonly memoryPercent: number;
  readonly diskIo: number;
  readonly networkIo: number;
  /** MB/s (not megabit) of all topics together. */
  readonly throughputMegabytesPerSecond: number;
  readonly topics: readonly TopicLoad[];
}

export interface SealedState {
  readonly broker: string;
  readonly lastCommittedOffset: bigint;
  readonly sealed: boolean;
  /** Unix seconds. */
  readonly timestamp: number;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function decode<T>(bytes: Uint8Array, read: (json: Json) => T): Decoded<T> {
  if (bytes.length === 0) return { ok: false, problem: 'is empty; brokers write JSON, "nothing" is null' };
  try {
    return { ok: true, value: read(parseJson(utf8.decode(bytes))) };
  } catch (error) {
    return { ok: false, problem: error instanceof Error ? error.message : String(error) };
  }
}

class ValueError extends Error {}

function asObject(json: Json | undefined, what: string): JsonObject {
  if (json === null || typeof json !== 'object' || Array.isArray(json))
    throw new ValueError(`${what} is not an object`);
  return json as JsonObject;
}
function asList(json: Json | undefined, what: string): readonly Json[] {
  if (!Array.isArray(json)) throw new ValueError(`${what} is not a list`);
  return json;
}
function asString(json: Json | undefined, what: string): string {
  if (typeof json !== 'string') throw new ValueError(`${what} is not a string`);
  return json;
}
function asNumber(json: Json | undefined, what: string): number {
  if (typeof json === 'bigint') return Number(json);
  if (typeof json !== 'number' || !Number.isFinite(json)) throw new ValueError(`${what} is not a number`);
  return json;
}
function asId(json: Json | undefined, what: string): string {
  const text = typeof json === 'number' || typeof json === 'bigint' ? json.toString() : '';
  if (!isBrokerId(text)) throw new ValueError(`${what} is not a u64`);
  return text;
}
function asOffset(json: Json | undefined, what: string): bigint {
  return BigInt(asId(json, what));
}
function orZero(json: Json | undefined, what: string): number {
  return json === undefined ? 0 : asNumber(json, what);
}

export function decodeRegistration(bytes: Uint8Array): Decoded<Registration> {
  return decode(bytes, (json) => {
    const fields = asObject(json, 'registration');
    const prometheus = fields.prom_exporter;
    const shared = {
      adminAddr: asString(fields.admin_addr, 'admin_addr'),
      ...(prometheus !== undefined && { promExporter: asString(prometheus, 'prom_exporter') }),
    };
    if (fields.broker_url !== undefined) {
      return {
        ...shared,
        brokerUrl: asString(fields.broker_url, 'broker_url'),
        connectUrl: asString(fields.connect_url, 'connect_url'),
        format: '0.7.3',
      };
    }
    const advertised = asString(fields.advertised_addr, 'advertised_addr');
    return { ...shared, brokerUrl: `http://${advertised}`, connectUrl: `http://${advertised}`, format: '0.5' };
  });
}

/** In the form of 0.7.3. */
export function encodeRegistration(registration: Registration): string {
  return formatJson({
    admin_addr: registration.adminAddr,
    broker_url: registration.brokerUrl,
    connect_url: registration.connectUrl,
    ...(registration.promExporter !== undefined && { prom_exporter: registration.promExporter }),
  });
}

export function decodeBrokerState(bytes: Uint8Array): Decoded<BrokerState> {
  return decode(bytes, (json) => {
    const fields = asObject(json, 'state');
    // No string "mode" counts as active (contract 4.3).
    const mode = typeof fields.mode === 'string' ? fields.mode : 'active';
    return { mode, reason: typeof fields.reason === 'string' ? fields.reason : '' };
  });
}

export function encodeBrokerState(state: BrokerState): string {
  return formatJson({ mode: state.mode, reason: state.reason });
}

export function decodeMarker(bytes: Uint8Array): Decoded<Marker> {
  return decode(bytes, (json) => {
    if (json === null) return { kind: 'new' };
    const fields = asObject(json, 'marker');
    const reason = asString(fields.reason, 'reason');
    if (reason !== 'unload' && reason !== 'rebalance' && reason !== 'drain_redirect')
      return { kind: 'unknown', reason };
    return {
      kind: reason,
      ...(fields.from_broker !== undefined && { fromBroker: asId(fields.from_broker, 'from_broker') }),
      ...(fields.to_broker !== undefined && { toBroker: asId(fields.to_broker, 'to_broker') }),
    };
  });
}

/** Members in the brokers' order; only what the marker says is written. */
export function encodeMarker(marker: Exclude<Marker, { readonly kind: 'unknown' }>): string {
  if (marker.kind === 'new') return NULL_VALUE;
  return formatJson({
    ...(marker.fromBroker !== undefined && { from_broker: BigInt(marker.fromBroker) }),
    reason: marker.kind,
    ...(marker.toBroker !== undefined && { to_broker: BigInt(marker.toBroker) }),
  });
}

export function decodeDelivery(bytes: Uint8Array): Decoded<Delivery> {
  return decode(bytes, (json) => {
    if (json !== 'Reliable' && json !== 'NonReliable') throw new ValueError('is neither "Reliable" nor "NonReliable"');
    return json;
  });
}

export function encodeDelivery(delivery: Delivery): string {
  return formatJson(delivery);
}

export function decodeLeader(bytes: Uint8Array): Decoded<string> {
  return decode(bytes, (json) => asId(json, 'leader'));
}

export function decodeCursor(bytes: Uint8Array): Decoded<bigint> {
  return decode(bytes, (json) => asOffset(json, 'cursor'));
}

export function encodeCursor(offset: bigint): string {
  return formatJson(offset);
}

export function decodeSealedState(bytes: Uint8Array): Decoded<SealedState> {
  return decode(bytes, (json) => {
    const fields = asObject(json, 'state');
    if (typeof fields.sealed !== 'boolean') throw new ValueError('sealed is not a boolean');
    return {
      broker: asId(fields.broker_id, 'broker_id'),
      lastCommittedOffset: asOffset(fields.last_committed_offset, 'last_committed_offset'),
      sealed: fields.sealed,
      timestamp: asNumber(fields.timestamp, 'timestamp'),
    };
  });
}

export function encodeSealedState(state: SealedState): string {
  return formatJson({
    broker_id: BigInt(state.broker),
    last_committed_offset: state.lastCommittedOffset,
    sealed: state.sealed,
    timestamp: state.timestamp,
  });
}

/** One uploaded piece of a reliable topic's log; both ends are included. */
export interface StoredObject {
  readonly startOffset: bigint;
  readonly endOffset: bigint;
  readonly sizeBytes: number;
  /** Unix seconds. */
  readonly createdAt: number;
}

/** Name of the object's file in the object store. */
export function objectId(object: StoredObject): string {
  return `data-${object.startOffset}-${object.createdAt}.dnb1`;
}

export function encodeObject(object: StoredObject): string {
  return formatJson({
    completed: true,
    created_at: object.createdAt,
    end_offset: object.endOffset,
    etag: null,
    object_id: objectId(object),
    offset_index: [[object.startOffset, 0]],
    size: object.sizeBytes,
    start_offset: object.startOffset,
  });
}

/** The value of `objects/cur`: the newest object's start, in 20 digits. */
export function encodeCurrentObject(startOffset: bigint): string {
  return formatJson({ start: startOffset.toString().padStart(20, '0') });
}

export interface Producer {
  readonly id: string;
  readonly name: string;
  readonly topic: string;
}

export function encodeProducer(producer: Producer): string {
  return formatJson({
    access_mode: 0,
    producer_id: BigInt(producer.id),
    producer_name: producer.name,
    status: true,
    topic_name: producer.topic,
  });
}

/** An exclusive subscription; the broker never fills in `consumer_id`. */
export function encodeSubscription(subscription: string, consumerName: string): string {
  return formatJson({
    consumer_id: null,
    consumer_name: consumerName,
    subscription_name: subscription,
    subscription_type: 0,
  });
}

/** The last offset that an uploaded object holds. */
export function decodeObjectEnd(bytes: Uint8Array): Decoded<bigint> {
  return decode(bytes, (json) => asOffset(asObject(json, 'object').end_offset, 'end_offset'));
}

export function decodeLoadReport(bytes: Uint8Array, broker: string): Decoded<LoadReport> {
  return decode(bytes, (json) => {
    const fields = asObject(json, 'report');
    const usage = new Map<string, number>();
    for (const item of asList(fields.resources_usage, 'resources_usage')) {
      const resource = asObject(item, 'resource');
      usage.set(asString(resource.resource, 'resource'), asNumber(resource.usage, 'usage'));
    }
    return {
      broker: fields.broker_id === undefined ? broker : asId(fields.broker_id, 'broker_id'),
      timestamp: orZero(fields.timestamp, 'timestamp'),
      cpuPercent: usage.get('CPU') ?? 0,
      memoryPercent: usage.get('Memory') ?? 0,
      diskIo: usage.get('DiskIO') ?? 0,
      networkIo: usage.get('NetworkIO') ?? 0,
      throughputMegabytesPerSecond: orZero(fields.total_throughput_mbps, 'total_throughput_mbps'),
      topics: fields.topic_list === undefined ? currentTopics(fields.topics) : oldTopics(fields.topic_list),
    };
  });
}

/** In the form of 0.7: totals are sums over the topics, a broker's total lag is always 0 (contract 4.1). */
export function encodeLoadReport(report: LoadReport): string {
  return formatJson({
    broker_id: BigInt(report.broker),
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

function currentTopics(json: Json | undefined): readonly TopicLoad[] {
  if (json === undefined) return [];
  return asList(json, 'topics').map((item) => {
    const topic = asObject(item, 'topic');
    return {
      topic: asString(topic.topic_name, 'topic_name'),
      messagesPerSecond: orZero(topic.message_rate, 'message_rate'),
      bytesPerSecond: orZero(topic.byte_rate, 'byte_rate'),
      producers: orZero(topic.producer_count, 'producer_count'),
      consumers: orZero(topic.consumer_count, 'consumer_count'),
      subscriptions: orZero(topic.subscription_count, 'subscription_count'),
      backlogMessages: orZero(topic.backlog_messages, 'backlog_messages'),
    };
  });
}

/** Reports of 0.6.2 and before name their topics and nothing more. */
function oldTopics(json: Json): readonly TopicLoad[] {
  return asList(json, 'topic_list').map((item) => ({
    topic: asString(item, 'topic name'),
    messagesPerSecond: 0,
    bytesPerSecond: 0,
    producers: 0,
    consumers: 0,
    subscriptions: 0,
    backlogMessages: 0,
  }));
}
