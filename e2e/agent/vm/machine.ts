import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { buildPrograms } from '../../../build.ts';
import { makeRunFolder, removeFolder } from '../../controlplane/run-folder.ts';
import { describeExit, spawnTied } from '../../process/tied.ts';
import { ensureMachineAssets, type MachineAssets } from './assets.ts';
import type { Findings, Settings } from './guest/main.ts';
import { type MachineFiles, programWithLibraries, writeInitramfs } from './initramfs.ts';

export interface MachineOptions<S extends keyof Findings> extends Settings {
  readonly suite: S;
  readonly log: (line: string) => void;
  readonly timeoutMs: number;
}

const DISK_BYTES = 256 * 1024 * 1024;
const MEMORY_MIB = 1536;
const GUEST = join(import.meta.dirname, 'guest');
/** Their libraries come along. They must be util-linux': busybox' unshare knows no cgroup namespaces. */
const SYSTEM_PROGRAMS = ['unshare', 'nsenter', 'setpriv'];

/**
 * Boots a virtual machine with cgroup v2 alone, runs a suite of guest/main.ts in it on the agent as it ships, and gives what they
 * found. Software emulation: hardware virtualisation is not to be had on most machines that run tests.
 *
 * @throws Error with the end of the machine's console when it does not come to an end by itself in time.
 */
export async function runMachine<S extends keyof Findings>(options: MachineOptions<S>): Promise<Findings[S]> {
  const assets = await ensureMachineAssets(options);
  const folder = makeRunFolder();
  try {
    return await boot(assets, folder, options);
  } finally {
    removeFolder(folder);
  }
}

async function boot<S extends keyof Findings>(
  assets: MachineAssets,
  folder: string,
  options: MachineOptions<S>,
): Promise<Findings[S]> {
  const initramfs = join(folder, 'initramfs.cpio');
  const disk = join(folder, 'disk.img');
  const findings = join(folder, 'findings.json');
  writeInitramfs(initramfs, await filesOf(assets, folder, { suite: options.suite, burnSeconds: options.burnSeconds }));
  writeFileSync(disk, '');
  truncateSync(disk, DISK_BYTES);

  const emulator = spawnTied(
    assets.emulator,
    [
      ...assets.firmware.flatMap((path) => ['-L', path]),
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', `${MEMORY_MIB}`],
      ...['-kernel', assets.kernel, '-initrd', initramfs],
      ...['-append', 'console=ttyS0 quiet cgroup_no_v1=all psi=1 panic=-1'],
      ...['-drive', `file=${disk},format=raw,if=virtio`],
      // The console, and a line of its own for what was found, so that no message of the kernel gets into it.
      ...['-serial', 'stdio', '-serial', `file:${findings}`],
      ...['-display', 'none', '-monitor', 'none', '-net', 'none', '-no-reboot'],
    ],
    {
      logFile: join(folder, 'console.log'),
      env: { ...process.env, LD_LIBRARY_PATH: assets.libraries.join(':') },
    },
  );
  const timer = setTimeout(() => emulator.kill('SIGKILL'), options.timeoutMs);
  const exit = await emulator.exited;
  clearTimeout(timer);

  // What took how long, as the machine says.
  for (const line of emulator.logTail().split('\n')) if (/ done \d+ s after/.test(line)) options.log(line.trim());
  const found = readFileSync(findings, 'utf8');
  // The last thing that it writes is the end of the line.
  if (!found.endsWith('\n')) {
    throw new Error(
      `The virtual machine ended without findings (${describeExit(exit)}, given ${options.timeoutMs / 1000} s). The end of its console:\n${emulator.logTail()}`,
    );
  }
  return JSON.parse(found);
}

async function filesOf(assets: MachineAssets, folder: string, settings: Settings): Promise<MachineFiles> {
  const programs = join(folder, 'programs');
  await buildPrograms(programs);
  for (const name of ['main', 'broker']) {
    buildSync({
      entryPoints: [join(GUEST, `${name}.ts`)],
      outfile: join(folder, 'guest', `${name}.js`),
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node24',
    });
  }
  const modules = assets.kernelModules.map((from, index) => [`/modules/${index}.ko`, { from }] as const);
  return {
    '/init': { from: join(GUEST, 'init.sh') },
    '/bin/busybox': { from: assets.busybox },
    ...programWithLibraries(process.execPath),
    ...Object.assign({}, ...SYSTEM_PROGRAMS.map((name) => programWithLibraries(findInPath(name)))),
    ...Object.fromEntries(modules),
    '/app/container.sh': { from: join(GUEST, 'container.sh') },
    '/app/main.mjs': { from: join(folder, 'guest/main.js') },
    '/app/broker.mjs': { from: join(folder, 'guest/broker.js') },
    '/app/agent.mjs': { from: join(programs, 'agent/main.js') },
    '/app/settings.json': { text: JSON.stringify(settings) },
  };
}

function findInPath(name: string): string {
  const found = (process.env.PATH ?? '')
    .split(':')
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error(`${name} was not found in PATH; install the package util-linux`);
  return found;
}
