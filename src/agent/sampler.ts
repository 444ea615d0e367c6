import { type AgentReport, bounds, type NodeFigures, type PodIdentity, reportVersion } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import type { SocketAddress } from './address.ts';
import { readParsed } from './files.ts';
import { type BrokerProcess, findBroker, readIfRunning, readOwnPid } from './find-broker.ts';
import { parseNodeCores, parseNodeMemoryBytes, parseUptimeSeconds, ticksPerSecond } from './proc-files.ts';
import { unknownCpu, unknownDisk, unknownFileDescriptors, unknownMemory, unknownNetwork } from './unknown-figures.ts';
import { type CpuCounter, readUsage, type Usage } from './usage.ts';

export interface Clock {
  /** Epoch milliseconds, for people and other machines. */
  readonly wallMilliseconds: () => number;
  /** For intervals: never set back. */
  readonly monotonicMilliseconds: () => number;
}

export interface SamplerOptions {
  readonly procRoot: string;
  readonly brokerAddress: SocketAddress;
  readonly pod: PodIdentity;
  readonly intervalSeconds: number;
  readonly clock: Clock;
}

/** The broker's process with its start on the wall clock, worked out once, so that it does not wobble with the clock. */
interface KnownBroker {
  readonly process: BrokerProcess;
  readonly startedAt: number;
}

interface Observation {
  readonly broker: KnownBroker;
  readonly usage: Usage;
}

/**
 * Makes a function that takes one sample of the broker. Between samples it keeps which process the broker is and the
 * last CPU counter; whatever breaks their series (a restart, another cgroup, a counter going back) costs one rate.
 */
export function createSampler(options: SamplerOptions): () => AgentReport {
  const agentStartedAt = options.clock.wallMilliseconds();
  let sequence = 0;
  let last: Observation | null = null;

  return function sample(): AgentReport {
    const observedAt = options.clock.wallMilliseconds();
    const observation = observe(options, last?.broker ?? null);
    const previous = last;
    last = isProblem(observation) ? null : observation;
    sequence += 1;
    const header = {
      version: reportVersion,
      pod: options.pod,
      observedAt,
      intervalSeconds: options.intervalSeconds,
      sequence,
      agentStartedAt,
      disk: unknownDisk,
      network: unknownNetwork,
      fileDescriptors: unknownFileDescriptors,
      topics: null,
      topicsReason: "the broker's metrics endpoint is not configured",
    } as const;
    const node = readNode(options.procRoot);
    if (isProblem(observation)) return { ...header, ...withoutBroker(observation), node };

    const { broker, usage } = observation;
    const sameBroker = previous?.broker === broker;
    return {
      ...header,
      broker: { pid: broker.process.pid, startedAt: broker.startedAt },
      mode: 'shared-pid',
      identity:
        usage.reason === null
          ? { state: 'proven', reason: null }
          : { state: 'unproven', reason: bounded(usage.reason) },
      reason: usage.reason === null ? null : bounded(usage.reason),
      cpu: {
        ...unknownCpu,
        source: usage.source,
        usageSeconds: usage.cpu.seconds,
        cores: sameBroker ? coresBetween(previous.usage.cpu, usage.cpu) : null,
        limitCores: usage.limitCores,
      },
      memory: { ...unknownMemory, source: usage.source, ...usage.memory },
      node,
    };
  };
}

/** The mean number of cores used between two readings; null when they do not belong together. */
export function coresBetween(earlier: CpuCounter, later: CpuCounter): number | null {
  const elapsedSeconds = (later.atMilliseconds - earlier.atMilliseconds) / 1000;
  const usedSeconds = later.seconds - earlier.seconds;
  return later.series === earlier.series && usedSeconds >= 0 && elapsedSeconds > 0
    ? usedSeconds / elapsedSeconds
    : null;
}

function observe(options: SamplerOptions, known: KnownBroker | null): Observation | Problem {
  const { procRoot, clock } = options;
  const ownPid = readOwnPid(procRoot);
  if (isProblem(ownPid)) return ownPid;
  const broker = known && readIfRunning(procRoot, known.process) ? known : identify(options, ownPid);
  if (isProblem(broker)) return broker;

  const ended = { problem: `the broker's process ${broker.process.pid} ended while it was looked at` };
  const stat = readIfRunning(procRoot, broker.process);
  if (stat === null) return ended;
  const { monotonicMilliseconds } = clock;
  const usage = readUsage({ procRoot, pid: broker.process.pid, ownPid, monotonicMilliseconds }, stat);
  // Only what was read while the process lived is surely its own, not that of the next one under its pid.
  return readIfRunning(procRoot, broker.process) === null ? ended : { broker, usage };
}

function identify({ procRoot, brokerAddress, clock }: SamplerOptions, ownPid: number): KnownBroker | Problem {
  const process = findBroker({ procRoot, brokerAddress, ownPid });
  if (isProblem(process)) return process;
  const uptimeSeconds = readParsed(`${procRoot}/uptime`, parseUptimeSeconds);
  if (isProblem(uptimeSeconds)) return uptimeSeconds;
  const ageSeconds = uptimeSeconds - process.startTicks / ticksPerSecond;
  return { process, startedAt: Math.round(clock.wallMilliseconds() - ageSeconds * 1000) };
}

function withoutBroker({
  problem,
}: Problem): Pick<AgentReport, 'broker' | 'mode' | 'identity' | 'reason' | 'cpu' | 'memory'> {
  const reason = bounded(problem);
  return {
    broker: null,
    mode: null,
    identity: { state: 'unproven', reason },
    reason,
    cpu: unknownCpu,
    memory: unknownMemory,
  };
}

function readNode(procRoot: string): NodeFigures {
  const cores = readParsed(`${procRoot}/stat`, parseNodeCores);
  const memoryBytes = readParsed(`${procRoot}/meminfo`, parseNodeMemoryBytes);
  return { cores: isProblem(cores) ? null : cores, memoryBytes: isProblem(memoryBytes) ? null : memoryBytes };
}

/** Reasons name cgroup paths, which may be as long as a path can be. */
function bounded(reason: string): string {
  return reason.slice(0, bounds.reasonCharacters);
}
