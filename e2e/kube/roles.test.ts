/**
 * The operator's roles as we ship them, tried with its own account against a real API server: nothing that it does works
 * without every single verb of them, and nothing works beyond them.
 */
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { RebalancePolicy } from '../../src/api/rebalance-policy.ts';
import { apiVersion } from '../../src/api/resource.ts';
import { isNotFound, type KubeClient, KubeError, type KubeObject, type Resource } from '../../src/kube/client.ts';
import { LEASES } from '../../src/kube/election.ts';
import { createEventRecorder, EVENTS } from '../../src/kube/events.ts';
import { createMetricsAccess } from '../../src/operator/metrics-access.ts';
import { PODS } from '../../src/operator/pods.ts';
import {
  BROKER_LOADS,
  deleteBrokerLoad,
  ensureBrokerLoad,
  POLICIES,
  writeBrokerLoadStatus,
  writePolicyStatus,
} from '../../src/operator/publish.ts';
import { plain, startHttpServer } from '../../src/server/http.ts';
import { clientOf, RESOURCES } from '../controlplane/api.ts';
import { applyManifests, type Manifest } from '../controlplane/apply.ts';
import { freePort } from '../controlplane/block.ts';
import { type ControlPlane, startControlPlane } from '../controlplane/start.ts';
import {
  BROKER_NAMESPACE,
  OPERATOR_NAMESPACE,
  operatorManifests,
  POLICY_NAME,
  policyManifest,
} from '../demo/manifests.ts';
import { until } from '../process/until.ts';
import { tokenOfOperator } from './operators.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface Role extends Manifest {
  readonly rules: readonly Rule[];
}

const NAMESPACES: Resource = { group: '', version: 'v1', plural: 'namespaces', namespaced: false };
const LEASE = { namespace: OPERATOR_NAMESPACE, name: 'danube-load-manager' };
const POLICY = { namespace: BROKER_NAMESPACE, name: POLICY_NAME };
const TLS = join(import.meta.dirname, '../etcd/fixtures/tls');
const POD = { namespace: BROKER_NAMESPACE, name: 'broker-0' };

const shipped = operatorManifests([]).filter(({ kind }) => kind !== 'Deployment');
const roles = shipped.filter(
  ({ kind, metadata }) => ['ClusterRole', 'Role'].includes(kind) && metadata.name === 'danube-load-manager',
) as Role[];
const rolesForPeople = shipped.filter(
  ({ kind, metadata }) => kind === 'ClusterRole' && metadata.name !== 'danube-load-manager',
) as Role[];

/** Every verb of every rule, as one case. */
function grantsOf(of: readonly Role[]) {
  return of.flatMap((role) =>
    role.rules.flatMap((rule) => rule.verbs.map((verb) => ({ role, rule, verb, what: `${verb} ${rule.resources}` }))),
  );
}

function without({ role, rule, verb }: { readonly role: Role; readonly rule: Rule; readonly verb: string }): Role {
  const verbs = rule.verbs.filter((other) => other !== verb);
  const rules = role.rules.map((each) => (each === rule ? { ...each, verbs } : each));
  return { ...role, rules: rules.filter((each) => each.verbs.length > 0) };
}

let plane: ControlPlane;
let admin: KubeClient;
let operator: KubeClient;
let policy: RebalancePolicy;

beforeAll(async () => {
  plane = await startControlPlane({ log: (line) => process.stderr.write(`${line}\n`) });
  admin = clientOf(plane.adminKubeconfig);
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: BROKER_NAMESPACE } };
  await applyManifests(plane.adminKubeconfig, [...shipped, namespace, policyManifest('http://127.0.0.1:1')]);
  policy = await admin.get<RebalancePolicy>(POLICIES, POLICY);
  await until(() => admin.get(RESOURCES.serviceAccounts, { namespace: BROKER_NAMESPACE, name: 'default' }), {
    what: 'the namespace to admit Pods',
  });
  const spec = { containers: [{ name: 'broker', image: 'none' }] };
  await admin.create<KubeObject>(PODS, { metadata: POD, spec } as KubeObject);
  operator = clientOf(plane.kubeconfigForToken('operator', await tokenOfOperator(admin)));
});

