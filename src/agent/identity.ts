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
/** Of the node, which the downward API gives for a container without a limit: what is left for Pods. */
const leastAllocatable = 0.5;

/** Whether cgroups that list the broker are those of this Pod's container (design §5, `WrongCgroup`). */
export function judgeIdentity(facts: IdentityFacts): Identity {
  const { cgroups, podUid } = facts;
  if (cgroups.podUid !== null && cgroups.podUid !== podUid) {
    return unproven(`the broker's cgroup is of the Pod ${cgroups.podUid}, and this one is ${podUid}`);
  }
  const { cpu, memory, node, podLimits } = facts;
  const differing =
    describeDifference('CPU limit (cores)', podLimits.cores, cpu.limitCores, node.cores, tolerance.cores) ??
    describeDifference(
      'memory limit (bytes)',
      podLimits.memoryBytes,
      memory.limitBytes,
      node.memoryBytes,
      tolerance.memoryBytes,
    );
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

/** @returns null when they agree, or when there is nothing to compare. */
function describeDifference(
  what: string,
  ofPod: number | null,
  ofCgroup: number | null,
  ofNode: number | null,
  tolerated: number,
): string | null {
  if (ofPod === null) return null;
  if (
    ofCgroup === null ? ofNode === null || ofPod >= leastAllocatable * ofNode : Math.abs(ofPod - ofCgroup) <= tolerated
  ) {
    return null;
  }
  return `the ${what} of the cgroup is ${ofCgroup ?? 'none'}, and the Pod's is ${ofPod}: the cgroup is of another container, or the Pod was resized since the agent started; then restart the agent's container`;
}
