import type { Problem } from './problem.ts';

/**
 * The report that the agent serves and the operator pulls (design §2), and the check that the operator applies to it.
 * Unknown is null, never 0. A limit is null when there is none, too. Nothing here depends on any package: the agent must stay
 * small.
 */
export interface AgentReport {
  readonly version: typeof reportVersion;
  readonly pod: PodIdentity;
  /** Epoch milliseconds of the sample: a report whose sampling has stalled shows its age. */
  readonly observedAt: number;
  readonly intervalSeconds: number;
  /** Counts the samples since `agentStartedAt`, from 1: the two together never repeat. */
  readonly sequence: number;
  /** Epoch milliseconds. */
  readonly agentStartedAt: number;
  /** How the broker was looked for; null when it was not found. */
  readonly mode: Mode | null;
  readonly identity: Identity;
  readonly broker: BrokerIdentity | null;
  /** Why CPU and memory are not those of a cgroup; null when they are. */
  readonly reason: string | null;
  readonly cpu: CpuFigures;
  readonly memory: MemoryFigures;
  readonly disk: DiskFigures;
  readonly network: NetworkFigures;
  readonly fileDescriptors: FileDescriptorFigures;
  readonly node: NodeFigures;
  /** Null when the broker's metrics endpoint is not configured or could not be read; `topicsReason` says why. */
  readonly topics: TopicsReport | null;
  readonly topicsReason: string | null;
  /** The request's nonce, so that a stale or foreign answer is noticed. Absent when the request had none. */
  readonly nonce?: string;
}

export interface PodIdentity {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
}

/**
 * `self`: agent and broker share a container; `shared-pid`: they are containers that see each other's processes;
 * `host`: the agent reads the cgroups of the node and finds the container by the Pod's uid.
 */
export type Mode = (typeof modes)[number];

/**
 * `proven`: the broker's pid is in cgroup.procs of a container's cgroup that is not the agent's own (in mode `self`: that
 * is the agent's too), and its limits agree with those of the Pod, where the agent was told them.
 */
export interface Identity {
  readonly state: 'proven' | 'unproven';
  /** Why it is unproven; when proven, what a reader of the figures should know besides, or null. */
  readonly reason: string | null;
}

/** One run of the broker's process; a restart changes at least one of the two. */
export interface BrokerIdentity {
  readonly pid: number;
  /** Epoch milliseconds. */
  readonly startedAt: number;
}

/**
 * Where figures come from: the broker's cgroup, the broker's process alone (`proc`), or the machine as a whole as
 * `node:os` shows it where there is no /proc (`os`).
 */
export type Source = (typeof sources)[number];

/** Shares of the last interval, 0 to 1, in which at least one task (`some`) or all of them (`full`) waited (PSI). */
export interface Pressure {
  readonly someShare: number | null;
  readonly fullShare: number | null;
}

/** Figures are null when their group's source is. Rates are null for the first sample of a series. */
export interface CpuFigures {
  readonly source: Source | null;
  /** Cumulative CPU seconds. */
  readonly usageSeconds: number | null;
  /** Mean over the last interval. */
  readonly cores: number | null;
  /** Exponentially weighted, over about a minute. */
  readonly averageCores: number | null;
  readonly limitCores: number | null;
  /** Share of the last interval's enforcement periods in which the limit held the broker up, 0 to 1. */
  readonly throttledShare: number | null;
  /** Cumulative. */
  readonly throttledSeconds: number | null;
  readonly pressure: Pressure | null;
}

export interface MemoryFigures {
  readonly source: Source | null;
  /** What the kernel cannot simply drop: usage without inactive file pages; for `proc` the resident set. */
  readonly workingSetBytes: number | null;
  /** Exponentially weighted, over about a minute. */
  readonly averageWorkingSetBytes: number | null;
  /** All memory charged, page cache included; unknown for `proc`. */
  readonly usageBytes: number | null;
  readonly limitBytes: number | null;
  /** Cumulative. */
  readonly oomKills: number | null;
  readonly pressure: Pressure | null;
}

