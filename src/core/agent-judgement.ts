/**
 * Whether what an agent says of its broker can be used (issue: lies). Figures that may be another container's, or that
 * cannot be true, are worse than none: nothing is ranked by them. Each refusal says what to do, and each ends with the
 * next good report. Ages are measured by the operator's own clock, from when a sample first came: clocks of nodes differ.
 */
import type { AgentRecord, AgentSample, SeenSample, TopicsSummary } from './agent-record.ts';
import type { BrokerContainer, BrokerPod, ContainerLimits } from './snapshot.ts';

export type UnusableReason = 'NoAgent' | 'Stale' | 'BrokerNotFound' | 'WrongCgroup' | 'Implausible';

export type Judgement =
  | { readonly usable: true; readonly sample: AgentSample }
  | { readonly usable: false; readonly reason: UnusableReason; readonly message: string };

type Refusal = Extract<Judgement, { usable: false }>;

/** Pulls come every few seconds; a sample counts for this long, or for three of the agent's intervals. */
const STALE_AFTER_MS = 30_000;
const STALE_AFTER_INTERVALS = 3;
/** However long the agent says its interval is. */
const STALE_AFTER_AT_MOST_MS = 300_000;

/** No clock that anybody looks after is off by more. */
const CLOCK_TOLERANCE_MS = 300_000;

/** A process is made before its container counts as started, on a busy node by seconds. */
const START_TOLERANCE_MS = 10_000;
/** The API gives whole seconds, and a sample takes a moment. */
const RESTART_TOLERANCE_MS = 2_000;

/** The kernel enforces CPU limits per period (0.1 s): an interval may end with most of a period too much, and with a burst. */
const CPU_TOLERANCE = 1.1;
const CPU_PERIODS_SECONDS = 0.2;
/** However short the agent says its interval is: a burst excuses only so much. */
const MIN_INTERVAL_SECONDS = 1;
/** The kernel charges memory in batches per CPU. */
const MEMORY_TOLERANCE = 1.05;
/** The kubelet rounds limits to what the kernel can count. */
const LIMIT_TOLERANCE = 0.02;

/**
 * More than any machine does or has. Where nothing else bounds a figure this does: one broker's must not weigh more than all others
 * together, whatever it says. Of messages there may be more than of anything else: offsets are skipped when they are resumed.
 */
export const most = { bytesPerSecond: 1e12, bytes: 1e15, cores: 1e5, count: 1e9, messages: 1e12 } as const;

/** `now`: epoch ms by the same clock as the record's. */
export function judgeAgent(record: AgentRecord | undefined, pod: BrokerPod | undefined, now: number): Judgement {
  if (pod === undefined) return refuse('NoAgent', 'the broker has no Pod');
  const failure = record?.failure;
  if (failure?.kind === 'Unusable') {
    return refuse('Implausible', `the agent's answer cannot be used: ${failure.message}`);
  }
  if (record?.last === undefined) {
    const why = failure === undefined ? '' : `: ${failure.message}`;
    return refuse('NoAgent', `no agent has answered at Pod ${pod.name}${why}`);
  }
  const last = { ...record.last, sample: ownFigures(record.last.sample, pod) };
  return (
    judgeAge(last, record, now) ??
    judgeClock(last) ??
    judgeBroker(last.sample, pod.container) ??
    judgeLimits(last.sample, pod.container?.limits) ??
    judgeMagnitudes(last.sample) ??
    judgeFigures(last, pod.container?.limits) ?? { usable: true, sample: last.sample }
  );
}

/** The sample without what is not the broker's own: in the network of its node, all traffic of the node is seen. */
export function ownFigures(sample: AgentSample, pod: BrokerPod): AgentSample {
  return pod.hostNetwork ? { ...sample, network: UNKNOWN_NETWORK } : sample;
}

const UNKNOWN_NETWORK = { source: null, receivedBytesPerSecond: null, sentBytesPerSecond: null, errorsPerSecond: null };