afterAll(async () => {
  operator?.close();
  admin?.close();
  await plane?.stop();
});

afterEach(async () => {
  await applyManifests(plane.adminKubeconfig, [...roles, ...rolesForPeople]);
});

/** Ends at the first event: of what is there, a watch tells at once. */
async function watchOnce(resource: Resource, namespace: string, name?: string): Promise<void> {
  const options = { signal: AbortSignal.timeout(60_000), idleMs: 60_000 };
  const fieldSelector = name === undefined ? undefined : `metadata.name=${name}`;
  const selection = { namespace, fieldSelector, resourceVersion: '0', timeoutSeconds: 60 };
  for await (const _event of operator.watch(resource, selection, options)) return;
}

async function deleteAsAdmin(resource: Resource, ref: { namespace: string; name: string }): Promise<void> {
  await admin.delete(resource, ref).catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
  });
}

/** An event that happens three times: made once, and then a series. */
async function recordSeries(): Promise<void> {
  const failed = Promise.withResolvers<void>();
  const record = createEventRecorder({
    client: operator,
    controller: 'loadmanager.danube.io/operator',
    instance: 'roles',
    onError: failed.reject,
    seriesEveryMs: 0,
  });
  const note = `at ${performance.now()}`;
  const regarding = { apiVersion, kind: 'RebalancePolicy', metadata: policy.metadata };
  for (let times = 0; times < 3; times++) {
    record({ regarding, type: 'Normal', reason: 'RolesTested', action: 'Test', note });
  }
  const seen = until(
    async () => {
      const { items } = await admin.list<KubeObject & { note?: string; series?: { count: number } }>(EVENTS, {
        namespace: BROKER_NAMESPACE,
      });
      return items.some((event) => event.note === note && event.series?.count === 3);
    },
    { what: 'the series' },
  );
  await Promise.race([seen, failed.promise]);
}

/** Everything that the operator asks of the API server, in the order in which it does. */
async function workAsOperator(): Promise<void> {
  await deleteAsAdmin(LEASES, LEASE);
  await deleteAsAdmin(BROKER_LOADS, { ...POD });

  await operator.get(NAMESPACES, { name: 'kube-system' });
  const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: LEASE };
  await operator.create<KubeObject>(LEASES, lease);
  await operator.replace(LEASES, await operator.get(LEASES, LEASE));
  await operator.list(LEASES, { namespace: LEASE.namespace, fieldSelector: `metadata.name=${LEASE.name}` });
  await watchOnce(LEASES, LEASE.namespace, LEASE.name);

  await operator.get(POLICIES, POLICY);
  for (const resource of [POLICIES, PODS]) {
    await operator.list(resource, {});
    await watchOnce(resource, BROKER_NAMESPACE);
  }
  const load = await ensureBrokerLoad(operator, policy, POD.name);
  await operator.list(BROKER_LOADS, { namespace: BROKER_NAMESPACE });
  await watchOnce(BROKER_LOADS, BROKER_NAMESPACE);
  await writeBrokerLoadStatus(operator, POD, { observedGeneration: 1, conditions: [], topics: 0 });
  await deleteBrokerLoad(operator, load);
  await writePolicyStatus(operator, POLICY, { observedGeneration: 1, conditions: [] });
  await recordSeries();
}

