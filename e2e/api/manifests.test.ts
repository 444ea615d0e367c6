import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { buildPrograms } from '../../build.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { clientOf } from '../controlplane/api.ts';
import { applyManifests, type Manifest, readManifests } from '../controlplane/apply.ts';
import { type ControlPlane, startControlPlane } from '../controlplane/start.ts';
import { until } from '../process/until.ts';

const root = join(import.meta.dirname, '../..');
const kustomization: { namespace: string; resources: string[] } = parse(
  readFileSync(join(root, 'manifests/kustomization.yaml'), 'utf8'),
);
const { namespace } = kustomization;
const operator = `system:serviceaccount:${namespace}:danube-load-manager`;
const clusterScoped = ['Namespace', 'ClusterRole', 'ClusterRoleBinding', 'CustomResourceDefinition'];

let plane: ControlPlane;
let client: KubeClient;

beforeAll(async () => {
  plane = await startControlPlane({ log: (line) => process.stderr.write(`${line}\n`) });
  client = clientOf(plane.adminKubeconfig);
  await applyManifests(plane.adminKubeconfig, manifests());
});

afterAll(async () => {
  client?.close();
  await plane?.stop();
});

describe('the manifests', () => {
  it('make a Pod that the namespace lets in, with its restricted Pod security', async () => {
    const deployment = manifests().find(({ kind }) => kind === 'Deployment') as unknown as Deployment;
    const { metadata, spec } = deployment.spec.template;

    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: 'operator' }, spec };
    await client.raw('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`, pod);
    const privileged = { ...pod, spec: { ...spec, hostNetwork: true } };
    const refused = await client
      .raw('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All`, privileged)
      .catch(String);

    expect(refused).toContain('violates PodSecurity "restricted:latest"');
  });

  it('start a program that is in the image', async () => {
    const deployment = manifests().find(({ kind }) => kind === 'Deployment') as unknown as Deployment;
    const image = mkdtempSync(join(tmpdir(), 'image-'));
    await buildPrograms(image);

    const [program, script] = deployment.spec.template.spec.containers[0]?.command ?? [];
    expect(program).toBe('node');
    expect(existsSync(join(image, script ?? ''))).toBe(true);
    rmSync(image, { recursive: true });
  });
});

describe('the operator', () => {
  it.each<[string, Access]>([
    ['read policies', { verb: 'watch', group: 'loadmanager.danube.io', resource: 'rebalancepolicies' }],
    [
      'report on policies',
      { verb: 'patch', group: 'loadmanager.danube.io', resource: 'rebalancepolicies', subresource: 'status' },
    ],
    ['make BrokerLoads', { verb: 'create', group: 'loadmanager.danube.io', resource: 'brokerloads' }],
    ['label BrokerLoads', { verb: 'patch', group: 'loadmanager.danube.io', resource: 'brokerloads' }],
    [
      'report on BrokerLoads',
      { verb: 'patch', group: 'loadmanager.danube.io', resource: 'brokerloads', subresource: 'status' },
    ],
    ['remove BrokerLoads', { verb: 'delete', group: 'loadmanager.danube.io', resource: 'brokerloads' }],
    ['follow Pods', { verb: 'watch', resource: 'pods' }],
    ['identify the Kubernetes cluster', { verb: 'get', resource: 'namespaces', name: 'kube-system' }],
    ['write events', { verb: 'create', group: 'events.k8s.io', resource: 'events' }],
    ['make its Lease', { verb: 'create', group: 'coordination.k8s.io', resource: 'leases', namespace }],
    [
      'renew its Lease',
      { verb: 'update', group: 'coordination.k8s.io', resource: 'leases', namespace, name: 'danube-load-manager' },
    ],
  ])('may %s', async (_what, access) => {
    expect(await may(operator, access)).toBe(true);
  });

  it.each<[string, Access]>([
    ['write the spec of a policy', { verb: 'patch', group: 'loadmanager.danube.io', resource: 'rebalancepolicies' }],
    ['make policies', { verb: 'create', group: 'loadmanager.danube.io', resource: 'rebalancepolicies' }],
    ['remove policies', { verb: 'delete', group: 'loadmanager.danube.io', resource: 'rebalancepolicies' }],
    ['read Secrets', { verb: 'get', resource: 'secrets' }],
    ['delete Pods', { verb: 'delete', resource: 'pods' }],
    ['run programs in Pods', { verb: 'create', resource: 'pods', subresource: 'exec' }],
    ['read other namespaces', { verb: 'get', resource: 'namespaces', name: 'default' }],
    [
      'take the Lease of another program',
      { verb: 'update', group: 'coordination.k8s.io', resource: 'leases', namespace, name: 'other' },
    ],
    [
      'make a Lease elsewhere',
      { verb: 'create', group: 'coordination.k8s.io', resource: 'leases', namespace: 'kube-system' },
    ],
  ])('may not %s', async (_what, access) => {
    expect(await may(operator, access)).toBe(false);
  });
});

