/**
 * An operator that starts against an API server which shows it the past, or loses events: what it believes is old, and
 * what it writes must be right all the same. By the auditor, and by how often each object was written.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BrokerLoad } from '../../src/api/broker-load.ts';
import type { RebalancePolicy } from '../../src/api/rebalance-policy.ts';
import { parseKey } from '../../src/danube/keys.ts';
import type { KubeObject } from '../../src/kube/client.ts';
import { BROKER_LOADS, POLICIES } from '../../src/operator/publish.ts';
import { type AttachedAuditor, attachAuditor, violations } from '../audit.ts';
import { BROKER_NAMESPACE, POLICY_NAME, policyManifest } from '../demo/manifests.ts';
import { currentRevision, historyAfter, leaderValues, readFence, releases } from '../operator/etcd-history.ts';
import { createTopics, topicNames } from '../operator/topics.ts';
import { until } from '../process/until.ts';
import { type Commits, followCommits } from './commits.ts';
import { type Operator, type OperatorCluster, startOperatorCluster } from './operators.ts';
import { type ApiProxy, startApiProxy } from './proxy.ts';

const BROKERS = 3;
const POLICY = { namespace: BROKER_NAMESPACE, name: POLICY_NAME };

let cluster: OperatorCluster;
let commits: Commits;
let audit: AttachedAuditor;
let proxy: ApiProxy;
let operators: Operator[] = [];
let started = 0;

beforeAll(async () => {
  cluster = await startOperatorCluster({ brokers: BROKERS });
  commits = await followCommits(cluster.etcd);
  audit = await attachAuditor(cluster.etcd);
});

afterAll(async () => {
  await audit?.stop();
  await commits?.stop();
  await cluster?.stop();
});

beforeEach(async () => {
  const { address, server, caFile } = cluster.plane;
  proxy = await startApiProxy({ address, target: server, caFile });
  operators = [];
});

afterEach(async ({ task }) => {
  for (const { name, process: operator } of task.result?.state === 'fail' ? operators : []) {
    process.stderr.write(`--- ${name}\n${operator.logTail()}\n`);
  }
  await Promise.all(operators.map((operator) => operator.process.stop()));
  await proxy.stop();
  await audit.upToDate();
  expect(violations(audit.auditor)).toEqual([]);
});

/** Starts an operator behind the proxy and resolves when it has acted. */
async function startLeading(): Promise<Operator> {
  const operator = await startBehindProxy();
  await until(async () => (await readFence(cluster.etcd)).holder.startsWith(`${operator.name}_`), {
    what: `${operator.name} to lead`,
  });
  await untilServed('warm', 3);
  return operator;
}

async function startBehindProxy(): Promise<Operator> {
  const operator = await cluster.startOperator(`operator-${++started}`, [], proxy);
  operators.push(operator);
  return operator;
}

let served = 0;

/** Creates topics and resolves with them once each has an owner. */
async function untilServed(name: string, count: number): Promise<readonly string[]> {
  const topics = topicNames(`${name}-${++served}`, count);
  await createTopics(cluster.etcd, topics);
  await until(() => topics.every((topic) => commits.assignedAt.has(topic)), {
    what: `${count} new topics to be assigned`,
  });
  return topics;
}

/** A broker's process ends; resolves when none of its topics is its own any more. */
async function endBroker(index: number): Promise<void> {
  const before = (await brokerLoads())[index]?.status?.brokerID;
  await cluster.endBroker(index);
  await until(async () => (await topicsOf(before ?? '')).length === 0, {
    what: `the topics of broker ${index} to be elsewhere`,
  });
}

/** Its next process starts; resolves when it takes topics. */
async function startBroker(index: number): Promise<string> {
  const id = await cluster.startBroker(index);
  await until(
    async () => {
      await untilServed('probe', BROKERS);
      return (await topicsOf(id)).length > 0;
    },
    { what: `broker ${id} to get topics` },
  );
  return id;
}

async function topicsOf(broker: string): Promise<readonly string[]> {
  const { entries } = await cluster.etcd.read('/cluster/brokers/');
  return entries.flatMap(({ key }) => {
    const parsed = parseKey(key);
    return parsed.kind === 'assignment' && parsed.broker === broker ? [parsed.topic] : [];
  });
}

