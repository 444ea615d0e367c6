/**
 * The broker's Prometheus endpoint (contract 7): the recorded names and labels, every series with the global label
 * `broker`, each described metric also once without further labels, at 0. Series of topics that moved away stay.
 */
import { createServer, type Server } from 'node:http';

const METRICS = {
  danube_topic_messages_in_total: ['counter', 'Total messages published to the topic (msg).'],
  danube_topic_bytes_in_total: ['counter', 'Total bytes published to the topic (bytes)'],
  danube_topic_active_producers: ['gauge', 'Total number of producers per topic'],
  danube_topic_active_consumers: ['gauge', 'Total number of consumers per topic'],
  danube_topic_active_subscriptions: ['gauge', 'Total number of subscriptions per topic'],
  danube_subscription_active_consumers: ['gauge', 'Total number of active consumers per subscription'],
  danube_subscription_lag_messages: ['gauge', 'Number of messages the subscription is behind the topic WAL head'],
  danube_consumer_messages_out_total: ['counter', 'Total messages delivered to consumer (msg).'],
  danube_consumer_bytes_out_total: ['counter', 'Total bytes delivered to consumer (bytes)'],
  danube_producer_send_total: ['counter', 'Total producer send attempts at the broker API boundary'],
  danube_broker_topics_owned: ['gauge', 'Total number of topics served by broker'],
  danube_leader_election_state: ['gauge', 'Leader election state of this broker (0=follower,1=leader)'],
  danube_client_redirects_total: ['counter', 'Total number of client redirects suggested by the broker during lookup'],
  danube_wal_append_total: ['counter', undefined],
  danube_wal_append_bytes_total: ['counter', undefined],
  danube_cloud_upload_objects_total: ['counter', undefined],
  danube_cloud_upload_bytes_total: ['counter', undefined],
} as const satisfies Record<string, readonly ['counter' | 'gauge', string | undefined]>;

export type MetricName = keyof typeof METRICS;
export type Labels = Readonly<Record<string, string>>;

export interface Metrics {
  add(name: MetricName, labels: Labels, by?: number): void;
  set(name: MetricName, labels: Labels, value: number): void;
  /** The text format of Prometheus, version 0.0.4. */
  render(): string;
}

export function createMetrics(broker: string): Metrics {
  const all = new Map<MetricName, Map<string, number>>();
  for (const [name, [, help]] of Object.entries(METRICS) as [MetricName, readonly [string, string | undefined]][]) {
    all.set(name, new Map(help === undefined ? [] : [[formatLabels({ broker }), 0]]));
  }
  function update(name: MetricName, labels: Labels, change: (old: number) => number): void {
    const series = all.get(name);
    const key = formatLabels({ broker, ...labels });
    series?.set(key, change(series.get(key) ?? 0));
  }
  return {
    add: (name, labels, by = 1) => update(name, labels, (old) => old + by),
    set: (name, labels, value) => update(name, labels, () => value),
    render() {
      let text = '';
      for (const [name, series] of all) {
        const [type, help] = METRICS[name];
        if (series.size === 0) continue;
        if (help !== undefined) text += `# HELP ${name} ${help}\n`;
        text += `# TYPE ${name} ${type}\n`;
        for (const [labels, value] of series) text += `${name}${labels} ${value}\n`;
        text += '\n';
      }
      return text;
    },
  };
}

/** Topic and subscription names have no character that would need escaping (contract 2.1). */
function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return `{${pairs.join(',')}}`;
}

/** Serves `GET /metrics`; `collect` brings gauges up to date first. */
export function createMetricsServer(metrics: Metrics, collect: () => void): Server {
  return createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end('only GET /metrics is served here\n');
      return;
    }
    collect();
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(metrics.render());
  });
}
