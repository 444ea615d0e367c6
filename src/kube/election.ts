/**
 * Leader election on a Kubernetes Lease, by client-go's rules: expiry is judged by the local monotonic clock since the
 * record was last seen to change, never by the times in it. Losing the API server does not end leadership by itself:
 * what leads goes on under its fence, and starts nothing new past `validUntil` (design §4 "API server unreachable").
 * Seeing another holder ends it at once and for good: a process leads once in its life.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isConflict, isNotFound, type KubeClient, KubeError, type KubeObject, type Resource } from './client.ts';

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
  readonly onLeading: () => void;
  /** Another holder was seen; stop writing at once. */
  readonly onLost: (holder: string) => void;
  readonly onError?: (error: KubeError) => void;
  /** Monotonic milliseconds. */
  readonly monotonic?: () => number;
  readonly wallClock?: () => Date;
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
  /** Monotonic milliseconds of the last try, for the liveness probe: the loop itself must not hang. */
  lastTryAt(): number;
}

export function createElection(options: ElectionOptions): Election {
  const { client, identity, onLeading, onLost, onError } = options;
  const { leaseSeconds = 8, renewSeconds = 6, retrySeconds = 1 } = options;
  const monotonic = options.monotonic ?? (() => performance.now());
  const wallClock = options.wallClock ?? (() => new Date());
  if (!(leaseSeconds > renewSeconds && renewSeconds > 1.2 * retrySeconds)) {
    throw new Error('the Lease needs leaseSeconds > renewSeconds > 1.2 × retrySeconds');
  }

  const stopped = new AbortController();
  let running: Promise<void> | undefined;
  let observed: { lease: Lease; at: number } | undefined;
  let leading = false;
  let lost = false;
  let validUntil = 0;
  let lastTryAt = monotonic();

  function observe(lease: Lease): void {
    if (observed?.lease.metadata.resourceVersion === lease.metadata.resourceVersion) return;
    observed = { lease, at: monotonic() };
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
    try {
      observe(await client.get<Lease>(LEASES, options.lease));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      observe(
        await client.create<Lease>(LEASES, {
          apiVersion: 'coordination.k8s.io/v1',
          kind: 'Lease',
          metadata: options.lease,
          spec: specHeldByUs(undefined),
        }),
      );
      won(sentAt);
      return;
    }
    if (observed === undefined) return;
    const { lease, at } = observed;
    const holder = lease.spec?.holderIdentity ?? '';
    const expiresAt = at + (lease.spec?.leaseDurationSeconds ?? leaseSeconds) * 1000;
    if (holder !== '' && holder !== identity) {
      if (leading) {
        leading = false;
        lost = true;
        validUntil = 0;
        onLost(holder);
        return;
      }
      if (monotonic() < expiresAt) return;
    }
    const taken = await client.replace<Lease>(LEASES, { ...lease, spec: specHeldByUs(lease.spec) });
    observe(taken);
    won(sentAt);
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
      lastTryAt = monotonic();
      try {
        await tryOnce();
      } catch (error) {
        if (!(error instanceof KubeError)) throw error;
        // A conflict means that somebody else was first; the next look tells who.
        if (!isConflict(error)) onError?.(error);
      }
      const jitter = leading ? 1 : 1 + Math.random() * 0.2;
      await delay(retrySeconds * 1000 * jitter, undefined, { signal: stopped.signal }).catch((error: Error) => {
        if (error.name !== 'AbortError') throw error;
      });
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
      running ??= run();
    },
    async stop() {
      stopped.abort();
      await running;
      await release();
    },
    isLeading: () => leading,
    validUntil: () => validUntil,
    holder: () => observed?.lease.spec?.holderIdentity ?? '',
    lastTryAt: () => lastTryAt,
  };
}

/** RFC 3339 with the six digits that the API server demands of a MicroTime. */
function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}
