/** A store in memory that keeps etcd's rules of transactions, for tests of what is built on the port: its faults are told, not random. */
import { type CommitResult, type Compare, type Entry, EtcdError, type EtcdPort, type Operation } from './port.ts';

/** What happens to the next request: see `fail`. */
export type Fault =
  /** Carried out, but the reply is lost. */
  | 'lost-reply'
  /** Never arrives. */
  | 'lost-request'
  /** Is still on its way when the caller gives up; arrives with `deliver`. */
  | 'late';

export interface FakeStore extends Pick<EtcdPort, 'commit' | 'get'> {
  /** The next requests meet these faults, one each. */
  fail(...faults: readonly Fault[]): void;
  /** Lets late requests arrive; says for each whether it was applied. */
  deliver(): readonly boolean[];
  /** Written by somebody else. */
  put(key: string, value: string): void;
  /** The limit of operations in a transaction; default 128. */
  setMaxOperations(count: number): void;
  /** How many operations each applied transaction had. */
  readonly applied: readonly number[];
}

export function createFakeStore(): FakeStore {
  const entries = new Map<string, Entry>();
  const faults: Fault[] = [];
  const late: (() => CommitResult)[] = [];
  const applied: number[] = [];
  let revision = 1;
  let maxOperations = 128;

  function holds(compare: Compare): boolean {
    const entry = entries.get(compare.key);
    if ('value' in compare) return entry?.value.toString('utf8') === compare.value;
    if ('modRevision' in compare) return (entry?.modRevision ?? 0) === compare.modRevision;
    if ('createRevision' in compare) return (entry?.createRevision ?? 0) === compare.createRevision;
    return entry !== undefined;
  }

  function write(operation: Operation): void {
    if ('delete' in operation) {
      entries.delete(operation.delete);
      return;
    }
    const before = entries.get(operation.put);
    entries.set(operation.put, {
      key: operation.put,
      value: Buffer.from(operation.value),
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
    });
  }

  function carryOut(compares: readonly Compare[], operations: readonly Operation[]): CommitResult {
    if (Math.max(compares.length, operations.length) > maxOperations) {
      return { outcome: 'unknown', error: new EtcdError('too many operations', { kind: 'TooLarge' }) };
    }
    if (!compares.every(holds)) {
      const found = [...new Set(compares.map(({ key }) => key))].flatMap((key) => entries.get(key) ?? []);
      return { outcome: 'refused', revision, found };
    }
    revision++;
    for (const operation of operations) write(operation);
    applied.push(operations.length);
    return { outcome: 'applied', revision };
  }

  return {
    applied,

    async commit(compares, operations) {
      const fault = faults.shift();
      const unknown: CommitResult = { outcome: 'unknown', error: new EtcdError('no answer', { kind: 'Timeout' }) };
      if (fault === 'late') late.push(() => carryOut(compares, operations));
      if (fault === 'lost-request' || fault === 'late') return unknown;
      const result = carryOut(compares, operations);
      return fault === 'lost-reply' ? unknown : result;
    },

    async get(key) {
      return entries.get(key);
    },

    fail(...next) {
      faults.push(...next);
    },

    deliver() {
      return late.splice(0).map((request) => request().outcome === 'applied');
    },

    put(key, value) {
      revision++;
      write({ put: key, value });
    },

    setMaxOperations(count) {
      maxOperations = count;
    },
  };
}