describe('with the roles that we ship', () => {
  it('the operator can do all that it does', async () => {
    await workAsOperator();
  });

  it.each(grantsOf(roles))('and without $what, it cannot', async ({ role, rule, verb }) => {
    await applyManifests(plane.adminKubeconfig, [without({ role, rule, verb })]);

    // The API server takes note of a changed role a moment later.
    const refusal = await until(
      () =>
        workAsOperator().then(
          () => undefined,
          (error: unknown) => error,
        ),
      { what: `a call to be refused without ${verb} on ${rule.resources}` },
    );

    expect(refusal).toBeInstanceOf(KubeError);
    expect(refusal).toMatchObject({ status: 403, reason: 'Forbidden' });
    expect((refusal as KubeError).message).toContain(`cannot ${verb} resource "${rule.resources}"`);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['delete a Pod', () => operator.delete(PODS, POD)],
    [
      'evict a Pod',
      () => operator.post(PODS, POD, 'eviction', { apiVersion: 'policy/v1', kind: 'Eviction', metadata: POD }),
    ],
    ['change a Pod', () => operator.patch(PODS, POD, { metadata: { labels: { a: 'b' } } }, { type: 'merge' })],
    ['read a Secret', () => operator.get(RESOURCES.secrets, { namespace: OPERATOR_NAMESPACE, name: 'any' })],
    ['list Secrets', () => operator.list(RESOURCES.secrets, { namespace: BROKER_NAMESPACE })],
    ['change a policy', () => operator.patch(POLICIES, POLICY, { spec: { mode: 'Auto' } }, { type: 'merge' })],
    ['delete a policy', () => operator.delete(POLICIES, POLICY)],
    ['read the Lease of another', () => operator.get(LEASES, { ...LEASE, name: 'other' })],
    ['list all Leases', () => operator.list(LEASES, { namespace: LEASE.namespace })],
    ['delete its Lease', () => operator.delete(LEASES, LEASE)],
    ['read events', () => operator.list(EVENTS, { namespace: BROKER_NAMESPACE })],
  ])('it cannot %s', async (_what, call) => {
    await expect(call()).rejects.toMatchObject({ status: 403, reason: 'Forbidden' });
  });

  it.each([BROKER_NAMESPACE, OPERATOR_NAMESPACE])(
    'it has no other rights in %s, by the word of the API server',
    async (namespace) => {
      const { status } = await operator.raw<{ status: { resourceRules: readonly Rule[] } }>(
        'POST',
        '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews',
        { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectRulesReview', spec: { namespace } },
      );
      // Every account may ask who it is and what it may do.
      const rights = status.resourceRules.filter(
        ({ apiGroups: [group] }) => !/^auth(entication|orization)\.k8s/.test(group ?? ''),
      );

      const expected = roles.filter(({ metadata }) => [undefined, namespace].includes(metadata.namespace));
      expect(rights.map(describeRule).sort()).toEqual(expected.flatMap(({ rules }) => rules.map(describeRule)).sort());
    },
  );
});

/** What kubectl sends for people, one request per verb; what writes is a dry run. */
async function request(verb: string, plural: string, user: string): Promise<void> {
  const path = `/apis/${apiVersion}/namespaces/${BROKER_NAMESPACE}/${plural}`;
  const name = plural === POLICIES.plural ? POLICY_NAME : POD.name;
  const object = await admin.raw<KubeObject>('GET', `${path}/${name}`);
  const as = { 'impersonate-user': user };
  const fresh = { ...object, metadata: { namespace: BROKER_NAMESPACE, name: 'another' } };
  const merge = { ...as, 'content-type': 'application/merge-patch+json' };
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    get: () => admin.raw('GET', `${path}/${name}`, undefined, as),
    list: () => admin.raw('GET', path, undefined, as),
    watch: () => admin.raw('GET', `${path}?watch=true&timeoutSeconds=1`, undefined, as).catch(ignoreNoEvents),
    create: () => admin.raw('POST', `${path}?dryRun=All`, fresh, as),
    update: () => admin.raw('PUT', `${path}/${name}?dryRun=All`, object, as),
    patch: () => admin.raw('PATCH', `${path}/${name}?dryRun=All`, { metadata: { labels: { a: 'b' } } }, merge),
    delete: () => admin.raw('DELETE', `${path}/${name}?dryRun=All`, undefined, as),
    deletecollection: () => admin.raw('DELETE', `${path}?dryRun=All`, undefined, as),
  };
  const call = calls[verb];
  if (call === undefined) throw new Error(`no request is known that needs the verb ${verb}: add one`);
  await call();
}

