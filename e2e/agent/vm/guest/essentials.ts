import { atRest, startAgent, type WatchedAgent, withAllSamples } from './agent.ts';
import { MEMORY_LIMIT, measureDisk, measureMemory } from './beside-broker.ts';
import { type Broker, startBroker } from './broker-container.ts';
import { type Pod, readNumber, startPod } from './containers.ts';
import { measureCpu } from './cpu.ts';
import { runOutOfMemory, throttle } from './limits.ts';
import { measureWithinBroker, outsideOf } from './other-modes.ts';
import { restart } from './restarts.ts';

/**
 * What only a real cgroup v2 can show, by experiments that need no calm machine: totals at rest, and ratios of rates. One broker serves
 * nearly all of them, for starting a Node takes longer than most.
 */
export async function findEssentials(burnSeconds: number) {
  const pod = await startPod(1);
  const broker = await startBroker({
    pod,
    name: 'broker',
    processNamespace: 'pod',
    limits: { 'cpu.max': '150000 100000', 'memory.max': `${MEMORY_LIMIT}` },
  });
  const beside = startAgent({ pod, flags: ['--cpu-limit', '1.5', '--memory-limit', `${MEMORY_LIMIT}`] });
  const [first, outside, alone, within] = await Promise.all([
    beside.after(0),
    seeFromOutside(pod, broker),
    seeAlone(pod),
    measureWithinBroker(2),
  ]);
  return { first, outside, alone, within, ...(await measure(pod, broker, beside, burnSeconds)) };
}

async function seeFromOutside(pod: Pod, broker: Broker) {
  const agent = startAgent({ ...outsideOf(pod, broker, MEMORY_LIMIT), port: 9702 });
  const found = await atRest(agent, () => readNumber(`${broker.container.cgroup}/memory.current`));
  await agent.stop();
  return found;
}

async function seeAlone(pod: Pod) {
  const agent = startAgent({ pod, name: 'alone', processNamespace: 'own', port: 9701 });
  const report = await agent.after(0);
  await agent.stop();
  return report;
}

/** One after the other, on the same broker. */
async function measure(pod: Pod, broker: Broker, agent: WatchedAgent, burnSeconds: number) {
  const cpu = await measureCpu(broker, agent, burnSeconds);
  const memory = await measureMemory(broker, agent);
  const disk = await withAllSamples(() => measureDisk(broker, agent));
  const throttled = await throttle(broker, agent);
  const killed = await runOutOfMemory(broker, agent);
  const restarted = await restart(broker, agent, () =>
    startBroker({ pod, name: 'broker, restarted', processNamespace: 'pod' }),
  );
  return { cpu, memory, disk, throttled, killed, restarted };
}
