/** The topics of a demo or a test: skewed as real loads are, and the same for the same seed. Pure. */
import { z } from 'zod';
import type { Delivery } from '../danube/values.ts';

export interface TopicSpec {
  readonly topic: string;
  readonly delivery: Delivery;
  readonly subscriptions: readonly string[];
  readonly messagesPerSecond: number;
  readonly messageBytes: number;
}

export interface TopicMix {
  readonly seed: number;
  readonly topics: number;
  /** 0 to 1. */
  readonly reliableShare: number;
  /** Each topic has from one up to this many. */
  readonly maxSubscriptions: number;
  /** Of all topics together, before every topic is raised to the minimum. */
  readonly totalMessagesPerSecond: number;
  /**
   * Every topic gets at least this. A subscription of a reliable topic survives its owner's crash only once a cursor is
   * stored, which takes an acknowledged message after the first ten seconds (M5): keep it well above one in ten seconds.
   */
  readonly minMessagesPerSecond: number;
  readonly messageBytes: number;
  /** Of the Zipf distribution: 0 is even, 1 is the usual skew. */
  readonly exponent: number;
  /** Default `default`, which every broker creates. */
  readonly namespace?: string;
}

/**
 * Rank r gets a share of the load in proportion to 1/r^exponent; ranks are dealt to the names at random. Names are padded to
 * one length, so that none is part of another: a broker's lookup searches by substring (contract 5.4).
 */
export function generateTopics(mix: TopicMix): readonly TopicSpec[] {
  const random = seededRandom(mix.seed);
  const weights = Array.from({ length: mix.topics }, (_, index) => 1 / (index + 1) ** mix.exponent);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const width = String(mix.topics).length;
  return shuffled(weights, random).map((weight, index) => ({
    topic: `/${mix.namespace ?? 'default'}/t${String(index + 1).padStart(width, '0')}`,
    delivery: random() < mix.reliableShare ? 'Reliable' : 'NonReliable',
    subscriptions: Array.from({ length: 1 + Math.floor(random() * mix.maxSubscriptions) }, (_, at) => `s${at + 1}`),
    messagesPerSecond: Math.max(mix.minMessagesPerSecond, (mix.totalMessagesPerSecond * weight) / total),
    messageBytes: mix.messageBytes,
  }));
}

const topicSpec = z.strictObject({
  topic: z.string(),
  delivery: z.enum(['Reliable', 'NonReliable']),
  subscriptions: z.array(z.string()),
  messagesPerSecond: z.number().positive(),
  messageBytes: z.number().int().nonnegative(),
});

/** One JSON object a line. */
export function formatTopics(topics: readonly TopicSpec[]): string {
  return topics.map((topic) => `${JSON.stringify(topic)}\n`).join('');
}

/** @throws ZodError, SyntaxError */
export function parseTopics(text: string): readonly TopicSpec[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => topicSpec.parse(JSON.parse(line)));
}

/** mulberry32: small, and good enough to deal cards. Numbers from 0 up to 1. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled<T>(items: readonly T[], random: () => number): readonly T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
