import { describe, expect, it } from 'vitest';
import type { Message } from '../protocol.ts';
import type { LogRecord, TopicLog } from './log.ts';
import {
  acknowledge,
  createTopic,
  detach,
  dispatch,
  lagOf,
  newReader,
  publish,
  type Subscription,
  type Topic,
} from './topic.ts';

/** A log in memory that holds records with these offsets and goes on at `next`. */
function memoryLog(held: readonly number[], next: number): TopicLog {
  const records: LogRecord[] = held.map((offset) => ({ offset: BigInt(offset), messageId: `old-${offset}`, bytes: 1 }));
  let nextOffset = BigInt(next);
  return {
    topic: '/default/t',
    nextOffset: () => nextOffset,
    start: () => 0,
    end: () => records.length,
    at: (position) => records[position],
    append(messageId, bytes) {
      const record = { offset: nextOffset, messageId, bytes };
      records.push(record);
      nextOffset += 1n;
      return record;
    },
    uploadedTo: () => 0,
    markUploaded: () => Promise.resolve(),
    destroy: () => undefined,
  };
}

interface Setup {
  readonly held?: readonly number[];
  readonly next?: number;
  readonly cursor?: bigint;
}

/** A reliable topic with one subscription, whose consumer acknowledges everything at once. */
function reliable({ held = [], next = 0, cursor }: Setup): { topic: Topic; subscription: Subscription; got: number[] } {
  const log = memoryLog(held, next);
  const topic = createTopic('/default/t', 'Reliable', log);
  const got: number[] = [];
  const subscription: Subscription = { name: 's', consumer: undefined, reader: newReader({ log, cursor, now: 0 }) };
  subscription.consumer = {
    id: '1',
    end: () => undefined,
    deliver({ offset = '' }) {
      got.push(Number(offset));
      if (!subscription.reader || !acknowledge(subscription.reader, BigInt(offset))) throw new Error('not pending');
      dispatch(log, subscription);
    },
  };
  topic.subscriptions.set('s', subscription);
  dispatch(log, subscription);
  return { topic, subscription, got };
}

function publishMany(topic: Topic, count: number): void {
  for (let index = 0; index < count; index++) publish(topic, `new-${index}`, 1);
}

describe('a reliable subscription', () => {
  it('goes on after its cursor', () => {
    expect(reliable({ held: [0, 1, 2, 3], next: 4, cursor: 1n }).got).toEqual([2, 3]);
  });

  it('M5: starts at the newest message when no cursor was ever stored', () => {
    const { topic, got } = reliable({ held: [0, 1, 2], next: 3 });
    publishMany(topic, 2);

    expect(got).toEqual([3, 4]);
  });

  it('M9: hears nothing of messages whose offsets are below what it waits for', () => {
    const { topic, got } = reliable({ next: 0, cursor: 9n });
    publishMany(topic, 12);

    expect(got).toEqual([10, 11]);
  });

  it('M13: reads the file in its order; offsets given out again below what it has read are skipped', () => {
    const { topic, got } = reliable({ held: [0, 1, 2, 3, 4], next: 3, cursor: 1n });
    publishMany(topic, 4);

    expect(got).toEqual([2, 3, 4, 5, 6]);
  });

  it('M14: crosses a gap', () => {
    const { topic, got } = reliable({ held: [0, 1], next: 100, cursor: 0n });
    publishMany(topic, 1);

    expect(got).toEqual([1, 100]);
  });

  it('delivers the next message only after an acknowledgement, and an unacknowledged one again', () => {
    const { topic, subscription } = reliable({});
    const { log } = topic;
    const first: Message[] = [];
    const second: Message[] = [];
    subscription.consumer = { id: '2', end: () => undefined, deliver: (message) => first.push(message) };
    publishMany(topic, 2);

    detach(subscription);
    subscription.consumer = { id: '3', end: () => undefined, deliver: (message) => second.push(message) };
    if (log) dispatch(log, subscription);

    expect(first.map(({ offset }) => offset)).toEqual(['0']);
    expect(second.map(({ offset }) => offset)).toEqual(['0']);
  });

  it('lags by what it has not acknowledged', () => {
    const { topic, subscription } = reliable({});
    subscription.consumer = { id: '2', end: () => undefined, deliver: () => undefined };
    publishMany(topic, 3);

    if (!topic.log || !subscription.reader) throw new Error('not reliable');
    expect(lagOf(topic.log, subscription.reader)).toBe(3);
    acknowledge(subscription.reader, 0n);
    expect(lagOf(topic.log, subscription.reader)).toBe(2);
  });
});

describe('a non-reliable topic', () => {
  it('delivers to whoever is connected, and keeps nothing', () => {
    const topic = createTopic('/default/t', 'NonReliable', undefined);
    const got: Message[] = [];
    const subscription: Subscription = { name: 's', consumer: undefined, reader: undefined };
    topic.subscriptions.set('s', subscription);

    expect(publish(topic, 'm1', 5)).toBeUndefined();
    subscription.consumer = { id: '1', end: () => undefined, deliver: (message) => got.push(message) };
    publish(topic, 'm2', 5);

    expect(got).toEqual([{ messageId: 'm2', bytes: 5 }]);
    expect([topic.messagesIn, topic.bytesIn]).toEqual([2, 10]);
  });
});
