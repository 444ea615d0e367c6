/**
 * A client as the real one behaves, in an application that does nothing on its own (M1, M7, M8): producer creation gives up
 * when the topic has no owner in time; NOT_FOUND is not retried, so a producer whose topic has moved fails for ever; after a
 * crash it asks the broker that it knows, dead or alive, for the new address; a reliable consumer waits for ever on a
 * stream that stays open, and a non-reliable one is over when its stream ends. A message that fails is given up.
 */
import { CREATION_GIVES_UP_AFTER_MS, RequestError } from '../protocol.ts';
import type { Connection } from './connection.ts';
import {
  askForOwner,
  atRate,
  createThrough,
  pause,
  reasonOf,
  sendOnce,
  type TopicClient,
  takeMessage,
} from './session.ts';

const CREATION_RETRY_MS = 100;
const RECONNECT_MS = 1_000;

interface Producer {
  readonly id: string;
  readonly connection: Connection;
}

/** Resolves when `ending` is aborted, or when the topic could not be set up. @throws Error on a defect of the client */
export async function runPlain(client: TopicClient): Promise<void> {
  const { spec, serviceUrls, write, ending, now } = client;
  let home: Connection;
  let producer: Producer;
  try {
    home = await findOrCreate(client, serviceUrls[0] ?? '');
    const owner = home;
    for (const subscription of spec.subscriptions) {
      await whileCreating(client, () => consume(client, owner, subscription, true));
    }
    producer = await whileCreating(client, () => createProducer(client, owner));
  } catch (error) {
    write({ kind: 'interrupted', topic: spec.topic, role: 'topic', reason: reasonOf(error), at: now() });
    return;
  }
  client.onReady();
  let sent = 0;
  await atRate(spec.messagesPerSecond, AbortSignal.any([ending, client.draining]), async () => {
    sent += 1;
    try {
      if (producer.connection.lost.aborted) {
        producer = await createProducer(client, await askForOwner(client, home.url));
      }
      await sendOnce(client, producer.connection, producer.id, {
        messageId: `${client.tag}-${sent}`,
        sentAt: now(),
      });
    } catch (error) {
      write({ kind: 'interrupted', topic: spec.topic, role: 'producer', reason: reasonOf(error), at: now() });
    }
  });
}

/** A topic that has just been assigned is not loaded yet: tried again for as long as the creation itself would be. */
async function whileCreating<T>({ now, ending }: TopicClient, attempt: () => Promise<T>): Promise<T> {
  const giveUpAt = now() + CREATION_GIVES_UP_AFTER_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      reasonOf(error);
      if (now() >= giveUpAt || ending.aborted) throw error;
      await pause(CREATION_RETRY_MS, ending);
    }
  }
}

async function findOrCreate(client: TopicClient, url: string): Promise<Connection> {
  try {
    return await askForOwner(client, url);
  } catch (error) {
    if (!(error instanceof RequestError && error.code === 'NOT_FOUND')) throw error;
    return createThrough(client, url);
  }
}

async function createProducer({ spec, tag, now }: TopicClient, connection: Connection): Promise<Producer> {
  const { producer = '' } = await connection.call({ op: 'producer', topic: spec.topic, name: `p-${tag}-${now()}` });
  return { id: producer, connection };
}

async function consume(
  client: TopicClient,
  connection: Connection,
  subscription: string,
  first: boolean,
): Promise<void> {
  const { spec, write, now, ending } = client;
  function interrupted(reason: string): void {
    write({ kind: 'interrupted', topic: spec.topic, role: 'consumer', reason, at: now() });
  }
  await connection.subscribe(
    { op: 'subscribe', topic: spec.topic, subscription, name: `c-${client.tag}` },
    {
      onMessage(message, consumer) {
        takeMessage(client, subscription, message, (offset) => connection.call({ op: 'ack', consumer, offset })).catch(
          (error: unknown) => interrupted(reasonOf(error)),
        );
      },
      onEnd: () => interrupted('the stream was ended by the broker'),
    },
  );
  if (first) write({ kind: 'subscribed', topic: spec.topic, subscription, at: now() });
  connection.lost.addEventListener(
    'abort',
    () => {
      if (ending.aborted) return;
      interrupted(reasonOf(connection.lost.reason));
      reconnect(client, connection.url, subscription).catch((error: unknown) => interrupted(String(error)));
    },
    { once: true },
  );
}

/** The broker that it knew is asked again and again; nobody else is (M8). */
async function reconnect(client: TopicClient, url: string, subscription: string): Promise<void> {
  while (!client.ending.aborted) {
    await pause(RECONNECT_MS, client.ending);
    try {
      await consume(client, await askForOwner(client, url), subscription, false);
      return;
    } catch (error) {
      // The reason of the interruption is in the ledger already; this is the same one going on.
      reasonOf(error);
    }
  }
}