export interface DiskFigures {
  readonly source: Source | null;
  readonly readBytesPerSecond: number | null;
  readonly writeBytesPerSecond: number | null;
  readonly readsPerSecond: number | null;
  readonly writesPerSecond: number | null;
  readonly pressure: Pressure | null;
}

/** Of the whole Pod's network namespace, the loopback device left out. */
export interface NetworkFigures {
  readonly source: Source | null;
  readonly receivedBytesPerSecond: number | null;
  readonly sentBytesPerSecond: number | null;
  readonly errorsPerSecond: number | null;
}

/** Of the broker's process. */
export interface FileDescriptorFigures {
  readonly source: Source | null;
  readonly open: number | null;
  readonly limit: number | null;
}

export interface NodeFigures {
  readonly cores: number | null;
  readonly memoryBytes: number | null;
}

export interface TopicsReport {
  /** Epoch milliseconds of the reading of the broker's metrics. */
  readonly observedAt: number;
  /** Opaque: `GET /report?since=<cursor>` lists what has changed since this reading. */
  readonly cursor: string;
  /** Whether `entries` are all topics above the threshold, or only some: those changed since a cursor, or one by its name. */
  readonly complete: boolean;
  /** Topics that the broker serves now. */
  readonly total: number;
  readonly columns: typeof topicColumns;
  /** Each topic once, in the order of UTF-16 code units (that of `<`), with a figure for each column. */
  readonly entries: readonly TopicEntry[];
  /** The topics below the threshold, summed. */
  readonly rest: { readonly topics: number; readonly figures: readonly (number | null)[] };
  /** Topics that the report of the cursor listed and that are served no more, or are below the threshold now. */
  readonly gone?: readonly string[];
}

export type TopicEntry = readonly [topic: string, ...figures: (number | null)[]];

export const reportVersion = 2;
const modes = ['self', 'shared-pid', 'host'] as const;
const sources = ['cgroup-v1', 'cgroup-v2', 'proc', 'os'] as const;

/** Per second: messages and bytes, in and out. Now: connections, and the messages not yet consumed. `cpu`: cores. */
export const topicColumns = [
  'messagesIn',
  'bytesIn',
  'messagesOut',
  'bytesOut',
  'producers',
  'consumers',
  'lag',
  'cpu',
] as const;

export const bounds = {
  reportCharacters: 1_048_576,
  /** Names of Kubernetes objects end at 253; uids are 36. */
  nameCharacters: 253,
  reasonCharacters: 1_024,
  topics: 20_000,
  topicCharacters: 1_024,
  cursorCharacters: 128,
} as const;

export const noncePattern = /^[A-Za-z0-9-]{1,64}$/;

/**
 * Reads a report as it came over the wire. Every field is checked, and those that must agree with each other are;
 * fields it does not know are left out, so that a newer agent can be read.
 *
 * @returns the report, or `{problem}` that names the first offending field.
 */
export function parseReport(text: string): AgentReport | Problem {
  if (text.length > bounds.reportCharacters) return { problem: `longer than ${bounds.reportCharacters} characters` };
  try {
    return checkReport(JSON.parse(text));
  } catch (error) {
    if (error instanceof FieldError) return { problem: error.message };
    if (error instanceof SyntaxError) return { problem: `not JSON: ${error.message}` };
    throw error;
  }
}

/** Thrown by the checks below and caught by parseReport alone: nested checks stay one line each. */
class FieldError extends Error {}