describe('the roles for people', () => {
  const read: Access = { verb: 'list', group: 'loadmanager.danube.io', resource: 'brokerloads' };
  const write: Access = { verb: 'create', group: 'loadmanager.danube.io', resource: 'rebalancepolicies' };

  it.each([
    ['danube-load-manager-viewer', { reads: true, writes: false }],
    ['danube-load-manager-policy-admin', { reads: false, writes: true }],
  ])('lets whoever has %s do no more than its name says', async (role, expected) => {
    await applyManifests(plane.adminKubeconfig, [
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: `test-${role}` },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: role }],
      },
    ]);

    // The authorizer learns of a new binding by a watch.
    await until(() => may(role, expected.reads ? read : write), { what: `${role} to be bound` });
    expect({ reads: await may(role, read), writes: await may(role, write) }).toEqual(expected);
  });

  it('are part of the roles that Kubernetes gives to users of a namespace', () => {
    const labels = Object.fromEntries(
      manifests().map(({ metadata }) => [metadata.name, Object.keys((metadata as Labelled).labels ?? {})]),
    );

    expect(labels['danube-load-manager-viewer']).toContain('rbac.authorization.k8s.io/aggregate-to-view');
    expect(labels['danube-load-manager-policy-admin']).toContain('rbac.authorization.k8s.io/aggregate-to-admin');
    // A policy names the etcd that the operator writes to.
    expect(labels['danube-load-manager-policy-admin']).not.toContain('rbac.authorization.k8s.io/aggregate-to-edit');
  });
});

interface Deployment {
  readonly spec: {
    readonly template: { readonly metadata: object; readonly spec: { readonly containers: readonly Container[] } };
  };
}

interface Container {
  readonly command?: readonly string[];
}

interface Labelled {
  readonly labels?: Readonly<Record<string, string>>;
}

interface Access {
  readonly verb: string;
  readonly resource: string;
  readonly group?: string;
  readonly subresource?: string;
  readonly name?: string;
  readonly namespace?: string;
}

/** What `kubectl kustomize manifests` gives: every file, with the namespace filled in where an object has one. */
function manifests(): Manifest[] {
  return kustomization.resources
    .flatMap(filesOf)
    .flatMap(readManifests)
    .map((manifest) =>
      clusterScoped.includes(manifest.kind) ? manifest : { ...manifest, metadata: { ...manifest.metadata, namespace } },
    );
}

function filesOf(resource: string): string[] {
  const path = join(root, 'manifests', resource);
  if (path.endsWith('.yaml')) {
    return [path];
  }
  const { resources }: { resources: string[] } = parse(readFileSync(join(path, 'kustomization.yaml'), 'utf8'));
  return resources.map((file) => join(path, file));
}

/** Whether RBAC lets the user do it; the authorizer of the API server itself answers. */
async function may(user: string, { resource, ...access }: Access): Promise<boolean> {
  const review = await client.raw<{ status: { allowed: boolean } }>(
    'POST',
    '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user, resourceAttributes: { resource, ...access } },
    },
  );
  return review.status.allowed;
}
