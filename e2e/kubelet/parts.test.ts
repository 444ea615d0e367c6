import { describe, expect, it, vi } from 'vitest';
import { createAddresses } from './addresses.ts';
import { limitFiles, ownCgroups } from './cgroups.ts';
import { terminatedState } from './container.ts';
import { createLoop } from './loop.ts';
import { createVerdict } from './probes.ts';
import { chooseNode } from './scheduler.ts';
import type { Node, Pod, PodSpec } from './types.ts';

describe('Pod addresses', () => {
  it('are given in turn, and one that was given back comes again last', () => {
    const addresses = createAddresses('127.9');
    const first = addresses.take();
    addresses.release(first);

    expect([first, addresses.take(), addresses.take()]).toEqual(['127.9.1.1', '127.9.1.2', '127.9.1.3']);
  });

  it('that are reserved are not given', () => {
    const addresses = createAddresses('127.9');

    expect(addresses.reserve('127.9.1.1')).toBe(true);
    expect(addresses.reserve('127.9.1.1')).toBe(false);
    expect(addresses.reserve('127.8.1.1')).toBe(false);
    expect(addresses.take()).toBe('127.9.1.2');
  });

  it('leave out the first row and the ends of each', () => {
    const addresses = createAddresses('127.9');

    const taken = Array.from({ length: 255 }, () => addresses.take());

    expect(taken.slice(-2)).toEqual(['127.9.1.254', '127.9.2.1']);
  });

  it('come again when all were given once', () => {
    const addresses = createAddresses('127.9');
    for (let i = 0; i < 254 * 254; i++) addresses.take();
    expect(() => addresses.take()).toThrow('in use');

    addresses.release('127.9.7.7');

    expect(addresses.take()).toBe('127.9.7.7');
  });
});

describe('the scheduler', () => {
  const node = (name: string, spec: Node['spec'] = {}): Node => ({
    metadata: { name, labels: { zone: name.endsWith('a') ? 'east' : 'west' } },
    spec,
  });
  const pod = (spec: Partial<PodSpec> = {}): Pod => ({ metadata: { name: 'p' }, spec: { containers: [], ...spec } });
  const choose = (nodes: Node[], spec: Partial<PodSpec> = {}, counts: Record<string, number> = {}) =>
    chooseNode(pod(spec), nodes, new Map(Object.entries(counts)))?.metadata.name;
  const affinityTo = (term: object): Partial<PodSpec> => ({
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } } },
  });

  it('takes the Node with the fewest Pods', () => {
    expect(choose([node('a'), node('b')], {}, { a: 2, b: 1 })).toBe('b');
  });

  it('leaves out cordoned Nodes, but for Pods that tolerate it', () => {
    const nodes = [node('a', { unschedulable: true })];

    expect(choose(nodes)).toBeUndefined();
    expect(choose(nodes, { tolerations: [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists' }] })).toBe('a');
  });

  it('honours the node selector', () => {
    expect(choose([node('a'), node('b')], { nodeSelector: { zone: 'west' } })).toBe('b');
    expect(choose([node('a'), node('b')], { nodeSelector: { zone: 'north' } })).toBeUndefined();
  });

  it('honours the node affinity, by which a DaemonSet names the Node of each Pod', () => {
    const byName = { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] };
    const notEast = { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['east'] }] };

    expect(choose([node('a'), node('b')], affinityTo(byName))).toBe('b');
    expect(choose([node('a'), node('b')], affinityTo(notEast))).toBe('b');
  });
});

describe('the verdict of a probe', () => {
  it('needs as many results in a row as its threshold says', () => {
    const verdict = createVerdict({ successThreshold: 2, failureThreshold: 3 }, false);

    const given = [true, false, true, true, false, false, true, false, false, false].map(verdict);

    expect(given.map((value) => value ?? '-')).toEqual(['-', '-', '-', true, '-', '-', '-', '-', '-', false]);
  });

  it('is given again when the failures reach the threshold anew', () => {
    const verdict = createVerdict({ failureThreshold: 2 }, true);

    expect([false, false, false, false].map(verdict)).toEqual([undefined, false, undefined, false]);
  });
});

