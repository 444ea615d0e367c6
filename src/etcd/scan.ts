/** Reads all keys of a prefix page by page at one revision, at a cost that grows with their number and no faster. */
import type { RangeReply } from './decode.ts';
import { afterExhausted, afterFullPage, afterKey, type KeyRange } from './page-plan.ts';
import { type Entry, EtcdError, type ReadOptions, rangeOf } from './port.ts';

export interface PageRequest extends KeyRange {
  /** In the user's words, for errors. */
  readonly what: string;
  readonly limit: number;
  /** 0 is the newest. */
  readonly revision: number;
  readonly keysOnly: boolean;
  /** 0 for all keys. */
  readonly minModRevision: number;
}

export type FetchPage = (request: PageRequest) => Promise<RangeReply>;

export type Scan = (
  prefix: string,
  options: ReadOptions,
  visit: (entries: readonly Entry[]) => void,
) => Promise<{ revision: number }>;

/** The first page is small, since nobody knows yet how large the values are; the others get near to PAGE_BYTES. */
const FIRST_PAGE_KEYS = 256;
const MAX_PAGE_KEYS = 20_000;
const PAGE_BYTES = 1024 * 1024;
/** As many keys more as this many pages may be counted with each request. */
const SMALL_REST_PAGES = 4;
/** From here on it pays to know where pages end: more pages, or more keys, than this. */
const LARGE_PAGES = 8;
const LARGE_KEYS = 50_000;

export function createScan(fetch: FetchPage): Scan {
  /**
   * Where the pages of the last whole scan of a large prefix ended. With `minModRevision` etcd loads every key of the
   * range, whatever the limit, and shows few: so the ranges must come from what was seen before.
   */
  const fences = new Map<string, readonly Buffer[]>();

  async function fetchFitting(request: PageRequest): Promise<RangeReply> {
    for (let { limit } = request; ; limit = Math.ceil(limit / 4)) {
      try {
        return await fetch({ ...request, limit });
      } catch (error) {
        if (!(error instanceof EtcdError && error.kind === 'TooLarge') || limit === 1) throw error;
      }
    }
  }

  async function walk(
    request: Omit<PageRequest, 'from' | 'to' | 'limit'>,
    first: KeyRange,
    next: (current: KeyRange, page: RangeReply, limit: number) => KeyRange | undefined,
    visit: (entries: readonly Entry[]) => void,
  ): Promise<number> {
    let { revision } = request;
    let limit = FIRST_PAGE_KEYS;
    let current = first;
    let fetching = fetchFitting({ ...request, ...current, limit });
    for (;;) {
      const page = await fetching;
      revision ||= page.revision;
      if (page.entries.length > 0) {
        limit = Math.round(PAGE_BYTES / (page.bytes / page.entries.length));
        limit = Math.min(MAX_PAGE_KEYS, Math.max(1, limit));
      }
      const following = next(current, page, limit);
      if (following !== undefined) {
        current = following;
        // The server fetches the next page while we look at this one.
        fetching = fetchFitting({ ...request, ...current, limit, revision });
        fetching.catch(() => undefined); // awaited above, unless `visit` throws
      }
      if (page.entries.length > 0) visit(page.entries);
      if (following === undefined) return revision;
    }
  }

  async function scanAll(
    prefix: string,
    request: Omit<PageRequest, 'from' | 'to' | 'limit'>,
    visit: (entries: readonly Entry[]) => void,
  ): Promise<number> {
    const { key: from, range_end: end } = rangeOf(prefix);
    const ends: Buffer[] = [];

    function next(current: KeyRange, page: RangeReply, limit: number): KeyRange | undefined {
      const [first] = page.entries;
      if (!page.more || page.lastKey === undefined || first === undefined) return afterExhausted(current, end);
      ends.push(afterKey(page.lastKey));
      const rest = page.count - page.entries.length;
      if (rest <= SMALL_REST_PAGES * limit) return { from: afterKey(page.lastKey), to: current.to };
      return afterFullPage(Buffer.from(first.key, 'utf8'), page.lastKey, end);
    }

    const revision = await walk(request, { from, to: end }, next, visit);
    if (ends.length >= LARGE_PAGES) fences.set(prefix, ends);
    return revision;
  }

  async function scanSince(
    prefix: string,
    request: Omit<PageRequest, 'from' | 'to' | 'limit'>,
    visit: (entries: readonly Entry[]) => void,
  ): Promise<number> {
    const { key: from, range_end: end } = rangeOf(prefix);
    if (!fences.has(prefix)) {
      const { count } = await fetch({ ...request, from, to: end, limit: 1, minModRevision: 0, keysOnly: true });
      if (count > LARGE_KEYS) await scanAll(prefix, { ...request, minModRevision: 0, keysOnly: true }, () => undefined);
    }
    const known = fences.get(prefix) ?? [];
    let passed = 0;

    function next(current: KeyRange, page: RangeReply): KeyRange | undefined {
      if (page.more && page.lastKey !== undefined) return { from: afterKey(page.lastKey), to: current.to };
      if (current.to.equals(end)) return undefined;
      passed++;
      return { from: current.to, to: known[passed] ?? end };
    }

    return walk(request, { from, to: known[0] ?? end }, next, visit);
  }

  return async (prefix, { revision = 0, minModRevision = 0, keysOnly = false }, visit) => {
    const request = { what: `read of "${prefix}*"`, revision, minModRevision, keysOnly };
    const scanned = minModRevision > 0 ? scanSince(prefix, request, visit) : scanAll(prefix, request, visit);
    return { revision: await scanned };
  };
}
