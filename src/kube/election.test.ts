import { setTimeout as delay } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createKubeClient, type KubeClient, KubeError } from './client.ts';
import { createElection, type Election, type ElectionOptions, type Lease } from './election.ts';
import { type FakeApiServer, startFakeApiServer } from './fake-api-server.ts';

const LEASE = { namespace: 'n', name: 'operator' };
const SECOND = 1000;
const PATIENCE = { timeout: 30_000, interval: 2 };

let server: FakeApiServer<Lease>;
let clients: KubeClient[];
let elections: Election[];
/** Monotonic milliseconds of every candidate; tries follow each other in real time, a few ms apart. */
let clock = 0;
/** What happened, by candidate. */
let events: string[];

beforeEach(async () => {
  server = await startFakeApiServer<Lease>();
  clients = [];
  elections = [];
  events = [];
  clock = 0;
});

afterEach(async () => {
  server.failWith(() => undefined);
  await Promise.all(elections.map((election) => election.stop()));
  for (const client of clients) client.close();
  await server.close();
});

function candidate(identity: string, options: Partial<ElectionOptions> = {}): Election {
  // The library refuses plain HTTP otherwise.
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromClusterAndUser({ name: 'fake', server: server.url, skipTLSVerify: true }, { name: identity });
  const client = createKubeClient({ kubeConfig, timeoutMs: 30_000 });
  clients.push(client);
  const election = createElection({
    client,
    lease: LEASE,
    identity,
    leaseSeconds: 8,
    renewSeconds: 6,
    retrySeconds: 0.005,
    onLeading: () => events.push(`${identity} leads`),
    onLost: (holder) => events.push(`${identity} lost to ${holder}`),
    monotonic: () => clock,
    wallClock: () => new Date('2026-11-21T06:00:00.123Z'),
    sleep: shortSleep,
    ...options,
  });
  elections.push(election);
  return election;
}

/** Time is the tests' to move, so nobody waits for long before they look again. */
async function shortSleep(ms: number, signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await delay(Math.min(ms, 5));
}

/** One that never gets warm; `looks` resolves when it has looked whether it may take the Lease. */
function coldCandidate(identity: string): Election & { looks(): Promise<void> } {
  let waits = 0;
  const sleep = (ms: number, signal: AbortSignal) => {
    waits += 1;
    return shortSleep(ms, signal);
  };
  const election = candidate(identity, { isWarm: () => false, sleep });
  return {
    ...election,
    looks() {
      const before = waits;
      return until(() => waits >= before + 3);
    },
  };
}

/** Sleeps by the test's clock. */
function sleepByClock() {
  const sleepers = new Set<{ readonly until: number; readonly wake: () => void }>();
  return {
    sleep: (ms: number, signal: AbortSignal) =>
      new Promise<void>((resolve) => {
        sleepers.add({ until: clock + ms, wake: resolve });
        signal.addEventListener('abort', () => resolve());
        if (signal.aborted) resolve();
      }),
    /** Resolves when who has woken sleeps again. */
    async pass(ms: number): Promise<void> {
      clock += ms;
      for (const sleeper of sleepers) {
        if (sleeper.until > clock) continue;
        sleepers.delete(sleeper);
        sleeper.wake();
      }
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

/** Until somebody wakes it. */
async function sleepUntilWoken(_ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
  });
}

/** How often this candidate has read the Lease itself. */
function readsOf(index: number): () => number {
  const get = vi.spyOn(clients[index] as KubeClient, 'get');
  return () => get.mock.calls.length;
}

function leaseNow(): NonNullable<Lease['spec']> {
  return server.get(LEASE.name)?.spec ?? {};
}

function putLease(spec: Lease['spec']): void {
  server.put({ metadata: LEASE, ...(spec !== undefined && { spec }) });
}

async function until(condition: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(condition()).toBe(true), PATIENCE);
}

/** Until each of them has looked at the Lease and acted on it since now. */
async function triesOf(...candidates: readonly Election[]): Promise<void> {
  const before = server.requests.filter(({ verb }) => verb === 'GET').length;
  const tries = 3 * candidates.length;
  await until(() => server.requests.filter(({ verb }) => verb === 'GET').length >= before + tries);
}

