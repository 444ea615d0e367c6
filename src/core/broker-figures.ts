/** What a broker uses and may use, as its BrokerLoad shows it: rounded, in its units, and only what is known. */
import type { BrokerLoadStatus } from '../api/broker-load.ts';
import { type Judgement, ownFigures } from './agent-judgement.ts';
import type { AgentSample, BusyTopic, SeenSample } from './agent-record.ts';
import type { BrokerPod, BrokerReport } from './snapshot.ts';

export type BrokerFigures = Pick<
  BrokerLoadStatus,
  'usage' | 'pressure' | 'capacity' | 'rates' | 'connections' | 'topTopics' | 'display'
>;

export interface FigureSources {
  readonly pod: BrokerPod | undefined;
  readonly agent: SeenSample | undefined;
  readonly judgement: Judgement;
  /** The broker's own. */
  readonly report: BrokerReport | undefined;
}

/** The last figures stay while they are only old; those that may be false are not shown at all. */
export function brokerFigures({ pod, agent, judgement, report }: FigureSources): BrokerFigures {
  const isShown = judgement.usable || judgement.reason === 'Stale';
  const shown = isShown && agent && pod ? { ...agent, sample: ownFigures(agent.sample, pod) } : undefined;
  const topics = shown?.sample.topics ?? undefined;
  const rates = {
    ...(report !== undefined && {
      messagesInPerSecond: report.messagesPerSecond,
      bytesInPerSecond: report.bytesPerSecond,
    }),
    ...known({
      messagesOutPerSecond: rounded(topics?.messagesOutPerSecond, 3),
      bytesOutPerSecond: rounded(topics?.bytesOutPerSecond),
    }),
  };
  return {
    ...(shown !== undefined && measuredFigures(shown)),
    ...(Object.keys(rates).length > 0 && { rates }),
    ...(report !== undefined && { connections: report.connections }),
    ...(topics !== undefined && { topTopics: topics.busiest.map(toTopTopic) }),
    display: displayOf(shown?.sample, report?.bytesPerSecond),
  };
}

function measuredFigures({ sample, seenAt }: SeenSample): BrokerFigures {
  const { cpu, memory, disk, network, fileDescriptors } = sample;
  const pressure = known({
    cpuPercent: percent(cpu.pressure?.someShare),
    memoryPercent: percent(memory.pressure?.someShare),
    diskPercent: percent(disk.pressure?.someShare),
  });
  const capacity = known({
    cpuCores: cores(cpu.limitCores),
    memoryBytes: rounded(memory.limitBytes),
    openFiles: rounded(fileDescriptors.limit),
  });
  return {
    usage: {
      ...known({
        cpuCores: cores(cpu.cores),
        cpuThrottledPercent: percent(cpu.throttledShare),
        memoryBytes: rounded(memory.workingSetBytes),
        diskReadBytesPerSecond: rounded(disk.readBytesPerSecond),
        diskWriteBytesPerSecond: rounded(disk.writeBytesPerSecond),
        networkReceivedBytesPerSecond: rounded(network.receivedBytesPerSecond),
        networkSentBytesPerSecond: rounded(network.sentBytesPerSecond),
        openFiles: rounded(fileDescriptors.open),
      }),
      sources: known({
        cpu: shownSource(cpu.source),
        memory: shownSource(memory.source),
        disk: shownSource(disk.source),
        network: shownSource(network.source),
        openFiles: shownSource(fileDescriptors.source),
      }),
      observedAt: new Date(seenAt).toISOString(),
    },
    ...(Object.keys(pressure).length > 0 && { pressure }),
    ...(Object.keys(capacity).length > 0 && { capacity }),
  };
}

function toTopTopic({ topic, cpuCores, bytesInPerSecond, bytesOutPerSecond, lagMessages }: BusyTopic) {
  return {
    topic,
    ...known({
      cpuCores: cores(cpuCores),
      bytesInPerSecond: rounded(bytesInPerSecond),
      bytesOutPerSecond: rounded(bytesOutPerSecond),
      lagMessages: rounded(lagMessages),
    }),
  };
}

function displayOf(sample: AgentSample | undefined, bytesInPerSecond: number | undefined) {
  const outOfTopics = sample?.topics?.bytesOutPerSecond ?? null;
  const bytesOutPerSecond = outOfTopics ?? sample?.network.sentBytesPerSecond ?? null;
  return known({
    cpu: sample && withLimit(sample.cpu.cores, sample.cpu.limitCores, (value) => value.toFixed(2), formatCores),
    memory: sample && withLimit(sample.memory.workingSetBytes, sample.memory.limitBytes, formatBytes, formatBytes),
    in: bytesInPerSecond === undefined ? undefined : formatRate(bytesInPerSecond),
    out: bytesOutPerSecond === null ? undefined : formatRate(bytesOutPerSecond),
  });
}

type Format = (value: number) => string;

function withLimit(used: number | null, limit: number | null, format: Format, formatLimit: Format): string | undefined {
  if (used === null) return undefined;
  return limit === null ? format(used) : `${format(used)}/${formatLimit(limit)}`;
}

function formatCores(value: number): string {
  return String(round(value, 2));
}

function formatRate(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1e6).toFixed(2)}MB/s`;
}

/** `312Mi`, `1.5Gi`. */
function formatBytes(bytes: number): string {
  const gibibytes = bytes / 1024 ** 3;
  return gibibytes >= 1 ? `${round(gibibytes, 1)}Gi` : `${Math.round(bytes / 1024 ** 2)}Mi`;
}

/** Without what is unknown: in an API object absent is what unknown looks like. */
function known<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** What the schema takes: a figure beyond it must not keep the whole status from being written. */
const MOST = 1e15;
const MOST_CORES = 1_000_000;

function cores(value: number | null): number | undefined {
  return value === null ? undefined : Math.min(round(value, 3), MOST_CORES);
}

function rounded(value: number | null | undefined, digits = 0): number | undefined {
  return value == null ? undefined : Math.min(round(value, digits), MOST);
}

function percent(share: number | null | undefined): number | undefined {
  return share == null ? undefined : round(100 * share, 0);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** What was measured of the machine as a whole (`os`) is never shown as a broker's. */
function shownSource(source: AgentSample['cpu']['source']): 'cgroup-v1' | 'cgroup-v2' | 'proc' | undefined {
  return source === null || source === 'os' ? undefined : source;
}
