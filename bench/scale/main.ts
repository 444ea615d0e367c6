/**
 * What an operator needs for a million topics on a thousand brokers that report them all, with a plan made anew all the time, and how soon
 * the next one acts when it is told to stop or killed. Each operator has the memory that our manifests give it.
 * `npm run bench:scale -- [--brokers 1000] [--topics 1000000] [--json]`
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { BROKER_NAMESPACE, POLICY_NAME } from '../../e2e/demo/manifests.ts';
import { type Commits, followCommits, streamTopics } from '../../e2e/kube/commits.ts';
import { type Operator, type OperatorCluster, startOperatorCluster } from '../../e2e/kube/operators.ts';
import { createCgroups } from '../../e2e/kubelet/cgroups.ts';
import { readFence } from '../../e2e/operator/etcd-history.ts';
import { until } from '../../e2e/process/until.ts';
import type { RebalancePolicy } from '../../src/api/rebalance-policy.ts';
import type { EtcdPort } from '../../src/etcd/port.ts';
import { POLICIES } from '../../src/operator/publish.ts';
import { bar, printResult, round } from '../bars.ts';
import { cpuSeconds, untilRanked } from '../operators.ts';

/** Design §9. */
const RESIDENT_MIB = 700;
const TERM_MS = 1_000;
const KILL_MS = 10_000;
/** As in manifests/operator.yaml. */
const MEMORY_LIMIT_BYTES = 2 ** 30;
const POLICY = { namespace: BROKER_NAMESPACE, name: POLICY_NAME };
/** Reports as brokers write them by default, every half minute (contract 4.1). */
const REPORT_EVERY_MS = 30_000;
const REPORTS = 4;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      brokers: { type: 'string', default: '1000' },
      topics: { type: 'string', default: '1000000' },
      json: { type: 'boolean', default: false },
    },
  });
  const [brokers, topics] = [Number(values.brokers), Number(values.topics)];
  if (!(Number.isInteger(brokers) && brokers > 0 && Number.isInteger(topics / brokers))) {
    throw new Error('--brokers must be a whole number from 1, and --topics a multiple of it');
  }
  const cgroups = await createCgroups();
  log(cgroups.description);
  const cgroupOf = (operator: string) => cgroups.create(operator, { memoryBytes: MEMORY_LIMIT_BYTES }).procs;
  const cluster = await startOperatorCluster({ brokers, topicsPerBroker: topics / brokers, cgroupOf });
  try {
    printResult(await measure(cluster, brokers, topics), values.json);
  } finally {
    await cluster.stop();
    await cgroups.removeAll();
  }
}

async function measure(cluster: OperatorCluster, brokers: number, topics: number) {
  const { client, etcd } = cluster;
  await client.patch(POLICIES, POLICY, { spec: { rebalance: EAGER } }, { type: 'merge' });
  const { revision } = await etcd.count('');
  log(`${topics} topics on ${brokers} brokers are there, at revision ${revision}`);

  const startedAt = performance.now();
  const first = await cluster.startOperator('first');
  const readySeconds = (performance.now() - startedAt) / 1000;
  await untilRanked(cluster.client, first, brokers);
  const second = await cluster.startOperator('second');
  const third = await cluster.startOperator('third');
  log('three operators are ready');

  const before = cpuSeconds(first.process.pid);
  const reportingAt = performance.now();
  let reportSeconds = 0;
  for (let report = 1; report <= REPORTS; report++) {
    const since = performance.now();
    await cluster.report(0.9 * REPORT_EVERY_MS);
    reportSeconds = (performance.now() - since) / 1000;
    await pause(since + REPORT_EVERY_MS - performance.now());
  }
  const cpuPercent = (100 * (cpuSeconds(first.process.pid) - before)) / ((performance.now() - reportingAt) / 1000);
  const plan = await until(async () => (await client.get<RebalancePolicy>(POLICIES, POLICY)).status?.plan, {
    what: 'a plan',
    timeoutMs: 120_000,
  });
  const resident = { leader: memoryOf(first), standby: memoryOf(second) };
  log(`a plan with ${plan.moves} moves is there`);

  const commits = await followCommits(etcd);
  const operators = [first, second, third];
  const term = await endLeader({ etcd, commits, operators, signal: 'SIGTERM' });
  const kill = await endLeader({ etcd, commits, operators, signal: 'SIGKILL' });
  await commits.stop();

  return {
    bars: [
      bar('memory of the leader, at most', resident.leader.peakMiB, RESIDENT_MIB, 'MiB RSS'),
      bar('memory of a standby, at most', resident.standby.peakMiB, RESIDENT_MIB, 'MiB RSS'),
      bar('SIGTERM: the next one acts', term.actsMs, TERM_MS, 'ms'),
      bar('kill -9: the next one acts', kill.actsMs, KILL_MS, 'ms'),
    ],
    figures: {
      brokers,
      topics,
      readySeconds: round(readySeconds, 1),
      leaderMiB: resident.leader.nowMiB,
      standbyMiB: resident.standby.nowMiB,
      cpuPercent: round(cpuPercent, 1),
      reportSeconds: round(reportSeconds, 1),
      planMoves: plan.moves,
      termLongestWaitMs: term.longestMs,
      killLongestWaitMs: kill.longestMs,
    },
  };
}

interface EndLeader {
  readonly etcd: EtcdPort;
  readonly commits: Commits;
  readonly operators: readonly Operator[];
  readonly signal: 'SIGTERM' | 'SIGKILL';
}

/** Milliseconds until the next operator acts, and that the slowest of the topics waited that were created all the time. */
async function endLeader({ etcd, commits, operators, signal }: EndLeader) {
  const stream = streamTopics(etcd, commits, signal.toLowerCase());
  const { epoch, holder } = await readFence(etcd);
  const leader = operators.find(({ name }) => holder.startsWith(`${name}_`));
  if (leader === undefined) throw new Error(`the fence is held by ${holder}`);
  const acted = commits.made.length;
  await until(() => commits.made.length > acted, { what: 'the leader to act', timeoutMs: 120_000 });
  const at = performance.now();
  leader.process.kill(signal);
  const next = await until(() => commits.made.find((commit) => commit.epoch > epoch), {
    what: `the next operator to act after ${signal}`,
    timeoutMs: 120_000,
    intervalMs: 5,
  });
  const { longestMs } = await stream.end();
  return { actsMs: Math.round(next.at - at), longestMs: Math.round(longestMs) };
}

/** So that there is always a plan: every tenth broker has three times the traffic. */
const EAGER = {
  sustainedSeconds: 0,
  connectedTopics: 'Allow',
  limits: { minTopicAgeSeconds: 0, topicCooldownSeconds: 0 },
};

function memoryOf({ process: { pid } }: Operator) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (field: string) =>
    Math.round(Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024);
  return { peakMiB: of('VmHWM'), nowMiB: of('VmRSS') };
}

function log(line: string): void {
  process.stderr.write(`${line}\n`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

await main();
