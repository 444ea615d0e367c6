/** What an agent that is well would say of a broker on paper, second after second. */
import type { AgentReport } from '../../src/api/agent-report.ts';
import { exampleReport } from '../../src/api/example-report.ts';

export interface Sampling {
  readonly pod: { readonly name: string; readonly uid: string };
  readonly brokerStartedAt: number;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly limits: { readonly cores: number; readonly memoryBytes: number };
}

const NODE = { cores: 8, memoryBytes: 16 * 1024 ** 3 };

/** A function that gives the agent's last sample: one a second, its counters going on with the time. */
export function sampleAsTimePasses(sampling: Sampling): () => AgentReport {
  const { pod, brokerStartedAt, cores, memoryBytes, limits } = sampling;
  const agentStartedAt = Date.now();
  return () => {
    const ageSeconds = Math.floor((Date.now() - agentStartedAt) / 1000);
    const observedAt = agentStartedAt + 1000 * ageSeconds;
    return {
      ...exampleReport,
      pod: { ...exampleReport.pod, ...pod },
      observedAt,
      intervalSeconds: 1,
      sequence: 1 + ageSeconds,
      agentStartedAt,
      broker: { pid: 42, startedAt: brokerStartedAt },
      cpu: {
        ...exampleReport.cpu,
        usageSeconds: 100 + cores * ageSeconds,
        cores,
        averageCores: cores,
        limitCores: limits.cores,
      },
      memory: {
        ...exampleReport.memory,
        workingSetBytes: memoryBytes,
        averageWorkingSetBytes: memoryBytes,
        usageBytes: memoryBytes,
        limitBytes: limits.memoryBytes,
      },
      node: NODE,
    };
  };
}
