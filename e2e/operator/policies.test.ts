/** What a policy makes the operator do, from Observe to its deletion, and what it says when it can not. The tests build on each other. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { RebalancePolicy, RebalancePolicySpec } from '../../src/api/rebalance-policy.ts';
import {
  assignmentsPrefix,
  deliveryKey,
  LEADER_KEY,
  parseKey,
  topicKey,
  unassignedKey,
} from '../../src/danube/keys.ts';
import { OWN_PREFIX } from '../../src/danube/metadata.ts';
import { encodeDelivery, NULL_VALUE } from '../../src/danube/values.ts';
import type { EtcdPort } from '../../src/etcd/port.ts';
import type { KubeObject } from '../../src/kube/client.ts';
import { leaderIdOf } from '../../src/operator/authority.ts';
import { POLICIES } from '../../src/operator/publish.ts';
import { BROKER_NAMESPACE, OPERATOR_NAMESPACE, POLICY_NAME, policyManifest } from '../demo/manifests.ts';
import { holdToBar } from '../process/bars.ts';
import { until } from '../process/until.ts';
import { currentRevision, historyAfter, leaderValues, ownWrites, unfencedWrites } from './etcd-history.ts';
import { untilCondition, untilConditionGone, useCluster } from './suite.ts';
import { assignedTwice, createTopics, put, remove, topicNames, untilAssigned } from './topics.ts';

// A foreign leader is put there by hand, and a policy that is made again leads under another id than the first.
const cluster = useCluster({ policy: { mode: 'Observe' }, planted: ['ForeignLeader', 'NotLeading'] });
const DEPLOYMENTS = { group: 'apps', version: 'v1', plural: 'deployments', namespaced: true };

function policyNamed(name: string): () => Promise<RebalancePolicy> {
  return () => cluster().client.get(POLICIES, { namespace: BROKER_NAMESPACE, name });
}

async function setMode(mode: RebalancePolicySpec['mode']): Promise<void> {
  const ref = { namespace: BROKER_NAMESPACE, name: POLICY_NAME };
  await cluster().client.patch(POLICIES, ref, { spec: { mode } }, { type: 'merge' });
}

async function setRebalance(rebalance: RebalancePolicySpec['rebalance']): Promise<void> {
  const ref = { namespace: BROKER_NAMESPACE, name: POLICY_NAME };
  await cluster().client.patch(POLICIES, ref, { spec: { rebalance } }, { type: 'merge' });
}

/** Topics that a broker has, as they are once all that makes a topic has happened. */
async function putOnBroker(etcd: EtcdPort, broker: string, topics: readonly string[]): Promise<void> {
  for (const topic of topics) {
    const { outcome } = await etcd.commit(
      [],
      [
        { put: topicKey(topic), value: NULL_VALUE },
        { put: deliveryKey(topic), value: encodeDelivery('NonReliable') },
        { put: `${assignmentsPrefix(broker)}${topic.slice(1)}`, value: NULL_VALUE },
      ],
    );
    expect(outcome).toBe('applied');
  }
}

/** The id under which the operator leads the brokers for the policy as it is now. */
async function ourLeaderId(): Promise<string> {
  return leaderIdOf((await cluster().policy()).metadata.uid);
}

function untilLeaderKey(what: string, matches: (value: string | undefined) => boolean): Promise<true> {
  const { history } = cluster();
  return until(() => matches(history.fold.leader) || undefined, { what, intervalMs: 10 });
}

/** Does what makes the operator give its leader key up; resolves when it has, and not because the key's lease expired. */
async function untilGivenUp(ask: () => Promise<unknown>): Promise<void> {
  const { etcd, history } = cluster();
  const ours = await ourLeaderId();
  const held = await etcd.get(LEADER_KEY);
  expect(held?.value.toString('utf8')).toBe(ours);

  await ask();
  await until(
    async () => {
      if (history.fold.leader !== ours) return true;
      await etcd.keepAliveLease(held?.lease ?? '');
      return false;
    },
    { what: 'the operator to give the key up' },
  );
}

function isBroker(id: string | undefined): boolean {
  return id !== undefined && cluster().history.fold.registered.has(id);
}

/** Another policy than the demo's, for the time of `use`. */
async function withPolicy(name: string, spec: object, use: () => Promise<void>): Promise<void> {
  const { client, brokersEtcd } = cluster();
  const manifest = policyManifest(brokersEtcd.endpoint);
  await client.create(POLICIES, {
    ...manifest,
    metadata: { ...manifest.metadata, name },
    spec: { ...(manifest.spec as object), ...spec },
  });
  try {
    await use();
  } finally {
    await client.delete(POLICIES, { namespace: BROKER_NAMESPACE, name });
  }
}

