import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { createKubeMetrics } from './kube-metrics.ts';

const OUTCOME = { result: 'success', terminal: false, panicked: false, timedOut: false, tookMs: 30 } as const;

function metrics() {
  const registry = new Registry();
  const kube = createKubeMetrics(registry);
  const linesOf = async (name: string): Promise<readonly string[]> =>
    (await registry.getSingleMetricAsString(name)).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return { kube, registry, linesOf };
}

describe('metrics of a reconciler', () => {
  it('are there, with zeros, before anything happens', async () => {
    const { kube, linesOf } = metrics();

    kube.ofController('policy', 4);

    expect(await linesOf('controller_runtime_reconcile_total')).toEqual([
      'controller_runtime_reconcile_total{controller="policy",result="success"} 0',
      'controller_runtime_reconcile_total{controller="policy",result="requeue_after"} 0',
      'controller_runtime_reconcile_total{controller="policy",result="error"} 0',
    ]);
    expect(await linesOf('controller_runtime_max_concurrent_reconciles')).toEqual([
      'controller_runtime_max_concurrent_reconciles{controller="policy"} 4',
    ]);
  });

  it.each([
    ['an error', { result: 'error' }, ['controller_runtime_reconcile_errors_total']],
    [
      'a terminal error',
      { result: 'error', terminal: true },
      ['controller_runtime_reconcile_errors_total', 'controller_runtime_terminal_reconcile_errors_total'],
    ],
    [
      'a panic',
      { result: 'error', panicked: true },
      ['controller_runtime_reconcile_errors_total', 'controller_runtime_reconcile_panics_total'],
    ],
    ['a passed deadline', { timedOut: true }, ['controller_runtime_reconcile_timeouts_total']],
  ] as const)('count %s', async (_what, outcome, counted) => {
    const { kube, registry } = metrics();

    kube.ofController('policy', 1).observer.onReconciled?.({ ...OUTCOME, ...outcome });

    const text = await registry.metrics();
    const counters = [...text.matchAll(/^(controller_runtime_\w+_total)\{controller="policy"\} 1$/gm)];
    expect(counters.map(([, name]) => name)).toEqual(counted);
  });

  it('have the forty buckets of controller-runtime', async () => {
    const { kube, linesOf } = metrics();

    kube.ofController('policy', 1).observer.onReconciled?.(OUTCOME);

    const lines = await linesOf('controller_runtime_reconcile_time_seconds');
    expect(lines.filter((line) => line.includes('_bucket{'))).toHaveLength(41);
    expect(lines).toContain('controller_runtime_reconcile_time_seconds_bucket{le="0.025",controller="policy"} 0');
    expect(lines).toContain('controller_runtime_reconcile_time_seconds_bucket{le="0.05",controller="policy"} 1');
  });

  it('read the queue when they are asked', async () => {
    const { kube, linesOf } = metrics();
    let working = [1500, 500];
    kube.ofController('policy', 1).follow({ depth: () => 3, workingForMs: () => working });

    const labels = '{name="policy",controller="policy"}';
    expect(await linesOf('workqueue_depth')).toEqual([`workqueue_depth${labels} 3`]);
    expect(await linesOf('workqueue_unfinished_work_seconds')).toEqual([
      `workqueue_unfinished_work_seconds${labels} 2`,
    ]);
    expect(await linesOf('workqueue_longest_running_processor_seconds')).toEqual([
      `workqueue_longest_running_processor_seconds${labels} 1.5`,
    ]);
    working = [];
    expect(await linesOf('controller_runtime_active_workers')).toEqual([
      'controller_runtime_active_workers{controller="policy"} 0',
    ]);
  });

  it('count what the queue tells, in seconds', async () => {
    const { kube, linesOf } = metrics();
    const { observer } = kube.ofController('policy', 1);

    observer.onAdd?.();
    observer.onRetry?.();
    observer.onBegin?.(250);
    observer.onEnd?.(500);

    const labels = '{name="policy",controller="policy"}';
    expect(await linesOf('workqueue_adds_total')).toEqual([`workqueue_adds_total${labels} 1`]);
    expect(await linesOf('workqueue_retries_total')).toEqual([`workqueue_retries_total${labels} 1`]);
    expect(await linesOf('workqueue_queue_duration_seconds')).toContain(
      `workqueue_queue_duration_seconds_sum${labels} 0.25`,
    );
    expect(await linesOf('workqueue_work_duration_seconds')).toContain(
      `workqueue_work_duration_seconds_sum${labels} 0.5`,
    );
  });
});

describe('requests to the API server', () => {
  it('are counted by code, method and host, no answer as client-go writes it', async () => {
    const { kube, linesOf } = metrics();

    kube.client.onResponse?.({ method: 'GET', host: 'kube:6443', status: 200 });
    kube.client.onResponse?.({ method: 'PATCH', host: 'kube:6443', status: 0 });

    expect(await linesOf('rest_client_requests_total')).toEqual([
      'rest_client_requests_total{method="GET",host="kube:6443",code="200"} 1',
      'rest_client_requests_total{method="PATCH",host="kube:6443",code="<error>"} 1',
    ]);
  });
});
