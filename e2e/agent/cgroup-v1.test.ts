/** The agent against the cgroups v1 of this machine's own kernel. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Cgroups } from '../kubelet/cgroups.ts';
import { type Burner, ballastBytes, createBurnerSampler, pod, requireCgroupsV1, startBurner } from './burner.ts';

const mebibyte = 1_048_576;
const limits = { cpuCores: 1.5, memoryBytes: 512 * mebibyte };
const podLimits = { cores: limits.cpuCores, memoryBytes: limits.memoryBytes };

let cgroups: Cgroups;
let containers = 0;
const burners: Burner[] = [];

beforeAll(async () => {
  cgroups = await requireCgroupsV1();
});
afterEach(async () => {
  for (const burner of burners.splice(0)) await burner.end();
});
afterAll(() => cgroups?.removeAll());

/** In a container of its own, named as a kubelet names them. */
async function start(changes: Partial<typeof limits> = {}): Promise<Burner> {
  containers += 1;
  const path = `pod${pod.uid}/${String(containers).padStart(64, '0')}`;
  const burner = await startBurner({ cgroups, path, limits: { ...limits, ...changes } });
  burners.push(burner);
  return burner;
}

describe('a broker in a container of its own', () => {
  it('is proved, and its CPU time is within 1 % of what the process says of itself', async () => {
    const burner = await start();
    const sample = createBurnerSampler(burner.port, { podLimits });
    const idle = await burner.burn(0);
    const times = [performance.now()];
    const first = sample();
    times.push(performance.now());
    const busy = await burner.burn(5);
    times.push(performance.now());
    const second = sample();
    times.push(performance.now());

    expect(second).toMatchObject({
      mode: 'shared-pid',
      identity: { state: 'proven', reason: null },
      broker: { pid: burner.pid },
      reason: null,
      cpu: { source: 'cgroup-v1', limitCores: 1.5 },
    });
    expect(first.cpu.cores).toBeNull();
    const usedSeconds = Number(second.cpu.usageSeconds) - Number(first.cpu.usageSeconds);
    expect(Math.abs(usedSeconds / (busy - idle) - 1)).toBeLessThan(0.01);
    // From somewhere in the first sample to somewhere in the second: how long a sample takes is a matter of the machine.
    const [from = 0, fromAtLatest = 0, toAtEarliest = 0, to = 0] = times.map((ms) => ms / 1000);
    expect(second.cpu.cores).toBeGreaterThan((0.99 * usedSeconds) / (to - from));
    expect(second.cpu.cores).toBeLessThan((1.01 * usedSeconds) / (toAtEarliest - fromAtLatest));
  });

  it('has a working set within 1 % of what the kernel counts part by part', async () => {
    const burner = await start();
    const { memory } = createBurnerSampler(burner.port)();
    const folder = burner.folders.get('memory') ?? '';
    const stat = readFileSync(`${folder}/memory.stat`, 'utf8');
    const part = (key: string): number => Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(stat)?.[1]);
    const kernelBytes = Number(readFileSync(`${folder}/memory.kmem.usage_in_bytes`, 'utf8'));

    const workingSet = part('total_rss') + part('total_cache') + kernelBytes - part('total_inactive_file');
    expect(workingSet).toBeGreaterThan(ballastBytes);
    expect(Math.abs(Number(memory.workingSetBytes) / workingSet - 1)).toBeLessThan(0.01);
    expect(memory).toMatchObject({ source: 'cgroup-v1', limitBytes: limits.memoryBytes, oomKills: 0 });
  });

  it('that is held up by its limit shows how much, as the kernel counts it', async () => {
    const burner = await start({ cpuCores: 0.1 });
    const sample = createBurnerSampler(burner.port);
    const throttling = (): Record<string, number> => {
      const lines = readFileSync(`${burner.folders.get('cpu')}/cpu.stat`, 'utf8')
        .trim()
        .split('\n');
      return Object.fromEntries(lines.map((line) => line.split(' ')).map(([key, value]) => [key, Number(value)]));
    };
    const before = throttling();
    sample();
    await burner.burn(0.3);
    const { cpu } = sample();
    const after = throttling();

    const increase = (key: string): number => Number(after[key]) - Number(before[key]);
    expect(increase('nr_throttled')).toBeGreaterThan(1);
    // A period may begin between the kernel's word and the sample's.
    const share = increase('nr_throttled') / increase('nr_periods');
    expect(Math.abs(Number(cpu.throttledShare) - share)).toBeLessThanOrEqual(2 / increase('nr_periods'));
    expect(cpu.throttledSeconds).toBeGreaterThan(Number(before.throttled_time) / 1e9);
    expect(cpu.throttledSeconds).toBeLessThanOrEqual(Number(after.throttled_time) / 1e9);
    expect(cpu.limitCores).toBe(0.1);
    expect(cpu.cores).toBeLessThan(0.15);
  });

  it('has pressure from v2 beside v1, descriptors, and the network of its Pod', async () => {
    const burner = await start();
    const sample = createBurnerSampler(burner.port);
    sample();
    await burner.burn(0.2);
    const report = sample();

    expect(report.cpu.pressure).toEqual({ someShare: expect.any(Number), fullShare: expect.any(Number) });
    expect(report.memory.pressure).toEqual({ someShare: expect.any(Number), fullShare: expect.any(Number) });
    expect(report.fileDescriptors.source).toBe('proc');
    // Standard input and output, its socket, and what Node needs besides.
    expect(report.fileDescriptors.open).toBeGreaterThan(4);
    expect(report.network).toMatchObject({ source: 'proc', receivedBytesPerSecond: expect.any(Number) });
  });

  it('that is restarted costs one rate, and makes no spike', async () => {
    const first = await start();
    // The next one takes the place of the first, as the broker's address stays while its pid changes.
    const second = await start();
    const broker = { address: { ip: '127.0.0.1', port: first.port } };
    const sample = createBurnerSampler(first.port, { broker });
    sample();
    await first.burn(0.5);
    sample();
    await first.end();
    broker.address.port = second.port;
    await second.burn(0.2);

    const afterRestart = sample();
    await second.burn(0.2);
    const next = sample();

    expect(afterRestart).toMatchObject({
      broker: { pid: second.pid },
      identity: { state: 'proven' },
      cpu: { cores: null, averageCores: null },
    });
    expect(next.cpu.cores).toBeGreaterThan(0);
    expect(next.cpu.cores).toBeLessThan(1.1);
  });
});

