import { isUtf8 } from 'node:buffer';

export interface NameTable {
  /** The number of a name, the next free one if it is new; -1 when it is not taken: no UTF-8, too long, or no room. */
  readonly intern: (bytes: Uint8Array, start: number, end: number) => number;
  /** The number of a name that is in the table, or -1. */
  readonly find: (name: string) => number;
  readonly name: (index: number) => string;
  readonly size: () => number;
}

export interface NameTableOptions {
  readonly maxNames: number;
  readonly maxNameBytes: number;
}

/**
 * Numbers names from 0 in the order in which they first come. Names live as bytes in one array behind a hash table, so
 * that 20,000 topics are no 20,000 strings and looking one up again makes no garbage.
 */
export function createNameTable({ maxNames, maxNameBytes }: NameTableOptions): NameTable {
  /** Unknown to those who name topics. */
  const seed = Math.floor(Math.random() * 2 ** 32);
  let bytesOfNames = new Uint8Array(16_384);
  /** Where each name ends in bytesOfNames; it begins where the one before it ends. */
  let ends = new Int32Array(512);
  let hashes = new Int32Array(512);
  /** Number of the name + 1 by hash, with linear probing; 0 is free. Always at least twice as long as there are names. */
  let slots = new Int32Array(1_024);
  let size = 0;

  function startOf(index: number): number {
    return index === 0 ? 0 : (ends[index - 1] ?? 0);
  }

  function isName(index: number, bytes: Uint8Array, start: number, end: number): boolean {
    const from = startOf(index);
    if ((ends[index] ?? 0) - from !== end - start) return false;
    for (let offset = end - start - 1; offset >= 0; offset -= 1) {
      if (bytesOfNames[from + offset] !== bytes[start + offset]) return false;
    }
    return true;
  }

  /** The slot that holds the name, or the free one where it belongs. */
  function findSlot(hash: number, bytes: Uint8Array, start: number, end: number): number {
    const mask = slots.length - 1;
    let slot = hash & mask;
    for (;;) {
      const index = (slots[slot] ?? 0) - 1;
      if (index === -1 || (hashes[index] === hash && isName(index, bytes, start, end))) return slot;
      slot = (slot + 1) & mask;
    }
  }

  function makeRoom(nameBytes: number): void {
    const used = startOf(size);
    if (used + nameBytes > bytesOfNames.length) {
      const longer = new Uint8Array(Math.max(used + nameBytes, bytesOfNames.length * 1.5));
      longer.set(bytesOfNames);
      bytesOfNames = longer;
    }
    if (size === ends.length) {
      ends = grown(ends);
      hashes = grown(hashes);
    }
    if ((size + 1) * 2 <= slots.length) return;
    slots = new Int32Array(slots.length * 2);
    const mask = slots.length - 1;
    for (let index = 0; index < size; index += 1) {
      let slot = (hashes[index] ?? 0) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = index + 1;
    }
  }

  return {
    intern(bytes, start, end) {
      const hash = hashOf(seed, bytes, start, end);
      const known = (slots[findSlot(hash, bytes, start, end)] ?? 0) - 1;
      if (known !== -1) return known;
      const isFit = end > start && end - start <= maxNameBytes && isUtf8(bytes.subarray(start, end));
      if (!isFit || size === maxNames) return -1;
      makeRoom(end - start);
      const from = startOf(size);
      bytesOfNames.set(bytes.subarray(start, end), from);
      ends[size] = from + (end - start);
      hashes[size] = hash;
      slots[findSlot(hash, bytes, start, end)] = size + 1;
      size += 1;
      return size - 1;
    },
    find(name) {
      const bytes = Buffer.from(name);
      return (slots[findSlot(hashOf(seed, bytes, 0, bytes.length), bytes, 0, bytes.length)] ?? 0) - 1;
    },
    name: (index) => Buffer.from(bytesOfNames.buffer, startOf(index), (ends[index] ?? 0) - startOf(index)).toString(),
    size: () => size,
  };
}

/**
 * FNV-1a from a secret start, with a shift after each byte: without either, names can be worked out that all have one hash,
 * and each would be compared with all others in each reading.
 */
function hashOf(seed: number, bytes: Uint8Array, start: number, end: number): number {
  let hash = seed;
  for (let at = start; at < end; at += 1) {
    hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
    hash ^= hash >>> 15;
  }
  return hash;
}

function grown(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(array.length * 2);
  longer.set(array);
  return longer;
}