describe('a Lease that nobody holds', () => {
  it('is made and held by the first, with what the API server demands of times', async () => {
    const election = candidate('a');

    election.start();
    await until(() => election.isLeading());

    expect(leaseNow()).toEqual({
      holderIdentity: 'a',
      leaseDurationSeconds: 8,
      acquireTime: '2026-11-21T06:00:00.123000Z',
      renewTime: '2026-11-21T06:00:00.123000Z',
      leaseTransitions: 0,
    });
    expect(events).toEqual(['a leads']);
    expect(election.holder()).toBe('a');
  });

  it('is taken at once if it was handed over', async () => {
    putLease({ holderIdentity: '', leaseDurationSeconds: 1, leaseTransitions: 4 });
    const election = candidate('a');

    election.start();
    await until(() => election.isLeading());

    expect(leaseNow()).toMatchObject({ holderIdentity: 'a', leaseTransitions: 5 });
  });

  it('is left to one that is warm', async () => {
    putLease({ holderIdentity: '', leaseDurationSeconds: 1 });
    const cold = coldCandidate('cold');
    cold.start();
    await cold.looks();
    clock += 29 * SECOND;
    await cold.looks();
    expect(events).toEqual([]);

    const warm = candidate('warm');
    warm.start();
    await until(() => warm.isLeading());
    clock += 7 * SECOND;
    await triesOf(warm);
    await cold.looks();

    expect(events).toEqual(['warm leads']);
  });

  it('is taken by one that is not warm when nobody else has taken it for half a minute', async () => {
    putLease({ holderIdentity: '', leaseDurationSeconds: 1 });
    const cold = coldCandidate('cold');
    cold.start();
    await cold.looks();
    expect(events).toEqual([]);

    clock += 31 * SECOND;

    await until(() => cold.isLeading());
  });

  it('is taken as soon as one is warm', async () => {
    let isWarm = false;
    const election = candidate('a', { isWarm: () => isWarm });
    election.start();
    await until(() => election.lastTryAt() > 0 || server.requests.length > 0);
    expect(events).toEqual([]);

    isWarm = true;

    await until(() => election.isLeading());
  });

  it('goes to one of many that want it at the same moment', async () => {
    const all = ['a', 'b', 'c', 'd', 'e'].map((identity) => candidate(identity));

    for (const election of all) election.start();
    await until(() => all.some((election) => election.isLeading()));
    await triesOf(...all);

    expect(events).toHaveLength(1);
    expect(all.filter((election) => election.isLeading())).toHaveLength(1);
    expect(all.filter((election) => election.validUntil() > 0)).toHaveLength(1);
  });
});

describe('a Lease that another holds', () => {
  it('is left alone while it is renewed, however old its times are', async () => {
    putLease({ holderIdentity: 'other', leaseDurationSeconds: 8, renewTime: '2020-01-01T00:00:00.000000Z' });
    const election = candidate('a');
    election.start();
    await triesOf(election);

    for (let second = 0; second < 60; second += 5) {
      clock += 5 * SECOND;
      putLease({ holderIdentity: 'other', leaseDurationSeconds: 8, renewTime: '2020-01-01T00:00:00.000000Z' });
      await triesOf(election);
    }

    expect(election.isLeading()).toBe(false);
    expect(election.holder()).toBe('other');
  });

  it('is taken when it has not changed for its whole duration, seen from here', async () => {
    putLease({ holderIdentity: 'other', leaseDurationSeconds: 15, acquireTime: 'x', leaseTransitions: 1 });
    const election = candidate('a');
    election.start();
    await triesOf(election);

    clock = 14.9 * SECOND;
    await triesOf(election);
    expect(election.isLeading()).toBe(false);

    clock = 15 * SECOND;
    await until(() => election.isLeading());

    expect(leaseNow()).toMatchObject({
      holderIdentity: 'a',
      leaseDurationSeconds: 8,
      leaseTransitions: 2,
      acquireTime: '2026-11-21T06:00:00.123000Z',
    });
  });

  it('is taken by one of two that see it expire at the same moment', async () => {
    putLease({ holderIdentity: 'other', leaseDurationSeconds: 8 });
    const [a, b] = [candidate('a'), candidate('b')];
    for (const election of [a, b]) election.start();
    await triesOf(a, b);

    clock = 8 * SECOND;
    await until(() => a.isLeading() || b.isLeading());
    await triesOf(a, b);

    expect(events).toHaveLength(1);
  });
});

