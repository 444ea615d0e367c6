/**
 * Keeps a fold of all keys in step with etcd: one full read, then the watch from there; after a compaction, a full read
 * again into a new fold (design §1.2). The watch only brings changes sooner than the next read would.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createMetadataFold, type MetadataFold } from '../danube/metadata.ts';
import { EtcdError, type EtcdPort, type WatchedEvent } from './port.ts';

export interface FollowOptions {
  readonly etcd: EtcdPort;
  readonly signal: AbortSignal;
  /** The fold changed; after a full read `events` is undefined. Must not throw. */
  readonly onChange: (fold: MetadataFold, events: readonly WatchedEvent[] | undefined) => void;
  /** Whether what the fold says is current, as far as anyone can know; with the error when it is not. */
  readonly onHealth: (error: EtcdError | undefined) => void;
}

const RETRY_MS = 500;

/** Follows until `signal` aborts. Errors are told to `onHealth` and tried again. */
export async function followMetadata(options: FollowOptions): Promise<void> {
  const { etcd, signal, onChange, onHealth } = options;
  while (!signal.aborted) {
    try {
      const { revision, entries } = await etcd.read('');
      const fold = createMetadataFold();
      for (const entry of entries) fold.put(entry);
      fold.seen(revision);
      onHealth(undefined);
      onChange(fold, undefined);
      for await (const message of etcd.watch('', revision + 1, signal)) {
        if (message.kind === 'interrupted') onHealth(message.error);
        if (message.kind === 'resumed') onHealth(undefined);
        if (message.kind !== 'events') continue;
        for (const { type, entry } of message.events) {
          if (type === 'put') fold.put(entry);
          else fold.delete(entry.key, entry.modRevision);
        }
        onChange(fold, message.events);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof EtcdError)) throw error;
      onHealth(error);
      await delay(RETRY_MS, undefined, { signal }).catch((aborted: Error) => {
        if (aborted.name !== 'AbortError') throw aborted;
      });
    }
  }
}
