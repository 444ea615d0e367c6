import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';

/** What Node itself has loaded once the agent's modules are there; without settings the agent then ends. */
function loadedByAgent(): readonly string[] {
  const program = `await import(${JSON.stringify(new URL('main.ts', import.meta.url).href)});
    process.stdout.write(JSON.stringify(process.moduleLoadList));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' });
  return JSON.parse(stdout);
}

it('loads of Node what it serves and reads with, and no clients that it has no use for', () => {
  const loaded = loadedByAgent();

  expect(loaded).toContain('NativeModule http');
  for (const name of ['internal/deps/undici/undici', 'http2', 'tls', 'crypto', 'internal/fs/promises']) {
    expect(loaded).not.toContain(`NativeModule ${name}`);
  }
});