function checkReport(value: unknown): AgentReport {
  const report = object('report', value);
  if (report.version !== reportVersion) {
    throw new FieldError(
      `version: want ${reportVersion}, got ${shown(report.version)}; use agent and operator of one release`,
    );
  }
  const pod = object('pod', report.pod);
  const broker = nullable(report.broker, (it) => object('broker', it));
  const node = object('node', report.node);
  return checkAgreement({
    version: reportVersion,
    pod: {
      name: boundedText('pod.name', pod.name, bounds.nameCharacters),
      namespace: boundedText('pod.namespace', pod.namespace, bounds.nameCharacters),
      uid: boundedText('pod.uid', pod.uid, bounds.nameCharacters),
    },
    observedAt: quantity('observedAt', report.observedAt),
    intervalSeconds: quantity('intervalSeconds', report.intervalSeconds),
    sequence: wholeNumber('sequence', report.sequence, 1),
    agentStartedAt: quantity('agentStartedAt', report.agentStartedAt),
    mode: nullable(report.mode, (it) => oneOf('mode', it, modes)),
    identity: checkIdentity(report.identity),
    broker: broker && {
      pid: wholeNumber('broker.pid', broker.pid, 1),
      startedAt: quantity('broker.startedAt', broker.startedAt),
    },
    reason: checkReason('reason', report.reason),
    cpu: checkCpu(report.cpu),
    memory: checkMemory(report.memory),
    disk: checkDisk(report.disk),
    network: checkNetwork(report.network),
    fileDescriptors: checkFileDescriptors(report.fileDescriptors),
    node: {
      cores: quantityOrNull('node.cores', node.cores),
      memoryBytes: quantityOrNull('node.memoryBytes', node.memoryBytes),
    },
    topics: nullable(report.topics, checkTopics),
    topicsReason: checkReason('topicsReason', report.topicsReason),
    ...(report.nonce === undefined ? {} : { nonce: checkNonce(report.nonce) }),
  });
}

function checkIdentity(value: unknown): Identity {
  const identity = object('identity', value);
  return {
    state: oneOf('identity.state', identity.state, ['proven', 'unproven'] as const),
    reason: checkReason('identity.reason', identity.reason),
  };
}

function checkCpu(value: unknown): CpuFigures {
  const cpu = object('cpu', value);
  return {
    source: checkSource('cpu.source', cpu.source),
    usageSeconds: quantityOrNull('cpu.usageSeconds', cpu.usageSeconds),
    cores: quantityOrNull('cpu.cores', cpu.cores),
    averageCores: quantityOrNull('cpu.averageCores', cpu.averageCores),
    limitCores: quantityOrNull('cpu.limitCores', cpu.limitCores),
    throttledShare: shareOrNull('cpu.throttledShare', cpu.throttledShare),
    throttledSeconds: quantityOrNull('cpu.throttledSeconds', cpu.throttledSeconds),
    pressure: checkPressure('cpu.pressure', cpu.pressure),
  };
}

function checkMemory(value: unknown): MemoryFigures {
  const memory = object('memory', value);
  return {
    source: checkSource('memory.source', memory.source),
    workingSetBytes: quantityOrNull('memory.workingSetBytes', memory.workingSetBytes),
    averageWorkingSetBytes: quantityOrNull('memory.averageWorkingSetBytes', memory.averageWorkingSetBytes),
    usageBytes: quantityOrNull('memory.usageBytes', memory.usageBytes),
    limitBytes: quantityOrNull('memory.limitBytes', memory.limitBytes),
    oomKills: nullable(memory.oomKills, (it) => wholeNumber('memory.oomKills', it, 0)),
    pressure: checkPressure('memory.pressure', memory.pressure),
  };
}

function checkDisk(value: unknown): DiskFigures {
  const disk = object('disk', value);
  return {
    source: checkSource('disk.source', disk.source),
    readBytesPerSecond: quantityOrNull('disk.readBytesPerSecond', disk.readBytesPerSecond),
    writeBytesPerSecond: quantityOrNull('disk.writeBytesPerSecond', disk.writeBytesPerSecond),
    readsPerSecond: quantityOrNull('disk.readsPerSecond', disk.readsPerSecond),
    writesPerSecond: quantityOrNull('disk.writesPerSecond', disk.writesPerSecond),
    pressure: checkPressure('disk.pressure', disk.pressure),
  };
}

