import { beforeEach, describe, expect, it } from 'vitest';
import { type Connection, createLink, type Link, type UnaryCall } from './link.ts';
import { EtcdError, type EtcdErrorKind } from './port.ts';

/** What each endpoint does; told by the test, by endpoint. */
interface Behaviour {
  open?: EtcdErrorKind;
  call?: EtcdErrorKind | 'stale token';
}

let behaviour: Record<string, Behaviour>;
/** Everything that was done to connections, in order: 'connect a', 'open a', 'send a', 'forget a', 'retire a'. */
let log: string[];
let link: Link;

beforeEach(() => {
  behaviour = {};
  log = [];
  link = createLink({ endpoints: ['a', 'b', 'c'], connect, timeoutMs: 5_000, connectTimeoutMs: 2_000 });
});

function connect(endpoint: string): Connection {
  log.push(`connect ${endpoint}`);
  return {
    endpoint,
    async open() {
      log.push(`open ${endpoint}`);
      const kind = behaviour[endpoint]?.open;
      if (kind !== undefined) throw new EtcdError('cannot be opened', { kind });
    },
    answers: async () => true,
    async unary<Reply>(): Promise<Reply> {
      log.push(`send ${endpoint}`);
      const fault = behaviour[endpoint]?.call;
      if (fault === 'stale token') {
        delete behaviour[endpoint]?.call;
        throw new Error('etcdserver: invalid auth token');
      }
      if (fault !== undefined) throw new EtcdError('failed', { kind: fault });
      return `answer of ${endpoint}` as Reply;
    },
    async stream() {
      throw new Error('no streams here');
    },
    forgetToken: () => log.push(`forget ${endpoint}`),
    retire: () => log.push(`retire ${endpoint}`),
    close: () => log.push(`close ${endpoint}`),
  };
}

const read: UnaryCall<string> = { what: 'read', service: 'KV', method: 'Range', message: {}, repeatable: true };
const write: UnaryCall<string> = { what: 'transaction', service: 'KV', method: 'Txn', message: {}, repeatable: false };

describe('a link', () => {
  it('stays with the member that answers', async () => {
    expect(await link.call(read)).toBe('answer of a');
    expect(await link.call(write)).toBe('answer of a');
    expect(log).toEqual(['connect a', 'open a', 'send a', 'open a', 'send a']);
  });

  it.each(['Unreachable', 'Timeout', 'NoQuorum', 'BadCertificate'] as const)(
    'goes on to the next member when one cannot be opened (%s), with a write, too: nothing was sent',
    async (open) => {
      behaviour = { a: { open }, b: { open } };

      expect(await link.call(write)).toBe('answer of c');
      expect(log.filter((entry) => entry.startsWith('send'))).toEqual(['send c']);
    },
  );

  it('sends a read to the next member when its outcome is unknown', async () => {
    behaviour = { a: { call: 'Timeout' } };

    expect(await link.call(read)).toBe('answer of b');
  });

  it.each(['Unreachable', 'Timeout', 'NoQuorum'] as const)(
    'never sends a write twice when its outcome is unknown (%s), but uses another connection next time',
    async (call) => {
      behaviour = { a: { call } };

      await expect(link.call(write)).rejects.toMatchObject({ kind: call });

      expect(log).toEqual(['connect a', 'open a', 'send a', 'retire a', 'connect b']);
      expect(await link.call(write)).toBe('answer of b');
    },
  );

  it('authenticates again and resends what a void token has refused', async () => {
    behaviour = { a: { call: 'stale token' } };

    expect(await link.call(write)).toBe('answer of a');
    expect(log).toEqual(['connect a', 'open a', 'send a', 'forget a', 'open a', 'send a']);
  });

  it.each(['BadPassword', 'PermissionDenied', 'TooLarge', 'Compacted'] as const)(
    'does not ask other members what they would answer the same (%s)',
    async (call) => {
      behaviour = { a: { call } };

      await expect(link.call(read)).rejects.toMatchObject({ kind: call });
      expect(log).toEqual(['connect a', 'open a', 'send a']);
    },
  );

  it('asks each member once and then says what is wrong', async () => {
    behaviour = { a: { open: 'Unreachable' }, b: { open: 'Unreachable' }, c: { open: 'Unreachable' } };

    await expect(link.call(write)).rejects.toMatchObject({ kind: 'Unreachable' });
    expect(log.filter((entry) => entry.startsWith('open'))).toEqual(['open a', 'open b', 'open c']);
  });

  it('replaces a connection under suspicion only if it has not answered since', async () => {
    const before = performance.now();
    await link.call(read);

    link.suspect(before);
    expect(log).not.toContain('retire a');
    link.suspect(performance.now() + 1);
    expect(log).toContain('retire a');
  });

  it('is closed for good', async () => {
    link.close();

    await expect(link.call(read)).rejects.toThrow('this client is closed');
    expect(log).toEqual(['connect a', 'close a']);
  });
});
