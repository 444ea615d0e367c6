/**
 * What is known of each topic, in columns instead of objects: a million topics must fit beside everything else
 * (design §9). Columns are cut into chunks that are copied on the first write after a snapshot, so that a snapshot costs
 * a few hundred pointers and never changes.
 */

import { NO_OWNER, SEVERAL_OWNERS, type TopicNumbers } from '../core/snapshot.ts';

const CHUNK = 4096;

const EXISTS = 1;
const RELIABLE = 2;
const NON_RELIABLE = 4;

/** `owner`: 0 nobody, n > 0 the broker with index n - 1, -1 several (then `several` has them). */
interface Chunk {
  readonly generation: number;
  readonly owner: Int32Array;
  readonly ownerRevision: Float64Array;
  /** Create revision of the key by which the topic exists. */
  readonly created: Float64Array;
  readonly flags: Uint8Array;
}

type Owners = ReadonlyMap<string, number>;

/** A state of the table that never changes. Topics are named by their index, which stays theirs. */
export interface TopicColumns {
  /** Topics that exist (`/namespaces/N/topics/N/T`). */
  readonly existing: number;
  readonly reliable: number;
  /** By broker, those that own any: number of topics. */
  readonly owned: ReadonlyMap<string, number>;
  /** Topics with several owners. */
  readonly doublyOwned: readonly string[];
  indexOf(topic: string): number | undefined;
  exists(index: number): boolean;
  /** Create revision of the key by which the topic exists; undefined when it does not. */
  createdAt(index: number): number | undefined;
  deliveryOf(index: number): 'Reliable' | 'NonReliable' | undefined;
  /** Broker → modRevision of the assignment; undefined when nobody owns the topic. */
  ownersOf(index: number): Owners | undefined;
  topicsOf(broker: string): Iterable<string>;
  existingTopics(): Iterable<string>;
  readonly numbers: TopicNumbers;
}

export interface TopicTable {
  /** Makes room for the topic if it is new. */
  intern(topic: string): number;
  /** Undefined for a topic that never was. */
  indexOf(topic: string): number | undefined;
  /** How many of the topics that ever were are gone: their names stay until everything is read again. */
  gone(): number;
  nameOf(index: number): string;
  /** With the create revision of its key, or undefined when it is gone. */
  setExists(index: number, createRevision: number | undefined): void;
  setDelivery(index: number, delivery: 'Reliable' | 'NonReliable' | undefined): void;
  addOwner(index: number, broker: string, modRevision: number): void;
  removeOwner(index: number, broker: string): void;
  hasOwner(index: number): boolean;
  exists(index: number): boolean;
  snapshot(): TopicColumns;
}

export function createTopicTable(): TopicTable {
  const names: string[] = [];
  const indexes = new Map<string, number>();
  const brokers: string[] = [];
  const brokerIndexes = new Map<string, number>();
  const ownedCounts = new Map<string, number>();
  let chunks: Chunk[] = [];
  let several = new Map<number, Map<string, number>>();
  let severalShared = false;
  let generation = 0;
  let existing = 0;
  let reliable = 0;

  function writable(index: number): Chunk {
    const at = Math.floor(index / CHUNK);
    const chunk = chunks[at];
    if (chunk?.generation === generation) return chunk;
    const copy: Chunk = {
      generation,
      owner: chunk?.owner.slice() ?? new Int32Array(CHUNK),
      ownerRevision: chunk?.ownerRevision.slice() ?? new Float64Array(CHUNK),
      created: chunk?.created.slice() ?? new Float64Array(CHUNK),
      flags: chunk?.flags.slice() ?? new Uint8Array(CHUNK),
    };
    chunks[at] = copy;
    return copy;
  }

  function flagsOf(index: number): number {
    return chunks[Math.floor(index / CHUNK)]?.flags[index % CHUNK] ?? 0;
  }

  function setFlags(index: number, flags: number): void {
    const before = flagsOf(index);
    if (before === flags) return;
    existing += (flags & EXISTS) - (before & EXISTS);
    reliable += ((flags & RELIABLE) - (before & RELIABLE)) / RELIABLE;
    writable(index).flags[index % CHUNK] = flags;
  }

  function ownerOf(index: number): number {
    return chunks[Math.floor(index / CHUNK)]?.owner[index % CHUNK] ?? 0;
  }

  function setOwner(index: number, owner: number, modRevision: number): void {
    const chunk = writable(index);
    chunk.owner[index % CHUNK] = owner;
    chunk.ownerRevision[index % CHUNK] = modRevision;
  }

  function brokerIndex(broker: string): number {
    const known = brokerIndexes.get(broker);
    if (known !== undefined) return known;
    brokers.push(broker);
    brokerIndexes.set(broker, brokers.length - 1);
    return brokers.length - 1;
  }

  function count(broker: string, by: number): void {
    const owned = (ownedCounts.get(broker) ?? 0) + by;
    if (owned === 0) ownedCounts.delete(broker);
    else ownedCounts.set(broker, owned);
  }

  /** The owners of a topic that has several, to be changed. */
  function writableOwners(index: number): Map<string, number> {
    if (severalShared) {
      several = new Map([...several].map(([topic, owners]) => [topic, new Map(owners)]));
      severalShared = false;
    }
    const owners = several.get(index) ?? new Map<string, number>();
    several.set(index, owners);
    return owners;
  }

  return {
    intern(topic) {
      const known = indexes.get(topic);
      if (known !== undefined) return known;
      // A part of a key keeps the whole key in memory; a copy of its own does not.
      const name = Buffer.from(topic).toString();
      names.push(name);
      indexes.set(name, names.length - 1);
      return names.length - 1;
    },

    indexOf: (topic) => indexes.get(topic),
    nameOf: (index) => names[index] ?? '',
    gone: () => names.length - existing,
    exists: (index) => (flagsOf(index) & EXISTS) !== 0,
    hasOwner: (index) => ownerOf(index) !== 0,

    setExists(index, createRevision) {
      setFlags(index, createRevision === undefined ? flagsOf(index) & ~EXISTS : flagsOf(index) | EXISTS);
      writable(index).created[index % CHUNK] = createRevision ?? 0;
    },

    setDelivery(index, delivery) {
      const rest = flagsOf(index) & EXISTS;
      setFlags(index, rest | (delivery === undefined ? 0 : delivery === 'Reliable' ? RELIABLE : NON_RELIABLE));
    },

    addOwner(index, broker, modRevision) {
      const number = brokerIndex(broker) + 1;
      const before = ownerOf(index);
      if (before === 0 || before === number) {
        if (before === 0) count(broker, 1);
        setOwner(index, number, modRevision);
        return;
      }
      const owners = writableOwners(index);
      if (before > 0) {
        owners.set(brokers[before - 1] ?? '', chunks[Math.floor(index / CHUNK)]?.ownerRevision[index % CHUNK] ?? 0);
        setOwner(index, -1, 0);
      }
      if (!owners.has(broker)) count(broker, 1);
      owners.set(broker, modRevision);
    },

    removeOwner(index, broker) {
      const before = ownerOf(index);
      if (before > 0 && brokers[before - 1] === broker) {
        count(broker, -1);
        setOwner(index, 0, 0);
      }
      if (before !== -1) return;
      const owners = writableOwners(index);
      if (owners.delete(broker)) count(broker, -1);
      const [last, ...others] = owners;
      if (others.length > 0 || last === undefined) return;
      several.delete(index);
      setOwner(index, brokerIndex(last[0]) + 1, last[1]);
    },

    snapshot() {
      const state: ColumnState = {
        chunks,
        several,
        names,
        indexes,
        brokers,
        brokerIndexes,
        topics: names.length,
        existing,
        reliable,
        owned: new Map(ownedCounts),
      };
      chunks = [...chunks];
      severalShared = true;
      generation += 1;
      return columnsOf(state);
    },
  };
}

