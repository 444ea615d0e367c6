/**
 * `npm run demo`: the operator on a real control plane, with simulated brokers and real counting. Everything ends with
 * this process, however that ends.
 */
import { copyFileSync, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { generateTopics } from '../../src/sim/topics.ts';
import { violations } from '../audit.ts';
import { type DemoCluster, type Incarnation, startDemoCluster } from './cluster.ts';
import { type DemoOptions, parseOptions, USAGE } from './options.ts';
import { type DemoResult, demoResult, faults, type Kill } from './result.ts';
import { renderScreen } from './screen.ts';
import { startWorkload, type Workload } from './workload.ts';

const CLIENT_PROCESSES = 2;
const REFRESH_MS = 2000;
const PLAIN_TABLE_EVERY = 8;
const REPORTED_WITHIN_MS = 12_000;

async function main(options: DemoOptions): Promise<number> {
  const human = options.json ? process.stderr : process.stdout;
  const say = (line: string) => human.write(`${line}\n`);
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => interrupted.abort());
  endWithParent(interrupted);

  let cluster: DemoCluster | undefined;
  let workload: Workload | undefined;
  try {
    cluster = await startDemoCluster({
      log: say,
      brokers: options.brokers,
      policy: options.resumeOffsets ? {} : { failover: { resumeOffsets: false } },
      signal: interrupted.signal,
    });
    showKubectl(options, cluster, say);
    say(`Creating ${options.topics} topics with producers and subscribers (${CLIENT_PROCESSES} client processes) …`);
    workload = await startDemoWorkload(cluster, options, interrupted.signal);
    say('All is ready.');
    const kills = await watchRun(cluster, options, interrupted.signal, human);
    if (interrupted.signal.aborted && options.seconds === undefined) say('Stopping …');
    else if (interrupted.signal.aborted) return 130;
    say('Producing has ended; waiting until every acknowledged message has arrived …');
    const ledger = await workload.finish();
    await cluster.history.upToDate();
    await untilReported(cluster, options.brokers);
    const result = demoResult({
      history: cluster.history.fold,
      ledger,
      brokerLoads: await cluster.brokerLoads(),
      leader: await readLeader(cluster),
      kills,
      incarnations: await readIncarnations(cluster),
    });
    return conclude(result, faults(result, kills, violations(cluster.history.fold.auditor), ledger), options, say);
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return 1;
  } finally {
    say('Stopping everything …');
    await workload?.stop();
    await cluster?.stop();
  }
}

/** npm may be killed without passing it on: then our parent changes, and we end as for Ctrl-C. */
function endWithParent(interrupted: AbortController): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid !== parent) interrupted.abort();
  }, 500);
  timer.unref();
}

function showKubectl({ kubeconfig }: DemoOptions, cluster: DemoCluster, say: (line: string) => void): void {
  const file = kubeconfig ?? cluster.controlPlane.adminKubeconfig;
  if (kubeconfig !== undefined) copyFileSync(cluster.controlPlane.adminKubeconfig, kubeconfig);
  say('');
  say('In another terminal:');
  say(`  export KUBECONFIG=${file}`);
  const kubectl = hasKubectl() ? 'kubectl' : cluster.controlPlane.assets.kubectl;
  say(`  ${kubectl} -n messaging get brokerloads,rbpol`);
  say(`  ${kubectl} -n messaging describe rbpol demo`);
  say(`  ${kubectl} -n danube-load-manager get pods,lease`);
  say(`Logs of all containers: ${cluster.kubelet.logsFolder}`);
  say('');
}

function hasKubectl(): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'kubectl')));
}

async function startDemoWorkload(cluster: DemoCluster, options: DemoOptions, signal: AbortSignal): Promise<Workload> {
  const pods = await cluster.brokerPods();
  return startWorkload({
    folder: join(cluster.controlPlane.dir, 'clients'),
    serviceUrls: pods.flatMap(({ status }) => (status?.podIP === undefined ? [] : [`http://${status.podIP}:6650`])),
    processes: CLIENT_PROCESSES,
    signal,
    topics: generateTopics({
      seed: 7,
      topics: options.topics,
      reliableShare: 0.7,
      maxSubscriptions: 2,
      totalMessagesPerSecond: 150,
      minMessagesPerSecond: 1,
      messageBytes: 2000,
      exponent: 0.9,
    }),
  });
}

