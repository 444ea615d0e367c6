/**
 * A cluster on paper: brokers and an operator that do everything right, as keys of etcd, one transaction after the other. For
 * tests: a legal history is made of its steps, a fault by leaving one out or doing it wrongly.
 */
import {
  assignmentKey,
  brokerStateKey,
  currentObjectKey,
  cursorKey,
  deliveryKey,
  LEADER_KEY,
  loadReportKey,
  objectKey,
  producerKey,
  registrationKey,
  sealedStateKey,
  subscriptionKey,
  topicKey,
  unassignedKey,
} from '../keys.ts';
import { OWN_PREFIX } from '../metadata.ts';
import { encodeMarker } from '../values.ts';
import type { AuditedEntry, AuditedEvent } from './events.ts';

export const ROOT = '/danube-data';
export const OPERATOR = '4242';
export const MARGIN = 100_000;

/** A put with its value, or a deletion. */
export type Write = readonly [key: string, value: string] | readonly [key: string];

export interface PaperTopic {
  readonly name: string;
  readonly reliable: boolean;
  owner: string | undefined;
  /** Last offset given out; -1 before the first. */
  head: number;
  uploaded: number;
  cursor: number | undefined;
  objects: number[];
  hosts: string[];
}

export interface PaperCluster {
  readonly events: AuditedEvent[];
  readonly topics: PaperTopic[];
  /** Broker processes that live, with their addresses. */
  readonly live: Map<string, string>;
  revision(): number;
  epoch(): number;
  /** One transaction of anybody. */
  write(...writes: readonly Write[]): void;
  /** One transaction of the operator. */
  commit(...writes: readonly Write[]): void;
  /** A replica takes over. */
  takeFence(): void;
  bootBroker(address?: string): string;
  /** A topic with its owner; a reliable one with a producer and a subscription. */
  createTopic(reliable: boolean, owner: string): PaperTopic;
  /** Messages are produced, uploaded, consumed and their cursor is stored. */
  produce(topic: PaperTopic, messages: number): void;
  // The steps of a move (contract 5.3).
  unload(topic: PaperTopic): void;
  flush(topic: PaperTopic): void;
  seal(topic: PaperTopic, source: string): void;
  assignUnloaded(topic: PaperTopic, target: string): void;
  load(topic: PaperTopic): void;
  move(topic: PaperTopic, target: string): void;
  /** The process ends; its registration goes with its lease. */
  killBroker(broker: string): void;
  failOver(topic: PaperTopic, target: string): void;
  deleteTopic(topic: PaperTopic): void;
}

