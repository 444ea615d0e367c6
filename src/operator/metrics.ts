/** The operator's own metrics. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client';
import { loadResources } from '../api/load-resources.ts';
import type { ResourceFigures } from '../core/planner/input.ts';
import { createKubeMetrics } from './kube-metrics.ts';

export type OperatorMetrics = ReturnType<typeof createOperatorMetrics>;

/** Two namespaces may have policies of one name. */
export interface PolicyLabels {
  readonly namespace: string;
  readonly policy: string;
}

export function createOperatorMetrics(registry: Registry) {
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const policy = ['namespace', 'policy'] as const;
  const metrics = {
    topics: new Gauge({
      name: 'danube_load_manager_topics',
      help: 'Topics that exist.',
      labelNames: policy,
      registers,
    }),
    topicsUnserved: new Gauge({
      name: 'danube_load_manager_topics_unserved',
      help: 'Topics without a live owner. The one to page on.',
      labelNames: policy,
      registers,
    }),
    brokersLive: new Gauge({
      name: 'danube_load_manager_brokers_live',
      help: 'Brokers that are registered in etcd.',
      labelNames: policy,
      registers,
    }),
    epoch: new Gauge({
      name: 'danube_load_manager_fencing_epoch',
      help: 'Epoch of the fence that this replica holds, 0 if none.',
      labelNames: policy,
      registers,
    }),
    maxOverMean: new Gauge({
      name: 'danube_load_manager_load_max_over_mean',
      help: 'Load of the most loaded broker by the mean, of each resource that is planned; 1 is even.',
      labelNames: [...policy, 'resource'] as const,
      registers,
    }),
    variation: new Gauge({
      name: 'danube_load_manager_load_variation',
      help: 'Coefficient of variation of the load of brokers. Alone it hides one hot broker in a large cluster.',
      labelNames: [...policy, 'resource'] as const,
      registers,
    }),
    malformedKeys: new Gauge({
      name: 'danube_load_manager_malformed_keys',
      help: 'Keys in etcd whose value is not what brokers write.',
      labelNames: policy,
      registers,
    }),
    assignments: new Counter({
      name: 'danube_load_manager_assignments_total',
      help: 'Topics assigned, by reason.',
      labelNames: [...policy, 'reason'] as const,
      registers,
    }),
    failovers: new Counter({
      name: 'danube_load_manager_failovers_total',
      help: 'Failovers of a dead broker, by proof of death; one that is done in several rounds counts each.',
      labelNames: [...policy, 'proof'] as const,
      registers,
    }),
    refusedTransactions: new Counter({
      name: 'danube_load_manager_refused_assignments_total',
      help: 'Assignments that etcd refused because the cluster had changed; they are decided again.',
      labelNames: policy,
      registers,
    }),
    divergences: new Counter({
      name: 'danube_load_manager_metadata_divergences_total',
      help: 'Times that the picture of etcd differed from etcd and was read again.',
      labelNames: policy,
      registers,
    }),
    agentProblems: new Counter({
      name: 'danube_load_manager_agent_problems_total',
      help: 'Pulls of an agent that failed or brought an unusable report.',
      labelNames: policy,
      registers,
    }),
    cycleSeconds: new Histogram({
      name: 'danube_load_manager_cycle_seconds',
      help: 'Time of one round of gathering, deciding and acting.',
      labelNames: policy,
      buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
      registers,
    }),
    leading: new Gauge({
      name: 'leader_election_master_status',
      help: 'Whether this replica leads, 1 or 0.',
      labelNames: ['name'] as const,
      registers,
    }),
    kube: createKubeMetrics(registry),
  };
  return {
    ...metrics,
    /** Sets how even the resources are that are planned; those that are not any more have no figure. */
    setBalance(labels: PolicyLabels, figures: ReadonlyMap<string, ResourceFigures>): void {
      for (const resource of loadResources) {
        const found = figures.get(resource);
        if (found === undefined) {
          metrics.maxOverMean.remove({ ...labels, resource });
          metrics.variation.remove({ ...labels, resource });
        } else {
          metrics.maxOverMean.set({ ...labels, resource }, found.maxOverMean);
          metrics.variation.set({ ...labels, resource }, found.cv);
        }
      }
    },
    /** What is said of a policy as of now ends with it; what has been counted stays. */
    forget(labels: PolicyLabels): void {
      const { topics, topicsUnserved, brokersLive, epoch, malformedKeys } = metrics;
      for (const gauge of [topics, topicsUnserved, brokersLive, epoch, malformedKeys]) gauge.remove({ ...labels });
      for (const resource of loadResources) {
        metrics.maxOverMean.remove({ ...labels, resource });
        metrics.variation.remove({ ...labels, resource });
      }
    },
  };
}
