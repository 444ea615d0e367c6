/** What users see of a broker and of a policy, made from the snapshot and the decisions. Pure. */
import type { BrokerLoadStatus } from '../api/broker-load.ts';
import {
  type BrokerConditionUpdate,
  type Condition,
  type PolicyConditionUpdate,
  removeCondition,
  setCondition,
  type WithoutGeneration,
} from '../api/conditions.ts';
import { rebalanceStatus } from '../api/rebalance.ts';
import type { EffectiveSpec, RebalancePolicyStatus } from '../api/rebalance-policy.ts';
import { type Judgement, judgeAgent } from './agent-judgement.ts';
import type { Wait } from './assignment.ts';
import { brokerFigures } from './broker-figures.ts';
import { type BrokerFacts, brokersByPod } from './brokers.ts';
import { rankingInputs } from './placement.ts';
import type { PlanSummary } from './plan-status.ts';
import { type Rank, type RankBrokers, rankBrokers } from './rank-order.ts';
import type { BrokerPod, Snapshot } from './snapshot.ts';

export interface BrokerView {
  /** Of the BrokerLoad: the Pod's name, or `broker-<id>`. */
  readonly name: string;
  readonly pod: BrokerPod | undefined;
  readonly broker: BrokerFacts | undefined;
  readonly rank: Rank | undefined;
}

