import { atRest, type WatchedAgent } from './agent.ts';
import type { Broker } from './broker-container.ts';
import { readKeyed } from './containers.ts';

/**
 * Lets the broker burn between two samples, at which it is at rest. What it used between them lies between what it says for the burning
 * alone, and that with all that it did to hear and answer us: a millisecond here and there, and more on a busy machine.
 */
export async function measureCpu(broker: Broker, agent: WatchedAgent, burnSeconds: number) {
  const kernel = () => readKeyed(`${broker.container.cgroup}/cpu.stat`, 'usage_usec');
  const before = await broker.ask({});
  const first = await atRest(agent, kernel);
  const burning = await broker.ask({ burnSeconds });
  const second = await atRest(agent, kernel);
  const after = await broker.ask({});
  return {
    before: first.report,
    after: second.report,
    atLeastSeconds: burning.usedAfter - burning.usedBefore,
    atMostSeconds: after.usedBefore - before.usedAfter,
  };
}
