/** The operator: one of its replicas leads, the others stand by with warm caches. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { KubeConfig } from '@kubernetes/client-node';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { connectEtcd } from '../etcd/etcd3.ts';
import { createKubeClient, type KubeClient, KubeError, type KubeObject } from '../kube/client.ts';
import { createElection } from '../kube/election.ts';
import { createEventRecorder } from '../kube/events.ts';
import { plain, startHttpServer } from '../server/http.ts';
import { startController } from './controller.ts';
import { type EtcdCredentials, readEtcdCredentials, watchEtcdCredentials } from './etcd-credentials.ts';
import type { Logger } from './logger.ts';
import { createOperatorMetrics } from './metrics.ts';
import { createMetricsAccess } from './metrics-access.ts';
import { digestOf, watchSecret } from './secret-files.ts';

const USAGE = `usage: operator [options]
  --health-address HOST:PORT     /healthz and /readyz (default 0.0.0.0:8081)
  --metrics-address HOST:PORT    /metrics (default 0.0.0.0:8080)
  --metrics-tls-dir DIR          tls.crt and tls.key: serve /metrics over https, to accounts that may get it (RBAC)
  --allow-any-etcd-endpoint      policies may name any etcd, not only Services of their own namespace
  --etcd-credentials-dir DIR     ca.crt, tls.crt, tls.key, username, password for etcd, as mounted Secrets have them
  --agent-interval-seconds N     how often each agent is asked (default 5)
  --lease-seconds N --renew-seconds N --retry-seconds N   leader election (default 8, 6, 1)
  --log-level LEVEL              debug, info, warn or error (default info)
with POD_NAME and POD_NAMESPACE in the environment (downward API)`;

/** Not renewing for this long means that the loop itself hangs. */
const ELECTION_HANGS_MS = 30_000;
/** Ending must not hang: a replica that has lost the Lease is of no use, and the kubelet kills after 30 s anyway. */
const ENDING_MS = 25_000;

