/** Topics without an owner: every kind of marker (contract 2.2), many at once, and nonsense beside them. */
import { describe, expect, it } from 'vitest';
import {
  assignmentKey,
  brokerStateKey,
  deliveryKey,
  loadReportKey,
  parseKey,
  registrationKey,
  topicKey,
  unassignedKey,
} from '../../src/danube/keys.ts';
import { encodeBrokerState, encodeDelivery, encodeMarker, type Marker, NULL_VALUE } from '../../src/danube/values.ts';
import { until } from '../process/until.ts';
import { beginTopic, createProducer } from '../sim/clients.ts';
import { type LiveBroker, liveBrokers, withConnection } from './brokers.ts';
import { currentRevision, historyAfter } from './etcd-history.ts';
import { untilCondition, useCluster } from './suite.ts';
import {
  assignedTwice,
  createTopic,
  createTopics,
  liveOwner,
  put,
  remove,
  topicNames,
  untilAssigned,
} from './topics.ts';

// Orphans are made by hand here.
const cluster = useCluster({ policy: { ranking: { algorithm: 'DanubeFair' } }, planted: ['Unowned'] });

async function ownerOf(topic: string): Promise<LiveBroker> {
  await untilAssigned(cluster(), [topic]);
  const owner = (await liveBrokers(cluster())).find(({ id }) => id === liveOwner(cluster(), topic));
  if (owner === undefined) throw new Error(`${topic} has no owner among the Pods`);
  return owner;
}

/** A broker serves a topic some moments after it was assigned. Gives the offsets. */
async function sendWhenServed(broker: LiveBroker, topic: string, messages: number): Promise<readonly string[]> {
  return withConnection(broker, async (connection) => {
    const producer = await until(() => createProducer(connection, topic), {
      what: `${broker.pod} to serve ${topic}`,
    });
    return producer.send(messages);
  });
}

/** As admin tools do: first the marker, then the assignment, each on its own (contract 5.2). */
async function takeFrom(owner: LiveBroker, topic: string, marker: Exclude<Marker, { kind: 'unknown' }>): Promise<void> {
  const { etcd } = cluster();
  await put(etcd, unassignedKey(topic), encodeMarker(marker));
  await remove(etcd, assignmentKey(owner.id, topic));
}

describe('a thousand topics created at once', () => {
  // How long it takes is printed, not judged: these machines are shared. A client gives up after 2.3 s (contract M1).
  it.each(['NonReliable', 'Reliable'] as const)('%s: all are assigned, as many to each broker', async (delivery) => {
    const { etcd, history } = cluster();
    const topics = topicNames(`many-${delivery}`, 1000);
    const readyAt = new Map<string, number>();

    for (let at = 0; at < topics.length; at += 50) {
      await Promise.all(
        topics.slice(at, at + 50).map(async (topic) => {
          await put(etcd, unassignedKey(topic), NULL_VALUE);
          await put(etcd, topicKey(topic), NULL_VALUE);
          readyAt.set(topic, Date.now());
          await put(etcd, deliveryKey(topic), encodeDelivery(delivery));
        }),
      );
    }
    await untilAssigned(cluster(), topics);

    const delays = history.fold.assigned
      .filter(({ topic }) => readyAt.has(topic))
      .map(({ topic, at }) => at - (readyAt.get(topic) ?? Number.NaN))
      .toSorted((a, b) => a - b);
    const [p50, p99, max] = [0.5, 0.99, 1].map((share) => delays[Math.ceil(delays.length * share) - 1]);
    process.stderr.write(`1,000 ${delivery}: delivery to assignment p50 ${p50} ms, p99 ${p99} ms, max ${max} ms\n`);
    const counts = [...Map.groupBy(topics, (topic) => liveOwner(cluster(), topic)).values()].map((of) => of.length);
    expect(counts).toHaveLength(3);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    expect(assignedTwice(cluster())).toEqual([]);
  });
});

