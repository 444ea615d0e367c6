import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import { isNotFound, type KubeClient, type ObjectMeta, type Resource, resourcePath } from '../../src/kube/client.ts';
import { until } from '../process/until.ts';
import { clientOf } from './api.ts';

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

interface ResourceList {
  readonly resources: readonly { readonly name: string; readonly kind: string; readonly namespaced: boolean }[];
}

interface Established {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** These must be there before what stands in them. */
const FIRST = ['Namespace', 'CustomResourceDefinition'];

/**
 * Server-side apply, as `kubectl apply --server-side --force-conflicts`, of objects and of files of YAML documents. Namespaces and CRDs
 * go first, and a CRD is awaited until the server serves it, so one call can hold a CRD and its objects.
 *
 * @param what paths of YAML files, and objects; an object without a namespace goes to `default`.
 * @throws Error naming the object that the server refused, with its message.
 */
export async function applyManifests(kubeconfig: string, what: readonly (string | Manifest)[]): Promise<void> {
  const manifests = what.flatMap((item) => (typeof item === 'string' ? readManifests(item) : [item]));
  const client = clientOf(kubeconfig);
  try {
    for (const manifest of manifests.toSorted((a, b) => rank(a) - rank(b))) await applyOne(client, manifest);
  } finally {
    client.close();
  }
}

/** The documents of a YAML file; empty ones are left out. */
export function readManifests(file: string): Manifest[] {
  const manifests: Manifest[] = [];
  for (const document of parseAllDocuments(readFileSync(file, 'utf8'))) {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`${file}: ${error.message}`);
    const manifest: Manifest | null = document.toJS();
    if (manifest === null) continue;
    if (!manifest.apiVersion || !manifest.kind || !manifest.metadata?.name) {
      throw new Error(`${file}: a document lacks apiVersion, kind or metadata.name`);
    }
    manifests.push(manifest);
  }
  return manifests;
}

async function applyOne(client: KubeClient, manifest: Manifest): Promise<void> {
  const resource = await resourceOf(client, manifest);
  const { name, namespace = 'default' } = manifest.metadata;
  const path = resourcePath(resource, namespace, name);
  await client.raw('PATCH', `${path}?fieldManager=e2e&force=true`, manifest, {
    'content-type': 'application/apply-patch+yaml',
  });
  if (manifest.kind === 'CustomResourceDefinition') {
    await until(
      async () => {
        const crd = await client.raw<Established>('GET', path);
        return crd.status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True');
      },
      { what: `the CRD ${name} to be established` },
    );
  }
}

/** The server's own word for a kind; a CRD that was just established shows up there a moment later. */
async function resourceOf(client: KubeClient, { apiVersion, kind }: Manifest): Promise<Resource> {
  const [version = '', group = ''] = apiVersion.split('/').reverse();
  const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const found = await until(
    async () => {
      try {
        const { resources } = await client.raw<ResourceList>('GET', path);
        return resources.find((resource) => resource.kind === kind && !resource.name.includes('/'));
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },
    { what: `the API server to know ${kind} of ${apiVersion} (is its CRD installed?)` },
  );
  return { group, version, plural: found.name, namespaced: found.namespaced };
}

function rank({ kind }: Manifest): number {
  const index = FIRST.indexOf(kind);
  return index === -1 ? FIRST.length : index;
}