describe('a replica that waits', () => {
  it('does not ask for the Lease while the watch shows it renewed, and takes it when that stops', async () => {
    // Its holder is named anew each time, so that the test sees the renewal arrive.
    const renew = async (renewal: number) => {
      putLease({ holderIdentity: `other-${renewal}`, leaseDurationSeconds: 0.4 });
      await until(() => election.holder() === `other-${renewal}`);
    };
    const { sleep, pass } = sleepByClock();
    putLease({ holderIdentity: 'other', leaseDurationSeconds: 0.4 });
    const election = candidate('a', { sleep });
    const reads = readsOf(0);
    election.start();
    await until(() => election.holder() === 'other' && server.openWatches() === 1);

    for (let renewal = 0; renewal < 10; renewal++) {
      await renew(renewal);
      await pass(100);
    }
    await pass(290);
    expect([reads(), election.isLeading()]).toEqual([1, false]);

    await pass(10);
    await until(() => election.isLeading());
  });

  it('takes a Lease that is handed over at once, whenever its timer would have ended', async () => {
    putLease({ holderIdentity: 'other', leaseDurationSeconds: 3600 });
    const election = candidate('a', { sleep: sleepUntilWoken });
    election.start();
    await until(() => server.openWatches() === 1);

    putLease({ holderIdentity: '', leaseDurationSeconds: 1 });
    await until(() => election.isLeading());

    expect(leaseNow().holderIdentity).toBe('a');
  });

  it('takes an expired Lease without a watch, too', async () => {
    putLease({ holderIdentity: 'other', leaseDurationSeconds: 8 });
    server.failWith(({ verb }) => (verb === 'WATCH' || verb === 'LIST' ? { status: 403 } : undefined));
    const election = candidate('a');
    election.start();
    await triesOf(election);
    expect(election.isLeading()).toBe(false);

    clock = 8 * SECOND;
    await until(() => election.isLeading());

    expect(events).toEqual(['a leads']);
  });

  it('leaves the Lease to its holder for a whole duration after an outage of the API server, of both of them', async () => {
    putLease({ holderIdentity: 'other', leaseDurationSeconds: 8 });
    const errors: KubeError[] = [];
    const election = candidate('a', { onError: (error) => errors.push(error) });
    election.start();
    await triesOf(election);

    server.failWith(() => 'reset');
    clock = 60 * SECOND;
    await until(() => errors.length > 5);
    server.failWith(() => undefined);
    await triesOf(election);
    clock = 67.9 * SECOND;
    await triesOf(election);
    expect(election.isLeading()).toBe(false);

    clock = 68 * SECOND;
    await until(() => election.isLeading());
  });

  it('leaves a deleted Lease to its holder until that one would have lost it', async () => {
    putLease({ holderIdentity: 'other', leaseDurationSeconds: 8 });
    const election = candidate('a');
    election.start();
    await triesOf(election);

    server.remove(LEASE.name);
    clock = 7.9 * SECOND;
    await triesOf(election);
    expect(server.get(LEASE.name)).toBeUndefined();

    clock = 8 * SECOND;
    await until(() => election.isLeading());
  });
});

describe('two candidates that both reach the server', () => {
  it('never lead at the same time, however long', async () => {
    const [a, b] = [candidate('a'), candidate('b')];
    const both: string[] = [];
    for (const election of [a, b]) election.start();
    await until(() => a.isLeading() || b.isLeading());

    for (let second = 0; second < 40; second++) {
      clock += SECOND;
      await triesOf(a, b);
      if (a.isLeading() && b.isLeading()) both.push(`second ${second}`);
    }

    expect(both).toEqual([]);
    expect(events).toHaveLength(1);
  });
});

