/** The demo as a user runs it: in a process of its own, ended in every way, with nothing left behind. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { ensureAssets } from '../controlplane/assets.ts';
import { REPOSITORY } from '../demo/manifests.ts';
import { ownCgroups } from '../kubelet/cgroups.ts';
import { holdToBar } from '../process/bars.ts';
import { ownerTag } from '../process/owner.ts';
import { until } from '../process/until.ts';

// Each test is a run of the demo; on a machine that is busy with other things it takes several times as long.
vi.setConfig({ testTimeout: 400_000 });

const folders: string[] = [];
let kubectl = '';

beforeAll(async () => {
  ({ kubectl } = await ensureAssets({ log: (line) => process.stderr.write(`${line}\n`) }));
});

const runs: DemoRun[] = [];

afterAll(() => {
  // Of a test that has failed.
  for (const { process } of runs) process.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

interface DemoRun {
  readonly process: ChildProcess;
  /** Its TMPDIR: what it leaves there is its own. */
  readonly folder: string;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  stdout(): string;
  stderr(): string;
  /** Resolves when stderr has the text. */
  says(text: string): Promise<void>;
}

function runDemo(...args: readonly string[]): DemoRun {
  const folder = mkdtempSync(join(tmpdir(), 'demo-test-'));
  folders.push(folder);
  const child = spawn(process.execPath, [join(REPOSITORY, 'e2e/demo/main.ts'), ...args], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk;
    });
  }
  // 'close' comes after the last output, 'exit' may not.
  const exited = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  const run: DemoRun = {
    process: child,
    folder,
    exited,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    says: async (wanted) => {
      await until(
        () => {
          if (child.exitCode !== null) throw new Error(`it has ended with ${child.exitCode}: ${text.stderr}`);
          return text.stderr.includes(wanted);
        },
        { what: `the demo to say "${wanted}"`, timeoutMs: 180_000 },
      );
    },
  };
  runs.push(run);
  return run;
}

/** Command lines of what belongs to the run: it names the run's folder or one of its addresses. */
function processesOf({ folder, stderr }: DemoRun): readonly string[] {
  const block = /https:\/\/(127\.\d+)\./.exec(stderr())?.[1];
  const marks = block === undefined ? [folder] : [folder, `${block}.`];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => commandLineOf(pid))
    .filter((command) => marks.some((mark) => command.includes(mark)));
}

/** Empty for a process that has ended, also while its parent has not taken note. */
function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return '';
    throw error;
  }
}

/** Cgroups of kubelets, by path; each is named by its kubelet's process. */
function kubeletCgroups(): readonly string[] {
  const own = ownCgroups(readFileSync('/proc/self/cgroup', 'utf8'), readFileSync('/proc/self/mountinfo', 'utf8'));
  return own.flatMap(({ folder }) =>
    readdirSync(folder)
      .filter((name) => name.startsWith('danube-e2e-'))
      .map((name) => join(folder, name)),
  );
}

/** The kubelet's cgroups of this run, while it runs. */
function cgroupsOf(run: DemoRun): readonly string[] {
  const pid = readdirSync('/proc').find(
    (name) =>
      /^\d+$/.test(name) && /kubelet\/main\.\w+ /.test(commandLineOf(name)) && commandLineOf(name).includes(run.folder),
  );
  if (pid === undefined) throw new Error('the demo has no kubelet now');
  const tag = ownerTag(Number(pid));
  return kubeletCgroups().filter((path) => path.endsWith(tag));
}

/** What it says at its end was not as it should be. */
function faultsOf(run: DemoRun): readonly string[] {
  return [...run.stderr().matchAll(/^FAULT: (.*)$/gm)].map(([, fault = '']) => fault);
}

/** Nothing of a run that has ended itself is there any more. */
async function expectNothingLeft(run: DemoRun, cgroups: readonly string[] = []): Promise<void> {
  await until(() => processesOf(run).length === 0, {
    what: `all processes of the demo to be gone, but there are still ${processesOf(run).join('\n')}`,
  });
  expect(readdirSync(run.folder).filter((name) => name.startsWith('danube-load-manager-'))).toEqual([]);
  expect(kubeletCgroups().filter((path) => cgroups.includes(path))).toEqual([]);
}