describe('mode Observe', () => {
  const topics = topicNames('observed', 3);

  it('writes not one key: the brokers elect their own leader, and topics stay as they are', async () => {
    const { etcd, policy } = cluster();
    await untilLeaderKey('a broker to lead', isBroker);
    await createTopics(etcd, topics);
    await untilCondition(policy, { type: 'TopicsServed', status: 'False', reason: 'Unserved' });
    await untilCondition(policy, { type: 'Leading', status: 'False', reason: 'NotWanted' });

    const history = await historyAfter(etcd, 1);
    expect(history.length).toBeGreaterThan(10);
    expect(ownWrites(history)).toEqual([]);
    expect(leaderValues(history).filter((value) => value !== undefined && !isBroker(value))).toEqual([]);
    const { entries } = await etcd.read('');
    const kinds = Map.groupBy(entries, ({ key }) => parseKey(key).kind);
    expect(kinds.get('assignment')).toBeUndefined();
    expect(kinds.get('unassigned')?.map(({ key }) => key)).toEqual(topics.map(unassignedKey));
    expect(kinds.get('other')).toBeUndefined();
  });

  it('says why the waiting topics are not assigned', async () => {
    const served = await untilCondition(cluster().policy, { type: 'TopicsServed', status: 'False' });

    expect(served.message).toBe(
      '3 topics have no live owner. The operator assigns nothing now: in mode Observe the brokers lead themselves.',
    );
  });

  it('turned to Approve: takes the key over from the broker, looks on for 12 s, then assigns', async () => {
    const { etcd, policy, history } = cluster();
    const revision = await currentRevision(etcd);
    const ours = await ourLeaderId();
    const askedAt = Date.now();

    await setMode('Approve');
    await untilLeaderKey('the operator to lead', (value) => value === ours);
    const quiet = await untilCondition(policy, { type: 'Reconciling', status: 'True', reason: 'QuietPeriod' });
    await untilAssigned(cluster(), topics);

    expect(quiet.message).toMatch(/took the leader key over from a broker; looks on until 20\d\d-/);
    const quietUntil = Number(JSON.parse((await etcd.get(`${OWN_PREFIX}quiet`))?.value.toString('utf8') ?? '{}').until);
    const firstAssignedAt = Math.min(...history.fold.assigned.map(({ at }) => at));
    expect(quietUntil - askedAt).toBeGreaterThanOrEqual(12_000);
    expect(firstAssignedAt).toBeGreaterThanOrEqual(quietUntil);
    holdToBar('assigned after the quiet period', firstAssignedAt - quietUntil, 2_000);
    const since = await historyAfter(etcd, revision);
    const taken = since.findIndex((one) => leaderValues([one]).includes(ours));
    const assigned = since.findIndex(({ revision: at }) => at === history.fold.assigned[0]?.revision);
    expect(taken).toBeGreaterThanOrEqual(0);
    expect(ownWrites(since.slice(taken + 1, assigned))).toEqual([]);
    await untilConditionGone(policy, 'Reconciling');
    await untilCondition(policy, { type: 'TopicsServed', status: 'True' });
  });

  it('turned back to: gives the key up at once and leaves the assignments as they are', async () => {
    const { etcd, policy } = cluster();
    const revision = await currentRevision(etcd);

    await untilGivenUp(() => setMode('Observe'));

    await untilCondition(policy, { type: 'Leading', status: 'False', reason: 'NotWanted' });
    await untilAssigned(cluster(), topics);
    expect(ownWrites(await historyAfter(etcd, revision))).toEqual([]);
  });

  it('says how uneven the brokers are, and what a plan would do, and writes nothing', async () => {
    const { etcd, policy, history } = cluster();
    const revision = await currentRevision(etcd);
    const [full = ''] = [...history.fold.registered.keys()];
    const crowded = topicNames('crowded', 90);
    await putOnBroker(etcd, full, crowded);

    // These topics are new, and new topics stay where they are unless the policy says otherwise.
    await setRebalance({ sustainedSeconds: 0, limits: { minTopicAgeSeconds: 0 } });
    // A plan of a cluster that has not come to rest yet is made anew after half a minute.
    const balanced = await untilCondition(
      policy,
      { type: 'Balanced', status: 'False', reason: 'Imbalanced', message: 'would bring all within the band' },
      180_000,
    );

    expect(balanced.message).toContain(`broker ${full} is `);
    expect(balanced.message).toContain('above the mean in topics');
    const { imbalance, plan, skipped = [] } = (await policy()).status ?? {};
    expect(imbalance).toMatchObject({ resource: 'topics' });
    expect(imbalance?.currentPercent).toBeGreaterThan(100);
    expect(imbalance?.plannedPercent).toBeLessThan(10);
    expect(plan?.name).toMatch(new RegExp(`^${POLICY_NAME}-[0-9a-f]+$`));
    expect(plan?.moves).toBeGreaterThanOrEqual(plan?.minMoves ?? Number.POSITIVE_INFINITY);
    expect(plan?.minMoves).toBeGreaterThan(50);
    expect(skipped).toEqual([]);
    const written = await historyAfter(etcd, revision);
    expect(ownWrites(written)).toEqual([]);
  }, 300_000);

  it('and to Approve again: leads again, under the same id and a higher epoch', async () => {
    const { policy } = cluster();
    const ours = await ourLeaderId();
    const before = (await policy()).status?.fencingEpoch ?? 0;

    await setMode('Approve');

    await untilLeaderKey('the operator to lead', (value) => value === ours);
    const more = topicNames('approved-again', 3);
    await createTopics(cluster().etcd, more);
    await untilAssigned(cluster(), more);
    await until(async () => ((await policy()).status?.fencingEpoch ?? 0) > before, {
      what: `an epoch after ${before} in the status`,
    });
    expect(assignedTwice(cluster())).toEqual([]);
  });
});

