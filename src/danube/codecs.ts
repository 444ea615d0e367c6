/** Every kind of key that brokers write, with how its value is read and written (contract 2.2). */
import { type Decoded, decodeText } from './fields.ts';
import { formatJson } from './json.ts';
import { type ParsedKey, parseKey } from './keys.ts';
import { applyDifference } from './rewrite.ts';
import * as settings from './settings.ts';
import * as values from './values.ts';

export interface Codec<T> {
  /** Never throws. */
  decode(bytes: Uint8Array): Decoded<T>;
  /** In the brokers' order of members. @throws RangeError for what a value of this kind cannot hold. */
  encode(value: T): string;
}

interface AnyCodec {
  decode(bytes: Uint8Array): Decoded<unknown>;
  encode(value: never): string;
}

const NULL: Codec<null> = { decode: values.decodeNull, encode: () => values.NULL_VALUE };
/** As text, copied as it is. */
const ANY_JSON: Codec<string> = { decode: values.decodeAnyJson, encode: (text) => text };
const U64: Codec<string> = { decode: values.decodeLeader, encode: values.encodeLeader };

/** Those of brokers' keys but the load report, whose older form needs the id in its key: see `loadReportCodec`. */
export const CODECS = {
  cluster: NULL,
  assignment: NULL,
  topic: NULL,
  leader: U64,
  registration: { decode: values.decodeRegistration, encode: values.encodeRegistration },
  brokerState: { decode: values.decodeBrokerState, encode: values.encodeBrokerState },
  unassigned: {
    decode: values.decodeMarker,
    encode: (marker: values.Marker) =>
      marker.kind === 'unknown' ? formatJson({ reason: marker.reason }) : values.encodeMarker(marker),
  },
  delivery: { decode: values.decodeDelivery, encode: values.encodeDelivery },
  cursor: { decode: values.decodeCursor, encode: values.encodeCursor },
  sealedState: { decode: values.decodeSealedState, encode: values.encodeSealedState },
  object: { decode: values.decodeObject, encode: values.encodeObject },
  currentObject: { decode: values.decodeCurrentObject, encode: values.encodeCurrentObject },
  producer: { decode: values.decodeProducer, encode: values.encodeProducer },
  subscription: {
    decode: values.decodeSubscription,
    encode: (subscription: values.Subscription) =>
      values.encodeSubscription(subscription.name, subscription.consumerName, subscription),
  },
  namespacePolicy: { decode: settings.decodePolicies, encode: settings.encodePolicies },
  topicPolicy: { decode: settings.decodePolicies, encode: settings.encodePolicies },
  topicRoot: ANY_JSON,
  schemaSubject: { decode: settings.decodeSchemaSubject, encode: settings.encodeSchemaSubject },
  schemaConfig: { decode: settings.decodeSchemaConfig, encode: settings.encodeSchemaConfig },
  schemaCompatibility: { decode: settings.decodeSchemaCompatibility, encode: settings.encodeSchemaCompatibility },
  schemaMetadata: ANY_JSON,
  schemaVersion: ANY_JSON,
  schemaById: ANY_JSON,
  nextSchemaId: ANY_JSON,
  rebalancingRecord: { decode: settings.decodeRebalancingRecord, encode: settings.encodeRebalancingRecord },
  loadBalance: ANY_JSON,
} as const satisfies Record<Exclude<ParsedKey['kind'], 'loadReport' | 'other'>, AnyCodec>;

/** `broker` is the id in the report's key. */
export function loadReportCodec(broker: string): Codec<values.LoadReport> {
  return { decode: (bytes) => values.decodeLoadReport(bytes, broker), encode: values.encodeLoadReport };
}

/**
 * The value with `change` made to it. Members that the codec does not know, or that do not change, stay byte for byte.
 * @throws RangeError when the changed value cannot be written.
 */
export function rewriteValue<T>(codec: Codec<T>, bytes: Uint8Array, change: (value: T) => T): Decoded<string> {
  const decoded = codec.decode(bytes);
  if (!decoded.ok) return decoded;
  const before = codec.encode(decoded.value);
  const after = codec.encode(change(decoded.value));
  return decodeText(bytes, (text) => applyDifference(text, before, after));
}

/** What is wrong with a key of the brokers, or with its value, in words; undefined when nothing is. Never throws. */
export function problemWith(key: string, value: Uint8Array): string | undefined {
  const parsed = parseKey(key);
  if (parsed.kind === 'other') return parsed.problem;
  const codec: AnyCodec = parsed.kind === 'loadReport' ? loadReportCodec(parsed.broker) : CODECS[parsed.kind];
  const decoded = codec.decode(value);
  return decoded.ok ? undefined : decoded.problem;
}
