import { type AgentReport, type NodeFigures, type PodIdentity, reportVersion } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import { type BrokerCgroups, lookUpCgroups, stillHold } from './broker-cgroup.ts';
import { readCpuFigures } from './cpu-figures.ts';
import { readDiskFigures } from './disk-figures.ts';
import { readParsed } from './files.ts';
import { type BrokerProcess, type BrokerTraits, findBroker, readIfRunning, readOwnPid } from './find-broker.ts';
import { boundedReason, judgeIdentity, type PodLimits, unproven } from './identity.ts';
import { readMemoryFigures } from './memory-figures.ts';
import {
  type ProcessStat,
  parseNodeCores,
  parseNodeMemoryBytes,
  parseStatesDescriptors,
  parseUptimeSeconds,
  ticksPerSecond,
} from './proc-files.ts';
import { readFileDescriptors, readNetwork, readProcessCpu, readProcessMemory } from './process-figures.ts';
import { createRates, type Rates } from './rates.ts';
import { unknownCpu, unknownDisk, unknownFileDescriptors, unknownMemory, unknownNetwork } from './unknown-figures.ts';

export interface Clock {
  /** Epoch milliseconds, for people and other machines. */
  readonly wallMilliseconds: () => number;
  /** For intervals: never set back. */
  readonly monotonicMilliseconds: () => number;
}

export interface SamplerOptions {
  readonly procRoot: string;
  /** The node's cgroup file systems, for mode `host`. */
  readonly hostCgroupRoot?: string | undefined;
  readonly broker: BrokerTraits;
  readonly pod: PodIdentity;
  readonly podLimits: PodLimits;
  readonly intervalSeconds: number;
  readonly clock: Clock;
}

/** What holds for one run of the broker, worked out once: so that its start does not wobble with the clock, and for speed. */
interface KnownBroker {
  readonly process: BrokerProcess;
  readonly ownPid: number;
  readonly startedAt: number;
  readonly node: NodeFigures;
  readonly statesDescriptors: boolean;
}

type Measured = Pick<
  AgentReport,
  'mode' | 'identity' | 'broker' | 'reason' | 'cpu' | 'memory' | 'disk' | 'network' | 'fileDescriptors' | 'node'
>;

/**
 * Makes a function that takes one sample of the broker. Between samples it keeps which process the broker is, its cgroups
 * (whose members are read each time), and the last counters; whatever breaks their series (a restart, another cgroup, a
 * counter going back) costs one rate.
 */
export function createSampler(options: SamplerOptions): () => AgentReport {
  const agentStartedAt = options.clock.wallMilliseconds();
  let sequence = 0;
  let known: KnownBroker | null = null;
  let cgroups: BrokerCgroups | null = null;
  let rates = createRates(options.clock.monotonicMilliseconds);

  function measure(): Measured | Problem {
    const broker = known !== null && readIfRunning(options.procRoot, known.process) ? known : identify(options);
    if (isProblem(broker)) return broker;
    if (broker !== known) cgroups = null;
    known = broker;

    const lookup = {
      procRoot: options.procRoot,
      hostCgroupRoot: options.hostCgroupRoot,
      podUid: options.pod.uid,
      pid: broker.process.pid,
      ownPid: broker.ownPid,
    };
    const found = cgroups !== null && stillHold(cgroups, lookup) ? cgroups : lookUpCgroups(lookup);
    cgroups = isProblem(found) ? null : found;
    const ended = { problem: `the broker's process ${broker.process.pid} ended while it was looked at` };
    const stat = readIfRunning(options.procRoot, broker.process);
    if (stat === null) return ended;
    const measured = readFigures({ options, broker, stat, found, rates });
    // Only what was read while the process lived is surely its own, not that of the next one under its pid.
    return readIfRunning(options.procRoot, broker.process) === null ? ended : measured;
  }

  return function sample(): AgentReport {
    const observedAt = options.clock.wallMilliseconds();
    const measured = measure();
    if (isProblem(measured)) {
      known = null;
      cgroups = null;
      rates = createRates(options.clock.monotonicMilliseconds);
    }
    sequence += 1;
    return {
      version: reportVersion,
      pod: options.pod,
      observedAt,
      intervalSeconds: options.intervalSeconds,
      sequence,
      agentStartedAt,
      ...(isProblem(measured) ? withoutBroker(measured, options.procRoot) : measured),
      topics: null,
      topicsReason: "the broker's metrics endpoint is not configured",
    };
  };
}

