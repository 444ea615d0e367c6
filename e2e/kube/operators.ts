/**
 * Operators as processes of their own, each with its own way to the API server and with the roles that we ship, and
 * brokers that exist on paper only: a Pod, a registration, a report. What leads and what it writes can be seen without
 * kubelet or brokers.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { assignmentsPrefix, deliveryKey, loadReportKey, registrationKey, topicKey } from '../../src/danube/keys.ts';
import {
  encodeDelivery,
  encodeLoadReport,
  encodeRegistration,
  NULL_VALUE,
  type TopicLoad,
} from '../../src/danube/values.ts';
import { commitBatch } from '../../src/etcd/batch.ts';
import { connectEtcd } from '../../src/etcd/etcd3.ts';
import type { EtcdPort } from '../../src/etcd/port.ts';
import type { KubeClient, KubeObject } from '../../src/kube/client.ts';
import { LEASES, type Lease } from '../../src/kube/election.ts';
import { PODS } from '../../src/operator/pods.ts';
import { clientOf, RESOURCES } from '../controlplane/api.ts';
import { applyManifests } from '../controlplane/apply.ts';
import { type Etcd, startEtcd } from '../controlplane/etcd.ts';
import { writeKubeconfig } from '../controlplane/kubeconfig.ts';
import { type ControlPlane, startControlPlane } from '../controlplane/start.ts';
import { BROKER_NAMESPACE, OPERATOR_NAMESPACE, operatorManifests, policyManifest } from '../demo/manifests.ts';
import { startProxy, type TcpProxy } from '../etcd/proxy.ts';
import { type ManagedProcess, spawnTied } from '../process/tied.ts';
import { until } from '../process/until.ts';
import type { ApiProxy } from './proxy.ts';

const ROOT = join(import.meta.dirname, '../..');
const ACCOUNT = { namespace: OPERATOR_NAMESPACE, name: 'danube-load-manager' };
/** Calls to the API server under way while a cluster is made. */
const AT_ONCE = 20;

export interface Operator {
  readonly name: string;
  readonly process: ManagedProcess;
  /** Its own way to the API server. */
  readonly api: TcpProxy;
  /** Lets the process itself stand still, or its wall clock jump. */
  disturb(what: 'block' | 'clock', ms: number): void;
  metrics(): Promise<string>;
  /** The status of `/healthz`. */
  health(): Promise<number>;
}

export interface OperatorCluster {
  readonly plane: ControlPlane;
  readonly client: KubeClient;
  readonly etcd: EtcdPort;
  /** Where the brokers' etcd is, as the policy names it. */
  readonly etcdEndpoint: string;
  /** Resolves when it is ready to lead. With `via` its way to the API server leads through that proxy. */
  startOperator(name: string, args?: readonly string[], via?: ApiProxy): Promise<Operator>;
  /** Writes what all brokers write every half minute, one after the other over that many milliseconds. Default 0, all at once. */
  report(overMs?: number): Promise<void>;
  /** The process of a broker ends, with its container and its registration. */
  endBroker(index: number): Promise<void>;
  /** The next container of that Pod runs: a broker with another id at the same address. Resolves with the id. */
  startBroker(index: number): Promise<string>;
  lease(): Promise<Lease>;
  stop(): Promise<void>;
}

export interface OperatorClusterOptions {
  readonly brokers: number;
  /** What connections to the admin ports of the brokers meet. Default `Open`. */
  readonly adminPorts?: 'Open' | 'Refusing';
  /** Reliable topics that each broker has from the start, and reports; every tenth broker has three times the traffic. Default 0. */
  readonly topicsPerBroker?: number;
  /** The `cgroup.procs` files that the operator of that name joins by. Default none. */
  readonly cgroupOf?: (operator: string) => readonly string[];
}

