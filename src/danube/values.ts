/**
 * The values of the brokers' etcd, decoded and encoded (contract 2.2, 2.5, 4.1). Decoding never throws: a value that is
 * not what its key promises comes back as a problem in words. Ids are decimal strings, offsets are bigint.
 */
import {
  asBoolean,
  asList,
  asNumber,
  asObject,
  asString,
  type Decoded,
  decodeFields,
  decodeText,
  decodeU64,
  decodeValue,
  type Fields,
  idField,
  isAbsent,
  offsetField,
  ValueError,
} from './fields.ts';
import { formatJson, type Json, parseJson, readJson } from './json.ts';
import { u64 } from './u64.ts';

export type { Decoded } from './fields.ts';
export { decodeLoadReport, encodeLoadReport, type LoadReport, type TopicLoad } from './load-report.ts';

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
  /** Bind address of the client port; only in the form of 0.5. */
  readonly brokerAddr?: string;
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
      /** Unix seconds; the brokers' own `rebalance` has it. */
      readonly timestamp?: number;
    }
  /** A reason of some other writer. */
  | { readonly kind: 'unknown'; readonly reason: string };

export type Delivery = 'Reliable' | 'NonReliable';

export interface SealedState {
  readonly broker: string;
  readonly lastCommittedOffset: bigint;
  readonly sealed: boolean;
  /** Unix seconds. */
  readonly timestamp: number;
}

/** For keys that only have to be there: assignments, topics, the cluster, markers of new topics. */
export function decodeNull(bytes: Uint8Array): Decoded<null> {
  return decodeValue(bytes, (value) => {
    if (value !== null) throw new ValueError('is not null, the only value that brokers write here');
    return null;
  });
}

/** For keys whose content is not ours to understand. The text, if brokers can read it. */
export function decodeAnyJson(bytes: Uint8Array): Decoded<string> {
  return decodeText(bytes, (text) => {
    readJson(text);
    return text;
  });
}

export function decodeRegistration(bytes: Uint8Array): Decoded<Registration> {
  return decodeFields(bytes, 'registration', ({ members }) => {
    const shared = {
      adminAddr: asString(members.admin_addr, 'admin_addr'),
      ...(!isAbsent(members.prom_exporter) && { promExporter: asString(members.prom_exporter, 'prom_exporter') }),
    };
    if (members.broker_url === undefined && members.advertised_addr !== undefined)
      return {
        ...shared,
        ...oldAddresses(
          asString(members.advertised_addr, 'advertised_addr'),
          isAbsent(members.broker_addr) ? undefined : asString(members.broker_addr, 'broker_addr'),
        ),
        format: '0.5',
      };
    return {
      ...shared,
      brokerUrl: asString(members.broker_url, 'broker_url'),
      connectUrl: asString(members.connect_url, 'connect_url'),
      format: '0.7.3',
    };
  });
}

/** The advertised address has no scheme; the bind address has the one that is served. */
function oldAddresses(advertised: string, brokerAddr: string | undefined) {
  const url = `${brokerAddr?.startsWith('https://') ? 'https' : 'http'}://${advertised}`;
  return { brokerUrl: url, connectUrl: url, ...(brokerAddr !== undefined && { brokerAddr }) };
}

