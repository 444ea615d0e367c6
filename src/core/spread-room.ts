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
  /** The topic is there from now on. */
  count(topic: string, candidate: number): void;
}

export interface SpreadFacts {
  readonly metadata: Snapshot['metadata'];
  readonly brokers: ReadonlyMap<string, BrokerFacts>;
  /** Brokers that a topic can go to. */
  readonly candidates: readonly string[];
  readonly groups: TopicGroups;
}

interface Room {
  readonly group: TopicGroup;
  readonly free: Uint8Array;
  readonly onBroker: Map<string, number>;
  readonly inDomain: Map<string, number>;
}

export function createSpreadRoom({ metadata, brokers, candidates, groups }: SpreadFacts): SpreadRoom {
  const { topicNumbers } = metadata;
  const rooms = new Map<TopicGroup, Room>();

  function domainOf({ rule }: TopicGroup, broker: string): string {
    return labelsOf(brokers.get(broker))[rule.topologyKey ?? ''] ?? '';
  }

  function ownersOf(number: number): Iterable<string> {
    const owner = topicNumbers.ownerOf(number);
    if (owner === NO_OWNER) return [];
    if (owner === SEVERAL_OWNERS) return metadata.owners.get(topicNumbers.nameOf(number))?.keys() ?? [];
    return [topicNumbers.brokers[owner] ?? ''];
  }

  function isFree({ group, onBroker, inDomain }: Room, broker: string): boolean {
    const { maxPerBroker = Infinity, maxPerDomain = Infinity } = group;
    return (onBroker.get(broker) ?? 0) < maxPerBroker && (inDomain.get(domainOf(group, broker)) ?? 0) < maxPerDomain;
  }

  function add({ group, onBroker, inDomain }: Room, broker: string): void {
    onBroker.set(broker, (onBroker.get(broker) ?? 0) + 1);
    const domain = domainOf(group, broker);
    inDomain.set(domain, (inDomain.get(domain) ?? 0) + 1);
  }

  function refresh(room: Room): void {
    for (const [index, broker] of candidates.entries()) room.free[index] = Number(isFree(room, broker));
  }

  function roomOf(topic: string): Room | undefined {
    const group = groups.groupOf(topic);
    if (group === undefined) return undefined;
    const known = rooms.get(group);
    if (known !== undefined) return known;
    const room = { group, free: new Uint8Array(candidates.length), onBroker: new Map(), inDomain: new Map() };
    for (const number of groups.membersOf(group, topicNumbers)) {
      for (const owner of ownersOf(number)) {
        // What a dead broker had is elsewhere soon, and is counted there.
        if (brokers.get(owner)?.liveness.state === 'Live') add(room, owner);
      }
    }
    refresh(room);
    rooms.set(group, room);
    return room;
  }

  return {
    of: (topic) => roomOf(topic)?.free,

    fewest(topic, isAllowed) {
      const room = roomOf(topic);
      const crowds = candidates.map((broker, index) => {
        if (room === undefined || !isAllowed(index)) return Infinity;
        const inDomain =
          room.group.maxPerDomain === undefined ? 0 : (room.inDomain.get(domainOf(room.group, broker)) ?? 0);
        // No broker has as many as this.
        return inDomain * 1e9 + (room.onBroker.get(broker) ?? 0);
      });
      const least = crowds.reduce((low, crowd) => Math.min(low, crowd), Infinity);
      return Uint8Array.from(crowds, (crowd) => Number(crowd === least && crowd < Infinity));
    },

    count(topic, candidate) {
      const room = roomOf(topic);
      const broker = candidates[candidate];
      if (room === undefined || broker === undefined) return;
      add(room, broker);
      // Only a domain that is full concerns other brokers.
      if (room.group.maxPerDomain === undefined) room.free[candidate] = Number(isFree(room, broker));
      else refresh(room);
    },
  };
}
