/**
 * All that runs for one policy: it follows the brokers' etcd and Pods, decides, acts and reports. Followers are warm: a
 * replica that does not lead keeps the same picture and writes nothing.
 */

import { isDeepStrictEqual } from 'node:util';
import type { BrokerLoad } from '../api/broker-load.ts';
import { type EffectiveSpec, type RebalancePolicy, rebalancePolicyResource } from '../api/rebalance-policy.ts';
import { apiVersion } from '../api/resource.ts';
import type { AgentRecord } from '../core/agent-record.ts';
import { type Assign, decideAssignments, type Wait } from '../core/assignment.ts';
import type { BrokerFacts } from '../core/brokers.ts';
import { hostOf } from '../core/places.ts';
import { createStanding } from '../core/policy/standing.ts';
import { createTopicGroups } from '../core/policy/topic-groups.ts';
import type { BrokerRegistration, ClusterMetadata, Snapshot } from '../core/snapshot.ts';
import type { AuthorityView } from '../core/status.ts';
import { parseKey } from '../danube/keys.ts';
import type { MetadataFold } from '../danube/metadata.ts';
import { followMetadata } from '../etcd/follow.ts';
import { EtcdError, type EtcdPort, type WatchedEvent } from '../etcd/port.ts';
import type { KubeClient } from '../kube/client.ts';
import { KubeError } from '../kube/client.ts';
import type { RecordEvent } from '../kube/events.ts';
import { createListWatch } from '../kube/list-watch.ts';
import { createOwnWrites, recordWrites } from '../kube/own-writes.ts';
import { type AdminTarget, startAdminProber } from './admin-ports.ts';
import { startAgentPuller } from './agents.ts';
import { createAuthority } from './authority.ts';
import { createBalanceWatch } from './balance.ts';
import { execute, HISTORY_PREFIX } from './execute.ts';
import type { Logger } from './logger.ts';
import { createMemory } from './memory.ts';
import type { OperatorMetrics } from './metrics.ts';
import { createPicture } from './picture.ts';
import type { Planning } from './planning.ts';
import { agentPort, PODS, type Pod } from './pods.ts';
import { BROKER_LOADS, brokerLoadSelector, isCurrent } from './publish.ts';
import { type Cluster, createReporter } from './reporter.ts';
import { createRuleEpisodes } from './rule-episodes.ts';

export interface PolicyRuntimeOptions {
  readonly client: KubeClient;
  readonly etcd: EtcdPort;
  readonly policy: RebalancePolicy;
  readonly spec: EffectiveSpec;
  readonly kubeSystemUID: string;
  readonly identity: string;
  readonly isLeading: () => boolean;
  /** The Lease is certainly ours now. */
  readonly mayTakeFence: () => boolean;
  readonly log: Logger;
  readonly metrics: OperatorMetrics;
  readonly recordEvent: RecordEvent;
  readonly agentIntervalMs: number;
  /** Shared by all policies: plans wait for each other. */
  readonly planning: Planning;
}

export interface PolicyRuntime {
  /** Whether it has looked at the whole cluster once, or etcd has not let it for so long that nobody should wait for that. */
  isWarm(): boolean;
  /** The spec's decisions (mode, ranking, failover) changed, or the object's generation did. */
  update(policy: RebalancePolicy, spec: EffectiveSpec): void;
  /** Look again now: leadership changed. */
  wake(): void;
  /** Ends after what is in flight. With `giveUp` the brokers get their leader key back at once. */
  stop(giveUp: boolean): Promise<void>;
}

/** Time passes without an event too: waits end, reports age. */
const TICK_MS = 500;
/** Where all is well, everything is looked at once more after this long: no event is trusted to have come. */
const RESYNC_MS = 10_000;
const BALANCE_EVERY_MS = 10_000;
const CONFIRM_PAUSE_FIRST_MS = 100;
const CONFIRM_PAUSE_MAX_MS = 10_000;
const HISTORY_KEPT = 200;
const STOP_PATIENCE_MS = 5000;
/** One policy whose etcd is gone must not keep a replica from serving the others, nor a roll-out from going on. */
const WARM_PATIENCE_MS = 30_000;