describe('the leader', () => {
  it('is certain of itself until some time after it asked for its last renewal', async () => {
    const election = candidate('a');
    expect(election.validUntil()).toBe(0);
    election.start();
    await until(() => election.isLeading());
    expect(election.validUntil()).toBe(6 * SECOND);

    clock = 2 * SECOND;
    await until(() => election.validUntil() === 8 * SECOND);

    expect(election.isLeading()).toBe(true);
    expect(leaseNow().leaseTransitions).toBe(0);
  });

  it('counts from the moment it asked, not from the answer', async () => {
    let certainUntil: number | undefined;
    const election: Election = candidate('a', {
      onLeading: () => {
        certainUntil = election.validUntil();
      },
    });
    server.failWith(({ verb }) => {
      if (verb === 'POST') clock = 4 * SECOND;
      return undefined;
    });

    election.start();
    await until(() => election.isLeading());

    expect(certainUntil).toBe(6 * SECOND);
  });

  it('goes on without the API server, past the time that it is certain of', async () => {
    const errors: number[] = [];
    const election = candidate('a', { onError: ({ status }) => errors.push(status) });
    election.start();
    await until(() => election.isLeading());

    server.failWith(() => 'reset');
    clock = 3600 * SECOND;
    await until(() => errors.length >= 5);

    expect(election.isLeading()).toBe(true);
    expect(election.validUntil()).toBeLessThan(clock);
    expect(events).toEqual(['a leads']);
    expect(new Set(errors)).toEqual(new Set([0]));
  });

  it('is certain again once the API server is back and nobody else has led', async () => {
    const election = candidate('a');
    election.start();
    await until(() => election.isLeading());
    server.failWith(() => ({ status: 503 }));
    clock = 100 * SECOND;
    await triesOf(election);
    expect(election.validUntil()).toBe(6 * SECOND);

    server.failWith(() => undefined);

    await until(() => election.validUntil() === 106 * SECOND);
    expect(events).toEqual(['a leads']);
  });

  it('that sees another holder has lost, at once and for good', async () => {
    const election = candidate('a');
    election.start();
    await until(() => election.isLeading());

    putLease({ ...leaseNow(), holderIdentity: 'b' });
    await until(() => events.length === 2);

    expect(events).toEqual(['a leads', 'a lost to b']);
    expect([election.isLeading(), election.validUntil()]).toEqual([false, 0]);

    clock += 100 * SECOND;
    server.remove(LEASE.name);
    await election.stop();
    expect(server.get(LEASE.name)).toBeUndefined();
    expect(events).toHaveLength(2);
  });

  it('learns of another holder by the watch, long before its next renewal', async () => {
    const election = candidate('a', { sleep: sleepUntilWoken });
    election.start();
    await until(() => election.isLeading() && server.openWatches() === 1);

    putLease({ ...leaseNow(), holderIdentity: 'b' });
    await until(() => !election.isLeading());

    expect(events).toEqual(['a leads', 'a lost to b']);
  });

  it('makes a deleted Lease again, long before its next renewal', async () => {
    const election = candidate('a', { sleep: sleepUntilWoken });
    election.start();
    await until(() => election.isLeading() && server.openWatches() === 1);

    server.remove(LEASE.name);
    await until(() => server.get(LEASE.name) !== undefined);

    expect(leaseNow().holderIdentity).toBe('a');
    expect(events).toEqual(['a leads']);
  });

  it('does not believe a watch that tells of the past', async () => {
    putLease({ holderIdentity: 'other', leaseDurationSeconds: 1 });
    const old = server.get(LEASE.name) as Lease;
    putLease({ holderIdentity: '' });
    const election = candidate('a');
    const list = vi.spyOn(clients[0] as KubeClient, 'list');
    const late = Promise.withResolvers<Awaited<ReturnType<KubeClient['list']>>>();
    list.mockReturnValue(late.promise);
    election.start();
    await until(() => election.isLeading());

    late.resolve({ metadata: { resourceVersion: '1' }, items: [old] });
    await until(() => server.openWatches() === 1);
    await triesOf(election);

    expect(election.isLeading()).toBe(true);
    expect(events).toEqual(['a leads']);
  });

  it('that comes back after another has taken over learns of it before it renews', async () => {
    const [a, b] = [candidate('a'), candidate('b')];
    a.start();
    await until(() => a.isLeading());
    // Only `b` reaches the server from here on.
    const [first] = clients;
    const noAnswer = new KubeError('no answer', { status: 0, reason: 'Timeout' });
    const reaches = vi.spyOn(first as KubeClient, 'get').mockRejectedValue(noAnswer);
    b.start();
    await triesOf(b);
    clock = 8 * SECOND;
    await until(() => b.isLeading());
    expect(a.isLeading()).toBe(true);
    expect(a.validUntil()).toBeLessThanOrEqual(clock);

    reaches.mockRestore();
    await until(() => !a.isLeading());

    expect(events).toEqual(['a leads', 'b leads', 'a lost to b']);
    expect(leaseNow().holderIdentity).toBe('b');
  });

  it('makes its Lease again if somebody has deleted it', async () => {
    const election = candidate('a');
    election.start();
    await until(() => election.isLeading());

    server.remove(LEASE.name);
    await until(() => server.get(LEASE.name) !== undefined);

    expect(leaseNow().holderIdentity).toBe('a');
    expect(events).toEqual(['a leads']);
  });
});

