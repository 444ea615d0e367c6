/**
 * Metrics with the names, labels and buckets of controller-runtime and client-go, so that dashboards made for Go
 * operators work (design §8). `src/kube` knows no metrics library: it tells observers, which are made here.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ClientObserver } from '../kube/client.ts';
import type { ReconcileObserver, Reconciler } from '../kube/reconcile.ts';

export interface KubeMetrics {
  readonly client: ClientObserver;
  /** What a reconciler of this name tells, and, once it is there, what is read from it at each scrape. */
  ofController(controller: string, concurrency: number): ControllerMetrics;
}

export interface ControllerMetrics {
  readonly observer: ReconcileObserver;
  follow(reconciler: Pick<Reconciler, 'depth' | 'workingForMs'>): void;
}

/** Of controller-runtime, seconds. */
const RECONCILE_BUCKETS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2,
  2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
];
/** Of controller-runtime, seconds: 10 ns to 1000 s. */
const QUEUE_BUCKETS = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10, 100, 1000];

export function createKubeMetrics(registry: Registry): KubeMetrics {
  const registers = [registry];
  const labelNames = ['controller'] as const;
  const queueLabels = ['name', 'controller'] as const;
  const queues = new Map<string, Pick<Reconciler, 'depth' | 'workingForMs'>>();

  const reconciles = new Counter({
    name: 'controller_runtime_reconcile_total',
    help: 'Reconciles by result: success, requeue_after or error.',
    labelNames: ['controller', 'result'] as const,
    registers,
  });
  const reconcileCounter = (name: string, help: string) =>
    new Counter({ name: `controller_runtime_${name}_total`, help, labelNames, registers });
  const errors = reconcileCounter('reconcile_errors', 'Reconciles that ended with an error, terminal ones included.');
  const terminalErrors = reconcileCounter('terminal_reconcile_errors', 'Reconciles that ended with a terminal error.');
  const panics = reconcileCounter('reconcile_panics', 'Reconciles that ended by a fault of the program.');
  const timeouts = reconcileCounter('reconcile_timeouts', 'Reconciles that passed their deadline.');
  const reconcileSeconds = new Histogram({
    name: 'controller_runtime_reconcile_time_seconds',
    help: 'Time of one reconcile.',
    labelNames,
    buckets: RECONCILE_BUCKETS,
    registers,
  });
  const maxConcurrent = new Gauge({
    name: 'controller_runtime_max_concurrent_reconciles',
    help: 'Keys that may be reconciled at the same time.',
    labelNames,
    registers,
  });
  const putOff = new Counter({
    name: 'danube_load_manager_reconciles_put_off_total',
    help: 'Reconciles put off because the cache did not show our own last writes yet.',
    labelNames,
    registers,
  });

  const queueCounter = (name: string, help: string) =>
    new Counter({ name: `workqueue_${name}_total`, help, labelNames: queueLabels, registers });
  const adds = queueCounter('adds', 'Keys added to the queue.');
  const retries = queueCounter('retries', 'Keys that come back after an error.');
  const queueHistogram = (name: string, help: string) =>
    new Histogram({
      name: `workqueue_${name}_seconds`,
      help,
      labelNames: queueLabels,
      buckets: QUEUE_BUCKETS,
      registers,
    });
  const waitSeconds = queueHistogram('queue_duration', 'How long a key waits for its work.');
  const workSeconds = queueHistogram('work_duration', 'How long the work on a key takes.');

  /** Read at each scrape. */
  const queueGauge = (
    name: string,
    help: string,
    read: (queue: Pick<Reconciler, 'depth' | 'workingForMs'>) => number,
  ) =>
    new Gauge({
      name,
      help,
      labelNames: queueLabels,
      registers,
      collect() {
        for (const [controller, queue] of queues) this.set({ name: controller, controller }, read(queue));
      },
    });
  queueGauge('workqueue_depth', 'Keys that wait for their work.', (queue) => queue.depth());
  queueGauge('workqueue_unfinished_work_seconds', 'Age of all work in progress, added up.', (queue) =>
    queue.workingForMs().reduce((sum, ms) => sum + ms / 1000, 0),
  );
  queueGauge('workqueue_longest_running_processor_seconds', 'Age of the oldest work in progress.', (queue) =>
    Math.max(0, ...queue.workingForMs().map((ms) => ms / 1000)),
  );
  new Gauge({
    name: 'controller_runtime_active_workers',
    help: 'Keys that are being reconciled.',
    labelNames,
    registers,
    collect() {
      for (const [controller, queue] of queues) this.set({ controller }, queue.workingForMs().length);
    },
  });

  const requests = new Counter({
    name: 'rest_client_requests_total',
    help: 'Requests to the API server by code, method and host; code <error> is no answer.',
    labelNames: ['code', 'method', 'host'] as const,
    registers,
  });

  return {
    client: {
      onResponse({ method, host, status }) {
        requests.inc({ method, host, code: status === 0 ? '<error>' : String(status) });
      },
    },

    ofController(controller, concurrency) {
      const labels = { controller };
      const named = { name: controller, controller };
      maxConcurrent.set(labels, concurrency);
      // A rate needs to have seen the zero.
      for (const result of ['success', 'requeue_after', 'error']) reconciles.inc({ controller, result }, 0);
      for (const counter of [errors, terminalErrors, panics, timeouts, putOff]) counter.inc(labels, 0);
      return {
        observer: {
          onAdd: () => adds.inc(named),
          onRetry: () => retries.inc(named),
          onBegin: (waitedMs) => waitSeconds.observe(named, waitedMs / 1000),
          onEnd: (workedMs) => workSeconds.observe(named, workedMs / 1000),
          onPutOff: () => putOff.inc(labels),
          onReconciled({ result, terminal, panicked, timedOut, tookMs }) {
            reconciles.inc({ controller, result });
            reconcileSeconds.observe(labels, tookMs / 1000);
            if (result === 'error') errors.inc(labels);
            if (terminal) terminalErrors.inc(labels);
            if (panicked) panics.inc(labels);
            if (timedOut) timeouts.inc(labels);
          },
        },
        follow(reconciler) {
          queues.set(controller, reconciler);
        },
      };
    },
  };
}
