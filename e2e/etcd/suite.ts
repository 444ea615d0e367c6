/** What the suites of the etcd port share: one real etcd for a file, and ports to it that are closed at the end. */
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { connectEtcd, type EtcdOptions } from '../../src/etcd/etcd3.ts';
import type { EtcdPort } from '../../src/etcd/port.ts';
import { type Assets, ensureAssets } from '../controlplane/assets.ts';
import { claimBlock } from '../controlplane/block.ts';
import { type Etcd, startEtcd } from '../controlplane/etcd.ts';
import { makeRunFolder, removeFolder } from '../controlplane/run-folder.ts';
import { startProxy, type TcpProxy } from './proxy.ts';

export interface EtcdSuite {
  readonly server: Etcd;
  readonly assets: Assets;
  /** 127.X.0.1, for further servers. */
  readonly address: string;
  /** Goes with the suite. */
  readonly folder: string;
  /** In front of the server, or of another endpoint. */
  proxy(endpoint?: string): Promise<TcpProxy>;
  /** A port to the server, or to other endpoints; closed after the file's last test. */
  connect(options?: Partial<EtcdOptions>): EtcdPort;
  /** Done after the file's last test, the last one first. */
  atEnd(cleanup: () => unknown): void;
}

/** One line per fault, for whoever reads the run: how long until all was well again. */
export function report(fault: string, milliseconds: number): void {
  process.stdout.write(`  ${fault}: well again after ${(milliseconds / 1000).toFixed(2)} s\n`);
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
      assets,
      address: block.address,
      folder,
      async proxy(endpoint = server.endpoint) {
        const proxy = await startProxy(block.address, endpoint);
        cleanups.push(() => proxy.stop());
        return proxy;
      },
      atEnd: (cleanup) => void cleanups.push(cleanup),
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
