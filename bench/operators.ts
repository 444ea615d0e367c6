/** What benchmarks of operators share. */
import { readFileSync } from 'node:fs';
import type { Operator } from '../e2e/kube/operators.ts';
import { until } from '../e2e/process/until.ts';
import type { BrokerLoad } from '../src/api/broker-load.ts';
import type { KubeClient } from '../src/kube/client.ts';
import { BROKER_LOADS } from '../src/operator/publish.ts';

/** Resolves when every broker has its BrokerLoad, with its rank. */
export async function untilRanked(client: KubeClient, operator: Operator, brokers: number): Promise<void> {
  await until(
    async () => {
      const { items } = await client.list<BrokerLoad>(BROKER_LOADS, {});
      const done = items.filter(({ status }) => status?.rank !== undefined).length;
      if (done < brokers) throw new Error(`${done} of ${brokers} are ranked:\n${operator.process.logTail()}`);
      return true;
    },
    { what: 'every broker to have its BrokerLoad', timeoutMs: 300_000, intervalMs: 1_000 },
  );
}

/** User and system time of the process, in the kernel's ticks of 10 ms. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number);
  return ((user ?? Number.NaN) + (system ?? Number.NaN)) / 100;
}