function checkNetwork(value: unknown): NetworkFigures {
  const network = object('network', value);
  return {
    source: checkSource('network.source', network.source),
    receivedBytesPerSecond: quantityOrNull('network.receivedBytesPerSecond', network.receivedBytesPerSecond),
    sentBytesPerSecond: quantityOrNull('network.sentBytesPerSecond', network.sentBytesPerSecond),
    errorsPerSecond: quantityOrNull('network.errorsPerSecond', network.errorsPerSecond),
  };
}

function checkFileDescriptors(value: unknown): FileDescriptorFigures {
  const descriptors = object('fileDescriptors', value);
  return {
    source: checkSource('fileDescriptors.source', descriptors.source),
    open: nullable(descriptors.open, (it) => wholeNumber('fileDescriptors.open', it, 0)),
    limit: nullable(descriptors.limit, (it) => wholeNumber('fileDescriptors.limit', it, 0)),
  };
}

function checkPressure(field: string, value: unknown): Pressure | null {
  return nullable(value, (it) => {
    const pressure = object(field, it);
    return {
      someShare: shareOrNull(`${field}.someShare`, pressure.someShare),
      fullShare: shareOrNull(`${field}.fullShare`, pressure.fullShare),
    };
  });
}

function checkTopics(value: unknown): TopicsReport {
  const topics = object('topics', value);
  const rest = object('topics.rest', topics.rest);
  const columns = list('topics.columns', topics.columns, topicColumns.length);
  if (columns.length !== topicColumns.length || topicColumns.some((it, index) => it !== columns[index])) {
    throw new FieldError(`topics.columns: want ${topicColumns.join(', ')}, got ${shown(columns)}`);
  }
  if (typeof topics.complete !== 'boolean') {
    throw new FieldError(`topics.complete: want true or false, got ${shown(topics.complete)}`);
  }
  const entries = list('topics.entries', topics.entries, bounds.topics).map(checkEntry);
  checkAscending(
    'topics.entries',
    entries.map(([topic]) => topic),
  );
  return {
    observedAt: quantity('topics.observedAt', topics.observedAt),
    cursor: boundedText('topics.cursor', topics.cursor, bounds.cursorCharacters),
    complete: topics.complete,
    total: wholeNumber('topics.total', topics.total, 0),
    columns: topicColumns,
    entries,
    rest: {
      topics: wholeNumber('topics.rest.topics', rest.topics, 0),
      figures: checkFigures('topics.rest.figures', list('topics.rest.figures', rest.figures, topicColumns.length)),
    },
    ...(topics.gone === undefined ? {} : { gone: list('topics.gone', topics.gone, bounds.topics).map(checkGone) }),
  };
}

function checkEntry(value: unknown, index: number): TopicEntry {
  const field = `topics.entries[${index}]`;
  const [topic, ...figures] = list(field, value, topicColumns.length + 1);
  return [boundedText(field, topic, bounds.topicCharacters), ...checkFigures(field, figures)];
}

function checkGone(value: unknown, index: number): string {
  return boundedText(`topics.gone[${index}]`, value, bounds.topicCharacters);
}

function checkFigures(field: string, values: readonly unknown[]): (number | null)[] {
  if (values.length === topicColumns.length) return values.map((it) => quantityOrNull(field, it));
  throw new FieldError(`${field}: want ${topicColumns.length} figures, got ${values.length}`);
}

/** Ascending names are each there once. */
function checkAscending(field: string, names: readonly string[]): void {
  const wrong = names.findIndex((name, index) => index > 0 && name <= String(names[index - 1]));
  if (wrong !== -1) throw new FieldError(`${field}: want ascending topics, got ${shown(names[wrong])} too late`);
}

