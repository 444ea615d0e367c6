import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { areConsecutive, deviation, ioCount, summedRate } from '../figures.ts';
import { atRest, BROKER_PORT, brokerOn, repeatUntil, startAgent, type WatchedAgent, whenCalm } from './agent.ts';
import { type Broker, startBroker } from './broker-container.ts';
import { type Pod, processesOf, readKeyed, readNumber, startPod } from './containers.ts';
import { measureCpu } from './cpu.ts';

const MIB = 1024 * 1024;
export const MEMORY_LIMIT = 256 * MIB;
const NEIGHBOUR_PORT = 7000;

/** A sidecar in a Pod with shareProcessNamespace, which is the usual way. */
export async function measureBesideBroker(number: number, burnSeconds: number) {
  const pod = await startPod(number);
  const broker = await startBroker({
    pod,
    name: 'broker',
    processNamespace: 'pod',
    limits: { 'cpu.max': '150000 100000', 'memory.max': `${MEMORY_LIMIT}` },
  });
  const agent = startAgent({ pod, flags: ['--cpu-limit', '1.5', '--memory-limit', `${MEMORY_LIMIT}`] });
  const first = await agent.after(0);
  const cpu = await measureCpu(broker, agent, burnSeconds);
  const memory = await measureMemory(broker, agent);
  const disk = await repeatUntil(() => measureDisk(broker, agent), operationsAddUp);
  const network = await whenCalm(() => measureNetwork(pod, broker, agent), 0.01);
  const files = await measureFiles(broker, agent);
  await agent.stop();

  const otherUser = startAgent({ pod, name: 'other-user', uid: 20_002 });
  const neighbour = await startBroker({
    pod,
    name: 'neighbour',
    processNamespace: 'pod',
    port: NEIGHBOUR_PORT,
    limits: { 'memory.max': `${MEMORY_LIMIT / 2}` },
  });
  const misled = startAgent({
    pod,
    name: 'misled',
    broker: brokerOn(NEIGHBOUR_PORT),
    port: 9701,
    flags: ['--memory-limit', `${MEMORY_LIMIT}`],
  });
  const result = {
    first,
    cpu,
    memory,
    disk,
    network,
    files,
    otherUser: await otherUser.after(0),
    misled: await misled.after(0),
  };
  await Promise.all([otherUser.stop(), misled.stop(), neighbour.container.kill()]);
  await broker.container.kill();
  return result;
}

export async function measureMemory(broker: Broker, agent: WatchedAgent) {
  await broker.ask({ holdBytes: 128 * MIB });
  const { cgroup } = broker.container;
  const { report, kernel: usageBytes } = await atRest(agent, () => readNumber(`${cgroup}/memory.current`));
  return {
    report,
    usageBytes,
    workingSetBytes: usageBytes - readKeyed(`${cgroup}/memory.stat`, 'inactive_file'),
    // Built from its parts, not from their sum.
    partsBytes: ['anon', 'file', 'kernel'].reduce((sum, part) => sum + readKeyed(`${cgroup}/memory.stat`, part), 0),
  };
}

/** Writes and reads between two samples at which the disk is at rest. */
export async function measureDisk(broker: Broker, agent: WatchedAgent) {
  const bytes = 48 * MIB;
  const kernel = () => readFileSync(`${broker.container.cgroup}/io.stat`, 'utf8');
  const idle = await atRest(agent, kernel);
  await broker.ask({ writeBytes: bytes });
  // So that it reads from the disk.
  writeFileSync('/proc/sys/vm/drop_caches', '1');
  await broker.ask({ readBytes: bytes });
  const done = await atRest(agent, kernel);
  return { bytes, before: idle.kernel, after: done.kernel, reports: agent.since(idle.report.observedAt) };
}

/**
 * Whether it is known of which intervals the rates are: bytes and operations are read at once, so when operations add up to what the kernel
 * counts, whatever bytes add up to is the agent's doing.
 */
function operationsAddUp({ before, after, reports }: Awaited<ReturnType<typeof measureDisk>>): boolean {
  const sums = {
    rios: summedRate(reports, ({ disk }) => disk.readsPerSecond),
    wios: summedRate(reports, ({ disk }) => disk.writesPerSecond),
  };
  return (
    areConsecutive(reports) &&
    Object.entries(sums).every(([key, sum]) => deviation(sum, ioCount(after, key) - ioCount(before, key)) < 0.005)
  );
}

async function measureNetwork(pod: Pod, broker: Broker, agent: WatchedAgent) {
  const bytes = 16 * MIB;
  const sink = createServer((socket) => socket.resume()).listen(5001, pod.hostIp);
  await once(sink, 'listening');
  const idle = await agent.after(Date.now());
  const before = readNumber(`/sys/class/net/${pod.link}/statistics/rx_bytes`);
  await broker.ask({ send: { host: pod.hostIp, port: 5001, bytes } });
  // To itself: this never leaves the Pod.
  await broker.ask({ send: { host: '127.0.0.1', port: BROKER_PORT, bytes } });
  await agent.after(Date.now());
  const kernelBytes = readNumber(`/sys/class/net/${pod.link}/statistics/rx_bytes`) - before;
  sink.close();
  return { bytes, kernelBytes, reports: agent.since(idle.observedAt) };
}

async function measureFiles(broker: Broker, agent: WatchedAgent) {
  await broker.ask({ openFiles: 100 });
  const report = await agent.after(Date.now());
  const [pid] = processesOf(broker.container);
  return { report, open: readdirSync(`/proc/${pid}/fd`).length, limits: readFileSync(`/proc/${pid}/limits`, 'utf8') };
}
