/** Rules of where topics may live, on real Pods: what they allow, what waits for them, and what ends the wait. The tests build on each other. */
import { describe, expect, it } from 'vitest';
import { EVENTS } from '../../src/kube/events.ts';
import { PODS, type Pod } from '../../src/operator/pods.ts';
import { POLICIES } from '../../src/operator/publish.ts';
import { BROKER_NAMESPACE, POLICY_NAME } from '../demo/manifests.ts';
import { until } from '../process/until.ts';
import { liveBrokers } from './brokers.ts';
import { untilCondition, useCluster } from './suite.ts';
import { createTopics, liveOwner, topicNames, untilAssigned } from './topics.ts';

// Killed brokers leave topics without an owner for as long as a rule allows nobody.
const cluster = useCluster({
  policy: {
    ranking: { algorithm: 'DanubeFair' },
    placement: {
      rules: [
        {
          name: 'payments',
          topicPatterns: ['/default/payments-*'],
          brokerSelector: { matchLabels: { tier: 'fast' } },
        },
      ],
      spread: [{ name: 'orders', topicPatterns: ['/default/orders'], maxPerBroker: 1 }],
    },
  },
});

const payments = topicNames('payments', 20);
const others = topicNames('others', 20);

async function label(pod: string, labels: Readonly<Record<string, string>>): Promise<void> {
  await cluster().client.patch<Pod>(
    PODS,
    { namespace: BROKER_NAMESPACE, name: pod },
    { metadata: { labels } },
    { type: 'merge' },
  );
}

async function podNames(): Promise<readonly string[]> {
  return (await liveBrokers(cluster())).map(({ pod }) => pod);
}

async function brokerOf(pod: string): Promise<string> {
  return (await liveBrokers(cluster())).find((broker) => broker.pod === pod)?.id ?? '';
}

/** Resolves when the Pod's broker has them all. */
async function untilOn(pod: string, topics: readonly string[]): Promise<void> {
  const id = await brokerOf(pod);
  await until(
    () => {
      const elsewhere = topics.filter((topic) => liveOwner(cluster(), topic) !== id);
      if (elsewhere.length === 0) return true;
      throw new Error(`${elsewhere.length} are not`);
    },
    { what: `${topics.length} topics to be on ${pod}` },
  );
}

/** Of the events with that reason, once there are any. */
function notesOf(reason: string): Promise<readonly string[]> {
  return until(
    async () => {
      const { items } = await cluster().client.list(EVENTS, { namespace: BROKER_NAMESPACE });
      const all = items as unknown as readonly { reason: string; note: string }[];
      const found = all.filter((event) => event.reason === reason).map(({ note }) => note);
      return found.length > 0 ? found : undefined;
    },
    { what: `an event ${reason}`, intervalMs: 200 },
  );
}

describe('a Required rule', () => {
  it('keeps new topics waiting while no broker has its labels, says so, and keeps nothing else waiting', async () => {
    const { etcd, policy, history } = cluster();

    await createTopics(etcd, payments);
    await createTopics(etcd, others);
    await untilAssigned(cluster(), others);

    const served = await untilCondition(policy, {
      type: 'TopicsServed',
      status: 'False',
      message: '20 NoBrokerAllowed, for example /default/payments-',
    });

    expect(served.message).toContain(
      'rule payments needs a broker with the label tier=fast: no broker Pod has it; ' +
        'start a broker with the label tier=fast, or change spec.placement.rules',
    );
    expect(await notesOf('NoBrokerAllowed')).toEqual([
      expect.stringContaining('rule payments needs a broker with the label tier=fast'),
    ]);
    expect(history.fold.assigned.filter(({ topic }) => payments.includes(topic))).toEqual([]);
    expect(new Set(others.map((topic) => liveOwner(cluster(), topic))).size).toBe(3);
  });

  it('gives them to a broker that has the labels as soon as there is one', async () => {
    const [fast = ''] = await podNames();

    await label(fast, { tier: 'fast' });

    await untilOn(fast, payments);
    await untilCondition(cluster().policy, { type: 'TopicsServed', status: 'True' });
  });

  it('holds for failover: topics of a dead broker wait for another one that it allows', async () => {
    const { client, policy, history } = cluster();
    const [first = '', second = ''] = await podNames();
    const dead = await brokerOf(first);

    // The Pod that follows has the labels of the template, and not the one that was added by hand.
    await client.delete(PODS, { namespace: BROKER_NAMESPACE, name: first });
    await untilCondition(policy, { type: 'TopicsServed', status: 'False', message: '20 NoBrokerAllowed' });
    expect(payments.map((topic) => [...(history.fold.owners.get(topic) ?? [])])).toEqual(payments.map(() => [dead]));
    await label(second, { tier: 'fast' });

    await untilOn(second, payments);
    await untilCondition(policy, { type: 'TopicsServed', status: 'True' });
  });

  it('shows topics that have come to stand against it, although the load is even, and why they stay', async () => {
    const [, second = ''] = await podNames();

    await label(second, { tier: 'slow' });

    const skipped = await until(
      async () => {
        const { status } = await cluster().policy();
        return status?.skipped?.find(({ reason }) => reason.startsWith('rule payments: '));
      },
      { what: 'topics that the rule wants elsewhere', intervalMs: 200 },
    );
    expect(skipped.count).toBe(20);
    await untilCondition(cluster().policy, { type: 'TopicsServed', status: 'True' });
  });
});

describe('a spread rule', () => {
  const partitions = [0, 1, 2, 3].map((index) => `/default/orders-part-${index}`);

  it('gives each broker one partition, and the one too many waits until the rule allows it', async () => {
    const { client, etcd, policy, history } = cluster();

    await createTopics(etcd, partitions);
    const served = await untilCondition(policy, {
      type: 'TopicsServed',
      status: 'False',
      message: '1 NoBrokerAllowed, for example /default/orders-part-',
    });

    expect(served.message).toContain('rule orders for /default/orders allows 1 to a broker, and no broker that may');
    const owners = partitions.flatMap((topic) => liveOwner(cluster(), topic) ?? []);
    expect(owners).toHaveLength(3);
    expect(new Set(owners).size).toBe(3);
    const spread = [{ name: 'orders', topicPatterns: ['/default/orders'], maxPerBroker: 2 }];
    const ref = { namespace: BROKER_NAMESPACE, name: POLICY_NAME };
    await client.patch(POLICIES, ref, { spec: { placement: { spread } } }, { type: 'merge' });
    await untilAssigned(cluster(), partitions);
    await untilCondition(policy, { type: 'TopicsServed', status: 'True' });
    expect(history.fold.assigned.filter(({ topic }) => partitions.includes(topic))).toHaveLength(4);
  });
});