/** Shows how it goes until the time is up or somebody ends it; kills what it was asked to kill. */
async function watchRun(
  cluster: DemoCluster,
  options: DemoOptions,
  signal: AbortSignal,
  out: NodeJS.WriteStream,
): Promise<readonly Kill[]> {
  const startedAt = performance.now();
  const elapsed = () => (performance.now() - startedAt) / 1000;
  const kills: Kill[] = [];
  const killed: string[] = [];
  let shown = 0;
  for (let round = 0; !signal.aborted && (options.seconds === undefined || elapsed() < options.seconds); round++) {
    if (options.killBrokerAt !== undefined && kills.length === 0 && elapsed() >= options.killBrokerAt) {
      const kill = await killBusiestBroker(cluster);
      kills.push(kill);
      killed.push(`${elapsed().toFixed(1)} s: killed the broker of Pod ${kill.pod} (kill -9)`);
    }
    const happened = [...killed, ...failoverLines(cluster)];
    if (out.isTTY || round % PLAIN_TABLE_EVERY === 0) {
      const text = renderScreen({
        elapsedSeconds: Math.floor(elapsed()),
        brokerLoads: await cluster.brokerLoads(),
        policy: await cluster.policy(),
        leader: (await readLeader(cluster)).identity,
        history: cluster.history.fold,
        log: out.isTTY ? happened : [],
      });
      out.write(out.isTTY ? `\x1b[2J\x1b[H${text}\n` : `\n${text}\n`);
    }
    // Into a file or a pipe goes each event once, and a table now and then.
    if (!out.isTTY) for (const line of happened.slice(shown)) out.write(`${line}\n`);
    shown = happened.length;
    const untilNext = [REFRESH_MS, ...[options.seconds, options.killBrokerAt].map((at) => msUntil(at, elapsed()))];
    await delay(Math.min(...untilNext), undefined, { signal }).catch((error: Error) => {
      if (error.name !== 'AbortError') throw error;
    });
  }
  return kills;
}

function msUntil(seconds: number | undefined, elapsed: number): number {
  return seconds === undefined || seconds <= elapsed ? Number.POSITIVE_INFINITY : (seconds - elapsed) * 1000;
}

function failoverLines({ history }: DemoCluster): readonly string[] {
  return history.fold.failovers.map(
    ({ pod, broker, proof, topics, provenAt, committedAt }) =>
      `failover: ${topics} topics of ${pod ?? 'a lost Pod'} (broker ${broker}, ${proof}) ${committedAt - provenAt} ms after the proof of death`,
  );
}

/** The one with most topics: there is most to lose. */
async function killBusiestBroker(cluster: DemoCluster): Promise<Kill> {
  const loads = (await cluster.brokerLoads()).toSorted((a, b) => (b.status?.topics ?? 0) - (a.status?.topics ?? 0));
  const pod = loads[0]?.metadata.name;
  if (pod === undefined) throw new Error('there is no broker to kill');
  const at = Date.now();
  process.kill(cluster.brokerPid(pod), 'SIGKILL');
  return { pod, at };
}

async function readLeader(cluster: DemoCluster): Promise<{ identity: string; epoch: number }> {
  const [lease, policy] = await Promise.all([cluster.lease(), cluster.policy()]);
  return { identity: lease.spec?.holderIdentity ?? '', epoch: policy.status?.fencingEpoch ?? 0 };
}

/** BrokerLoads are written every ten seconds: the result is to show one state of them, after all topics have come to rest. */
async function untilReported(cluster: DemoCluster, brokers: number): Promise<void> {
  const settled = async () => {
    const loads = (await cluster.brokerLoads()).map(({ status }) => status);
    const ranks = new Set(loads.map((status) => status?.rank));
    const topics = loads.reduce((sum, status) => sum + (status?.topics ?? 0), 0);
    return ranks.size === brokers && !ranks.has(undefined) && topics === cluster.history.fold.topics.size;
  };
  const giveUpAt = performance.now() + REPORTED_WITHIN_MS;
  while (!(await settled()) && performance.now() < giveUpAt) await delay(500);
}

async function readIncarnations(cluster: DemoCluster): Promise<ReadonlyMap<string, readonly Incarnation[]>> {
  const pods = await cluster.brokerPods();
  return new Map(
    await Promise.all(pods.map(async ({ metadata: { name } }) => [name, await cluster.incarnations(name)] as const)),
  );
}

function conclude(
  result: DemoResult,
  found: readonly string[],
  options: DemoOptions,
  say: (line: string) => void,
): number {
  if (options.json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  say(
    `${result.topics} topics, ${result.unassigned} without a live owner, ${result.doublyOwned} ever owned twice; ` +
      `${result.lost} messages lost, ${result.repeatedOffsets} offsets given out twice; ${result.failovers.length} failovers.`,
  );
  for (const fault of found) say(`FAULT: ${fault}`);
  return found.length === 0 ? 0 : 1;
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') process.stdout.write(`${USAGE}\n`);
  // Not by an empty event loop: an interrupted start may leave something waiting.
  process.exit(options === 'help' ? 0 : await main(options));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
  process.exit(2);
}
