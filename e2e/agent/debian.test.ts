import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeRunFolder, removeFolder } from '../controlplane/run-folder.ts';
import { fetchDebianPackages } from './debian.ts';
import { ensureMachineAssets } from './vm/assets.ts';

let folder: string;
let lines: string[];
beforeEach(() => {
  folder = makeRunFolder();
  lines = [];
});
afterEach(() => removeFolder(folder));

/** Stand for apt and dpkg: what they do is a script each. */
function programs(scripts: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  return { PATH: `${bin}:/bin:/usr/bin`, XDG_CACHE_HOME: join(folder, 'cache') };
}

function fetchTools(env: NodeJS.ProcessEnv): Promise<string> {
  return fetchDebianPackages({ name: 'tools', packages: ['tool'], log: (line) => lines.push(line), env });
}

const unpack = 'mkdir -p "$3" && echo unpacked >"$3/file"';

describe('packages of Debian', () => {
  it('are unpacked into the cache, and fetched once', async () => {
    const env = programs({ 'apt-get': 'touch tool.deb', dpkg: unpack });

    const root = await fetchTools(env);

    expect(readdirSync(root)).toEqual(['file']);
    expect(await fetchTools({ ...env, PATH: '' })).toBe(root);
    expect(lines).toEqual([`Fetching tool into ${root}.`]);
  });

  it('are fetched by a new index when the old one is missing or out of date', async () => {
    const updated = join(folder, 'updated');
    const aptGet = `[ "$1" = update ] && touch ${updated} && exit; [ -e ${updated} ] && touch tool.deb && exit; echo "E: Unable to locate package tool" >&2; exit 100`;

    const root = await fetchTools(programs({ 'apt-get': aptGet, dpkg: unpack }));

    expect(existsSync(join(root, 'file'))).toBe(true);
    expect(lines[1]).toContain('E: Unable to locate package tool');
  });

  it('that cannot be had are an error that says what to do, and leave nothing in the cache', async () => {
    const env = programs({ 'apt-get': 'echo "E: Could not open lock file" >&2; exit 100' });

    await expect(fetchTools(env)).rejects.toThrow(/E: Could not open lock file\n.*run "apt-get update" as root/);
    expect(readdirSync(join(folder, 'cache/danube-load-manager/tools'))).toEqual([]);
  });

  it('need a Debian', async () => {
    await expect(fetchTools({ PATH: folder, XDG_CACHE_HOME: folder })).rejects.toThrow(
      /apt-get is not in PATH\n.*Debian/,
    );
  });
});

describe('the assets of the virtual machine', () => {
  it('of AGENT_VM_ROOT are named when they are missing there', async () => {
    const assets = ensureMachineAssets({ log: (line) => lines.push(line), env: { AGENT_VM_ROOT: folder } });

    await expect(assets).rejects.toThrow(
      /lacks .*qemu-system-x86_64.*\nAGENT_VM_ROOT must be like the root of a Debian/,
    );
    expect(lines).toEqual([]);
  });
});