function judgeAge({ sample, seenAt, aheadMs, isFollowing }: SeenSample, { failure }: AgentRecord, now: number) {
  const ageMs = now - seenAt;
  const staleAfterMs = Math.min(
    Math.max(STALE_AFTER_MS, STALE_AFTER_INTERVALS * sample.intervalSeconds * 1000),
    STALE_AFTER_AT_MOST_MS,
  );
  if (ageMs > staleAfterMs) {
    const why =
      failure?.message ??
      `the agent answers with sample ${sample.sequence} again and again; restart its container if that goes on`;
    return refuse('Stale', `the last report is ${seconds(ageMs)} s old: ${why}`);
  }
  // After a start of ours a sample may be of long ago, or of a clock that is behind: the next one will tell.
  if (-aheadMs > CLOCK_TOLERANCE_MS && !isFollowing) {
    const behind = `the first report is ${seconds(-aheadMs)} s old by the clock of its node`;
    return refuse('Stale', `${behind}; it is used when the next one comes, or restart the agent's container`);
  }
  return undefined;
}

/** Delays make reports look old, never new: the clock that dates this one is wrong, or somebody made it up. */
function judgeClock({ aheadMs }: SeenSample): Refusal | undefined {
  if (aheadMs <= CLOCK_TOLERANCE_MS) return undefined;
  const ahead = `the report is dated ${seconds(aheadMs)} s in the future`;
  return refuse('Implausible', `${ahead}; check the clocks of the Pod's node and of the operator's`);
}

function judgeBroker(sample: AgentSample, container: BrokerContainer | undefined): Refusal | undefined {
  const { broker, identity, reason, observedAt } = sample;
  if (broker === null) return refuse('BrokerNotFound', reason ?? 'the agent does not find the broker');
  if (identity.state === 'unproven') {
    const why = identity.reason ?? 'the agent does not say why';
    return refuse('WrongCgroup', `the figures may be those of another container: ${why}`);
  }
  const runningSince = container?.runningSince;
  if (runningSince === undefined || broker.startedAt >= runningSince - START_TOLERANCE_MS) return undefined;
  if (observedAt <= runningSince + RESTART_TOLERANCE_MS) {
    return refuse('Stale', 'the last report is of the process that ran before the container was restarted');
  }
  const older = `process ${broker.pid} is ${seconds(runningSince - broker.startedAt)} s older than the broker's container`;
  return refuse('Implausible', `${older}; see which process listens at the broker's port, or restart the Pod`);
}

/** Limits that are not the Pod's are those of another container. None where there should be one is no proof: kubelets may leave CPU quotas out. */
function judgeLimits({ cpu, memory, node }: AgentSample, limits: ContainerLimits | undefined): Refusal | undefined {
  const differs = (found: number, wanted: number) => Math.abs(found - wanted) > LIMIT_TOLERANCE * wanted;
  const wrong = (what: string, found: number, wanted: number) =>
    refuse(
      'WrongCgroup',
      `the ${what} limit of the cgroup is ${found}, that of the Pod ${wanted}; ` +
        'see which container the agent looks at (the report names its way as mode)',
    );
  const { limitCores } = cpu;
  if (limitCores !== null && limits?.cpuCores !== undefined) {
    // Below 10m the kernel's smallest quota holds.
    if (differs(limitCores, Math.max(limits.cpuCores, 0.01))) return wrong('CPU', limitCores, limits.cpuCores);
  }
  const { limitBytes } = memory;
  if (limitBytes !== null && limits?.memoryBytes !== undefined && differs(limitBytes, limits.memoryBytes)) {
    // In cgroup v1 the limit of all Pods together holds, too; it is close to the node's memory.
    const isOfNode = limitBytes < limits.memoryBytes && node.memoryBytes !== null && limitBytes > node.memoryBytes / 2;
    if (!isOfNode) return wrong('memory', limitBytes, limits.memoryBytes);
  }
  return undefined;
}

function judgeMagnitudes({ cpu, memory, disk, network, node, topics }: AgentSample): Refusal | undefined {
  const bounded: readonly (readonly [name: string, figure: number | null, most: number])[] = [
    ['cpu.limitCores', cpu.limitCores, most.cores],
    ['memory.limitBytes', memory.limitBytes, most.bytes],
    ['node.cores', node.cores, most.cores],
    ['node.memoryBytes', node.memoryBytes, most.bytes],
    ['disk.readBytesPerSecond', disk.readBytesPerSecond, most.bytesPerSecond],
    ['disk.writeBytesPerSecond', disk.writeBytesPerSecond, most.bytesPerSecond],
    ['network.receivedBytesPerSecond', network.receivedBytesPerSecond, most.bytesPerSecond],
    ['network.sentBytesPerSecond', network.sentBytesPerSecond, most.bytesPerSecond],
    ...(topics === null ? [] : topicFigures(topics)),
  ];
  const beyond = bounded.find(([, figure, bound]) => figure !== null && figure > bound);
  if (beyond === undefined) return undefined;
  const [name, figure, bound] = beyond;
  const found = `${name} is ${figure}, and nothing does or has more than ${bound}`;
  return refuse('Implausible', `${found}; see what answers at the agent's port, and restart its container`);
}

