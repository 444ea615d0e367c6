import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { agentPid, createFakeMachine, type FakeMachine } from './fake-machine.ts';
import { type BrokerTraits, findBroker, listenersOn, namesContainer, readIfRunning } from './find-broker.ts';

const brokerAddress = { ip: '10.0.1.7', port: 6650 };
const onBrokerAddress = '0701000A:19FA';
const onEveryAddress = '00000000:19FA';
const onEveryIpv6Address = `${'0'.repeat(32)}:19FA`;

let machine: FakeMachine;
beforeEach(() => {
  machine = createFakeMachine();
});
afterEach(() => machine.delete());

function find(traits: BrokerTraits = { address: brokerAddress }): ReturnType<typeof findBroker> {
  return findBroker({ procRoot: machine.procRoot, ownPid: agentPid, ...traits });
}

describe('the broker is the process that', () => {
  it('holds the socket that listens on its address', () => {
    machine.listen([{ hexAddress: onBrokerAddress, inode: '55' }]);
    machine.run({ pid: 41, startTicks: 100, sockets: ['54', '56'] });
    machine.run({ pid: 42, startTicks: 200, sockets: ['9', '55'] });

    expect(find()).toEqual({ pid: 42, startTicks: 200 });
  });

  it('listens on exactly this address, though another listens on every address', () => {
    machine.listen([
      { hexAddress: onEveryAddress, inode: '54' },
      { hexAddress: onBrokerAddress, inode: '55' },
    ]);
    machine.run({ pid: 41, startTicks: 100, sockets: ['54'] });
    machine.run({ pid: 42, startTicks: 200, sockets: ['55'] });

    expect(find()).toEqual({ pid: 42, startTicks: 200 });
  });

  it.each([onEveryAddress, onEveryIpv6Address])('listens on every address, as %s, when none is exact', (hexAddress) => {
    machine.listen([{ hexAddress, inode: '55' }]);
    machine.run({ pid: 42, startTicks: 200, sockets: ['55'] });

    expect(find()).toEqual({ pid: 42, startTicks: 200 });
  });

  it('is the oldest of those that share the socket', () => {
    machine.listen([{ hexAddress: onBrokerAddress, inode: '55' }]);
    machine.run({ pid: 41, startTicks: 300, sockets: ['55'] });
    machine.run({ pid: 42, startTicks: 200, sockets: ['55'] });

    expect(find()).toEqual({ pid: 42, startTicks: 200 });
  });
});

describe('the broker is known by', () => {
  const id = 'c0ffee42'.repeat(8);
  const program = 'danube-broker-server';

  it('its program, whatever the kernel cuts off its name', () => {
    machine.run({ pid: 41, startTicks: 100, command: 'sh', arguments: ['sh', '-c', `exec ${program}`] });
    machine.run({ pid: 42, startTicks: 200, command: program.slice(0, 15), arguments: [`/usr/bin/${program}`, '--x'] });

    expect(find({ program })).toEqual({ pid: 42, startTicks: 200 });
  });

  it('the name that it gave itself', () => {
    machine.run({ pid: 42, startTicks: 200, command: 'danube' });

    expect(find({ program: 'danube' })).toEqual({ pid: 42, startTicks: 200 });
  });

  it('its program, though the agent runs the same', () => {
    machine.run({ pid: agentPid, startTicks: 50, command: 'node' });
    machine.run({ pid: 42, startTicks: 200, command: 'node' });

    expect(find({ program: 'node' })).toEqual({ pid: 42, startTicks: 200 });
  });

  it.each([`/../${id}`, `/kubepods/pod1/${id}`, `/kubepods.slice/x.slice/cri-containerd-${id}.scope`])(
    'its container %s',
    (path) => {
      machine.run({ pid: 41, startTicks: 100, cgroup: '0::/pause\n' });
      machine.run({ pid: 42, startTicks: 200, cgroup: `0::${path}\n` });
      machine.run({ pid: 43, startTicks: 300, cgroup: `0::${path}\n` });

      expect(find({ containerId: id })).toEqual({ pid: 42, startTicks: 200 });
      expect(find({ containerId: id.slice(0, 12) })).toEqual({ pid: 42, startTicks: 200 });
    },
  );

  it('all of these together', () => {
    machine.listen([{ hexAddress: onBrokerAddress, inode: '55' }]);
    machine.run({ pid: 41, startTicks: 100, sockets: ['55'], command: 'sh' });
    machine.run({ pid: 42, startTicks: 200, sockets: ['54'], command: 'danube' });
    machine.run({ pid: 43, startTicks: 300, sockets: ['55'], command: 'danube' });

    expect(find({ address: brokerAddress, program: 'danube' })).toEqual({ pid: 43, startTicks: 300 });
    expect(find({ address: brokerAddress, program: 'danube', containerId: id })).toEqual({
      problem: expect.stringContaining(`listens on 10.0.1.7:6650 and runs danube and is in container ${id}`),
    });
  });

  it('no part of a name that happens to begin alike', () => {
    expect(namesContainer(`/kubepods/pod-${id.slice(0, 8)}/x`, id.slice(0, 8))).toBe(false);
    expect(namesContainer(`/a/${id}`, id.slice(1))).toBe(false);
  });
});

