import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isOwnerAlive, ownerTag } from './owner.ts';
import { startService } from './service.ts';
import { spawnTied } from './tied.ts';
import { until } from './until.ts';

const GENERATIONS = join(import.meta.dirname, 'fixtures/generations.ts');

let folder: string;
let logFile: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tied-test-'));
  logFile = join(folder, 'log');
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function sh(script: string) {
  return spawnTied('/bin/sh', ['-c', script], { logFile });
}

describe('a tied process', () => {
  it('dies with its parent, and its own tied child with it, when the parent is killed with -9', async () => {
    const parent = spawn(process.execPath, [GENERATIONS, folder, '2'], {
      stdio: 'inherit',
    });
    const pids = await until(() => readPids(), { what: 'three generations to run' });
    const tags = pids.map((pid) => ownerTag(pid));
    expect(tags.map(isOwnerAlive)).toEqual([true, true, true]);

    parent.kill('SIGKILL');

    await until(() => tags.every((tag) => !isOwnerAlive(tag)), { what: 'all three to be gone' });
  });

  it('does not run at all when its parent dies before the tie is made', async () => {
    const slowSetpriv = join(folder, 'setpriv');
    const marker = join(folder, '0');
    writeFileSync(
      slowSetpriv,
      `#!/bin/sh
parent=$PPID
echo $$ > ${folder}/waiting
while kill -0 $parent; do sleep 0.02; done
PATH=${process.env.PATH}
exec setpriv "$@"`,
      { mode: 0o755 },
    );
    const parent = spawn(process.execPath, [GENERATIONS, folder, '1'], {
      env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
    });
    const child = await until(() => pidIn(join(folder, 'waiting')), { what: 'the child' });

    parent.kill('SIGKILL');

    await until(() => !processRuns(child), { what: 'the child to give up' });
    expect(existsSync(marker)).toBe(false);
  });

  it('writes to its log file, whose tail says why it ended', async () => {
    const child = sh('echo this is why >&2; exit 3');

    expect(await child.exited).toEqual({ code: 3, signal: null });
    expect(child.exit()).toEqual({ code: 3, signal: null });
    expect(child.logTail()).toContain('this is why');
  });

  it('is killed after the grace period when it ignores SIGTERM', async () => {
    const child = sh('trap "" TERM; echo ready; while :; do sleep 0.1; done');
    await until(() => child.logTail().includes('ready'), { what: 'the trap' });

    expect(await child.stop(200)).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('can be stopped in order while SIGSTOP holds it', async () => {
    const child = sh('trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done');
    await until(() => child.logTail().includes('ready'), { what: 'the trap' });
    child.kill('SIGSTOP');

    expect(await child.stop(5_000)).toEqual({ code: 7, signal: null });
  });

  it('takes the rest of its process group with it', async () => {
    const child = sh(`sleep 1000 & echo $! > ${folder}/sleeper; exit 0`);
    await child.exited;

    const sleeper = pidIn(join(folder, 'sleeper')) ?? 0;

    await until(() => !processRuns(sleeper), { what: 'the background process to be gone' });
  });

  it('names the package to install when setpriv is missing', () => {
    const { PATH } = process.env;
    process.env.PATH = folder;
    try {
      expect(() => sh('true')).toThrow('util-linux');
    } finally {
      process.env.PATH = PATH;
    }
  });

  it('names the folder when it does not exist', () => {
    expect(() => spawnTied('true', [], { logFile, cwd: join(folder, 'nowhere') })).toThrow('nowhere does not exist');
  });
});

describe('a service', () => {
  it('that dies before it is ready is an error at once, with the end of its log', async () => {
    const started = startService({
      name: 'the server',
      launch: () => sh('echo bad flag; exit 2'),
      ready: (signal) => until(() => false, { what: 'nothing', signal }),
    });

    await expect(started).rejects.toThrow(/the server ended \(exit code 2\)[\s\S]*bad flag/);
  });

  it('is another process after a restart', async () => {
    const service = await startService({
      name: 'sleeper',
      launch: () => sh('sleep 1000'),
      ready: () => Promise.resolve(),
    });
    const first = service.process();

    first.kill('SIGKILL');
    await service.restart();

    expect(first.exit()).toEqual({ code: null, signal: 'SIGKILL' });
    expect(service.process().pid).not.toBe(first.pid);
    expect(service.process().exit()).toBeUndefined();
    await service.stop();
  });
});

/** The pids of the three generations, once all of them have written theirs. */
function readPids(): number[] | undefined {
  const pids = ['2', '1', '0'].flatMap((name) => pidIn(join(folder, name)) ?? []);
  return pids.length === 3 ? pids : undefined;
}

function pidIn(file: string): number | undefined {
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) || undefined : undefined;
}

function processRuns(pid: number): boolean {
  try {
    return isOwnerAlive(ownerTag(pid));
  } catch {
    // No such process.
    return false;
  }
}
