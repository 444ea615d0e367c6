import { agentCommand, podEnvironment, startAgent, watchAgent } from './agent.ts';
import { startBroker } from './broker-container.ts';
import { startPod } from './containers.ts';

/** The agent as a second process of the broker's container. */
export async function measureWithinBroker(number: number) {
  const pod = await startPod(number);
  const broker = await startBroker({
    pod,
    name: 'broker',
    processNamespace: 'own',
    env: podEnvironment(pod),
    beside: agentCommand({}),
  });
  const agent = watchAgent(broker.container, `http://${pod.ip}:9700/report`);
  const before = await agent.after(0);
  const { usedSeconds: start } = await broker.ask({});
  const { usedSeconds: end } = await broker.ask({ burnSeconds: 1 });
  const after = await agent.after(Date.now());
  await agent.stop();
  return { before, after, usedSeconds: end - start };
}

/** Each container with processes of its own: one agent sees the machine's cgroups, the other one nothing but its own. */
export async function measureApart(number: number) {
  const pod = await startPod(number);
  const broker = await startBroker({
    pod,
    name: 'broker',
    processNamespace: 'own',
    limits: { 'memory.max': '268435456' },
  });
  const blind = startAgent({ pod, name: 'blind', processNamespace: 'own' });
  const host = startAgent({
    pod,
    name: 'host',
    processNamespace: 'own',
    hostCgroups: true,
    port: 9701,
    flags: ['--host-cgroup', '/host/cgroup', '--memory-limit', '268435456'],
  });
  const first = await host.after(0);
  const { usedSeconds: start } = await broker.ask({});
  const before = await host.after(Date.now());
  const { usedSeconds: end } = await broker.ask({ burnSeconds: 1 });
  const after = await host.after(Date.now());
  const result = { blind: await blind.after(0), host: { first, before, after, usedSeconds: end - start } };
  await Promise.all([blind.stop(), host.stop()]);
  await broker.container.kill();
  return result;
}
