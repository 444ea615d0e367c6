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
  readonly broker: BrokerIdentity | null;
  readonly source: Source | null;
  /** Why `source` is null or only `proc`; null when the figures are the broker's own cgroup's. */
  readonly reason: string | null;
  readonly cpu: CpuFigures;
  readonly memory: MemoryFigures;
  readonly node: NodeFigures;
  /** The request's nonce, so that a stale or foreign answer is noticed. Absent when the request had none. */
  readonly nonce?: string;
}

export interface PodIdentity {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
}

/** One run of the broker's process; a restart changes at least one of the two. */
export interface BrokerIdentity {
  readonly pid: number;
  /** Epoch milliseconds. */
  readonly startedAt: number;
}

/** Where the figures come from: the broker's own cgroup, or else the broker's process alone (`proc`). */
export type Source = (typeof sources)[number];

export interface CpuFigures {
  /** Cumulative CPU seconds: of the cgroup, or of the process for `proc`. */
  readonly usageSeconds: number | null;
  /** Mean over the last interval; null for the first sample of a run of the broker. */
  readonly cores: number | null;
  readonly limitCores: number | null;
}

export interface MemoryFigures {
  /** What the kernel cannot simply drop: usage without inactive file pages; for `proc` the resident set. */
  readonly workingSetBytes: number | null;
  /** All memory charged, page cache included; unknown for `proc`. */
  readonly usageBytes: number | null;
  readonly limitBytes: number | null;
}

export interface NodeFigures {
  readonly cores: number | null;
  readonly memoryBytes: number | null;
}

export const reportVersion = 1;
const sources = ['cgroup-v1', 'cgroup-v2', 'proc'] as const;

export const bounds = {
  reportCharacters: 65_536,
  /** Names of Kubernetes objects end at 253; uids are 36. */
  nameCharacters: 253,
  reasonCharacters: 1_024,
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
  const cpu = object('cpu', report.cpu);
  const memory = object('memory', report.memory);
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
    broker: broker && { pid: processId(broker.pid), startedAt: quantity('broker.startedAt', broker.startedAt) },
    source: nullable(report.source, oneOfSources),
    reason: nullable(report.reason, (it) => boundedText('reason', it, bounds.reasonCharacters)),
    cpu: {
      usageSeconds: quantityOrNull('cpu.usageSeconds', cpu.usageSeconds),
      cores: quantityOrNull('cpu.cores', cpu.cores),
      limitCores: quantityOrNull('cpu.limitCores', cpu.limitCores),
    },
    memory: {
      workingSetBytes: quantityOrNull('memory.workingSetBytes', memory.workingSetBytes),
      usageBytes: quantityOrNull('memory.usageBytes', memory.usageBytes),
      limitBytes: quantityOrNull('memory.limitBytes', memory.limitBytes),
    },
    node: {
      cores: quantityOrNull('node.cores', node.cores),
      memoryBytes: quantityOrNull('node.memoryBytes', node.memoryBytes),
    },
    ...(report.nonce === undefined ? {} : { nonce: checkNonce(report.nonce) }),
  });
}

/** Figures without a source, a source without a broker and a second-best source without a reason are lies. */
function checkAgreement(report: AgentReport): AgentReport {
  if (report.broker === null && report.source !== null) throw new FieldError('source: must be null without a broker');
  if (report.source === null) {
    for (const [name, figure] of Object.entries({ ...report.cpu, ...report.memory })) {
      if (figure !== null) throw new FieldError(`${name}: must be null without a source`);
    }
  }
  if (report.reason === null && (report.source === null || report.source === 'proc')) {
    throw new FieldError(`reason: must be given when source is ${report.source}`);
  }
  return report;
}

function object(field: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new FieldError(`${field}: want an object, got ${shown(value)}`);
}

function nullable<T>(value: unknown, check: (value: unknown) => T): T | null {
  return value === null ? null : check(value);
}

function boundedText(field: string, value: unknown, maxCharacters: number): string {
  if (typeof value === 'string' && value.length >= 1 && value.length <= maxCharacters) return value;
  throw new FieldError(`${field}: want a text of 1 to ${maxCharacters} characters, got ${shown(value)}`);
}

function quantity(field: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw new FieldError(`${field}: want a finite number of at least 0, got ${shown(value)}`);
}

function quantityOrNull(field: string, value: unknown): number | null {
  return nullable(value, (it) => quantity(field, it));
}

function processId(value: unknown): number {
  if (Number.isSafeInteger(value) && Number(value) >= 1) return Number(value);
  throw new FieldError(`broker.pid: want a whole number of at least 1, got ${shown(value)}`);
}

function oneOfSources(value: unknown): Source {
  const source = sources.find((it) => it === value);
  if (source !== undefined) return source;
  throw new FieldError(`source: want ${sources.join(', ')} or null, got ${shown(value)}`);
}

function checkNonce(value: unknown): string {
  if (typeof value === 'string' && noncePattern.test(value)) return value;
  throw new FieldError(`nonce: want 1 to 64 of A-Z a-z 0-9 -, got ${shown(value)}`);
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : String(JSON.stringify(value)).slice(0, 40);
}
