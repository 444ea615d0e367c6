/** TLS, client certificates and passwords, with an etcd that demands them; and what is said when they do not fit. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Etcd3, type Role } from 'etcd3';
import { beforeAll, describe, expect, it } from 'vitest';
import { until } from '../process/until.ts';
import { bareWatch } from './bare.ts';
import { follow } from './follow.ts';
import { type Member, startMembers, startTlsMember } from './servers.ts';
import { report, useEtcd } from './suite.ts';

const suite = useEtcd();
const FILES = join(import.meta.dirname, 'fixtures/tls');

function file(name: string): Buffer {
  return readFileSync(join(FILES, name));
}

const ca = file('ca.crt');
const client = { cert: file('client.crt'), key: file('client.key') };
const stranger = { cert: file('stranger.crt'), key: file('stranger.key') };

describe('an etcd that speaks TLS', () => {
  let mutual: Member;
  let plain: Member;

  beforeAll(async () => {
    const { assets, address, folder } = suite();
    const tls = { ca: join(FILES, 'ca.crt'), cert: join(FILES, 'server.crt'), key: join(FILES, 'server.key') };
    [mutual, plain] = await Promise.all([
      startTlsMember({ assets, address, dir: join(folder, 'mutual', 'data'), tls, demandCertificate: true }),
      startTlsMember({ assets, address, dir: join(folder, 'plain', 'data'), tls, demandCertificate: false }),
    ]);
    for (const member of [mutual, plain]) suite().atEnd(() => member.stop());
  });

  it('is used with a CA alone', async () => {
    const etcd = suite().connect({ endpoints: [plain.endpoint], tls: { ca } });

    expect((await etcd.commit([], [{ put: '/tls', value: 'x' }])).outcome).toBe('applied');
  });

  it('is used with a client certificate where it asks for one, also by the watch and the lease', async () => {
    const etcd = suite().connect({ endpoints: [mutual.endpoint], tls: { ca, ...client } });
    const ours = follow(etcd, '/tls', 1);

    const lease = await etcd.grantLease(60);
    const result = await etcd.commit([], [{ put: '/tls', value: 'x', lease }]);

    expect(await etcd.keepAliveLease(lease)).toBe(60);
    await ours.reaches(`${result.outcome === 'applied' && result.revision} /tls`, performance.now());
    await ours.stop();
  });

  it.each([
    { name: 'the server is of another CA', tls: { ca: file('other-ca.crt'), ...client } },
    { name: 'no client certificate is given', tls: { ca } },
    { name: 'the client certificate is of another CA', tls: { ca, ...stranger } },
    { name: 'the certificate is no PEM', tls: { ca, cert: Buffer.from('nonsense'), key: client.key } },
  ])('is refused as BadCertificate when $name, by calls, writes and the watch', async ({ tls }) => {
    const etcd = suite().connect({ endpoints: [mutual.endpoint], tls });

    await expect(etcd.get('/tls')).rejects.toMatchObject({ kind: 'BadCertificate' });
    expect(await etcd.commit([], [{ put: '/tls', value: 'x' }])).toMatchObject({
      outcome: 'unknown',
      error: { kind: 'BadCertificate' },
    });
    const ours = follow(etcd, '', 1);
    const first = await until(() => ours.told[0], { what: 'the watch to say so' });
    await ours.stop();
    expect(first).toMatchObject({ kind: 'interrupted', error: { kind: 'BadCertificate' } });
  });

  it('is refused as BadCertificate by an etcd that speaks no TLS, and the other way round', async () => {
    const { server } = suite();
    const toPlain = suite().connect({ endpoints: [server.endpoint.replace('http:', 'https:')], tls: { ca } });
    const toTls = suite().connect({ endpoints: [mutual.endpoint], tls: { ca } });
    const mixed = suite().connect({ endpoints: [server.endpoint], tls: { ca } });

    await expect(toPlain.get('/tls')).rejects.toMatchObject({ kind: 'BadCertificate' });
    await expect(toTls.get('/tls')).rejects.toMatchObject({ kind: 'BadCertificate' });
    await expect(mixed.get('/tls')).rejects.toThrow('is not an https:// endpoint');
  });

  it('is merely "unavailable" to the bare client, whatever is wrong', async () => {
    const wrongCa = new Etcd3({ hosts: mutual.endpoint, credentials: { rootCertificate: file('other-ca.crt') } });
    const nobody = new Etcd3({ hosts: 'http://127.0.0.1:1' });
    const errors = await Promise.all([wrongCa, nobody].map((etcd) => etcd.get('/x').then(String, (error) => error)));
    for (const etcd of [wrongCa, nobody]) etcd.close();

    expect(errors.map((error) => error.constructor.name)).toEqual(['GRPCUnavailableError', 'GRPCUnavailableError']);
  });
});

describe('an etcd with passwords', () => {
  const root = { username: 'root', password: 'secret' };
  const danube = { username: 'danube', password: 'also secret' };
  let member: Member;

  beforeAll(async () => {
    const { assets, address, folder } = suite();
    const members = await startMembers(1, { assets, address, dir: join(folder, 'password', 'data') });
    if (members[0] === undefined) throw new Error('no member was started');
    [member] = members as [Member];
    suite().atEnd(() => member.stop());
    const admin = new Etcd3({ hosts: member.endpoint });
    const role: Role = await admin.role('danube').create();
    await role.grant({ permission: 'Readwrite', range: admin.range({ prefix: '/allowed/' }) });
    await (await admin.user(danube.username).create(danube.password)).addRole('danube');
    await admin.role('root').create();
    await (await admin.user(root.username).create(root.password)).addRole('root');
    await admin.auth.authEnable();
    admin.close();
  });

  it('is used with name and password', async () => {
    const etcd = suite().connect({ endpoints: [member.endpoint], auth: danube });

    expect((await etcd.commit([], [{ put: '/allowed/a', value: 'x' }])).outcome).toBe('applied');
    expect((await etcd.read('/allowed/')).entries.map(({ key }) => key)).toEqual(['/allowed/a']);
  });

  it.each([
    { name: 'a wrong password', auth: { username: 'danube', password: 'wrong' } },
    { name: 'an unknown user', auth: { username: 'nobody', password: 'x' } },
    { name: 'no password at all', auth: undefined },
  ])('says BadPassword to $name', async ({ auth }) => {
    const etcd = suite().connect({ endpoints: [member.endpoint], ...(auth && { auth }) });

    await expect(etcd.get('/allowed/a')).rejects.toMatchObject({ kind: 'BadPassword' });
    const ours = follow(etcd, '/allowed/', 1);
    const first = await until(() => ours.told[0], { what: 'the watch to say so' });
    await ours.stop();
    expect(first).toMatchObject({ kind: 'interrupted', error: { kind: 'BadPassword' } });
  });

  it('says PermissionDenied for keys beyond the role, also by the watch', async () => {
    const etcd = suite().connect({ endpoints: [member.endpoint], auth: danube });

    await expect(etcd.get('/other')).rejects.toMatchObject({ kind: 'PermissionDenied' });
    const ours = follow(etcd, '/other/', 1);
    const first = await until(() => ours.told[0], { what: 'the watch to say so' });
    await ours.stop();
    expect(first).toMatchObject({ kind: 'interrupted', error: { kind: 'PermissionDenied' } });
  });

  it('needs no password if it has none set up: one that is given does no harm', async () => {
    const etcd = suite().connect({ auth: danube });

    expect((await etcd.commit([], [{ put: '/no-auth', value: 'x' }])).outcome).toBe('applied');
  });

  it('loses no event and no write when a restart voids the tokens', async () => {
    const theirs = new Etcd3({ hosts: member.endpoint, auth: root });
    suite().atEnd(() => theirs.close());
    const etcd = suite().connect({ endpoints: [member.endpoint], auth: root });
    const from = (await etcd.count('')).revision + 1;
    const bare = await bareWatch(theirs, '/allowed/', from);
    const ours = follow(etcd, '/allowed/', from);
    await theirs.put('/allowed/before').value('x');
    await until(() => bare.seen.length > 0 && ours.seen.length > 0, { what: 'both to be live' });

    member.kill('SIGKILL');
    await member.process().exited;
    await member.restart();
    const restarted = performance.now();
    const after = await until(
      async () => {
        const result = await etcd.commit([], [{ put: '/allowed/after', value: 'x' }]);
        return result.outcome === 'applied' && result;
      },
      { what: 'a write to be applied' },
    );
    report('tokens void: writes', performance.now() - restarted);
    report('tokens void: the watch', await ours.reaches(`${after.revision} /allowed/after`, restarted));
    await ours.stop();

    expect(ours.seen.map((event) => event.split(' ')[1])).toContain('/allowed/before');
    // The bare client's watcher is dead, while each of its puts succeeds.
    await until(() => bare.errors[0], { what: 'the bare watcher to fail' });
    expect(bare.errors[0]?.message).toContain('invalid auth token');
    await theirs.put('/allowed/last').value('x');
    await until(async () => etcd.get('/allowed/last'), { what: 'the last put to be there' });
    expect(bare.seen.some((event) => event.endsWith('/allowed/after') || event.endsWith('/allowed/last'))).toBe(false);
  });
});
