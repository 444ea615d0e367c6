/**
 * Writes what users see: one BrokerLoad per broker and the policy's status, by server-side apply, and only when it says
 * something new (design §3: a thousand brokers must cost the API server little).
 */
import { isDeepStrictEqual } from 'node:util';
import { type BrokerLoad, type BrokerLoadStatus, brokerLoadResource, policyLabel } from '../api/broker-load.ts';
import { type RebalancePolicy, type RebalancePolicyStatus, rebalancePolicyResource } from '../api/rebalance-policy.ts';
import { apiGroup, apiVersion, apiVersionName } from '../api/resource.ts';
import { isNotFound, type KubeClient, type Resource } from '../kube/client.ts';

export const POLICIES: Resource = {
  group: apiGroup,
  version: apiVersionName,
  plural: rebalancePolicyResource.plural,
  namespaced: true,
};
export const BROKER_LOADS: Resource = {
  group: apiGroup,
  version: apiVersionName,
  plural: brokerLoadResource.plural,
  namespaced: true,
};

const OBJECT_MANAGER = 'danube-load-manager';
const STATUS_MANAGER = 'danube-load-manager/status';

/** The labels by which a policy's BrokerLoads are found. */
export function brokerLoadSelector(policyName: string): string {
  return `${policyLabel}=${policyName}`;
}

/** Creates the object if it is missing; a new BrokerLoad has no status yet. */
export async function ensureBrokerLoad(client: KubeClient, policy: RebalancePolicy, name: string): Promise<BrokerLoad> {
  const { namespace, name: policyName, uid } = policy.metadata;
  const object = {
    apiVersion,
    kind: brokerLoadResource.kind,
    metadata: {
      name,
      namespace,
      labels: { [policyLabel]: policyName },
      ownerReferences: [
        {
          apiVersion,
          kind: rebalancePolicyResource.kind,
          name: policyName,
          uid,
          controller: true,
          blockOwnerDeletion: false,
        },
      ],
    },
    spec: { policyName },
  };
  return client.patch(BROKER_LOADS, { namespace, name }, object, {
    type: 'apply',
    fieldManager: OBJECT_MANAGER,
    force: true,
  });
}

export async function writeBrokerLoadStatus(
  client: KubeClient,
  ref: { readonly namespace: string; readonly name: string },
  status: BrokerLoadStatus,
): Promise<void> {
  await client.patch(
    BROKER_LOADS,
    ref,
    { apiVersion, kind: brokerLoadResource.kind, metadata: ref, status },
    { type: 'apply', fieldManager: STATUS_MANAGER, force: true, subresource: 'status' },
  );
}

/**
 * Whether the API server itself has the policy as we have it. The cache of a server that lags shows one that may have been made
 * again since, under the same name, or changed. @throws KubeError
 */
export async function isCurrent(client: KubeClient, { metadata }: RebalancePolicy): Promise<boolean> {
  const { namespace, name, uid, generation } = metadata;
  try {
    const { metadata: now } = await client.get<RebalancePolicy>(POLICIES, { namespace, name });
    return now.uid === uid && now.generation === generation;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** With a `uid` the server refuses the status of a policy that was made again since. */
export async function writePolicyStatus(
  client: KubeClient,
  ref: { readonly namespace: string; readonly name: string; readonly uid?: string },
  status: RebalancePolicyStatus,
): Promise<void> {
  await client.patch(
    POLICIES,
    ref,
    { apiVersion, kind: rebalancePolicyResource.kind, metadata: ref, status },
    { type: 'apply', fieldManager: STATUS_MANAGER, force: true, subresource: 'status' },
  );
}

export async function deleteBrokerLoad(client: KubeClient, load: BrokerLoad): Promise<void> {
  const { namespace, name, uid } = load.metadata;
  try {
    await client.delete(BROKER_LOADS, { namespace, name }, { preconditions: { uid } });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** Figures may drift this far before they are written again. */
const BAND = 0.1;
/** Whatever has moved less than this is noise: cores, bytes per second and bytes are far apart, so each has its own. */
const FLOORS: Readonly<Record<string, number>> = {
  cpuCores: 0.02,
  cpuThrottledPercent: 5,
  memoryBytes: 8 * 1024 ** 2,
  diskReadBytesPerSecond: 100_000,
  diskWriteBytesPerSecond: 100_000,
  networkReceivedBytesPerSecond: 100_000,
  networkSentBytesPerSecond: 100_000,
  openFiles: 10,
  cpuPercent: 5,
  memoryPercent: 5,
  diskPercent: 5,
  messagesInPerSecond: 1,
  bytesInPerSecond: 10_000,
  messagesOutPerSecond: 1,
  bytesOutPerSecond: 10_000,
  score: 0,
};

export type Change = 'none' | 'figures' | 'facts';

/** `facts` (state, conditions, identity) are written at once; `figures` that left their band wait their turn. */
export function compareBrokerLoad(before: BrokerLoadStatus | undefined, after: BrokerLoadStatus): Change {
  // As most often of a thousand brokers that are well.
  if (isDeepStrictEqual(before, after)) return 'none';
  if (before === undefined || !isDeepStrictEqual(factsOf(before), factsOf(after))) return 'facts';
  const pairs = [
    ...figurePairs(before.usage, after.usage),
    ...figurePairs(before.pressure, after.pressure),
    ...figurePairs(before.rates, after.rates),
    ...figurePairs({ score: before.score }, { score: after.score }),
  ];
  const moved = pairs.some(({ name, from, to }) => {
    if (from === undefined || to === undefined) return from !== to;
    return Math.abs(to - from) > Math.max(FLOORS[name] ?? 0, BAND * Math.abs(from));
  });
  return moved || !isDeepStrictEqual(countsOf(before), countsOf(after)) ? 'figures' : 'none';
}

/** Exact, but none of them worth a write by itself for every broker at once. */
function countsOf({ topics, connections, rank }: BrokerLoadStatus): object {
  return { topics, connections, rank };
}

function factsOf(status: BrokerLoadStatus): unknown {
  const { conditions, podUID, brokerID, brokerURL, state, observedGeneration, usage, capacity } = status;
  const facts = { podUID, brokerID, brokerURL, state, observedGeneration, capacity };
  // A first figure is a fact, too: nobody should look at an empty column for ten seconds.
  const measured = [...Object.keys(usage ?? {}), ...Object.keys(status)].sort();
  return { ...facts, measured, sources: usage?.sources, conditions: (conditions ?? []).map(withoutMessage) };
}

/** Messages carry ages and counts; a new message alone is no fact. */
function withoutMessage({
  message: _message,
  ...condition
}: NonNullable<BrokerLoadStatus['conditions']>[number]): unknown {
  return condition;
}

function figurePairs(
  before: object | undefined,
  after: object | undefined,
): { name: string; from: number | undefined; to: number | undefined }[] {
  const from = new Map(Object.entries(before ?? {}));
  const to = new Map(Object.entries(after ?? {}));
  const names = new Set([...from.keys(), ...to.keys()]);
  return [...names].map((name) => ({ name, from: asNumber(from.get(name)), to: asNumber(to.get(name)) }));
}

function asNumber(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
