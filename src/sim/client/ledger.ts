/**
 * What clients saw, line by line, and what it adds up to. The counts here are what "lost 0" means: they rest on nothing
 * but what brokers answered to clients, and the lines outlive every process.
 *
 * Rules of counting, on reliable topics only (a non-reliable one promises nothing and gives no offsets):
 * - *lost*: acknowledged to its producer, first sent when the subscription existed, never received by it.
 * - *repeated offset*: one offset of a topic acknowledged for two different messages. Nothing else about offsets is a
 *   fault: gaps are harmless (M14).
 * - *redelivered*: received again by the same subscription. No fault: a cursor is up to ten seconds old after a crash, and
 *   a producer that got no answer sends the same message id again, which may then be stored twice, at two offsets.
 */

export type LedgerLine =
  /** The subscription was made for the first time by this process; times are epoch milliseconds. */
  | { readonly kind: 'subscribed'; readonly topic: string; readonly subscription: string; readonly at: number }
  /** `sentAt` is the first attempt; no offset on non-reliable topics. */
  | {
      readonly kind: 'acked';
      readonly topic: string;
      readonly messageId: string;
      readonly offset: string | null;
      readonly sentAt: number;
      readonly at: number;
    }
  | {
      readonly kind: 'received';
      readonly topic: string;
      readonly subscription: string;
      readonly messageId: string;
      readonly offset: string | null;
      readonly at: number;
    }
  /** A client's work stopped until it, or the application, did something about it. */
  | {
      readonly kind: 'interrupted';
      readonly topic: string;
      readonly role: 'topic' | 'producer' | 'consumer';
      readonly reason: string;
      readonly at: number;
    }
  /** Every topic of the process has had its producer and its subscriptions once. */
  | { readonly kind: 'ready'; readonly at: number }
  /** Producing has stopped and nothing more will come; the last line of an orderly end. */
  | { readonly kind: 'final'; readonly complete: boolean; readonly at: number };

export interface SubscriptionSummary {
  readonly topic: string;
  readonly subscription: string;
  /** Messages that it should have received. */
  readonly acked: number;
  /** Different messages that it has received. */
  readonly received: number;
  readonly lost: number;
  readonly redelivered: number;
}

export interface LedgerSummary {
  /** Reliable topics' subscriptions, ordered by name. */
  readonly perSubscription: readonly SubscriptionSummary[];
  readonly lost: number;
  readonly repeatedOffsets: number;
  readonly lostExamples: readonly { topic: string; subscription: string; messageId: string; offset: string }[];
  readonly repeatedExamples: readonly { topic: string; offset: string; messageIds: readonly [string, string] }[];
  readonly redelivered: number;
  /** All topics, non-reliable ones included. */
  readonly messagesAcked: number;
  readonly messagesReceived: number;
  readonly interruptions: number;
  /** Processes that ended in order, and those of them that had received all that was acknowledged. */
  readonly finals: number;
  readonly completeFinals: number;
  /** Torn by kill -9 of a client while it was writing. */
  readonly unreadableLines: number;
}

interface TopicFacts {
  readonly acked: Map<string, { readonly offset: string; readonly sentAt: number }>;
  readonly byOffset: Map<string, string>;
  readonly subscribedAt: Map<string, number>;
  readonly received: Map<string, Map<string, number>>;
}

const EXAMPLES = 10;

/** Adds up the lines of any number of ledgers, in any order between files. Pure. */
export function summarize(lines: Iterable<string>): LedgerSummary {
  const topics = new Map<string, TopicFacts>();
  const repeatedExamples: LedgerSummary['repeatedExamples'][number][] = [];
  const totals = { repeated: 0, acked: 0, received: 0, interruptions: 0, finals: 0, complete: 0, unreadable: 0 };

  for (const text of lines) {
    if (text.trim() === '') continue;
    const line = readLine(text);
    if (!line) {
      totals.unreadable += 1;
      continue;
    }
    switch (line.kind) {
      case 'subscribed': {
        const { subscribedAt } = factsOf(topics, line.topic);
        const known = subscribedAt.get(line.subscription) ?? line.at;
        subscribedAt.set(line.subscription, Math.min(known, line.at));
        break;
      }
      case 'acked': {
        totals.acked += 1;
        if (line.offset === null) break;
        const facts = factsOf(topics, line.topic);
        facts.acked.set(line.messageId, { offset: line.offset, sentAt: line.sentAt });
        const other = facts.byOffset.get(line.offset);
        if (other === undefined) facts.byOffset.set(line.offset, line.messageId);
        else if (other !== line.messageId) {
          totals.repeated += 1;
          if (repeatedExamples.length < EXAMPLES) {
            const messageIds = [other, line.messageId] as const;
            repeatedExamples.push({ topic: line.topic, offset: line.offset, messageIds });
          }
        }
        break;
      }
      case 'received': {
        totals.received += 1;
        if (line.offset === null) break;
        const { received } = factsOf(topics, line.topic);
        const messages = received.get(line.subscription) ?? new Map<string, number>();
        received.set(line.subscription, messages);
        messages.set(line.messageId, (messages.get(line.messageId) ?? 0) + 1);
        break;
      }
      case 'interrupted':
        totals.interruptions += 1;
        break;
      case 'final':
        totals.finals += 1;
        if (line.complete) totals.complete += 1;
        break;
      case 'ready':
        break;
    }
  }

  const { perSubscription, lostExamples } = compare(topics);
  return {
    perSubscription,
    lost: sum(perSubscription, 'lost'),
    repeatedOffsets: totals.repeated,
    lostExamples,
    repeatedExamples,
    redelivered: sum(perSubscription, 'redelivered'),
    messagesAcked: totals.acked,
    messagesReceived: totals.received,
    interruptions: totals.interruptions,
    finals: totals.finals,
    completeFinals: totals.complete,
    unreadableLines: totals.unreadable,
  };
}

function compare(topics: ReadonlyMap<string, TopicFacts>): Pick<LedgerSummary, 'perSubscription' | 'lostExamples'> {
  const perSubscription: SubscriptionSummary[] = [];
  const lostExamples: LedgerSummary['lostExamples'][number][] = [];
  for (const [topic, facts] of sorted(topics)) {
    for (const [subscription, since] of sorted(facts.subscribedAt)) {
      const received = facts.received.get(subscription) ?? new Map<string, number>();
      // A non-reliable topic has neither acknowledged offsets nor received ones.
      if (facts.acked.size === 0 && received.size === 0) continue;
      const count = { acked: 0, lost: 0, redelivered: 0 };
      for (const [messageId, { offset, sentAt }] of facts.acked) {
        if (sentAt < since) continue;
        count.acked += 1;
        if (received.has(messageId)) continue;
        count.lost += 1;
        if (lostExamples.length < EXAMPLES) lostExamples.push({ topic, subscription, messageId, offset });
      }
      for (const times of received.values()) count.redelivered += times - 1;
      perSubscription.push({ topic, subscription, ...count, received: received.size });
    }
  }
  return { perSubscription, lostExamples };
}

function factsOf(topics: Map<string, TopicFacts>, topic: string): TopicFacts {
  const known = topics.get(topic);
  if (known) return known;
  const facts = { acked: new Map(), byOffset: new Map(), subscribedAt: new Map(), received: new Map() };
  topics.set(topic, facts);
  return facts;
}

function readLine(text: string): LedgerLine | undefined {
  try {
    return JSON.parse(text) as LedgerLine;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

function sum(subscriptions: readonly SubscriptionSummary[], field: 'lost' | 'redelivered'): number {
  return subscriptions.reduce((total, subscription) => total + subscription[field], 0);
}
