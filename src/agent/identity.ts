import { type AgentReport, bounds, type Identity } from '../api/agent-report.ts';
import type { BrokerCgroups } from './broker-cgroup.ts';

/** What the broker's container may use, as the Pod says (downward API); null where the agent was not told. */
export interface PodLimits {
  readonly cores: number | null;
  readonly memoryBytes: number | null;
}

export interface IdentityFacts extends Pick<AgentReport, 'cpu' | 'memory' | 'node'> {
  readonly cgroups: BrokerCgroups;
  readonly podUid: string;
  readonly podLimits: PodLimits;
}

/**
 * systemd rounds quotas up to 1 % of a core, and the kernel rounds memory down to pages, of 64 KiB at most.
 */
const tolerance = { cores: 0.0101, memoryBytes: 65_536 } as const;
/** Of the node's memory, which the downward API gives for a container without a limit: what is left for Pods. */
const leastAllocatable = 0.5;

/** Whether cgroups that list the broker are those of this Pod's container (design §5, `WrongCgroup`). */
export function judgeIdentity(facts: IdentityFacts): Identity {
  const { cgroups, podUid } = facts;
  if (cgroups.podUid !== null && cgroups.podUid !== podUid) {
    return unproven(`the broker's cgroup is of the Pod ${cgroups.podUid}, and this one is ${podUid}`);
  }
  const { podLimits } = facts;
  // Kubelets may leave CPU quotas out, so none is no contradiction.
  const differing =
    describeDifference(
      'CPU limit (cores)',
      podLimits.cores,
      facts.cpu.limitCores ?? podLimits.cores,
      tolerance.cores,
    ) ?? describeMemoryDifference(facts);
  if (differing !== null) return unproven(differing);
  const remark = "the figures include the agent, which runs in the broker's container";
  return { state: 'proven', reason: cgroups.mode === 'self' ? remark : null };
}

export function unproven(reason: string): Identity {
  return { state: 'unproven', reason: boundedReason(reason) };
}

/** Reasons name cgroup paths, which may be as long as a path can be. */
export function boundedReason(reason: string): string {
  return reason.slice(0, bounds.reasonCharacters);
}

function describeMemoryDifference({ cgroups, memory, node, podLimits }: IdentityFacts): string | null {
  const ofPod = podLimits.memoryBytes;
  const ofNode = node.memoryBytes === null ? null : leastAllocatable * node.memoryBytes;
  const ofCgroup = memory.limitBytes;
  // In cgroup v1 a container without a limit shows the one of all Pods of the node together.
  const isOfAllPods = cgroups.memory.version === 1 && ofCgroup !== null && ofNode !== null && ofCgroup >= ofNode;
  if ((ofCgroup === null || isOfAllPods) && ofPod !== null && ofPod >= (ofNode ?? 0)) return null;
  return describeDifference('memory limit (bytes)', ofPod, ofCgroup, tolerance.memoryBytes);
}

/** @returns null when they agree, or when the agent was told none to compare with. */
function describeDifference(
  what: string,
  ofPod: number | null,
  ofCgroup: number | null,
  tolerated: number,
): string | null {
  if (ofPod === null || (ofCgroup !== null && Math.abs(ofPod - ofCgroup) <= tolerated)) return null;
  return `the ${what} of the cgroup is ${ofCgroup ?? 'none'}, and the Pod's is ${ofPod}: the cgroup is of another container, or the Pod was resized since the agent started; then restart the agent's container`;
}
