import { type AgentReport, reportVersion } from '../api/agent-report.ts';
import { unproven } from './identity.ts';
import { createRates } from './rates.ts';
import type { SamplerOptions } from './sampler.ts';
import { unknownCpu, unknownDisk, unknownFileDescriptors, unknownMemory, unknownNetwork } from './unknown-figures.ts';

/** What `node:os` and `process` give. */
export interface Machine {
  readonly platform: string;
  readonly cpus: () => readonly { readonly times: Readonly<Record<'user' | 'nice' | 'sys' | 'irq', number>> }[];
  readonly totalmem: () => number;
  readonly freemem: () => number;
}

export interface OsSamplerOptions extends Pick<SamplerOptions, 'pod' | 'intervalSeconds' | 'clock'> {
  readonly machine: Machine;
}

/**
 * The sampler for macOS and Windows, where there is no /proc: figures of the whole machine, which are nobody's proof of
 * anything, but let the agent be tried. What is free counts no caches there, so memory is `usageBytes`.
 */
export function createOsSampler({ pod, intervalSeconds, clock, machine }: OsSamplerOptions): () => AgentReport {
  const agentStartedAt = clock.wallMilliseconds();
  const rates = createRates(clock.monotonicMilliseconds);
  const reason = `there is no /proc on ${machine.platform}, so the figures are those of the whole machine`;
  let sequence = 0;

  return function sample(): AgentReport {
    const cpus = machine.cpus();
    const milliseconds = cpus.reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
    const usageSeconds = cpus.length > 0 ? milliseconds / 1000 : null;
    // Another number of processors is another sum.
    const series = String(cpus.length);
    const cores = rates.perSecond('cpu', series, usageSeconds);
    const totalBytes = machine.totalmem();
    sequence += 1;
    return {
      version: reportVersion,
      pod,
      observedAt: clock.wallMilliseconds(),
      intervalSeconds,
      sequence,
      agentStartedAt,
      mode: null,
      identity: unproven(reason),
      broker: null,
      reason,
      cpu: { ...unknownCpu, source: 'os', usageSeconds, cores, averageCores: rates.average('cpu', series, cores) },
      memory: { ...unknownMemory, source: 'os', usageBytes: Math.max(0, totalBytes - machine.freemem()) },
      disk: unknownDisk,
      network: unknownNetwork,
      fileDescriptors: unknownFileDescriptors,
      node: { cores: cpus.length > 0 ? cpus.length : null, memoryBytes: totalBytes },
      topics: null,
      topicsReason: "the broker's metrics endpoint is not configured",
    };
  };
}
