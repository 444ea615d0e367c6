/**
 * The keys of the brokers' etcd, built and taken apart (contract 2.2). Broker ids are u64 in decimal and are strings
 * everywhere; a topic is its full name `/namespace/topic`.
 */
import { brokerIdProblem, nameProblem, textProblem } from './names.ts';

export { isBrokerId, isTopicName } from './names.ts';

export const LEADER_KEY = '/cluster/leader';
export const REGISTRATIONS = '/cluster/register/';
export const UNASSIGNED = '/cluster/unassigned/';
/** Never written by brokers; where rankings are published (design §4). */
export const LOAD_BALANCE_KEY = '/cluster/load_balance';
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

/**
 * What a key is about. `other` without a problem is a key that is not ours to understand; with one, it is a key that
 * looks like one of the brokers' but cannot be (bad id, odd name, wrong number of segments), and the reason in words.
 */
export type ParsedKey =
  | { readonly kind: 'leader' | 'loadBalance' | 'nextSchemaId' }
  | { readonly kind: 'cluster'; readonly name: string }
  | { readonly kind: 'registration' | 'brokerState' | 'loadReport'; readonly broker: string }
  | { readonly kind: 'assignment'; readonly broker: string; readonly topic: string }
  | { readonly kind: 'unassigned' | 'topic' | 'delivery'; readonly topic: string }
  | { readonly kind: 'topicRoot' | 'topicPolicy' | 'schemaSubject' | 'schemaConfig'; readonly topic: string }
  | { readonly kind: 'producer'; readonly topic: string; readonly producer: string }
  | { readonly kind: 'subscription' | 'cursor'; readonly topic: string; readonly subscription: string }
  | { readonly kind: 'sealedState' | 'currentObject'; readonly root: string; readonly topic: string }
  | { readonly kind: 'object'; readonly root: string; readonly topic: string; readonly startOffset: bigint }
  | { readonly kind: 'namespacePolicy'; readonly namespace: string }
  | { readonly kind: 'rebalancingRecord'; readonly unixSeconds: string }
  | { readonly kind: 'schemaMetadata' | 'schemaCompatibility'; readonly subject: string }
  | { readonly kind: 'schemaVersion'; readonly subject: string; readonly version: string }
  | { readonly kind: 'schemaById'; readonly id: string }
  | { readonly kind: 'other'; readonly problem?: string };

const OTHER: ParsedKey = { kind: 'other' };

function malformed(problem: string): ParsedKey {
  return { kind: 'other', problem };
}

/** The key, unless one of the problems is one. */
function checked(parsed: ParsedKey, ...problems: readonly (string | undefined)[]): ParsedKey {
  const problem = problems.find((found) => found !== undefined);
  return problem === undefined ? parsed : malformed(problem);
}

/** Takes a key apart; never throws. */
export function parseKey(key: string): ParsedKey {
  const parts = key.split('/');
  const parsed = parts[0] === '' ? parseFamily(parts) : OTHER;
  // Last, because the storage root is configured freely: it may even be a folder of another family.
  return parsed.kind === 'other' ? (parseStorageKey(parts) ?? parsed) : parsed;
}

function parseFamily(parts: readonly string[]): ParsedKey {
  switch (parts[1]) {
    case 'cluster':
      return parseClusterKey(parts);
    case 'topics':
      return parseTopicKey(parts);
    case 'namespaces':
      return parseNamespaceKey(parts);
    case 'schemas':
      return parseSchemaKey(parts);
    default:
      return OTHER;
  }
}

function parseClusterKey(parts: readonly string[]): ParsedKey {
  const [, , kind = '', third = '', fourth = '', fifth = ''] = parts;
  const { length } = parts;
  switch (kind) {
    case 'leader':
      return length === 3 ? { kind: 'leader' } : wrongForm(LEADER_KEY);
    case 'load_balance':
      return length === 3 ? { kind: 'loadBalance' } : wrongForm(LOAD_BALANCE_KEY);
    case 'register':
      if (length !== 4) return wrongForm('/cluster/register/{broker}');
      return checked({ kind: 'registration', broker: third }, brokerIdProblem('broker id', third));
    case 'load':
      if (length !== 4) return wrongForm('/cluster/load/{broker}');
      return checked({ kind: 'loadReport', broker: third }, brokerIdProblem('broker id', third));
    case 'unassigned':
      if (length !== 5) return wrongForm('/cluster/unassigned/{namespace}/{topic}');
      return ofTopic(third, fourth, (topic) => ({ kind: 'unassigned', topic }));
    case 'rebalancing_history':
      if (length !== 4) return wrongForm('/cluster/rebalancing_history/{unix seconds}');
      return checked({ kind: 'rebalancingRecord', unixSeconds: third }, brokerIdProblem('time', third));
    case 'brokers':
      // The documented, never used place of load reports (design §4).
      if (length === 5 && third === 'load')
        return checked({ kind: 'loadReport', broker: fourth }, brokerIdProblem('broker id', fourth));
      return parseBrokerKey(length, third, fourth, fifth);
    default:
      return length === 3 ? checked({ kind: 'cluster', name: kind }, textProblem('cluster name', kind)) : OTHER;
  }
}

