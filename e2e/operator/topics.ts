/** Topics as brokers make them, without a broker, and who has them. */
import { deliveryKey, topicKey, unassignedKey } from '../../src/danube/keys.ts';
import { type Delivery, encodeDelivery, NULL_VALUE } from '../../src/danube/values.ts';
import type { EtcdPort } from '../../src/etcd/port.ts';
import type { DemoCluster } from '../demo/cluster.ts';
import { until } from '../process/until.ts';

/** `/default/<name>-1` and so on. */
export function topicNames(name: string, count: number): readonly string[] {
  // Of one length: a broker's lookup searches by substring (contract 5.4).
  return Array.from({ length: count }, (_, index) => `/default/${name}-${String(index + 1).padStart(5, '0')}`);
}

export async function put(etcd: EtcdPort, key: string, value: string): Promise<number> {
  const result = await etcd.commit([], [{ put: key, value }]);
  if (result.outcome === 'applied') return result.revision;
  throw new Error(`${key} was not written: ${result.outcome}`);
}

export async function remove(etcd: EtcdPort, key: string): Promise<number> {
  const result = await etcd.commit([], [{ delete: key }]);
  if (result.outcome === 'applied') return result.revision;
  throw new Error(`${key} was not deleted: ${result.outcome}`);
}

/** The three writes of a broker that creates a topic, in its order, each on its own (contract 2.3). */
export async function createTopic(etcd: EtcdPort, topic: string, delivery: Delivery): Promise<void> {
  await put(etcd, unassignedKey(topic), NULL_VALUE);
  await put(etcd, topicKey(topic), NULL_VALUE);
  await put(etcd, deliveryKey(topic), encodeDelivery(delivery));
}

const AT_ONCE = 50;

export async function createTopics(
  etcd: EtcdPort,
  topics: readonly string[],
  delivery: Delivery = 'NonReliable',
): Promise<void> {
  for (let at = 0; at < topics.length; at += AT_ONCE) {
    await Promise.all(topics.slice(at, at + AT_ONCE).map((topic) => createTopic(etcd, topic, delivery)));
  }
}

/** Its one owner, if that is registered. */
export function liveOwner({ history }: DemoCluster, topic: string): string | undefined {
  const [owner, ...others] = history.fold.owners.get(topic) ?? [];
  return owner !== undefined && others.length === 0 && history.fold.registered.has(owner) ? owner : undefined;
}

/** Resolves when each has exactly one live owner. */
export async function untilAssigned(cluster: DemoCluster, topics: readonly string[]): Promise<void> {
  await until(
    () => {
      const without = topics.filter((topic) => liveOwner(cluster, topic) === undefined);
      if (without.length === 0) return true;
      throw new Error(`${without.length} have none, for example ${without[0]}`);
    },
    { what: `${topics.length} topics to have a live owner` },
  );
}

/** Topics that were given to the same broker more than once: the second time would rebuild them (contract 5.1). */
export function assignedTwice({ history }: DemoCluster): readonly string[] {
  const times = Map.groupBy(history.fold.assigned, ({ broker, topic }) => `${topic} to ${broker}`);
  return [...times].filter(([, puts]) => puts.length > 1).map(([what]) => what);
}