/** One view for each broker Pod and for each registered broker without one, by name. */
export function viewBrokers(
  snapshot: Snapshot,
  brokers: ReadonlyMap<string, BrokerFacts>,
  ranking: EffectiveSpec['ranking'],
  rank: RankBrokers = rankBrokers,
): readonly BrokerView[] {
  const views: { name: string; pod: BrokerPod | undefined; broker: BrokerFacts | undefined }[] = [];
  const inPods = brokersByPod(snapshot, brokers);
  for (const pod of snapshot.pods) views.push({ name: pod.name, pod, broker: inPods.get(pod.name) });
  for (const broker of brokers.values()) {
    if (broker.pod === undefined && snapshot.metadata.registrations.has(broker.id)) {
      views.push({ name: `broker-${broker.id}`, pod: undefined, broker });
    }
  }
  // The first is the one that gets the next topic, so those that take none are not ranked.
  const ranked = views.flatMap(({ broker }) => (broker?.accepting ? [broker] : []));
  const ranks = new Map(rank(ranking, rankingInputs(snapshot, ranked)).map((it) => [it.broker, it]));
  return views
    .map((view) => ({ ...view, rank: view.broker && ranks.get(view.broker.id) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** `previous` keeps the id of a broker that is gone, so that its death can be judged by the next leader too. */
export function brokerLoadStatus(
  snapshot: Snapshot,
  view: BrokerView,
  previous: BrokerLoadStatus | undefined,
  generation: number,
): BrokerLoadStatus {
  const { broker, pod, rank } = view;
  const agent = pod && snapshot.agents.get(pod.uid);
  const judgement = judgeAgent(agent, pod, snapshot.now);
  const report = broker && snapshot.metadata.reports.get(broker.id);
  const brokerID = broker?.id ?? previous?.brokerID;
  const brokerURL = (broker && snapshot.metadata.registrations.get(broker.id)?.brokerUrl) ?? previous?.brokerURL;
  const podUID = podUIDOf(snapshot, view, previous);
  const state = stateOf(broker, brokerID);
  const now = new Date(snapshot.now);
  let conditions: readonly Condition[] = previous?.conditions ?? [];
  for (const update of [readiness(view, brokerID), metricsUsable(judgement)]) {
    conditions = setCondition(conditions, { ...update, observedGeneration: generation }, now);
  }
  return {
    observedGeneration: generation,
    conditions: [...conditions],
    ...(podUID !== undefined && { podUID }),
    ...(brokerID !== undefined && { brokerID }),
    ...(brokerURL !== undefined && { brokerURL }),
    ...(state !== undefined && { state }),
    ...brokerFigures({ pod, agent: agent?.last, judgement, report }),
    topics: brokerID === undefined ? 0 : (snapshot.metadata.topicsOf.get(brokerID)?.size ?? 0),
    ...(rank !== undefined && { score: rank.score, rank: rank.rank }),
  };
}

/** Goes with the id: a Pod that was made again under its name did not run the broker of before. */
function podUIDOf(
  snapshot: Snapshot,
  { broker, pod }: BrokerView,
  previous: BrokerLoadStatus | undefined,
): string | undefined {
  if (broker !== undefined) return snapshot.remembered.get(broker.id)?.podUID;
  return previous?.brokerID === undefined ? pod?.uid : previous.podUID;
}

function stateOf(broker: BrokerFacts | undefined, brokerID: string | undefined): BrokerLoadStatus['state'] {
  if (broker === undefined) return brokerID === undefined ? undefined : 'Lost';
  if (broker.mode === 'draining') return 'Draining';
  if (broker.mode === 'drained') return 'Drained';
  return 'Active';
}

function readiness(
  { broker, pod }: BrokerView,
  brokerID: string | undefined,
): WithoutGeneration<BrokerConditionUpdate> {
  if (broker?.accepting) return { type: 'Ready', status: 'True', reason: 'Serving', message: 'takes topics' };
  if (broker !== undefined) {
    return { type: 'Ready', status: 'False', reason: 'NotAccepting', message: whyNotAccepting(broker) };
  }
  if (brokerID !== undefined) {
    const where = pod === undefined ? 'its Pod is gone' : `Pod ${pod.name} is there; look into the broker's log`;
    return {
      type: 'Ready',
      status: 'False',
      reason: 'Lost',
      message: `broker ${brokerID} is gone; ${where}`,
    };
  }
  return { type: 'Ready', status: 'False', reason: 'NotRegistered', message: 'no broker has registered from this Pod' };
}

function whyNotAccepting({ mode, pod }: BrokerFacts): string {
  if (mode !== 'active') return `is in state ${mode} and takes no topics; activate it to change that`;
  if (pod?.deleting) return 'is registered, and its Pod is being deleted';
  return 'is registered, and neither its admin port nor a load report since its start says yet that it watches its assignments';
}

function metricsUsable(judgement: Judgement): WithoutGeneration<BrokerConditionUpdate> {
  const type = 'MetricsUsable';
  if (!judgement.usable) return { type, status: 'False', reason: judgement.reason, message: judgement.message };
  const { identity, cpu } = judgement.sample;
  return { type, status: 'True', reason: 'Fresh', message: identity.reason ?? `measured from ${cpu.source}` };
}

/** Where the operator stands with the brokers' etcd, for status. */
export interface AuthorityView {
  readonly state:
    | 'NotWanted'
    | 'Connecting'
    | 'Held'
    | 'HeldByBroker'
    | 'Fenced'
    | 'PolicyConflict'
    | 'ForeignOperator';
  readonly message: string;
  readonly epoch?: number;
  /** Epoch ms until which we only look on; undefined if we do not. */
  readonly quietUntil?: number;
  readonly clusterUID?: string;
  /** Why nothing can be written at the moment. */
  readonly error?: string;
}

export interface PolicyFacts {
  readonly generation: number;
  readonly now: number;
  /** What keeps the spec from being acted on. */
  readonly specProblems: readonly string[];
  readonly effective: EffectiveSpec | undefined;
  readonly etcdError: string | undefined;
  readonly authority: AuthorityView;
  readonly operator: string;
  /** Absent until the load model has looked at the brokers. */
  readonly planning?: PlanSummary;
  /** Undefined until etcd was read once. */
  readonly cluster:
    | {
        readonly snapshot: Snapshot;
        readonly brokers: ReadonlyMap<string, BrokerFacts>;
        readonly views: readonly BrokerView[];
        readonly waits: readonly Wait[];
      }
    | undefined;
}

export function policyStatus(facts: PolicyFacts, previous: RebalancePolicyStatus | undefined): RebalancePolicyStatus {
  const { cluster, authority, effective, generation } = facts;
  const now = new Date(facts.now);
  let conditions: readonly Condition[] = previous?.conditions ?? [];
  for (const update of policyConditionUpdates(facts)) {
    conditions = setCondition(conditions, { ...update, observedGeneration: generation }, now);
  }
  const present = new Set(policyConditionUpdates(facts).map((update) => update.type as string));
  for (const type of ['Stalled', 'Reconciling']) if (!present.has(type)) conditions = removeCondition(conditions, type);
  const metadata = cluster?.snapshot.metadata;
  return {
    observedGeneration: generation,
    conditions: [...conditions],
    operator: facts.operator,
    ...(effective !== undefined && {
      effective: {
        etcd: { storageRootPrefixes: storageRoots(effective, cluster?.snapshot) },
        ranking: effective.ranking,
        failover: effective.failover,
        rebalance: rebalanceStatus(effective.rebalance),
      },
    }),
    ...(authority.clusterUID !== undefined && { clusterUID: authority.clusterUID }),
    ...facts.planning?.status,
    ...(authority.epoch !== undefined && { fencingEpoch: authority.epoch }),
    ...(metadata?.leader !== undefined && { leaderID: metadata.leader.id }),
    ...(cluster !== undefined &&
      metadata !== undefined && {
        brokers: {
          total: cluster.views.length,
          live: cluster.views.filter((view) => view.broker !== undefined).length,
        },
        topics: {
          total: metadata.topics.size,
          unserved: countUnserved(cluster.snapshot, cluster.brokers),
          reliable: metadata.reliableTopics,
        },
      }),
  };
}

function storageRoots(effective: EffectiveSpec, snapshot: Snapshot | undefined): string[] {
  if (effective.etcd.storageRootPrefix !== undefined) return [effective.etcd.storageRootPrefix];
  return [...(snapshot?.metadata.storageRoots ?? [])].sort().slice(0, 8);
}

/** Topics that no live broker owns. */
export function countUnserved(snapshot: Snapshot, brokers: ReadonlyMap<string, BrokerFacts>): number {
  const { unowned, topicsOf, owners } = snapshot.metadata;
  const isLive = (broker: string) => brokers.get(broker)?.liveness.state === 'Live';
  const unserved = new Set(unowned);
  for (const [broker, topics] of topicsOf) {
    if (isLive(broker)) continue;
    for (const topic of topics) if (![...(owners.get(topic)?.keys() ?? [])].some(isLive)) unserved.add(topic);
  }
  return unserved.size;
}

type PolicyUpdate = WithoutGeneration<PolicyConditionUpdate>;

function policyConditionUpdates(facts: PolicyFacts): readonly PolicyUpdate[] {
  return [
    ...readyUpdates(facts),
    servedUpdate(facts),
    metricsUpdate(facts),
    balancedUpdate(facts),
    leadingUpdate(facts),
  ];
}

function readyUpdates({ specProblems, authority, etcdError, cluster }: PolicyFacts): readonly PolicyUpdate[] {
  const stalled = (
    reason: 'InvalidSpec' | 'PolicyConflict' | 'ForeignOperator',
    message: string,
  ): readonly PolicyUpdate[] => [
    { type: 'Ready', status: 'False', reason, message },
    { type: 'Stalled', status: 'True', reason, message },
  ];
  if (specProblems.length > 0) return stalled('InvalidSpec', specProblems.join('; '));
  if (authority.state === 'PolicyConflict' || authority.state === 'ForeignOperator') {
    return stalled(authority.state, authority.message);
  }
  if (etcdError !== undefined) {
    return [
      { type: 'Ready', status: 'False', reason: 'EtcdUnreachable', message: etcdError },
      { type: 'Reconciling', status: 'True', reason: 'EtcdUnreachable', message: 'tries again and again' },
    ];
  }
  if (cluster === undefined) {
    const message = "reads the brokers' metadata for the first time";
    return [
      { type: 'Ready', status: 'False', reason: 'Starting', message },
      { type: 'Reconciling', status: 'True', reason: 'Starting', message },
    ];
  }
  const updates: PolicyUpdate[] = [];
  if (authority.quietUntil !== undefined) {
    const message = `took the leader key over from a broker; looks on until ${new Date(authority.quietUntil).toISOString()}`;
    updates.push({ type: 'Reconciling', status: 'True', reason: 'QuietPeriod', message });
  }
  if (cluster.views.length === 0) {
    const message = 'no Pod matches spec.brokerSelector and no broker is registered in etcd';
    return [...updates, { type: 'Ready', status: 'False', reason: 'NoBrokers', message }];
  }
  const message = `${cluster.views.length} brokers, ${cluster.snapshot.metadata.topics.size} topics`;
  return [...updates, { type: 'Ready', status: 'True', reason: 'Reconciled', message }];
}

function servedUpdate({ cluster, etcdError, authority }: PolicyFacts): PolicyUpdate {
  const type = 'TopicsServed';
  if (cluster === undefined || etcdError !== undefined) {
    return { type, status: 'Unknown', reason: 'EtcdUnreachable', message: etcdError ?? 'etcd has not been read yet' };
  }
  const unserved = countUnserved(cluster.snapshot, cluster.brokers);
  if (unserved === 0) {
    const message = `all ${cluster.snapshot.metadata.topics.size} topics have a live owner${doubts(cluster)}`;
    return { type, status: 'True', reason: 'AllServed', message };
  }
  const why =
    authority.state === 'Held'
      ? explainWaits(cluster.waits)
      : `The operator assigns nothing now: ${authority.message}.`;
  const message = `${unserved} topics have no live owner. ${why}`.trim();
  return { type, status: 'False', reason: 'Unserved', message };
}

/** What is wrong although every topic is served: it would otherwise be seen nowhere. */
function doubts({ snapshot, waits }: NonNullable<PolicyFacts['cluster']>): string {
  const { doublyOwned } = snapshot.metadata;
  const [example] = doublyOwned;
  if (example === undefined) return '';
  const why = explainWaits(waits) || 'Unload it from one of them.';
  return `; ${doublyOwned.length} of them have several, for example ${example}. ${why}`;
}

/** `12 AwaitingSamePod, for example /default/a: its owner …`: one example for each reason, and for each rule that leaves no broker. */
function explainWaits(waits: readonly Wait[]): string {
  const byReason = Map.groupBy(waits, ({ reason, rule = '' }) => `${reason} ${rule}`);
  return [...byReason.values()]
    .map((alike) => `${alike.length} ${alike[0]?.reason}, for example ${alike[0]?.topic}: ${alike[0]?.message}.`)
    .join(' ');
}

function balancedUpdate({ planning }: PolicyFacts): PolicyUpdate {
  const message = 'the load of the brokers was not looked at yet';
  return planning?.balanced ?? { type: 'Balanced', status: 'Unknown', reason: 'MetricsUnusable', message };
}

function metricsUpdate({ cluster }: PolicyFacts): PolicyUpdate {
  const type = 'MetricsUsable';
  const live = cluster?.views.filter((view) => view.broker !== undefined) ?? [];
  if (cluster === undefined || live.length === 0) {
    return { type, status: 'Unknown', reason: 'NoBrokers', message: 'there is no live broker to measure' };
  }
  const { agents, now } = cluster.snapshot;
  const unusable = Map.groupBy(
    live.flatMap(({ name, pod }) => {
      const judgement = judgeAgent(pod && agents.get(pod.uid), pod, now);
      return judgement.usable ? [] : [{ name, reason: judgement.reason }];
    }),
    ({ reason }) => reason,
  );
  const examples = [...unusable].map(([reason, brokers]) => {
    const names = brokers.slice(0, 10).map(({ name }) => name);
    return `${brokers.length} ${reason} (${names.join(', ')})`;
  });
  const message = `the figures of some of ${live.length} brokers are not used: ${examples.join(', ')}`;
  if (unusable.has('NoAgent')) return { type, status: 'False', reason: 'NoAgent', message };
  if (unusable.size > 0) return { type, status: 'False', reason: 'Unusable', message };
  return { type, status: 'True', reason: 'Fresh', message: `fresh figures of ${live.length} brokers` };
}

function leadingUpdate({ authority }: PolicyFacts): PolicyUpdate {
  const { message } = authority;
  switch (authority.state) {
    case 'Held':
      return { type: 'Leading', status: 'True', reason: 'Held', message };
    case 'NotWanted':
    case 'HeldByBroker':
    case 'Fenced':
      return { type: 'Leading', status: 'False', reason: authority.state, message };
    default:
      return { type: 'Leading', status: 'Unknown', reason: 'Connecting', message };
  }
}
