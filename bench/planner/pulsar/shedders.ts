/**
 * Pulsar's shedding rules as its documents and release 4.0 state them, with their default settings: our own models, compared with what its
 * real classes did on the same clusters (`measured.ts`). Thresholds on bytes a second never bind at these loads and are
 * left out.
 */
import type { PulsarCluster, Shedder, Unload } from './cluster.ts';

/** Share of the old value in the running averages (`loadBalancerHistoryResourcePercentage`). */
const HISTORY = 0.9;

/** Sheds from every broker whose averaged usage is 10 points above the average, down to 5 points below that edge. */
export function thresholdShedder(): Shedder {
  const threshold = 0.1;
  const margin = 0.05;
  const averaged = new Map<number, number>();
  return {
    shed(cluster) {
      let sum = 0;
      for (let broker = 0; broker < cluster.brokers; broker++) {
        const now = cluster.usage(broker);
        const usage = (averaged.get(broker) ?? now) * HISTORY + now * (1 - HISTORY);
        averaged.set(broker, usage);
        sum += usage;
      }
      const average = sum / cluster.brokers;
      const unloads: Unload[] = [];
      for (const [broker, usage] of averaged) {
        if (usage < average + threshold || cluster.bundleCount(broker) < 2) continue;
        const amount = cluster.throughput(broker) * (usage - average - threshold + margin);
        let marked = 0;
        for (const bundle of cluster.unloadable(broker)) {
          if (marked >= amount && marked > 0) break;
          marked += cluster.bundleThroughput(bundle);
          unloads.push({ bundle });
        }
      }
      return unloads;
    },
  };
}

/** The most and the least loaded broker: where they differ by half, a fifth of the difference goes. */
export function uniformLoadShedder(share = 0.2): Shedder {
  const difference = 0.5;
  return {
    shed(cluster) {
      const brokers = byValue(cluster, cluster.throughput);
      const [least, most] = [brokers[0] as number, brokers.at(-1) as number];
      const low = cluster.throughput(least);
      const high = cluster.throughput(most);
      if (high - low <= difference * low || cluster.bundleCount(most) < 2) return [];
      return fitting(cluster, most, (high - low) * share).map((bundle) => ({ bundle }));
    },
  };
}

/** The i-th most with the i-th least loaded, once they have differed for long enough; the bundles go to the partner. */
export function avgShedder(share = 0.2): Shedder {
  const low = { difference: 0.15, hits: 8, counts: new Map<number, number>() };
  const high = { difference: 0.4, hits: 2, counts: new Map<number, number>() };
  return {
    shed(cluster) {
      const brokers = byValue(cluster, cluster.usage);
      const unloads: Unload[] = [];
      for (let at = 0; at < brokers.length - 1 - at; at++) {
        const cold = brokers[at] as number;
        const hot = brokers[brokers.length - 1 - at] as number;
        const difference = cluster.usage(hot) - cluster.usage(cold);
        const levels = [low, high];
        for (const level of levels) {
          for (const broker of [cold, hot]) {
            if (difference < level.difference) level.counts.delete(broker);
            else level.counts.set(broker, (level.counts.get(broker) ?? 0) + 1);
          }
        }
        const isHit = ({ counts, hits }: typeof low): boolean =>
          (counts.get(cold) ?? 0) >= hits || (counts.get(hot) ?? 0) >= hits;
        if (difference < low.difference || !levels.some(isHit)) continue;
        for (const { counts } of levels) for (const broker of [cold, hot]) counts.delete(broker);
        const amount = (cluster.throughput(hot) - cluster.throughput(cold)) * share;
        unloads.push(...fitting(cluster, hot, amount).map((bundle) => ({ bundle, to: cold })));
      }
      return unloads;
    },
  };
}

export interface TransferSettings {
  readonly targetDeviation: number;
  readonly brokersPerCycle: number;
  readonly hits: number;
  readonly delayMinutes: number;
  readonly topBundles: number;
}

export const TRANSFER_DEFAULTS: TransferSettings = {
  targetDeviation: 0.25,
  brokersPerCycle: 3,
  hits: 3,
  delayMinutes: 3,
  topBundles: 10,
};

