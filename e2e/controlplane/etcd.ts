import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Service, startService } from '../process/service.ts';
import { spawnTied } from '../process/tied.ts';
import { until } from '../process/until.ts';
import { freePort } from './block.ts';

export interface EtcdOptions {
  readonly assets: { readonly etcd: string };
  /** Where it listens: 127.X.0.1. */
  readonly address: string;
  /** Its data; kept over restarts. The log stands beside it. */
  readonly dir: string;
  readonly name?: string;
}

/** kill -9 loses nothing: what was acknowledged is with the kernel, fsync or not. Only a power cut would tell the difference. */
export interface Etcd extends Service {
  /** http://127.X.0.1:P */
  readonly endpoint: string;
}

/** Starts one etcd member without TLS and without compaction; resolves when it serves. */
export async function startEtcd({ assets, address, dir, name = 'etcd' }: EtcdOptions): Promise<Etcd> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const client = `http://${address}:${await freePort(address)}`;
  const peer = `http://${address}:${await freePort(address)}`;
  const flags = [
    `--name=${name}`,
    `--data-dir=${dir}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=${name}=${peer}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
  const service = await startService({
    name,
    launch: () => spawnTied(assets.etcd, flags, { logFile: join(dirname(dir), `${name}.log`) }),
    ready: (signal) =>
      until(async () => (await fetch(`${client}/health`, { signal: AbortSignal.timeout(2_000) })).ok, {
        what: `${name} to serve at ${client}`,
        signal,
      }),
  });
  return { ...service, endpoint: client };
}
