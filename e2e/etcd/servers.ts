/** etcd servers with what the control plane's own does not need: several members, TLS, other flags. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { freePort } from '../controlplane/block.ts';
import { type Service, startService } from '../process/service.ts';
import { spawnTied } from '../process/tied.ts';
import { until } from '../process/until.ts';

export interface Member extends Service {
  readonly endpoint: string;
}

export interface ServerOptions {
  readonly assets: { readonly etcd: string };
  /** Where it listens: 127.X.0.1. */
  readonly address: string;
  /** Its data; kept over restarts. */
  readonly dir: string;
  readonly flags?: readonly string[];
}

export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Members of one cluster; resolves when each serves. */
export async function startMembers(count: number, options: ServerOptions): Promise<readonly Member[]> {
  const { address } = options;
  const ports = await Promise.all(
    Array.from({ length: count }, async () => [await freePort(address), await freePort(address)]),
  );
  const plans = ports.map(([client = 0, peer = 0], index) => ({
    name: `member-${index}`,
    client: `http://${address}:${client}`,
    peer: `http://${address}:${peer}`,
  }));
  const cluster = plans.map(({ name, peer }) => `${name}=${peer}`).join(',');
  return Promise.all(
    plans.map(async ({ name, client, peer }) => {
      const service = await launch(options, name, `${client}/health`, [
        `--listen-client-urls=${client}`,
        `--advertise-client-urls=${client}`,
        `--listen-peer-urls=${peer}`,
        `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=${cluster}`,
      ]);
      return { ...service, endpoint: client };
    }),
  );
}

/** One member that speaks only TLS, as `localhost`, and asks clients for a certificate if `demandCertificate`. */
export async function startTlsMember(
  options: ServerOptions & { readonly tls: TlsFiles; readonly demandCertificate: boolean },
): Promise<Member> {
  const { address, tls } = options;
  const port = await freePort('127.0.0.1');
  const peer = `http://${address}:${await freePort(address)}`;
  const metrics = `http://${address}:${await freePort(address)}`;
  const endpoint = `https://localhost:${port}`;
  const service = await launch(options, 'tls', `${metrics}/health`, [
    `--listen-client-urls=https://127.0.0.1:${port}`,
    `--advertise-client-urls=${endpoint}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=tls=${peer}`,
    `--listen-metrics-urls=${metrics}`,
    `--cert-file=${tls.cert}`,
    `--key-file=${tls.key}`,
    ...(options.demandCertificate ? [`--trusted-ca-file=${tls.ca}`, '--client-cert-auth'] : []),
  ]);
  return { ...service, endpoint };
}

function launch(options: ServerOptions, name: string, health: string, flags: readonly string[]): Promise<Service> {
  const { assets, dir } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const common = [`--name=${name}`, `--data-dir=${join(dir, name)}`, '--unsafe-no-fsync', '--log-level=warn'];
  return startService({
    name,
    launch: () =>
      spawnTied(assets.etcd, [...common, ...flags, ...(options.flags ?? [])], {
        logFile: join(dirname(dir), `${name}.log`),
      }),
    ready: (signal) =>
      until(async () => (await fetch(health, { signal: AbortSignal.timeout(2_000) })).ok, {
        what: `${name} to serve`,
        signal,
      }),
  });
}
