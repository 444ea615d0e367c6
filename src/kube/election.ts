/**
 * Leader election on a Kubernetes Lease, by client-go's rules: expiry is judged by the local monotonic clock since the
 * record was last seen to change, never by the times in it. Losing the API server does not end leadership by itself:
 * what leads goes on under its fence, and starts nothing new past `validUntil` (design §4 "API server unreachable").
 * Seeing another holder ends it at once and for good: a process leads once in its life.
 *
 * Who waits does not ask every second: a watch tells of changes, and a timer of the expiry. The watch is only a hint,
 * which may be old or missing; whatever is done upon it begins with a read of the Lease itself.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isConflict, isNotFound, type KubeClient, KubeError, type KubeObject, type Resource } from './client.ts';
import { createListWatch } from './list-watch.ts';

export const LEASES: Resource = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  namespaced: true,
};

export interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

export interface ElectionOptions {
  readonly client: KubeClient;
  readonly lease: { readonly namespace: string; readonly name: string };
  /** Unique to this process. */
  readonly identity: string;
  /** A holder that has not renewed for this long has lost the Lease. Default 8. */
  readonly leaseSeconds?: number;
  /** Past this long after the last renewal nothing new is started. Default 6. */
  readonly renewSeconds?: number;
  /** Between two tries. Default 1. */
  readonly retrySeconds?: number;
  /** Whether this process knows what it needs to act at once. While it does not, it leaves a free Lease to others. Default: it does. */
  readonly isWarm?: () => boolean;
  readonly onLeading: () => void;
  /** Another holder was seen; stop writing at once. */
  readonly onLost: (holder: string) => void;
  readonly onError?: (error: KubeError) => void;
  /** Monotonic milliseconds. */
  readonly monotonic?: () => number;
  readonly wallClock?: () => Date;
  /** Resolves after so many milliseconds, or when `signal` aborts. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface Election {
  start(): void;
  /** Ends trying; hands the Lease over if this process leads. Call it when all work in flight has ended. */
  stop(): Promise<void>;
  isLeading(): boolean;
  /** Monotonic milliseconds until which leadership is certain; 0 when not leading. */
  validUntil(): number;
  /** The last holder seen, '' for none. */
  holder(): string;
  /** Monotonic milliseconds of the loop's last sign of life, for the liveness probe: it must never stop trying. */
  lastTryAt(): number;
}

/** A process that is not warm takes a Lease that has been free for this long: nobody else will. */
const COLD_PATIENCE_MS = 30_000;
/** How often a process asks whether it is warm by now. */
const WARM_EVERY_MS = 100;
/** A waiting replica looks at least this often, for the case that its watch is broken and does not know. */
const LOOK_EVERY_MS = 10_000;

