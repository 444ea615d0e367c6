import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { agentPid, createFakeMachine, type FakeMachine } from './fake-machine.ts';
import { findBroker, listenersOn, readIfRunning } from './find-broker.ts';

const brokerAddress = { ip: '10.0.1.7', port: 6650 };
const onBrokerAddress = '0701000A:19FA';
const onEveryAddress = '00000000:19FA';
const onEveryIpv6Address = `${'0'.repeat(32)}:19FA`;

let machine: FakeMachine;
beforeEach(() => {
  machine = createFakeMachine();
});
afterEach(() => machine.delete());

function find(): ReturnType<typeof findBroker> {
  return findBroker({ procRoot: machine.procRoot, address: brokerAddress, ownPid: agentPid });
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
