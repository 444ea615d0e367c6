/**
 * A real etcd with real broker processes, and a load manager played by hand: what each test does to the keys is written in
 * the test. Intervals are short, so that cursors and objects are there within a second or two.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { assignmentKey, LEADER_KEY, sealedStateKey, unassignedKey } from '../../src/danube/keys.ts';
import { encodeMarker, encodeSealedState, NULL_VALUE } from '../../src/danube/values.ts';
import { connectEtcd } from '../../src/etcd/etcd3.ts';
import type { Compare, EtcdPort, Operation, WatchedEvent } from '../../src/etcd/port.ts';
import { type Connection, connect } from '../../src/sim/client/connection.ts';
import { ensureAssets } from '../controlplane/assets.ts';
import { claimBlock } from '../controlplane/block.ts';
import { startEtcd } from '../controlplane/etcd.ts';
import { makeRunFolder, removeFolder } from '../controlplane/run-folder.ts';
import { type ManagedProcess, spawnTied } from '../process/tied.ts';
import { until } from '../process/until.ts';

export const STORAGE_ROOT = '/danube-data';
export const EXTERNAL_LEADER = '424242424242';
const ROOT = path.resolve(import.meta.dirname, '../..');

export interface Incarnation {
  readonly id: string;
  readonly startedAt: number;
  readonly acceptsAt: number;
}

export interface SimBroker extends Incarnation {
  readonly pod: string;
  readonly url: string;
  readonly metricsUrl: string;
  readonly process: ManagedProcess;
  /** kill -9; resolves when the process is gone. */
  crash(): Promise<void>;
}

export interface SimCluster {
  readonly etcd: EtcdPort;
  readonly folder: string;
  /** Starts the Pod's next process on the Pod's address and volume; resolves when its admin port is open. */
  startBroker(pod: string, flags?: readonly string[]): Promise<SimBroker>;
  /** Starts a client process on topics written as JSON lines. */
  startClient(name: string, flags: readonly string[]): ManagedProcess;
  connect(broker: SimBroker): Promise<Connection>;
  stop(): Promise<void>;
}

export async function startSimCluster(): Promise<SimCluster> {
  const assets = await ensureAssets({ log: (line) => process.stderr.write(`${line}\n`) });
  const folder = makeRunFolder();
  const block = await claimBlock();
  const server = await startEtcd({ assets, address: block.address, dir: path.join(folder, 'etcd') });
  // Patient: what the tests themselves read and write must not fail for a machine that stands still.
  const etcd = connectEtcd({ endpoints: [server.endpoint], timeoutMs: 30_000 });
  const processes: ManagedProcess[] = [];
  const connections: Connection[] = [];
  const pods: string[] = [];

  return {
    etcd,
    folder,

    async startBroker(pod, flags = []) {
      if (!pods.includes(pod)) pods.push(pod);
      const host = `${block.block}.1.${pods.indexOf(pod) + 1}`;
      const dataDir = path.join(folder, 'volumes', pod);
      const before = incarnations(dataDir).length;
      const url = `http://${host}:6650`;
      const args = [
        path.join(ROOT, 'src/sim/broker/main.ts'),
        `--etcd=${server.endpoint}`,
        `--address=${host}:6650`,
        `--admin-address=${host}:50051`,
        `--prometheus-address=${host}:9040`,
        `--advertised-url=${url}`,
        `--data-dir=${dataDir}`,
        `--object-store=${path.join(folder, 'objects')}`,
        '--report-interval-seconds=1',
        '--upload-interval-seconds=1',
        '--cursor-interval-seconds=1',
        ...flags,
      ];
      const launch = () => {
        const launched = spawnTied(process.execPath, args, { logFile: path.join(folder, `${pod}.log`) });
        processes.push(launched);
        return launched;
      };
      let broker = launch();
      const incarnation = await until(
        () => {
          if (broker.exit()) {
            const tail = broker.logTail();
            // As a kubelet does: a broker ends if its etcd does not answer while it starts.
            broker = launch();
            throw new Error(`broker ${pod} has ended:\n${tail}`);
          }
          return incarnations(dataDir)[before];
        },
        { what: `broker ${pod} to accept assignments`, intervalMs: 100 },
      );
      const running = broker;
      return {
        ...incarnation,
        pod,
        url,
        metricsUrl: `http://${host}:9040/metrics`,
        process: running,
        async crash() {
          running.kill('SIGKILL');
          await running.exited;
        },
      };
    },

    startClient(name, flags) {
      const client = spawnTied(process.execPath, [path.join(ROOT, 'src/sim/client/main.ts'), ...flags], {
        logFile: path.join(folder, `${name}.log`),
      });
      processes.push(client);
      return client;
    },

    async connect(broker) {
      const connection = await connect(broker.url);
      connections.push(connection);
      return connection;
    },

    async stop() {
      for (const connection of connections) connection.close();
      await Promise.all(processes.map((one) => one.stop(0)));
      etcd.close();
      await server.stop(0);
      await block.release();
      removeFolder(folder);
    },
  };
}