/** A watch is a stream of events and not one object; that it was opened is what counts. */
function ignoreNoEvents(error: unknown): void {
  if (!(error instanceof KubeError && error.status === 0 && error.cause instanceof SyntaxError)) throw error;
}

describe('people with the roles that we ship', () => {
  const user = 'somebody';

  it.each(grantsOf(rolesForPeople))('can $what, and not without that verb', async ({ role, rule, verb }) => {
    await applyManifests(plane.adminKubeconfig, [
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: role.metadata.name },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role.metadata.name },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
      },
    ]);
    await ensureBrokerLoad(admin, policy, POD.name);
    for (const plural of rule.resources) {
      // The API server takes note of a binding, and of a changed role, a moment later.
      await until(() => request(verb, plural, user).then(() => true), {
        what: `${user} to be let ${verb} ${plural}`,
      });
    }

    await applyManifests(plane.adminKubeconfig, [without({ role, rule, verb })]);

    for (const plural of rule.resources) {
      const refusal = await until(
        () =>
          request(verb, plural, user).then(
            () => undefined,
            (error: unknown) => error,
          ),
        { what: `${verb} on ${plural} to be refused` },
      );
      expect(refusal).toMatchObject({ status: 403, reason: 'Forbidden' });
    }
  });
});

function describeRule({ apiGroups, resources, resourceNames = [], verbs }: Rule): string {
  return `${apiGroups} ${resources} ${resourceNames}: ${verbs}`;
}

describe('the metrics, served over https', () => {
  const file = join(import.meta.dirname, '../../manifests/secure-metrics/rbac.yaml');
  const component = parseAllDocuments(readFileSync(file, 'utf8')).map((document) => document.toJS() as Manifest);
  const reader = { namespace: BROKER_NAMESPACE, name: 'default' };
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'prometheus' },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'danube-load-manager-metrics-reader',
    },
    subjects: [{ kind: 'ServiceAccount', ...reader }],
  };

  it('are for accounts with the role of a reader, once the operator may ask whose token it is', async () => {
    const { status } = await admin.post<{ status: { token: string } }>(RESOURCES.serviceAccounts, reader, 'token', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 600 },
    });
    const tls = { cert: readFileSync(join(TLS, 'server.crt')), key: readFileSync(join(TLS, 'server.key')) };
    // Each time one that remembers nothing.
    const read = async (token: string | undefined): Promise<string> => {
      // Of the suite's own address, which no connection of anybody else leaves from.
      const port = await freePort(plane.address);
      const server = await startHttpServer({
        host: plane.address,
        port,
        routes: { '/metrics': () => plain(200, 'figures') },
        tls,
        authorize: createMetricsAccess({ client: operator }),
      });
      try {
        return await getOverTls(port, token);
      } finally {
        await server.stop();
      }
    };
    const untilRead = (token: string, wanted: string) =>
      until(
        async () => {
          const answer = await read(token);
          if (answer.startsWith(wanted)) return true;
          throw new Error(`it is ${answer}`);
        },
        { what: `the answer ${wanted}` },
      );

    expect(await read(status.token)).toMatch(/^503 .*cannot create resource "tokenreviews"/);
    await applyManifests(plane.adminKubeconfig, component);
    await untilRead(status.token, '403 system:serviceaccount:messaging:default may not get /metrics');
    await applyManifests(plane.adminKubeconfig, [binding]);
    await untilRead(status.token, '200 figures');
    expect(await read('nonsense')).toMatch(/^401 the API server does not know this token/);
    expect(await read(undefined)).toMatch(/^401 send the token of an account/);
  });
});

/** Status and body. */
function getOverTls(port: number, token: string | undefined): Promise<string> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return new Promise((resolve, reject) => {
    https
      .get({ host: plane.address, port, path: '/metrics', headers, rejectUnauthorized: false }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
        });
        response.on('end', () => resolve(`${response.statusCode} ${body}`));
      })
      .on('error', reject);
  });
}
