/** Follows a watch of the port in the background and keeps what it said. */
import type { EtcdPort, WatchMessage } from '../../src/etcd/port.ts';
import { until } from '../process/until.ts';

export interface Follower {
  /** `revision key` of every event, in order. */
  readonly seen: readonly string[];
  /** Every message that is not of events. */
  readonly told: readonly WatchMessage[];
  /** Resolves with the ms since `since` (monotonic) when this event has come. */
  reaches(event: string, since: number): Promise<number>;
  stop(): Promise<void>;
}

export function follow(etcd: EtcdPort, prefix: string, from: number): Follower {
  const seen: string[] = [];
  const told: WatchMessage[] = [];
  const arrivals = new Map<string, number>();
  const stopping = new AbortController();
  const running = (async () => {
    for await (const message of etcd.watch(prefix, from, stopping.signal)) {
      if (message.kind !== 'events') told.push(message);
      else {
        for (const { entry } of message.events) {
          const event = `${entry.modRevision} ${entry.key}`;
          seen.push(event);
          arrivals.set(event, performance.now());
        }
      }
    }
  })();
  return {
    seen,
    told,
    async reaches(event, since) {
      const at = await until(() => arrivals.get(event), {
        what: `the watch to bring ${event}`,
        intervalMs: 5,
      });
      return Math.max(0, Math.round(at - since));
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
