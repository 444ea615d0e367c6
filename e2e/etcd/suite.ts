/** What the suites of the etcd port share: one real etcd for a file, and ports to it that are closed at the end. */
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { connectEtcd, type EtcdOptions } from '../../src/etcd/etcd3.ts';
import type { EtcdPort } from '../../src/etcd/port.ts';
import { ensureAssets } from '../controlplane/assets.ts';
import { claimBlock } from '../controlplane/block.ts';
import { type Etcd, startEtcd } from '../controlplane/etcd.ts';
import { makeRunFolder, removeFolder } from '../controlplane/run-folder.ts';

export interface EtcdSuite {
  readonly server: Etcd;
  /** A port to the server, or to other endpoints; closed after the file's last test. */
  connect(options?: Partial<EtcdOptions>): EtcdPort;
}

/** One etcd for all tests of a file; call what it gives to have it. */
export function useEtcd(): () => EtcdSuite {
  let suite: EtcdSuite | undefined;
  const cleanups: (() => unknown)[] = [];

  beforeAll(async () => {
    const assets = await ensureAssets({ log: (line) => process.stderr.write(`${line}\n`) });
    const folder = makeRunFolder();
    cleanups.push(() => removeFolder(folder));
    const block = await claimBlock();
    cleanups.push(() => block.release());
    const server = await startEtcd({ assets, address: block.address, dir: join(folder, 'etcd') });
    cleanups.push(() => server.stop());
    suite = {
      server,
      connect(options) {
        const etcd = connectEtcd({ endpoints: [server.endpoint], ...options });
        cleanups.push(() => etcd.close());
        return etcd;
      },
    };
  });

  afterAll(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  return () => {
    if (suite === undefined) throw new Error('the etcd is there only within tests');
    return suite;
  };
}
