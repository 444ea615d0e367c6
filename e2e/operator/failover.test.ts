/** Brokers that die, come back, or only seem dead: who gets their topics, and when (design §5, contract M9 to M15). */
import { beforeAll, describe, expect, it } from 'vitest';
import { EVENTS } from '../../src/kube/events.ts';
import { RESOURCES } from '../controlplane/api.ts';
import type { OwnershipEvent } from '../demo/history.ts';
import { BROKER_NAMESPACE } from '../demo/manifests.ts';
import { holdToBar } from '../process/bars.ts';
import { until } from '../process/until.ts';
import { type LiveBroker, liveBrokers, nextBroker } from './brokers.ts';
import { untilCondition, useCluster } from './suite.ts';
import { assignedTwice, createTopics, liveOwner, topicNames, untilAssigned } from './topics.ts';

const cluster = useCluster({ policy: { ranking: { algorithm: 'DanubeFair' } } });
const reliable = topicNames('reliable', 30);
const plain = topicNames('plain', 30);

beforeAll(async () => {
  await createTopics(cluster().etcd, reliable, 'Reliable');
  await createTopics(cluster().etcd, plain, 'NonReliable');
  await untilAssigned(cluster(), [...reliable, ...plain]);
});

async function brokerOf(pod: string): Promise<LiveBroker> {
  const broker = (await liveBrokers(cluster())).find((one) => one.pod === pod);
  if (broker === undefined) throw new Error(`there is no Pod ${pod}`);
  return broker;
}

interface Owned {
  readonly reliable: readonly string[];
  readonly plain: readonly string[];
}

/** What the broker has; some of each kind, or there is nothing to see. */
function topicsOf({ id }: LiveBroker): Owned {
  const of = (topics: readonly string[]) => topics.filter((topic) => liveOwner(cluster(), topic) === id);
  const owned = { reliable: of(reliable), plain: of(plain) };
  expect(Math.min(owned.reliable.length, owned.plain.length)).toBeGreaterThan(0);
  return owned;
}

/** Resolves when none of its topics is the old broker's any more; epoch ms of the last assignment of each kind. */
async function untilFailedOver(old: LiveBroker, topics: Owned): Promise<{ reliableAt: number; plainAt: number }> {
  const { history } = cluster();
  const moved = (of: readonly string[]) =>
    of.every((topic) => ![old.id, undefined].includes(liveOwner(cluster(), topic)));
  await until(() => moved([...topics.reliable, ...topics.plain]), {
    what: `the topics of ${old.pod} to have new owners`,
  });
  const last = (of: readonly string[]) =>
    Math.max(...history.fold.assigned.filter((event: OwnershipEvent) => of.includes(event.topic)).map(({ at }) => at));
  return { reliableAt: last(topics.reliable), plainAt: last(topics.plain) };
}

/** By what its end was proved, each time that topics were taken from it. */
function proofsOf({ id }: LiveBroker): readonly string[] {
  return cluster()
    .history.fold.failovers.filter(({ broker }) => broker === id)
    .map(({ proof }) => proof);
}

async function deletePod(name: string): Promise<void> {
  await cluster().client.delete(RESOURCES.pods, { namespace: BROKER_NAMESPACE, name });
}

function expectOneOwnerEach(): void {
  expect([...reliable, ...plain].filter((topic) => liveOwner(cluster(), topic) === undefined)).toEqual([]);
  expect([...cluster().history.fold.doublyOwned]).toEqual([]);
  expect(assignedTwice(cluster())).toEqual([]);
}