describe('a second policy', () => {
  it('on the same etcd is a PolicyConflict: it writes nothing and takes nothing from the first', async () => {
    const { etcd, brokerLoads, policy } = cluster();
    const loadsBefore = (await brokerLoads()).map(({ metadata }) => metadata.uid);
    const fenceBefore = await etcd.get(`${OWN_PREFIX}fence`);
    const revision = await currentRevision(etcd);

    await withPolicy('second', {}, async () => {
      const stalled = await untilCondition(policyNamed('second'), {
        type: 'Stalled',
        status: 'True',
        reason: 'PolicyConflict',
      });
      expect(stalled.message).toContain(`${BROKER_NAMESPACE}/${POLICY_NAME}`);
      expect(stalled.message).toContain('/danube-load-manager/identity');
      const topics = topicNames('conflict', 3);
      await createTopics(etcd, topics);
      await untilAssigned(cluster(), topics);
    });

    const since = await historyAfter(etcd, revision);
    expect(leaderValues(since)).toEqual([]);
    expect(await etcd.get(`${OWN_PREFIX}fence`)).toEqual(fenceBefore);
    const loads = await brokerLoads();
    expect(loads.map(({ metadata }) => metadata.uid)).toEqual(loadsBefore);
    expect(loads.map(({ spec }) => spec.policyName)).toEqual([POLICY_NAME, POLICY_NAME, POLICY_NAME]);
    expect(loads.map(({ metadata }) => (metadata as KubeObject['metadata']).ownerReferences?.[0]?.name)).toEqual([
      POLICY_NAME,
      POLICY_NAME,
      POLICY_NAME,
    ]);
    await untilCondition(policy, { type: 'Ready', status: 'True' });
  });

  it('whose etcd has no address is told so, and the first goes on', async () => {
    const { etcd } = cluster();

    await withPolicy('nowhere', { etcd: { endpoints: ['http://no-such-etcd.messaging.svc:2379'] } }, async () => {
      const ready = await untilCondition(policyNamed('nowhere'), {
        type: 'Ready',
        status: 'False',
        reason: 'EtcdUnreachable',
      });
      expect(ready.message).toContain('http://no-such-etcd.messaging.svc:2379');
      const topics = topicNames('nowhere', 3);
      await createTopics(etcd, topics);
      await untilAssigned(cluster(), topics);
    });
  });

  it('with two mistakes is refused by the API server, which names both', async () => {
    const { controlPlane } = cluster();
    const { spec, ...manifest } = policyManifest('danube-core-etcd.messaging.svc:2379');
    const file = join(controlPlane.dir, 'two-mistakes.json');
    const wrong = { ...(spec as object), brokerSelector: { matchLabels: {} } };
    writeFileSync(
      file,
      JSON.stringify({ ...manifest, metadata: { name: 'wrong', namespace: BROKER_NAMESPACE }, spec: wrong }),
    );

    const args = ['--kubeconfig', controlPlane.adminKubeconfig, 'create', '-f', file];
    const refused = promisify(execFile)(controlPlane.assets.kubectl, args);

    await expect(refused).rejects.toThrow(/spec\.brokerSelector\.matchLabels/);
    await expect(refused).rejects.toThrow(/spec\.etcd\.endpoints\[0\].*write http:\/\/<host>:<port>/s);
  });
});

