import { beforeAll, describe, expect, it } from 'vitest';
import type { EtcdPort } from '../../src/etcd/port.ts';
import { useEtcd } from './suite.ts';

const suite = useEtcd();
const KEYS = 6_000;

let etcd: EtcdPort;
/** The revision after the keys were written, before anything was changed. */
let written: number;

beforeAll(async () => {
  etcd = suite().connect();
  for (let from = 0; from < KEYS; from += 100) {
    const puts = Array.from({ length: 100 }, (_, at) => ({ put: keyOf(from + at), value: `value ${from + at}` }));
    await etcd.commit([], puts);
  }
  written = (await etcd.count('')).revision;
});

function keyOf(number: number): string {
  return `/many/${String(number).padStart(6, '0')}`;
}

describe('a read', () => {
  it('gives every key under a prefix and nothing beside it, over several pages', async () => {
    await etcd.commit([], [{ put: '/manz', value: 'beside' }]);

    const { entries } = await etcd.read('/many/');

    expect(entries.map(({ key }) => key)).toEqual(Array.from({ length: KEYS }, (_, at) => keyOf(at)));
    expect(entries.at(-1)).toMatchObject({ value: Buffer.from(`value ${KEYS - 1}`), version: 1 });
  });

  it('shows one revision, whatever is written while the pages are fetched', async () => {
    const seen: string[] = [];
    let changed: Promise<unknown> | undefined;

    const { revision } = await etcd.scan('/many/', {}, (page) => {
      for (const entry of page) seen.push(entry.value.toString());
      changed ??= etcd.commit([], [{ put: keyOf(KEYS - 1), value: 'changed meanwhile' }]);
    });
    await changed;

    expect(seen.at(-1)).toBe(`value ${KEYS - 1}`);
    expect((await etcd.get(keyOf(KEYS - 1)))?.modRevision).toBeGreaterThan(revision);
  });

  it('can look back at an older revision', async () => {
    await etcd.commit([], [{ put: keyOf(7), value: 'newer' }, { delete: keyOf(8) }]);

    const then = await etcd.read(keyOf(7), { revision: written });

    expect(then.revision).toBe(written);
    expect(then.entries.map(({ value }) => value.toString())).toEqual(['value 7']);
    expect((await etcd.count('/many/', written)).count).toBe(KEYS);
    expect((await etcd.count('/many/')).count).toBe(KEYS - 1);
  });

  it('can be limited to what was put since a revision, and to the keys', async () => {
    await etcd.commit([], [{ put: keyOf(9), value: 'put again' }]);
    const { revision } = await etcd.count('');

    const { entries } = await etcd.read('/many/', { minModRevision: revision, keysOnly: true });

    expect(entries).toEqual([
      expect.objectContaining({ key: keyOf(9), value: Buffer.alloc(0), version: 2, modRevision: revision }),
    ]);
  });

  it('of the empty prefix is a read of all keys', async () => {
    const everything = await etcd.read('', { keysOnly: true });

    expect(everything.entries.length).toBe((await etcd.count('')).count);
    expect(everything.entries.map(({ key }) => key)).toContain('/manz');
  });
});