describe('a marker', () => {
  it('"unload" of a reliable topic is served only once the source has sealed it, and offsets go on', async () => {
    const { etcd, policy, history, brokerPid } = cluster();
    const topic = '/default/unload-reliable';
    const [first] = await liveBrokers(cluster());
    if (first === undefined) throw new Error('there is no broker');
    await withConnection(first, (connection) => beginTopic(connection, topic, 'Reliable'));
    const source = await ownerOf(topic);
    const before = await sendWhenServed(source, topic, 10);
    const revision = await currentRevision(etcd);

    process.kill(brokerPid(source.pod), 'SIGSTOP');
    await takeFrom(source, topic, { kind: 'unload', fromBroker: source.id });
    await untilCondition(policy, {
      type: 'TopicsServed',
      status: 'False',
      message: `1 NotSealed, for example ${topic}: broker ${source.id} is unloading it`,
    });
    expect(history.fold.owners.get(topic)?.size).toBe(0);
    process.kill(brokerPid(source.pod), 'SIGCONT');

    const target = await ownerOf(topic);
    expect(target.pod).not.toBe(source.pod);
    const events = (await historyAfter(etcd, revision)).flatMap(({ events: of }) => of);
    const sealed = events.find(({ type, entry }) => type === 'put' && parseKey(entry.key).kind === 'sealedState');
    const assigned = events.find(({ type, entry }) => type === 'put' && entry.key === assignmentKey(target.id, topic));
    expect(sealed?.entry.modRevision).toBeLessThan(assigned?.entry.modRevision ?? 0);
    const after = await sendWhenServed(target, topic, 1);
    expect([before.at(-1), after]).toEqual(['9', ['10']]);
  });

  it('"unload" of a non-reliable topic is served by another broker', async () => {
    const topic = '/default/unload-plain';
    await createTopic(cluster().etcd, topic, 'NonReliable');
    const source = await ownerOf(topic);

    await takeFrom(source, topic, { kind: 'unload', fromBroker: source.id });

    await until(() => liveOwner(cluster(), topic) !== source.id, { what: 'the topic to leave' });
    expect((await ownerOf(topic)).pod).not.toBe(source.pod);
  });

  it('"drain_redirect" is served by another broker', async () => {
    const topic = '/default/redirected';
    await createTopic(cluster().etcd, topic, 'NonReliable');
    const source = await ownerOf(topic);

    await takeFrom(source, topic, { kind: 'drain_redirect', fromBroker: source.id });

    await until(() => liveOwner(cluster(), topic) !== source.id, { what: 'the topic to leave' });
    expect((await ownerOf(topic)).pod).not.toBe(source.pod);
  });

  it('"rebalance" is served by the broker that it names', async () => {
    const topic = '/default/rebalanced';
    await createTopic(cluster().etcd, topic, 'NonReliable');
    const source = await ownerOf(topic);
    const target = (await liveBrokers(cluster())).findLast(({ id }) => id !== source.id);
    if (target === undefined) throw new Error('there is no other broker');

    await takeFrom(source, topic, { kind: 'rebalance', fromBroker: source.id, toBroker: target.id });

    await until(() => liveOwner(cluster(), topic) === target.id, { what: 'the topic to arrive' });
  });

  it('without delivery waits, and is served as soon as it comes', async () => {
    const { etcd, policy, history } = cluster();
    const topic = '/default/without-delivery';
    await put(etcd, unassignedKey(topic), NULL_VALUE);
    await put(etcd, topicKey(topic), NULL_VALUE);

    await untilCondition(policy, {
      type: 'TopicsServed',
      status: 'False',
      message: `1 DeliveryMissing, for example ${topic}: waits for /topics${topic}/delivery`,
    });
    expect(history.fold.owners.get(topic)).toBeUndefined();
    await put(etcd, deliveryKey(topic), encodeDelivery('NonReliable'));

    await untilAssigned(cluster(), [topic]);
  });

  it('that is missing is no reason to forget the topic: an orphan is assigned after some seconds', async () => {
    const { etcd } = cluster();
    const topic = '/default/orphan';
    const startedAt = performance.now();
    await put(etcd, topicKey(topic), NULL_VALUE);
    await put(etcd, deliveryKey(topic), encodeDelivery('Reliable'));

    await untilAssigned(cluster(), [topic]);

    // Not at once: the topic may be half deleted (contract 2.4).
    expect(performance.now() - startedAt).toBeGreaterThan(4_500);
  });
});

