/**
 * The keys of the brokers' etcd, built and taken apart (contract 2.2). Broker ids are u64 in decimal and are strings
 * everywhere; a topic is its full name `/namespace/topic`.
 */

export const LEADER_KEY = '/cluster/leader';
export const REGISTRATIONS = '/cluster/register/';
export const UNASSIGNED = '/cluster/unassigned/';
/** Where brokers keep `{root}/storage/topics/...` unless configured otherwise: the code's and the shipped file's value. */
export const DEFAULT_STORAGE_ROOTS: readonly string[] = ['/danube-data', '/danube'];

export function registrationKey(broker: string): string {
  return `${REGISTRATIONS}${broker}`;
}
export function brokerStateKey(broker: string): string {
  return `/cluster/brokers/${broker}/state`;
}
export function assignmentKey(broker: string, topic: string): string {
  return `/cluster/brokers/${broker}${topic}`;
}
/** With the slash at the end: without it, id 123 also matches 1234 (contract 4.4). */
export function assignmentsPrefix(broker: string): string {
  return `/cluster/brokers/${broker}/`;
}
export function unassignedKey(topic: string): string {
  return `/cluster/unassigned${topic}`;
}
export function loadReportKey(broker: string): string {
  return `/cluster/load/${broker}`;
}
/** "The topic exists"; the namespace really stands twice. */
export function topicKey(topic: string): string {
  return `/namespaces/${namespaceOf(topic)}/topics${topic}`;
}
export function deliveryKey(topic: string): string {
  return `/topics${topic}/delivery`;
}
export function producersPrefix(topic: string): string {
  return `/topics${topic}/producers/`;
}
export function producerKey(topic: string, producer: string): string {
  return `${producersPrefix(topic)}${producer}`;
}
export function subscriptionsPrefix(topic: string): string {
  return `/topics${topic}/subscriptions/`;
}
export function subscriptionKey(topic: string, subscription: string): string {
  return `${subscriptionsPrefix(topic)}${subscription}`;
}
export function cursorKey(topic: string, subscription: string): string {
  return `${subscriptionKey(topic, subscription)}/cursor`;
}
export function topicStoragePrefix(root: string, topic: string): string {
  return `${root}/storage/topics${topic}/`;
}
export function sealedStateKey(root: string, topic: string): string {
  return `${topicStoragePrefix(root, topic)}state`;
}
export function objectsPrefix(root: string, topic: string): string {
  return `${topicStoragePrefix(root, topic)}objects/`;
}
export function objectKey(root: string, topic: string, startOffset: bigint): string {
  return `${objectsPrefix(root, topic)}${startOffset.toString().padStart(20, '0')}`;
}
export function currentObjectKey(root: string, topic: string): string {
  return `${objectsPrefix(root, topic)}cur`;
}

/** Written by every broker at boot, value `null`. */
export function clusterKey(clusterName: string): string {
  return `/cluster/${clusterName}`;
}
export function namespacePolicyKey(namespace: string): string {
  return `/namespaces/${namespace}/policy`;
}

export function namespaceOf(topic: string): string {
  return topic.split('/')[1] ?? '';
}

const TOPIC = /^\/[\p{L}\p{N}_-]+\/[\p{L}\p{N}_-]+$/u;

/** Whether a broker would accept the name: two segments of letters, digits, `_` and `-` (contract 2.1). */
export function isTopicName(name: string): boolean {
  return TOPIC.test(name);
}

const U64_MAX = 2n ** 64n - 1n;

/** Whether the text is a u64 in its one decimal form. */
export function isBrokerId(text: string): boolean {
  return /^(0|[1-9]\d{0,19})$/.test(text) && BigInt(text) <= U64_MAX;
}

