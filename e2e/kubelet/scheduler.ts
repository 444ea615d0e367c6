import { isConflict, isNotFound, type KubeClient } from '../../src/kube/client.ts';
import { RESOURCES } from '../controlplane/api.ts';
import type { Node, NodeSelectorRequirement, NodeSelectorTerm, Pod } from './types.ts';

const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';

/**
 * The Node for a Pod: of those that its selector and affinity allow and that take Pods, the one with the fewest. Resources, taints and
 * Pod affinity are not looked at.
 *
 * @param podsOn how many Pods each Node has, by name.
 */
export function chooseNode(pod: Pod, nodes: readonly Node[], podsOn: ReadonlyMap<string, number>): Node | undefined {
  const count = (node: Node) => podsOn.get(node.metadata.name) ?? 0;
  const [first] = nodes
    .filter((node) => takes(node, pod) && matches(node, pod))
    .sort((a, b) => count(a) - count(b) || a.metadata.name.localeCompare(b.metadata.name));
  return first;
}

/** A cordoned Node takes nothing but Pods that tolerate it, as a DaemonSet's do. */
function takes(node: Node, pod: Pod): boolean {
  if (node.spec?.unschedulable !== true) return true;
  return (pod.spec.tolerations ?? []).some(
    ({ key, operator }) => key === UNSCHEDULABLE || (!key && operator === 'Exists'),
  );
}

function matches(node: Node, { spec }: Pod): boolean {
  const labels = node.metadata.labels ?? {};
  const selected = Object.entries(spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value);
  const terms = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return selected && (terms === undefined || terms.some((term) => satisfies(node, term)));
}

function satisfies(node: Node, { matchExpressions = [], matchFields = [] }: NodeSelectorTerm): boolean {
  const fields: Record<string, string> = { 'metadata.name': node.metadata.name };
  return (
    matchExpressions.every((requirement) => holds(node.metadata.labels ?? {}, requirement)) &&
    matchFields.every((requirement) => holds(fields, requirement))
  );
}

function holds(
  values: Readonly<Record<string, string>>,
  { key, operator, values: wanted = [] }: NodeSelectorRequirement,
): boolean {
  const value = values[key];
  switch (operator) {
    case 'In':
      return value !== undefined && wanted.includes(value);
    case 'NotIn':
      return value === undefined || !wanted.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return Number(value) > Number(wanted[0]);
    case 'Lt':
      return Number(value) < Number(wanted[0]);
    default:
      return false;
  }
}

export interface SchedulerOptions {
  readonly client: KubeClient;
  readonly pods: () => readonly Pod[];
  readonly nodes: () => readonly Node[];
  readonly log: (line: string) => void;
}

const SCHEDULER = 'default-scheduler';

/**
 * Gives a pass that binds every Pod that has no Node yet. Bindings that the cache does not show yet are remembered, so that Pods spread
 * though many are bound in one pass, and none is bound twice.
 */
export function createScheduler({ client, pods, nodes, log }: SchedulerOptions): () => Promise<void> {
  const bound = new Map<string, string>();
  const told = new Set<string>();
  return async () => {
    const all = pods();
    const counts = new Map<string, number>();
    const present = new Set(all.map(({ metadata }) => metadata.uid ?? ''));
    for (const uid of [...bound.keys(), ...told]) {
      if (present.has(uid)) continue;
      bound.delete(uid);
      told.delete(uid);
    }
    const nodeOf = (pod: Pod) => pod.spec.nodeName ?? bound.get(pod.metadata.uid ?? '');
    const count = (node: string) => counts.set(node, (counts.get(node) ?? 0) + 1);
    for (const node of all.map(nodeOf)) if (node !== undefined) count(node);

    for (const pod of all) {
      const { name, namespace, uid = '', deletionTimestamp } = pod.metadata;
      const ours = (pod.spec.schedulerName ?? SCHEDULER) === SCHEDULER;
      if (!ours || deletionTimestamp !== undefined || nodeOf(pod) !== undefined) continue;
      const node = chooseNode(pod, nodes(), counts);
      if (node === undefined) {
        if (!told.has(uid)) log(`no Node takes the Pod ${namespace}/${name}`);
        told.add(uid);
        continue;
      }
      await bind(client, pod, node.metadata.name);
      bound.set(uid, node.metadata.name);
      count(node.metadata.name);
    }
  };
}

async function bind(client: KubeClient, { metadata }: Pod, node: string): Promise<void> {
  const { name, namespace, uid } = metadata;
  try {
    await client.post(RESOURCES.pods, { namespace, name }, 'binding', {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name, namespace, uid },
      target: { apiVersion: 'v1', kind: 'Node', name: node },
    });
  } catch (error) {
    // Deleted or bound in the meantime, which the cache will show.
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}