function incarnations(dataDir: string): readonly Incarnation[] {
  const file = path.join(dataDir, 'incarnations.ndjson');
  mkdirSync(dataDir, { recursive: true });
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Incarnation);
}

/** Keeps the brokers' own election away, as the operator does; without a lease, since a test ends with its etcd. */
export async function holdLeadership(etcd: EtcdPort): Promise<void> {
  await commit(etcd, [], [{ put: LEADER_KEY, value: EXTERNAL_LEADER }]);
}

/** One transaction that must be applied. */
export async function commit(etcd: EtcdPort, compares: Compare[], operations: Operation[]): Promise<number> {
  const result = await etcd.commit(compares, operations);
  if (result.outcome !== 'applied') throw new Error(`transaction ${result.outcome}: ${JSON.stringify(result)}`);
  return result.revision;
}

/** A topic without an owner is given one. */
export async function assign(etcd: EtcdPort, topic: string, to: SimBroker): Promise<number> {
  return commit(etcd, [], [{ put: assignmentKey(to.id, topic), value: NULL_VALUE }, { delete: unassignedKey(topic) }]);
}

/** Phase one of a move: marker and removal of the source's assignment in one transaction (contract 5.3). */
export async function beginUnload(etcd: EtcdPort, topic: string, from: SimBroker): Promise<number> {
  return commit(
    etcd,
    [],
    [
      { put: unassignedKey(topic), value: encodeMarker({ kind: 'unload', fromBroker: from.id }) },
      { delete: assignmentKey(from.id, topic) },
    ],
  );
}

/** Resolves with the offset that `state` says, once it is newer than `revision`. */
export async function sealedAt(etcd: EtcdPort, topic: string, revision: number): Promise<bigint> {
  return until(
    async () => {
      const entry = await etcd.get(sealedStateKey(STORAGE_ROOT, topic));
      if (!entry || entry.modRevision <= revision) return undefined;
      return BigInt(/"last_committed_offset":(\d+)/.exec(entry.value.toString('utf8'))?.[1] ?? '');
    },
    { what: `${topic} to be sealed` },
  );
}

/** The whole clean move of a reliable topic; the offset that it was sealed at. */
export async function move(etcd: EtcdPort, topic: string, from: SimBroker, to: SimBroker): Promise<bigint> {
  const revision = await beginUnload(etcd, topic, from);
  const offset = await sealedAt(etcd, topic, revision);
  await assign(etcd, topic, to);
  return offset;
}

/** Failover: the dead owner's topic goes to `to`, its offsets resumed after `seed` or not at all. */
export async function failOver(
  etcd: EtcdPort,
  { topic, dead, to, seed }: { topic: string; dead: SimBroker; to: SimBroker; seed?: bigint },
): Promise<number> {
  const operations: Operation[] = [
    { delete: assignmentKey(dead.id, topic) },
    { put: assignmentKey(to.id, topic), value: NULL_VALUE },
  ];
  if (seed !== undefined) {
    const state = {
      broker: dead.id,
      lastCommittedOffset: seed,
      sealed: true,
      timestamp: Math.floor(Date.now() / 1000),
    };
    operations.push({ put: sealedStateKey(STORAGE_ROOT, topic), value: encodeSealedState(state) });
  }
  return commit(etcd, [], operations);
}

/** Everything that has happened to keys that contain `part`, from `revision` on until now, in order. */
export async function eventsOf(etcd: EtcdPort, part: string, revision = 1): Promise<readonly WatchedEvent[]> {
  const { revision: now } = await etcd.read('/cluster/leader');
  const events: WatchedEvent[] = [];
  const stop = new AbortController();
  // The end of what we want to see: a key that we put ourselves.
  await commit(etcd, [], [{ put: '/test/mark', value: NULL_VALUE }]);
  for await (const message of etcd.watch('', revision, stop.signal)) {
    if (message.kind !== 'events') continue;
    events.push(...message.events);
    if ((message.events.at(-1)?.entry.modRevision ?? 0) > now) break;
  }
  stop.abort();
  return events.filter(({ entry }) => entry.modRevision <= now && entry.key.includes(part));
}
