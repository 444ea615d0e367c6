/** Broker processes behind Pods, and clients of theirs. */
import { type Connection, connect } from '../../src/sim/client/connection.ts';
import type { DemoCluster } from '../demo/cluster.ts';
import { until } from '../process/until.ts';

export interface LiveBroker {
  readonly pod: string;
  readonly id: string;
  readonly url: string;
}

/** The registered broker of each Pod, by name; resolves when all Pods have one that takes topics. */
export async function liveBrokers(cluster: DemoCluster): Promise<readonly LiveBroker[]> {
  return until(
    async () => {
      const [pods, loads] = await Promise.all([cluster.brokerPods(), cluster.brokerLoads()]);
      const brokers = await Promise.all(
        pods.map(async ({ metadata: { name }, status }) => {
          const id = (await cluster.incarnations(name)).at(-1)?.id ?? '';
          const load = loads.find(({ metadata }) => metadata.name === name)?.status;
          const ready = load?.conditions?.some(
            (condition) => condition.type === 'Ready' && condition.status === 'True',
          );
          if (load?.brokerID !== id || !ready || !cluster.history.fold.registered.has(id))
            throw new Error(`${name} is not Ready`);
          return { pod: name, id, url: `http://${status?.podIP}:6650` };
        }),
      );
      return brokers.toSorted((a, b) => (a.pod < b.pod ? -1 : 1));
    },
    { what: 'all brokers to be Ready', intervalMs: 200 },
  );
}

/** For the time of `use`. */
export async function withConnection<T>({ url }: LiveBroker, use: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await connect(url);
  try {
    return await use(connection);
  } finally {
    connection.close();
  }
}

/** Resolves with the Pod's next broker, from its first registration on. */
export async function nextBroker(cluster: DemoCluster, old: LiveBroker): Promise<string> {
  return until(
    async () => {
      const id = (await cluster.incarnations(old.pod)).at(-1)?.id;
      return id !== undefined && id !== old.id && cluster.history.fold.registered.has(id) ? id : undefined;
    },
    { what: `the next broker of Pod ${old.pod}` },
  );
}
