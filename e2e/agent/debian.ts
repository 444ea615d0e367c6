/** Debian packages for tests, unpacked into a cache: nothing is installed, and root is needed only for the index of apt. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { withLock } from '../controlplane/build-lock.ts';

const run = promisify(execFile);

export interface DebianPackagesOptions {
  /** Names the cache, and what is fetched in messages. */
  readonly name: string;
  readonly packages: readonly string[];
  /** Of these packages, those that need the libraries that they depend on; the others are files to us. */
  readonly withLibraries?: readonly string[];
  readonly log: (line: string) => void;
  /** XDG_CACHE_HOME, HOME and PATH are read from here; default: the environment. */
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Gives a folder that looks like the root of a Debian with these packages, from the cache or fetched by apt.
 *
 * @throws Error that says what to install or to run, when this machine has no apt or apt cannot fetch them.
 */
export async function fetchDebianPackages(options: DebianPackagesOptions): Promise<string> {
  const { name, log, env = process.env } = options;
  const folder = cacheFolder(options, env);
  if (existsSync(folder)) return folder;
  await withLock(
    // A socket's name has 107 bytes at most, fewer than a path may have.
    createHash('sha256').update(folder).digest('hex'),
    (holder) => log(`${holder} is fetching ${name} already; waiting for it`),
    // Whoever had the lock before us may have done our work.
    async () => (existsSync(folder) ? undefined : fetchInto(folder, options, env)),
  );
  return folder;
}

/** Named by what decides the packages: their names and the release that apt takes them from. */
function cacheFolder({ name, packages, withLibraries = [] }: DebianPackagesOptions, env: NodeJS.ProcessEnv): string {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const version = /^VERSION_CODENAME=(.*)$/m.exec(release)?.[1] ?? 'unknown';
  const hash = createHash('sha256').update(JSON.stringify([packages, withLibraries, version, process.arch]));
  const base = env.XDG_CACHE_HOME || join(env.HOME ?? homedir(), '.cache');
  return join(base, 'danube-load-manager', name, hash.digest('hex').slice(0, 16));
}

async function fetchInto(folder: string, options: DebianPackagesOptions, env: NodeJS.ProcessEnv): Promise<void> {
  const { name, packages, log } = options;
  log(`Fetching ${packages.join(', ')} into ${folder}.`);
  mkdirSync(dirname(folder), { recursive: true });
  // We hold the lock, so what an earlier fetch left unfinished belongs to nobody.
  for (const entry of readdirSync(dirname(folder))) {
    if (entry.startsWith(`${basename(folder)}.unfinished-`)) rmSync(join(dirname(folder), entry), { recursive: true });
  }
  const unfinished = mkdtempSync(`${folder}.unfinished-`);
  try {
    await download(unfinished, options, env).catch(async (error: unknown) => {
      log(`apt cannot fetch ${name} by the index that it has (${firstLine(error)}); updating the index`);
      await run('apt-get', ['update'], { env });
      await download(unfinished, options, env);
    });
    const archives = readdirSync(unfinished).filter((file) => file.endsWith('.deb'));
    const root = join(unfinished, 'root');
    for (const archive of archives) await run('dpkg', ['--extract', join(unfinished, archive), root], { env });
    // One rename, so that the cache is there as a whole or not at all.
    renameSync(root, folder);
  } catch (error) {
    throw new Error(
      `${name} is not there and cannot be fetched: ${firstLine(error)}\n` +
        `It takes a Debian, or an image of one, whose apt knows ${packages.join(', ')}: run "apt-get update" as root once.`,
      { cause: error },
    );
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}

async function download(folder: string, options: DebianPackagesOptions, env: NodeJS.ProcessEnv): Promise<void> {
  const { packages, withLibraries = [] } = options;
  const libraries = withLibraries.length === 0 ? [] : await missingLibraries(withLibraries, env);
  const named = await Promise.all(packages.map((it) => behindMetapackage(it, env)));
  await run('apt-get', ['download', ...new Set([...named, ...libraries])], { cwd: folder, env });
}

/** What an installation of these packages would bring to this machine, besides what it has. */
async function missingLibraries(packages: readonly string[], env: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const { stdout } = await run('apt-get', ['install', '--simulate', '--no-install-recommends', ...packages], { env });
  return [...stdout.matchAll(/^Inst (\S+)/gm)].map((match) => match[1] ?? '');
}

/** linux-image-cloud-amd64 is empty and depends on the kernel of the day. */
async function behindMetapackage(name: string, env: NodeJS.ProcessEnv): Promise<string> {
  if (!name.startsWith('linux-image-')) return name;
  const { stdout } = await run('apt-cache', ['depends', name], { env });
  return /^ *Depends: (linux-image-\S+)/m.exec(stdout)?.[1] ?? name;
}

function firstLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const missing = 'code' in error && error.code === 'ENOENT' && 'path' in error;
  if (missing) return `${error.path} is not in PATH`;
  const said = 'stderr' in error ? String(error.stderr) : '';
  return /^E: .*/m.exec(said)?.[0] ?? error.message.split('\n')[0] ?? '';
}
