import { writeFileSync } from 'node:fs';
import { atRest, startAgent, type WatchedAgent, whenCalm } from './agent.ts';
import { type Broker, startBroker } from './broker-container.ts';
import { readKeyed, readPressureSeconds, startPod } from './containers.ts';

const MIB = 1024 * 1024;

/** A broker that wants more than it may have. */
export async function exceedLimits(number: number) {
  const pod = await startPod(number);
  const broker = await startBroker({
    pod,
    name: 'broker',
    processNamespace: 'pod',
    limits: { 'memory.max': `${96 * MIB}` },
  });
  const agent = startAgent({ pod });
  const throttled = await whenCalm(() => throttle(broker, agent), 0.03);
  const killed = await runOutOfMemory(broker, agent);

  writeFileSync(`${broker.container.cgroup}/cgroup.pressure`, '0');
  const withoutPressure = await agent.after((await agent.after(Date.now())).observedAt + 1);
  await agent.stop();
  await broker.container.kill();
  return { throttled, killed, withoutPressure };
}

/** Lets the broker want a core where it may have a fifth of one. */
export async function throttle(broker: Broker, agent: WatchedAgent) {
  const { cgroup } = broker.container;
  // Only now: a Node that may use a fifth of a core takes long to start. Pods are resized in place like this, too.
  writeFileSync(`${cgroup}/cpu.max`, '20000 100000');
  const before = await atRest(agent, () => readKernel(cgroup));
  // Five times as long as that in time, so that whole intervals lie within.
  await broker.ask({ burnSeconds: 0.8 });
  const after = await atRest(agent, () => readKernel(cgroup));
  writeFileSync(`${cgroup}/cpu.max`, 'max');
  return { before, after, reports: agent.since(before.report.observedAt) };
}

/** Lets a process of the broker want more memory than the container may have. */
export async function runOutOfMemory(broker: Broker, agent: WatchedAgent) {
  const { ended } = await broker.ask({ allocateBytes: 256 * MIB });
  return { ended, ...(await atRest(agent, () => readKernel(broker.container.cgroup))) };
}

function readKernel(cgroup: string) {
  return {
    throttledSeconds: readKeyed(`${cgroup}/cpu.stat`, 'throttled_usec') / 1e6,
    stalledSeconds: readPressureSeconds(`${cgroup}/cpu.pressure`, 'some'),
    oomKills: readKeyed(`${cgroup}/memory.events`, 'oom_kill'),
  };
}
