// Writes the CRDs and the API reference; with --check it only says which of them are out of date, and fails.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generatedFiles } from './generated-files.ts';

const root = join(import.meta.dirname, '../..');
const [option, ...rest] = process.argv.slice(2);

if (rest.length > 0 || (option !== undefined && option !== '--check')) {
  console.error('usage: node src/api/generate.ts [--check]');
  process.exit(2);
}

const outdated = [...generatedFiles()].filter(([path, content]) => read(join(root, path)) !== content);

if (option === '--check') {
  for (const [path] of outdated) {
    console.error(`${path} is not what src/api generates: run npm run generate and commit the result`);
  }
  process.exitCode = outdated.length > 0 ? 1 : 0;
} else {
  for (const [path, content] of outdated) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
    console.log(`wrote ${path}`);
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return undefined;
    }
    throw error;
  }
}
