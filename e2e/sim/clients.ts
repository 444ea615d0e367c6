/** Hand-driven clients for tests: what the real ones do, one call at a time. */
import type { Delivery } from '../../src/danube/values.ts';
import type { Connection } from '../../src/sim/client/connection.ts';
import { RequestError } from '../../src/sim/protocol.ts';
import { until } from '../process/until.ts';

export interface TestProducer {
  readonly id: string;
  /** Sends that many messages, one after the other, and gives their offsets. */
  send(count: number): Promise<readonly string[]>;
}

export async function createProducer(connection: Connection, topic: string): Promise<TestProducer> {
  const { producer = '' } = await connection.call({ op: 'producer', topic, name: 'p' });
  let sent = 0;
  return {
    id: producer,
    async send(count) {
      const offsets: string[] = [];
      for (let left = count; left > 0; left--) {
        sent += 1;
        const { offset = '' } = await connection.call({
          op: 'send',
          producer,
          messageId: `${producer}-${sent}`,
          bytes: 100,
        });
        offsets.push(offset);
      }
      return offsets;
    },
  };
}

export interface TestConsumer {
  /** In the order of arrival. */
  readonly offsets: string[];
  readonly messageIds: string[];
  ended: boolean;
  /** Resolves when that many have come. */
  received(count: number): Promise<void>;
  close(): Promise<void>;
}

/** Acknowledges every message, up to `ackAtMost` of them. */
export async function subscribe(
  connection: Connection,
  topic: string,
  subscription: string,
  ackAtMost = Number.POSITIVE_INFINITY,
): Promise<TestConsumer> {
  let id = '';
  const consumer: TestConsumer = {
    offsets: [],
    messageIds: [],
    ended: false,
    received: async (count) => {
      await until(() => consumer.messageIds.length >= count, {
        what: `message ${count} of ${topic}/${subscription} (so far ${consumer.messageIds.length})`,
        intervalMs: 10,
      });
    },
    close: async () => {
      await connection.call({ op: 'close', consumer: id });
    },
  };
  id = await connection.subscribe(
    { op: 'subscribe', topic, subscription, name: 'c' },
    {
      onMessage({ messageId, offset }, from) {
        consumer.messageIds.push(messageId);
        if (offset === undefined) return;
        consumer.offsets.push(offset);
        if (consumer.offsets.length > ackAtMost) return;
        connection.call({ op: 'ack', consumer: from, offset }).catch(ignoreLoss);
      },
      onEnd() {
        consumer.ended = true;
      },
    },
  );
  return consumer;
}

/** A broker that was killed answers no acknowledgement. */
function ignoreLoss(error: unknown): void {
  if (!(error instanceof RequestError)) throw error;
}

/** Resolves when the broker serves the topic itself. */
export async function servedBy(connection: Connection, topic: string): Promise<void> {
  await until(async () => (await connection.call({ op: 'lookup', topic })).local, {
    what: `${connection.url} to serve ${topic}`,
    intervalMs: 20,
  });
}

/** The answer comes when somebody has assigned the topic; after 2.3 s without, the broker gives up (contract M1). */
export function createTopic(connection: Connection, topic: string, delivery: Delivery): Promise<unknown> {
  return connection.call({ op: 'createTopic', topic, delivery });
}

/** For who sees to it that the topic is assigned, however long that takes: the broker has created it also if it gives up. */
export async function beginTopic(connection: Connection, topic: string, delivery: Delivery): Promise<void> {
  try {
    await createTopic(connection, topic, delivery);
  } catch (error) {
    if (!(error instanceof RequestError && error.code === 'UNAVAILABLE')) throw error;
  }
}
