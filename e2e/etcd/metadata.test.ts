/** The picture of the brokers' etcd that the operator keeps: by the watch it is what a full read gives, whatever happens. */
import { describe, expect, it } from 'vitest';
import type { ClusterMetadata } from '../../src/core/snapshot.ts';
import { createMetadataFold } from '../../src/danube/metadata.ts';
import { followMetadata } from '../../src/etcd/follow.ts';
import type { EtcdPort, Operation } from '../../src/etcd/port.ts';
import { until } from '../process/until.ts';
import { useEtcd } from './suite.ts';

const useSuite = useEtcd();

const TOPICS = Array.from({ length: 30 }, (_, index) => `/default/t${index}`);
const BROKERS = ['1', '18446744073709551615', '10214734126173535086'];
const REGISTRATION =
  '{"admin_addr":"http://0.0.0.0:50051","broker_url":"http://10.0.0.7:6650","connect_url":"http://10.0.0.7:6650"}';

/** Everything that a picture says, as plain data. */
function describeMetadata(metadata: ClusterMetadata): unknown {
  const sorted = <T>(map: ReadonlyMap<string, T>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    registrations: sorted(metadata.registrations),
    states: sorted(metadata.states),
    reports: sorted(metadata.reports),
    markers: sorted(metadata.markers),
    sealed: sorted(metadata.sealed),
    own: sorted(metadata.own),
    problems: sorted(metadata.problems),
    unowned: [...metadata.unowned].sort(),
    topics: [...metadata.topics].sort(),
    owned: sorted(metadata.topicsOf).map(([broker, topics]) => [broker, [...topics].sort()]),
    perTopic: TOPICS.map((topic) => [
      topic,
      sorted(metadata.owners.get(topic) ?? new Map()),
      metadata.deliveries.get(topic),
      metadata.createdAt.get(topic),
    ]),
    reliable: metadata.reliableTopics,
    leader: metadata.leader,
  };
}

async function freshRead(etcd: EtcdPort): Promise<{ revision: number; description: unknown }> {
  const { revision, entries } = await etcd.read('');
  const fold = createMetadataFold();
  for (const entry of entries) fold.put(entry);
  return { revision, description: describeMetadata(fold.metadata) };
}

/** mulberry32, so that a run can be repeated from its seed. */
function createRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** A change as brokers, clients, admin tools and vandals make them. */
function randomOperation(random: (below: number) => number): Operation {
  const topic = TOPICS[random(TOPICS.length)] ?? '';
  const broker = BROKERS[random(BROKERS.length)] ?? '';
  const values: readonly (readonly [string, string])[] = [
    [`/cluster/brokers/${broker}${topic}`, 'null'],
    [`/cluster/unassigned${topic}`, random(4) === 0 ? '{"reason":' : '{"from_broker":1,"reason":"unload"}'],
    [`/namespaces/default/topics${topic}`, 'null'],
    [`/topics${topic}/delivery`, random(3) === 0 ? '"NonReliable"' : '"Reliable"'],
    [`/topics${topic}/subscriptions/s/cursor`, String(random(1000))],
    [
      `/danube-data/storage/topics${topic}/state`,
      `{"broker_id":${broker},"last_committed_offset":${random(99)},"sealed":true,"timestamp":1}`,
    ],
    [`/cluster/register/${broker}`, REGISTRATION],
    [`/cluster/brokers/${broker}/state`, `{"mode":"${random(2) === 0 ? 'active' : 'draining'}","reason":"x"}`],
    [`/cluster/load/${broker}`, `{"broker_id":${broker},"resources_usage":[],"timestamp":${random(1e9)},"topics":[]}`],
    ['/cluster/leader', broker],
    [`/danube-load-manager/history/${random(50)}`, '{}'],
  ];
  const [key, value] = values[random(values.length)] ?? ['/x', 'null'];
  return random(3) === 0 ? { delete: key } : { put: key, value };
}

async function change(etcd: EtcdPort, random: (below: number) => number, count: number): Promise<void> {
  for (let left = count; left > 0; left--) {
    const operations = new Map<string, Operation>();
    for (let more = 1 + random(4); more > 0; more--) {
      const operation = randomOperation(random);
      operations.set('put' in operation ? operation.put : operation.delete, operation);
    }
    const { outcome } = await etcd.commit([], [...operations.values()]);
    expect(outcome).toBe('applied');
  }
}

