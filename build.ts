/** Bundles what ships, one file for each program. `npm run build` → dist/, which is what the image and the package hold. */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const ROOT = import.meta.dirname;
/** Bundled CommonJS packages call require and look for files beside themselves. */
const BANNER =
  "import{createRequire as __cr}from'node:module';import{dirname as __dn}from'node:path';import{fileURLToPath as __fp}from'node:url';" +
  'const require=__cr(import.meta.url),__filename=__fp(import.meta.url),__dirname=__dn(__filename);';

/** The planner's thread is a program of its own beside the operator's. */
const PROGRAMS = ['operator/main', 'operator/planning-worker', 'agent/main', 'cli/main'];

/** Makes `folder` anew: a file for each program, and what they read. */
export async function buildPrograms(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  for (const program of PROGRAMS) {
    await build({
      entryPoints: [join(ROOT, 'src', `${program}.ts`)],
      outfile: join(folder, `${program}.js`),
      bundle: true,
      minify: true,
      keepNames: true,
      sourcemap: 'linked',
      platform: 'node',
      target: 'node22',
      format: 'esm',
      banner: { js: BANNER },
      logLevel: 'warning',
    });
  }
  // etcd3 reads its protocol definitions from ../proto beside its own folder.
  mkdirSync(join(folder, 'proto'));
  for (const name of ['rpc', 'kv', 'auth']) {
    copyFileSync(join(ROOT, 'node_modules/etcd3/proto', `${name}.proto`), join(folder, 'proto', `${name}.proto`));
  }
}

if (import.meta.main) await buildPrograms(join(ROOT, 'dist'));
