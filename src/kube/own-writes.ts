/**
 * The gate "skip until my own last writes are visible in the cache", which Kubernetes 1.36 added to its own
 * controllers: a cache that lags behind what this process wrote shows the world before the write, and whoever decides
 * from that decides twice.
 */

import type { KubeClient, KubeObject, ObjectRef, PatchOptions, Resource } from './client.ts';
import { objectKey } from './list-watch.ts';
import { isOlder } from './resource-version.ts';

export interface OwnWritesOptions {
  /** The version up to which the cache shows everything (`ListWatch.shownUpTo`). */
  readonly shownUpTo: () => string | undefined;
  /**
   * After this long a write counts as visible whatever the cache says. Default 60,000. An etcd restored from a backup
   * counts from a lower number, and the gate must not stay closed for ever.
   */
  readonly giveUpMs?: number;
  /** Monotonic milliseconds. */
  readonly monotonic?: () => number;
}

export interface OwnWrites {
  /** For this key, the server answered a write with this version. */
  wrote(key: string, resourceVersion: string | undefined): void;
  /** Whether the cache shows all that was written for this key. */
  areVisible(key: string): boolean;
}

export function createOwnWrites(options: OwnWritesOptions): OwnWrites {
  const { shownUpTo, giveUpMs = 60_000 } = options;
  const monotonic = options.monotonic ?? (() => performance.now());
  const writes = new Map<string, { readonly version: string; readonly at: number }>();

  return {
    wrote(key, version) {
      if (version === undefined || isOlder(version, writes.get(key)?.version)) return;
      writes.set(key, { version, at: monotonic() });
    },
    areVisible(key) {
      const write = writes.get(key);
      if (write === undefined) return true;
      const shown = shownUpTo();
      const isBehind = shown === undefined || isOlder(shown, write.version);
      if (isBehind && monotonic() - write.at <= giveUpMs) return false;
      writes.delete(key);
      return true;
    },
  };
}

export interface RecordWritesOptions {
  readonly client: KubeClient;
  /** Writes to objects of this kind are recorded, each under its object's key. */
  readonly resource: Resource;
  readonly ownWrites: Pick<OwnWrites, 'wrote'>;
}

/** The same client; what it writes to this kind of object is recorded. */
export function recordWrites({ client, resource, ownWrites }: RecordWritesOptions): KubeClient {
  function record<T extends KubeObject>(written: Resource, object: T): T {
    if (written === resource) ownWrites.wrote(objectKey(object), object.metadata.resourceVersion);
    return object;
  }
  return {
    ...client,
    create: async (written, object) => record(written, await client.create(written, object)),
    replace: async (written, object, sub) => record(written, await client.replace(written, object, sub)),
    async patch<T extends KubeObject>(written: Resource, ref: ObjectRef, body: unknown, how: PatchOptions): Promise<T> {
      return record(written, await client.patch<T>(written, ref, body, how));
    },
  };
}
