import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Problem } from '../api/problem.ts';
import { type BrokerCgroups, containsCgroup, locate, lookUpCgroups, membershipFor } from './broker-cgroup.ts';
import { agentPid, createFakeMachine, type FakeMachine } from './fake-machine.ts';
import type { CgroupMembership, CgroupMount } from './proc-files.ts';

function inV1(path: string, ...controllers: string[]): CgroupMembership {
  return { version: 1, controllers, path };
}

function inV2(path: string): CgroupMembership {
  return { version: 2, controllers: [], path };
}

describe('the hierarchy of a controller', () => {
  it('is the v1 one that names it, also when another name contains it', () => {
    expect(membershipFor('cpu', [inV1('/a', 'cpuacct'), inV1('/b', 'cpu'), inV2('/c')])?.path).toBe('/b');
  });

  it('is v2 when no v1 hierarchy names it', () => {
    expect(membershipFor('memory', [inV1('/a', 'name=systemd'), inV2('/c')])?.path).toBe('/c');
  });
});

describe('the directory of a cgroup', () => {
  const v1 = (root: string, mountPoint = '/sys/fs/cgroup/memory'): CgroupMount => ({
    version: 1,
    controllers: ['rw', 'memory'],
    root,
    mountPoint,
  });
  const v2 = (root: string): CgroupMount => ({ version: 2, controllers: [], root, mountPoint: '/sys/fs/cgroup' });

  it.each([
    ['on a host', inV1('/pods/p1/c1', 'memory'), v1('/'), '/sys/fs/cgroup/memory/pods/p1/c1'],
    [
      'in a v1 container, whose mount shows its own cgroup',
      inV1('/pods/p1/c1', 'memory'),
      v1('/pods/p1/c1'),
      '/sys/fs/cgroup/memory',
    ],
    ["below the mount's root", inV1('/pods/p1/c1/x', 'memory'), v1('/pods/p1'), '/sys/fs/cgroup/memory/c1/x'],
    ['of a neighbour container with a v2 namespace of its own', inV2('/../c2'), v2('/../c2'), '/sys/fs/cgroup'],
  ])('%s', (_, membership, mount, directory) => {
    const located = locate(membership, 'memory', [mount]);

    expect(`${located?.mountPoint}${located?.below}`).toBe(directory);
  });

  it.each([
    ["beside the mount's root, with a name that begins alike", inV1('/pods/p1/c11', 'memory'), v1('/pods/p1/c1')],
    ['outside of the namespace that the mount shows', inV2('/../c2'), v2('/')],
    ['in the other version', inV2('/pods'), v1('/')],
  ])('is not to be had %s', (_, membership, mount) => {
    expect(locate(membership, 'memory', [mount])).toBeNull();
  });

  it('is in the mount made last', () => {
    expect(locate(inV1('/a', 'memory'), 'memory', [v1('/', '/old'), v1('/', '/new')])).toEqual({
      mountPoint: '/new',
      below: '/a',
    });
  });
});

describe('a cgroup holds another', () => {
  it.each([
    ['/', '/'],
    ['/', '/a/b'],
    ['/a', '/a'],
    ['/a', '/a/b'],
    ['/..', '/'],
    ['/..', '/../c2'],
    ['/../..', '/../c2'],
  ])('%s holds %s', (outer, inner) => {
    expect(containsCgroup(outer, inner)).toBe(true);
  });

  it.each([
    ['/a', '/'],
    ['/a', '/ab'],
    ['/a/b', '/a'],
    ['/', '/../c2'],
    ['/../c2', '/'],
    ['/../c2', '/../c22'],
    ['/..', '/../../p2'],
  ])('%s does not hold %s', (outer, inner) => {
    expect(containsCgroup(outer, inner)).toBe(false);
  });
});

describe("the broker's own cgroup", () => {
  const pid = 42;
  const podUid = '5b1f3c1e-0000-4000-8000-000000000000';
  const mountinfo = '41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n';
  let machine: FakeMachine;
  beforeEach(() => {
    machine = createFakeMachine();
    machine.run({ pid, startTicks: 1, cgroup: '0::/pod/broker\n', mountinfo });
    machine.run({ pid: agentPid, startTicks: 1, cgroup: '0::/pod/agent\n' });
    machine.write({ '/sys/fs/cgroup/pod/broker/cgroup.procs': '7\n42\n' });
  });
  afterEach(() => machine.delete());

  function lookUp(): BrokerCgroups | Problem {
    return lookUpCgroups({ procRoot: machine.procRoot, pid, ownPid: agentPid, podUid });
  }

  it("is proved by the kernel's list of its processes", () => {
    const directory = { version: 2, path: `${machine.procRoot}/42/root/sys/fs/cgroup/pod/broker`, above: [] };

    expect(lookUp()).toEqual({
      mode: 'shared-pid',
      cpuUsage: directory,
      memory: directory,
      cpuLimit: directory,
      disk: directory,
      pressure: directory,
      podUid: null,
    });
  });

  it('comes with the directories above it up to that of its Pod, whose limits hold as well', () => {
    const path = `/kubepods/burstable/pod${podUid}/c1/inner`;
    machine.run({ pid, startTicks: 1, cgroup: `0::${path}\n`, mountinfo });
    machine.write({ [`/sys/fs/cgroup${path}/cgroup.procs`]: '42\n' });
    const root = `${machine.procRoot}/42/root/sys/fs/cgroup/kubepods/burstable/pod${podUid}`;

    expect(lookUp()).toMatchObject({ podUid, memory: { path: `${root}/c1/inner`, above: [`${root}/c1`, root] } });
  });

  it.each<[string, () => void, string]>([
    [
      'does not list the broker',
      () => machine.write({ '/sys/fs/cgroup/pod/broker/cgroup.procs': '7\n' }),
      "does not list the broker's pid 42",
    ],
    [
      'lists the agent',
      () => machine.write({ '/sys/fs/cgroup/pod/broker/cgroup.procs': `42\n${agentPid}\n` }),
      `lists the agent's own pid ${agentPid}`,
    ],
    [
      "is the agent's too, and no container's",
      () => machine.run({ pid: agentPid, startTicks: 1, cgroup: '0::/pod/broker\n' }),
      'holds the agent too',
    ],
    [
      'has the agent below it',
      () => machine.run({ pid: agentPid, startTicks: 1, cgroup: '0::/pod/broker/agent\n' }),
      'holds the agent too',
    ],
    [
      'is the root',
      () => machine.run({ pid, startTicks: 1, cgroup: '0::/\n', mountinfo }),
      'cgroup / holds the agent too',
    ],
    ['is not mounted', () => machine.run({ pid, startTicks: 1, cgroup: '0::/pod/broker\n' }), 'no mount that shows'],
    ['cannot be read', () => machine.remove('/sys/fs/cgroup/pod/broker/cgroup.procs'), 'cgroup.procs: not there'],
    ['is named nowhere', () => machine.run({ pid, startTicks: 1, cgroup: '', mountinfo }), 'in no cgroup for cpuacct'],
  ])('is not claimed when it %s', (_, change, reason) => {
    change();

    expect(lookUp()).toHaveProperty('problem', expect.stringContaining(reason));
  });
});