/** @throws Error that says what to install, as all suites do. */
export async function startOperatorCluster(options: OperatorClusterOptions): Promise<OperatorCluster> {
  const { brokers, adminPorts = 'Open', topicsPerBroker = 0, cgroupOf = () => [] } = options;
  const undo: (() => unknown)[] = [];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const plane = await startControlPlane({ log: (line) => process.stderr.write(`${line}\n`) });
    undo.push(() => plane.stop());
    const server = await startBrokersEtcd(plane);
    undo.push(() => server.stop());
    // Patient: what the tests themselves read and write must not fail for a machine that stands still.
    const etcd = connectEtcd({ endpoints: [server.endpoint], timeoutMs: 60_000 });
    undo.push(() => etcd.close());
    const client = clientOf(plane.adminKubeconfig);
    undo.push(() => client.close());
    const shipped = operatorManifests([]).filter(({ kind }) => kind !== 'Deployment');
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: BROKER_NAMESPACE } };
    await applyManifests(plane.adminKubeconfig, [...shipped, namespace]);

    const admin = await listenAnywhere();
    if (adminPorts === 'Open') undo.push(admin.close);
    else await admin.close();
    const paper = paperBrokers({ client, etcd, plane, count: brokers, adminPort: admin.port, topicsPerBroker });
    await paper.make();
    await applyManifests(plane.adminKubeconfig, [policyManifest(server.endpoint)]);

    let started = 0;
    return {
      plane,
      client,
      etcd,
      etcdEndpoint: server.endpoint,
      report: paper.report,
      endBroker: paper.end,
      startBroker: paper.start,
      lease: () => client.get<Lease>(LEASES, ACCOUNT),
      stop,
      async startOperator(name, args = [], via) {
        started += 1;
        const address = `${plane.block}.1.${started}`;
        const api = await startProxy(plane.address, via?.endpoint ?? plane.server);
        undo.push(() => api.stop());
        const kubeconfig = join(plane.dir, `${name}.kubeconfig`);
        const token = await tokenOfOperator(client);
        if (via === undefined) {
          // The server's certificate is for its address, so the way there must be on the same one: the port tells them apart.
          const server = api.endpoint.replace('http:', 'https:');
          writeKubeconfig(kubeconfig, { server, caFile: plane.caFile, user: { token } });
        } else writePlainKubeconfig(kubeconfig, api.endpoint, token);
        const operator = startOperator({ plane, kubeconfig, name, address, api, args, cgroupProcs: cgroupOf(name) });
        undo.push(() => operator.process.stop(0));
        await until(async () => (await fetch(`http://${address}:8081/readyz`)).ok, {
          what: `operator ${name} to have read a cluster, however large, and be ready`,
          timeoutMs: 180_000,
          signal: endOf(operator),
        });
        return operator;
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function startBrokersEtcd({ assets, address, dir }: ControlPlane): Promise<Etcd> {
  return startEtcd({ assets, address, dir: join(dir, 'brokers-etcd'), name: 'brokers-etcd' });
}

/** To a proxy that speaks HTTP, which the client library refuses without a word about certificates. */
function writePlainKubeconfig(file: string, server: string, token: string): void {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromClusterAndUser({ name: 'proxy', server, skipTLSVerify: true }, { name: 'operator', token });
  writeFileSync(file, kubeConfig.exportConfig(), { mode: 0o600 });
}

interface StartOperator {
  readonly plane: ControlPlane;
  readonly kubeconfig: string;
  readonly name: string;
  readonly address: string;
  readonly api: TcpProxy;
  readonly args: readonly string[];
  readonly cgroupProcs: readonly string[];
}

function startOperator({ plane, kubeconfig, name, address, api, args, cgroupProcs }: StartOperator): Operator {
  const disturbFile = join(plane.dir, `${name}.disturb`);
  const operator = spawnTied(
    process.execPath,
    [
      `--import=${join(import.meta.dirname, 'fixtures/disturb.ts')}`,
      join(ROOT, 'src/operator/main.ts'),
      `--health-address=${address}:8081`,
      `--metrics-address=${address}:8080`,
      '--allow-any-etcd-endpoint',
      ...args,
    ],
    {
      logFile: join(plane.dir, `${name}.log`),
      cgroupProcs,
      env: {
        ...process.env,
        KUBECONFIG: kubeconfig,
        POD_NAME: name,
        POD_NAMESPACE: OPERATOR_NAMESPACE,
        DISTURB_FILE: disturbFile,
      },
    },
  );
  return {
    name,
    process: operator,
    api,
    disturb(what, ms) {
      writeFileSync(disturbFile, `${what} ${ms}`);
      operator.kill('SIGUSR2');
    },
    metrics: async () => (await ask(`http://${address}:8080/metrics`)).text(),
    health: async () => (await ask(`http://${address}:8081/healthz`)).status,
  };
}

/** An operator that stands still answers nothing, and whoever asks must not stand still with it. */
function ask(url: string): Promise<Response> {
  return fetch(url, { signal: AbortSignal.timeout(30_000) });
}

/** Aborts when the operator has ended, with the end of its log. */
function endOf({ name, process: { exited, logTail } }: Operator): AbortSignal {
  const ended = new AbortController();
  exited.then(() => ended.abort(new Error(`operator ${name} has ended:\n${logTail()}`)));
  return ended.signal;
}

/** A token of the account that the operator's Pods run under. */
export async function tokenOfOperator(client: KubeClient): Promise<string> {
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 7200 } };
  const { status } = await client.post<{ status: { token: string } }>(
    RESOURCES.serviceAccounts,
    ACCOUNT,
    'token',
    request,
  );
  return status.token;
}