export function createElection(options: ElectionOptions): Election {
  const { client, identity, onLeading, onLost, onError } = options;
  const { leaseSeconds = 8, renewSeconds = 6, retrySeconds = 1, isWarm = () => true } = options;
  const monotonic = options.monotonic ?? (() => performance.now());
  const wallClock = options.wallClock ?? (() => new Date());
  const sleep = options.sleep ?? sleepUntilAborted;
  if (!(leaseSeconds > renewSeconds && renewSeconds > 1.2 * retrySeconds)) {
    throw new Error('the Lease needs leaseSeconds > renewSeconds > 1.2 × retrySeconds');
  }

  const stopped = new AbortController();
  let running: Promise<void> | undefined;
  let observed: { lease: Lease; at: number } | undefined;
  let leading = false;
  let lost = false;
  let validUntil = 0;
  const createdAt = monotonic();
  let lastTryAt = createdAt;
  let pausing = new AbortController();
  /** The last try had no answer: what the Lease did since it was last seen is not known. */
  let blind = false;

  const watch = createListWatch<Lease>({
    client,
    resource: LEASES,
    namespace: options.lease.namespace,
    fieldSelector: `metadata.name=${options.lease.name}`,
    onChange: (_key, lease) => hint(lease),
    ...(onError && { onError }),
  });

  /** What the watch says: undefined for a Lease that was deleted. */
  function hint(lease: Lease | undefined): void {
    const holder = lease?.spec?.holderIdentity;
    // Our own renewals come back, too.
    if (holder === identity) return;
    if (!leading && lease !== undefined) {
      // Older than what we have read: the watch lags.
      if (observed !== undefined && !isNewer(lease, observed.lease)) return;
      observe(lease);
    }
    pausing.abort();
  }

  function observe(lease: Lease): void {
    // Who could not look himself must not take a Lease that its holder, most likely, could not renew either: the holder
    // gets a whole duration after an outage of the API server, so that no leader is lost for it.
    if (observed?.lease.metadata.resourceVersion === lease.metadata.resourceVersion && !blind) return;
    blind = false;
    observed = { lease, at: monotonic() };
  }

  /** Monotonic milliseconds from which the Lease may be taken; a deleted one still binds, for its holder may be at work. */
  function freeAt(): number {
    const { holderIdentity = '', leaseDurationSeconds = leaseSeconds } = observed?.lease.spec ?? {};
    if (holderIdentity === identity) return 0;
    const heldMs = holderIdentity === '' ? 0 : leaseDurationSeconds * 1000;
    return (observed?.at ?? createdAt) + heldMs + (isWarm() ? 0 : COLD_PATIENCE_MS);
  }

  function specHeldByUs(previous: Lease['spec']): NonNullable<Lease['spec']> {
    const now = microTime(wallClock());
    const keeps = previous?.holderIdentity === identity;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: leaseSeconds,
      acquireTime: keeps ? (previous.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (previous?.leaseTransitions ?? 0) + (keeps || previous === undefined ? 0 : 1),
    };
  }

  /** One try to take or renew the Lease. Throws KubeError when the API server does not answer. */
  async function tryOnce(): Promise<void> {
    const sentAt = monotonic();
    const lease = await readLease();
    const holder = lease?.spec?.holderIdentity ?? '';
    if (leading && holder !== '' && holder !== identity) {
      leading = false;
      lost = true;
      validUntil = 0;
      onLost(holder);
      return;
    }
    if (!leading && monotonic() < freeAt()) return;
    const spec = specHeldByUs(lease?.spec);
    const taken =
      lease === undefined
        ? await client.create<Lease>(LEASES, {
            apiVersion: 'coordination.k8s.io/v1',
            kind: 'Lease',
            metadata: options.lease,
            spec,
          })
        : await client.replace<Lease>(LEASES, { ...lease, spec });
    observe(taken);
    won(sentAt);
  }

  /** The Lease itself, not what a cache has; undefined if there is none. */
  async function readLease(): Promise<Lease | undefined> {
    try {
      const lease = await client.get<Lease>(LEASES, options.lease);
      observe(lease);
      return lease;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  function won(sentAt: number): void {
    validUntil = sentAt + renewSeconds * 1000;
    if (leading) return;
    leading = true;
    // A try that was on its way when this process was stopped: nothing may start any more, the Lease is only handed over.
    if (!stopped.signal.aborted) onLeading();
  }

  async function run(): Promise<void> {
    while (!stopped.signal.aborted && !lost) {
      let failed = false;
      lastTryAt = monotonic();
      // From here on a hint is about something that this try may not have seen.
      pausing = new AbortController();
      try {
        await tryOnce();
      } catch (error) {
        if (!(error instanceof KubeError)) throw error;
        failed = true;
        // A conflict means that somebody else was first; the next look tells who.
        if (!isConflict(error)) {
          blind = true;
          onError?.(error);
        }
      }
      await pause(failed);
    }
    await watch.stop();
  }

  /** Until the next try is due: what the watch tells meanwhile brings it forward or puts it off. */
  async function pause(failed: boolean): Promise<void> {
    const from = monotonic();
    while (!stopped.signal.aborted && !lost) {
      const jitter = leading ? 1 : 1 + Math.random() * 0.2;
      const retryMs = retrySeconds * 1000 * jitter;
      const dueMs = leading || failed ? retryMs : Math.max(0, freeAt() - monotonic());
      const warmsUp = !leading && !failed && !isWarm();
      await sleep(Math.min(dueMs, warmsUp ? WARM_EVERY_MS : LOOK_EVERY_MS), pausing.signal);
      const isEarly = pausing.signal.aborted || warmsUp;
      // The leader looks at any hint; who waits looks when the Lease is free, and else sets its timer anew.
      if (!isEarly || leading || failed || freeAt() <= monotonic() || monotonic() - from > LOOK_EVERY_MS) return;
      lastTryAt = monotonic();
      if (pausing.signal.aborted) pausing = new AbortController();
    }
  }

  async function release(): Promise<void> {
    const lease = observed?.lease;
    if (!leading || lease === undefined) return;
    leading = false;
    validUntil = 0;
    try {
      const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(wallClock()) };
      await client.replace<Lease>(LEASES, { ...lease, spec });
    } catch (error) {
      // Not released: it expires by itself.
      if (!(error instanceof KubeError)) throw error;
      onError?.(error);
    }
  }

  return {
    start() {
      if (running !== undefined) return;
      running = run();
      watch.start();
    },
    async stop() {
      stopped.abort();
      pausing.abort();
      await running;
      await release();
    },
    isLeading: () => leading,
    validUntil: () => validUntil,
    holder: () => observed?.lease.spec?.holderIdentity ?? '',
    lastTryAt: () => lastTryAt,
  };
}

/** Versions of one cluster are ordered numbers (Kubernetes 1.35, KEP-5504); where they are not, the next look decides. */
function isNewer(lease: Lease, than: Lease): boolean {
  return Number(lease.metadata.resourceVersion) > Number(than.metadata.resourceVersion);
}

async function sleepUntilAborted(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch((error: Error) => {
    if (error.name !== 'AbortError') throw error;
  });
}

/** RFC 3339 with the six digits that the API server demands of a MicroTime. */
function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}
