/** Many writes as few transactions, within the limits of the server (design §4). */
import type { Compare, EtcdError, EtcdPort, Operation } from './port.ts';

export interface BatchLimits {
  /** etcd's --max-txn-ops; default 128. */
  readonly maxOperations?: number;
  /** A little below etcd's --max-request-bytes; default 1.4 MiB of keys and values, for 1.5 MiB with all around them. */
  readonly maxBytes?: number;
}

const MAX_OPERATIONS = 128;
const MAX_BYTES = 1.4 * 1024 * 1024;
/** What an operation needs besides its key and value. */
const OVERHEAD_BYTES = 32;

/**
 * Cuts `operations` into transactions, in order: none larger than the limits, and no key twice in one (a later write of a
 * key starts a new transaction, so that the last one wins, as written).
 */
export function splitOperations(operations: readonly Operation[], limits: BatchLimits = {}): readonly Operation[][] {
  const { maxOperations = MAX_OPERATIONS, maxBytes = MAX_BYTES } = limits;
  const batches: Operation[][] = [];
  let batch: Operation[] = [];
  let keys = new Set<string>();
  let bytes = 0;
  for (const operation of operations) {
    const key = 'delete' in operation ? operation.delete : operation.put;
    const size = sizeOf(operation);
    if (batch.length > 0 && (batch.length >= maxOperations || bytes + size > maxBytes || keys.has(key))) {
      batches.push(batch);
      batch = [];
      keys = new Set();
      bytes = 0;
    }
    batch.push(operation);
    keys.add(key);
    bytes += size;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

export type BatchResult =
  /** All of it; the revision of the last transaction, 0 when there was nothing to do. */
  | { readonly outcome: 'applied'; readonly revision: number }
  /** The first `done` operations are applied, the next ones not or perhaps, all others certainly not. */
  | { readonly outcome: 'refused' | 'unknown'; readonly done: number; readonly error?: EtcdError };

export interface Batch {
  readonly etcd: Pick<EtcdPort, 'commit'>;
  /** Hold for each of the transactions. */
  readonly compares?: readonly Compare[];
  readonly operations: readonly Operation[];
  readonly limits?: BatchLimits;
}

/**
 * Commits one transaction after another and stops at the first that is not applied. A server that allows fewer
 * operations than assumed refuses without doing anything; then the transactions are made smaller.
 */
export async function commitBatch({ etcd, compares = [], operations, limits = {} }: Batch): Promise<BatchResult> {
  let { maxOperations = MAX_OPERATIONS } = limits;
  let done = 0;
  let revision = 0;
  while (done < operations.length) {
    const rest = operations.slice(done, done + maxOperations);
    const [transaction = []] = splitOperations(rest, { ...limits, maxOperations });
    const result = await etcd.commit(compares, transaction);
    if (result.outcome === 'applied') {
      revision = result.revision;
      done += transaction.length;
    } else if (result.outcome === 'refused') return { outcome: 'refused', done };
    else if (result.error.kind === 'TooLarge' && transaction.length > 1) {
      maxOperations = Math.ceil(transaction.length / 2);
    } else return { outcome: 'unknown', done, error: result.error };
  }
  return { outcome: 'applied', revision };
}

function sizeOf(operation: Operation): number {
  if ('delete' in operation) return OVERHEAD_BYTES + Buffer.byteLength(operation.delete);
  return OVERHEAD_BYTES + Buffer.byteLength(operation.put) + Buffer.byteLength(operation.value);
}
