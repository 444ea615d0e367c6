/**
 * What the load model costs beside the picture of etcd that it goes by: memory, and processor at each look.
 * `node --expose-gc --max-old-space-size=4000 bench/load-model.ts [--topics 1000000] [--brokers 1000] [--json]`
 */
import { parseArgs } from 'node:util';
import type { BrokerFacts } from '../src/core/brokers.ts';
import { createLoadModel, type LoadSample, type Observation } from '../src/core/load-model/model.ts';
import { createMetadataFold, type MetadataFold } from '../src/danube/metadata.ts';
import { bar, printResult, round } from './bars.ts';

/** The operator's memory with a million topics may grow by this for planning them: 700 MiB less what it takes without. */
const BYTES_PER_TOPIC = 120;
/** A look every ten seconds, at most this share of reading the same topics once. */
const LOOK_SHARE = 0.05;
const LOOKS = 10;
const REPORTS_PER_LOOK = 33;

function main(): void {
  const { values } = parseArgs({
    options: {
      topics: { type: 'string', default: '1000000' },
      brokers: { type: 'string', default: '1000' },
      json: { type: 'boolean', default: false },
    },
  });
  const [topics, brokers] = [Number(values.topics), Number(values.brokers)];
  if (!(Number.isInteger(topics) && topics > 0 && Number.isInteger(brokers) && brokers > 0)) {
    throw new Error('--topics and --brokers must be whole numbers from 1');
  }
  if (globalThis.gc === undefined) throw new Error('memory can only be told apart with node --expose-gc');
  printResult(measure(topics, brokers), values.json);
}

function measure(topics: number, brokers: number) {
  const cluster = createCluster(topics, brokers);
  const before = memory();
  const reading = cpuOf(() => {
    for (let broker = 0; broker < brokers; broker++) cluster.report(broker, 7);
  });
  const reports = memory();
  const model = createLoadModel();
  model.observe(cluster.observation(0));
  const looks: number[] = [];
  for (let look = 1; look <= LOOKS; look++) {
    for (let index = 0; index < REPORTS_PER_LOOK; index++) {
      cluster.report((look * REPORTS_PER_LOOK + index) % brokers, look + 7);
    }
    const observation = cluster.observation(look * 10_000);
    looks.push(cpuOf(() => model.observe(observation)));
  }
  const held = memory();
  const detecting = cpuOf(() => model.picture({ topics: false }));
  const planning = cpuOf(() => model.picture());

  const perTopic = (held - before) / topics;
  const share = median(looks) / reading;
  const bars = [
    bar('memory for the load of a topic', round(perTopic, 1), BYTES_PER_TOPIC, 'bytes'),
    bar('a look', round(share, 3), LOOK_SHARE, '× reading all reports once'),
  ];
  const figures = {
    topics,
    brokers,
    reportsMiB: round((reports - before) / 2 ** 20, 1),
    modelMiB: round((held - reports) / 2 ** 20, 1),
    rssMiB: round(process.memoryUsage.rss() / 2 ** 20, 1),
    lookCpuMs: round(median(looks), 1),
    worstLookCpuMs: round(Math.max(...looks), 1),
    detectionCpuMs: round(detecting, 1),
    plannerInputCpuMs: round(planning, 1),
  };
  return { bars, figures };
}

interface BenchCluster {
  /** The broker reports all of its topics; rates change with `seed`. */
  report(broker: number, seed: number): void;
  observation(now: number): Observation;
}

function createCluster(topics: number, brokers: number): BenchCluster {
  const fold = createMetadataFold();
  const put = putter(fold);
  const registration =
    '{"broker_url":"http://10.0.0.7:6650","connect_url":"http://10.0.0.7:6650","admin_addr":"http://0.0.0.0:50051"}';
  for (let topic = 0; topic < topics; topic++)
    put(`/cluster/brokers/${1000 + (topic % brokers)}/default/topic-${topic}`, 'null');
  for (let broker = 0; broker < brokers; broker++) put(`/cluster/register/${1000 + broker}`, registration);
  for (let topic = 0; topic < topics; topic++) put(`/topics/default/topic-${topic}/delivery`, '"Reliable"');
  const facts = new Map([...fold.metadata.registrations.keys()].map((id) => [id, factsOf(id)]));
  const samples = [...facts.keys()].map((id, index): readonly [string, LoadSample] => [id, sampleOf(index)]);
  return {
    report(broker, seed) {
      const rows: string[] = [];
      for (let topic = broker; topic < topics; topic += brokers) {
        rows.push(
          `{"topic_name":"/default/topic-${topic}","message_rate":${(topic * seed) % 100},"byte_rate":${(topic * seed) % 5000},"producer_count":1,"consumer_count":1}`,
        );
      }
      put(
        `/cluster/load/${1000 + broker}`,
        `{"broker_id":${1000 + broker},"resources_usage":[],"timestamp":${seed},"topics":[${rows.join(',')}]}`,
      );
    },
    observation: (now) => ({
      now,
      metadata: fold.metadata,
      brokers: facts,
      readings: new Map(samples.map(([id, sample]) => [id, { sample, seenAt: now, usable: true as const }])),
    }),
  };
}

function putter(fold: MetadataFold): (key: string, value: string) => void {
  let revision = 0;
  return (key, value) => {
    revision += 1;
    fold.put({ key, value: Buffer.from(value), createRevision: revision, modRevision: revision });
  };
}

function factsOf(id: string): BrokerFacts {
  const pod = {
    name: id,
    uid: id,
    labels: {},
    ip: undefined,
    deleting: false,
    ready: true,
    persistentVolume: false,
    hostNetwork: false,
    container: undefined,
  };
  return { id, pod, liveness: { state: 'Live' }, mode: 'active', accepting: true };
}

function sampleOf(index: number): LoadSample {
  return {
    intervalSeconds: 10,
    cpu: { cores: 1 + (index % 7) / 10, limitCores: 4 },
    memory: { workingSetBytes: 1e9 + (index % 9) * 1e8, limitBytes: 8e9 },
    disk: { readBytesPerSecond: 0, writeBytesPerSecond: 3e6 },
    network: { receivedBytesPerSecond: 3e6, sentBytesPerSecond: 3e6 },
    node: { cores: 16, memoryBytes: 64e9 },
  };
}

/** Bytes in use, garbage excluded. */
function memory(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Ms of processor: what else the machine does does not count. */
function cpuOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

main();
