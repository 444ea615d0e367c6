/**
 * What an operator costs that has nothing to do: a thousand brokers that report every half minute, all of them well.
 * `npm run bench:kube -- [--brokers 1000] [--seconds 60] [--admin-ports-refuse] [--json]`
 */
import { parseArgs } from 'node:util';
import { type Operator, type OperatorCluster, startOperatorCluster } from '../../e2e/kube/operators.ts';
import { until } from '../../e2e/process/until.ts';
import { bar, printResult, round } from '../bars.ts';
import { cpuSeconds, untilRanked } from '../operators.ts';

const WRITES_PER_SECOND = 1;
const CPU_PERCENT = 3;
/** As brokers do by default (contract 4.1). */
const REPORT_EVERY_MS = 30_000;
const WRITES = /^rest_client_requests_total\{.*method="(?:POST|PUT|PATCH|DELETE)".*\} (\d+)$/gm;
const READS = /^rest_client_requests_total\{.*method="(?:GET|WATCH)".*\} (\d+)$/gm;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      brokers: { type: 'string', default: '1000' },
      seconds: { type: 'string', default: '60' },
      'admin-ports-refuse': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const [brokers, seconds] = [Number(values.brokers), Number(values.seconds)];
  if (!(Number.isInteger(brokers) && brokers > 0 && seconds >= 10)) {
    throw new Error('--brokers must be a whole number from 1, --seconds at least 10');
  }
  const adminPorts = values['admin-ports-refuse'] ? 'Refusing' : 'Open';
  const cluster = await startOperatorCluster({ brokers, adminPorts });
  try {
    const operator = await cluster.startOperator('operator');
    await untilIdle(cluster, operator, brokers);
    const result = await measure(cluster, operator, seconds);
    printResult({ bars: result.bars, figures: { brokers, seconds, ...result.figures } }, values.json);
  } finally {
    await cluster.stop();
  }
}

/** Every broker has its BrokerLoad, ready and ranked, and for ten seconds nothing more was written than the Lease. */
async function untilIdle({ client }: OperatorCluster, operator: Operator, brokers: number): Promise<void> {
  await untilRanked(client, operator, brokers);
  await until(
    async () => {
      const before = sum(await operator.metrics(), WRITES);
      await pause(10_000);
      return sum(await operator.metrics(), WRITES) - before <= 12;
    },
    { what: 'the operator to write no more than its Lease', timeoutMs: 120_000 },
  );
}

async function measure(cluster: OperatorCluster, operator: Operator, seconds: number) {
  const first = await look(operator);
  const end = first.at + seconds * 1000;
  // As a cluster of that age does: reports come, and say what the last one said.
  for (let next = first.at + REPORT_EVERY_MS / 2; next < end; next += REPORT_EVERY_MS) {
    await pause(next - performance.now());
    await cluster.report();
  }
  await pause(end - performance.now());
  const last = await look(operator);

  const tookSeconds = (last.at - first.at) / 1000;
  const writes = round((last.writes - first.writes) / tookSeconds, 2);
  const cpu = round(((last.cpuSeconds - first.cpuSeconds) / tookSeconds) * 100, 2);
  const bars = [
    bar('writes to the API server', writes, WRITES_PER_SECOND, 'a second'),
    bar('processor of the operator', cpu, CPU_PERCENT, '% of a core'),
  ];
  const figures = {
    readsPerSecond: round((last.reads - first.reads) / tookSeconds, 2),
    residentMiB: Math.round(last.residentBytes / 2 ** 20),
  };
  return { bars, figures };
}

async function look(operator: Operator) {
  const metrics = await operator.metrics();
  return {
    at: performance.now(),
    writes: sum(metrics, WRITES),
    reads: sum(metrics, READS),
    cpuSeconds: cpuSeconds(operator.process.pid),
    residentBytes: sum(metrics, /^process_resident_memory_bytes (\S+)$/gm),
  };
}

function sum(metrics: string, pattern: RegExp): number {
  return [...metrics.matchAll(pattern)].reduce((total, [, value]) => total + Number(value), 0);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

await main();
