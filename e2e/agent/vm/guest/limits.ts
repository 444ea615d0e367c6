import { writeFileSync } from 'node:fs';
import { atRest, startAgent, whenCalm } from './agent.ts';
import { startBroker } from './broker-container.ts';
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
  const { cgroup } = broker.container;
  const agent = startAgent({ pod });
  const kernel = () => ({
    throttledSeconds: readKeyed(`${cgroup}/cpu.stat`, 'throttled_usec') / 1e6,
    stalledSeconds: readPressureSeconds(`${cgroup}/cpu.pressure`, 'some'),
    oomKills: readKeyed(`${cgroup}/memory.events`, 'oom_kill'),
  });
  // Only now: a Node that may use a fifth of a core takes long to start. Pods are resized in place like this, too.
  writeFileSync(`${cgroup}/cpu.max`, '20000 100000');
  const throttled = await whenCalm(async () => {
    const before = await atRest(agent, kernel);
    // Five times as long as that in time, so that whole intervals lie within.
    await broker.ask({ burnSeconds: 0.8 });
    const after = await atRest(agent, kernel);
    return { before, after, reports: agent.since(before.report.observedAt) };
  }, 0.03);

  writeFileSync(`${cgroup}/cpu.max`, 'max');
  const { ended } = await broker.ask({ allocateBytes: 200 * MIB });
  const killed = { ended, ...(await atRest(agent, kernel)) };

  writeFileSync(`${cgroup}/cgroup.pressure`, '0');
  const withoutPressure = await agent.after((await agent.after(Date.now())).observedAt + 1);
  await agent.stop();
  await broker.container.kill();
  return { throttled, killed, withoutPressure };
}