interface Followed {
  readonly verified: (string | undefined)[];
  loads(): number;
  /** Resolves when the picture is of the store's newest revision, and gives it. */
  caughtUp(direct: EtcdPort): Promise<unknown>;
  stop(): Promise<void>;
}

function follow(etcd: EtcdPort, verifyMs: number): Followed {
  const stopped = new AbortController();
  const verified: (string | undefined)[] = [];
  let fold: ReturnType<typeof createMetadataFold> | undefined;
  let loads = 0;
  const following = followMetadata({
    etcd,
    signal: stopped.signal,
    verifyMs,
    onChange(changed, events) {
      fold = changed;
      if (events === undefined) loads += 1;
    },
    onHealth: () => undefined,
    onVerified: (difference) => verified.push(difference),
  });
  return {
    verified,
    loads: () => loads,
    async caughtUp(direct) {
      const { revision } = await direct.read('/nothing-is-here');
      await until(() => (fold?.metadata.revision ?? 0) >= revision, {
        what: `the picture to reach revision ${revision}`,
      });
      return fold && describeMetadata(fold.metadata);
    },
    async stop() {
      stopped.abort();
      await following;
    },
  };
}

describe('the picture of the metadata', () => {
  it('is what a full read gives, after any changes, cuts, a killed etcd and a compaction while away', async () => {
    const { server, proxy: startProxy, connect } = useSuite();
    const seed = Date.now() % 1e6;
    process.stdout.write(`  seed ${seed}\n`);
    const random = createRandom(seed);
    const direct = connect();
    const proxy = await startProxy();
    const followed = follow(connect({ endpoints: [proxy.endpoint] }), 600_000);

    const faults: readonly (() => Promise<void>)[] = [
      async () => undefined,
      async () => proxy.cut(),
      async () => {
        proxy.cut();
        await change(direct, random, 20);
        proxy.cut();
      },
      async () => {
        server.kill('SIGKILL');
        await server.restart();
      },
      async () => {
        proxy.refuse();
        await change(direct, random, 30);
        const { revision } = await direct.read('/nothing-is-here');
        await compact(server.endpoint, revision);
        proxy.heal();
      },
    ];
    for (let round = 0; round < 10; round++) {
      await faults[round % faults.length]?.();
      await until(async () => (await direct.get('/x')) === undefined, { what: 'etcd to answer' });
      await change(direct, random, 40);

      const watched = await followed.caughtUp(direct);

      expect(watched).toEqual((await freshRead(direct)).description);
    }
    // The compactions, and nothing else, made a second look at everything necessary.
    expect(followed.loads()).toBe(3);
    await followed.stop();
  });

  it('is verified without reading everything again, and read again when it is wrong', async () => {
    const { connect } = useSuite();
    const direct = connect();
    const lying = connect();
    let swallow = false;
    let swallowed = 0;
    const followed = follow(
      {
        ...lying,
        async *watch(prefix, from, signal) {
          for await (const message of lying.watch(prefix, from, signal)) {
            // An event that gets lost on its way.
            if (swallow && message.kind === 'events') swallowed += 1;
            else yield message;
          }
        },
      },
      300,
    );
    await followed.caughtUp(direct);
    await until(() => followed.verified.length >= 2, { what: 'two verifications' });
    expect(new Set(followed.verified)).toEqual(new Set([undefined]));
    expect(followed.loads()).toBe(1);

    swallow = true;
    await direct.commit([], [{ put: '/cluster/unassigned/default/t0', value: 'null' }]);
    await until(() => swallowed === 1, { what: 'the event to get lost' });
    // It is noticed once a later one moves the picture on.
    swallow = false;
    await direct.commit([], [{ put: '/cluster/unassigned/default/t1', value: 'null' }]);

    await until(() => followed.loads() === 2, { what: 'a second full read' });
    expect(followed.verified.filter((difference) => difference !== undefined)).toEqual([
      expect.stringContaining('/cluster/unassigned/default/t0 is at revision'),
    ]);
    expect(await followed.caughtUp(direct)).toEqual((await freshRead(direct)).description);
    await followed.stop();
  });
});

/** etcd's JSON gateway: the port itself has no reason to compact. */
async function compact(endpoint: string, revision: number): Promise<void> {
  const body = JSON.stringify({ revision: String(revision), physical: true });
  const response = await fetch(`${endpoint}/v3/kv/compaction`, { method: 'POST', body });
  expect(response.status).toBe(200);
}
