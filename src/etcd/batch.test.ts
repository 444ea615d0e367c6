import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commitBatch, splitOperations } from './batch.ts';
import { createFakeStore } from './fake-store.ts';
import type { Operation } from './port.ts';

function puts(count: number): Operation[] {
  return Array.from({ length: count }, (_, at) => ({ put: `/key/${at}`, value: `${at}` }));
}

describe('splitting into transactions', () => {
  it('keeps to the number of operations', () => {
    expect(splitOperations(puts(300)).map((batch) => batch.length)).toEqual([128, 128, 44]);
    expect(splitOperations(puts(5), { maxOperations: 2 }).map((batch) => batch.length)).toEqual([2, 2, 1]);
  });

  it('keeps to the size of a request, and lets a single value that is larger be refused by the server', () => {
    const value = 'v'.repeat(600_000);
    const operations = ['/a', '/b', '/c'].map((put) => ({ put, value }));

    expect(splitOperations(operations).map((batch) => batch.length)).toEqual([2, 1]);
    expect(splitOperations(operations, { maxBytes: 1_000 }).map((batch) => batch.length)).toEqual([1, 1, 1]);
  });

  it('keeps every operation, in order, and no key twice in one transaction', () => {
    const operation = fc.oneof(
      fc.record({ put: fc.constantFrom('/a', '/b', '/c', '/d'), value: fc.string() }),
      fc.record({ delete: fc.constantFrom('/a', '/b', '/c', '/d') }),
    );
    fc.assert(
      fc.property(fc.array(operation), fc.integer({ min: 1, max: 5 }), (operations, maxOperations) => {
        const batches = splitOperations(operations, { maxOperations });

        expect(batches.flat()).toEqual(operations);
        for (const batch of batches) {
          const keys = batch.map((one) => ('delete' in one ? one.delete : one.put));
          expect(new Set(keys).size).toBe(keys.length);
          expect(batch.length).toBeLessThanOrEqual(maxOperations);
        }
      }),
    );
  });
});

describe('committing a batch', () => {
  it('adapts to a server that allows fewer operations', async () => {
    const etcd = createFakeStore();
    etcd.setMaxOperations(20);

    const result = await commitBatch({ etcd, operations: puts(100) });

    expect(result).toMatchObject({ outcome: 'applied' });
    expect(etcd.applied.reduce((sum, count) => sum + count)).toBe(100);
    expect(Math.max(...etcd.applied)).toBeLessThanOrEqual(20);
  });

  it.each([
    { fault: 'lost-request', outcome: 'unknown' },
    { fault: 'lost-reply', outcome: 'unknown' },
  ] as const)(
    'stops at a transaction of unknown outcome ($fault) and says how far it came',
    async ({ fault, outcome }) => {
      const etcd = createFakeStore();
      await etcd.commit([], [{ put: '/first', value: '' }]);
      etcd.fail(fault);

      const result = await commitBatch({ etcd, operations: puts(10), limits: { maxOperations: 4 } });

      expect(result).toMatchObject({ outcome, done: 0 });
    },
  );

  it('stops when a comparison no longer holds', async () => {
    const etcd = createFakeStore();
    const compares = [{ key: '/key/5', modRevision: 0 }];

    const result = await commitBatch({ etcd, compares, operations: puts(10), limits: { maxOperations: 6 } });

    expect(result).toEqual({ outcome: 'refused', done: 6 });
  });
});
