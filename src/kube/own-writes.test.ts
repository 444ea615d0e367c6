import { describe, expect, it } from 'vitest';
import type { KubeClient, KubeObject, Resource } from './client.ts';
import { createOwnWrites, recordWrites } from './own-writes.ts';

function recorder() {
  const state = { shown: undefined as string | undefined, now: 0 };
  const ownWrites = createOwnWrites({ shownUpTo: () => state.shown, monotonic: () => state.now });
  return { state, ownWrites };
}

describe('own writes', () => {
  it('are visible for a key that nothing was written for', () => {
    const { ownWrites } = recorder();

    ownWrites.wrote('a', '5');

    expect([ownWrites.areVisible('a'), ownWrites.areVisible('b')]).toEqual([false, true]);
  });

  it('are compared as numbers of any length, the latest counts', () => {
    const { state, ownWrites } = recorder();
    ownWrites.wrote('a', '99999999999999999999');
    ownWrites.wrote('a', '100000000000000000000');
    ownWrites.wrote('a', '9');

    state.shown = '99999999999999999999';
    expect(ownWrites.areVisible('a')).toBe(false);
    state.shown = '100000000000000000000';
    expect(ownWrites.areVisible('a')).toBe(true);
  });

  it('count as visible after a minute: an etcd from a backup never reaches their number', () => {
    const { state, ownWrites } = recorder();
    ownWrites.wrote('a', '1000');
    state.shown = '7';

    state.now = 60_000;
    expect(ownWrites.areVisible('a')).toBe(false);
    state.now = 60_001;
    expect(ownWrites.areVisible('a')).toBe(true);
  });

  it.each([undefined, '', 'abc'])('with the version %j hold nothing up', (version) => {
    const { state, ownWrites } = recorder();

    ownWrites.wrote('a', version);
    state.shown = '7';

    expect(ownWrites.areVisible('a')).toBe(true);
  });
});

describe('a client whose writes are recorded', () => {
  const things: Resource = { group: 'test', version: 'v1', plural: 'things', namespaced: true };
  const others: Resource = { ...things, plural: 'others' };
  const object: KubeObject = { metadata: { namespace: 'n', name: 'a', resourceVersion: '7' } };
  const answering = {
    create: async () => object,
    replace: async () => object,
    patch: async () => object,
    get: async () => object,
  } as unknown as KubeClient;

  it.each<[string, boolean, (client: KubeClient) => Promise<unknown>]>([
    ['a create', true, (client) => client.create(things, object)],
    ['a replace', true, (client) => client.replace(things, object)],
    ['a patch', true, (client) => client.patch(things, object.metadata, {}, { type: 'apply' })],
    ['a read', false, (client) => client.get(things, object.metadata)],
    ['a write of another kind', false, (client) => client.create(others, object)],
  ])('by %s: %s', async (_what, recorded, call) => {
    const { ownWrites } = recorder();

    await call(recordWrites({ client: answering, resource: things, ownWrites }));

    expect(ownWrites.areVisible('n/a')).toBe(!recorded);
  });
});