function topicFigures({ messagesOutPerSecond, bytesOutPerSecond, busiest }: TopicsSummary) {
  return [
    ['messages out of all topics', messagesOutPerSecond, most.count],
    ['bytes out of all topics', bytesOutPerSecond, most.bytesPerSecond],
    ...busiest.flatMap((topic) => [
      [`CPU of ${topic.topic}`, topic.cpuCores, most.cores] as const,
      [`bytes in of ${topic.topic}`, topic.bytesInPerSecond, most.bytesPerSecond] as const,
      [`bytes out of ${topic.topic}`, topic.bytesOutPerSecond, most.bytesPerSecond] as const,
      [`lag of ${topic.topic}`, topic.lagMessages, most.messages] as const,
    ]),
  ] as const;
}

function judgeFigures({ sample, contradiction }: SeenSample, limits: ContainerLimits | undefined): Refusal | undefined {
  if (contradiction !== undefined) return refuse('Implausible', contradiction);
  const { cpu, memory, node, intervalSeconds } = sample;
  const atLimit = CPU_TOLERANCE + CPU_PERIODS_SECONDS / Math.max(intervalSeconds, MIN_INTERVAL_SECONDS);
  const cores = boundsOf([
    { name: 'of the node', most: node.cores, tolerance: CPU_TOLERANCE },
    { name: 'of its limit', most: cpu.limitCores, tolerance: atLimit },
  ]) ?? [{ name: "of the Pod's limit", most: limits?.cpuCores, tolerance: atLimit }];
  const bytes = boundsOf([
    { name: 'of the limit', most: memory.limitBytes, tolerance: MEMORY_TOLERANCE },
    { name: "of the node's memory", most: node.memoryBytes, tolerance: MEMORY_TOLERANCE },
  ]) ?? [{ name: "of the Pod's limit", most: limits?.memoryBytes, tolerance: MEMORY_TOLERANCE }];
  return (
    judgeFigure('cores', cpu.cores, cores) ??
    judgeFigure('cores on average', cpu.averageCores, cores) ??
    judgeFigure('bytes of memory', memory.workingSetBytes, bytes) ??
    judgeFigure('bytes of memory on average', memory.averageWorkingSetBytes, bytes)
  );
}

interface Bound {
  readonly name: string;
  /** Nullish is unknown, and no limit. */
  readonly most: number | null | undefined;
  readonly tolerance: number;
}

/** The Pod's own limit is asked for only where this is undefined: kubelets may not enforce it. */
function boundsOf(bounds: readonly Bound[]): readonly Bound[] | undefined {
  return bounds.some(({ most }) => most !== null) ? bounds : undefined;
}

/** What nothing bounds cannot be judged, so it is not believed: every machine has a size. */
function judgeFigure(what: string, figure: number | null, bounds: readonly Bound[]): Refusal | undefined {
  if (figure === null) return undefined;
  if (bounds.every(({ most }) => most == null)) {
    const unbounded = `${figure} ${what} are in use, and neither a limit nor the size of the node is known`;
    return refuse('Implausible', `${unbounded}; give the broker's container limits, or see why the agent cannot tell`);
  }
  const broken = bounds.find(({ most, tolerance }) => most != null && figure > most * tolerance);
  if (broken === undefined) return undefined;
  const found = `${figure} ${what} in use are more than the ${broken.most} ${broken.name}`;
  return refuse('Implausible', `${found}; compare with kubectl top, and restart the agent's container`);
}

function refuse(reason: UnusableReason, message: string): Refusal {
  return { usable: false, reason, message };
}

function seconds(ms: number): number {
  return Math.round(ms / 1000);
}
