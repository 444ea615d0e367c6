/**
 * Who lives, who is proved dead, and who takes assignments (design §5 "Proof of death", contract §6, M15). A broker gets
 * a new id at every start of its process, so an id is one process.
 */
import { createPlaces, hostOf, isAddress, type Places } from './places.ts';
import type { BrokerPod, BrokerReport, Snapshot } from './snapshot.ts';

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

/** Facts on every broker that matters, by id. */
export function judgeBrokers(
  snapshot: Snapshot,
  places: Places = createPlaces(snapshot),
): ReadonlyMap<string, BrokerFacts> {
  return new Map([...brokersThatMatter(snapshot)].map((id) => [id, judgeBroker(snapshot, id, places)]));
}

/** Every broker that is registered, owns topics, or is the source of a topic on its way. */
export function brokersThatMatter({ metadata }: Pick<Snapshot, 'metadata'>): ReadonlySet<string> {
  const sources = [...metadata.markers.values()].flatMap(({ fromBroker }) => fromBroker ?? []);
  return new Set([...metadata.registrations.keys(), ...metadata.topicsOf.keys(), ...sources]);
}

export function judgeBroker(snapshot: Snapshot, id: string, places: Places = createPlaces(snapshot)): BrokerFacts {
  const { metadata } = snapshot;
  const registration = metadata.registrations.get(id);
  const remembered = snapshot.remembered.get(id);
  const url = registration?.brokerUrl ?? remembered?.brokerUrl;
  const addressed = url === undefined ? undefined : places.podAt(url);
  // A Pod made again under the same name is not the Pod that ran this process: what its container did proves nothing.
  const own = places.podWithUid(remembered?.podUID);
  const liveness =
    registration === undefined
      ? judgeUnregistered({ snapshot, places, id, own, addressed })
      : judgeRegistered({ snapshot, places, id, own, addressed });
  const pod = registration === undefined ? own : (own ?? addressed);
  const mode = metadata.states.get(id)?.mode ?? 'active';
  const accepting =
    liveness.state === 'Live' &&
    mode === 'active' &&
    !isSuperseded(snapshot, places, id) &&
    isInPlace(snapshot, id, pod) &&
    watchesAssignments(snapshot, id);
  return { id, pod, liveness, mode, accepting };
}

/** A broker, its own Pod, and the Pod that is now at its address. */
interface Case {
  readonly snapshot: Snapshot;
  readonly places: Places;
  readonly id: string;
  readonly own: BrokerPod | undefined;
  readonly addressed: BrokerPod | undefined;
}

/** Registered, and a new registration at its address, or its container's end, may prove it dead all the same. */
function judgeRegistered({ snapshot, places, id, own }: Case): Liveness {
  const container = own?.container;
  const reportedAt = snapshot.metadata.reports.get(id)?.timestamp;
  if (container === undefined) {
    // A process does not come back to life because the Pod that proved its end has been deleted, as in every roll-out.
    return snapshot.deadSince.has(id) ? { state: 'Dead', proof: 'ContainerEnded' } : { state: 'Live' };
  }
  const { runningSince, lastFinishedAt, restartCount } = container;
  if (isSuperseded(snapshot, places, id)) {
    // Whole seconds on both sides, clocks of the same node: a process of an earlier container cannot have reported
    // after the second in which the present one started, or in which the last one ended.
    const since = runningSince ?? lastFinishedAt;
    const reportedSince = since !== undefined && reportedAt !== undefined && reportedAt > seconds(since);
    return restartCount > 0 && !reportedSince ? { state: 'Dead', proof: 'ContainerRestarted' } : { state: 'Live' };
  }
  // Nothing newer at its address. Strictly before: a status that lags behind must not prove the next process dead.
  const ended =
    runningSince === undefined &&
    lastFinishedAt !== undefined &&
    reportedAt !== undefined &&
    reportedAt < seconds(lastFinishedAt);
  return ended ? { state: 'Dead', proof: 'ContainerEnded' } : { state: 'Live' };
}

/**
 * Its lease has expired: dead, unless a Pod may still run it. That is its own Pod, or the one that is now at its address
 * (we may have taken it for one of the Pod before), or any Pod without a broker if its Pod was never known.
 */
