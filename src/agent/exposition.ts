import type { AgentReport, Pressure } from '../api/agent-report.ts';

/** What /metrics tells besides the report. */
export interface ExpositionOptions {
  readonly report: AgentReport;
  /** Lines of the broker's own exposition that could not be used in its last reading. */
  readonly skippedLines: number;
}

export const expositionType = 'text/plain; version=0.0.4; charset=utf-8';

type Labels = Readonly<Record<string, string | null>>;
type Value = number | boolean | null | undefined;
type Write = (name: string, type: 'counter' | 'gauge', help: string, ...series: readonly [Labels, Value][]) => void;

/**
 * A report in Prometheus' text format, names beginning with `danube_load_manager_agent_`, in base units. What is unknown
 * has no series. Figures of single topics are not here: there are too many, and the broker's own endpoint has them.
 */
export function formatExposition({ report, skippedLines }: ExpositionOptions): string {
  let text = '';
  const write: Write = (name, type, help, ...series) => {
    const lines = series
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([labels, value]) => line(name, labels, value));
    if (lines.length > 0) text += `# HELP ${prefix}${name} ${help}\n# TYPE ${prefix}${name} ${type}\n${lines.join('')}`;
  };
  writeIdentity(write, report);
  writeCpu(write, report);
  writeMemory(write, report);
  writeRates(write, report);
  const { cpu, memory, disk, topics } = report;
  write(
    'pressure_ratio',
    'gauge',
    'Share of the last interval in which some or all tasks waited for the resource.',
    ...pressureSeries('cpu', cpu.pressure),
    ...pressureSeries('memory', memory.pressure),
    ...pressureSeries('io', disk.pressure),
  );
  write('topics', 'gauge', 'Topics that the broker serves.', [{}, topics?.total]);
  write('skipped_lines', 'gauge', "Lines of the broker's metrics that could not be used in the last reading.", [
    {},
    skippedLines,
  ]);
  return text;
}

const prefix = 'danube_load_manager_agent_';

function writeIdentity(write: Write, { observedAt, sequence, broker, mode, identity, node }: AgentReport): void {
  write('samples_total', 'counter', 'Samples taken since the agent started.', [{}, sequence]);
  write('sample_timestamp_seconds', 'gauge', 'When the last sample was taken.', [{}, observedAt / 1000]);
  write('broker_found', 'gauge', "Whether the broker's process was found, and how.", [{ mode }, broker !== null]);
  write('identity_proven', 'gauge', "Whether the figures are proved to be those of the broker's own cgroup.", [
    {},
    identity.state === 'proven',
  ]);
  write('broker_start_time_seconds', 'gauge', "When the broker's process started.", [
    {},
    broker && broker.startedAt / 1000,
  ]);
  write('node_cores', 'gauge', 'Cores of the node.', [{}, node.cores]);
  write('node_memory_bytes', 'gauge', 'Memory of the node.', [{}, node.memoryBytes]);
}

function writeCpu(write: Write, { cpu }: AgentReport): void {
  const labels = { source: cpu.source };
  write('cpu_seconds_total', 'counter', 'CPU time used.', [labels, cpu.usageSeconds]);
  write('cpu_cores', 'gauge', 'Mean CPU use of the last interval, in cores.', [labels, cpu.cores]);
  write('cpu_limit_cores', 'gauge', 'CPU limit, in cores.', [labels, cpu.limitCores]);
  write('cpu_throttled_seconds_total', 'counter', 'Time held up by the CPU limit.', [labels, cpu.throttledSeconds]);
  write('cpu_throttled_periods_ratio', 'gauge', "Share of the last interval's periods held up by the CPU limit.", [
    labels,
    cpu.throttledShare,
  ]);
}

function writeMemory(write: Write, { memory }: AgentReport): void {
  const labels = { source: memory.source };
  write('memory_working_set_bytes', 'gauge', 'Memory that the kernel cannot simply drop.', [
    labels,
    memory.workingSetBytes,
  ]);
  write('memory_usage_bytes', 'gauge', 'All memory charged, page cache included.', [labels, memory.usageBytes]);
  write('memory_limit_bytes', 'gauge', 'Memory limit.', [labels, memory.limitBytes]);
  write('oom_kills_total', 'counter', 'Processes killed for want of memory.', [labels, memory.oomKills]);
}

/** The report has these as rates alone: their counters may start again at any time. */
function writeRates(write: Write, { disk, network, fileDescriptors }: AgentReport): void {
  const ofDisk = (direction: string): Labels => ({ direction, source: disk.source });
  write(
    'disk_bytes_per_second',
    'gauge',
    'Disk traffic of the last interval.',
    [ofDisk('read'), disk.readBytesPerSecond],
    [ofDisk('write'), disk.writeBytesPerSecond],
  );
  write(
    'disk_operations_per_second',
    'gauge',
    'Disk operations of the last interval.',
    [ofDisk('read'), disk.readsPerSecond],
    [ofDisk('write'), disk.writesPerSecond],
  );
  const ofNetwork = (direction: string): Labels => ({ direction, source: network.source });
  write(
    'network_bytes_per_second',
    'gauge',
    'Network traffic of the Pod in the last interval, without loopback.',
    [ofNetwork('received'), network.receivedBytesPerSecond],
    [ofNetwork('sent'), network.sentBytesPerSecond],
  );
  write('network_errors_per_second', 'gauge', 'Network errors of the Pod in the last interval.', [
    { source: network.source },
    network.errorsPerSecond,
  ]);
  const ofProcess = { source: fileDescriptors.source };
  write('file_descriptors_open', 'gauge', "Open file descriptors of the broker's process.", [
    ofProcess,
    fileDescriptors.open,
  ]);
  write('file_descriptors_limit', 'gauge', "Most file descriptors that the broker's process may open.", [
    ofProcess,
    fileDescriptors.limit,
  ]);
}

function pressureSeries(resource: string, pressure: Pressure | null): [Labels, Value][] {
  return [
    [{ resource, tasks: 'some' }, pressure?.someShare],
    [{ resource, tasks: 'all' }, pressure?.fullShare],
  ];
}

/** Label values here are words of ours, which need no escapes. */
function line(name: string, labels: Labels, value: Value): string {
  const pairs = Object.entries(labels).flatMap(([label, text]) => (text === null ? [] : [`${label}="${text}"`]));
  return `${prefix}${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${Number(value)}\n`;
}
