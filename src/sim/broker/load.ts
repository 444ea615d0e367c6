/**
 * What makes a topic cost something: real hashing for every byte that comes in, and a real buffer as long as the last
 * seconds of its traffic. Both are in proportion to load, so a cgroup sees the skew that the clients make.
 */
import { createHash } from 'node:crypto';

export interface TopicCost {
  received(topic: string, bytes: number): void;
  /** Sizes every buffer to its topic's rate since the last call. */
  resize(elapsedSeconds: number): void;
  forget(topic: string): void;
}

interface CostOptions {
  /** Megabytes hashed for each megabyte received: 100 is a few tenths of a second of CPU per megabyte. */
  readonly hashedPerByte: number;
  /** How many seconds of a topic's traffic it keeps in memory. */
  readonly bufferedSeconds: number;
}

const BLOCK = Buffer.alloc(64 * 1024, 1);
const BUFFER_MAX = 16 * 1024 * 1024;

export function createTopicCost({ hashedPerByte, bufferedSeconds }: CostOptions): TopicCost {
  const topics = new Map<string, { bytes: number; buffer: Buffer }>();
  return {
    received(topic, bytes) {
      const known = topics.get(topic);
      if (known) known.bytes += bytes;
      else topics.set(topic, { bytes, buffer: Buffer.alloc(0) });
      hash(bytes * hashedPerByte);
    },
    resize(elapsedSeconds) {
      for (const topic of topics.values()) {
        const wanted = Math.min(BUFFER_MAX, Math.round((topic.bytes / elapsedSeconds) * bufferedSeconds));
        topic.bytes = 0;
        // Filled, so that the pages are really there; left alone when it is about right.
        if (Math.abs(wanted - topic.buffer.length) > wanted / 10) topic.buffer = Buffer.alloc(wanted, 1);
      }
    },
    forget(topic) {
      topics.delete(topic);
    },
  };
}

function hash(bytes: number): void {
  const sum = createHash('sha256');
  for (let left = bytes; left > 0; left -= BLOCK.length) sum.update(BLOCK.subarray(0, Math.min(left, BLOCK.length)));
  sum.digest();
}