export type ParsedKey =
  | { readonly kind: 'leader' }
  | { readonly kind: 'registration'; readonly broker: string }
  | { readonly kind: 'brokerState'; readonly broker: string }
  | { readonly kind: 'assignment'; readonly broker: string; readonly topic: string }
  | { readonly kind: 'unassigned'; readonly topic: string }
  | { readonly kind: 'loadReport'; readonly broker: string }
  | { readonly kind: 'topic'; readonly topic: string }
  | { readonly kind: 'delivery'; readonly topic: string }
  | { readonly kind: 'producer'; readonly topic: string; readonly producer: string }
  | { readonly kind: 'subscription'; readonly topic: string; readonly subscription: string }
  | { readonly kind: 'cursor'; readonly topic: string; readonly subscription: string }
  | { readonly kind: 'sealedState'; readonly root: string; readonly topic: string }
  | { readonly kind: 'object'; readonly root: string; readonly topic: string; readonly startOffset: bigint }
  | { readonly kind: 'currentObject'; readonly root: string; readonly topic: string }
  | { readonly kind: 'other' };

const OTHER: ParsedKey = { kind: 'other' };
const STORAGE = '/storage/topics/';

/** What a key is about. A key that only looks like one of ours (bad id, wrong number of segments) is `other`. */
export function parseKey(key: string): ParsedKey {
  const parts = key.split('/');
  if (parts[0] !== '') return OTHER;
  switch (parts[1]) {
    case 'cluster':
      return parseClusterKey(parts);
    case 'topics':
      return parseTopicKey(parts);
    case 'namespaces': {
      const [, , namespace, topics, again, name] = parts;
      if (parts.length !== 6 || topics !== 'topics' || namespace !== again || !name) return OTHER;
      return { kind: 'topic', topic: `/${namespace}/${name}` };
    }
    default:
      return parseStorageKey(key);
  }
}

function parseClusterKey(parts: readonly string[]): ParsedKey {
  const [, , kind, third = '', fourth = '', fifth = ''] = parts;
  switch (kind) {
    case 'leader':
      return parts.length === 3 ? { kind: 'leader' } : OTHER;
    case 'register':
      return parts.length === 4 && isBrokerId(third) ? { kind: 'registration', broker: third } : OTHER;
    case 'load':
      return parts.length === 4 && isBrokerId(third) ? { kind: 'loadReport', broker: third } : OTHER;
    case 'unassigned':
      return parts.length === 5 && third && fourth ? { kind: 'unassigned', topic: `/${third}/${fourth}` } : OTHER;
    case 'brokers':
      // The documented, never used place of load reports (contract 2.2).
      if (parts.length === 5 && third === 'load' && isBrokerId(fourth)) return { kind: 'loadReport', broker: fourth };
      if (!isBrokerId(third)) return OTHER;
      if (parts.length === 5 && fourth === 'state') return { kind: 'brokerState', broker: third };
      if (parts.length === 6 && fourth && fifth)
        return { kind: 'assignment', broker: third, topic: `/${fourth}/${fifth}` };
      return OTHER;
    default:
      return OTHER;
  }
}

function parseTopicKey(parts: readonly string[]): ParsedKey {
  const [, , namespace, name, kind, id = '', last] = parts;
  if (!namespace || !name) return OTHER;
  const topic = `/${namespace}/${name}`;
  if (kind === 'delivery' && parts.length === 5) return { kind: 'delivery', topic };
  if (kind === 'producers' && parts.length === 6 && id) return { kind: 'producer', topic, producer: id };
  if (kind !== 'subscriptions' || !id) return OTHER;
  if (parts.length === 6) return { kind: 'subscription', topic, subscription: id };
  if (parts.length === 7 && last === 'cursor') return { kind: 'cursor', topic, subscription: id };
  return OTHER;
}

function parseStorageKey(key: string): ParsedKey {
  const at = key.indexOf(STORAGE);
  if (at <= 0) return OTHER;
  const root = key.slice(0, at);
  const [namespace, name, kind, object = '', ...rest] = key.slice(at + STORAGE.length).split('/');
  if (!namespace || !name || rest.length > 0) return OTHER;
  const topic = `/${namespace}/${name}`;
  if (kind === 'state' && object === '') return { kind: 'sealedState', root, topic };
  if (kind !== 'objects') return OTHER;
  if (object === 'cur') return { kind: 'currentObject', root, topic };
  return /^\d{20}$/.test(object) ? { kind: 'object', root, topic, startOffset: BigInt(object) } : OTHER;
}
