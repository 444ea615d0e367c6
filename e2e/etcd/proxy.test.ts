import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';

it('a process whose proxy stops while a client of it is being killed ends by itself', async () => {
  const program = join(import.meta.dirname, 'fixtures/stop-with-client.ts');
  // It ends within a second, or not at all.
  const child = spawn(process.execPath, [program], { stdio: 'inherit', timeout: 30_000, killSignal: 'SIGKILL' });

  const [code, signal] = await once(child, 'exit');

  expect({ code, signal }).toEqual({ code: 0, signal: null });
});