/** What cannot be true together is a lie, whoever tells it. */
function checkAgreement(report: AgentReport): AgentReport {
  const { broker, mode, identity, reason, topics, topicsReason } = report;
  const { cpu, memory, disk, network, fileDescriptors } = report;
  for (const [group, { source, ...figures }] of Object.entries({ cpu, memory, disk, network, fileDescriptors })) {
    if (broker === null && source !== null && source !== 'os') {
      throw new FieldError(`${group}.source: must be null without a broker`);
    }
    const named = source === null ? Object.entries(figures).find(([, figure]) => figure !== null) : undefined;
    if (named !== undefined) throw new FieldError(`${group}.${named[0]}: must be null without a source`);
  }
  if ((mode === null) !== (broker === null)) throw new FieldError('mode: must be null without a broker, and only then');
  const ofCgroup = [cpu, memory].every(({ source }) => source === 'cgroup-v1' || source === 'cgroup-v2');
  if (reason === null && !ofCgroup) {
    throw new FieldError(`reason: must be given when cpu.source is ${cpu.source} and memory.source ${memory.source}`);
  }
  if (identity.state === 'unproven' && identity.reason === null) {
    throw new FieldError('identity.reason: must be given when identity.state is unproven');
  }
  if (identity.state === 'proven' && !(broker !== null && ofCgroup)) {
    throw new FieldError('identity.state: must be unproven without a broker or without figures of its cgroup');
  }
  if ((topics === null) !== (topicsReason !== null)) {
    throw new FieldError('topicsReason: must be given when topics is null, and only then');
  }
  if (topics !== null) checkTopicNumbers(topics);
  return report;
}

function checkTopicNumbers({ complete, total, entries, rest, gone }: TopicsReport): void {
  const listed = entries.length + rest.topics;
  if (complete && listed !== total)
    throw new FieldError(`topics.total: want ${listed}, as many as listed, got ${total}`);
  if (listed > total) throw new FieldError(`topics.total: want at least ${listed}, as many as listed, got ${total}`);
  if (complete && gone !== undefined) throw new FieldError('topics.gone: must be absent when topics.complete is true');
}

function object(field: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new FieldError(`${field}: want an object, got ${shown(value)}`);
}

function list(field: string, value: unknown, maxLength: number): readonly unknown[] {
  if (Array.isArray(value) && value.length <= maxLength) return value;
  throw new FieldError(`${field}: want a list of at most ${maxLength}, got ${shown(value)}`);
}

function nullable<T>(value: unknown, check: (value: unknown) => T): T | null {
  return value === null ? null : check(value);
}

function boundedText(field: string, value: unknown, maxCharacters: number): string {
  if (typeof value === 'string' && value.length >= 1 && value.length <= maxCharacters) return value;
  throw new FieldError(`${field}: want a text of 1 to ${maxCharacters} characters, got ${shown(value)}`);
}

function checkReason(field: string, value: unknown): string | null {
  return nullable(value, (it) => boundedText(field, it, bounds.reasonCharacters));
}

function quantity(field: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw new FieldError(`${field}: want a finite number of at least 0, got ${shown(value)}`);
}

function quantityOrNull(field: string, value: unknown): number | null {
  return nullable(value, (it) => quantity(field, it));
}

function shareOrNull(field: string, value: unknown): number | null {
  const share = quantityOrNull(field, value);
  if (share === null || share <= 1) return share;
  throw new FieldError(`${field}: want a share from 0 to 1, got ${share}`);
}

function wholeNumber(field: string, value: unknown, least: number): number {
  // Not only safe ones: the kernel counts up to 64 bits.
  if (Number.isInteger(value) && Number(value) >= least) return Number(value);
  throw new FieldError(`${field}: want a whole number of at least ${least}, got ${shown(value)}`);
}

function checkSource(field: string, value: unknown): Source | null {
  return nullable(value, (it) => oneOf(field, it, sources));
}

function oneOf<T extends string>(field: string, value: unknown, words: readonly T[]): T {
  const word = words.find((it) => it === value);
  if (word !== undefined) return word;
  throw new FieldError(`${field}: want one of ${words.join(', ')}, got ${shown(value)}`);
}

function checkNonce(value: unknown): string {
  if (typeof value === 'string' && noncePattern.test(value)) return value;
  throw new FieldError(`nonce: want 1 to 64 of A-Z a-z 0-9 -, got ${shown(value)}`);
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : String(JSON.stringify(value)).slice(0, 40);
}
