/** Who serves a topic, and how a new one comes to be (contract 2.3, 7 "Discovery"), answered from the broker's cache. */
import { deliveryKey, isTopicName, parseKey, REGISTRATIONS, topicKey, unassignedKey } from '../../danube/keys.ts';
import { type Delivery, decodeRegistration, encodeDelivery, NULL_VALUE } from '../../danube/values.ts';
import type { EtcdPort } from '../../etcd/port.ts';
import { type Answer, CREATION_GIVES_UP_AFTER_MS, RequestError } from '../protocol.ts';
import type { MetadataCache } from './cache.ts';
import type { Service } from './service.ts';
import { put } from './write.ts';

export interface Discovery {
  /** `local`, or where to go. @throws RequestError NOT_FOUND when nobody is known to have it */
  lookup(topic: string): Answer;
  /** Answers when the topic has an owner. @throws RequestError UNAVAILABLE when it has none in time (M1) */
  create(topic: string, delivery: Delivery): Promise<Answer>;
}

interface DiscoveryDependencies {
  readonly etcd: EtcdPort;
  readonly cache: MetadataCache;
  readonly service: Service;
}

export function createDiscovery({ etcd, cache, service }: DiscoveryDependencies): Discovery {
  function find(topic: string): Answer | undefined {
    if (service.serves(topic)) return { local: true };
    const owner = ownerOf(cache, topic);
    const value = owner === undefined ? undefined : cache.get(`${REGISTRATIONS}${owner}`);
    const registration = value === undefined ? undefined : decodeRegistration(Buffer.from(value));
    // A dead owner's registration is believed for as long as its lease lives (M8).
    return registration?.ok ? { redirect: registration.value.connectUrl } : undefined;
  }

  return {
    lookup(topic) {
      const answer = find(topic);
      if (!answer) throw new RequestError('NOT_FOUND', `topic ${topic} has no known owner; try again`);
      return answer;
    },

    async create(topic, delivery) {
      if (!isTopicName(topic)) {
        throw new RequestError('INVALID_ARGUMENT', `"${topic}" is not a topic name; write /namespace/topic`);
      }
      if (cache.get(topicKey(topic)) === undefined) {
        // Not atomic, and in this order: the marker appears before `delivery`.
        await put(etcd, unassignedKey(topic), NULL_VALUE);
        await put(etcd, topicKey(topic), NULL_VALUE);
        await put(etcd, deliveryKey(topic), encodeDelivery(delivery));
      }
      const answer = await cache.until(() => find(topic), CREATION_GIVES_UP_AFTER_MS);
      if (!answer) throw new RequestError('UNAVAILABLE', `topic ${topic} was not assigned in time; retries exhausted`);
      return answer;
    },
  };
}

/** A substring search, as in the real broker: `/default/a` may find the owner of `/default/ab` (contract 5.4). */
function ownerOf(cache: MetadataCache, topic: string): string | undefined {
  for (const key of cache.clusterKeys()) {
    if (!key.startsWith('/cluster/brokers/') || !key.includes(topic)) continue;
    const parsed = parseKey(key);
    if (parsed.kind === 'assignment') return parsed.broker;
  }
  return undefined;
}
