import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KubeError } from './client.ts';
import { createEventRecorder, type RecordEvent, type RecordedEvent } from './events.ts';

interface Written {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly note: string;
  readonly eventTime: string;
  readonly reportingInstance: string;
  readonly series?: { readonly count: number; readonly lastObservedTime: string };
}

/** Events as the API server has them, by name. */
let stored: Map<string, Written>;
let writes: number;
let failure: KubeError | undefined;
let errors: KubeError[];
let record: RecordEvent;

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-11-21T06:00:00Z') });
  stored = new Map();
  writes = 0;
  failure = undefined;
  errors = [];
  record = createEventRecorder({
    client: {
      async create(_resource, object) {
        writes += 1;
        if (failure !== undefined) throw failure;
        stored.set(object.metadata.name, object as unknown as Written);
        return object;
      },
      async patch(_resource, { name }, body) {
        writes += 1;
        const old = stored.get(name);
        if (old === undefined) throw new KubeError('gone', { status: 404, reason: 'NotFound' });
        stored.set(name, { ...old, ...(body as object) });
        return {} as never;
      },
    },
    controller: 'example.com/operator',
    instance: 'x'.repeat(200),
    onError: (error) => errors.push(error),
  });
});

afterEach(() => {
  vi.useRealTimers();
});

function event(overrides: Partial<RecordedEvent> = {}): RecordedEvent {
  const metadata = { name: 'demo', namespace: 'messaging', uid: 'u-1' };
  return {
    regarding: { apiVersion: 'example.com/v1', kind: 'Policy', metadata },
    type: 'Warning',
    reason: 'BrokerFailedOver',
    action: 'AssignTopics',
    note: 'broker 1 is dead',
    ...overrides,
  };
}

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

describe('an event', () => {
  it('is written at once, in the namespace of its object, within the limits of the API server', async () => {
    record(event({ note: 'n'.repeat(3000) }));
    await pass(0);

    const [written] = stored.values();
    expect(written).toMatchObject({
      metadata: { namespace: 'messaging', name: expect.stringMatching(/^demo\.[0-9a-f]+$/) },
      eventTime: '2026-11-21T06:00:00.000000Z',
      reportingController: 'example.com/operator',
      regarding: { kind: 'Policy', name: 'demo', namespace: 'messaging', uid: 'u-1' },
      type: 'Warning',
    });
    expect([written?.note.length, written?.reportingInstance.length]).toEqual([1024, 128]);
    expect(written).not.toHaveProperty('series');
  });

  it('that cannot be written is told and dropped', async () => {
    failure = new KubeError('no', { status: 403, reason: 'Forbidden' });

    record(event());
    await pass(60_000);

    expect(errors).toEqual([failure]);
    expect(writes).toBe(1);
  });
});

describe('the same event again', () => {
  it('becomes a series, whose count is written every ten seconds at most', async () => {
    for (let second = 0; second < 60; second++) {
      record(event());
      await pass(1000);
    }
    await pass(10_000);

    expect([...stored.values()].map(({ series }) => series)).toEqual([
      { count: 60, lastObservedTime: '2026-11-21T06:00:59.000000Z' },
    ]);
    expect(writes).toBeLessThanOrEqual(8);
  });

  it('is another one when anything about it differs', async () => {
    const other = { apiVersion: 'example.com/v1', kind: 'Policy', metadata: { name: 'demo', uid: 'u-2' } };
    for (const difference of [{}, { note: 'other' }, { reason: 'Other' }, { action: 'Other' }, { regarding: other }]) {
      record(event(difference));
    }
    await pass(0);

    expect(stored.size).toBe(5);
  });

  it('is news after minutes of silence', async () => {
    record(event());
    await pass(6 * 60_000 + 1);
    record(event());
    await pass(60_000);

    expect([...stored.values()].map(({ series }) => series)).toEqual([undefined, undefined]);
  });

  it('is written anew, with its count, when the first has reached the end of its life', async () => {
    record(event());
    await pass(0);
    stored.clear();

    record(event());
    await pass(10_000);

    expect([...stored.values()].map(({ series }) => series?.count)).toEqual([2]);
    expect(errors).toEqual([]);
  });
});

describe('a storm of different events', () => {
  it('writes a burst and then one a second, and tells of the rest', async () => {
    for (let number = 0; number < 100; number++) record(event({ note: `broker ${number}` }));
    await pass(5_000);
    for (let number = 100; number < 200; number++) record(event({ note: `broker ${number}` }));
    await pass(0);

    expect(stored.size).toBe(30);
    expect(errors).toHaveLength(170);
    expect(errors[0]).toMatchObject({ reason: 'TooManyEvents' });
  });
});