async function brokerLoads(): Promise<readonly (BrokerLoad & KubeObject)[]> {
  const { items } = await cluster.client.list<BrokerLoad & KubeObject>(BROKER_LOADS, { namespace: BROKER_NAMESPACE });
  return items.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

/** How often the object was written most whose path has this part, through the proxy since so many requests. */
function mostWrites(since: number, part: string): number {
  const paths = proxy.requests
    .slice(since)
    .filter(({ method, url }) => method !== 'GET' && url.includes(part))
    .map(({ url }) => new URL(url, 'http://proxy').pathname);
  return Math.max(0, ...[...Map.groupBy(paths, (path) => path).values()].map(({ length }) => length));
}

describe('a leader that starts against an API server that lags', () => {
  it('and shows a container of a broker that has been replaced since, harms no topic of its present one', async () => {
    const old = await startLeading();
    await endBroker(0);
    const present = await startBroker(0);
    const topics = await topicsOf(present);
    await old.process.stop(0);
    const revision = await currentRevision(cluster.etcd);

    proxy.lag();
    await startLeading();
    for (let round = 0; round < 5; round++) await untilServed('stale', 3);

    expect(await topicsOf(present)).toEqual(expect.arrayContaining([...topics]));
    expect(releases(await historyAfter(cluster.etcd, revision))).toEqual([]);
    proxy.heal();
    await untilServed('present', 5);
  });

  it('and shows a broker dead that lives again since, harms no topic of it', async () => {
    await (await startLeading()).process.stop();
    await cluster.endBroker(0);
    const old = await startLeading();
    const present = await startBroker(0);
    const topics = await topicsOf(present);
    await old.process.stop(0);
    const revision = await currentRevision(cluster.etcd);

    proxy.lag();
    await startLeading();
    for (let round = 0; round < 5; round++) await untilServed('stale', 3);

    expect(await topicsOf(present)).toEqual(expect.arrayContaining([...topics]));
    expect(releases(await historyAfter(cluster.etcd, revision))).toEqual([]);
    proxy.heal();
    await untilServed('present', 5);
  });

  it('writes no object again and again because its own writes do not come back', async () => {
    const old = await startLeading();
    await endBroker(1);
    await startBroker(1);
    await old.process.stop();

    proxy.lag();
    const before = proxy.requests.length;
    await startLeading();
    // One a second: as often as it looks for something to report.
    await until(() => mostWrites(before, '/leases/') >= 10, { what: '10 renewals' });
    const written = {
      loads: mostWrites(before, '/brokerloads/'),
      policy: mostWrites(before, '/rebalancepolicies/'),
      lease: mostWrites(before, '/leases/'),
    };
    proxy.heal();

    expect(written.loads).toBe(1);
    // Its topics and its authority change while it starts; then no more.
    expect(written.policy).toBeLessThan(written.lease);
  });
});

describe('a leader that an event does not reach', () => {
  it('of a policy that turned to Observe and back, goes on as before', async () => {
    await startLeading();
    const revision = await currentRevision(cluster.etcd);
    const fence = await readFence(cluster.etcd);

    proxy.dropEvents('MODIFIED');
    await setMode('Observe');
    await setMode('Approve');
    proxy.heal();
    await untilServed('unobserved', 5);

    expect(await readFence(cluster.etcd)).toEqual(fence);
    expect(leaderValues(await historyAfter(cluster.etcd, revision))).toEqual([]);
  });

  it('of a BrokerLoad that somebody deleted, writes nothing in its place and nothing too often', async () => {
    await startLeading();
    await until(async () => (await brokerLoads()).length === BROKERS, { what: 'BrokerLoads' });
    const before = proxy.requests.length;

    proxy.dropEvents('DELETED');
    const [gone] = await brokerLoads();
    if (gone === undefined) throw new Error('there is no BrokerLoad');
    await cluster.client.delete(BROKER_LOADS, gone.metadata);
    const startedAt = performance.now();
    while (performance.now() - startedAt < 6_000) await untilServed('without', 3);
    const seconds = (performance.now() - startedAt) / 1000;
    proxy.heal();

    expect(mostWrites(before, '/brokerloads/')).toBeLessThanOrEqual(2 + seconds / 10);
  });
});

describe('a leader that starts against an API server that lags (the policy)', () => {
  // With the old owner forced on them, the garbage collector would take the BrokerLoads: that owner does not exist.
  it('which shows a policy that was deleted and made again since, takes no BrokerLoad of the new one', async () => {
    const old = await startLeading();
    const policy = await makePolicyAgain();
    await until(
      async () => {
        const owners = (await brokerLoads()).map(ownerOf);
        return owners.length === BROKERS && owners.every((uid) => uid === policy.metadata.uid);
      },
      { what: 'the BrokerLoads of the new policy' },
    );
    await old.process.stop(0);
    // The leader id is the policy's, so this is the history of another leader.
    await audit.stop();
    audit = await attachAuditor(cluster.etcd);
    const uids = (await brokerLoads()).map(({ metadata }) => metadata.uid);

    proxy.lag();
    await startRenewing(5);
    const after = (await brokerLoads()).map(({ metadata }) => metadata.uid);
    proxy.heal();

    expect(after).toEqual(uids);
  });
});

/** The same policy, as another object. */
async function makePolicyAgain(): Promise<RebalancePolicy> {
  const { spec } = await cluster.client.get<RebalancePolicy>(POLICIES, POLICY);
  await cluster.client.delete(POLICIES, POLICY);
  const manifest = { ...policyManifest(''), spec };
  return cluster.client.create(POLICIES, manifest as unknown as RebalancePolicy & KubeObject);
}

async function setMode(mode: 'Observe' | 'Approve'): Promise<void> {
  await cluster.client.patch(POLICIES, POLICY, { spec: { mode } }, { type: 'merge' });
}

/** Starts an operator and resolves when it has renewed the Lease so many times. */
async function startRenewing(times: number): Promise<void> {
  const operator = await startBehindProxy();
  await until(async () => (await cluster.lease()).spec?.holderIdentity?.startsWith(`${operator.name}_`), {
    what: `${operator.name} to have the Lease`,
  });
  const before = proxy.requests.length;
  await until(() => mostWrites(before, '/leases/') >= times, { what: `${times} renewals` });
}

function ownerOf(load: BrokerLoad & KubeObject): string | undefined {
  return load.metadata.ownerReferences?.[0]?.uid;
}
