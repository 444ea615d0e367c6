/** manifests/agent on brokers as Danube's chart makes them: built by kubectl, judged by the real API server. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { parseSettings } from '../../src/agent/settings.ts';
import { isProblem } from '../../src/api/problem.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { agentPort, type Pod } from '../../src/operator/pods.ts';
import { clientOf } from '../controlplane/api.ts';
import { applyManifests, type Manifest } from '../controlplane/apply.ts';
import { type ControlPlane, startControlPlane } from '../controlplane/start.ts';

const component = join(import.meta.dirname, '../../manifests/agent');
const namespace = 'messaging';
const labels = { 'app.kubernetes.io/name': 'danube-core', 'app.kubernetes.io/component': 'broker' };
/** The names, labels and ports are those of Danube's chart (contract 8). */
const statefulSet = {
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name: 'danube-core-broker', labels },
  spec: {
    serviceName: 'danube-core-broker-headless',
    replicas: 3,
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: {
        containers: [
          {
            name: 'danube-broker',
            image: 'danube-broker:v0.7.3',
            args: ['--config-file', '/etc/danube/danube_broker.yml'],
            ports: [
              { name: 'client', containerPort: 6650 },
              { name: 'admin', containerPort: 50051 },
              { name: 'prometheus', containerPort: 9040 },
            ],
            resources: { limits: { cpu: '1500m', memory: '1Gi' } },
          },
        ],
      },
    },
  },
};

let plane: ControlPlane;
let client: KubeClient;
let built: readonly Manifest[];
let withPolicy: readonly Manifest[];
let pod: { readonly metadata: object; readonly spec: PodSpec };

beforeAll(async () => {
  plane = await startControlPlane({ log: (line) => process.stderr.write(`${line}\n`) });
  client = clientOf(plane.adminKubeconfig);
  built = build(plane, 'overlay', [component]);
  withPolicy = build(plane, 'closed', [component, join(component, 'network-policy')]);
  const template = built.find(({ kind }) => kind === 'StatefulSet') as unknown as typeof statefulSet;
  pod = template.spec.template as unknown as typeof pod;
  await applyManifests(plane.adminKubeconfig, [
    securedNamespace(namespace, 'baseline'),
    securedNamespace('strict', 'restricted'),
    securedNamespace('danube', 'baseline'),
  ]);
});

afterAll(async () => {
  client?.close();
  await plane?.stop();
});

