/**
 * Who lives, who is proved dead, and who takes assignments (design §5 "Proof of death", contract §6, M15). A broker gets
 * a new id at every start of its process, so an id is one process.
 */
import type { BrokerPod, Snapshot } from './snapshot.ts';

export type DeathProof =
  /** Its container was started again, and the new process has registered at the same address. */
  | 'ContainerRestarted'
  /** Its container has ended. */
  | 'ContainerEnded'
  /** Its registration's lease has expired and no Pod can still run it. */
  | 'LeaseExpired';

export type Liveness =
  | { readonly state: 'Live' }
  | { readonly state: 'Dead'; readonly proof: DeathProof }
  /** Its registration is gone but its process runs on and may still serve clients (contract §6). */
  | { readonly state: 'Zombie' }
  /** Its registration is gone and a Pod that we cannot account for may run it. */
  | { readonly state: 'Unproven'; readonly podName: string };

export interface BrokerFacts {
  readonly id: string;
  /** The Pod at the broker's address. */
  readonly pod: BrokerPod | undefined;
  readonly liveness: Liveness;
  /** active, draining, drained, or what else stands in its state key. */
  readonly mode: string;
  /** Takes assignments now. */
  readonly accepting: boolean;
}

/** A broker that has reported is assumed to watch its assignments after this long, if its admin port cannot be reached. */
const WATCHING_AFTER_MS = 2000;

/** Facts on every broker that is registered or owns topics, by id. */
export function judgeBrokers(snapshot: Snapshot): ReadonlyMap<string, BrokerFacts> {
  const { metadata } = snapshot;
  const ids = new Set([...metadata.registrations.keys(), ...metadata.topicsOf.keys()]);
  return new Map([...ids].map((id) => [id, judgeBroker(snapshot, id)]));
}

export function judgeBroker(snapshot: Snapshot, id: string): BrokerFacts {
  const { metadata } = snapshot;
  const registration = metadata.registrations.get(id);
  const remembered = snapshot.remembered.get(id);
  const url = registration?.brokerUrl ?? remembered?.brokerUrl;
  const addressed = url === undefined ? undefined : podAt(snapshot, url);
  // A Pod made again under the same name is not the Pod that ran this process.
  const pod =
    registration === undefined && addressed !== undefined && addressed.uid !== remembered?.podUID
      ? undefined
      : addressed;
  const liveness =
    registration === undefined ? judgeUnregistered(snapshot, id, pod) : judgeRegistered(snapshot, id, pod);
  const mode = metadata.states.get(id)?.mode ?? 'active';
  const accepting =
    liveness.state === 'Live' &&
    mode === 'active' &&
    !isSuperseded(snapshot, id) &&
    pod?.deleting !== true &&
    watchesAssignments(snapshot, id);
  return { id, pod, liveness, mode, accepting };
}

/** Registered, and a new registration at its address, or its container's end, may prove it dead all the same. */
function judgeRegistered(snapshot: Snapshot, id: string, pod: BrokerPod | undefined): Liveness {
  const container = pod?.container;
  const reportedAt = snapshot.metadata.reports.get(id)?.timestamp;
  if (container === undefined) return { state: 'Live' };
  if (isSuperseded(snapshot, id)) {
    // Whole seconds on both sides, clocks of the same node: a process of an earlier container cannot have reported
    // after the second in which the present one started.
    const reportedSince =
      container.runningSince !== undefined && reportedAt !== undefined && reportedAt > seconds(container.runningSince);
    return container.restartCount > 0 && !reportedSince
      ? { state: 'Dead', proof: 'ContainerRestarted' }
      : { state: 'Live' };
  }
  // Nothing newer at its address. Strictly before: a status that lags behind must not prove the next process dead.
  const ended =
    container.runningSince === undefined &&
    container.lastFinishedAt !== undefined &&
    reportedAt !== undefined &&
    reportedAt < seconds(container.lastFinishedAt);
  return ended ? { state: 'Dead', proof: 'ContainerEnded' } : { state: 'Live' };
}

