import { beforeEach, describe, expect, it } from 'vitest';
import { createFakeStore, type FakeStore } from './fake-store.ts';
import { createLane, type Lane } from './lane.ts';
import type { EtcdError } from './port.ts';

const LANE = '/ours/commits/main';
const FENCE = { key: '/ours/fence', value: 'epoch 7' };

let etcd: FakeStore;
let unknown: EtcdError[];
let closed: AbortController;
let lane: Lane;

beforeEach(() => {
  etcd = createFakeStore();
  etcd.put(FENCE.key, FENCE.value);
  unknown = [];
  closed = new AbortController();
  lane = createLane({
    etcd,
    key: LANE,
    revision: 0,
    epoch: 7,
    fence: FENCE,
    guards: [{ key: '/guard', modRevision: 0 }],
    signal: closed.signal,
    onUnknown: (error) => unknown.push(error),
    retryMs: 1,
  });
});

async function textOf(key: string): Promise<string | undefined> {
  return (await etcd.get(key))?.value.toString();
}

describe('a lane', () => {
  it('applies one transaction after another, each with a mark of its own', async () => {
    const results = await Promise.all(['/a', '/b', '/c'].map((key) => lane.commit([], [{ put: key, value: 'x' }])));

    expect(results.map(({ outcome }) => outcome)).toEqual(['applied', 'applied', 'applied']);
    expect(JSON.parse((await textOf(LANE)) ?? '')).toMatchObject({ epoch: 7 });
    expect((await etcd.get(LANE))?.version).toBe(3);
  });

  it('says what refused a transaction', async () => {
    etcd.put('/a', 'somebody else');

    const result = await lane.commit([{ key: '/a', modRevision: 0 }], [{ put: '/a', value: 'x' }]);

    expect(result.outcome).toBe('refused');
    expect(result).toMatchObject({ found: expect.arrayContaining([expect.objectContaining({ key: '/a' })]) });
    expect(await textOf('/a')).toBe('somebody else');
  });

  it.each([
    { name: 'its reply', faults: ['lost-reply'] },
    { name: 'its reply and that of the read-back', faults: ['lost-reply', 'lost-reply', 'lost-request'] },
  ] as const)('knows that a transaction was applied although $name was lost', async ({ faults }) => {
    etcd.fail(...faults);

    const result = await lane.commit([{ key: '/a', modRevision: 0 }], [{ put: '/a', value: 'x' }]);

    expect(result.outcome).toBe('applied');
    expect(unknown).toHaveLength(1);
    expect(await textOf('/a')).toBe('x');
    expect((await etcd.get('/a'))?.version).toBe(1);
  });

  it.each([
    { name: 'was lost', faults: ['lost-request'] },
    { name: 'and the reply of the read-back were lost', faults: ['lost-request', 'lost-reply', 'lost-request'] },
  ] as const)('knows that a transaction was not applied when the request $name', async ({ faults }) => {
    etcd.fail(...faults);

    const result = await lane.commit([], [{ put: '/a', value: 'x' }]);

    expect(result.outcome).toBe('refused');
    expect(await textOf('/a')).toBeUndefined();
    expect((await lane.commit([], [{ put: '/a', value: 'again' }])).outcome).toBe('applied');
  });

  it('keeps a late request from being applied once it was reported as not applied', async () => {
    etcd.fail('late');

    const result = await lane.commit([], [{ put: '/a', value: 'late' }]);

    expect(result.outcome).toBe('refused');
    expect(etcd.deliver()).toEqual([false]);
    expect(await textOf('/a')).toBeUndefined();
  });

  it('is fenced for good when another leader holds the fence', async () => {
    etcd.put(FENCE.key, 'epoch 8');

    expect(await lane.commit([], [{ put: '/a', value: 'x' }])).toEqual({ outcome: 'fenced' });
    etcd.put(FENCE.key, FENCE.value);
    expect(await lane.commit([], [{ put: '/a', value: 'x' }])).toEqual({ outcome: 'fenced' });
    expect(await textOf('/a')).toBeUndefined();
  });

  it('writes nothing at all, not even while it reads back, once another leader holds the fence', async () => {
    etcd.fail('late');
    const before = await textOf(LANE);
    etcd.put(FENCE.key, 'epoch 8');

    expect(await lane.commit([], [{ put: '/a', value: 'x' }])).toEqual({ outcome: 'fenced' });

    expect(etcd.deliver()).toEqual([false]);
    expect(await textOf(LANE)).toBe(before);
  });

  it('holds its guards against every transaction', async () => {
    etcd.put('/guard', 'taken');

    expect((await lane.commit([], [{ put: '/a', value: 'x' }])).outcome).toBe('refused');
  });

  it('ends the wait for an outcome when it is closed, and says that nobody knows it', async () => {
    etcd.fail(...Array.from({ length: 1_000 }, () => 'lost-request' as const));
    const commit = lane.commit([], [{ put: '/a', value: 'x' }]);
    closed.abort();

    await expect(commit).rejects.toThrow('closed before the outcome');
  });
});