/** Names only ever grow, so they are shared; `topics` is how many this snapshot knows. */
interface ColumnState {
  readonly chunks: readonly Chunk[];
  readonly several: ReadonlyMap<number, Owners>;
  readonly names: readonly string[];
  readonly indexes: ReadonlyMap<string, number>;
  readonly brokers: readonly string[];
  readonly brokerIndexes: ReadonlyMap<string, number>;
  readonly topics: number;
  readonly existing: number;
  readonly reliable: number;
  readonly owned: ReadonlyMap<string, number>;
}

function columnsOf(state: ColumnState): TopicColumns {
  const { chunks, several, names, brokers } = state;
  const flagsOf = (index: number) => chunks[Math.floor(index / CHUNK)]?.flags[index % CHUNK] ?? 0;
  const indexOf = (topic: string) => {
    const index = state.indexes.get(topic);
    return index !== undefined && index < state.topics ? index : undefined;
  };
  return {
    existing: state.existing,
    reliable: state.reliable,
    owned: state.owned,
    doublyOwned: [...several.keys()].map((index) => names[index] ?? ''),
    indexOf,
    exists: (index) => (flagsOf(index) & EXISTS) !== 0,
    createdAt: (index) => chunks[Math.floor(index / CHUNK)]?.created[index % CHUNK] || undefined,
    deliveryOf(index) {
      const flags = flagsOf(index);
      if ((flags & RELIABLE) !== 0) return 'Reliable';
      return (flags & NON_RELIABLE) !== 0 ? 'NonReliable' : undefined;
    },
    ownersOf(index) {
      const chunk = chunks[Math.floor(index / CHUNK)];
      const owner = chunk?.owner[index % CHUNK] ?? 0;
      if (owner === 0) return undefined;
      if (owner === -1) return several.get(index);
      return new Map([[brokers[owner - 1] ?? '', chunk?.ownerRevision[index % CHUNK] ?? 0]]);
    },
    *topicsOf(broker) {
      const number = (state.brokerIndexes.get(broker) ?? -1) + 1;
      if (number === 0) return;
      for (const [at, { owner }] of chunks.entries()) {
        for (let offset = owner.indexOf(number); offset !== -1; offset = owner.indexOf(number, offset + 1)) {
          yield names[at * CHUNK + offset] ?? '';
        }
      }
      for (const [index, owners] of several) if (owners.has(broker)) yield names[index] ?? '';
    },
    *existingTopics() {
      for (let index = 0; index < state.topics; index++) {
        if ((flagsOf(index) & EXISTS) !== 0) yield names[index] ?? '';
      }
    },
    numbers: {
      // The names are the table's own, whatever the snapshot.
      table: names,
      size: state.topics,
      brokers,
      numberOf: indexOf,
      nameOf: (index) => names[index] ?? '',
      isReliable: (index) => (flagsOf(index) & RELIABLE) !== 0,
      ownerOf(index) {
        const owner = chunks[Math.floor(index / CHUNK)]?.owner[index % CHUNK] ?? 0;
        return owner > 0 ? owner - 1 : owner === 0 ? NO_OWNER : SEVERAL_OWNERS;
      },
    },
  };
}