describe('the component', () => {
  it('is accepted by the API server, without one field that it does not know', async () => {
    for (const manifest of [...built, ...withPolicy]) {
      const { apiVersion, kind } = manifest;
      const resource = { StatefulSet: 'statefulsets', NetworkPolicy: 'networkpolicies' }[kind];
      const path = `/apis/${apiVersion}/namespaces/${namespace}/${resource}?dryRun=All&fieldValidation=Strict`;

      expect(await client.raw('POST', path, manifest)).toMatchObject({ kind, metadata: { namespace } });
    }
  });

  it('adds a sidecar that starts before the broker, and changes nothing in its container', () => {
    const [agent] = pod.spec.initContainers;

    expect(agent).toMatchObject({ name: 'load-agent', restartPolicy: 'Always' });
    expect(pod.spec.containers).toEqual(statefulSet.spec.template.spec.containers);
    expect(pod.spec.shareProcessNamespace).toBe(true);
  });

  it.each(['10.0.0.7', 'fd00::7'])(
    'starts the agent at %s with flags that it knows, and the limits of the broker',
    async (ip) => {
      const admitted = await dryRun(namespace, pod.spec);
      const [agent] = admitted.spec?.initContainers ?? [];
      const { limits } = statefulSet.spec.template.spec.containers[0]?.resources ?? {};
      // What a kubelet makes of the downward API.
      const values = { POD_NAME: 'b-0', POD_NAMESPACE: namespace, POD_UID: '5b1f', POD_IP: ip };
      const expanded = { ...values, BROKER_CPU_LIMIT: '1500', BROKER_MEMORY_LIMIT: `${1024 ** 3}` };
      const args = agent?.args?.map((arg) => arg.replaceAll(/\$\((\w+)\)/g, (_, name) => expanded[name as 'POD_IP']));

      expect(limits).toEqual({ cpu: '1500m', memory: '1Gi' });
      expect(agent?.env?.map(({ name }) => name).sort()).toEqual(Object.keys(expanded).sort());
      const settings = parseSettings(args ?? [], values);
      expect(settings).not.toSatisfy(isProblem);
      expect(settings).toMatchObject({
        listen: { ip, port: 9641 },
        broker: { address: { ip, port: 6650 } },
        brokerMetrics: { ip, port: 9040, path: '/metrics' },
      });
      expect(settings).toMatchObject({ podLimits: { cores: 1.5, memoryBytes: 1024 ** 3 } });
    },
  );

  it('opens and closes no port of the brokers: whatever policies they have stays as it is', () => {
    expect(built.map(({ kind }) => kind)).toEqual(['StatefulSet']);
  });

  it('closes the port of the agent alone, to all but the operator, where that is asked for', () => {
    const policy = withPolicy.find(({ kind }) => kind === 'NetworkPolicy') as unknown as Policy;
    const openTo = (port: number, protocol: string): readonly unknown[] =>
      policy.spec.ingress
        .filter(({ ports }) =>
          ports.some((it) => it.protocol === protocol && it.port <= port && port <= (it.endPort ?? it.port)),
        )
        .map(({ from }) => from ?? 'everyone');

    expect(policy.spec.podSelector).toEqual({ matchLabels: { 'app.kubernetes.io/component': 'broker' } });
    expect(openTo(9641, 'TCP')).toEqual([[expect.objectContaining({ podSelector: expect.anything() })]]);
    for (const port of [1, 6650, 9640, 9642, 50051, 65_535]) expect(openTo(port, 'TCP')).toEqual(['everyone']);
  });

  it('gives the agent no rights: it would be let into a namespace with restricted Pod security', async () => {
    const { initContainers, securityContext } = pod.spec;
    const [agent] = initContainers;
    const { restartPolicy: _, ...container } = agent ?? {};
    const alone = { securityContext, containers: [{ ...container, env: [] }] };

    expect(await dryRun('strict', alone)).toMatchObject({ kind: 'Pod' });
    await expect(dryRun('strict', { ...alone, hostPID: true })).rejects.toThrow('violates PodSecurity "restricted');
  });

  it("comes with what Helm makes of Danube's chart, by the commands of docs/agent.md", async () => {
    const folder = join(plane.dir, 'helm');
    const programs = join(folder, 'bin');
    cpSync(component, join(folder, 'manifests/agent'), { recursive: true });
    mkdirSync(programs);
    symlinkSync(plane.assets.kubectl, join(programs, 'kubectl'));
    writeFileSync(join(folder, 'chart.yaml'), stringify(statefulSet));
    writeFileSync(join(programs, 'helm'), '#!/bin/sh\ncat chart.yaml\n', { mode: 0o755 });
    const page = readFileSync(join(import.meta.dirname, '../../docs/agent.md'), 'utf8');
    const commands = /```sh\n(mkdir agent.*?)```/s.exec(page)?.[1] ?? '';

    execFileSync('sh', ['-euc', commands], {
      cwd: folder,
      env: { PATH: `${programs}:${process.env.PATH}`, KUBECONFIG: plane.adminKubeconfig },
      stdio: ['ignore', 'ignore', 'inherit'],
    });

    expect(await client.raw('GET', '/apis/apps/v1/namespaces/danube/statefulsets/danube-core-broker')).toMatchObject({
      spec: { template: { spec: { initContainers: [{ name: 'load-agent' }] } } },
    });
  });

  it('lets the operator find the agent', async () => {
    expect(agentPort((await dryRun(namespace, pod.spec)) as Pod)).toBe(9641);
  });
});

interface Policy {
  readonly spec: {
    readonly podSelector: object;
    readonly ingress: readonly {
      readonly from?: readonly object[];
      readonly ports: readonly { readonly protocol: string; readonly port: number; readonly endPort?: number }[];
    }[];
  };
}

interface PodSpec {
  readonly shareProcessNamespace?: boolean;
  readonly securityContext?: object;
  readonly initContainers: readonly Readonly<Record<string, unknown>>[];
  readonly containers: readonly object[];
}

interface AdmittedPod {
  readonly spec?: {
    readonly initContainers?: readonly {
      readonly args?: readonly string[];
      readonly env?: readonly { readonly name: string }[];
    }[];
  };
}

/** What `kubectl kustomize` makes of the brokers of the chart and the components. */
function build({ dir, assets }: ControlPlane, name: string, components: readonly string[]): readonly Manifest[] {
  const overlay = join(dir, name);
  mkdirSync(overlay);
  writeFileSync(join(overlay, 'brokers.yaml'), stringify(statefulSet));
  writeFileSync(
    join(overlay, 'kustomization.yaml'),
    stringify({ namespace, resources: ['brokers.yaml'], components: components.map((it) => relative(overlay, it)) }),
  );
  const text = execFileSync(assets.kubectl, ['kustomize', overlay], { encoding: 'utf8' });
  return parseAllDocuments(text).map((document) => document.toJS());
}

function securedNamespace(name: string, level: string): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': level } },
  };
}

function dryRun(where: string, spec: object): Promise<AdmittedPod> {
  const object = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'danube-core-broker-0' }, spec };
  return client.raw('POST', `/api/v1/namespaces/${where}/pods?dryRun=All&fieldValidation=Strict`, object);
}
