import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EtcdError } from './port.ts';
import { createScan, type PageRequest } from './scan.ts';

interface Stored {
  readonly key: Buffer;
  readonly modRevision: number;
}

const END = Buffer.from([0]);

/** Answers as etcd does: the count is that of the whole range, the limit applies to what the filter leaves. */
function createPages(stored: readonly Stored[], maxEntries = Number.POSITIVE_INFINITY) {
  const sorted = stored.toSorted((a, b) => Buffer.compare(a.key, b.key));
  const requests: (PageRequest & { readonly counted: number })[] = [];
  const scan = createScan(async (request) => {
    const { from, to, limit, minModRevision } = request;
    if (limit > maxEntries) throw new EtcdError('message larger than max', { kind: 'TooLarge' });
    const inRange = sorted.slice(indexOf(sorted, from), to.equals(END) ? sorted.length : indexOf(sorted, to));
    requests.push({ ...request, counted: inRange.length });
    const matching = minModRevision === 0 ? inRange : inRange.filter((one) => one.modRevision >= minModRevision);
    const page = matching.slice(0, limit);
    return {
      revision: 77,
      entries: page.map(({ key, modRevision }) => ({
        key: key.toString('latin1'),
        value: Buffer.alloc(0),
        createRevision: 1,
        modRevision,
      })),
      more: matching.length > page.length,
      count: inRange.length,
      lastKey: page.at(-1)?.key,
      bytes: page.length * 4_000,
    };
  });
  return { scan, requests };
}

/** Where the first key stands that is not before `key`. */
function indexOf(sorted: readonly Stored[], key: Buffer): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (Buffer.compare(sorted[middle]?.key ?? END, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

async function keysOf(run: (visit: (entries: readonly { key: string }[]) => void) => Promise<unknown>) {
  const keys: string[] = [];
  await run((entries) => keys.push(...entries.map(({ key }) => key)));
  return keys;
}

const bytes = fc.uint8Array({ minLength: 1, maxLength: 6 }).map((array) => Buffer.from(array));
const fewBytes = fc.array(fc.constantFrom(0x00, 0x2f, 0x41, 0xff), { minLength: 1, maxLength: 8 }).map(Buffer.from);

describe('a scan', () => {
  it('visits every key once and in order, whatever the keys are', async () => {
    const keys = fc.uniqueArray(fc.oneof(bytes, fewBytes), { maxLength: 600, selector: (key) => key.toString('hex') });
    await fc.assert(
      fc.asyncProperty(keys, fc.integer({ min: 1, max: 9 }), async (all, since) => {
        const stored = all
          .filter((key) => !key.equals(END))
          .map((key) => ({ key, modRevision: 1 + ((key[0] ?? 0) % 10) }));
        const { scan } = createPages(stored);
        const expected = (from: number) =>
          stored
            .filter(({ modRevision }) => modRevision >= from)
            .map(({ key }) => key)
            .sort(Buffer.compare)
            .map((key) => key.toString('latin1'));

        expect(await keysOf((visit) => scan('', {}, visit))).toEqual(expected(0));
        expect(await keysOf((visit) => scan('', { minModRevision: since }, visit))).toEqual(expected(since));
      }),
      { numRuns: 50 },
    );
  });

  const topics = Array.from({ length: 60_000 }, (_, at) => ({
    key: Buffer.from(`/topics/default/topic-${String(at).padStart(7, '0')}`),
    modRevision: at === 12_345 ? 9 : 1,
  }));

  it('makes etcd count each key only a few times, however many there are', async () => {
    const { scan, requests } = createPages(topics);

    const keys = await keysOf((visit) => scan('/topics/', {}, visit));

    expect(keys).toHaveLength(topics.length);
    const counted = requests.reduce((sum, request) => sum + request.counted, 0);
    // With an open end it would be more than a hundred times.
    expect(counted / topics.length).toBeLessThan(12);
  });

  it('of what has changed asks for small ranges, from the first time on', async () => {
    const { scan, requests } = createPages(topics);

    expect(await keysOf((visit) => scan('/topics/', { minModRevision: 9 }, visit))).toEqual([
      '/topics/default/topic-0012345',
    ]);

    const filtered = requests.filter(({ minModRevision }) => minModRevision > 0);
    expect(Math.max(...filtered.map(({ counted }) => counted))).toBeLessThan(2_000);
  });

  it('reads all pages at the revision of the first one, or at the one that is asked for', async () => {
    const { scan, requests } = createPages(topics.slice(0, 1_000));

    expect(await scan('/topics/', {}, () => undefined)).toEqual({ revision: 77 });
    expect(requests.map(({ revision }) => revision)).toEqual([0, ...requests.slice(1).map(() => 77)]);
    expect(await scan('/topics/', { revision: 50 }, () => undefined)).toEqual({ revision: 50 });
  });

  it('asks for less when a page is too large for a message', async () => {
    const { scan, requests } = createPages(topics.slice(0, 500), 20);

    expect(await keysOf((visit) => scan('/topics/', {}, visit))).toHaveLength(500);
    expect(Math.max(...requests.map(({ limit }) => limit))).toBeLessThanOrEqual(20);
  });
});