/** Half of the difference goes from the hottest to the coldest, pair by pair, until the standard deviation is below its target. */
export function transferShedder(settings: TransferSettings = TRANSFER_DEFAULTS): Shedder {
  const { targetDeviation, brokersPerCycle, hits, delayMinutes, topBundles } = settings;
  let hitCount = 0;
  let lastMinute = -Infinity;
  return {
    shed(cluster) {
      if (cluster.minute - lastMinute < delayMinutes) return [];
      const brokers = byValue(cluster, cluster.usage);
      const loads = brokers.map(cluster.usage);
      const average = loads.reduce((sum, own) => sum + own, 0) / loads.length;
      let squares = loads.reduce((sum, own) => sum + own * own, 0);
      let cold = 0;
      let hot = brokers.length - 1;
      const deviation = (): number => Math.sqrt(Math.abs(squares / loads.length - average * average));
      const least = Math.min(0.5, targetDeviation / 2);
      const isUnderloaded = (): boolean =>
        (loads[cold] as number) < average * least ||
        cluster.throughput(brokers[cold] as number) < cluster.throughput(brokers[hot] as number) * least;
      const isOverloaded = (): boolean =>
        (loads[hot] as number) > 0.85 && (loads[hot] as number) > average + targetDeviation;
      const isUneven = (): boolean => deviation() > targetDeviation || isUnderloaded() || isOverloaded();

      hitCount = isUneven() ? hitCount + 1 : 0;
      if (hitCount <= hits) return [];
      const unloads: Unload[] = [];
      for (let pairs = 0; pairs < brokersPerCycle && cold < hot && isUneven(); hot--) {
        const most = loads[hot] as number;
        const coldest = loads[cold] as number;
        const given = transfer(cluster, brokers[hot] as number, brokers[cold] as number, topBundles);
        if (given.marked === 0) continue;
        unloads.push(...given.unloads);
        const offload = (given.marked * most) / cluster.throughput(brokers[hot] as number);
        squares += Math.max(0, most - offload) ** 2 + (coldest + offload) ** 2 - most ** 2 - coldest ** 2;
        cold++;
        pairs++;
      }
      if (unloads.length > 0) {
        lastMinute = cluster.minute;
        hitCount = 0;
      }
      return unloads;
    },
  };
}

interface Transfer {
  readonly unloads: Unload[];
  /** Throughput that leaves the hot broker; what comes back is not counted, as in the real class. */
  readonly marked: number;
}

/** Of the top bundles of `hot` the smallest first, as long as they fit, or fit by a swap with some of `cold`. One stays. */
function transfer(cluster: PulsarCluster, hot: number, cold: number, topBundles: number): Transfer {
  const hotTop = cluster.unloadable(hot).slice(0, topBundles).reverse();
  const coldTop = cluster.unloadable(cold).slice(0, topBundles).reverse();
  const most = cluster.throughput(hot);
  const amount = (most * (cluster.usage(hot) - cluster.usage(cold))) / 2 / cluster.usage(hot);
  const unloads: Unload[] = [];
  let marked = 0;
  for (const bundle of hotTop.slice(0, -1)) {
    const size = cluster.bundleThroughput(bundle);
    if (marked + size > amount) {
      const after = { hot: most - marked - size, cold: cluster.throughput(cold) + marked + size };
      const back = swap(cluster, coldTop, most, after);
      if (back === undefined) break;
      unloads.push(...back.map((other) => ({ bundle: other, to: hot })));
    }
    unloads.push({ bundle, to: cold });
    marked += size;
  }
  return { unloads, marked };
}

/** Takes bundles off `coldTop` until both brokers are well below what the hot one had; undefined if none do. */
function swap(
  cluster: PulsarCluster,
  coldTop: number[],
  most: number,
  after: { hot: number; cold: number },
): readonly number[] | undefined {
  const back: number[] = [];
  for (let bundle = coldTop.shift(); bundle !== undefined; bundle = coldTop.shift()) {
    const size = cluster.bundleThroughput(bundle);
    if (after.hot + size >= most || after.cold - size >= most) continue;
    after.hot += size;
    after.cold -= size;
    back.push(bundle);
    if (after.cold <= after.hot && after.hot < most * 0.75) return back;
  }
  return undefined;
}

/** Bundles that fit into what is left of `amount`, the largest first. */
function fitting(cluster: PulsarCluster, broker: number, amount: number): readonly number[] {
  let left = amount;
  return cluster.unloadable(broker).filter((bundle) => {
    const size = cluster.bundleThroughput(bundle);
    if (size > left) return false;
    left -= size;
    return true;
  });
}

/** Brokers, lowest value first. */
function byValue(cluster: PulsarCluster, value: (broker: number) => number): readonly number[] {
  return Array.from({ length: cluster.brokers }, (_, broker) => broker).sort((a, b) => value(a) - value(b) || a - b);
}
