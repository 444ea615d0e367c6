/** Watches RebalancePolicies and keeps one runtime for each that can be acted on. */
import { isDeepStrictEqual } from 'node:util';
import { isProblem } from '../api/problem.ts';
import {
  type EffectiveSpec,
  effectiveSpec,
  endpointProblem,
  type RebalancePolicy,
  readPolicySpec,
} from '../api/rebalance-policy.ts';
import { createCalendar } from '../core/policy/windows.ts';
import { policyStatus } from '../core/status.ts';
import type { EtcdPort } from '../etcd/port.ts';
import type { KubeClient } from '../kube/client.ts';
import type { RecordEvent } from '../kube/events.ts';
import { createListWatch, objectKey } from '../kube/list-watch.ts';
import { createOwnWrites, recordWrites } from '../kube/own-writes.ts';
import { createReconciler, DONE, type ReconcileResult } from '../kube/reconcile.ts';
import type { Logger } from './logger.ts';
import type { OperatorMetrics } from './metrics.ts';
import { createPlanning } from './planning.ts';
import { type PolicyRuntime, startPolicyRuntime } from './policy-runtime.ts';
import { isCurrent, POLICIES, writePolicyStatus } from './publish.ts';

export interface ControllerOptions {
  readonly client: KubeClient;
  readonly connectEtcd: (endpoints: readonly string[]) => EtcdPort;
  readonly kubeSystemUID: string;
  readonly identity: string;
  readonly allowAnyEtcdEndpoint: boolean;
  readonly agentIntervalMs: number;
  readonly isLeading: () => boolean;
  readonly mayTakeFence: () => boolean;
  readonly log: Logger;
  readonly metrics: OperatorMetrics;
  readonly recordEvent: RecordEvent;
}

export interface Controller {
  /** Whether this process can act for every policy at once: it has read all that there is, or knows what it can not read. */
  isWarm(): boolean;
  /** Leadership came or went. */
  wake(): void;
  stop(): Promise<void>;
}

interface Running {
  readonly runtime: PolicyRuntime;
  /** What a runtime is built on; anything else it takes as an update. */
  readonly foundation: unknown;
  readonly uid: string;
}

const CONCURRENCY = 4;

export function startController(options: ControllerOptions): Controller {
  const { log } = options;
  const ownWrites = createOwnWrites({ shownUpTo: () => policies.shownUpTo() });
  const client = recordWrites({ client: options.client, resource: POLICIES, ownWrites });
  const kubeMetrics = options.metrics.kube.ofController('rebalancepolicy', CONCURRENCY);
  const running = new Map<string, Running>();
  /** Policies that were looked at, the invalid ones as well. */
  const known = new Set<string>();
  const planning = createPlanning();

  const policies = createListWatch<RebalancePolicy>({
    client,
    resource: POLICIES,
    onChange: (key) => queue.add(key),
    onError: (error, retryInMs) => log.warn({ error: error.message, retryInMs }, 'the watch of policies failed'),
  });
  const queue = createReconciler({
    reconcile,
    isReady: ownWrites.areVisible,
    onError: (key, error, retryInMs) => {
      const reason = error instanceof Error ? error.message : String(error);
      log.warn({ policy: key, error: reason, retryInMs }, 'a policy could not be reconciled');
    },
    concurrency: CONCURRENCY,
    observer: kubeMetrics.observer,
  });
  kubeMetrics.follow(queue);
  policies.start();

  async function reconcile(key: string): Promise<ReconcileResult> {
    known.add(key);
    const policy = policies.get(key);
    const old = running.get(key);
    if (policy === undefined || policy.metadata.deletionTimestamp !== undefined) {
      running.delete(key);
      // Nobody wants us to lead these brokers any more: they get their leader key back at once.
      await old?.runtime.stop(options.isLeading());
      return DONE;
    }
    const read = readPolicySpec(policy.spec);
    const spec = 'problems' in read ? undefined : effectiveSpec(read.spec);
    const problems = 'problems' in read ? read.problems : [...endpointProblems(policy), ...windowProblems(policy)];
    if (spec === undefined || problems.length > 0) {
      running.delete(key);
      await old?.runtime.stop(false);
      await reportInvalid(policy, problems);
      return { kind: 'terminal', error: new Error(problems.join('; ')) };
    }
    const foundation = { uid: policy.metadata.uid, endpoints: spec.etcd.endpoints, selector: spec.brokerSelector };
    if (old !== undefined && isDeepStrictEqual(old.foundation, foundation)) {
      old.runtime.update(policy, spec);
      return DONE;
    }
    running.delete(key);
    // Deleted and made again before we looked: the old one's leader id would keep the new one out until its lease ends.
    const replaced = old !== undefined && old.uid !== policy.metadata.uid;
    await old?.runtime.stop(replaced && options.isLeading());
    running.set(key, { foundation, uid: policy.metadata.uid, runtime: startRuntime(policy, spec) });
    return DONE;
  }

  function startRuntime(policy: RebalancePolicy, spec: EffectiveSpec): PolicyRuntime {
    log.info({ policy: policy.metadata.name, endpoints: spec.etcd.endpoints, mode: spec.mode }, 'following a policy');
    const { connectEtcd, allowAnyEtcdEndpoint: _allow, ...shared } = options;
    const etcd = connectEtcd(spec.etcd.endpoints);
    return startPolicyRuntime({ ...shared, client, planning, policy, spec, etcd });
  }

  function endpointProblems(policy: RebalancePolicy): readonly string[] {
    if (options.allowAnyEtcdEndpoint) return [];
    return policy.spec.etcd.endpoints.flatMap((endpoint) => {
      const problem = endpointProblem(endpoint, policy.metadata.namespace);
      return problem === null ? [] : [`spec.etcd.endpoints: ${problem}`];
    });
  }

  /** What the schema cannot tell: time zones that nobody knows, days that do not come. */
  function windowProblems({ spec }: RebalancePolicy): readonly string[] {
    const calendar = createCalendar(spec.rebalance?.windows ?? []);
    return isProblem(calendar) ? [`spec.rebalance.${calendar.problem}`] : [];
  }

  async function reportInvalid(policy: RebalancePolicy, problems: readonly string[]): Promise<void> {
    if (!options.isLeading() || !(await isCurrent(client, policy))) return;
    const facts = {
      generation: policy.metadata.generation,
      now: Date.now(),
      specProblems: problems,
      effective: undefined,
      etcdError: undefined,
      authority: { state: 'Connecting', message: 'the spec must be mended first' },
      operator: options.identity,
      cluster: undefined,
    } as const;
    const next = policyStatus(facts, policy.status);
    if (isDeepStrictEqual(next, policy.status)) return;
    const { namespace, name, uid } = policy.metadata;
    await writePolicyStatus(client, { namespace, name, uid }, next);
  }

  return {
    isWarm: () =>
      policies.hasSynced() &&
      policies.list().every((policy) => known.has(objectKey(policy))) &&
      [...running.values()].every(({ runtime }) => runtime.isWarm()),
    wake() {
      for (const { runtime } of running.values()) runtime.wake();
      for (const { metadata } of policies.list()) queue.add(`${metadata.namespace}/${metadata.name}`);
    },
    async stop() {
      await policies.stop();
      await queue.stop();
      // The leader key is not given up: the next replica takes it over while our lease still runs (design §4).
      await Promise.all([...running.values()].map(({ runtime }) => runtime.stop(false)));
      await planning.close();
    },
  };
}
