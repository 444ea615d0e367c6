/**
 * The one way to an etcd: read at a revision, commit by comparison, watch from a revision (design §4).
 * The adapter (`etcd3.ts`) is the only file that names the client library.
 */

/** One key as stored. Revisions are checked to be exact JavaScript integers by the adapter. */
export interface Entry {
  readonly key: string;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  /** How often the key was put since it was created: 1 = created by this put, 0 = deleted. A fake may leave it out. */
  readonly version?: number;
  /** Lease id as a decimal string; absent when the key has no lease. */
  readonly lease?: string;
}

export interface ReadOptions {
  /** Read as of this revision; the newest when absent. */
  readonly revision?: number;
  /** Only keys put at this revision or later. Saves the transfer; the server still looks at every key. */
  readonly minModRevision?: number;
  /** Leaves out the values (they are empty buffers). */
  readonly keysOnly?: boolean;
}

export interface ReadResult {
  /** Revision at which every entry was read. */
  readonly revision: number;
  readonly entries: readonly Entry[];
}

/** A condition of a transaction; revision 0 means "the key does not exist". */
export type Compare =
  | { readonly key: string; readonly value: string }
  | { readonly key: string; readonly modRevision: number }
  | { readonly key: string; readonly createRevision: number }
  /** The key exists, whatever it holds. */
  | { readonly key: string; readonly exists: true };

export type Operation =
  | { readonly put: string; readonly value: string; readonly lease?: string }
  | { readonly delete: string };

/**
 * What became of a transaction. `unknown` is a value, not an exception: the request may have been applied, or may still
 * be applied later; the caller reads back (design §1.3).
 */
export type CommitResult =
  | { readonly outcome: 'applied'; readonly revision: number }
  /** A comparison failed; `found` holds the compared keys that exist, read in the same transaction. */
  | { readonly outcome: 'refused'; readonly revision: number; readonly found: readonly Entry[] }
  | { readonly outcome: 'unknown'; readonly error: EtcdError };

export interface WatchedEvent {
  readonly type: 'put' | 'delete';
  /** For a delete: key and modRevision only, the value is empty. */
  readonly entry: Entry;
}

export type WatchMessage =
  /** All events of one or more revisions, in order; a revision is never split over two messages. */
  | { readonly kind: 'events'; readonly events: readonly WatchedEvent[] }
  /** The stream broke and is being resumed; nothing is lost, but it may be late. */
  | { readonly kind: 'interrupted'; readonly error: EtcdError }
  /** The server has confirmed the watch again. */
  | { readonly kind: 'resumed' }
  /**
   * Last message of a stream: history before `compactRevision` is gone, or the etcd was restored from a backup or
   * replaced by another (then `compactRevision` is its present revision). Read everything again.
   */
  | { readonly kind: 'compacted'; readonly compactRevision: number };

export interface EtcdPort {
  /**
   * Every key that starts with `prefix` ('' is all keys), in the order of their bytes, paged at one revision.
   * @throws EtcdError
   */
  read(prefix: string, options?: ReadOptions): Promise<ReadResult>;
  /**
   * As `read`, page by page: `visit` gets each page as it comes and decides what to keep, so that millions of keys need
   * no more memory than two pages. An entry's value is a view of its page: copy what outlives the visit.
   * @throws EtcdError
   */
  scan(prefix: string, options: ReadOptions, visit: (entries: readonly Entry[]) => void): Promise<{ revision: number }>;
  /** How many keys start with `prefix`, counted by the server. @throws EtcdError */
  count(prefix: string, revision?: number): Promise<{ revision: number; count: number }>;
  /** One key, linearizable. @throws EtcdError */
  get(key: string): Promise<Entry | undefined>;
  /**
   * One transaction: all of `operations` if all of `compares` hold. Never throws for the server's or the network's sake.
   * @throws Error when `operations` name a key twice, which no etcd accepts.
   */
  commit(compares: readonly Compare[], operations: readonly Operation[]): Promise<CommitResult>;
  /**
   * Everything that happens to keys under `prefix` from revision `from` on, each event once and in order. Resumes by
   * itself from the last delivered revision; ends only by `signal` or with `compacted`. A slow reader loses nothing and
   * costs little memory: what it has not taken is fetched again later.
   */
  watch(prefix: string, from: number, signal: AbortSignal): AsyncIterable<WatchMessage>;
  /** A new lease; its id as a decimal string. @throws EtcdError */
  grantLease(ttlSeconds: number): Promise<string>;
  /** Renews once; seconds to live granted, 0 when the lease is gone. @throws EtcdError */
  keepAliveLease(lease: string): Promise<number>;
  /** @throws EtcdError */
  revokeLease(lease: string): Promise<void>;
  close(): void;
}

/** What is wrong, as far as the client can tell; each calls for something else to be done. */
export type EtcdErrorKind =
  /** No connection: nothing was sent. */
  | 'Unreachable'
  /** No answer in time; the request may have been carried out. */
  | 'Timeout'
  /** The member answers, but has no leader or cannot reach a majority. */
  | 'NoQuorum'
  /** One side does not trust the other's certificate, or one speaks TLS and the other does not. */
  | 'BadCertificate'
  | 'BadPassword'
  | 'PermissionDenied'
  /** The wanted revision is no longer kept. */
  | 'Compacted'
  /** Over the server's limit of bytes or operations; not carried out. */
  | 'TooLarge'
  | 'Unknown';

/** An etcd that did not answer, or answered with an error. The message says which endpoint and what to check. */
export class EtcdError extends Error {
  override readonly name = 'EtcdError';
  readonly kind: EtcdErrorKind;
  constructor(message: string, options?: { cause?: unknown; kind?: EtcdErrorKind }) {
    super(message, options);
    this.kind = options?.kind ?? 'Unknown';
  }
}

/** The first key after all keys that start with `prefix`; one NUL byte means "to the end". */
export function rangeEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix, 'utf8');
  for (let at = end.length - 1; at >= 0; at--) {
    const byte = end[at] ?? 0xff;
    if (byte < 0xff) {
      end[at] = byte + 1;
      return end.subarray(0, at + 1);
    }
  }
  return Buffer.from([0]);
}

/** The range of all keys that start with `prefix`, in etcd's terms. */
export function rangeOf(prefix: string): { readonly key: Buffer; readonly range_end: Buffer } {
  return { key: prefix === '' ? Buffer.from([0]) : Buffer.from(prefix, 'utf8'), range_end: rangeEnd(prefix) };
}
