/** Where there is room for one more topic of a group that is kept apart, kept up to date while topics are placed. */
import type { BrokerFacts } from './brokers.ts';
import { labelsOf } from './policy/placement-rules.ts';
import type { TopicGroup } from './policy/spread.ts';
import type { TopicGroups } from './policy/topic-groups.ts';
import { NO_OWNER, SEVERAL_OWNERS, type Snapshot } from './snapshot.ts';

export interface SpreadRoom {
  /** One per candidate, 1 = there is room; undefined where the topic may be next to any other. */
  of(topic: string): Uint8Array | undefined;
  /** Of the candidates that are allowed, one per candidate, those with fewest of the topic's group: in the domain first, then alone. */
  fewest(topic: string, isAllowed: (candidate: number) => boolean): Uint8Array;
  /** The topic is on that broker from now on. */
  count(topic: string, broker: string): void;
}

export interface SpreadFacts {
  readonly metadata: Snapshot['metadata'];
  readonly brokers: ReadonlyMap<string, BrokerFacts>;
  /** Brokers that a topic can go to. */
  readonly candidates: readonly string[];
  readonly groups: TopicGroups;
  readonly placeOf: PlaceOf;
}

/** The broker that a topic of that owner counts for: where it is, or will be again. Undefined where it is to be placed anew. */
export type PlaceOf = (owner: BrokerFacts, isReliable: boolean) => BrokerFacts | undefined;

/** Of a group. */
interface Room {
  readonly group: TopicGroup;
  /** One per candidate: whether there is room, how many of the group it has, and its domain. */
  readonly free: Uint8Array;
  readonly counts: Int32Array;
  readonly domains: readonly string[];
  readonly inDomain: Map<string, number>;
}

export function createSpreadRoom({ metadata, brokers, candidates, groups, placeOf }: SpreadFacts): SpreadRoom {
  const { topicNumbers } = metadata;
  groups.follow(topicNumbers);
  const rooms = new Map<TopicGroup, Room>();
  const candidateOf = new Map(candidates.map((broker, index) => [broker, index]));
  const domainsBy = new Map<string, readonly string[]>();

  function createRoom(group: TopicGroup): Room {
    const label = group.rule.topologyKey ?? '';
    const domains = domainsBy.get(label) ?? candidates.map((broker) => labelsOf(brokers.get(broker))[label] ?? '');
    domainsBy.set(label, domains);
    const free = new Uint8Array(candidates.length).fill(1);
    const room = { group, free, counts: new Int32Array(candidates.length), domains, inDomain: new Map() };
    for (const number of groups.membersOf(group)) {
      for (const owner of ownersOf(number)) {
        const facts = brokers.get(owner);
        const place = facts && placeOf(facts, topicNumbers.isReliable(number));
        if (place !== undefined) add(room, labelsOf(place)[label] ?? '', candidateOf.get(place.id));
      }
    }
    return room;
  }

  function ownersOf(number: number): Iterable<string> {
    const owner = topicNumbers.ownerOf(number);
    if (owner === NO_OWNER) return [];
    if (owner === SEVERAL_OWNERS) return metadata.owners.get(topicNumbers.nameOf(number))?.keys() ?? [];
    return [topicNumbers.brokers[owner] ?? ''];
  }

  function add({ group, free, counts, domains, inDomain }: Room, domain: string, candidate: number | undefined): void {
    const there = (inDomain.get(domain) ?? 0) + 1;
    inDomain.set(domain, there);
    if (candidate !== undefined) {
      const own = (counts[candidate] as number) + 1;
      counts[candidate] = own;
      if (own >= (group.maxPerBroker ?? Infinity)) free[candidate] = 0;
    }
    // The domain is full from now on.
    if (there === group.maxPerDomain) for (const [at, other] of domains.entries()) if (other === domain) free[at] = 0;
  }

  function roomOf(topic: string): Room | undefined {
    const group = groups.groupOf(topic);
    if (group === undefined) return undefined;
    const room = rooms.get(group) ?? createRoom(group);
    rooms.set(group, room);
    return room;
  }

  return {
    of: (topic) => roomOf(topic)?.free,

    fewest(topic, isAllowed) {
      const mask = new Uint8Array(candidates.length);
      const room = roomOf(topic);
      if (room === undefined) return mask;
      const { group, counts, domains, inDomain } = room;
      let least = Infinity;
      for (const [at, domain] of domains.entries()) {
        if (!isAllowed(at)) continue;
        const there = group.maxPerDomain === undefined ? 0 : (inDomain.get(domain) ?? 0);
        const crowd = there * MORE_THAN_ON_ANY_BROKER + (counts[at] as number);
        if (crowd > least) continue;
        if (crowd < least) mask.fill(0);
        least = crowd;
        mask[at] = 1;
      }
      return mask;
    },

    count(topic, broker) {
      const candidate = candidateOf.get(broker);
      const room = candidate === undefined ? undefined : roomOf(topic);
      if (room !== undefined && candidate !== undefined) add(room, room.domains[candidate] ?? '', candidate);
    },
  };
}

const MORE_THAN_ON_ANY_BROKER = 1e9;