/** In the form that `format` says. */
export function encodeRegistration(registration: Registration): string {
  const { adminAddr, brokerAddr, brokerUrl, connectUrl, promExporter, format } = registration;
  return formatJson({
    admin_addr: adminAddr,
    ...(format === '0.5'
      ? {
          advertised_addr: brokerUrl.replace(/^https?:\/\//, ''),
          ...(brokerAddr !== undefined && { broker_addr: brokerAddr }),
        }
      : { broker_url: brokerUrl, connect_url: connectUrl }),
    ...(promExporter !== undefined && { prom_exporter: promExporter }),
  });
}

export function decodeBrokerState(bytes: Uint8Array): Decoded<BrokerState> {
  return decodeFields(bytes, 'state', ({ members }) => {
    // No string "mode" counts as active (contract 4.3).
    const mode = typeof members.mode === 'string' ? members.mode : 'active';
    return { mode, reason: typeof members.reason === 'string' ? members.reason : '' };
  });
}

export function encodeBrokerState(state: BrokerState): string {
  return formatJson({ mode: state.mode, reason: state.reason });
}

export function decodeMarker(bytes: Uint8Array): Decoded<Marker> {
  return decodeText(bytes, (text) => {
    const { value, numbers } = readJson(text);
    if (value === null) return { kind: 'new' };
    return readMarker({ members: asObject(value, 'marker'), numbers });
  });
}

function readMarker(fields: Fields): Marker {
  const { from_broker: from, to_broker: to, timestamp, reason: given } = fields.members;
  const reason = asString(given, 'reason');
  if (reason !== 'unload' && reason !== 'rebalance' && reason !== 'drain_redirect') return { kind: 'unknown', reason };
  return {
    kind: reason,
    ...(!isAbsent(from) && { fromBroker: idField(fields, 'from_broker') }),
    ...(!isAbsent(to) && { toBroker: idField(fields, 'to_broker') }),
    // Nobody acts on it, so that a wrong one must not hide the marker.
    ...(typeof timestamp === 'number' && { timestamp }),
  };
}

/**
 * Members in the brokers' order; only what the marker says is written.
 * @throws RangeError when a broker is not a u64.
 */
export function encodeMarker(marker: Exclude<Marker, { readonly kind: 'unknown' }>): string {
  if (marker.kind === 'new') return NULL_VALUE;
  return formatJson({
    ...(marker.fromBroker !== undefined && { from_broker: u64(marker.fromBroker) }),
    reason: marker.kind,
    ...(marker.timestamp !== undefined && { timestamp: marker.timestamp }),
    ...(marker.toBroker !== undefined && { to_broker: u64(marker.toBroker) }),
  });
}

export function decodeDelivery(bytes: Uint8Array): Decoded<Delivery> {
  return decodeValue(bytes, (value) => {
    if (value !== 'Reliable' && value !== 'NonReliable')
      throw new ValueError('is neither "Reliable" nor "NonReliable"');
    return value;
  });
}

export function encodeDelivery(delivery: Delivery): string {
  return formatJson(delivery);
}

export function decodeLeader(bytes: Uint8Array): Decoded<string> {
  return decodeU64(bytes, 'leader');
}

/** @throws RangeError when it is not a u64: brokers' elections would stop for good (contract 3). */
export function encodeLeader(id: string): string {
  return formatJson(u64(id));
}

/** The last acknowledged offset. */
export function decodeCursor(bytes: Uint8Array): Decoded<bigint> {
  const decoded = decodeU64(bytes, 'cursor');
  return decoded.ok ? { ok: true, value: BigInt(decoded.value) } : decoded;
}

/** @throws RangeError when the offset is not a u64. */
export function encodeCursor(offset: bigint): string {
  return formatJson(u64(offset));
}

export function decodeSealedState(bytes: Uint8Array): Decoded<SealedState> {
  return decodeFields(bytes, 'state', (fields) => ({
    broker: idField(fields, 'broker_id'),
    lastCommittedOffset: offsetField(fields, 'last_committed_offset'),
    sealed: asBoolean(fields.members.sealed, 'sealed'),
    timestamp: asNumber(fields.members.timestamp, 'timestamp'),
  }));
}

/** @throws RangeError when the broker or the offset is not a u64. */
export function encodeSealedState(state: SealedState): string {
  return formatJson({
    broker_id: u64(state.broker),
    last_committed_offset: u64(state.lastCommittedOffset),
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
  /** Name of its file; absent means the one that brokers give it. */
  readonly id?: string;
  /** Absent: true. */
  readonly completed?: boolean;
  /** Absent: the object store gave none. */
  readonly etag?: string;
  /** Pairs of an offset and its position in the file; absent: the first offset at 0. */
  readonly offsetIndex?: readonly (readonly [bigint, bigint])[];
}

/** Name of the object's file in the object store. */
export function objectId(object: StoredObject): string {
  return object.id ?? `data-${object.startOffset}-${object.createdAt}.dnb1`;
}

export function decodeObject(bytes: Uint8Array): Decoded<StoredObject> {
  return decodeText(bytes, (text) => {
    const { value, numbers } = readJson(text);
    const fields = { members: asObject(value, 'object'), numbers };
    const { members } = fields;
    return {
      startOffset: offsetField(fields, 'start_offset'),
      endOffset: offsetField(fields, 'end_offset'),
      sizeBytes: asNumber(members.size, 'size'),
      createdAt: asNumber(members.created_at, 'created_at'),
      id: asString(members.object_id, 'object_id'),
      completed: asBoolean(members.completed, 'completed'),
      ...(!isAbsent(members.etag) && { etag: asString(members.etag, 'etag') }),
      // The only u64 that is not at the top of a value.
      ...(!isAbsent(members.offset_index) && { offsetIndex: offsetIndex(asObject(parseJson(text), 'object')) }),
    };
  });
}

function offsetIndex(object: { readonly offset_index?: Json }): readonly (readonly [bigint, bigint])[] {
  return asList(object.offset_index, 'offset_index').map((item, index) => {
    const pair = asList(item, `offset_index[${index}]`);
    const [offset, position] = pair;
    if (pair.length !== 2 || !isWhole(offset) || !isWhole(position))
      throw new ValueError(`offset_index[${index}] is not a pair of whole numbers`);
    return [BigInt(offset), BigInt(position)];
  });
}

function isWhole(json: Json | undefined): json is number | bigint {
  return typeof json === 'bigint' ? json >= 0n : Number.isSafeInteger(json) && Number(json) >= 0;
}

/** @throws RangeError when an offset is not a u64. */
export function encodeObject(object: StoredObject): string {
  const pairs = object.offsetIndex ?? [[object.startOffset, 0n]];
  return formatJson({
    completed: object.completed ?? true,
    created_at: object.createdAt,
    end_offset: u64(object.endOffset),
    etag: object.etag ?? null,
    object_id: objectId(object),
    offset_index: pairs.map((pair) => pair.map(u64)),
    size: object.sizeBytes,
    start_offset: u64(object.startOffset),
  });
}

/** The last offset that an uploaded object holds. */
export function decodeObjectEnd(bytes: Uint8Array): Decoded<bigint> {
  return decodeFields(bytes, 'object', (fields) => offsetField(fields, 'end_offset'));
}

/** The newest object's first offset. */
export function decodeCurrentObject(bytes: Uint8Array): Decoded<bigint> {
  return decodeFields(bytes, 'current object', ({ members }) => {
    const start = asString(members.start, 'start');
    if (!/^\d{20}$/.test(start)) throw new ValueError('start is not an offset in 20 digits');
    return BigInt(start);
  });
}

/** The value of `objects/cur`: the newest object's start, in 20 digits. */
export function encodeCurrentObject(startOffset: bigint): string {
  return formatJson({ start: u64(startOffset).toString().padStart(20, '0') });
}

export interface Producer {
  readonly id: string;
  readonly name: string;
  readonly topic: string;
  /** Absent: 0, which is shared. */
  readonly accessMode?: number;
  /** Absent: true. */
  readonly status?: boolean;
}

export function decodeProducer(bytes: Uint8Array): Decoded<Producer> {
  return decodeFields(bytes, 'producer', (fields) => ({
    id: idField(fields, 'producer_id'),
    name: asString(fields.members.producer_name, 'producer_name'),
    topic: asString(fields.members.topic_name, 'topic_name'),
    accessMode: asNumber(fields.members.access_mode, 'access_mode'),
    status: asBoolean(fields.members.status, 'status'),
  }));
}

/** @throws RangeError when the producer's id is not a u64. */
export function encodeProducer(producer: Producer): string {
  return formatJson({
    access_mode: producer.accessMode ?? 0,
    producer_id: u64(producer.id),
    producer_name: producer.name,
    status: producer.status ?? true,
    topic_name: producer.topic,
  });
}

export interface Subscription {
  readonly name: string;
  readonly consumerName: string;
  /** Never filled in by a broker. */
  readonly consumerId?: string;
  /** 0 is exclusive. */
  readonly type: number;
}

export function decodeSubscription(bytes: Uint8Array): Decoded<Subscription> {
  return decodeFields(bytes, 'subscription', (fields) => ({
    name: asString(fields.members.subscription_name, 'subscription_name'),
    consumerName: asString(fields.members.consumer_name, 'consumer_name'),
    ...(!isAbsent(fields.members.consumer_id) && { consumerId: idField(fields, 'consumer_id') }),
    type: asNumber(fields.members.subscription_type, 'subscription_type'),
  }));
}

/** An exclusive subscription, unless `details` say otherwise. @throws RangeError when the consumer's id is not a u64. */
export function encodeSubscription(
  subscription: string,
  consumerName: string,
  details: Partial<Pick<Subscription, 'consumerId' | 'type'>> = {},
): string {
  return formatJson({
    consumer_id: details.consumerId === undefined ? null : u64(details.consumerId),
    consumer_name: consumerName,
    subscription_name: subscription,
    subscription_type: details.type ?? 0,
  });
}
