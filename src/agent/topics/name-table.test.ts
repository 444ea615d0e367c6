import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createNameTable, type NameTable } from './name-table.ts';

function intern(table: NameTable, name: string | Uint8Array): number {
  // Names stand somewhere in a line.
  const line = Buffer.concat([Buffer.from('topic="'), Buffer.from(name), Buffer.from('"}')]);
  return table.intern(line, 7, line.length - 2);
}

describe('names', () => {
  it('are numbered in the order in which they first come', () => {
    const table = createNameTable({ maxNames: 10, maxNameBytes: 100 });

    expect(['/default/a', '/default/b', '/default/a', 'ä'].map((name) => intern(table, name))).toEqual([0, 1, 0, 2]);
    expect([0, 1, 2].map(table.name)).toEqual(['/default/a', '/default/b', 'ä']);
    expect(table.size()).toBe(3);
  });

  it('are found again, however many there are', () => {
    const table = createNameTable({ maxNames: 50_000, maxNameBytes: 100 });
    const names = Array.from({ length: 20_000 }, (_, index) => `/default/topic-${index}`);

    expect(names.every((name, index) => intern(table, name) === index)).toBe(true);
    expect(names.every((name, index) => table.find(name) === index && table.name(index) === name)).toBe(true);
    expect(table.find('/default/topic-20000')).toBe(-1);
  });

  it('behave like the keys of a Map', () => {
    const names = fc.array(fc.oneof(fc.string({ maxLength: 3 }), fc.string({ unit: 'grapheme' })));

    fc.assert(
      fc.property(names, (all) => {
        const table = createNameTable({ maxNames: 1_000, maxNameBytes: 1_000 });
        const wellFormed = all.map((name) => name.toWellFormed()).filter((name) => name !== '');
        const numbers = new Map([...new Set(wellFormed)].map((name, index) => [name, index]));

        for (const name of wellFormed) expect(intern(table, name)).toBe(numbers.get(name));
        for (const [name, index] of numbers) expect(table.name(index)).toBe(name);
        expect(table.size()).toBe(numbers.size);
      }),
    );
  });
});

describe('names that were made to have one hash', () => {
  /** After `/default/`, either text of each pair leads to the same value of FNV-1a. */
  const pairs = [
    ['-5uzx', '-g2ad'],
    ['-2vl8', '-jpd6'],
    ['-1vl8', '-ipd6'],
    ['-1vl8', '-ipd6'],
    ['-1vl8', '-ipd6'],
    ['-1vl8', '-ipd6'],
    ['-1vl8', '-ipd6'],
    ['-1vl8', '-ipd6'],
    ['-1vl8', '-ipd6'],
    ['-1vl8', '-ipd6'],
  ];

  function fnv1a(text: string): number {
    let hash = 0x811c9dc5;
    for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
    return hash;
  }

  it('are found without comparing each with the others', () => {
    const names = pairs.reduce((made, pair) => made.flatMap((name) => pair.map((text) => name + text)), ['/default/']);
    expect(new Set(names.map((name) => fnv1a(name))).size).toBe(1);
    const table = createNameTable({ maxNames: 2_000, maxNameBytes: 100 });
    for (const name of names) intern(table, name);

    let bytesRead = 0;
    const counting: ProxyHandler<Buffer> = {
      get(bytes, key) {
        bytesRead += 1;
        return Reflect.get(bytes, key);
      },
    };
    const length = names[0]?.length ?? 0;
    for (const name of names) table.intern(new Proxy(Buffer.from(name), counting), 0, length);

    // Once for the hash, once for the name that is there.
    expect(bytesRead / names.length).toBeLessThan(2 * length + 5);
  });
});

describe('a name is not taken when', () => {
  it.each([
    ['it is no UTF-8', Uint8Array.of(0xff, 0x41)],
    ['it is empty', ''],
    ['it is too long', 'x'.repeat(101)],
  ])('%s', (_, name) => {
    const table = createNameTable({ maxNames: 10, maxNameBytes: 100 });

    expect(intern(table, name)).toBe(-1);
    expect(table.size()).toBe(0);
  });

  it('the table is full; those in it are still found', () => {
    const table = createNameTable({ maxNames: 2, maxNameBytes: 100 });

    expect(['a', 'b', 'c', 'b'].map((name) => intern(table, name))).toEqual([0, 1, -1, 1]);
  });
});