describe('a broker that drains', () => {
  it('is given no topic, and is again once it is active', async () => {
    const { etcd, brokerLoads } = cluster();
    const [draining] = await liveBrokers(cluster());
    if (draining === undefined) throw new Error('there is no broker');
    await put(etcd, brokerStateKey(draining.id), encodeBrokerState({ mode: 'draining', reason: 'admin_unload' }));
    const meanwhile = topicNames('while-draining', 30);
    await createTopics(etcd, meanwhile);
    await untilAssigned(cluster(), meanwhile);
    await until(
      async () => {
        const load = (await brokerLoads()).find(({ metadata }) => metadata.name === draining.pod);
        return load?.status?.state === 'Draining';
      },
      { what: `BrokerLoad ${draining.pod} to say Draining`, intervalMs: 100 },
    );

    await put(etcd, brokerStateKey(draining.id), encodeBrokerState({ mode: 'active', reason: 'admin_activate' }));
    const later = topicNames('active-again', 30);
    await createTopics(etcd, later);
    await untilAssigned(cluster(), later);

    expect(meanwhile.filter((topic) => liveOwner(cluster(), topic) === draining.id)).toEqual([]);
    expect(later.filter((topic) => liveOwner(cluster(), topic) === draining.id)).not.toEqual([]);
  });
});

describe('nonsense in etcd', () => {
  it('stops neither the operator nor the topics beside it', async () => {
    const { etcd, operatorPods, history } = cluster();
    const [broker] = await liveBrokers(cluster());
    const restarts = async () =>
      (await operatorPods()).flatMap(({ status }) =>
        status?.containerStatuses?.map(({ restartCount }) => restartCount),
      );
    const restartsBefore = await restarts();
    const beyondU64 = '18446744073709551616';
    const nonsense: readonly (readonly [string, string])[] = [
      [unassignedKey('/default/empty-marker'), ''],
      [unassignedKey('/default/broken-marker'), '{"from_broker":12'],
      [unassignedKey('/default/huge-marker'), 'x'.repeat(1024 * 1024)],
      [unassignedKey('/default/deep-marker'), '['.repeat(100_000)],
      [unassignedKey('/default/big-id'), `{"from_broker":${beyondU64},"reason":"unload"}`],
      [unassignedKey('/default/negative-id'), '{"from_broker":-1,"reason":"unload"}'],
      [unassignedKey('/default/odd reason'), '{"reason":{"a":[]}}'],
      [unassignedKey('/default/too/deep'), NULL_VALUE],
      [unassignedKey('//'), NULL_VALUE],
      [topicKey('/default/ünïcode-主题'), NULL_VALUE],
      [topicKey('/default/__proto__'), NULL_VALUE],
      [deliveryKey('/default/__proto__'), '"Reliable"'],
      [deliveryKey('/default/empty-marker'), ''],
      [deliveryKey('/default/broken-marker'), '"Sometimes"'],
      [registrationKey(beyondU64), '{"broker_url":"http://127.0.0.1:1","admin_addr":"x"}'],
      [registrationKey('12'), '{"broker_url":7}'],
      [registrationKey('13'), ''],
      [assignmentKey(beyondU64, '/default/owned-by-nobody'), NULL_VALUE],
      [loadReportKey(broker?.id ?? ''), '{"broker_id":1e999}'],
      [loadReportKey('14'), 'null'],
      [brokerStateKey('15'), '"draining"'],
      ['/danube-data/storage/topics/default/odd/state', '{"sealed":"yes"}'],
      ['/danube-load-manager/nonsense', ''],
      ['/cluster/', NULL_VALUE],
      ['/', NULL_VALUE],
    ];

    for (const [key, value] of nonsense) await put(etcd, key, value);
    const neighbours = topicNames('neighbour', 20);
    await createTopics(etcd, neighbours, 'Reliable');

    await untilAssigned(cluster(), neighbours);
    await untilAssigned(cluster(), ['/default/__proto__']);
    const strangers = history.fold.assigned.filter(({ broker: to }) =>
      ['12', '13', '14', '15', beyondU64].includes(to),
    );
    expect(strangers).toEqual([]);
    for (const [key] of nonsense) await remove(etcd, key);
    await untilCondition(cluster().policy, { type: 'Ready', status: 'True' });
    expect(await restarts()).toEqual(restartsBefore);
    expect([...history.fold.doublyOwned]).toEqual([]);
  });
});