/** Answers connections on any loopback address, as the admin port of every broker. */
async function listenAnywhere(): Promise<{ readonly port: number; readonly close: () => Promise<void> }> {
  const server = createServer((socket) => socket.on('error', () => undefined).end());
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no TCP port could be bound');
  const close = async () => {
    server.close();
    await once(server, 'close');
  };
  return { port: bound.port, close };
}

interface PaperBrokers {
  readonly client: KubeClient;
  readonly etcd: EtcdPort;
  readonly plane: ControlPlane;
  readonly count: number;
  readonly adminPort: number;
  readonly topicsPerBroker: number;
}

function paperBrokers({ client, etcd, plane, count, adminPort, topicsPerBroker }: PaperBrokers) {
  const all = Array.from({ length: count }, (_, index) => ({
    id: idOf(0, index),
    restarts: 0,
    pod: `broker-${String(index).padStart(4, '0')}`,
    ip: `${plane.block}.${2 + Math.floor(index / 250)}.${1 + (index % 250)}`,
  }));
  type Broker = (typeof all)[number];
  let lease: string | undefined;
  let restarts = 0;

  function brokerAt(index: number): Broker {
    const broker = all[index];
    if (broker === undefined) throw new Error(`there are ${count} brokers, none with index ${index}`);
    return broker;
  }

  async function put(key: string, value: string, lease?: string): Promise<void> {
    const result = await etcd.commit([], [{ put: key, value, ...(lease !== undefined && { lease }) }]);
    if (result.outcome !== 'applied') throw new Error(`${key} was not written: ${result.outcome}`);
  }

  async function makePod(broker: Broker): Promise<void> {
    const { pod } = broker;
    const [policy] = [policyManifest('')];
    const { matchLabels } = (policy.spec as { brokerSelector: { matchLabels: Record<string, string> } }).brokerSelector;
    const metadata = { namespace: BROKER_NAMESPACE, name: pod, labels: matchLabels };
    const container = { name: 'broker', image: 'none', ports: [{ name: 'client', containerPort: 6650 }] };
    const object = { apiVersion: 'v1', kind: 'Pod', metadata, spec: { nodeName: 'nowhere', containers: [container] } };
    await client.create<KubeObject>(PODS, object);
    await putStatus(broker, { running: { startedAt: secondsAgo(60) } });
  }

  /** What a kubelet says of the Pod and of its container. */
  async function putStatus(broker: Broker, state: object, lastState = {}): Promise<void> {
    const { pod, ip, restarts: restartCount } = broker;
    const ready = 'running' in state;
    const status = {
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
      containerStatuses: [
        {
          name: 'broker',
          image: 'none',
          imageID: 'none',
          ready,
          restartCount,
          containerID: containerOf(broker),
          state,
          lastState,
        },
      ],
    };
    const ref = { namespace: BROKER_NAMESPACE, name: pod };
    await client.patch(PODS, ref, { status }, { type: 'merge', subresource: 'status' });
  }

  async function register({ id, ip }: Broker): Promise<void> {
    const url = `http://${ip}:6650`;
    const adminAddr = `${ip}:${adminPort}`;
    lease ??= await etcd.grantLease(3600);
    await put(
      registrationKey(id),
      encodeRegistration({ brokerUrl: url, connectUrl: url, adminAddr, format: '0.7.3' }),
      lease,
    );
  }

  function topicsOf({ pod }: Broker): readonly string[] {
    return Array.from({ length: topicsPerBroker }, (_, index) => `/default/${pod}-${String(index).padStart(4, '0')}`);
  }

  async function putTopics(broker: Broker): Promise<void> {
    const operations = topicsOf(broker).flatMap((topic) => [
      { put: topicKey(topic), value: NULL_VALUE },
      { put: deliveryKey(topic), value: encodeDelivery('Reliable') },
      { put: `${assignmentsPrefix(broker.id)}${topic.slice(1)}`, value: NULL_VALUE },
    ]);
    const result = await commitBatch({ etcd, operations });
    if (result.outcome !== 'applied') throw new Error(`topics of ${broker.pod} were not written: ${result.outcome}`);
  }

  async function reportOf(broker: Broker): Promise<void> {
    const { id } = broker;
    const factor = all.indexOf(broker) % 10 === 0 ? 3 : 1;
    const topics = topicsOf(broker).map((topic, index) => topicLoad(topic, index, factor));
    const bytesPerSecond = topics.reduce((sum, topic) => sum + topic.bytesPerSecond, 0);
    await put(
      loadReportKey(id),
      encodeLoadReport({
        broker: id,
        timestamp: Math.floor(Date.now() / 1000),
        cpuPercent: 0,
        memoryPercent: 0,
        diskIo: 0,
        networkIo: 0,
        throughputMegabytesPerSecond: bytesPerSecond / 1e6,
        topics,
      }),
    );
  }

  return {
    async make() {
      const account = { namespace: BROKER_NAMESPACE, name: 'default' };
      await until(() => client.get(RESOURCES.serviceAccounts, account), {
        what: 'the namespace to admit Pods',
      });
      lease = await etcd.grantLease(3600);
      await forEachAtOnce(all, async (broker) => {
        await makePod(broker);
        await register(broker);
        await putTopics(broker);
        await reportOf(broker);
      });
    },
    report: (overMs = 0) => forEachAtOnce(all, reportOf, overMs),

    async end(index: number): Promise<void> {
      const broker = brokerAt(index);
      const ended = { exitCode: 137, startedAt: secondsAgo(60), finishedAt: secondsAgo(0) };
      await putStatus(broker, { terminated: { ...ended, containerID: containerOf(broker) } });
      const result = await etcd.commit([], [{ delete: registrationKey(broker.id) }]);
      if (result.outcome !== 'applied') throw new Error(`${broker.id} is registered still: ${result.outcome}`);
    },

    async start(index: number): Promise<string> {
      const old = brokerAt(index);
      restarts += 1;
      const broker = { ...old, id: idOf(restarts, index), restarts: old.restarts + 1 };
      all[index] = broker;
      const ended = { exitCode: 137, startedAt: secondsAgo(60), finishedAt: secondsAgo(1) };
      await putStatus(
        broker,
        { running: { startedAt: secondsAgo(0) } },
        { terminated: { ...ended, containerID: containerOf(old) } },
      );
      await register(broker);
      await reportOf(broker);
      return broker.id;
    },
  };
}

