/** What brokers keep beside topics and namespaces, and their own history of moves (contract 2.2). Read to be shown. */
import { asBoolean, asNumber, asString, type Decoded, decodeFields, decodeValue, idField } from './fields.ts';
import { formatJson, jsonFloat } from './json.ts';
import { u64 } from './u64.ts';

/** Limits of a namespace or of a topic; 0 is none. */
export interface Policies {
  readonly maxConsumersPerSubscription: number;
  readonly maxConsumersPerTopic: number;
  readonly maxMessageSizeBytes: number;
  readonly maxProducersPerTopic: number;
  readonly maxPublishRate: number;
  readonly maxSubscriptionDispatchRate: number;
  readonly maxSubscriptionsPerTopic: number;
}

export function decodePolicies(bytes: Uint8Array): Decoded<Policies> {
  return decodeFields(bytes, 'policy', ({ members }) => {
    const limit = (name: string): number => asNumber(members[name], name);
    return {
      maxConsumersPerSubscription: limit('max_consumers_per_subscription'),
      maxConsumersPerTopic: limit('max_consumers_per_topic'),
      maxMessageSizeBytes: limit('max_message_size'),
      maxProducersPerTopic: limit('max_producers_per_topic'),
      maxPublishRate: limit('max_publish_rate'),
      maxSubscriptionDispatchRate: limit('max_subscription_dispatch_rate'),
      maxSubscriptionsPerTopic: limit('max_subscriptions_per_topic'),
    };
  });
}

export function encodePolicies(policies: Policies): string {
  return formatJson({
    max_consumers_per_subscription: policies.maxConsumersPerSubscription,
    max_consumers_per_topic: policies.maxConsumersPerTopic,
    max_message_size: policies.maxMessageSizeBytes,
    max_producers_per_topic: policies.maxProducersPerTopic,
    max_publish_rate: policies.maxPublishRate,
    max_subscription_dispatch_rate: policies.maxSubscriptionDispatchRate,
    max_subscriptions_per_topic: policies.maxSubscriptionsPerTopic,
  });
}

/** The subject whose schemas a topic's messages follow. */
export function decodeSchemaSubject(bytes: Uint8Array): Decoded<string> {
  return decodeValue(bytes, (value) => asString(value, 'schema subject'));
}

export function encodeSchemaSubject(subject: string): string {
  return formatJson(subject);
}

export interface SchemaConfig {
  readonly subject: string;
  readonly validationPolicy: string;
  readonly enablePayloadValidation: boolean;
}

export function decodeSchemaConfig(bytes: Uint8Array): Decoded<SchemaConfig> {
  return decodeFields(bytes, 'schema config', ({ members }) => ({
    subject: asString(members.subject, 'subject'),
    validationPolicy: asString(members.validation_policy, 'validation_policy'),
    enablePayloadValidation: asBoolean(members.enable_payload_validation, 'enable_payload_validation'),
  }));
}

export function encodeSchemaConfig(config: SchemaConfig): string {
  return formatJson({
    enable_payload_validation: config.enablePayloadValidation,
    subject: config.subject,
    validation_policy: config.validationPolicy,
  });
}

/** Which changes of a subject's schema are taken; the brokers' own words. */
export function decodeSchemaCompatibility(bytes: Uint8Array): Decoded<string> {
  return decodeFields(bytes, 'compatibility', ({ members }) => asString(members.mode, 'mode'));
}

export function encodeSchemaCompatibility(mode: string): string {
  return formatJson({ mode });
}

/** One move that a broker's own rebalancer made. */
export interface RebalancingRecord {
  readonly topic: string;
  readonly fromBroker: string;
  readonly toBroker: string;
  readonly reason: string;
  readonly estimatedLoad: number;
  /** Unix seconds. */
  readonly timestamp: number;
}

export function decodeRebalancingRecord(bytes: Uint8Array): Decoded<RebalancingRecord> {
  return decodeFields(bytes, 'record', (fields) => ({
    topic: asString(fields.members.topic, 'topic'),
    fromBroker: idField(fields, 'from_broker'),
    toBroker: idField(fields, 'to_broker'),
    reason: asString(fields.members.reason, 'reason'),
    estimatedLoad: asNumber(fields.members.estimated_load, 'estimated_load'),
    timestamp: asNumber(fields.members.timestamp, 'timestamp'),
  }));
}

/** @throws RangeError when a broker is not a u64 or the load is not finite. */
export function encodeRebalancingRecord(record: RebalancingRecord): string {
  return formatJson({
    estimated_load: jsonFloat(record.estimatedLoad),
    from_broker: u64(record.fromBroker),
    reason: record.reason,
    timestamp: record.timestamp,
    to_broker: u64(record.toBroker),
    topic: record.topic,
  });
}
