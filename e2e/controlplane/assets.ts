/**
 * The binaries of the test control plane: those of KUBEBUILDER_ASSETS, else a cached build, else a build from the Go modules pinned in
 * this folder. `node e2e/controlplane/assets.ts` (npm run controlplane) makes the build alone.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { describeExit, spawnTied } from '../process/tied.ts';
import { withLock } from './build-lock.ts';

/** Absolute paths. */
export interface Assets {
  readonly etcd: string;
  readonly kubeApiserver: string;
  readonly kubeControllerManager: string;
  readonly kubectl: string;
}

export type Log = (line: string) => void;

export interface AssetsOptions {
  readonly log: Log;
  /** KUBEBUILDER_ASSETS, XDG_CACHE_HOME, PATH and Go's own settings are read from here; default: the environment. */
  readonly env?: NodeJS.ProcessEnv;
}

const BINARIES = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl'] as const;
type Binary = (typeof BINARIES)[number];

const PACKAGES: Record<Binary, string> = {
  etcd: 'go.etcd.io/etcd/server/v3',
  'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
  'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
  kubectl: 'k8s.io/kubernetes/cmd/kubectl',
};
const KUBERNETES = { major: 1, minor: 36, patch: 2 };
const VERSION = 'k8s.io/component-base/version';
const LDFLAGS = [
  '-s -w',
  `-X ${VERSION}.gitVersion=v${KUBERNETES.major}.${KUBERNETES.minor}.${KUBERNETES.patch}`,
  `-X ${VERSION}.gitMajor=${KUBERNETES.major}`,
  `-X ${VERSION}.gitMinor=${KUBERNETES.minor}`,
].join(' ');
/** -mod=readonly: a build must not change go.mod or go.sum, which name the cache. */
const BUILD_FLAGS = ['-mod=readonly', '-trimpath', '-ldflags', LDFLAGS];
/** GOFLAGS and GOWORK of the user's machine must not reach the build; the proxy settings must. */
const BUILD_ENV = { CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' };
const PROGRESS_EVERY_MS = 15_000;

const WHAT_TO_DO =
  'Install Go 1.26 or newer (https://go.dev/dl) and run again: the first build takes about 6 minutes on 2 cores, later runs use the cache. ' +
  'Or set KUBEBUILDER_ASSETS to a folder that holds etcd, kube-apiserver, kube-controller-manager and kubectl.';

/**
 * Gives the paths of the binaries, building them when there is no other way. Two runs do not build at once: the second waits.
 *
 * @throws Error that says what to install or set.
 */
export async function ensureAssets({ log, env = process.env }: AssetsOptions): Promise<Assets> {
  const provided = env.KUBEBUILDER_ASSETS || undefined;
  const lacking = provided === undefined ? [] : missingIn(provided);
  if (provided !== undefined && lacking.length === 0) return assetsIn(provided);

  const cache = cacheFolder(env);
  if (missingIn(cache).length > 0) {
    const lacks = provided === undefined ? '' : `KUBEBUILDER_ASSETS=${provided} lacks ${lacking.join(' and ')}. `;
    await checkGo(env, lacks);
    // All of them, though some are there: a controller manager newer than its API server is not supported.
    if (lacks !== '') log(`${lacks}Using our own build of all instead.`);
    await withLock(
      cache,
      (holder) => log(`${holder} is building the control plane already; waiting for it`),
      // Whoever had the lock before us may have done our work.
      async () => (missingIn(cache).length > 0 ? build(cache, env, log) : undefined),
    );
  }
  return assetsIn(cache);
}

async function checkGo(env: NodeJS.ProcessEnv, lacks: string): Promise<void> {
  try {
    // In the folder of go.mod: there Go refuses when it is too old and may not fetch a newer one.
    await promisify(execFile)('go', ['list', '-m'], { cwd: import.meta.dirname, env: { ...env, ...BUILD_ENV } });
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const reason = missing
      ? 'Go is not in PATH'
      : `Go does not do: ${error instanceof Error ? error.message.trim() : error}`;
    throw new Error(`The test control plane is not there. ${lacks}${reason}.\n${WHAT_TO_DO}`);
  }
}

async function build(cache: string, env: NodeJS.ProcessEnv, log: Log): Promise<void> {
  log(`Building the test control plane (Kubernetes 1.36, etcd 3.6) into ${cache}.`);
  log('The first time takes about 6 minutes on 2 cores; later runs start at once.');
  mkdirSync(dirname(cache), { recursive: true });
  // We hold the lock, so what an earlier build left unfinished belongs to nobody.
  for (const name of readdirSync(dirname(cache))) {
    if (name.startsWith(`${basename(cache)}.unfinished-`)) rmSync(join(dirname(cache), name), { recursive: true });
  }
  const unfinished = mkdtempSync(`${cache}.unfinished-`);
  const started = performance.now();
  try {
    for (const [index, binary] of BINARIES.entries()) {
      const logFile = join(unfinished, `${binary}.log`);
      const compiler = spawnTied('go', ['build', ...BUILD_FLAGS, '-o', join(unfinished, binary), PACKAGES[binary]], {
        cwd: import.meta.dirname,
        env: { ...env, ...BUILD_ENV },
        logFile,
      });
      const say = () => log(`building ${binary} (${index + 1} of ${BINARIES.length}), ${elapsed(started)}`);
      say();
      const progress = setInterval(say, PROGRESS_EVERY_MS);
      const exit = await compiler.exited;
      clearInterval(progress);
      if (exit.code !== 0) {
        throw new Error(
          `building ${binary} failed (${describeExit(exit)}). The end of Go's output:\n${compiler.logTail()}\n${WHAT_TO_DO}`,
        );
      }
      rmSync(logFile);
    }
    // One rename, so that the cache is there as a whole or not at all.
    rmSync(cache, { recursive: true, force: true });
    renameSync(unfinished, cache);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  log(`The control plane is built, in ${elapsed(started)}.`);
}

/** Named by everything that decides what a build gives. */
function cacheFolder(env: NodeJS.ProcessEnv): string {
  const hash = createHash('sha256');
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(import.meta.dirname, file)));
  hash.update(JSON.stringify([PACKAGES, BUILD_FLAGS, BUILD_ENV, process.platform, process.arch]));
  const base = env.XDG_CACHE_HOME || join(env.HOME ?? homedir(), '.cache');
  return join(base, 'danube-load-manager', 'controlplane', hash.digest('hex').slice(0, 16));
}

function missingIn(folder: string): Binary[] {
  return BINARIES.filter((binary) => {
    try {
      accessSync(join(folder, binary), constants.X_OK);
      return false;
    } catch {
      // Not there or not to be executed: either way it cannot be used.
      return true;
    }
  });
}

function assetsIn(folder: string): Assets {
  return {
    etcd: join(folder, 'etcd'),
    kubeApiserver: join(folder, 'kube-apiserver'),
    kubeControllerManager: join(folder, 'kube-controller-manager'),
    kubectl: join(folder, 'kubectl'),
  };
}

function elapsed(since: number): string {
  const seconds = Math.round((performance.now() - since) / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

if (import.meta.main) {
  try {
    const assets = await ensureAssets({ log: (line) => process.stderr.write(`${line}\n`) });
    process.stdout.write(`${Object.values(assets).join('\n')}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
