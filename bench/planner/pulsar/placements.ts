/** Where Pulsar's modular load manager puts a bundle that was unloaded: models of its two rules. */
import type { Random } from '../random.ts';
import type { Placement, PulsarCluster } from './cluster.ts';

/** The broker with the least traffic, with what is on its way there counted. */
export function leastMessageRate(): Placement {
  let expected: number[] = [];
  let current: PulsarCluster | undefined;
  return {
    refresh(cluster) {
      current = cluster;
      expected = Array.from({ length: cluster.brokers }, (_, broker) => cluster.throughput(broker));
    },
    place(bundle) {
      const to = expected.indexOf(Math.min(...expected));
      expected[to] = (expected[to] as number) + (current?.bundleThroughput(bundle) ?? 0);
      return to;
    },
  };
}

/**
 * Any broker whose averaged usage is 10 points below the average; any at all if there is none. What was just placed is not counted, and
 * the average follows slowly: hundreds of bundles go to the same few brokers before these are seen to be full.
 */
export function leastUsageWithWeight(random: Random): Placement {
  const averaged = new Map<number, number>();
  let current: PulsarCluster | undefined;
  return {
    refresh(cluster) {
      current = cluster;
    },
    place() {
      const brokers = Array.from({ length: current?.brokers ?? 0 }, (_, broker) => broker);
      let sum = 0;
      for (const broker of brokers) {
        const usage = current?.usage(broker) ?? 0;
        const known = averaged.get(broker);
        const next = known === undefined ? usage : known * 0.9 + usage * 0.1;
        averaged.set(broker, next);
        sum += next;
      }
      const below = brokers.filter((broker) => (averaged.get(broker) ?? 0) + 0.1 <= sum / brokers.length);
      const choice = below.length > 0 ? below : brokers;
      return choice[random.index(choice.length)] as number;
    },
  };
}