describe('stopping', () => {
  it('hands the Lease over, so that the next one need not wait', async () => {
    const [a, b] = [candidate('a'), candidate('b')];
    a.start();
    await until(() => a.isLeading());
    b.start();
    await triesOf(b);

    await a.stop();
    await until(() => b.isLeading());

    expect(clock).toBe(0);
    expect(a.isLeading()).toBe(false);
    expect(leaseNow()).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
  });

  it('leaves the Lease of another alone', async () => {
    putLease({ holderIdentity: 'other', leaseDurationSeconds: 8 });
    const election = candidate('a');
    election.start();
    await triesOf(election);

    await election.stop();

    expect(leaseNow().holderIdentity).toBe('other');
  });

  it('is possible without the API server: the Lease then expires by itself', async () => {
    const errors: number[] = [];
    const election = candidate('a', { onError: ({ status }) => errors.push(status) });
    election.start();
    await until(() => election.isLeading());
    server.failWith(({ verb }) => (verb === 'PUT' ? { status: 503 } : undefined));

    await election.stop();

    expect(election.isLeading()).toBe(false);
    expect(errors).toContain(503);
    expect(leaseNow().holderIdentity).toBe('a');
  });

  it('does not begin to lead by a try that was on its way, and hands over what that has taken', async () => {
    const election = candidate('a');
    let stopping: Promise<void> | undefined;
    server.failWith(({ verb }) => {
      if (verb === 'POST') stopping ??= election.stop();
      return undefined;
    });

    election.start();
    await until(() => stopping !== undefined);
    await stopping;

    expect(events).toEqual([]);
    expect(election.isLeading()).toBe(false);
    expect(leaseNow().holderIdentity).toBe('');
  });
});

describe('times that cannot work', () => {
  it.each([
    [8, 8, 1],
    [8, 9, 1],
    [8, 1.2, 1],
  ])('are refused: lease %d s, renew %d s, retry %d s', (leaseSeconds, renewSeconds, retrySeconds) => {
    expect(() => candidate('a', { leaseSeconds, renewSeconds, retrySeconds })).toThrow('leaseSeconds > renewSeconds');
  });
});

it('tells when it last tried, so that a hanging loop is noticed', async () => {
  const election = candidate('a');
  election.start();
  await until(() => election.isLeading());
  clock = 30 * SECOND;

  await until(() => election.lastTryAt() === 30 * SECOND);

  await election.stop();
});