export function createPaperCluster(): PaperCluster {
  const events: AuditedEvent[] = [];
  const topics: PaperTopic[] = [];
  const live = new Map<string, string>();
  let revision = 1;
  let epoch = 0;
  let transactions = 0;
  let brokersBooted = 0;
  let topicsMade = 0;

  function write(...writes: readonly Write[]): void {
    revision++;
    for (const [key, value] of writes) {
      const entry = { key, value: Buffer.from(value ?? ''), modRevision: revision };
      events.push({ type: value === undefined ? 'delete' : 'put', entry });
    }
  }

  function commit(...writes: readonly Write[]): void {
    transactions++;
    write([`${OWN_PREFIX}commits/main`, JSON.stringify({ epoch, transaction: `t${transactions}` })], ...writes);
  }

  function seed(topic: PaperTopic, dead: string): Write {
    topic.head += MARGIN;
    return [sealedStateKey(ROOT, topic.name), sealed(dead, topic.head)];
  }

  function ownedBy(topic: PaperTopic, broker: string | undefined): void {
    topic.owner = broker;
    if (broker !== undefined && !topic.hosts.includes(broker)) topic.hosts.push(broker);
  }

  const cluster: PaperCluster = {
    events,
    topics,
    live,
    revision: () => revision,
    epoch: () => epoch,
    write,
    commit,

    takeFence() {
      epoch++;
      write([`${OWN_PREFIX}fence`, JSON.stringify({ epoch, holder: `replica-${epoch % 2}`, nonce: `n${epoch}` })]);
      if (epoch === 1) write([LEADER_KEY, OPERATOR]);
    },

    bootBroker(address = `http://10.0.0.${brokersBooted + 1}:6650`) {
      brokersBooted++;
      // Beyond 2^53, as most ids are.
      const id = (2n ** 63n + BigInt(brokersBooted)).toString();
      const registration = { admin_addr: address, broker_url: address, connect_url: address };
      write([registrationKey(id), JSON.stringify(registration)]);
      write([brokerStateKey(id), '{"mode":"active","reason":"boot"}']);
      write([loadReportKey(id), `{"broker_id":${id},"resources_usage":[],"timestamp":1}`]);
      for (const [other, at] of live) if (at === address) live.delete(other);
      live.set(id, address);
      return id;
    },

    createTopic(reliable, owner) {
      topicsMade++;
      const name = `/default/t${topicsMade}`;
      const topic = { name, reliable, owner, head: -1, uploaded: -1, cursor: undefined, objects: [], hosts: [owner] };
      write([unassignedKey(name), 'null']);
      write([topicKey(name), 'null']);
      write([deliveryKey(name), reliable ? '"Reliable"' : '"NonReliable"']);
      commit([assignmentKey(owner, name), 'null'], [unassignedKey(name)]);
      write([producerKey(name, '77'), '{}']);
      write([subscriptionKey(name, 's'), '{}']);
      topics.push(topic);
      return topic;
    },

    produce(topic, messages) {
      if (!topic.reliable) return;
      const start = topic.head + 1;
      topic.head += messages;
      const object = { start_offset: start, end_offset: topic.head, size: messages, completed: true };
      write([objectKey(ROOT, topic.name, BigInt(start)), JSON.stringify(object)]);
      write([currentObjectKey(ROOT, topic.name), JSON.stringify({ start: String(start).padStart(20, '0') })]);
      topic.objects.push(start);
      topic.uploaded = topic.head;
      topic.cursor = topic.head;
      write([cursorKey(topic.name, 's'), String(topic.cursor)]);
    },

    unload(topic) {
      const source = topic.owner ?? '';
      const marker = encodeMarker({ kind: 'unload', fromBroker: source });
      commit([unassignedKey(topic.name), marker], [assignmentKey(source, topic.name)]);
      topic.owner = undefined;
    },

    flush(topic) {
      if (topic.cursor !== undefined) write([cursorKey(topic.name, 's'), String(topic.cursor)]);
    },

    seal(topic, source) {
      if (topic.reliable) write([sealedStateKey(ROOT, topic.name), sealed(source, Math.max(topic.head, 0))]);
      write([producerKey(topic.name, '77')]);
    },

    assignUnloaded(topic, target) {
      commit([assignmentKey(target, topic.name), 'null'], [unassignedKey(topic.name)]);
      ownedBy(topic, target);
    },

    load(topic) {
      if (topic.reliable) write([sealedStateKey(ROOT, topic.name)]);
      write([producerKey(topic.name, '77'), '{}']);
    },

    move(topic, target) {
      const source = topic.owner ?? '';
      cluster.unload(topic);
      cluster.flush(topic);
      cluster.seal(topic, source);
      cluster.assignUnloaded(topic, target);
      cluster.load(topic);
    },

    killBroker(broker) {
      live.delete(broker);
      write([registrationKey(broker)]);
    },

    failOver(topic, target) {
      const dead = topic.owner ?? '';
      const record = { kind: 'Failover', broker: dead, proof: 'LeaseExpired' };
      commit(
        [assignmentKey(target, topic.name), 'null'],
        [assignmentKey(dead, topic.name)],
        [`${OWN_PREFIX}history/${revision}`, JSON.stringify(record)],
        ...(topic.reliable ? [seed(topic, dead)] : []),
      );
      ownedBy(topic, target);
      cluster.load(topic);
    },

    // A broker deletes the assignment first; its owner destroys the storage while the rest goes (contract 2.4).
    deleteTopic(topic) {
      const { name } = topic;
      write([assignmentKey(topic.owner ?? '', name)]);
      if (topic.reliable) {
        write([sealedStateKey(ROOT, name), sealed(topic.owner ?? '', Math.max(topic.head, 0))]);
        for (const start of topic.objects) write([objectKey(ROOT, name, BigInt(start))]);
        if (topic.objects.length > 0) write([currentObjectKey(ROOT, name)]);
      }
      write([topicKey(name)]);
      if (topic.reliable) write([sealedStateKey(ROOT, name)]);
      if (topic.cursor !== undefined) write([cursorKey(name, 's')]);
      write([producerKey(name, '77')]);
      write([subscriptionKey(name, 's')]);
      write([deliveryKey(name)]);
      topics.splice(topics.indexOf(topic), 1);
    },
  };
  cluster.takeFence();
  return cluster;
}

/** What stands in etcd after these events. */
export function standing(events: readonly AuditedEvent[]): readonly AuditedEntry[] {
  const entries = new Map<string, AuditedEntry>();
  for (const { type, entry } of events) {
    if (type === 'put') entries.set(entry.key, entry);
    else entries.delete(entry.key);
  }
  return [...entries.values()];
}

export function sealed(broker: string, offset: number): string {
  return `{"broker_id":${broker},"last_committed_offset":${offset},"sealed":true,"timestamp":1}`;
}
