/**
 * Commits whose outcome is always known. Every transaction of a lane puts its own mark into the lane's key and compares
 * the revision of that key; after an error, moving the key on settles whether the transaction was applied, and keeps a
 * request that is still on its way from being applied later (design §1.3, §4 `commits/{lane}`).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Compare, type Entry, EtcdError, type EtcdPort, type Operation } from './port.ts';

export interface LaneOptions {
  readonly etcd: Pick<EtcdPort, 'commit'>;
  /** `…/commits/{lane}`; nobody else writes it while our fence stands. */
  readonly key: string;
  /** modRevision of the key, read after the fence was taken; 0 when there is none. */
  readonly revision: number;
  readonly epoch: number;
  /** The key and value that only the present leader may write under. */
  readonly fence: { readonly key: string; readonly value: string };
  /** Hold for every transaction, besides the fence. */
  readonly guards?: readonly Compare[];
  /** Ends the wait for an outcome. */
  readonly signal: AbortSignal;
  readonly onUnknown?: (error: EtcdError) => void;
  /** Between two attempts to learn an outcome. Default 200. */
  readonly retryMs?: number;
}

export type LaneResult =
  | { readonly outcome: 'applied'; readonly revision: number }
  /** Not applied; `found` holds the compared keys that exist, and is empty when that is known only after an error. */
  | { readonly outcome: 'refused'; readonly revision: number; readonly found: readonly Entry[] }
  /** Somebody else leads; nothing more can be written through this lane. */
  | { readonly outcome: 'fenced' };

export interface Lane {
  /** One transaction, one at a time. @throws EtcdError when `signal` ended the wait for its outcome. */
  commit(compares: readonly Compare[], operations: readonly Operation[]): Promise<LaneResult>;
}

export function createLane(options: LaneOptions): Lane {
  const { etcd, key, epoch, fence, guards = [], signal, onUnknown, retryMs = 200 } = options;
  let revision = options.revision;
  let fenced = false;
  let last: Promise<unknown> = Promise.resolve();

  async function commit(compares: readonly Compare[], operations: readonly Operation[]): Promise<LaneResult> {
    if (fenced) return { outcome: 'fenced' };
    const transaction = randomUUID();
    const result = await etcd.commit(
      [fence, ...guards, { key, modRevision: revision }, ...compares],
      [{ put: key, value: mark(transaction) }, ...operations],
    );
    if (result.outcome === 'applied') {
      revision = result.revision;
      return result;
    }
    if (result.outcome === 'refused') {
      if (isFenced(result.found)) return becomeFenced();
      revision = revisionOf(result.found);
      return result;
    }
    onUnknown?.(result.error);
    return settle(transaction);
  }

  async function settle(transaction: string): Promise<LaneResult> {
    const barriers = new Set<string>();
    for (;;) {
      const barrier = randomUUID();
      barriers.add(barrier);
      const result = await etcd.commit([fence, { key, modRevision: revision }], [{ put: key, value: mark(barrier) }]);
      if (result.outcome === 'applied') {
        revision = result.revision;
        return { outcome: 'refused', revision, found: [] };
      }
      if (result.outcome === 'refused') {
        const author = authorOf(result.found);
        revision = revisionOf(result.found);
        if (author === transaction) return { outcome: 'applied', revision };
        // Either the fence has changed, or somebody else wrote our lane, which only a new leader does.
        if (isFenced(result.found) || author === undefined || !barriers.has(author)) return becomeFenced();
        return { outcome: 'refused', revision, found: [] };
      }
      await delay(retryMs, undefined, { signal }).catch(() => {
        throw new EtcdError('closed before the outcome of a transaction was known', { cause: result.error });
      });
    }
  }

  function isFenced(found: readonly Entry[]): boolean {
    return entryOf(found, fence.key)?.value.toString('utf8') !== fence.value;
  }

  function becomeFenced(): LaneResult {
    fenced = true;
    return { outcome: 'fenced' };
  }

  function revisionOf(found: readonly Entry[]): number {
    return entryOf(found, key)?.modRevision ?? 0;
  }

  function authorOf(found: readonly Entry[]): string | undefined {
    const entry = entryOf(found, key);
    return entry && parseMark(entry.value.toString('utf8'));
  }

  function mark(transaction: string): string {
    return JSON.stringify({ epoch, transaction });
  }

  return {
    commit(compares, operations) {
      // Two at once would refuse each other by the revision that both compare.
      const turn = last.then(() => commit(compares, operations));
      last = turn.catch(() => undefined); // its caller has the error
      return turn;
    },
  };
}

function entryOf(found: readonly Entry[], key: string): Entry | undefined {
  return found.find((entry) => entry.key === key);
}

/** The transaction of a mark; undefined for what is no mark of a lane. */
function parseMark(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const hasMark = typeof value === 'object' && value !== null && 'transaction' in value;
    return hasMark && typeof value.transaction === 'string' ? value.transaction : undefined;
  } catch {
    // Not JSON, so not ours.
    return undefined;
  }
}
