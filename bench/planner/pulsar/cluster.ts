/** A cluster as Pulsar's load managers see it: usage per broker, throughput per bundle (our topic), and what was unloaded of late. */
import { brokerLoads } from '../../../src/core/planner/figures.ts';
import type { PlannerInput } from '../../../src/core/planner/input.ts';

/** Resources that Pulsar weighs; it does not see disks. Memory has weight 0 by default. */
const SEEN = ['cpu', 'networkIn', 'networkOut'];
/** `loadBalancerSheddingGracePeriodMinutes`: a bundle is not unloaded again within it. */
const GRACE_MINUTES = 30;

export interface PulsarCluster {
  readonly brokers: number;
  /** Minutes since the start. */
  minute: number;
  /** The largest share of its capacity that the broker uses of any resource that Pulsar sees. */
  usage(broker: number): number;
  /** In and out; stands for the message rate too, since every message has the same size here. */
  throughput(broker: number): number;
  bundleThroughput(bundle: number): number;
  bundleCount(broker: number): number;
  /** Bundles of a broker with traffic that may be unloaded now, the largest first. */
  unloadable(broker: number): readonly number[];
  move(bundle: number, to: number): void;
  owners(): Int32Array;
}

export function createPulsarCluster(input: PlannerInput): PulsarCluster {
  const width = input.resources.length;
  const seen = SEEN.map((name) => input.resources.indexOf(name)).filter((resource) => resource >= 0);
  const [networkIn, networkOut] = [input.resources.indexOf('networkIn'), input.resources.indexOf('networkOut')];
  const loads = brokerLoads(input);
  const owner = input.owner.slice();
  const unloadedAt = new Map<number, number>();
  const bundles: Set<number>[] = input.brokers.map(() => new Set());
  for (const [bundle, broker] of owner.entries()) bundles[broker]?.add(bundle);

  const bundleThroughput = (bundle: number): number =>
    (input.loads[bundle * width + networkIn] as number) + (input.loads[bundle * width + networkOut] as number);

  const cluster: PulsarCluster = {
    brokers: input.brokers.length,
    minute: 0,
    usage: (broker) =>
      Math.max(
        ...seen.map((r) => (loads[broker * width + r] as number) / (input.capacity[broker * width + r] as number)),
      ),
    throughput: (broker) =>
      (loads[broker * width + networkIn] as number) + (loads[broker * width + networkOut] as number),
    bundleThroughput,
    bundleCount: (broker) => bundles[broker]?.size ?? 0,
    unloadable: (broker) =>
      [...(bundles[broker] ?? [])]
        .filter((bundle) => cluster.minute - (unloadedAt.get(bundle) ?? -GRACE_MINUTES) >= GRACE_MINUTES)
        .filter((bundle) => bundleThroughput(bundle) > 0)
        .sort((a, b) => bundleThroughput(b) - bundleThroughput(a) || a - b),
    move(bundle, to) {
      const from = owner[bundle] as number;
      unloadedAt.set(bundle, cluster.minute);
      for (let r = 0; r < width; r++) {
        const load = input.loads[bundle * width + r] as number;
        loads[from * width + r] = (loads[from * width + r] as number) - load;
        loads[to * width + r] = (loads[to * width + r] as number) + load;
      }
      bundles[from]?.delete(bundle);
      bundles[to]?.add(bundle);
      owner[bundle] = to;
    },
    owners: () => owner,
  };
  return cluster;
}

/** One round of a rule: what it unloads, and where that goes if the rule says so; elsewhere the placement decides. */
export interface Unload {
  readonly bundle: number;
  readonly to?: number;
}

export interface Shedder {
  /** Called once a minute. */
  shed(cluster: PulsarCluster): readonly Unload[];
}

/** Where bundles go for which the shedder names no broker; called for one after the other, before any of them is loaded. */
export interface Placement {
  /** A round begins. */
  refresh(cluster: PulsarCluster): void;
  place(bundle: number): number;
}