describe('a cgroup that is not the broker’s own', () => {
  it('is not claimed when it is the agent’s too: figures are those of the process, and unproven', async () => {
    const burner = await startBurner(null);
    burners.push(burner);

    expect(createBurnerSampler(burner.port)()).toMatchObject({
      broker: { pid: burner.pid },
      cpu: { source: 'proc', limitCores: null },
      identity: { state: 'unproven', reason: expect.stringContaining("so it is not the broker's own") },
    });
  });

  it('is not proven when its limits are not those of the Pod', async () => {
    const burner = await start();
    const differing = { podLimits: { cores: 0.5, memoryBytes: limits.memoryBytes } };

    expect(createBurnerSampler(burner.port, differing)().identity).toEqual({
      state: 'unproven',
      reason: expect.stringContaining("the CPU limit (cores) of the cgroup is 1.5, and the Pod's is 0.5"),
    });
  });

  it('is not proven when it is of another Pod', async () => {
    const burner = await start();
    const other = { pod: { ...pod, uid: '5b1f3c1e-0000-4000-8000-000000000001' } };

    expect(createBurnerSampler(burner.port, other)().identity).toEqual({
      state: 'unproven',
      reason: expect.stringContaining(`is of the Pod ${pod.uid}`),
    });
  });
});

describe('the node’s own cgroup file system', () => {
  it('shows the same figures, found by the uid of the Pod', async () => {
    const burner = await start();
    const beside = createBurnerSampler(burner.port)();
    const onHost = createBurnerSampler(burner.port, { hostCgroupRoot: '/sys/fs/cgroup', podLimits })();

    expect(onHost).toMatchObject({
      mode: 'host',
      identity: { state: 'proven', reason: null },
      cpu: { source: 'cgroup-v1', limitCores: 1.5 },
      memory: { source: 'cgroup-v1', limitBytes: limits.memoryBytes },
    });
    expect(Number(onHost.cpu.usageSeconds)).toBeGreaterThanOrEqual(Number(beside.cpu.usageSeconds));
    expect(Number(onHost.cpu.usageSeconds) - Number(beside.cpu.usageSeconds)).toBeLessThan(0.1);
  });
});