describe('the end of a process', () => {
  const facts = { startedAt: '2026-11-21T09:00:00Z', containerID: 'process://a', oomKilled: false };

  it.each([
    [{ code: 0, signal: null }, false, { exitCode: 0, reason: 'Completed' }],
    [{ code: 3, signal: null }, false, { exitCode: 3, reason: 'Error' }],
    [{ code: null, signal: 'SIGKILL' as const }, false, { exitCode: 137, signal: 9, reason: 'Error' }],
    [{ code: null, signal: 'SIGKILL' as const }, true, { exitCode: 137, signal: 9, reason: 'OOMKilled' }],
    [{ code: null, signal: 'SIGTERM' as const }, false, { exitCode: 143, signal: 15, reason: 'Error' }],
  ])('%j (out of memory: %s) is reported as %j', (exit, oomKilled, expected) => {
    expect(terminatedState(exit, { ...facts, oomKilled })).toMatchObject(expected);
  });
});

describe('cgroups', () => {
  it('of a hybrid machine are found where each controller is mounted', () => {
    const cgroup = '4:memory:/jobs/1\n2:cpuacct:/\n1:cpu:/\n9:name=systemd:/\n0::/\n';
    const mountinfo = [
      '32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu',
      '33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct',
      '35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory',
      '41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw',
    ].join('\n');

    expect(ownCgroups(cgroup, mountinfo).map(({ version, folder }) => [version, folder])).toEqual([
      [1, '/sys/fs/cgroup/memory/jobs/1'],
      [1, '/sys/fs/cgroup/cpuacct'],
      [1, '/sys/fs/cgroup/cpu'],
      [2, '/sys/fs/cgroup/unified'],
    ]);
  });

  it('of a container that sees only its part of the tree are found below that part', () => {
    const mountinfo = '32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct';

    expect(ownCgroups('1:cpu,cpuacct:/docker/abc/x\n', mountinfo)).toEqual([
      { version: 1, controllers: ['cpu', 'cpuacct'], folder: '/sys/fs/cgroup/cpu/x' },
    ]);
  });

  it('of a v2 machine are one', () => {
    const mountinfo = '30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate';

    expect(ownCgroups('0::/user.slice/run\n', mountinfo)).toMatchObject([
      { version: 2, folder: '/sys/fs/cgroup/user.slice/run' },
    ]);
  });

  it('get limits as a kubelet writes them', () => {
    expect(limitFiles(1, { cpuCores: 0.5, memoryBytes: 1024 })).toEqual([
      ['cpu.cfs_period_us', '100000'],
      ['cpu.cfs_quota_us', '50000'],
      ['memory.limit_in_bytes', '1024'],
    ]);
    expect(limitFiles(2, { cpuCores: 0.001 })).toEqual([['cpu.max', '1000 100000']]);
    expect(limitFiles(2, {})).toEqual([]);
  });
});

describe('a loop', () => {
  it('makes one more pass for any number of wakes during a pass', async () => {
    const release = Promise.withResolvers<void>();
    let passes = 0;
    const loop = createLoop({
      pass: async () => {
        passes += 1;
        if (passes === 1) await release.promise;
      },
      onError: () => undefined,
    });
    for (let i = 0; i < 5; i++) loop.wake();

    release.resolve();
    await loop.idle();

    expect(passes).toBe(2);
  });

  it('repeats a failed pass, and is idle only after one that succeeded', async () => {
    const errors: unknown[] = [];
    let passes = 0;
    const loop = createLoop({
      pass: async () => {
        passes += 1;
        if (passes < 3) throw new Error(`pass ${passes}`);
      },
      onError: (error) => errors.push(error),
      retryMs: 1,
    });

    loop.wake();
    await loop.idle();

    expect(passes).toBe(3);
    expect(errors).toEqual([new Error('pass 1'), new Error('pass 2')]);
  });

  it('runs again when it is woken at the end of a pass', async () => {
    let passes = 0;
    const loop = createLoop({
      pass: async () => {
        passes += 1;
      },
      onError: () => undefined,
    });

    loop.wake();
    await loop.idle();
    loop.wake();
    await loop.idle();

    expect(passes).toBe(2);
  });

  it('makes no pass after it was stopped', async () => {
    const pass = vi.fn(async () => undefined);
    const loop = createLoop({ pass, onError: () => undefined });

    await loop.stop();
    loop.wake();
    await loop.idle();

    expect(pass).not.toHaveBeenCalled();
  });
});