describe('a broker that is killed (kill -9)', () => {
  it("gives its non-reliable topics away at once, and its reliable ones to the same Pod's next process", async () => {
    const old = await brokerOf('danube-core-broker-0');
    const topics = topicsOf(old);

    process.kill(cluster().brokerPid(old.pod), 'SIGKILL');
    const killedAt = Date.now();
    const { reliableAt, plainAt } = await untilFailedOver(old, topics);

    const next = (await cluster().incarnations(old.pod)).at(-1);
    const acceptsAt = next?.acceptsAt ?? Number.NaN;
    expect(topics.reliable.filter((topic) => liveOwner(cluster(), topic) !== next?.id)).toEqual([]);
    expect(proofsOf(old)).not.toContain('LeaseExpired');
    holdToBar('kill -9 of a broker: non-reliable topics after it', plainAt - killedAt, 5_000);
    holdToBar('kill -9 of a broker: reliable topics after the next process accepts', reliableAt - acceptsAt, 2_000);
    expectOneOwnerEach();
  });

  it('is written to the events of the policy, with what to do', async () => {
    const notes = await until(
      async () => {
        const { items } = await cluster().client.list(EVENTS, { namespace: BROKER_NAMESPACE });
        const all = items as unknown as readonly { reason: string; note: string }[];
        const found = all.filter(({ reason }) => reason === 'BrokerFailedOver').map(({ note }) => note);
        return found.length > 0 ? found : undefined;
      },
      { what: 'the event BrokerFailedOver', intervalMs: 200 },
    );

    expect(notes[0]).toMatch(/broker \d+ of Pod danube-core-broker-0 is dead/);
  });
});

describe('a Pod that is deleted', () => {
  it('leaves its reliable topics to the Pod that comes after it on the same volume', async () => {
    const old = await brokerOf('danube-core-broker-1');
    const topics = topicsOf(old);

    await deletePod(old.pod);
    const deletedAt = Date.now();
    const { reliableAt, plainAt } = await untilFailedOver(old, topics);

    const next = await nextBroker(cluster(), old);
    expect(topics.reliable.filter((topic) => liveOwner(cluster(), topic) !== next)).toEqual([]);
    expect(proofsOf(old)).not.toContain('LeaseExpired');
    holdToBar('Pod deleted: non-reliable topics after it', plainAt - deletedAt, 15_000);
    holdToBar('Pod deleted: reliable topics after it', reliableAt - deletedAt, 15_000);
    expectOneOwnerEach();
  });
});

describe('a broker that crashes again and again', () => {
  it('has its reliable topics back each time, and no topic ever has two owners', async () => {
    const { history, brokerPid } = cluster();
    const first = await brokerOf('danube-core-broker-2');
    const topics = topicsOf(first);
    let old = first;

    for (let crash = 0; crash < 3; crash++) {
      process.kill(brokerPid(old.pod), 'SIGKILL');
      // At once when it has registered: before, while or after it is given topics.
      const id = await nextBroker(cluster(), old);
      old = { ...old, id };
    }

    await untilAssigned(cluster(), [...reliable, ...plain]);
    const last = await brokerOf(first.pod);
    expect(topics.reliable.filter((topic) => liveOwner(cluster(), topic) !== last.id)).toEqual([]);
    expect([...history.fold.doublyOwned]).toEqual([]);
    expectOneOwnerEach();
  });
});

describe('a broker that stands still beyond its lease (SIGSTOP) and may go on any moment', () => {
  it('loses its non-reliable topics only; the reliable ones wait until its Pod is deleted, and the policy says so', async () => {
    const { history, brokerPid, policy } = cluster();
    const zombie = await brokerOf('danube-core-broker-0');
    await createTopics(cluster().etcd, topicNames('zombie', 3), 'NonReliable');
    const topics: Owned = { ...topicsOf({ ...zombie }), plain: [] };
    const plainBefore = plain.filter((topic) => liveOwner(cluster(), topic) === zombie.id);

    process.kill(brokerPid(zombie.pod), 'SIGSTOP');
    await until(() => !history.fold.registered.has(zombie.id), { what: 'its lease to expire' });
    await untilCondition(policy, {
      type: 'TopicsServed',
      status: 'False',
      message: `${topics.reliable.length} Zombie, for example /default/reliable-`,
    });
    await untilAssigned(cluster(), plainBefore);
    expect(topics.reliable.filter((topic) => !history.fold.owners.get(topic)?.has(zombie.id))).toEqual([]);

    await deletePod(zombie.pod);
    await untilFailedOver(zombie, topics);

    const next = await nextBroker(cluster(), zombie);
    expect(topics.reliable.filter((topic) => liveOwner(cluster(), topic) !== next)).toEqual([]);
    await untilCondition(policy, { type: 'TopicsServed', status: 'True' });
    expectOneOwnerEach();
  });
});