function judgeUnregistered(snapshot: Snapshot, id: string, pod: BrokerPod | undefined): Liveness {
  const dead: Liveness = { state: 'Dead', proof: 'LeaseExpired' };
  if (!snapshot.remembered.has(id)) {
    const stranger = snapshot.pods.find((candidate) => mayRunStranger(snapshot, candidate));
    return stranger === undefined ? dead : { state: 'Unproven', podName: stranger.name };
  }
  const container = pod?.container;
  if (container?.runningSince === undefined) return dead;
  const successor = [...snapshot.metadata.registrations.values()].some(
    (registration) => podAt(snapshot, registration.brokerUrl)?.uid === pod?.uid,
  );
  const reportedAt = snapshot.metadata.reports.get(id)?.timestamp;
  const restartedSince =
    container.restartCount > 0 && reportedAt !== undefined && reportedAt < seconds(container.runningSince);
  return successor || restartedSince ? dead : { state: 'Zombie' };
}

/** A Pod with a running container and no registered broker of its own. */
function mayRunStranger(snapshot: Snapshot, pod: BrokerPod): boolean {
  if (pod.container?.runningSince === undefined) return false;
  for (const registration of snapshot.metadata.registrations.values()) {
    if (podAt(snapshot, registration.brokerUrl)?.uid === pod.uid) return false;
  }
  return true;
}

/** A later registration stands at the same address: this id's process is not the one that listens there now. */
function isSuperseded(snapshot: Snapshot, id: string): boolean {
  const registration = snapshot.metadata.registrations.get(id);
  if (registration === undefined) return false;
  for (const other of snapshot.metadata.registrations.values()) {
    if (other.brokerUrl === registration.brokerUrl && other.createRevision > registration.createRevision) return true;
  }
  return false;
}

/**
 * An assignment written before the broker watches is missed for ever (contract §6): its report must be newer than its
 * registration, and either its admin port has answered, which opens last, or some time has passed since the report.
 */
function watchesAssignments(snapshot: Snapshot, id: string): boolean {
  const registration = snapshot.metadata.registrations.get(id);
  const report = snapshot.metadata.reports.get(id);
  if (registration === undefined || report === undefined) return false;
  if (report.modRevision <= registration.createRevision) return false;
  if (snapshot.adminAnswered.has(id)) return true;
  const seenAt = snapshot.reportSeenAt.get(id);
  return seenAt !== undefined && snapshot.now - seenAt >= WATCHING_AFTER_MS;
}

/** The registered broker that runs in this Pod now, if any: the next process after a restart. */
export function brokerInPod(
  snapshot: Snapshot,
  brokers: ReadonlyMap<string, BrokerFacts>,
  podName: string,
): BrokerFacts | undefined {
  let newest: BrokerFacts | undefined;
  let newestRevision = 0;
  for (const facts of brokers.values()) {
    const registration = snapshot.metadata.registrations.get(facts.id);
    if (registration === undefined || facts.pod?.name !== podName || facts.liveness.state !== 'Live') continue;
    if (registration.createRevision > newestRevision) {
      newest = facts;
      newestRevision = registration.createRevision;
    }
  }
  return newest;
}

/** The Pod that a broker's url points at: by address, or by name (`pod.service.namespace.svc…`). */
export function podAt(snapshot: Pick<Snapshot, 'pods' | 'namespace'>, brokerUrl: string): BrokerPod | undefined {
  const host = hostOf(brokerUrl);
  if (host === undefined || isUnspecified(host)) return undefined;
  const [name, service, namespace] = host.split('.');
  return snapshot.pods.find(
    (pod) =>
      pod.ip === host ||
      (pod.name === name && service !== undefined && (namespace === undefined || namespace === snapshot.namespace)),
  );
}

export function hostOf(brokerUrl: string): string | undefined {
  return URL.canParse(brokerUrl) ? new URL(brokerUrl).hostname.replace(/^\[|\]$/g, '') : undefined;
}

/** An address that every Pod may have names none (contract §8: `0.0.0.0` when external access is off). */
function isUnspecified(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === 'localhost' || host === '';
}

function seconds(epochMs: number): number {
  return Math.floor(epochMs / 1000);
}
