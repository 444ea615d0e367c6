/**
 * Stands for a broker with so many busy topics: listens, and serves /metrics with all the 43 series that a real broker has of each
 * reliable topic with a subscription (contract 7), most of which the agent must skip. `node broker.ts ADDRESS TOPICS`
 */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { createServer as createListener } from 'node:net';

const BROKER = '4195421377007271117';
const QUANTILES = ['0', '0.5', '0.9', '0.95', '0.99', '0.999', '1'];
const SUBSCRIPTION = ',subscription="s"';
const MEAN_MESSAGE_BYTES = 512;
const CHUNK_CHARACTERS = 65_536;

/** Family → its labels besides broker and topic, and its value after so many messages. */
const COUNTERS: Readonly<Record<string, readonly [labels: string, value: (messages: number) => number]>> = {
  danube_topic_bytes_in_total: ['', (messages) => messages * MEAN_MESSAGE_BYTES],
  danube_cloud_upload_objects_total: [',provider="fs",result="ok"', (messages) => Math.ceil(messages / 1000)],
  danube_schema_validation_total: [',policy="Warn"', (messages) => messages],
  danube_producer_send_total: [',result="ok",error_code="OK"', (messages) => messages],
  danube_wal_append_total: ['', (messages) => messages],
  danube_topic_messages_in_total: ['', (messages) => messages],
  danube_wal_reader_create_total: [',mode="wal_only"', () => 2],
  danube_wal_fsync_total: ['', (messages) => Math.ceil(messages / 100)],
  danube_consumer_messages_out_total: [SUBSCRIPTION, (messages) => messages],
  danube_wal_append_bytes_total: ['', (messages) => messages * MEAN_MESSAGE_BYTES],
  danube_consumer_bytes_out_total: [SUBSCRIPTION, (messages) => messages * MEAN_MESSAGE_BYTES],
  danube_cloud_upload_bytes_total: [',provider="fs"', (messages) => messages * MEAN_MESSAGE_BYTES],
};
const GAUGES: Readonly<Record<string, string>> = {
  danube_subscription_active_consumers: SUBSCRIPTION,
  danube_topic_active_consumers: '',
  danube_topic_active_producers: '',
  danube_topic_active_subscriptions: '',
};
const SUMMARIES = ['danube_wal_flush_latency_ms', 'danube_topic_message_size_bytes', 'danube_producer_send_latency_ms'];

const [address, topicCount] = process.argv.slice(2);
const topics = Array.from({ length: Number(topicCount) }, (_, rank) => ({
  name: `/default/orders-eu-west-${String(rank).padStart(6, '0')}`,
  // Zipf: a few topics have most of the traffic, and many next to nothing.
  messagesPerSecond: 1_000 / (rank + 1) ** 0.9,
}));

function* lines(elapsedSeconds: number): Generator<string> {
  const messages = topics.map((topic) => Math.floor(topic.messagesPerSecond * elapsedSeconds));
  const labelled = topics.map(({ name }) => `{broker="${BROKER}",topic="${name}"`);
  const bare = `{broker="${BROKER}"}`;
  yield `# TYPE danube_broker_topics_owned gauge\ndanube_broker_topics_owned${bare} ${topics.length}\n\n`;
  for (const [family, [labels, value]] of Object.entries(COUNTERS)) {
    yield `# TYPE ${family} counter\n${family}${bare} 0\n`;
    for (const [index, topic] of labelled.entries())
      yield `${family}${topic}${labels}} ${value(messages[index] ?? 0)}\n`;
    yield '\n';
  }
  for (const [family, labels] of Object.entries(GAUGES)) {
    yield `# TYPE ${family} gauge\n${family}${bare} 0\n`;
    for (const topic of labelled) yield `${family}${topic}${labels}} 1\n`;
    yield '\n';
  }
  for (const family of SUMMARIES) {
    yield `# TYPE ${family} summary\n`;
    for (const [index, topic] of labelled.entries()) {
      for (const quantile of QUANTILES) yield `${family}${topic},quantile="${quantile}"} 0.512\n`;
      yield `${family}_sum${topic}} ${(messages[index] ?? 0) * 0.52}\n${family}_count${topic}} ${messages[index] ?? 0}\n`;
    }
    yield '\n';
  }
}

async function serve(response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' });
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  let chunk = '';
  for (const line of lines(process.uptime())) {
    chunk += line;
    if (chunk.length < CHUNK_CHARACTERS) continue;
    if (!response.write(chunk)) await once(response, 'drain', { signal: gone.signal });
    chunk = '';
  }
  response.end(chunk);
}

createListener().listen(6650, address);
createServer((_request, response) => void serve(response).catch(abandon)).listen(9040, address);

/** Whoever asked does not wait for the end: that is theirs. */
function abandon(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error;
}