const wholeNumber = z.int().min(0);
const epochMs = z.int().min(1_700_000_000_000);
const id = z.string().regex(/^\d{1,20}$/);
/** What issue and README promise; strict, so that nothing else is in it. */
const promised = z.strictObject({
  topics: wholeNumber,
  assigned: wholeNumber,
  unassigned: wholeNumber,
  doublyOwned: wholeNumber,
  lost: wholeNumber,
  repeatedOffsets: wholeNumber,
  leader: z.strictObject({ identity: z.string().min(1), epoch: z.int().min(1) }),
  failovers: z.array(
    z.strictObject({
      pod: z.string().min(1),
      oldId: id,
      killedAt: epochMs.nullable(),
      provenAt: epochMs,
      proof: z.enum(['ContainerRestarted', 'ContainerEnded', 'LeaseExpired']),
      acceptsAt: epochMs.nullable(),
      assignedAt: epochMs,
      topics: wholeNumber,
    }),
  ),
  brokers: z.array(
    z.strictObject({
      pod: z.string().min(1),
      id: id.nullable(),
      state: z.string().nullable(),
      cpuCores: z.number().min(0).nullable(),
      memoryBytes: wholeNumber.nullable(),
      source: z.enum(['cgroup-v1', 'cgroup-v2', 'proc']).nullable(),
      topics: wholeNumber.nullable(),
      rank: z.int().min(1).nullable(),
    }),
  ),
});

describe('npm run demo -- --seconds 40 --kill-broker-at 15 --json', () => {
  it('ends with 0 and the promised JSON alone on stdout: nothing lost, the failover within 2 s', async () => {
    const run = runDemo('--seconds', '40', '--kill-broker-at', '15', '--json');
    await run.says('All is ready.');
    const cgroups = cgroupsOf(run);
    expect(processesOf(run).length).toBeGreaterThan(10);

    const exit = await run.exited;

    const faults = faultsOf(run);
    // How late is held to its bar below.
    expect(faults.filter((fault) => !fault.includes('after its next process took assignments'))).toEqual([]);
    expect(exit, run.stderr()).toEqual({ code: faults.length === 0 ? 0 : 1, signal: null });
    const result = promised.parse(JSON.parse(run.stdout()));
    expect(result).toMatchObject({
      topics: 40,
      assigned: 40,
      unassigned: 0,
      doublyOwned: 0,
      lost: 0,
      repeatedOffsets: 0,
    });
    expect(result.brokers.map(({ rank }) => rank).toSorted()).toEqual([1, 2, 3, 4, 5]);
    expect(result.brokers.reduce((sum, { topics }) => sum + (topics ?? 0), 0)).toBe(40);
    // Where the machine lets us make cgroups, figures come from them.
    const sources = cgroups.length > 0 ? ['cgroup-v1', 'cgroup-v2'] : ['none'];
    expect(result.brokers.filter(({ source }) => !sources.includes(source ?? 'none'))).toEqual([]);
    expect(result.brokers.filter(({ memoryBytes }) => (memoryBytes ?? 0) < 10_000_000)).toEqual([]);
    expect(result.failovers).toHaveLength(1);
    const [failover] = result.failovers;
    expect(failover?.topics).toBeGreaterThan(0);
    expect(failover?.killedAt).toBeLessThanOrEqual(failover?.provenAt ?? 0);
    const assignedAfterMs = (failover?.assignedAt ?? Number.NaN) - (failover?.acceptsAt ?? Number.NaN);
    expect(assignedAfterMs).not.toBeNaN();
    holdToBar('demo: all topics of the killed broker after its next process accepts', assignedAfterMs, 2_000);
    await expectNothingLeft(run, cgroups);
  });
});

