import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isNotFound, type KubeClient, type KubeObject } from '../../src/kube/client.ts';
import { RESOURCES } from '../controlplane/api.ts';
import { fieldOf, type Mount } from './expand.ts';
import type { Container, DownwardItem, KeyToPath, Pod, ProjectedSource, Volume } from './types.ts';

/** Where a pod's service account token stands, by the API server's admission. */
export const ACCOUNT_MOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The default life of a token, which the API server knows: it lets one of exactly this life be used for a year, for programs that read
 * it once.
 */
const TOKEN_SECONDS = 3_607;
const RENEW_AFTER = 0.8;
const RENEW_RETRY_MS = 10_000;

export interface VolumesOptions {
  readonly client: KubeClient;
  readonly pod: Pod;
  /** The Pod's own folder; volumes stand below it, but for claims and host paths. */
  readonly podFolder: string;
  readonly addresses: { readonly podIP: string; readonly hostIP: string };
  /** The folder of a claim; undefined while it is not bound. */
  readonly claimFolder: (namespace: string, claim: string) => string | undefined;
  /** Ends the renewal of tokens. */
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
}

/**
 * Makes the folders that stand for a Pod's volumes. Files of config maps and secrets are written once, not followed.
 *
 * @param folders by volume name; those that are there are not made again, so that the call can be repeated.
 * @throws Error when something is not there yet, such as a claim that is not bound: try again.
 */
export async function prepareVolumes(options: VolumesOptions, folders: Map<string, string>): Promise<void> {
  for (const volume of options.pod.spec.volumes ?? []) {
    if (!folders.has(volume.name)) folders.set(volume.name, await prepareVolume(volume, options));
  }
}

/** Where a container's mount points are; makes the folders of `subPath`. */
export function mountsOf({ volumeMounts = [] }: Container, folders: ReadonlyMap<string, string>): Mount[] {
  return volumeMounts.flatMap(({ name, mountPath, subPath }) => {
    const volume = folders.get(name);
    if (volume === undefined) return [];
    const folder = subPath === undefined ? volume : join(volume, subPath);
    if (subPath !== undefined) mkdirSync(folder, { recursive: true });
    return [{ mountPath, folder }];
  });
}

async function prepareVolume(volume: Volume, options: VolumesOptions): Promise<string> {
  const { pod, podFolder, claimFolder } = options;
  const { namespace = '' } = pod.metadata;
  if (volume.hostPath) return volume.hostPath.path;
  if (volume.persistentVolumeClaim) {
    const { claimName } = volume.persistentVolumeClaim;
    const folder = claimFolder(namespace, claimName);
    if (folder === undefined) throw new Error(`the claim ${claimName} is not bound to a volume yet`);
    mkdirSync(folder, { recursive: true });
    return folder;
  }
  const folder = join(podFolder, 'volumes', volume.name);
  mkdirSync(folder, { recursive: true });
  if (volume.configMap)
    await writeKeys(folder, await readData(options, 'configMaps', volume.configMap), volume.configMap.items);
  if (volume.secret) {
    const { secretName: name, items, optional = false } = volume.secret;
    await writeKeys(folder, await readData(options, 'secrets', { name, optional }), items);
  }
  if (volume.downwardAPI) writeFields(folder, volume.downwardAPI.items, options);
  // Tokens last: what may fail and be tried again comes before what must be asked for once.
  const sources = (volume.projected?.sources ?? []).toSorted(
    (a, b) => Number(!!a.serviceAccountToken) - Number(!!b.serviceAccountToken),
  );
  for (const source of sources) await writeProjected(folder, source, options);
  return folder;
}

async function writeProjected(folder: string, source: ProjectedSource, options: VolumesOptions): Promise<void> {
  if (source.configMap)
    await writeKeys(folder, await readData(options, 'configMaps', source.configMap), source.configMap.items);
  if (source.downwardAPI) writeFields(folder, source.downwardAPI.items, options);
  if (source.serviceAccountToken)
    await keepToken(join(folder, source.serviceAccountToken.path), source.serviceAccountToken, options);
}

interface TokenRequest {
  readonly status: { readonly token: string; readonly expirationTimestamp: string };
}

/** Writes a token bound to the Pod, and a new one before it expires, until the signal aborts. */
async function keepToken(
  file: string,
  { audience, expirationSeconds = TOKEN_SECONDS }: NonNullable<ProjectedSource['serviceAccountToken']>,
  { client, pod, signal, log }: VolumesOptions,
): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  const write = async () => {
    const account = { namespace, name: pod.spec.serviceAccountName ?? 'default' };
    const { status } = await client.post<TokenRequest>(RESOURCES.serviceAccounts, account, 'token', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        ...(audience === undefined ? {} : { audiences: [audience] }),
        expirationSeconds,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
      },
    });
    writeWhole(file, status.token);
    return Date.parse(status.expirationTimestamp) - Date.now();
  };
  const renewIn = (ms: number) => {
    const timer = setTimeout(() => {
      write().then(
        (lifeMs) => renewIn(lifeMs * RENEW_AFTER),
        (error: Error) => {
          log(`token of Pod ${namespace}/${name} not renewed: ${error.message}`);
          renewIn(RENEW_RETRY_MS);
        },
      );
    }, ms);
    signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
    if (signal.aborted) clearTimeout(timer);
  };
  renewIn((await write()) * RENEW_AFTER);
}

interface WithData extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** The keys of a config map or secret of the Pod's namespace; none of an optional one that does not exist. */
export async function readData(
  { client, pod }: { readonly client: KubeClient; readonly pod: Pod },
  kind: 'configMaps' | 'secrets',
  { name, optional = false }: { readonly name: string; readonly optional?: boolean },
): Promise<Map<string, Buffer>> {
  try {
    const { data = {} } = await client.get<WithData>(RESOURCES[kind], { namespace: pod.metadata.namespace, name });
    const encoding = kind === 'secrets' ? 'base64' : 'utf8';
    return new Map(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, encoding)]));
  } catch (error) {
    if (optional && isNotFound(error)) return new Map();
    throw error;
  }
}

async function writeKeys(
  folder: string,
  data: ReadonlyMap<string, Buffer>,
  items?: readonly KeyToPath[],
): Promise<void> {
  for (const { key, path } of items ?? [...data.keys()].map((name) => ({ key: name, path: name }))) {
    const content = data.get(key);
    if (content === undefined) throw new Error(`the key ${key} does not exist`);
    writeWhole(join(folder, path), content);
  }
}

function writeFields(folder: string, items: readonly DownwardItem[], { pod, addresses }: VolumesOptions): void {
  for (const { path, fieldRef } of items) {
    if (fieldRef) writeWhole(join(folder, path), fieldOf(pod, fieldRef.fieldPath, addresses) ?? '');
  }
}

/** A reader sees the old content or the new, never half of one. */
function writeWhole(file: string, content: string | Buffer): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, content, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
