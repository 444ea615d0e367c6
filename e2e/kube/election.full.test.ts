/** Long: 200 random rounds with two and with three replicas. Whatever befalls them, no two ever write at once (design §4). */
import { randomInt } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isNotFound } from '../../src/kube/client.ts';
import { LEASES } from '../../src/kube/election.ts';
import { type AttachedAuditor, attachAuditor, violations } from '../audit.ts';
import { currentRevision, historyAfter, readFence, unfencedWrites } from '../operator/etcd-history.ts';
import { until } from '../process/until.ts';
import { type Commits, followCommits, streamTopics } from './commits.ts';
import { type Operator, type OperatorCluster, startOperatorCluster } from './operators.ts';

const ROUNDS = Number(process.env.ROUNDS ?? 200);
/** Short, so that every round can be a change of leader. */
const TIMES = ['--lease-seconds=2', '--renew-seconds=1.5', '--retry-seconds=0.3'];
const LEASE = { namespace: 'danube-load-manager', name: 'danube-load-manager' };

let cluster: OperatorCluster;
let commits: Commits;
let audit: AttachedAuditor;
let started = 0;
let operators: readonly Operator[] = [];

beforeAll(async () => {
  cluster = await startOperatorCluster({ brokers: 3 });
  commits = await followCommits(cluster.etcd);
  audit = await attachAuditor(cluster.etcd);
});

afterAll(async () => {
  await audit?.stop();
  await commits?.stop();
  await cluster?.stop();
});

/** What has befallen whom, to be shown when a run fails. */
let happened: string[] = [];

beforeEach(() => {
  happened = [];
});

afterEach(({ task }) => {
  if (task.result?.state !== 'fail') return;
  process.stderr.write(`the last of ${happened.length} rounds:\n${happened.slice(-5).join('\n')}\n`);
  for (const { name, process: operator } of operators) process.stderr.write(`--- ${name}\n${operator.logTail()}\n`);
});

/** Those that still run, and new ones in the place of those that have ended. */
async function topUp(operators: readonly Operator[], replicas: number): Promise<readonly Operator[]> {
  const running = operators.filter(({ process }) => process.exit() === undefined);
  while (running.length < replicas) running.push(await cluster.startOperator(`replica-${++started}`, TIMES));
  return running;
}

/** There may be no Lease at the moment. */
function absent(error: unknown): undefined {
  if (!isNotFound(error)) throw error;
}

/**
 * Resolves when one of the operators holds the Lease: a round that finds no leader would be none. One that was fenced may
 * end only now, so they are topped up meanwhile.
 */
function leaderOf(replicas: number): Promise<Operator> {
  return until(
    async () => {
      operators = await topUp(operators, replicas);
      const holder = (await cluster.lease()).spec?.holderIdentity;
      return operators.find(({ name }) => holder?.startsWith(`${name}_`));
    },
    { what: 'one of the replicas to hold the Lease' },
  );
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What can befall a replica or the Lease; each resolves when it is over. */
const FAULTS: Readonly<Record<string, (operator: Operator, ms: number) => Promise<unknown>>> = {
  kill: ({ process }) => process.stop(0),
  terminate: ({ process }) => process.stop(),
  async freeze({ process }, ms) {
    process.kill('SIGSTOP');
    await pause(ms);
    process.kill('SIGCONT');
  },
  async block(operator, ms) {
    operator.disturb('block', ms);
    await pause(ms);
  },
  async jump(operator, ms) {
    operator.disturb('clock', (ms - 2_500) * 1_000);
  },
  async refuse({ api }, ms) {
    api.refuse();
    await pause(ms);
    api.heal();
  },
  async blackhole({ api }, ms) {
    api.blackhole();
    await pause(ms);
    api.heal();
  },
  async deleteLease() {
    await cluster.client.delete(LEASES, LEASE).catch(absent);
  },
  async takeLease() {
    const spec = { holderIdentity: 'somebody-else', leaseDurationSeconds: 1 };
    await cluster.client.patch(LEASES, LEASE, { spec }, { type: 'merge' }).catch(absent);
  },
};

/** The leader more often than not: what befalls another changes little. */
const victims = fc.constantFrom('leader', 'leader', 'first', 'last');
const rounds = fc.record({
  fault: fc.constantFrom(...Object.keys(FAULTS)),
  victim: victims,
  ms: fc.integer({ min: 100, max: 5_000 }),
});

describe.each([2, 3])('%i replicas', (replicas) => {
  it(
    `write one at a time through ${ROUNDS} random rounds`,
    async () => {
      const seed = Number(process.env.SEED ?? randomInt(2 ** 31));
      process.stderr.write(`${replicas} replicas, ${ROUNDS} rounds: SEED=${seed}\n`);
      operators = await topUp([], replicas);
      const fence = await until(() => readFence(cluster.etcd), { what: 'the first leader' });
      const revision = await currentRevision(cluster.etcd);
      const stream = streamTopics(cluster.etcd, commits, `rounds-${replicas}`);
      const epochs = commits.made.length;

      for (const [round, { fault, victim, ms }] of fc.sample(rounds, { seed, numRuns: ROUNDS }).entries()) {
        happened.push(`round ${round + 1}: ${fault} of the ${victim}, ${ms} ms`);
        const chosen = victim === 'leader' ? await leaderOf(replicas) : operators.at(victim === 'first' ? 0 : -1);
        if (chosen === undefined) throw new Error('there are no operators');
        await FAULTS[fault]?.(chosen, ms);
        operators = await topUp(operators, replicas);
      }
      await until(() => commits.made.length > epochs, { what: 'anybody to act' });
      const { topics, longestMs } = await stream.end();
      await Promise.all(operators.map(({ process }) => process.stop()));

      const leaders = new Set(commits.made.slice(epochs).map(({ epoch }) => epoch)).size;
      process.stderr.write(
        `${replicas} replicas: ${leaders} leaders, ${topics} topics, the slowest after ${Math.round(longestMs)} ms\n`,
      );
      await audit.upToDate();
      expect(violations(audit.auditor)).toEqual([]);
      expect(unfencedWrites(await historyAfter(cluster.etcd, revision), fence)).toEqual([]);
      expect(leaders).toBeGreaterThan(ROUNDS / 10);
    },
    90 * 60_000,
  );
});
