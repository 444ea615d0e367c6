/**
 * What etcd asks for, from a folder such as a mounted Secret has it: `ca.crt`, `tls.crt` and `tls.key` (for `https://`
 * endpoints), `username` and `password`. Read once: when the files change, the process ends and starts again with them.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EtcdOptions } from '../etcd/etcd3.ts';
import { digestOf, watchSecret } from './secret-files.ts';

export interface EtcdCredentials {
  readonly options: Pick<EtcdOptions, 'tls' | 'auth'>;
  /** Of all files, to notice a change. */
  readonly digest: string;
}

/** @throws Error that names the file that is missing. */
export function readEtcdCredentials(folder: string): EtcdCredentials {
  const read = (name: string): Buffer | undefined => {
    const file = join(folder, name);
    return existsSync(file) ? readFileSync(file) : undefined;
  };
  const [ca, cert, key] = [read('ca.crt'), read('tls.crt'), read('tls.key')];
  const [username, password] = [read('username'), read('password')];
  requireBoth(folder, ['tls.crt', cert], ['tls.key', key]);
  requireBoth(folder, ['username', username], ['password', password]);
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  return {
    options: {
      ...(Object.keys(tls).length > 0 && { tls }),
      ...(username && password && { auth: { username: text(username), password: text(password) } }),
    },
    digest: digestOf({ ca, cert, key, username, password }),
  };
}

/** Calls back once when the files are no longer what was read; unreadable in between counts as not changed yet. */
export function watchEtcdCredentials(folder: string, digest: string, onChange: () => void): { stop(): void } {
  return watchSecret(digest, () => readEtcdCredentials(folder).digest, onChange);
}

type NamedFile = readonly [string, Buffer | undefined];

function requireBoth(folder: string, [name, content]: NamedFile, [otherName, other]: NamedFile): void {
  if ((content === undefined) === (other === undefined)) return;
  const [there, missing] = content === undefined ? [otherName, name] : [name, otherName];
  throw new Error(`${folder} has ${there} and lacks ${missing}; etcd needs both`);
}

/** Editors and `echo` leave a line end that belongs to no password. */
function text(content: Buffer): string {
  return content.toString('utf8').replace(/\r?\n$/, '');
}