/** A broker has topics of many sizes. */
function topicLoad(topic: string, index: number, factor: number): TopicLoad {
  const messagesPerSecond = factor * Math.ceil(1000 / (1 + index));
  const bytesPerSecond = 200 * messagesPerSecond;
  return { topic, messagesPerSecond, bytesPerSecond, producers: 1, consumers: 1, subscriptions: 1, backlogMessages: 0 };
}

/** Ids are u64 and no JavaScript numbers. */
function idOf(restarts: number, index: number): string {
  return String(1_000_000_000_000_000_000n + BigInt(restarts) * 1_000_000n + BigInt(index));
}

function containerOf({ pod, restarts }: { readonly pod: string; readonly restarts: number }): string {
  return `paper://${pod}/${restarts}`;
}

function secondsAgo(seconds: number): string {
  return new Date(Date.now() - seconds * 1000).toISOString();
}

async function forEachAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>, overMs = 0): Promise<void> {
  const startedAt = performance.now();
  for (let at = 0; at < items.length; at += AT_ONCE) {
    const aheadMs = startedAt + (overMs * at) / items.length - performance.now();
    if (aheadMs > 0) await new Promise((resolve) => setTimeout(resolve, aheadMs));
    await Promise.all(items.slice(at, at + AT_ONCE).map(work));
  }
}
