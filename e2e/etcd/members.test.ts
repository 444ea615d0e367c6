/** A cluster of three members of which one, the leader, or two are lost. */
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import { beforeAll, describe, expect, it } from 'vitest';
import { createLane, type Lane } from '../../src/etcd/lane.ts';
import type { EtcdPort } from '../../src/etcd/port.ts';
import { until } from '../process/until.ts';
import { historyOf } from './bare.ts';
import { type Follower, follow } from './follow.ts';
import { type Member, startMembers } from './servers.ts';
import { report, useEtcd } from './suite.ts';

const suite = useEtcd();

let members: readonly Member[];
let etcd: EtcdPort;
let lane: Lane;

beforeAll(async () => {
  const { assets, address, folder } = suite();
  members = await startMembers(3, { assets, address, dir: join(folder, 'three', 'data') });
  for (const member of members) suite().atEnd(() => member.stop());
  etcd = suite().connect({ endpoints: members.map(({ endpoint }) => endpoint) });
  const fence = { key: '/fence', value: 'ours' };
  await etcd.commit([], [{ put: fence.key, value: fence.value }]);
  lane = createLane({ etcd, key: '/lane', revision: 0, epoch: 1, fence, signal: new AbortController().signal });
});

/** Reads and writes work; gives the revision of a write that is certainly applied. */
async function untilServed(prefix: string): Promise<number> {
  return until(
    async () => {
      const key = `${prefix}served`;
      const result = await lane.commit([], [{ put: key, value: 'x' }]);
      await etcd.get(key);
      return result.outcome === 'applied' && result.revision;
    },
    { what: 'etcd to serve again' },
  );
}

/** Writes all the time, as long as `stop` is not called, and holds what was said against what is there. */
function startWriter(prefix: string): { written(): number; stop(): Promise<{ misreported: readonly string[] }> } {
  const outcomes = new Map<string, string>();
  let stopped = false;
  const running = (async () => {
    for (let number = 0; !stopped; number++) {
      const key = `${prefix}${number}`;
      outcomes.set(key, (await lane.commit([], [{ put: key, value: 'x' }])).outcome);
    }
  })();
  return {
    written: () => outcomes.size,
    async stop() {
      stopped = true;
      await running;
      const there = new Set((await etcd.read(prefix)).entries.map(({ key }) => key));
      const misreported = [...outcomes].filter(([key, outcome]) => (outcome === 'applied') !== there.has(key));
      return { misreported: misreported.map(([key, outcome]) => `${key}: ${outcome}`) };
    },
  };
}

async function expectNothingLost(ours: Follower, prefix: string, from: number): Promise<void> {
  const { revision } = await etcd.count('\0');
  const truth = await historyOf(members[0]?.endpoint ?? '', prefix, from, revision);
  await until(() => ours.seen.length >= truth.length, { what: 'the watch to catch up' });
  await ours.stop();
  expect(ours.seen).toEqual(truth);
}

async function leader(): Promise<Member> {
  return until(
    async () => {
      for (const member of members) {
        if (member.process().exit() !== undefined) continue;
        const client = new Etcd3({ hosts: member.endpoint });
        const status = await client.maintenance.status().finally(() => client.close());
        if (status.leader !== '0' && status.leader === status.header.member_id) return member;
      }
      return undefined;
    },
    { what: 'a leader' },
  );
}

async function kill(member: Member): Promise<void> {
  member.kill('SIGKILL');
  await member.process().exited;
}

describe('a cluster of three members', () => {
  it.each([
    { name: 'the member that serves us', choose: async () => members[0] },
    { name: 'the leader', choose: leader },
  ])('loses nothing when $name is killed and comes back', async ({ name, choose }) => {
    const prefix = `/${name.replaceAll(' ', '-')}/`;
    const from = (await etcd.count('\0')).revision + 1;
    const ours = follow(etcd, prefix, from);
    const writer = startWriter(prefix);
    await until(() => ours.seen.length > 20, { what: 'the watch to be live' });
    const victim = await choose();
    if (victim === undefined) throw new Error('there is no such member');

    const killed = performance.now();
    await kill(victim);
    const revision = await untilServed(prefix);
    report(`${name} killed: writes`, performance.now() - killed);
    report(`${name} killed: the watch`, await ours.reaches(`${revision} ${prefix}served`, killed));
    await victim.restart();
    await until(() => writer.written() > 50, { what: 'writes enough to judge by' });
    const { misreported } = await writer.stop();

    expect(misreported).toEqual([]);
    await expectNothingLost(ours, prefix, from);
  });

  it('says NoQuorum while two are lost, also by the watch, and loses nothing when they are back', async () => {
    const from = (await etcd.count('\0')).revision + 1;
    const ours = follow(etcd, '/quorum/', from);
    await untilServed('/quorum/before-');
    const writer = startWriter('/quorum/');
    const [, ...two] = members;

    await Promise.all(two.map(kill));
    const noQuorum = await until(
      () => ours.told.find((message) => message.kind === 'interrupted' && message.error.kind === 'NoQuorum'),
      { what: 'the watch to say that the quorum is lost' },
    ).catch(() => ours.told);
    const read = await until(
      () =>
        etcd.get('/quorum/0').then(
          () => undefined,
          (error) => (error.kind === 'NoQuorum' ? error : undefined),
        ),
      { what: 'a read to say that the quorum is lost' },
    );
    await Promise.all(two.map((member) => member.restart()));
    const restarted = performance.now();
    const revision = await untilServed('/quorum/after-');
    report('quorum back: writes', performance.now() - restarted);
    report('quorum back: the watch', await ours.reaches(`${revision} /quorum/after-served`, restarted));
    const { misreported } = await writer.stop();

    expect(noQuorum).toMatchObject({ kind: 'interrupted', error: { kind: 'NoQuorum' } });
    expect(read.message).toContain('a majority of the etcd members');
    expect(misreported).toEqual([]);
    await expectNothingLost(ours, '/quorum/', from);
  });
});
