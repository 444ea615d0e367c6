/** When the operators wrote, under which epoch, and how long each topic waited: as the brokers' etcd tells it. */
import { LEADER_KEY, parseKey } from '../../src/danube/keys.ts';
import { OWN_PREFIX } from '../../src/danube/metadata.ts';
import type { EtcdPort } from '../../src/etcd/port.ts';
import { type Follower, followEvents } from '../audit.ts';
import { createTopics, topicNames } from '../operator/topics.ts';
import { until } from '../process/until.ts';

export interface Commit {
  readonly epoch: number;
  /** Monotonic ms, when it was seen here. */
  readonly at: number;
}

export interface Commits extends Follower {
  /** Every transaction of an operator, in order. */
  readonly made: readonly Commit[];
  /** Monotonic ms at which a topic's first assignment was seen here. */
  readonly assignedAt: ReadonlyMap<string, number>;
}

export async function followCommits(etcd: EtcdPort): Promise<Commits> {
  const made: Commit[] = [];
  const assignedAt = new Map<string, number>();
  const { revision } = await etcd.read(LEADER_KEY);
  const follower = followEvents(etcd, revision, (events) => {
    const at = performance.now();
    for (const { type, entry } of events) {
      if (type !== 'put') continue;
      if (entry.key.startsWith(`${OWN_PREFIX}commits/`)) {
        const { epoch } = JSON.parse(entry.value.toString('utf8')) as { epoch: number };
        made.push({ epoch, at });
      }
      const key = parseKey(entry.key);
      if (key.kind === 'assignment' && !assignedAt.has(key.topic)) assignedAt.set(key.topic, at);
    }
  });
  return { made, assignedAt, ...follower };
}

export interface TopicStream {
  /** Ends it and resolves with the longest time, ms, from a topic's creation to its assignment, once all have theirs. */
  end(): Promise<{ readonly topics: number; readonly longestMs: number }>;
}

const EVERY_MS = 50;

/** Creates a topic every 50 ms, as clients would that know nothing of operators. */
export function streamTopics(etcd: EtcdPort, commits: Commits, name: string): TopicStream {
  const createdAt = new Map<string, number>();
  let ended = false;

  async function create(): Promise<void> {
    for (let number = 1; !ended; number++) {
      const topics = topicNames(`${name}-${number}`, 1);
      await createTopics(etcd, topics);
      for (const topic of topics) createdAt.set(topic, performance.now());
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }

  // Kept until somebody asks: a test that fails before does not.
  let failure: unknown;
  const creating = create().catch((error: unknown) => {
    failure = error;
  });
  return {
    async end() {
      ended = true;
      await creating;
      if (failure !== undefined) throw failure;
      await until(() => [...createdAt.keys()].every((topic) => commits.assignedAt.has(topic)), {
        what: `all ${createdAt.size} topics of ${name} to be assigned`,
      });
      const waits = [...createdAt].map(([topic, at]) => (commits.assignedAt.get(topic) ?? 0) - at);
      return { topics: createdAt.size, longestMs: Math.max(...waits) };
    },
  };
}