interface FiguresOptions {
  readonly options: SamplerOptions;
  readonly broker: KnownBroker;
  /** Of the broker's process, read just now. */
  readonly stat: ProcessStat;
  readonly found: BrokerCgroups | Problem;
  readonly rates: Rates;
}

/** The figures of the broker's cgroups, or of its process alone with the reason why. */
function readFigures({ options, broker, stat, found, rates }: FiguresOptions): Measured {
  const { procRoot, hostCgroupRoot, pod, podLimits } = options;
  const { process, startedAt, node } = broker;
  const { pid, startTicks } = process;
  const directory = `${procRoot}/${pid}`;
  const run = `${pid}:${startTicks}`;
  const ofProcess = { directory, run, rates };
  const common = {
    broker: { pid, startedAt },
    node,
    network: readNetwork(ofProcess),
    fileDescriptors: readFileDescriptors(directory, broker.statesDescriptors),
  };

  const cpu = isProblem(found) ? found : readCpuFigures(found, run, rates);
  const memory = isProblem(found) ? found : readMemoryFigures(found, run, rates);
  if (isProblem(found) || isProblem(cpu) || isProblem(memory)) {
    const reason = boundedReason([cpu, memory].find(isProblem)?.problem ?? '');
    return {
      ...common,
      mode: hostCgroupRoot === undefined ? 'shared-pid' : 'host',
      identity: unproven(reason),
      reason,
      cpu: readProcessCpu(stat, ofProcess),
      memory: readProcessMemory(ofProcess),
      disk: readDiskFigures({ cgroups: null, procRoot, pid, run, rates }),
    };
  }
  return {
    ...common,
    mode: found.mode,
    identity: judgeIdentity({ cgroups: found, cpu, memory, node, podUid: pod.uid, podLimits }),
    reason: null,
    cpu,
    memory,
    disk: readDiskFigures({ cgroups: found, procRoot, pid, run, rates }),
  };
}

function identify({ procRoot, broker, clock }: SamplerOptions): KnownBroker | Problem {
  const ownPid = readOwnPid(procRoot);
  if (isProblem(ownPid)) return ownPid;
  const process = findBroker({ procRoot, ownPid, ...broker });
  if (isProblem(process)) return process;
  const uptimeSeconds = readParsed(`${procRoot}/uptime`, parseUptimeSeconds);
  if (isProblem(uptimeSeconds)) return uptimeSeconds;
  const ageSeconds = uptimeSeconds - process.startTicks / ticksPerSecond;
  const statesDescriptors = readParsed(`${procRoot}/sys/kernel/osrelease`, parseStatesDescriptors);
  return {
    process,
    ownPid,
    startedAt: Math.round(clock.wallMilliseconds() - ageSeconds * 1000),
    node: readNode(procRoot),
    statesDescriptors: statesDescriptors === true,
  };
}

function withoutBroker({ problem }: Problem, procRoot: string): Measured {
  const reason = boundedReason(problem);
  return {
    broker: null,
    mode: null,
    identity: unproven(reason),
    reason,
    cpu: unknownCpu,
    memory: unknownMemory,
    disk: unknownDisk,
    network: unknownNetwork,
    fileDescriptors: unknownFileDescriptors,
    node: readNode(procRoot),
  };
}

function readNode(procRoot: string): NodeFigures {
  const cores = readParsed(`${procRoot}/stat`, parseNodeCores);
  const memoryBytes = readParsed(`${procRoot}/meminfo`, parseNodeMemoryBytes);
  return { cores: isProblem(cores) ? null : cores, memoryBytes: isProblem(memoryBytes) ? null : memoryBytes };
}