describe("a foreign value in the brokers' leader key", () => {
  it('is left alone, and the operator leads again once it has gone', async () => {
    const { etcd, policy } = cluster();
    const ours = await ourLeaderId();
    const topics = topicNames('foreign', 3);

    await put(etcd, LEADER_KEY, '424242424242');
    const stalled = await untilCondition(policy, { type: 'Stalled', status: 'True', reason: 'ForeignOperator' });
    const revision = await currentRevision(etcd);
    await createTopics(etcd, topics);
    const served = await untilCondition(policy, { type: 'TopicsServed', status: 'False', reason: 'Unserved' });
    const meanwhile = await historyAfter(etcd, revision);

    expect(stalled.message).toContain('/cluster/leader holds 424242424242');
    expect(stalled.message).toContain('delete the key if that program is gone');
    expect(served.message).toContain('The operator assigns nothing now: /cluster/leader holds 424242424242');
    expect(ownWrites(meanwhile)).toEqual([]);
    expect(leaderValues(meanwhile)).toEqual([]);
    await remove(etcd, LEADER_KEY);
    await untilLeaderKey('the operator to lead again', (value) => value === ours);
    await untilAssigned(cluster(), topics);
    await untilConditionGone(policy, 'Stalled');
  });
});

describe('a policy that is deleted', () => {
  it('and made again at once is a new one: it leads under its own id without waiting for the old one', async () => {
    const { client, brokersEtcd, etcd, policy, brokerLoads } = cluster();
    const old = await ourLeaderId();
    const revision = await currentRevision(etcd);

    await untilGivenUp(async () => {
      await client.delete(POLICIES, { namespace: BROKER_NAMESPACE, name: POLICY_NAME });
      await client.create(POLICIES, policyManifest(brokersEtcd.endpoint));
    });

    const ours = await ourLeaderId();
    expect(ours).not.toBe(old);
    await untilLeaderKey('the operator to lead for the new policy', (value) => value === ours);
    const topics = topicNames('recreated', 3);
    await createTopics(etcd, topics);
    await untilAssigned(cluster(), topics);
    const { uid } = (await policy()).metadata;
    await until(
      async () => {
        const loads = await brokerLoads();
        const owners = loads.map(({ metadata }) => (metadata as KubeObject['metadata']).ownerReferences?.[0]?.uid);
        return owners.length === 3 && owners.every((owner) => owner === uid);
      },
      { what: 'three BrokerLoads of the new policy', intervalMs: 200 },
    );
    expect(unfencedWrites(await historyAfter(etcd, revision), undefined)).toEqual([]);
  });

  it('gives the brokers their leader key back at once, and its BrokerLoads go', async () => {
    const { client, brokerLoads } = cluster();

    await untilGivenUp(() => client.delete(POLICIES, { namespace: BROKER_NAMESPACE, name: POLICY_NAME }));

    await until(async () => (await brokerLoads()).length === 0, {
      what: 'the BrokerLoads to be collected',
      intervalMs: 200,
    });
    await untilLeaderKey('a broker to lead', isBroker);
  });
});

describe('without --allow-any-etcd-endpoint', () => {
  it('a policy with an address is Stalled, with what to write', async () => {
    const { client, brokersEtcd, policy, etcd } = cluster();
    await removeFlag('--allow-any-etcd-endpoint');
    const revision = await currentRevision(etcd);

    await client.create(POLICIES, policyManifest(brokersEtcd.endpoint));

    const stalled = await untilCondition(policy, { type: 'Stalled', status: 'True', reason: 'InvalidSpec' });
    expect(stalled.message).toContain(`spec.etcd.endpoints: ${brokersEtcd.endpoint}`);
    expect(stalled.message).toContain('write http://<service>.messaging.svc:<port>');
    expect(stalled.message).toContain('--allow-any-etcd-endpoint');
    expect(ownWrites(await historyAfter(etcd, revision))).toEqual([]);
  });
});

interface Deployment extends KubeObject {
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly { readonly args: string[] }[] } };
  };
}

/** Resolves when only operators without the flag are left. */
async function removeFlag(flag: string): Promise<void> {
  const { client, operatorPods, lease } = cluster();
  const ref = { namespace: OPERATOR_NAMESPACE, name: 'danube-load-manager' };
  const before = new Set((await operatorPods()).map(({ metadata }) => metadata.uid));
  const { spec } = await client.get<Deployment>(DEPLOYMENTS, ref);
  const args = spec.template.spec.containers[0]?.args.filter((arg) => arg !== flag);
  const path = '/spec/template/spec/containers/0/args';
  await client.patch(DEPLOYMENTS, ref, [{ op: 'replace', path, value: args }], { type: 'json' });
  await until(
    async () => {
      const pods = await operatorPods();
      const holder = (await lease()).spec?.holderIdentity ?? '';
      return (
        pods.every(({ metadata }) => !before.has(metadata.uid)) &&
        pods.some(({ metadata }) => holder.startsWith(metadata.name))
      );
    },
    { what: 'the new operators to have replaced the old ones', intervalMs: 200 },
  );
}
