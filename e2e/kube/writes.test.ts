/** What says nothing new costs nothing: not a change in Kubernetes' etcd when it is written, and no request at all. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BrokerLoad } from '../../src/api/broker-load.ts';
import type { RebalancePolicy } from '../../src/api/rebalance-policy.ts';
import type { KubeObject } from '../../src/kube/client.ts';
import { BROKER_LOADS, POLICIES, writeBrokerLoadStatus, writePolicyStatus } from '../../src/operator/publish.ts';
import { BROKER_NAMESPACE, POLICY_NAME } from '../demo/manifests.ts';
import { until } from '../process/until.ts';
import { type OperatorCluster, startOperatorCluster } from './operators.ts';
import { type ApiProxy, startApiProxy } from './proxy.ts';

/** The long runs have as many as a large installation. */
const BROKERS = process.env.TEST_TIER === 'full' ? 1_000 : 100;
const POLICY = { namespace: BROKER_NAMESPACE, name: POLICY_NAME };
const RENEWALS = 15;

let cluster: OperatorCluster;
let proxy: ApiProxy;

beforeAll(async () => {
  cluster = await startOperatorCluster({ brokers: BROKERS });
  const { address, server, caFile } = cluster.plane;
  proxy = await startApiProxy({ address, target: server, caFile });
  await cluster.startOperator('operator', [], proxy);
  await untilIdle();
});

afterAll(async () => {
  await cluster?.stop();
  await proxy?.stop();
});

function writes(): readonly string[] {
  return proxy.requests.filter(({ method }) => method !== 'GET').map(({ url }) => url);
}

function isRenewal(url: string): boolean {
  return url.includes('/leases/');
}

/** Every broker is ranked, and nothing was written for fifteen renewals, a second each, but these: the load is looked at every ten. */
async function untilIdle(): Promise<void> {
  await until(
    async () => {
      const { items } = await cluster.client.list<BrokerLoad>(BROKER_LOADS, { namespace: BROKER_NAMESPACE });
      const ranked = items.filter(({ status }) => status?.rank !== undefined).length;
      if (ranked < BROKERS) throw new Error(`${ranked} of ${BROKERS} are ranked`);
      return true;
    },
    { what: 'every broker to be ranked', timeoutMs: 180_000, intervalMs: 500 },
  );
  await until(() => writes().length > 15 && writes().slice(-15).every(isRenewal), {
    what: 'nothing to be written but the Lease',
  });
}

describe(`an operator with ${BROKERS} brokers that has nothing to do`, () => {
  it('writes nothing but its Lease, while all brokers report what they reported before', async () => {
    const before = writes().length;
    const startedAt = performance.now();

    await cluster.report();
    await until(() => writes().slice(before).filter(isRenewal).length >= RENEWALS, {
      what: `${RENEWALS} renewals of the Lease`,
    });
    const seconds = (performance.now() - startedAt) / 1000;

    const written = writes().slice(before);
    process.stderr.write(`${BROKERS} brokers, idle: ${written.length} writes in ${seconds.toFixed(1)} s\n`);
    expect(written.filter((url) => !isRenewal(url))).toEqual([]);
    expect(written.length).toBeLessThanOrEqual(seconds + 1);
  });
});

describe('a status that is written again as it is', () => {
  it('leaves the BrokerLoad at its version', async () => {
    const [load] = (await cluster.client.list<BrokerLoad & KubeObject>(BROKER_LOADS, { namespace: BROKER_NAMESPACE }))
      .items;
    if (load?.status === undefined) throw new Error('there is no BrokerLoad with a status');
    const ref = { namespace: BROKER_NAMESPACE, name: load.metadata.name };

    await writeBrokerLoadStatus(cluster.client, ref, load.status);
    const again = await cluster.client.get<KubeObject>(BROKER_LOADS, ref);
    await writeBrokerLoadStatus(cluster.client, ref, { ...load.status, topics: (load.status.topics ?? 0) + 1 });
    const changed = await cluster.client.get<KubeObject>(BROKER_LOADS, ref);

    expect(again.metadata.resourceVersion).toBe(load.metadata.resourceVersion);
    expect(changed.metadata.resourceVersion).not.toBe(load.metadata.resourceVersion);
  });

  it('leaves the policy at its version', async () => {
    const policy = await cluster.client.get<RebalancePolicy>(POLICIES, POLICY);
    if (policy.status === undefined) throw new Error('the policy has no status');

    await writePolicyStatus(cluster.client, POLICY, policy.status);

    const again = await cluster.client.get<RebalancePolicy>(POLICIES, POLICY);
    expect(again.metadata.resourceVersion).toBe(policy.metadata.resourceVersion);
  });
});
