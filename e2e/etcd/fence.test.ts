/** The fence: a leader that was paused and comes back writes nothing, however much it had in hand (design §4). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { useEtcd } from './suite.ts';

const ATTEMPTS = 1200;
const PROGRAM = join(import.meta.dirname, 'fixtures/old-leader.ts');
const useSuite = useEtcd();
const children: ReturnType<typeof spawn>[] = [];

beforeEach(async () => {
  const etcd = useSuite().connect();
  for (const { key } of (await etcd.read('')).entries) await etcd.commit([], [{ delete: key }]);
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** Pauses a leader, lets another one take the fence, and lets the first go on: what became of its transactions. */
async function pausedLeader(
  ...flags: readonly string[]
): Promise<{ applied: number; refused: number; fenced: number }> {
  const { server, connect } = useSuite();
  const etcd = connect();
  const child = spawn(process.execPath, [PROGRAM, server.endpoint, String(ATTEMPTS), ...flags], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('ready');

  child.kill('SIGSTOP');
  const taken = await etcd.commit(
    [{ key: '/danube-load-manager/fence', exists: true }],
    [{ put: '/danube-load-manager/fence', value: '{"epoch":2,"holder":"new","nonce":"b"}' }],
  );
  expect(taken.outcome).toBe('applied');
  child.stdin.write('go\n');
  child.kill('SIGCONT');

  const counts = JSON.parse(String((await lines.next()).value)) as Awaited<ReturnType<typeof pausedLeader>>;
  await once(child, 'exit');
  return counts;
}

it(`refuses each of ${ATTEMPTS} transactions of a leader that was paused while another took over`, async () => {
  const counts = await pausedLeader();

  expect(counts).toEqual({ applied: 0, refused: 0, fenced: ATTEMPTS });
  const etcd = useSuite().connect();
  expect((await etcd.count('/cluster/')).count).toBe(0);
  expect((await etcd.count('/danube-load-manager/commits/')).count).toBe(0);
});

it('is what refuses them: the same leader without the comparison writes every one', async () => {
  const counts = await pausedLeader('--without-fence');

  expect(counts).toEqual({ applied: ATTEMPTS, refused: 0, fenced: 0 });
  expect((await useSuite().connect().count('/cluster/')).count).toBe(ATTEMPTS);
});
