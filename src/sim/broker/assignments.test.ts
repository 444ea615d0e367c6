import pino from 'pino';
import { describe, expect, it } from 'vitest';
import { assignmentKey } from '../../danube/keys.ts';
import { EtcdError, type EtcdPort, type WatchMessage } from '../../etcd/port.ts';
import { followAssignments } from './assignments.ts';
import type { Service } from './service.ts';

const BROKER = '12549595323552083708';

function assigned(topic: string): WatchMessage {
  const entry = { key: assignmentKey(BROKER, topic), value: Buffer.from('null'), createRevision: 1, modRevision: 1 };
  return { kind: 'events', events: [{ type: 'put', entry }] };
}

/** Follows a watch that brings these messages; what was loaded when it has been read to its end, or left. */
async function loadedBy(messages: readonly WatchMessage[], failing?: string): Promise<readonly string[]> {
  const loaded: string[] = [];
  const over = Promise.withResolvers<void>();
  async function* watch(): AsyncGenerator<WatchMessage> {
    try {
      yield* messages;
    } finally {
      over.resolve();
    }
  }
  const etcd = {
    read: () => Promise.resolve({ revision: 1, entries: [] }),
    get: () => Promise.resolve(undefined),
    watch,
  } satisfies Partial<EtcdPort>;
  const service = {
    load: (topic: string) => {
      if (topic === failing) return Promise.reject(new Error('the disk is full'));
      loaded.push(topic);
      return Promise.resolve();
    },
  } satisfies Partial<Service>;
  await followAssignments({
    etcd: etcd as unknown as EtcdPort,
    service: service as unknown as Service,
    cache: {
      get: (key) => (key.endsWith('/delivery') ? '"Reliable"' : undefined),
      clusterKeys: () => [].values(),
      until: (look) => Promise.resolve(look()),
    },
    log: pino({ level: 'silent' }),
    brokerId: BROKER,
    signal: new AbortController().signal,
  });
  await over.promise;
  return loaded;
}

describe('a broker following its assignments', () => {
  it('loads what is assigned, one after the other', async () => {
    expect(await loadedBy([assigned('/default/a'), assigned('/default/b')])).toEqual(['/default/a', '/default/b']);
  });

  it('is deaf for ever once its watch has broken, though the stream could be resumed (contract 5.1)', async () => {
    const broken: WatchMessage = { kind: 'interrupted', error: new EtcdError('connection lost') };

    expect(await loadedBy([assigned('/default/a'), broken, { kind: 'resumed' }, assigned('/default/b')])).toEqual([
      '/default/a',
    ]);
  });

  it('drops an event that fails and goes on with the next', async () => {
    expect(await loadedBy([assigned('/default/a'), assigned('/default/b')], '/default/a')).toEqual(['/default/b']);
  });
});
