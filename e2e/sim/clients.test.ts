/** Client processes and their ledger against kill -9: what "lost 0" of the demo rests on, and that it can go red. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cursorKey, parseKey, UNASSIGNED } from '../../src/danube/keys.ts';
import { type LedgerSummary, summarize } from '../../src/sim/client/ledger.ts';
import { formatTopics, generateTopics, type TopicSpec } from '../../src/sim/topics.ts';
import type { ManagedProcess } from '../process/tied.ts';
import { until } from '../process/until.ts';
import { assign, failOver, holdLeadership, type SimBroker, type SimCluster, startSimCluster } from './cluster.ts';

const TOPICS: readonly TopicSpec[] = generateTopics({
  seed: 3,
  topics: 10,
  reliableShare: 0.7,
  maxSubscriptions: 2,
  totalMessagesPerSecond: 150,
  minMessagesPerSecond: 5,
  messageBytes: 200,
  exponent: 1,
});
/** Messages to judge by; how many there are when all topics go on depends on the machine. */
const ENOUGH = 200;
const RELIABLE = TOPICS.filter(({ delivery }) => delivery === 'Reliable');

let cluster: SimCluster;
let brokers: [SimBroker, SimBroker];
let client: ManagedProcess;
let owners: Map<string, SimBroker>;

beforeEach(async () => {
  cluster = await startSimCluster();
  await holdLeadership(cluster.etcd);
  brokers = await Promise.all([cluster.startBroker('b-0'), cluster.startBroker('b-1')]);
  owners = new Map();
});

afterEach(() => cluster.stop());

async function start(mode: 'resilient' | 'plain', quietSeconds: number): Promise<void> {
  const topics = path.join(cluster.folder, 'topics.ndjson');
  writeFileSync(topics, formatTopics(TOPICS));
  client = cluster.startClient('client', [
    `--mode=${mode}`,
    `--topics=${topics}`,
    `--ledger=${path.join(cluster.folder, 'ledger.ndjson')}`,
    `--service-urls=${brokers.map(({ url }) => url).join(',')}`,
    `--quiet-seconds=${quietSeconds}`,
    '--silence-seconds=1',
  ]);
  // The load manager by hand: every new topic to the one or the other.
  await until(
    async () => {
      const { entries } = await cluster.etcd.read(UNASSIGNED);
      for (const { key } of entries) {
        const parsed = parseKey(key);
        if (parsed.kind !== 'unassigned' || !(await isCreated(parsed.topic))) continue;
        const broker = brokers[owners.size % 2] ?? brokers[0];
        owners.set(parsed.topic, broker);
        await assign(cluster.etcd, parsed.topic, broker);
      }
      return ledger().includes('"kind":"ready"');
    },
    { what: 'every topic to be produced to' },
  );
  // M5: before its first cursor, a subscription survives no crash, whatever a client does.
  for (const { topic, subscriptions } of RELIABLE) {
    for (const subscription of subscriptions) {
      await until(() => cluster.etcd.get(cursorKey(topic, subscription)), {
        what: `the first cursor of ${topic}/${subscription}`,
      });
    }
  }
}

async function isCreated(topic: string): Promise<boolean> {
  return (await cluster.etcd.get(`/topics${topic}/delivery`)) !== undefined;
}

/** kill -9 of the first broker, restart on its volume, failover of all its topics to its next process. */
async function crashAndFailOver(seedOf: (topic: string) => Promise<bigint | undefined>): Promise<void> {
  const [dead] = brokers;
  await dead.crash();
  const to = await cluster.startBroker('b-0');
  for (const [topic, owner] of owners) {
    if (owner !== dead) continue;
    const seed = RELIABLE.some((spec) => spec.topic === topic) ? await seedOf(topic) : undefined;
    await failOver(cluster.etcd, { topic, dead, to, ...(seed !== undefined && { seed }) });
  }
}

function ledger(): string {
  return readFileSync(path.join(cluster.folder, 'ledger.ndjson'), 'utf8');
}

/** Waits until the topics of the dead broker have gone on, then ends the client in order. */
async function finish(): Promise<LedgerSummary> {
  const from = ledger().length;
  await until(
    () => {
      const all = ledger();
      const since = all.slice(from);
      const acked = all.split('"kind":"acked"').length - 1;
      return acked > ENOUGH && TOPICS.every(({ topic }) => since.includes(`"kind":"acked","topic":"${topic}"`));
    },
    { what: 'every topic to go on' },
  );
  client.kill('SIGUSR2');
  expect(await client.exited).toEqual({ code: 0, signal: null });
  return summarize(ledger().split('\n'));
}

describe('resilient clients', () => {
  it('lose nothing by a crash that is resumed in place with a margin, and no offset is given out twice', async () => {
    // Long: nothing may be given up for lost because the machine had other things to do.
    await start('resilient', 30);

    await crashAndFailOver(async () => 1_000_000n);

    const summary = await finish();
    expect(summary).toMatchObject({ lost: 0, repeatedOffsets: 0, finals: 1, completeFinals: 1, unreadableLines: 0 });
    expect(summary.messagesAcked).toBeGreaterThan(ENOUGH);
    expect(summary.perSubscription).toHaveLength(RELIABLE.flatMap(({ subscriptions }) => subscriptions).length);
    // The kill did interrupt them.
    expect(summary.interruptions).toBeGreaterThan(0);
  });

  it('count lost messages and repeated offsets when offsets are not seeded', async () => {
    await start('resilient', 2);

    await crashAndFailOver(async () => undefined);

    const summary = await finish();
    expect(summary.lost).toBeGreaterThan(0);
    expect(summary.repeatedOffsets).toBeGreaterThan(0);
    expect(summary.lostExamples).not.toEqual([]);
  });
});

describe('plain clients', () => {
  it('M7 and M8: producers fail for as long as the broker that they know does not lead them to the owner', async () => {
    await start('plain', 2);
    const [dead] = brokers;
    const theirs = [...owners].filter(([, owner]) => owner === dead).map(([topic]) => topic);
    await dead.crash();
    const failed = () =>
      new Set(
        [...ledger().matchAll(/"kind":"interrupted","topic":"([^"]+)","role":"producer","reason":"UNAVAILABLE/g)].map(
          ([, topic]) => topic,
        ),
      );

    await until(() => failed().size === theirs.length, { what: 'all their producers to fail' });

    expect(failed()).toEqual(new Set(theirs));
  });
});