function parseBrokerKey(length: number, broker: string, second: string, third: string): ParsedKey {
  const problem = brokerIdProblem('broker id', broker);
  if (problem !== undefined) return malformed(problem);
  if (length === 5 && second === 'state') return { kind: 'brokerState', broker };
  if (length === 6) return ofTopic(second, third, (topic) => ({ kind: 'assignment', broker, topic }));
  return wrongForm('/cluster/brokers/{broker}/{namespace}/{topic} or /cluster/brokers/{broker}/state');
}

function parseNamespaceKey(parts: readonly string[]): ParsedKey {
  const [, , namespace = '', kind, again, name = ''] = parts;
  if (kind === 'policy' && parts.length === 4)
    return checked({ kind: 'namespacePolicy', namespace }, nameProblem('namespace', namespace));
  if (kind !== 'topics') return OTHER;
  if (parts.length !== 6 || namespace !== again)
    return wrongForm('/namespaces/{namespace}/topics/{namespace}/{topic}, with the same namespace twice');
  return ofTopic(namespace, name, (topic) => ({ kind: 'topic', topic }));
}

function parseTopicKey(parts: readonly string[]): ParsedKey {
  const [, , namespace = '', name = '', kind = '', id = '', last] = parts;
  const { length } = parts;
  if (length === 4) return ofTopic(namespace, name, (topic) => ({ kind: 'topicRoot', topic }));
  switch (kind) {
    case 'delivery':
    case 'policy':
    case 'schema_subject':
    case 'schema_config':
      if (length !== 5) return wrongForm(`/topics/{namespace}/{topic}/${kind}`);
      return ofTopic(namespace, name, (topic) => ({ kind: TOPIC_SETTINGS[kind], topic }));
    case 'producers':
      if (length !== 6) return wrongForm('/topics/{namespace}/{topic}/producers/{producer}');
      return ofTopic(namespace, name, (topic) =>
        checked({ kind: 'producer', topic, producer: id }, brokerIdProblem('producer id', id)),
      );
    case 'subscriptions':
      if (length !== 6 && !(length === 7 && last === 'cursor'))
        return wrongForm('/topics/{namespace}/{topic}/subscriptions/{subscription}, or that and /cursor');
      return ofTopic(namespace, name, (topic) =>
        checked(
          { kind: length === 6 ? 'subscription' : 'cursor', topic, subscription: id },
          textProblem('subscription', id),
        ),
      );
    default:
      return OTHER;
  }
}

const TOPIC_SETTINGS = {
  delivery: 'delivery',
  policy: 'topicPolicy',
  schema_subject: 'schemaSubject',
  schema_config: 'schemaConfig',
} as const;

function parseSchemaKey(parts: readonly string[]): ParsedKey {
  const [, , subject = '', kind, last = ''] = parts;
  if (subject === '_global' && kind === 'next_schema_id' && parts.length === 4) return { kind: 'nextSchemaId' };
  if (subject === '_index' && kind === 'by_id' && parts.length === 5)
    return checked({ kind: 'schemaById', id: last }, brokerIdProblem('schema id', last));
  const problem = textProblem('schema subject', subject);
  if (kind === 'metadata' && parts.length === 4) return checked({ kind: 'schemaMetadata', subject }, problem);
  if (kind === 'compatibility' && parts.length === 4) return checked({ kind: 'schemaCompatibility', subject }, problem);
  if (kind === 'versions' && parts.length === 5)
    return checked({ kind: 'schemaVersion', subject, version: last }, problem, textProblem('schema version', last));
  return OTHER;
}

/**
 * `{root}/storage/topics/{namespace}/{topic}/state` or `.../objects/{x}`, read from the end: the root is anything.
 * Undefined when the key is not below such a root.
 */
function parseStorageKey(parts: readonly string[]): ParsedKey | undefined {
  const last = parts.at(-1) ?? '';
  const isState = last === 'state';
  if (!isState && parts.at(-2) !== 'objects') return undefined;
  const at = parts.length - (isState ? 3 : 4);
  if (at < 3 || parts[at - 2] !== 'storage' || parts[at - 1] !== 'topics') return undefined;
  const root = parts.slice(0, at - 2).join('/');
  const rootProblem = root === '' ? undefined : textProblem('storage root', root);
  if (rootProblem !== undefined) return malformed(rootProblem);
  const [namespace = '', name = ''] = parts.slice(at);
  return ofTopic(namespace, name, (topic) => {
    if (isState) return { kind: 'sealedState', root, topic };
    if (last === 'cur') return { kind: 'currentObject', root, topic };
    return parseObjectKey(root, topic, last);
  });
}

function parseObjectKey(root: string, topic: string, name: string): ParsedKey {
  if (!/^\d{20}$/.test(name)) return malformed(`an object's name is its first offset in 20 digits, or "cur"`);
  return checked(
    { kind: 'object', root, topic, startOffset: BigInt(name) },
    brokerIdProblem('first offset', name.replace(/^0+(?=\d)/, '')),
  );
}

function ofTopic(namespace: string, name: string, build: (topic: string) => ParsedKey): ParsedKey {
  const problem = nameProblem('namespace', namespace) ?? nameProblem('topic', name);
  return problem === undefined ? build(`/${namespace}/${name}`) : malformed(problem);
}

function wrongForm(form: string): ParsedKey {
  return malformed(`is not of the form ${form}`);
}