describe('npm run demo -- --kubeconfig <file>', () => {
  it('lets kubectl look at it: the figures of each broker, and the policy', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'demo-test-'));
    folders.push(folder);
    const kubeconfig = join(folder, 'kubeconfig');
    const run = runDemo('--json', '--brokers', '3', '--topics', '12', '--kubeconfig', kubeconfig);
    await run.says('All is ready.');

    const row =
      /brokerload\S+danube-core-broker-\d +Active +\S+ +\d+Mi\/1Gi +\d\.\d\dMB\/s +(?:\d\.\d\dMB\/s +)?\d+ +[1-3] +Fresh/g;
    const policy = /rebalancepolicy\S+demo +Approve +True +True +True +(?:True|Unknown) .* 3 +12 /;
    const columns = await until(
      async () => {
        const list = ['--kubeconfig', kubeconfig, '-n', 'messaging', 'get', 'brokerloads,rbpol'];
        const { stdout } = await promisify(execFile)(kubectl, list);
        if (stdout.match(row)?.length === 3 && policy.test(stdout)) return stdout;
        throw new Error(`it shows\n${stdout}`);
      },
      { what: 'kubectl to show the figures of three brokers', intervalMs: 500 },
    );
    run.process.kill('SIGINT');

    expect(columns).toMatch(/NAME +STATE +CPU +MEMORY +IN +OUT +TOPICS +RANK +METRICS +AGE/);
    expect(columns).toMatch(/NAME +MODE +READY +SERVED +LEADING +BALANCED +IMBALANCE +PLAN +BROKERS +TOPICS +AGE/);
    expect(await run.exited, run.stderr()).toEqual({ code: 0, signal: null });
    await expectNothingLeft(run);
  });
});

describe('npm run demo -- --no-resume-offsets', () => {
  it('counts what is lost without seeded offsets, and ends with 1', async () => {
    const run = runDemo('--kill-broker-at', '14', '--json', '--no-resume-offsets', '--brokers', '3');
    // Of the non-reliable topics at once, of the reliable ones when the next process takes them.
    await until(() => (run.stderr().match(/^failover: /gm)?.length ?? 0) >= 2, {
      what: 'the failover',
      timeoutMs: 180_000,
    });
    // For the clients to find the next process and to go on.
    await delay(8_000);

    run.process.kill('SIGINT');
    const exit = await run.exited;

    expect(exit, run.stderr()).toEqual({ code: 1, signal: null });
    const { lost, repeatedOffsets } = promised.parse(JSON.parse(run.stdout()));
    expect(lost + repeatedOffsets).toBeGreaterThan(0);
    expect(run.stderr()).toMatch(/FAULT: \d+ (acknowledged messages were lost|offsets were given out twice)/);
    await expectNothingLeft(run);
  });
});

describe('the demo leaves nothing behind', () => {
  it.each(['The control plane serves', 'Applying the policy'])(
    'when it is interrupted (Ctrl-C) while it starts, after "%s"',
    async (line) => {
      const run = runDemo('--json', '--brokers', '2');
      await run.says(line);

      run.process.kill('SIGINT');

      expect(await run.exited, run.stderr()).toEqual({ code: 130, signal: null });
      expect(run.stdout()).toBe('');
      await expectNothingLeft(run);
    },
  );

  it('when it is ended by Ctrl-C, as it is without --seconds: then it counts first', async () => {
    const run = runDemo('--json', '--brokers', '2', '--topics', '5');
    await run.says('All is ready.');
    const cgroups = cgroupsOf(run);

    run.process.kill('SIGINT');

    expect(await run.exited, run.stderr()).toEqual({ code: 0, signal: null });
    expect(promised.parse(JSON.parse(run.stdout()))).toMatchObject({ topics: 5, unassigned: 0, lost: 0 });
    await expectNothingLeft(run, cgroups);
  });

  it('when it is killed (kill -9): no process of it runs on', async () => {
    const run = runDemo('--seconds', '600', '--json', '--brokers', '2', '--topics', '5');
    await run.says('All is ready.');
    expect(processesOf(run).length).toBeGreaterThan(8);

    run.process.kill('SIGKILL');

    expect(await run.exited).toEqual({ code: null, signal: 'SIGKILL' });
    await until(() => processesOf(run).length === 0, { what: 'all its processes to be gone' });
  });
});

describe('a mistake in the flags ends the demo with 2 and says what to write', () => {
  it.each([
    [['--seconds', 'soon'], '--seconds soon: write a number of seconds'],
    [['--brokers', '1'], '--brokers 1: write a whole number from 2 to 50'],
    [['--topics', '0.5'], '--topics 0.5: write a whole number from 1 to 2000'],
    [['--seconds', '20', '--kill-broker-at', '30'], '--kill-broker-at 30 must be less than --seconds 20'],
    [['--jsn'], "Unknown option '--jsn'"],
  ])('%j', async (args, message) => {
    const run = runDemo(...args);

    expect(await run.exited).toEqual({ code: 2, signal: null });
    expect(run.stderr()).toContain(message);
    expect(run.stderr()).toContain('usage: npm run demo -- [options]');
    expect(run.stdout()).toBe('');
  });
});