function judgeUnregistered({ snapshot, places, id, own, addressed }: Case): Liveness {
  const dead: Liveness = { state: 'Dead', proof: 'LeaseExpired' };
  const report = snapshot.metadata.reports.get(id);
  if (snapshot.remembered.get(id)?.podUID === undefined) {
    const stranger = snapshot.pods.find((pod) => mayRun(pod, report) && places.newestIn(pod) === 0);
    return stranger === undefined ? dead : { state: 'Unproven', podName: stranger.name };
  }
  const pod = own ?? addressed;
  // A registration from before this broker's last report is of a process that came before it.
  if (pod === undefined || !mayRun(pod, report) || places.newestIn(pod) > (report?.modRevision ?? 0)) return dead;
  return pod === own && pod.container?.runningSince !== undefined
    ? { state: 'Zombie' }
    : { state: 'Unproven', podName: pod.name };
}

/**
 * Whether the process that reported last at that time may be the one in the Pod's container: it cannot have reported before
 * it started. A container that the status shows as ended may run again if something has reported since: the status lags.
 */
function mayRun({ container }: BrokerPod, report: BrokerReport | undefined): boolean {
  if (container === undefined) return false;
  const { runningSince, lastFinishedAt } = container;
  if (report?.timestamp === undefined) return runningSince !== undefined;
  const since = runningSince ?? lastFinishedAt;
  return since !== undefined && report.timestamp >= seconds(since);
}

/** A later registration stands at the same address: this id's process is not the one that listens there now. */
export function isSuperseded({ metadata }: Pick<Snapshot, 'metadata'>, places: Places, id: string): boolean {
  const registration = metadata.registrations.get(id);
  if (registration === undefined || places.newestAt(registration.brokerUrl) <= registration.createRevision)
    return false;
  return isAddress(registration.brokerUrl);
}

/** Not if its Pod is going or gone, or its container has ended or started again since its last report. */
function isInPlace(snapshot: Snapshot, id: string, pod: BrokerPod | undefined): boolean {
  if (pod === undefined) return snapshot.remembered.get(id)?.podUID === undefined;
  const report = snapshot.metadata.reports.get(id);
  if (pod.deleting || report === undefined) return false;
  const { timestamp: reportedAt } = report;
  const { runningSince, lastFinishedAt } = pod.container ?? {};
  if (reportedAt === undefined) return runningSince !== undefined;
  if (runningSince !== undefined) return reportedAt >= seconds(runningSince);
  return lastFinishedAt === undefined || reportedAt > seconds(lastFinishedAt);
}

/**
 * An assignment written before the broker watches is missed for ever (contract §6): its report must be newer than its
 * registration, and either its admin port has answered, which opens last, or some time has passed since the report.
 */
function watchesAssignments(snapshot: Snapshot, id: string): boolean {
  const registration = snapshot.metadata.registrations.get(id);
  if (registration === undefined || !hasReported(snapshot, id)) return false;
  // Its registration cannot be read: nobody could be sent to it.
  if (hostOf(registration.brokerUrl) === undefined) return false;
  if (snapshot.adminAnswered.has(id) && isAddress(registration.brokerUrl)) return true;
  const seenAt = snapshot.reportSeenAt.get(id);
  return seenAt !== undefined && snapshot.now - seenAt >= WATCHING_AFTER_MS;
}

/** Whether it has reported since it registered. */
export function hasReported({ metadata }: Pick<Snapshot, 'metadata'>, id: string): boolean {
  const registration = metadata.registrations.get(id);
  const report = metadata.reports.get(id);
  return registration !== undefined && report !== undefined && report.modRevision > registration.createRevision;
}

/** The live registered broker that runs in each Pod now, by the Pod's name: the next process after a restart. */
export function brokersByPod(
  { metadata }: Pick<Snapshot, 'metadata'>,
  brokers: ReadonlyMap<string, BrokerFacts>,
): ReadonlyMap<string, BrokerFacts> {
  const newest = new Map<string, BrokerFacts>();
  const revisionOf = (facts: BrokerFacts | undefined) =>
    (facts && metadata.registrations.get(facts.id)?.createRevision) ?? 0;
  for (const facts of brokers.values()) {
    if (facts.pod === undefined || facts.liveness.state !== 'Live') continue;
    const known = newest.get(facts.pod.name);
    if (revisionOf(facts) > revisionOf(known)) newest.set(facts.pod.name, facts);
  }
  return newest;
}

function seconds(epochMs: number): number {
  return Math.floor(epochMs / 1000);
}
