/**
 * A client that does what applications on Danube 0.7 have to do for themselves (M7, M8):
 *
 * 1. On any error of a producer or a consumer, throw both away, ask one service URL after the other who serves the topic
 *    now, and make new ones. An address that once worked proves nothing.
 * 2. Subscribe before producing, also after a reconnect: a subscription without a stored cursor starts at the newest
 *    message (M5), so what is produced before it is there may never reach it.
 * 3. A reliable consumer's stream stays open and silent when its topic has moved. A message that was acknowledged to the
 *    producer and has not come for a few seconds means: subscribe anew. (An application whose producers are elsewhere
 *    sends itself a heartbeat message to the same end.)
 * 4. A message without an answer is sent again under the same id. It may then be stored twice: consumers drop
 *    duplicates by id; the ledger counts them as redelivered.
 *
 * What no client can mend: until a cursor is stored for the first time (ten seconds after the subscription began, and with
 * the next acknowledgement from then on), a crash of the owner loses what was acknowledged and not yet received, also when
 * the same Pod's next process has it all in its log (M5). Such messages are counted as lost; they really are. A backlog at
 * the moment of a move is lost likewise (M4).
 */
import { RequestError } from '../protocol.ts';
import type { Connection } from './connection.ts';
import {
  askForOwner,
  atRate,
  createThrough,
  type Outgoing,
  pause,
  reasonOf,
  sendOnce,
  type TopicClient,
  takeMessage,
} from './session.ts';

const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 1_000;
const SILENCE_CHECK_MS = 250;

/** Everything that outlives one session with one broker. */
interface Standing {
  readonly subscribed: Set<string>;
  unanswered: Outgoing | undefined;
  sent: number;
  ready: boolean;
  /** The next service URL to ask. */
  turn: number;
}

/** Resolves when `ending` is aborted. @throws Error on a defect of the client itself */
export async function runResilient(client: TopicClient): Promise<void> {
  const { spec, ending, write, now } = client;
  const standing: Standing = {
    subscribed: new Set(),
    unanswered: undefined,
    sent: 0,
    ready: false,
    turn: Math.floor(Math.random() * client.serviceUrls.length),
  };
  let retryMs = RETRY_FIRST_MS;
  while (!ending.aborted) {
    const startedAt = now();
    try {
      await session(client, standing);
    } catch (error) {
      if (ending.aborted) return;
      const reason = reasonOf(error);
      // Until it has worked once, a topic is being created and nothing was interrupted.
      if (standing.ready) write({ kind: 'interrupted', topic: spec.topic, role: 'topic', reason, at: now() });
    }
    // A session that held for a while was a good one: begin with short waits again.
    retryMs = now() - startedAt > RETRY_MAX_MS * 3 ? RETRY_FIRST_MS : Math.min(retryMs * 2, RETRY_MAX_MS);
    await pause(retryMs * (0.5 + Math.random() / 2), ending);
  }
}

/** Ends with an error as soon as anything is wrong, or without one by `ending`. */
async function session(client: TopicClient, standing: Standing): Promise<void> {
  const { spec, ending, draining } = client;
  const connection = await findOwner(client, standing);
  const broken = new AbortController();
  const over = AbortSignal.any([broken.signal, connection.lost, ending]);
  const consumers: string[] = [];
  const startedAt = client.now();
  const silence = setInterval(() => checkSilence(client, startedAt, broken), SILENCE_CHECK_MS);
  try {
    for (const subscription of spec.subscriptions) {
      consumers.push(await subscribe(client, standing, connection, broken, subscription));
    }
    const { producer = '' } = await connection.call({
      op: 'producer',
      topic: spec.topic,
      name: `p-${client.tag}-${standing.sent}`,
    });
    if (!standing.ready) {
      standing.ready = true;
      client.onReady();
    }
    await atRate(spec.messagesPerSecond, AbortSignal.any([over, draining]), () =>
      sendNext(client, standing, connection, producer),
    );
    await aborted(over);
    if (!ending.aborted) over.throwIfAborted();
  } finally {
    clearInterval(silence);
    for (const consumer of consumers) {
      connection.unsubscribe(consumer);
      // The broker may know nothing of it any more, or be gone: both are what we are leaving for.
      connection.call({ op: 'close', consumer }).catch(reasonOf);
    }
  }
}

async function findOwner(client: TopicClient, standing: Standing): Promise<Connection> {
  const { serviceUrls } = client;
  let failure: unknown;
  for (let asked = 0; asked < serviceUrls.length; asked++) {
    const url = serviceUrls[standing.turn++ % serviceUrls.length] ?? '';
    try {
      return await askForOwner(client, url);
    } catch (error) {
      reasonOf(error);
      failure = error;
    }
  }
  if (standing.ready) throw failure;
  return createThrough(client, serviceUrls[standing.turn % serviceUrls.length] ?? '');
}

async function subscribe(
  client: TopicClient,
  standing: Standing,
  connection: Connection,
  broken: AbortController,
  subscription: string,
): Promise<string> {
  const { spec, write, now } = client;
  const consumer = await connection.subscribe(
    { op: 'subscribe', topic: spec.topic, subscription, name: `c-${client.tag}` },
    {
      onMessage(message, consumer) {
        takeMessage(client, subscription, message, (offset) => connection.call({ op: 'ack', consumer, offset })).catch(
          (error: unknown) => broken.abort(error),
        );
      },
      onEnd: () => broken.abort(new RequestError('UNAVAILABLE', 'the stream was ended by the broker')),
    },
  );
  if (!standing.subscribed.has(subscription)) {
    standing.subscribed.add(subscription);
    write({ kind: 'subscribed', topic: spec.topic, subscription, at: now() });
  }
  return consumer;
}

async function sendNext(
  client: TopicClient,
  standing: Standing,
  connection: Connection,
  producer: string,
): Promise<void> {
  if (!standing.unanswered) {
    standing.sent += 1;
    standing.unanswered = { messageId: `${client.tag}-${standing.sent}`, sentAt: client.now() };
  }
  await sendOnce(client, connection, producer, standing.unanswered);
  standing.unanswered = undefined;
}

/** Looks at this session's messages only: an earlier one that a new subscription did not bring is lost, not late. */
function checkSilence(client: TopicClient, startedAt: number, broken: AbortController): void {
  for (const subscription of client.spec.subscriptions) {
    const since = client.progress.oldestMissing(subscription, startedAt);
    if (since === undefined || client.now() - since < client.silenceMs) continue;
    broken.abort(new RequestError('UNAVAILABLE', `subscription ${subscription} has been silent for too long`));
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
