/** The direction of dependencies (design §7): what each folder of `src` may import of the others. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');

/** Folder → folders of ours that it may import, besides itself. `agent`, `cli` and `sim` are programs: nobody imports them. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  api: [],
  core: ['api'],
  danube: ['api', 'core'],
  etcd: ['api', 'core', 'danube'],
  kube: ['api', 'core', 'danube'],
  server: [],
  operator: ['api', 'core', 'danube', 'etcd', 'kube', 'server'],
  agent: ['api'],
  cli: ['api', 'core'],
  sim: ['api', 'core', 'danube', 'etcd'],
};

/** Packages that only these files may name: each hides one library from the rest. */
const CONFINED: Readonly<Record<string, readonly string[]>> = {
  etcd3: ['src/etcd/etcd3.ts'],
  cockatiel: ['src/etcd/etcd3.ts'],
  '@kubernetes/client-node': ['src/kube/client.ts', 'src/operator/main.ts'],
};

/** The pure core: no I/O, no clock, no randomness. */
const PURE = ['core', 'api'];
const IMPURE_MODULES = /^node:(?!util$)/;
const IMPURE_CALLS =
  /\b(Date\.now|new Date\(\)|Math\.random|performance\.now|setTimeout|setInterval|await|process\.env)\b/;

interface SourceFile {
  readonly path: string;
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly string[];
}

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s+'([^']+)'|(?:^|\n)\s*import\s+'([^']+)'|import\('([^']+)'\)/g;

function readSources(): readonly SourceFile[] {
  return readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => {
      const text = readFileSync(join(ROOT, 'src', name), 'utf8');
      const imports = [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
      return { path: `src/${name}`, folder: name.split('/')[0] ?? '', text, imports };
    });
}

const sources = readSources();

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$/gm, '');
}

describe('the direction of dependencies', () => {
  it('has a rule for every folder', () => {
    expect(new Set(sources.map(({ folder }) => folder))).toEqual(new Set(Object.keys(ALLOWED)));
  });

  it.each(Object.keys(ALLOWED))('%s imports only what it may', (folder) => {
    const wrong = sources
      .filter((source) => source.folder === folder)
      .flatMap(({ path, imports }) =>
        imports
          .filter((specifier) => specifier.startsWith('.'))
          .map((specifier) => relative(join(ROOT, 'src'), normalize(join(ROOT, path, '..', specifier))))
          .filter((target) => ![folder, ...(ALLOWED[folder] ?? [])].includes(target.split('/')[0] ?? ''))
          .map((target) => `${path} → ${target}`),
      );

    expect(wrong).toEqual([]);
  });

  it.each(Object.entries(CONFINED))('%s is named only where it is hidden', (name, files) => {
    const users = sources.filter(({ imports }) => imports.includes(name)).map(({ path }) => path);

    expect(users.sort()).toEqual([...files].sort());
  });

  it('the agent uses nothing but Node and the report format', () => {
    const foreign = sources
      .filter(({ folder, path }) => folder === 'agent' || path === 'src/api/agent-report.ts')
      .flatMap(({ path, imports }) =>
        imports.filter((specifier) => !specifier.startsWith('node:') && !isReachable(path, specifier)),
      );

    expect(foreign).toEqual([]);
  });

  it.each(PURE)('%s is pure', (folder) => {
    const generator = ['src/api/generate.ts', 'src/api/generated-files.ts'];
    const wrong = sources
      .filter((source) => source.folder === folder && !generator.includes(source.path))
      .filter(
        ({ text, imports }) =>
          imports.some((name) => IMPURE_MODULES.test(name)) || IMPURE_CALLS.test(withoutComments(text)),
      );

    expect(wrong.map(({ path }) => path)).toEqual([]);
  });
});

/** The agent's own files, and the two files of `api` that depend on nothing. */
function isReachable(path: string, specifier: string): boolean {
  if (!specifier.startsWith('.')) return false;
  const target = relative(ROOT, normalize(join(ROOT, path, '..', specifier)));
  return target.startsWith('src/agent/') || ['src/api/agent-report.ts', 'src/api/problem.ts'].includes(target);
}