describe('there is no broker, and it says what to do, when', () => {
  it('nothing listens on the address', () => {
    machine.listen([
      { hexAddress: '0801000A:19FA', inode: '54' },
      { hexAddress: '0701000A:19FB', inode: '55' },
      { hexAddress: onBrokerAddress, inode: '56', state: '01' },
    ]);
    machine.run({ pid: 42, startTicks: 200, sockets: ['54', '55', '56'] });

    expect(find()).toEqual({ problem: expect.stringContaining('nothing listens on 10.0.1.7:6650') });
  });

  it('the process that listens is in a pid namespace of its own', () => {
    machine.listen([{ hexAddress: onBrokerAddress, inode: '55' }]);

    expect(find()).toEqual({ problem: expect.stringContaining('shareProcessNamespace: true') });
  });

  it('a zombie is all that is left of it', () => {
    machine.listen([{ hexAddress: onBrokerAddress, inode: '55' }]);
    machine.run({ pid: 42, startTicks: 200, state: 'Z', sockets: ['55'] });

    expect(find()).toHaveProperty('problem');
  });

  it("the program is the agent's alone", () => {
    machine.run({ pid: agentPid, startTicks: 200, command: 'node' });

    expect(find({ program: 'node' })).toEqual({ problem: expect.stringContaining('the agent itself runs node') });
  });

  it("the address is the agent's", () => {
    machine.listen([{ hexAddress: onBrokerAddress, inode: '55' }]);
    machine.run({ pid: agentPid, startTicks: 200, sockets: ['55'] });

    expect(find()).toEqual({ problem: expect.stringContaining('set the --broker flags') });
  });
});

describe('a listener on every IPv4 address', () => {
  it('is none on an IPv6 address', () => {
    const listener = { ip: '::ffff:0:0', port: 6650, inode: '55' };

    expect(listenersOn({ ip: 'fd00::7', port: 6650 }, [listener])).toEqual([]);
  });
});

describe('a process is still running', () => {
  const known = { pid: 42, startTicks: 200 };

  it('as long as pid and start are the same', () => {
    machine.run({ ...known, userTicks: 7 });

    expect(readIfRunning(machine.procRoot, known)?.cpuTicks).toBe(7);
  });

  it.each([
    ['is gone', () => machine.end(42)],
    ['is another one under the same pid', () => machine.run({ pid: 42, startTicks: 201 })],
    ['is a zombie', () => machine.run({ ...known, state: 'Z' })],
  ])('but not when it %s', (_, change) => {
    machine.run(known);
    change();

    expect(readIfRunning(machine.procRoot, known)).toBeNull();
  });
});
