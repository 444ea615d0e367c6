/**
 * The topics that a broker serves, and their clients. Loading, unloading and local deletion follow contract 5.1 and M3 to
 * M7, in the order of the recorded keys.
 */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { cursorKey, producerKey, producersPrefix, subscriptionKey, subscriptionsPrefix } from '../../danube/keys.ts';
import { type Delivery, decodeCursor, encodeCursor, encodeProducer, encodeSubscription } from '../../danube/values.ts';
import type { EtcdPort } from '../../etcd/port.ts';
import { type Message, RequestError } from '../protocol.ts';
import type { TopicCost } from './load.ts';
import type { Metrics } from './metrics.ts';
import type { Storage } from './storage.ts';
import {
  acknowledge,
  connected,
  createTopic,
  detach,
  dispatch,
  lagOf,
  newReader,
  publish,
  type Reader,
  type Subscription,
  type Topic,
} from './topic.ts';
import { put, remove } from './write.ts';

export interface Service {
  serves(topic: string): boolean;
  topics(): Iterable<Topic>;
  /** Messages' bytes in and out since the start. */
  networkBytes(): number;
  /** Not idempotent: a served topic is built anew over the live one, whose clients are stranded (contract 5.1). */
  load(topic: string, delivery: Delivery): Promise<void>;
  /** Clean hand-over after a marker "unload". */
  unload(topic: string): Promise<void>;
  /** Anything else that takes the assignment away: storage and cursors are destroyed, too (M3). */
  deleteLocal(topic: string): Promise<void>;
  uploadAll(): Promise<void>;
  /** Brings the gauges up to date. */
  collect(): void;

  /** The new producer's id. @throws RequestError */
  createProducer(topic: string, name: string): Promise<string>;
  /** The message's offset; undefined on a non-reliable topic. @throws RequestError */
  send(producer: string, messageId: string, bytes: number): bigint | undefined;
  /** The new consumer's id. @throws RequestError */
  subscribe(request: SubscribeRequest): Promise<string>;
  /** @throws RequestError */
  ack(consumer: string, offset: bigint): void;
  closeConsumer(consumer: string): void;
}

export interface SubscribeRequest {
  readonly topic: string;
  readonly subscription: string;
  /** The consumer's own name. */
  readonly name: string;
  readonly deliver: (consumer: string, message: Message) => void;
  readonly end: (consumer: string) => void;
}