async function main(): Promise<void> {
  const { values: flags } = parseArgs({
    options: {
      'health-address': { type: 'string', default: '0.0.0.0:8081' },
      'metrics-address': { type: 'string', default: '0.0.0.0:8080' },
      'metrics-tls-dir': { type: 'string' },
      'allow-any-etcd-endpoint': { type: 'boolean', default: false },
      'etcd-credentials-dir': { type: 'string' },
      'agent-interval-seconds': { type: 'string', default: '5' },
      'lease-seconds': { type: 'string', default: '8' },
      'renew-seconds': { type: 'string', default: '6' },
      'retry-seconds': { type: 'string', default: '1' },
      'log-level': { type: 'string', default: 'info' },
    },
  });
  const podName = required(process.env.POD_NAME, 'POD_NAME');
  const namespace = required(process.env.POD_NAMESPACE, 'POD_NAMESPACE');
  const identity = `${podName}_${randomBytes(4).toString('hex')}`;
  const log = pino({ level: flags['log-level'], base: { identity } });
  const registry = new Registry();
  const metrics = createOperatorMetrics(registry);

  const folder = flags['etcd-credentials-dir'];
  const credentials = folder === undefined ? undefined : readCredentials(folder);

  const tlsFolder = flags['metrics-tls-dir'];
  const metricsTls = tlsFolder === undefined ? undefined : readTls(tlsFolder);

  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromDefault();
  const client = createKubeClient({ kubeConfig, observer: metrics.kube.client });
  const renewSeconds = seconds(flags['renew-seconds'], 'renew-seconds');
  // A renewal must not wait for a turn among other calls, and one that hangs must leave the time for another.
  const electionClient = createKubeClient({
    kubeConfig,
    observer: metrics.kube.client,
    timeoutMs: (renewSeconds * 1000) / 2,
  });
  const kubeSystemUID = await readKubeSystemUID(client, log);

  let exitCode = 0;
  const ended = Promise.withResolvers<void>();
  const election = createElection({
    client: electionClient,
    lease: { namespace, name: 'danube-load-manager' },
    identity,
    leaseSeconds: seconds(flags['lease-seconds'], 'lease-seconds'),
    renewSeconds,
    retrySeconds: seconds(flags['retry-seconds'], 'retry-seconds'),
    isWarm: () => controller.isWarm(),
    onLeading() {
      log.info({}, 'this replica leads');
      metrics.leading.set({ name: 'danube-load-manager' }, 1);
      controller.wake();
    },
    onLost(holder) {
      // A process leads once: what it knows and has in flight is not worth the risk of a second time.
      log.error({ holder }, 'another replica holds the Lease; this process ends');
      metrics.leading.set({ name: 'danube-load-manager' }, 0);
      exitCode = 1;
      ended.resolve();
    },
    onError: (error) => log.warn({ error: error.message }, 'the Lease could not be read or renewed'),
  });
  metrics.leading.set({ name: 'danube-load-manager' }, 0);

  const controller = startController({
    client,
    connectEtcd: (endpoints) => connectEtcd({ endpoints, ...credentials?.options }),
    kubeSystemUID,
    identity,
    allowAnyEtcdEndpoint: flags['allow-any-etcd-endpoint'],
    agentIntervalMs: seconds(flags['agent-interval-seconds'], 'agent-interval-seconds') * 1000,
    isLeading: election.isLeading,
    mayTakeFence: () => election.isLeading() && performance.now() < election.validUntil(),
    log,
    metrics,
    recordEvent: createEventRecorder({
      client,
      controller: 'loadmanager.danube.io/operator',
      instance: identity,
      onError: (error) => log.warn({ error: error.message }, 'an event was not recorded'),
    }),
  });

  const health = await startHttpServer({
    ...address(flags['health-address'], 'health-address'),
    routes: {
      '/healthz': () => {
        const silentMs = performance.now() - election.lastTryAt();
        if (silentMs < ELECTION_HANGS_MS) return plain(200, 'ok');
        return plain(500, `leader election has not tried for ${Math.round(silentMs / 1000)} s`);
      },
      // A roll-out must not end the replica before until this one could take over at once.
      '/readyz': () => (controller.isWarm() ? plain(200, 'ok') : plain(503, 'policies and clusters are being read')),
    },
  });
  const metricsServer = await startHttpServer({
    ...address(flags['metrics-address'], 'metrics-address'),
    ...(metricsTls !== undefined && { tls: metricsTls, authorize: createMetricsAccess({ client }) }),
    routes: {
      '/metrics': async () => ({ status: 200, contentType: registry.contentType, body: await registry.metrics() }),
    },
  });
  election.start();

  if (folder !== undefined && credentials !== undefined) {
    watchEtcdCredentials(folder, credentials.digest, () => {
      log.info({ folder }, 'the credentials for etcd have changed; this process ends, to start again with them');
      ended.resolve();
    });
  }
  if (tlsFolder !== undefined && metricsTls !== undefined) {
    watchSecret(
      digestOf({ ...metricsTls }),
      () => digestOf({ ...readTls(tlsFolder) }),
      () => {
        log.info({}, 'the certificate of the metrics has changed; this process ends, to start again with it');
        ended.resolve();
      },
    );
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.resolve());
  await ended.promise;
  log.info({}, 'ending: finishing what is in flight, then handing over the Lease');
  setTimeout(() => {
    log.error({}, 'what is in flight has not ended; the Lease is not handed over and expires by itself');
    process.exit(1);
  }, ENDING_MS).unref();
  await controller.stop();
  await election.stop();
  await Promise.all([health.stop(), metricsServer.stop()]);
  client.close();
  electionClient.close();
  process.exit(process.exitCode ?? exitCode);
}

/** Which Kubernetes cluster this is; without it nothing may be written to etcd, so it is asked for until it is there. */
async function readKubeSystemUID(client: KubeClient, log: Logger): Promise<string> {
  const namespaces = { group: '', version: 'v1', plural: 'namespaces', namespaced: false };
  for (;;) {
    try {
      const { metadata } = await client.get<KubeObject>(namespaces, { name: 'kube-system' });
      if (metadata.uid !== undefined) return metadata.uid;
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      log.warn({ error: error.message }, 'the namespace kube-system could not be read; trying again');
    }
    await delay(1000);
  }
}

function required(value: string | undefined, name: string): string {
  if (value === undefined || value === '') throw new UsageError(`${name} is not set`);
  return value;
}

function readCredentials(folder: string): EtcdCredentials {
  try {
    return readEtcdCredentials(folder);
  } catch (error) {
    throw new UsageError(`--etcd-credentials-dir: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function readTls(folder: string): { cert: Buffer; key: Buffer } {
  try {
    return { cert: readFileSync(join(folder, 'tls.crt')), key: readFileSync(join(folder, 'tls.key')) };
  } catch (error) {
    throw new UsageError(`--metrics-tls-dir: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function seconds(text: string, flag: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 3600)) throw new UsageError(`--${flag} ${text}: write seconds, more than 0`);
  return value;
}

function address(text: string, flag: string): { host: string; port: number } {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  if (match?.[1] === undefined) throw new UsageError(`--${flag} ${text}: write HOST:PORT`);
  return { host: match[1].replace(/^\[|\]$/g, ''), port: Number(match[2]) };
}

class UsageError extends Error {}

main().catch((error: unknown) => {
  if (error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
    process.exit(2);
  }
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
});
