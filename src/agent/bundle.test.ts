import { join } from 'node:path';
import { build } from 'esbuild';
import { expect, it } from 'vitest';

it('the agent is made of its own sources alone: a dependency would cost every broker memory', async () => {
  const { metafile } = await build({
    entryPoints: [join(import.meta.dirname, 'main.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
    metafile: true,
  });
  const inputs = Object.keys(metafile.inputs);

  expect(inputs).toContainEqual(expect.stringMatching(/agent\/main\.ts$/));
  expect(inputs.filter((it) => it.includes('node_modules'))).toEqual([]);
});
