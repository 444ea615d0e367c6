import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readEtcdCredentials, watchEtcdCredentials } from './etcd-credentials.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'credentials-'));
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(folder, { recursive: true });
});

function write(name: string, content: string): void {
  writeFileSync(join(folder, name), content);
}

describe('the credentials for etcd', () => {
  it('are none in an empty folder', () => {
    expect(readEtcdCredentials(folder).options).toEqual({});
  });

  it('are what a TLS Secret and a basic-auth Secret hold, without the line end of a password', () => {
    for (const name of ['ca.crt', 'tls.crt', 'tls.key', 'username']) write(name, name);
    write('password', 'secret\n');

    expect(readEtcdCredentials(folder).options).toEqual({
      tls: { ca: Buffer.from('ca.crt'), cert: Buffer.from('tls.crt'), key: Buffer.from('tls.key') },
      auth: { username: 'username', password: 'secret' },
    });
  });

  it.each([
    ['tls.crt', 'tls.key'],
    ['tls.key', 'tls.crt'],
    ['username', 'password'],
    ['password', 'username'],
  ])('are refused with %s and without %s', (there, missing) => {
    write(there, 'x');

    expect(() => readEtcdCredentials(folder)).toThrow(`has ${there} and lacks ${missing}`);
  });

  it('are noticed when they change, once, and not while they are half changed', () => {
    vi.useFakeTimers();
    write('username', 'a');
    write('password', 'b');
    const onChange = vi.fn();
    watchEtcdCredentials(folder, readEtcdCredentials(folder).digest, onChange);

    vi.advanceTimersByTime(30_000);
    rmSync(join(folder, 'username'));
    vi.advanceTimersByTime(10_000);
    expect(onChange).not.toHaveBeenCalled();
    write('username', 'c');
    vi.advanceTimersByTime(60_000);

    expect(onChange).toHaveBeenCalledOnce();
  });
});
