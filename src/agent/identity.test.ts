import { describe, expect, it } from 'vitest';
import { exampleReport } from '../api/example-report.ts';
import type { BrokerCgroups } from './broker-cgroup.ts';
import { type IdentityFacts, judgeIdentity } from './identity.ts';

const gibibyte = 2 ** 30;
const podUid = '5b1f3c1e-0000-4000-8000-0123456789ab';
const directory = { version: 2, path: '/sys/fs/cgroup', above: [] } as const;
const cgroups: BrokerCgroups = {
  mode: 'shared-pid',
  cpuUsage: directory,
  memory: directory,
  cpuLimit: directory,
  disk: directory,
  pressure: directory,
  podUid: null,
};

const ofV1: Partial<IdentityFacts> = { cgroups: { ...cgroups, memory: { ...directory, version: 1 } } };

/** A cgroup with these limits, on a node of 4 cores and 8 GiB. */
function facts(cores: number | null, memoryBytes: number | null, changes: Partial<IdentityFacts> = {}): IdentityFacts {
  return {
    cgroups,
    podUid,
    podLimits: { cores: 1.5, memoryBytes: gibibyte },
    cpu: { ...exampleReport.cpu, limitCores: cores },
    memory: { ...exampleReport.memory, limitBytes: memoryBytes },
    node: { cores: 4, memoryBytes: 8 * gibibyte },
    ...changes,
  };
}

describe('a cgroup that lists the broker', () => {
  it.each<[string, IdentityFacts]>([
    ['its limits are those of the Pod', facts(1.5, gibibyte)],
    ['they differ by what systemd and the kernel round off', facts(1.51, gibibyte - 4096)],
    ['the agent was told no limits', facts(null, null, { podLimits: { cores: null, memoryBytes: null } })],
    [
      'it has no limits, and the Pod was given those of the node',
      facts(null, null, { podLimits: { cores: 3.9, memoryBytes: 7 * gibibyte } }),
    ],
    ['its node enforces no CPU quotas', facts(null, gibibyte)],
    [
      'it has no memory limit in v1, which shows the one of all Pods together',
      facts(1.5, 8 * gibibyte - 4096, { ...ofV1, podLimits: { cores: 1.5, memoryBytes: 7.9 * gibibyte } }),
    ],
    [
      'its memory limit in v1 is higher than that of all Pods together',
      facts(1.5, 7 * gibibyte, { ...ofV1, podLimits: { cores: 1.5, memoryBytes: 7.9 * gibibyte } }),
    ],
    ['its path names the Pod', facts(1.5, gibibyte, { cgroups: { ...cgroups, podUid } })],
  ])('is proven when %s', (_, given) => {
    expect(judgeIdentity(given)).toEqual({ state: 'proven', reason: null });
  });

  it.each<[string, IdentityFacts, string]>([
    ['its CPU limit is another', facts(1, gibibyte), "the CPU limit (cores) of the cgroup is 1, and the Pod's is 1.5"],
    ['its memory limit is another', facts(1.5, gibibyte / 2), 'the memory limit (bytes) of the cgroup is 536870912'],
    ['it has no memory limit in v1', facts(1.5, 8 * gibibyte, ofV1), 'the memory limit (bytes) of the cgroup is 858'],
    [
      'its memory limit in v2 is higher, however high',
      facts(1.5, 8 * gibibyte, { podLimits: { cores: 1.5, memoryBytes: 7 * gibibyte } }),
      'the memory limit (bytes) of the cgroup is 858',
    ],
    ['it has no memory limit', facts(1.5, null), 'the memory limit (bytes) of the cgroup is none'],
    [
      'its path names another Pod',
      facts(1.5, gibibyte, { cgroups: { ...cgroups, podUid: 'other' } }),
      'of the Pod other',
    ],
  ])('is unproven when %s', (_, given, reason) => {
    expect(judgeIdentity(given)).toEqual({ state: 'unproven', reason: expect.stringContaining(reason) });
  });

  it('and the agent too, in the container of both, is proven, and says so', () => {
    expect(judgeIdentity(facts(1.5, gibibyte, { cgroups: { ...cgroups, mode: 'self' } }))).toEqual({
      state: 'proven',
      reason: "the figures include the agent, which runs in the broker's container",
    });
  });
});
