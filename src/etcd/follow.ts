/**
 * Keeps a fold of all keys in step with etcd: one full read, then the watch from there; after a compaction, a full read
 * again into a new fold (design §1.2). The watch only brings changes sooner: from time to time the fold is held against
 * etcd itself, which transfers no more than what has changed since the last time, and a difference is repaired.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterMetadata } from '../core/snapshot.ts';
import { createMetadataFold, disagreement, type MetadataFold } from '../danube/metadata.ts';
import { EtcdError, type EtcdPort, type WatchedEvent } from './port.ts';

export interface FollowOptions {
  readonly etcd: EtcdPort;
  readonly signal: AbortSignal;
  /** The fold changed; after a full read `events` is undefined. Must not throw. */
  readonly onChange: (fold: MetadataFold, events: readonly WatchedEvent[] | undefined) => void;
  /** Whether what the fold says is current, as far as anyone can know; with the error when it is not. */
  readonly onHealth: (error: EtcdError | undefined) => void;
  /** The fold was held against etcd; a sentence when they differed, and everything is read again. */
  readonly onVerified: (difference: string | undefined) => void;
  /** Between two verifications. Default 60,000. */
  readonly verifyMs?: number;
}

const RETRY_MS = 500;
/** Verifications take at most one part in this of etcd's time. */
const VERIFY_SHARE = 50;

/** Follows until `signal` aborts. Errors are told to `onHealth` and tried again. */
export async function followMetadata(options: FollowOptions): Promise<void> {
  const { signal, onHealth } = options;
  while (!signal.aborted) {
    try {
      await followOnce(options);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof EtcdError)) throw error;
      onHealth(error);
      await delay(RETRY_MS, undefined, { signal }).catch(ignoreAbort);
    }
  }
}

/** From a full read until a compaction or a difference makes another one necessary. */
async function followOnce(options: FollowOptions): Promise<void> {
  const { etcd, signal, onChange, onHealth, verifyMs = 60_000 } = options;
  const fold = createMetadataFold();
  const state = { keys: 0, verified: 0 };
  const { revision } = await etcd.scan('', {}, (entries) => {
    state.keys += entries.length;
    for (const entry of entries) fold.put(entry);
  });
  fold.seen(revision);
  state.verified = revision;
  onHealth(undefined);
  onChange(fold, undefined);

  const stopped = new AbortController();
  const ended = AbortSignal.any([signal, stopped.signal]);
  const verifying = verifyLoop();
  try {
    for await (const message of etcd.watch('', revision + 1, ended)) {
      if (message.kind === 'interrupted') onHealth(message.error);
      if (message.kind === 'resumed') onHealth(undefined);
      if (message.kind !== 'events') continue;
      for (const { type, entry } of message.events) {
        if (type === 'put') {
          if (entry.version === 1) state.keys += 1;
          fold.put(entry);
        } else {
          state.keys -= 1;
          fold.delete(entry.key, entry.modRevision);
        }
      }
      onChange(fold, message.events);
    }
  } finally {
    stopped.abort();
    await verifying;
  }

  async function verifyLoop(): Promise<void> {
    let tookMs = 0;
    while (!ended.aborted) {
      // The server looks at every key for it: with millions of them it must stay a small part of its time.
      const pauseMs = Math.max(verifyMs, tookMs * VERIFY_SHARE) * (0.75 + Math.random() / 2);
      await delay(pauseMs, undefined, { signal: ended }).catch(ignoreAbort);
      if (ended.aborted) return;
      const startedAt = performance.now();
      try {
        const { metadata } = fold;
        const difference = await verify(etcd, { metadata, keys: state.keys, since: state.verified + 1 });
        tookMs = performance.now() - startedAt;
        options.onVerified(difference);
        if (difference === undefined) state.verified = metadata.revision;
        if (difference !== undefined || fold.isWasteful()) stopped.abort();
      } catch (error) {
        // Compacted meanwhile, or out of reach: the next time will tell.
        if (!(error instanceof EtcdError)) throw error;
      }
    }
  }
}

export interface Verification {
  readonly metadata: ClusterMetadata;
  /** Number of keys that the fold has seen come and not go. */
  readonly keys: number;
  /** Everything before this revision has been verified already. */
  readonly since: number;
}

/**
 * Holds a snapshot against etcd as of the snapshot's own revision: what was put since the last verification must be in it
 * as it is, and the number of keys must be the same, which a missed deletion would change.
 *
 * @returns a sentence on the first difference. @throws EtcdError
 */
export async function verify(
  etcd: Pick<EtcdPort, 'scan' | 'count'>,
  { metadata, keys, since }: Verification,
): Promise<string | undefined> {
  const { revision } = metadata;
  let difference: string | undefined;
  await etcd.scan('', { revision, minModRevision: since }, (entries) => {
    for (const entry of entries) difference ??= disagreement(metadata, entry);
  });
  if (difference !== undefined) return difference;
  const { count } = await etcd.count('', revision);
  return count === keys ? undefined : `etcd has ${count} keys at revision ${revision}, the watch has left ${keys}`;
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error;
}