interface ServiceDependencies {
  readonly etcd: EtcdPort;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly storage: Storage;
  readonly cost: TopicCost;
  readonly cursorIntervalMs: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

interface Attached {
  readonly topic: Topic;
  readonly subscription: Subscription;
}

export function createService(deps: ServiceDependencies): Service {
  const { etcd, log, metrics, storage, cost } = deps;
  const topics = new Map<string, Topic>();
  const producers = new Map<string, Topic>();
  const consumers = new Map<string, Attached>();
  // Grows with every load, also of a topic that is served already, as the real gauge does (contract 5.1).
  let owned = 0;
  let networkBytes = 0;

  function topicOrFail(name: string): Topic {
    const topic = topics.get(name);
    if (!topic) throw new RequestError('NOT_FOUND', `topic ${name} is not served by this broker; look it up again`);
    return topic;
  }

  /** From here on producers get NOT_FOUND; a reliable consumer's stream stays open without a word (M7). */
  function strandClients(topic: Topic): void {
    for (const id of topic.producers) producers.delete(id);
    for (const [id, attached] of consumers) if (attached.topic === topic) consumers.delete(id);
  }

  function release(name: string): Topic | undefined {
    const topic = topics.get(name);
    if (!topic) return undefined;
    topics.delete(name);
    owned -= 1;
    strandClients(topic);
    cost.forget(name);
    setGauges(topic, { producers: 0, consumers: 0, subscriptions: 0 });
    for (const subscription of topic.subscriptions.values()) setConsumers(topic, subscription, 0);
    if (!topic.log) for (const { consumer } of topic.subscriptions.values()) consumer?.end();
    return topic;
  }

  /** Never while a consumer is connected (M5). */
  async function flushCursors(topic: Topic): Promise<void> {
    for (const { name, consumer, reader } of topic.subscriptions.values()) {
      if (!consumer && reader) await writeCursor(topic.name, name, reader);
    }
  }

  function writeCursorIfDue(topic: Topic, { name, reader }: Subscription): void {
    const now = deps.now();
    if (!reader || now - reader.cursorWrittenAt < deps.cursorIntervalMs) return;
    reader.cursorWrittenAt = now;
    writeCursor(topic.name, name, reader).catch((error: unknown) =>
      log.warn({ topic: topic.name, subscription: name, err: error }, 'cursor not written'),
    );
  }

  function writeCursor(topic: string, subscription: string, reader: Reader): Promise<void> {
    async function write(): Promise<void> {
      if (reader.acked !== undefined) await put(etcd, cursorKey(topic, subscription), encodeCursor(reader.acked));
    }
    // A write that failed was reported to its own caller.
    reader.cursorWrites = reader.cursorWrites.catch(() => undefined).then(write);
    return reader.cursorWrites;
  }

  async function removeAll(prefix: string): Promise<void> {
    const { entries } = await etcd.read(prefix);
    for (const { key } of entries) await remove(etcd, key);
  }

  async function storedCursor(topic: string, subscription: string): Promise<bigint | undefined> {
    const entry = await etcd.get(cursorKey(topic, subscription));
    const cursor = entry && decodeCursor(entry.value);
    return cursor?.ok ? cursor.value : undefined;
  }

  function setGauges(topic: Topic, counts: ReturnType<typeof connected>): void {
    const labels = { topic: topic.name };
    metrics.set('danube_topic_active_producers', labels, counts.producers);
    metrics.set('danube_topic_active_consumers', labels, counts.consumers);
    metrics.set('danube_topic_active_subscriptions', labels, counts.subscriptions);
  }

  function setConsumers(topic: Topic, { name }: Subscription, count: number): void {
    metrics.set('danube_subscription_active_consumers', { topic: topic.name, subscription: name }, count);
  }

  return {
    serves: (topic) => topics.has(topic),
    topics: () => topics.values(),
    networkBytes: () => networkBytes,

    async load(name, delivery) {
      const live = topics.get(name);
      if (live) strandClients(live);
      const topic = createTopic(name, delivery, delivery === 'Reliable' ? await storage.open(name) : undefined);
      topics.set(name, topic);
      owned += 1;
    },

    async unload(name) {
      const topic = release(name);
      if (!topic) return;
      if (topic.log) {
        await flushCursors(topic);
        await storage.seal(topic.log);
        await removeAll(producersPrefix(name));
        // The real one writes them a second time when its dispatchers end.
        await flushCursors(topic);
      } else {
        await removeAll(producersPrefix(name));
        await removeAll(subscriptionsPrefix(name));
      }
    },

    async deleteLocal(name) {
      // A topic that was only bounced is not loaded, and nothing of it is touched (M19).
      const topic = release(name);
      if (topic?.log) await storage.destroy(topic.log);
    },

    async uploadAll() {
      for (const topic of [...topics.values()]) if (topic.log) await storage.upload(topic.log);
    },

    collect() {
      metrics.set('danube_broker_topics_owned', {}, owned);
      for (const topic of topics.values()) {
        setGauges(topic, connected(topic));
        for (const subscription of topic.subscriptions.values()) {
          setConsumers(topic, subscription, subscription.consumer ? 1 : 0);
          const { name, consumer, reader } = subscription;
          if (!topic.log || !reader || !consumer) continue;
          // No topic label, so equal subscription names of two topics collide, as in the real one (contract 7).
          metrics.set('danube_subscription_lag_messages', { subscription: name }, lagOf(topic.log, reader));
        }
      }
    },

    async createProducer(name, producerName) {
      const topic = topicOrFail(name);
      const id = randomId();
      await put(etcd, producerKey(name, id), encodeProducer({ id, name: producerName, topic: name }));
      // Moved away meanwhile: the key stays behind, the producer does not exist.
      if (topics.get(name) !== topic) throw new RequestError('UNAVAILABLE', `topic ${name} has just moved`);
      topic.producers.add(id);
      producers.set(id, topic);
      return id;
    },

    send(producer, messageId, bytes) {
      const topic = producers.get(producer);
      if (!topic) throw new RequestError('NOT_FOUND', `producer with id ${producer} does not exist`);
      networkBytes += bytes;
      cost.received(topic.name, bytes);
      const offset = publish(topic, messageId, bytes);
      const labels = { topic: topic.name };
      metrics.add('danube_topic_messages_in_total', labels);
      metrics.add('danube_topic_bytes_in_total', labels, bytes);
      metrics.add('danube_producer_send_total', { ...labels, result: 'ok', error_code: 'OK' });
      if (offset !== undefined) {
        metrics.add('danube_wal_append_total', labels);
        metrics.add('danube_wal_append_bytes_total', labels, bytes);
      }
      return offset;
    },

    async subscribe(request) {
      const topic = topicOrFail(request.topic);
      const busy = `subscription ${request.subscription} of ${topic.name} has a consumer already; it is exclusive`;
      if (topic.subscriptions.get(request.subscription)?.consumer) throw new RequestError('ALREADY_EXISTS', busy);
      const cursor = topic.log && (await storedCursor(topic.name, request.subscription));
      await put(
        etcd,
        subscriptionKey(topic.name, request.subscription),
        encodeSubscription(request.subscription, request.name),
      );
      if (topics.get(topic.name) !== topic) throw new RequestError('UNAVAILABLE', `topic ${topic.name} has just moved`);
      const subscription = topic.subscriptions.get(request.subscription) ?? {
        name: request.subscription,
        consumer: undefined,
        reader: topic.log && newReader({ log: topic.log, cursor, now: deps.now() }),
      };
      if (subscription.consumer) throw new RequestError('ALREADY_EXISTS', busy);
      topic.subscriptions.set(subscription.name, subscription);
      const id = randomId();
      const labels = { topic: topic.name, subscription: subscription.name };
      subscription.consumer = {
        id,
        deliver(message) {
          networkBytes += message.bytes;
          metrics.add('danube_consumer_messages_out_total', labels);
          metrics.add('danube_consumer_bytes_out_total', labels, message.bytes);
          request.deliver(id, message);
        },
        end: () => request.end(id),
      };
      consumers.set(id, { topic, subscription });
      // After the answer: a client must know the consumer's id before its first message.
      const { log: topicLog } = topic;
      if (topicLog) setImmediate(() => dispatch(topicLog, subscription));
      return id;
    },

    ack(consumer, offset) {
      const attached = consumers.get(consumer);
      if (!attached) throw new RequestError('NOT_FOUND', `consumer with id ${consumer} does not exist`);
      const { topic, subscription } = attached;
      if (!topic.log || !subscription.reader || !acknowledge(subscription.reader, offset)) return;
      writeCursorIfDue(topic, subscription);
      dispatch(topic.log, subscription);
    },

    closeConsumer(consumer) {
      const attached = consumers.get(consumer);
      if (!attached) return;
      consumers.delete(consumer);
      detach(attached.subscription);
    },
  };
}

/** Over the full range of u64, as the real ids: most are beyond 2^53 (contract 2.1). */
export function randomId(): string {
  return randomBytes(8).readBigUInt64BE().toString();
}
