/** Writes what one policy's users see: its BrokerLoads, its status, its metrics. Each only when it says something new. */
import { isDeepStrictEqual } from 'node:util';
import type { BrokerLoad, BrokerLoadStatus } from '../api/broker-load.ts';
import type { EffectiveSpec, RebalancePolicy, RebalancePolicyStatus } from '../api/rebalance-policy.ts';
import type { Wait } from '../core/assignment.ts';
import type { BrokerFacts } from '../core/brokers.ts';
import type { PlanSummary } from '../core/plan-status.ts';
import { createRanker } from '../core/rank-order.ts';
import type { Snapshot } from '../core/snapshot.ts';
import {
  type AuthorityView,
  type BrokerView,
  brokerLoadStatus,
  countUnserved,
  policyStatus,
  viewBrokers,
} from '../core/status.ts';
import { isNotFound, type KubeClient, KubeError } from '../kube/client.ts';
import { objectKey } from '../kube/list-watch.ts';
import type { OperatorMetrics } from './metrics.ts';
import {
  compareBrokerLoad,
  deleteBrokerLoad,
  ensureBrokerLoad,
  writeBrokerLoadStatus,
  writePolicyStatus,
} from './publish.ts';

export interface Cluster {
  readonly snapshot: Snapshot;
  readonly brokers: ReadonlyMap<string, BrokerFacts>;
}

export interface Report {
  readonly policy: RebalancePolicy;
  readonly spec: EffectiveSpec;
  /** Undefined until etcd and the API server were read once. */
  readonly cluster: Cluster | undefined;
  readonly brokerLoads: readonly BrokerLoad[];
  readonly waits: readonly Wait[];
  readonly etcdError: string | undefined;
  readonly authority: AuthorityView;
  readonly planning: PlanSummary;
  /** Asked before each write: a replica that ends, or leads no more, writes nothing further. */
  readonly mayGoOn: () => boolean;
}

export interface ReporterOptions {
  readonly client: KubeClient;
  /** Whether `Report.brokerLoads` shows what was last written to the BrokerLoad with this key (`namespace/name`). */
  readonly isShown: (key: string) => boolean;
  readonly identity: string;
  readonly metrics: OperatorMetrics;
}

export interface Reporter {
  /** @returns the policy's status as it is now stored. @throws KubeError */
  report(report: Report): Promise<RebalancePolicyStatus>;
}

/** What a KubeError says when the server did not answer: the next write would only wait as long. */
const NO_ANSWER = 0;

/** One broker that cannot be written must not hide the others. */
async function collect(failures: KubeError[], write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    failures.push(error);
  }
}

/**
 * Figures are written at most this often, those of all brokers together, so that their ranks fit each other; states and
 * conditions at the next report, which comes at once after what etcd or the Pods say, and within ten seconds after an agent.
 */
const FIGURES_EVERY_MS = 10_000;
/** BrokerLoads outlive their Pods, so that one can still read what was lost. */
const LOST_KEPT_MS = 300_000;

export function createReporter({ client, isShown, identity, metrics }: ReporterOptions): Reporter {
  const rank = createRanker();
  let figuresAt = Number.NEGATIVE_INFINITY;
  const lostSince = new Map<string, number>();

  async function reportBrokers(report: Report, { snapshot }: Cluster, views: readonly BrokerView[]): Promise<void> {
    const existing = new Map(report.brokerLoads.map((load) => [load.metadata.name, load]));
    const failures: KubeError[] = [];
    const due = performance.now() - figuresAt >= FIGURES_EVERY_MS;
    if (due) figuresAt = performance.now();
    const mayGoOn = () => report.mayGoOn() && !failures.some(({ status }) => status === NO_ANSWER);
    for (const view of views) {
      if (!mayGoOn()) break;
      const known = existing.get(view.name);
      lostSince.delete(view.name);
      existing.delete(view.name);
      if (!isShown(`${report.policy.metadata.namespace}/${view.name}`)) continue;
      await collect(failures, async () => {
        const write = (load: BrokerLoad) =>
          writeLoad(load, brokerLoadStatus(snapshot, view, load.status, load.metadata.generation), due);
        const make = () => ensureBrokerLoad(client, report.policy, view.name);
        try {
          await write(known ?? (await make()));
        } catch (error) {
          if (!isNotFound(error)) throw error;
          // Somebody has deleted it, and the cache does not show that yet.
          await write(await make());
        }
      });
    }
    for (const load of existing.values()) {
      if (!mayGoOn()) break;
      if (isShown(objectKey(load))) await collect(failures, () => reportLost(load, snapshot, due));
    }
    if (failures[0] !== undefined) throw failures[0];
  }

  async function reportLost(load: BrokerLoad, snapshot: Snapshot, due: boolean): Promise<void> {
    const { name, generation } = load.metadata;
    const since = lostSince.get(name) ?? snapshot.now;
    lostSince.set(name, since);
    const owns = load.status?.brokerID !== undefined && snapshot.metadata.topicsOf.has(load.status.brokerID);
    if (snapshot.now - since > LOST_KEPT_MS && !owns) {
      await deleteBrokerLoad(client, load);
      lostSince.delete(name);
      return;
    }
    const view: BrokerView = { name, pod: undefined, broker: undefined, rank: undefined };
    await writeLoad(load, brokerLoadStatus(snapshot, view, load.status, generation), due);
  }

  async function writeLoad(load: BrokerLoad, next: BrokerLoadStatus, due: boolean): Promise<void> {
    const { namespace, name } = load.metadata;
    const change = compareBrokerLoad(load.status, next);
    if (change === 'none' || (change === 'figures' && !due)) return;
    await writeBrokerLoadStatus(client, { namespace, name }, next);
  }

  function exportMetrics({ policy, authority }: Report, cluster: Cluster, views: readonly BrokerView[]): void {
    const labels = { namespace: policy.metadata.namespace, policy: policy.metadata.name };
    const { metadata } = cluster.snapshot;
    metrics.topics.set(labels, metadata.topics.size);
    metrics.topicsUnserved.set(labels, countUnserved(cluster.snapshot, cluster.brokers));
    metrics.brokersLive.set(labels, views.filter((view) => view.broker !== undefined).length);
    metrics.epoch.set(labels, authority.epoch ?? 0);
    metrics.malformedKeys.set(labels, metadata.problems.size);
  }

  return {
    async report(report) {
      const { policy, spec, cluster, authority } = report;
      const views = cluster && viewBrokers(cluster.snapshot, cluster.brokers, spec.ranking, rank);
      const { namespace, name, uid, generation } = policy.metadata;
      const next = policyStatus(
        {
          generation,
          now: Date.now(),
          specProblems: [],
          effective: spec,
          etcdError: report.etcdError,
          authority,
          operator: identity,
          planning: report.planning,
          cluster: cluster && views && { ...cluster, views, waits: report.waits },
        },
        policy.status,
      );
      // The condition to page on first: nothing that goes wrong below may hold it up.
      if (!isDeepStrictEqual(next, policy.status)) await writePolicyStatus(client, { namespace, name, uid }, next);
      if (cluster !== undefined && views !== undefined) {
        exportMetrics(report, cluster, views);
        // On a conflict the BrokerLoads of these brokers are another policy's to write.
        if (authority.state !== 'PolicyConflict') await reportBrokers(report, cluster, views);
      }
      return next;
    },
  };
}