/** Whole epoch ms that neither jump nor go back: waits are measured by them. */
function now(): number {
  return Math.round(performance.timeOrigin + performance.now());
}

export function startPolicyRuntime(options: PolicyRuntimeOptions): PolicyRuntime {
  const { client, etcd, log, metrics } = options;
  const { namespace, name: policyName } = options.policy.metadata;
  const labels = { namespace, policy: policyName };
  const stopped = new AbortController();
  const memory = createMemory();
  const agents = new Map<string, AgentRecord>();
  let { policy, spec } = options;
  let groups = createTopicGroups(spec.placement?.spread ?? []);
  let standing = createStanding(spec.placement ?? {}, groups);
  const createdAt = performance.now();
  let fold: MetadataFold | undefined;
  let etcdError: string | undefined;
  /** Why the last cycle could not be carried through. */
  let stepError: string | undefined;
  let lastWaits: readonly Wait[] = [];
  const ruleEpisodes = createRuleEpisodes();
  let wakeUp: () => void = () => undefined;
  let dirty = false;
  /** At the last look nothing was waited for: then only an event can give us something to do. */
  let isSettled = false;
  /** Something has happened since the last look. */
  let mustLook = true;
  let lookedAt = 0;
  /** Something has happened since the last report to the users. */
  let hasNews = true;
  /** The API server itself has the policy as we have it. */
  let isConfirmed = false;
  let isConfirming = false;
  let confirmProblem: string | undefined;
  let confirmPauseMs = CONFIRM_PAUSE_FIRST_MS;
  let confirmNextAt = 0;

  const authority = createAuthority({
    etcd,
    policy: { namespace, name: policyName, uid: policy.metadata.uid },
    kubeSystemUID: options.kubeSystemUID,
    identity: options.identity,
    mayTakeFence: options.mayTakeFence,
    log,
    now,
  });

  // What was written and is not shown yet must not be written again.
  const ownWrites = createOwnWrites({ shownUpTo: () => brokerLoads.shownUpTo() });
  const reporter = createReporter({
    client: recordWrites({ client, resource: BROKER_LOADS, ownWrites }),
    isShown: ownWrites.areVisible,
    identity: options.identity,
    metrics,
  });

  const balance = createBalanceWatch({
    policy: policyName,
    planning: options.planning,
    isAgainstRules: ({ snapshot, brokers }) => standing.isAgainstRules(snapshot.metadata.topicNumbers, brokers),
    log,
  });
  const picture = createPicture({
    namespace,
    memory,
    pods: () => pods.list(),
    brokerLoads: () => brokerLoads.list(),
    agents: () => agents,
    balance: () => balance.balance(),
    now,
  });

  function wake(): void {
    picture.changed();
    hasNews = true;
    mustLook = true;
    dirty = true;
    wakeUp();
  }

  /** A thousand brokers report all the time. Only the first report of each is waited for; the others are in time at the next look. */
  function isAnotherReport({ entry }: WatchedEvent): boolean {
    const key = parseKey(entry.key);
    return key.kind === 'loadReport' && memory.reportSeenAt.has(key.broker);
  }

  const labelSelector = Object.entries(spec.brokerSelector.matchLabels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
  const onError = (error: KubeError, retryInMs: number) =>
    log.warn({ policy: policyName, error: error.message, retryInMs }, 'the API server did not answer a watch');
  const pods = createListWatch<Pod>({ client, resource: PODS, namespace, labelSelector, onChange: wake, onError });
  const brokerLoads = createListWatch<BrokerLoad>({
    client,
    resource: BROKER_LOADS,
    namespace,
    labelSelector: brokerLoadSelector(policyName),
    onChange() {
      hasNews = true;
    },
    onError,
  });
  pods.start();
  brokerLoads.start();

  const following = followMetadata({
    etcd,
    signal: stopped.signal,
    onChange(changed, events) {
      fold = changed;
      if (events?.every(isAnotherReport)) picture.changed();
      else wake();
    },
    onHealth(error) {
      if (error?.message !== etcdError) {
        if (error !== undefined) log.warn({ policy: policyName, error: error.message }, 'etcd does not answer');
        else if (etcdError !== undefined) log.info({ policy: policyName }, 'etcd answers again');
      }
      etcdError = error?.message;
      wake();
    },
    onVerified(difference) {
      if (difference === undefined) return;
      metrics.divergences.inc(labels);
      log.error({ policy: policyName, difference }, 'the picture of etcd was wrong; reading everything again');
    },
  });

  const puller = startAgentPuller({
    intervalMs: options.agentIntervalMs,
    timeoutMs: Math.min(options.agentIntervalMs, 2000),
    targets: () =>
      pods.list().flatMap((pod) => {
        const { uid } = pod.metadata;
        const host = pod.status?.podIP;
        const port = agentPort(pod);
        return uid === undefined || host === undefined || port === undefined ? [] : [{ podUID: uid, host, port }];
      }),
    onReport(podUID, record, topics) {
      if (topics !== null) balance.noteTopics(podUID, topics, now());
      const isFirst = record.last !== undefined && agents.get(podUID)?.last === undefined;
      agents.set(podUID, record);
      if (isFirst) wake();
      else picture.changed();
    },
    onProblem: (target, problem) => {
      metrics.agentProblems.inc(labels);
      if (agents.has(target.podUID)) return;
      log.info(
        { policy: policyName, podUID: target.podUID, host: target.host, problem },
        'the agent did not answer yet',
      );
    },
  });

  const prober = startAdminProber({
    targets() {
      const targets: AdminTarget[] = [];
      // Asked for several times a second, and most often there is none.
      const registrations = fold?.metadata.registrations ?? new Map<string, BrokerRegistration>();
      for (const broker of registrations.keys()) {
        if (memory.adminAnswered.has(broker)) continue;
        const { brokerUrl = '', adminPort } = registrations.get(broker) ?? {};
        const host = hostOf(brokerUrl);
        if (host !== undefined && adminPort !== undefined) targets.push({ broker, host, port: adminPort });
      }
      return targets;
    },
    onAnswer(broker) {
      memory.adminAnswered.add(broker);
      wake();
    },
  });

  /**
   * Before a leader does anything for a policy it asks for the policy itself. The cache of a server that lags shows one that may
   * have been made again since, under the same name, or have another mode: acting for that one would harm the new one.
   */
  async function confirm(): Promise<void> {
    if (isConfirming || performance.now() < confirmNextAt) return;
    isConfirming = true;
    try {
      isConfirmed = await isCurrent(client, policy);
      if (isConfirmed) wake();
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      if (error.message !== confirmProblem) {
        log.warn({ policy: policyName, error: error.message }, 'the policy could not be confirmed; trying again');
      }
      confirmProblem = error.message;
    } finally {
      isConfirming = false;
      confirmPauseMs = Math.min(CONFIRM_PAUSE_MAX_MS, confirmPauseMs * 2);
      confirmNextAt = performance.now() + confirmPauseMs;
    }
  }

  /** Gather, decide, act, once. */
  async function cycle(): Promise<void> {
    if (options.isLeading() && !isConfirmed) void confirm();
    const leads = options.isLeading() && isConfirmed;
    const metadata = fold?.metadata;
    if (metadata === undefined || !pods.hasSynced() || !brokerLoads.hasSynced()) return;
    if (leads) await authority.step(metadata, spec.mode !== 'Observe');
    stepError = undefined;
    const current = fold?.metadata;
    // Own writes first: what is decided from a picture without them would be decided twice. The next event wakes us.
    if (current === undefined || current.revision < authority.mustSee()) return;
    if (isSettled && !mustLook && performance.now() - lookedAt < RESYNC_MS) return;
    mustLook = false;
    // A follower looks as well: its memory is warm.
    const { snapshot, brokers } = look(current);
    groups.follow(current.topicNumbers);
    lookedAt = performance.now();
    const mayAct = leads && etcdError === undefined && authority.mayAct(snapshot.now);
    const decisions = mayAct ? decideAssignments(snapshot, brokers, { ...spec, groups }) : [];
    lastWaits = decisions.filter((decision) => decision.kind === 'Wait');
    const assigns = decisions.filter((decision) => decision.kind === 'Assign');
    isSettled =
      decisions.length === 0 &&
      (mayAct || !leads || spec.mode === 'Observe') &&
      [...brokers.values()].every(({ liveness }) => liveness.state === 'Live');
    if (!mayAct) return;
    for (const wait of ruleEpisodes.begun(lastWaits)) reportRule(wait);
    if (assigns.length > 0) await act(snapshot, brokers, assigns);
    await pruneHistory(current);
  }

  function look(metadata: ClusterMetadata): Cluster {
    const livePods = new Set(pods.list().map(({ metadata: { uid } }) => uid));
    for (const uid of agents.keys()) if (!livePods.has(uid)) agents.delete(uid);
    return picture.look(metadata);
  }

  async function act(
    snapshot: Snapshot,
    brokers: ReadonlyMap<string, BrokerFacts>,
    assigns: readonly Assign[],
  ): Promise<void> {
    const deaths = new Map(
      [...memory.deadSince].map(([id, provenAt]) => [
        id,
        { pod: brokers.get(id)?.pod?.name ?? memory.remembered.get(id)?.podName, provenAt },
      ]),
    );
    const execution = await execute({
      etcd,
      authority,
      metadata: snapshot.metadata,
      assigns,
      seed: spec.failover,
      storageRoot: spec.etcd.storageRootPrefix,
      deaths,
      now,
    });
    report(execution.applied, deaths);
    for (const { topic } of execution.applied) memory.formerHosts.delete(topic);
    for (const [topic, hosts] of execution.formerHosts) memory.formerHosts.set(topic, hosts);
    if (execution.formerHosts.size > 0) wake();
    metrics.refusedTransactions.inc(labels, execution.refused.length);
  }

  function report(applied: readonly Assign[], deaths: ReadonlyMap<string, { pod: string | undefined }>): void {
    for (const [reason, count] of countBy(applied, (assign) => assign.reason)) {
      metrics.assignments.inc({ ...labels, reason }, count);
      log.info({ policy: policyName, reason, topics: count, revision: fold?.metadata.revision }, 'assigned topics');
    }
    const failedOver = applied.filter((assign) => assign.release !== undefined);
    for (const [broker, count] of countBy(failedOver, (assign) => assign.release?.broker ?? '')) {
      const proof = failedOver.find((assign) => assign.release?.broker === broker)?.release?.proof;
      const pod = deaths.get(broker)?.pod;
      metrics.failovers.inc({ ...labels, proof: proof ?? '' });
      options.recordEvent({
        regarding: { apiVersion, kind: rebalancePolicyResource.kind, metadata: policy.metadata },
        type: 'Warning',
        reason: 'BrokerFailedOver',
        action: 'AssignTopics',
        note: `broker ${broker} of Pod ${pod ?? 'unknown'} ${proof === 'RegistrationLost' ? 'has lost its registration and still runs' : `is dead (${proof})`}; topics with a new owner: ${count}. Clients that do not reconnect by themselves must be restarted.`,
      });
    }
  }

  function reportRule({ reason, topic, message }: Wait): void {
    log.warn({ policy: policyName, topic, message }, 'a rule keeps topics waiting');
    options.recordEvent({
      regarding: { apiVersion, kind: rebalancePolicyResource.kind, metadata: policy.metadata },
      type: 'Warning',
      reason,
      action: 'AssignTopics',
      note: `topics have no owner and wait, for example ${topic}: ${message}`,
    });
  }

  async function pruneHistory(current: ClusterMetadata): Promise<void> {
    const keys = [...current.own.keys()].filter((key) => key.startsWith(HISTORY_PREFIX)).sort();
    const old = keys.slice(0, Math.max(0, keys.length - HISTORY_KEPT)).slice(0, 100);
    if (old.length > 0)
      await authority.commit(
        [],
        old.map((key) => ({ delete: key })),
      );
  }

  function nextWake(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async function decideLoop(): Promise<void> {
    while (!stopped.signal.aborted) {
      if (!dirty) await nextWake(TICK_MS);
      dirty = false;
      const startedAt = performance.now();
      try {
        await cycle();
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        stepError = error.message;
        log.warn({ policy: policyName, error: error.message }, 'a cycle ended early; what was written is read back');
        await nextWake(TICK_MS);
      }
      metrics.cycleSeconds.observe(labels, (performance.now() - startedAt) / 1000);
    }
  }

  /** Reporting must never hold up an assignment, so it has a loop of its own. */
  async function publishLoop(): Promise<void> {
    let publishedAt = 0;
    let published: AuthorityView | undefined;
    while (!stopped.signal.aborted) {
      const isDue =
        hasNews ||
        !isSettled ||
        performance.now() - publishedAt >= RESYNC_MS ||
        !isDeepStrictEqual(published, authority.view());
      try {
        if (isDue && isConfirmed && options.isLeading()) {
          hasNews = false;
          publishedAt = performance.now();
          published = authority.view();
          await publish();
        }
      } catch (error) {
        if (!(error instanceof KubeError)) throw error;
        hasNews = true;
        log.warn({ policy: policyName, error: error.message }, 'status was not written; it will be tried again');
      }
      await untilStopped(1000);
    }
  }

  /** How even the load is changes slowly; and a plan, which takes its time, must hold up nothing. */
  async function balanceLoop(): Promise<void> {
    let led = false;
    while (!stopped.signal.aborted) {
      const metadata = fold?.metadata;
      if (metadata !== undefined && pods.hasSynced() && brokerLoads.hasSynced()) {
        const leads = options.isLeading();
        // Gathering a million topics for a plan takes this thread a second, and who has just begun to lead is waited for.
        await balance.look(look(metadata), spec, leads && led);
        led = leads;
        metrics.setBalance(labels, balance.figures());
        await untilStopped(BALANCE_EVERY_MS);
      } else await untilStopped(TICK_MS);
    }
  }

  /** Resolves after this long, or when the runtime is stopped. */
  function untilStopped(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        stopped.signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      stopped.signal.addEventListener('abort', done);
    });
  }

  async function publish(): Promise<void> {
    const metadata = fold?.metadata;
    const synced = metadata !== undefined && pods.hasSynced() && brokerLoads.hasSynced();
    const cluster = synced ? look(metadata) : undefined;
    const next = await reporter.report({
      policy,
      spec,
      cluster,
      brokerLoads: brokerLoads.list(),
      waits: lastWaits,
      etcdError: etcdError ?? authority.view().error ?? stepError,
      authority: authority.view(),
      planning: balance.summary(spec),
      mayGoOn: () => options.isLeading() && !stopped.signal.aborted,
    });
    policy = { ...policy, status: next };
  }

  const loops = Promise.all([decideLoop(), publishLoop(), balanceLoop(), following]);
  loops.catch((error: unknown) => {
    // A fault in our own code: end the process and let the other replica go on, rather than half work.
    log.error({ policy: policyName, error: error instanceof Error ? error.stack : String(error) }, 'a loop failed');
    process.exitCode = 1;
    process.kill(process.pid, 'SIGTERM');
  });

  return {
    isWarm: () => lookedAt > 0 || (etcdError !== undefined && performance.now() - createdAt > WARM_PATIENCE_MS),
    update(nextPolicy, nextSpec) {
      policy = nextPolicy;
      if (!isDeepStrictEqual(nextSpec.placement, spec.placement)) {
        groups = createTopicGroups(nextSpec.placement?.spread ?? []);
        standing = createStanding(nextSpec.placement ?? {}, groups);
      }
      spec = nextSpec;
      confirmNextAt = 0;
      wake();
    },
    wake,
    async stop(giveUp) {
      stopped.abort();
      balance.stop();
      wake();
      puller.stop();
      prober.stop();
      // An etcd that is gone for good never tells an outcome.
      const patience = setTimeout(authority.abandon, STOP_PATIENCE_MS);
      try {
        await Promise.allSettled([loops]);
        await Promise.all([pods.stop(), brokerLoads.stop()]);
        await authority.close(giveUp);
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        log.warn(
          { policy: policyName, error: error.message },
          'the leader key was not given up; its lease ends by itself',
        );
      } finally {
        clearTimeout(patience);
        metrics.forget(labels);
        etcd.close();
      }
    },
  };
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1);
  return counts;
}
