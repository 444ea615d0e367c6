/** A leader that is told to stop gives the Lease away last: after its release it has nothing on its way to etcd any more. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { POLICIES } from '../../src/operator/publish.ts';
import { type AttachedAuditor, attachAuditor, violations } from '../audit.ts';
import { BROKER_NAMESPACE, POLICY_NAME } from '../demo/manifests.ts';
import { startProxy, type TcpProxy } from '../etcd/proxy.ts';
import { commitEpochs, currentRevision, historyAfter, readFence } from '../operator/etcd-history.ts';
import { until } from '../process/until.ts';
import { type Commits, followCommits, streamTopics } from './commits.ts';
import { type Operator, type OperatorCluster, startOperatorCluster } from './operators.ts';

/** Each way: whatever is sent is on its way for so long. */
const DELAY_MS = 400;

let cluster: OperatorCluster;
let commits: Commits;
let audit: AttachedAuditor;
let toEtcd: TcpProxy;
const operators: Operator[] = [];

beforeAll(async () => {
  cluster = await startOperatorCluster({ brokers: 3 });
  toEtcd = await startProxy(cluster.plane.address, cluster.etcdEndpoint);
  const policy = { namespace: BROKER_NAMESPACE, name: POLICY_NAME };
  const spec = { etcd: { endpoints: [toEtcd.endpoint] } };
  await cluster.client.patch(POLICIES, policy, { spec }, { type: 'merge' });
  commits = await followCommits(cluster.etcd);
  audit = await attachAuditor(cluster.etcd);
});

afterAll(async () => {
  await audit?.stop();
  await commits?.stop();
  await cluster?.stop();
  await toEtcd?.stop();
});

afterEach(({ task }) => {
  for (const { name, process: operator } of task.result?.state === 'fail' ? operators : []) {
    process.stderr.write(`--- ${name}\n${operator.logTail()}\n`);
  }
});

async function startLeading(name: string): Promise<{ readonly leader: Operator; readonly epoch: number }> {
  const leader = await cluster.startOperator(name);
  operators.push(leader);
  const { epoch } = await until(
    async () => {
      const found = await readFence(cluster.etcd);
      return found.holder.startsWith(`${name}_`) ? found : undefined;
    },
    { what: `${name} to lead` },
  );
  return { leader, epoch };
}

/**
 * Tells a leader to stop so many delays after one of its transactions has arrived: after one delay it has the reply, by
 * two the next transaction has arrived. Gives how many arrived afterwards, before and after the release of the Lease.
 */
async function handOver(round: number, delays: number): Promise<{ readonly before: number; readonly after: number }> {
  const { leader, epoch } = await startLeading(`leader-${round}`);
  toEtcd.delay(DELAY_MS);
  const stream = streamTopics(cluster.etcd, commits, `stopped-${round}`);
  const made = commits.made.length;
  await until(() => commits.made.length > made, { what: 'it to act', intervalMs: 1 });
  await new Promise((resolve) => setTimeout(resolve, delays * DELAY_MS));

  const told = await currentRevision(cluster.etcd);
  leader.process.kill('SIGTERM');
  await until(async () => (await cluster.lease()).spec?.holderIdentity === '', {
    what: 'the Lease to be released',
    intervalMs: 5,
  });
  const released = await currentRevision(cluster.etcd);
  const { code } = await leader.process.exited;
  expect(code).toBe(0);

  toEtcd.heal();
  const next = await startLeading(`next-${round}`);
  await stream.end();
  await next.leader.process.stop();
  const ofOld = async (since: number) =>
    commitEpochs(await historyAfter(cluster.etcd, since)).filter((each) => each === epoch).length;
  const after = await ofOld(released);
  return { before: (await ofOld(told)) - after, after };
}

describe('a leader that is told to stop while a transaction is on its way', () => {
  it('waits for its outcome, and only then releases the Lease', async () => {
    const found: { readonly before: number; readonly after: number }[] = [];
    const arrived = () => found.reduce((sum, { before }) => sum + before, 0);
    // A round proves something if a transaction was on its way; when it was told to stop is a matter of the machine, too.
    for (let round = 0; round < 3 || (arrived() === 0 && round < 12); round++) {
      found.push(await handOver(round, [1.25, 1.5, 1.75][round % 3] ?? 1));
    }

    process.stderr.write(`transactions that arrived after SIGTERM: ${JSON.stringify(found)}\n`);
    expect(arrived()).toBeGreaterThan(0);
    expect(found.filter(({ after }) => after > 0)).toEqual([]);
    await audit.upToDate();
    expect(violations(audit.auditor)).toEqual([]);
  }, 600_000);
});

describe('an operator that has not read the cluster yet', () => {
  it('leaves the Lease free and is not Ready, and leads once it has', async () => {
    const before = toEtcd.connections();
    toEtcd.blackhole();
    const starting = cluster.startOperator('cold');
    await until(() => toEtcd.connections() > before, { what: 'it to ask etcd' });
    // Far longer than it takes to acquire a free Lease.
    await new Promise((resolve) => setTimeout(resolve, 3_000));

    const ready = await Promise.race([starting.then(() => true), Promise.resolve(false)]);
    expect(ready).toBe(false);
    expect((await cluster.lease()).spec?.holderIdentity).toBe('');
    toEtcd.heal();
    operators.push(await starting);
    await until(async () => (await readFence(cluster.etcd)).holder.startsWith('cold_'), { what: 'it to lead' });
  });
});
