import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import type { BrokerLoad } from '../api/broker-load.ts';
import { effectiveSpec, type RebalancePolicy } from '../api/rebalance-policy.ts';
import { judgeBrokers } from '../core/brokers.ts';
import { summarisePlanning } from '../core/plan-status.ts';
import { buildSnapshot, NAMESPACE } from '../core/snapshot-builder.ts';
import type { KubeClient, KubeObject, ObjectRef, PatchOptions, Resource } from '../kube/client.ts';
import { createOperatorMetrics } from './metrics.ts';
import { createReporter } from './reporter.ts';

const policy: RebalancePolicy = {
  apiVersion: 'loadmanager.danube.io/v1alpha1',
  kind: 'RebalancePolicy',
  metadata: {
    name: 'prod',
    namespace: NAMESPACE,
    uid: 'policy-uid',
    generation: 1,
    resourceVersion: '1',
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  spec: {
    brokerSelector: { matchLabels: { app: 'danube' } },
    etcd: { endpoints: ['http://etcd.messaging.svc:2379'] },
    mode: 'Approve',
  },
};
const spec = effectiveSpec(policy.spec);

const snapshot = buildSnapshot({
  brokers: ['0', '1', '2'].map((id) => ({ id, pod: `danube-${id}`, reportedAt: 60 })),
  pods: ['0', '1', '2'].map((id) => ({ name: `danube-${id}`, container: { runningSince: 50 } })),
});
const cluster = { snapshot, brokers: judgeBrokers(snapshot) };

/** Keeps what is applied, as the API server would, and lists the writes. */
function recordingClient() {
  const writes: string[] = [];
  const loads = new Map<string, BrokerLoad>();
  const unused = () => {
    throw new Error('a reporter only applies and deletes');
  };
  async function patch<T extends KubeObject>(
    { plural }: Resource,
    { name }: ObjectRef,
    body: unknown,
    { subresource }: PatchOptions,
  ): Promise<T> {
    writes.push([plural, name, ...(subresource === undefined ? [] : [subresource])].join('/'));
    const applied = body as BrokerLoad;
    const metadata = { ...applied.metadata, namespace: NAMESPACE, uid: `uid-of-${name}`, generation: 1 };
    const object = { ...loads.get(name), ...applied, metadata };
    if (plural === 'brokerloads') loads.set(name, object);
    return object as unknown as T;
  }
  const client: KubeClient = {
    patch,
    get: unused,
    list: unused,
    create: unused,
    replace: unused,
    delete: unused,
    post: unused,
    raw: unused,
    watch: unused,
    close: unused,
  };
  return { client, writes, loads: () => [...loads.values()] };
}

function start(isShown: () => boolean = () => true, mayGoOn: () => boolean = () => true) {
  const server = recordingClient();
  const reporter = createReporter({
    client: server.client,
    isShown,
    identity: 'operator-0',
    metrics: createOperatorMetrics(new Registry()),
  });
  let { status } = policy;
  return {
    writes: server.writes,
    async report(brokerLoads: readonly BrokerLoad[]) {
      status = await reporter.report({
        policy: { ...policy, ...(status && { status }) },
        spec,
        cluster,
        brokerLoads,
        waits: [],
        etcdError: undefined,
        planning: summarisePlanning({
          policy: 'prod',
          look: undefined,
          settings: { sustainedSeconds: 180, minActiveBrokers: 2 },
          made: undefined,
        }),
        mayGoOn,
        authority: { state: 'Held', message: 'leads the brokers', epoch: 1 },
      });
    },
    shown: server.loads,
  };
}

describe('a report', () => {
  it('makes the BrokerLoad, and writes its status and that of the policy', async () => {
    const { report, writes } = start();

    await report([]);

    const ofBrokers = ['danube-0', 'danube-1', 'danube-2'].flatMap((name) => [
      `brokerloads/${name}`,
      `brokerloads/${name}/status`,
    ]);
    expect(writes).toEqual(['rebalancepolicies/prod/status', ...ofBrokers]);
  });

  it('costs nothing when it says what the last one said', async () => {
    const { report, writes, shown } = start();
    await report([]);
    const first = writes.length;

    await report(shown());
    await report(shown());

    expect(writes.slice(first)).toEqual([]);
  });

  it('leaves a BrokerLoad alone until the cache shows what was last written to it', async () => {
    let isShown = true;
    const { report, writes, shown } = start(() => isShown);
    await report([]);
    const first = writes.length;

    isShown = false;
    await report([]);
    expect(writes.slice(first)).toEqual([]);

    isShown = true;
    await report(shown());
    expect(writes.slice(first)).toEqual([]);
  });

  it('stops at once when the replica ends or leads no more', async () => {
    let brokersLeft = 1;
    const { report, writes } = start(
      () => true,
      () => brokersLeft-- > 0,
    );

    await report([]);

    expect(writes).toEqual(['rebalancepolicies/prod/status', 'brokerloads/danube-0', 'brokerloads/danube-0/status']);
  });
});
