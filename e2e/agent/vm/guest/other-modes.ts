import { type AgentOptions, agentCommand, atRest, podEnvironment, startAgent, watchAgent } from './agent.ts';
import { type Broker, startBroker } from './broker-container.ts';
import { type Pod, readNumber, startPod } from './containers.ts';
import { measureCpu } from './cpu.ts';

const MEMORY_LIMIT = 256 * 1024 * 1024;

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
  // It never is at rest: the agent is in it.
  const before = await agent.after(0);
  const { usedBefore, usedAfter } = await broker.ask({ burnSeconds: 1 });
  const after = await agent.after(Date.now());
  await agent.stop();
  return { before, after, atLeastSeconds: usedAfter - usedBefore };
}

/** Agents that may not look into the broker's process: one sees the machine's cgroups, the others lack one thing or two. */
export async function measureFromOutside(number: number) {
  const pod = await startPod(number);
  const limits = { 'memory.max': `${MEMORY_LIMIT}` };
  const broker = await startBroker({ pod, name: 'broker', processNamespace: 'pod', limits });
  const host = outsideOf(pod, broker, MEMORY_LIMIT);
  const outside = startAgent(host);
  const cpu = await measureCpu(broker, outside, 1);
  const memory = await atRest(outside, () => readNumber(`${broker.container.cgroup}/memory.current`));
  await outside.stop();

  const alone = startAgent({ pod, name: 'alone', processNamespace: 'own', port: 9701 });
  const withoutProcesses = startAgent({ ...host, name: 'without processes', processNamespace: 'own', port: 9702 });
  const result = {
    cpu,
    memory,
    alone: await alone.after(0),
    withoutProcesses: await withoutProcesses.after(0),
  };
  await Promise.all([alone.stop(), withoutProcesses.stop()]);
  await broker.container.kill();
  return result;
}

/** An agent that sees the machine's cgroups, and the broker's process only from outside: as another user. */
export function outsideOf(pod: Pod, broker: Broker, memoryLimit: number): AgentOptions {
  return {
    pod,
    name: 'host',
    hostCgroups: true,
    uid: 20_002,
    broker: ['--broker-process', 'danube-broker', '--broker-container', broker.container.id.slice(0, 12)],
    flags: ['--host-cgroup', '/host/cgroup', '--memory-limit', `${memoryLimit}`],
  };
}
