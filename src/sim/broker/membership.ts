/**
 * A broker's place in the cluster: its registration, and its part in the brokers' own election (contract 3, 6). A leading
 * simulated broker does none of the leader's work: placement is what the load manager under test is for.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { LEADER_KEY, registrationKey } from '../../danube/keys.ts';
import { decodeLeader, encodeRegistration, type Registration } from '../../danube/values.ts';
import type { EtcdPort } from '../../etcd/port.ts';
import type { Metrics } from './metrics.ts';
import { put } from './write.ts';

export interface MembershipDependencies {
  readonly etcd: EtcdPort;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly brokerId: string;
  readonly signal: AbortSignal;
}

const REGISTRATION_TTL_SECONDS = 32;
const REGISTRATION_RENEWAL_MS = 10_000;
const LEADER_TTL_SECONDS = 14;
const LEADER_RENEWAL_MS = 7_000;
const ELECTION_INTERVAL_MS = 10_000;

/** Resolves when the registration is written; it is renewed from then on. @throws EtcdError */
export async function register(deps: MembershipDependencies, registration: Registration): Promise<void> {
  const lease = await deps.etcd.grantLease(REGISTRATION_TTL_SECONDS);
  await put(deps.etcd, registrationKey(deps.brokerId), encodeRegistration(registration), lease);
  keepAlive(deps, lease, REGISTRATION_RENEWAL_MS, () => {
    // A zombie: it goes on serving what it has and never registers again (contract 6).
    deps.log.error('lease not found: this broker is no longer registered and will not be again');
  });
}

/** Resolves after the first check; the election goes on every ten seconds. */
export async function joinElection(deps: MembershipDependencies): Promise<void> {
  const goesOn = await electOnce(deps);
  if (goesOn) electForever(deps).catch((error: unknown) => deps.log.error({ err: error }, 'election stopped'));
}

async function electForever(deps: MembershipDependencies): Promise<void> {
  for (;;) {
    await pause(ELECTION_INTERVAL_MS, deps.signal);
    if (deps.signal.aborted || !(await electOnce(deps))) return;
  }
}

/** False when the election is frozen for the rest of the process' life. */
async function electOnce(deps: MembershipDependencies): Promise<boolean> {
  const { etcd, log, brokerId } = deps;
  try {
    const entry = await etcd.get(LEADER_KEY);
    if (!entry) {
      // Get, then put without a comparison: several brokers may do this at once, and the last one wins (contract 3).
      const lease = await etcd.grantLease(LEADER_TTL_SECONDS);
      await put(etcd, LEADER_KEY, brokerId, lease);
      keepAlive(deps, lease, LEADER_RENEWAL_MS, () => log.info('leader lease lost'));
      setLeading(deps, true);
      return true;
    }
    const leader = decodeLeader(entry.value);
    if (!leader.ok) {
      // The real one panics here, and its state stays what it was.
      log.error({ problem: leader.problem }, 'leader key is not a u64: election frozen');
      return false;
    }
    setLeading(deps, leader.value === brokerId);
  } catch (error) {
    log.warn({ err: error }, 'election check failed');
  }
  return true;
}

function setLeading({ metrics }: MembershipDependencies, leading: boolean): void {
  metrics.set('danube_leader_election_state', {}, leading ? 1 : 0);
}

function keepAlive(deps: MembershipDependencies, lease: string, intervalMs: number, onLost: () => void): void {
  async function renew(): Promise<void> {
    for (;;) {
      await pause(intervalMs, deps.signal);
      if (deps.signal.aborted) return;
      try {
        if ((await deps.etcd.keepAliveLease(lease)) > 0) continue;
        onLost();
        return;
      } catch (error) {
        deps.log.warn({ lease, err: error }, 'lease not renewed; trying again at the next interval');
      }
    }
  }
  renew().catch((error: unknown) => deps.log.error({ err: error }, 'lease renewal stopped'));
}

/** Ends early, without an error, when the process is told to stop. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
