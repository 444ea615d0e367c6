import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { KubeClient } from '../../src/kube/client.ts';
import { writeKubeconfig } from '../controlplane/kubeconfig.ts';
import { spawnTied } from '../process/tied.ts';
import type { Cgroups } from './cgroups.ts';
import { CannotStart, type Launched } from './container.ts';
import { commandLine, expandVariables, fieldOf, type Mount, parseQuantity, rewritePaths } from './expand.ts';
import { recordPid } from './pids.ts';
import type { Container, EnvVar, Pod } from './types.ts';
import { ACCOUNT_MOUNT, mountsOf, readData } from './volumes.ts';

/** What does not change from one container to the next. */
export interface LaunchSettings {
  readonly client: KubeClient;
  readonly cgroups: Cgroups;
  /** Working folder by image reference: an image is a folder of the host. */
  readonly images: ReadonlyMap<string, string>;
  /** PATH of all containers. */
  readonly path: string;
  readonly logsFolder: string;
  readonly pidsFolder: string;
  readonly server: string;
  readonly caFile: string;
}

export interface LaunchOptions extends LaunchSettings {
  readonly pod: Pod;
  readonly container: Container;
  readonly containerId: string;
  readonly podFolder: string;
  readonly volumes: ReadonlyMap<string, string>;
  readonly addresses: { readonly podIP: string; readonly hostIP: string };
}

/**
 * Starts one process for a container, in cgroups of its own, its output appended to `<logs>/<namespace>_<pod>_<container>.log`. Of the
 * environment of the kubelet it gets nothing: PATH, HOME and TMPDIR (folders of the Pod), HOSTNAME, KUBECONFIG (for the service account,
 * when its token is mounted), then what the spec says.
 *
 * @throws CannotStart with the reason that a kubelet gives.
 */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const { pod, container, containerId, volumes, addresses, cgroups } = options;
  const image = options.images.get(container.image);
  if (image === undefined) {
    const known = [...options.images.keys()].join(', ') || 'none';
    throw new CannotStart(
      'ErrImagePull',
      `no folder is given for the image "${container.image}" (--image REF=DIR); known: ${known}`,
    );
  }
  if (container.envFrom !== undefined) {
    throw new CannotStart('CreateContainerConfigError', 'this kubelet does not know envFrom; use env with valueFrom');
  }
  const mounts = mountsOf(container, volumes);
  const variables = await environment(options, mounts);
  const env = { ...surroundings(options, mounts), ...Object.fromEntries(variables) };
  const [command, ...args] = commandLine(container, variables, mounts);
  if (command === undefined) throw new CannotStart('RunContainerError', 'the spec has neither command nor args');

  const { cpu, memory } = container.resources?.limits ?? {};
  const cgroup = cgroups.create(`pod${pod.metadata.uid}/${containerId.replace(/^.*\//, '')}`, {
    cpuCores: parseQuantity(cpu),
    memoryBytes: parseQuantity(memory),
  });
  const logFile = join(options.logsFolder, `${pod.metadata.namespace}_${pod.metadata.name}_${container.name}.log`);
  const cwd = container.workingDir === undefined ? image : rewritePaths(container.workingDir, mounts);
  const start = (program: string, words: readonly string[]) =>
    spawnTied(program, words, { cwd, env, logFile, cgroupProcs: cgroup.procs });
  try {
    const process = start(command, args);
    const { namespace = '', name: podName } = pod.metadata;
    const forgetPid = recordPid(
      options.pidsFolder,
      { namespace, pod: podName, container: container.name },
      process.pid,
    );
    return {
      process,
      probeTarget: {
        podIP: addresses.podIP,
        ports: container.ports,
        exec: async ([program = 'false', ...words], timeoutMs) => {
          const probe = start(
            rewritePaths(program, mounts),
            words.map((word) => rewritePaths(word, mounts)),
          );
          const timer = setTimeout(() => probe.kill('SIGKILL'), timeoutMs);
          const { code } = await probe.exited;
          clearTimeout(timer);
          return code;
        },
      },
      oomKills: () => cgroup.oomKills(),
      cleanUp: () => {
        forgetPid();
        return cgroup.remove();
      },
    };
  } catch (error) {
    await cgroup.remove();
    throw new CannotStart('RunContainerError', error instanceof Error ? error.message : String(error));
  }
}

/** What a container has before its spec says anything. */
function surroundings(
  { pod, path, podFolder, server, caFile }: LaunchOptions,
  mounts: readonly Mount[],
): Record<string, string> {
  const tmp = join(podFolder, 'tmp');
  mkdirSync(tmp, { recursive: true });
  const env = { PATH: path, HOME: podFolder, TMPDIR: tmp, HOSTNAME: pod.metadata.name };
  const account = mounts.find(({ mountPath }) => mountPath === ACCOUNT_MOUNT);
  if (account === undefined) return env;
  const kubeconfig = join(podFolder, 'kubeconfig');
  const { namespace = 'default' } = pod.metadata;
  writeKubeconfig(kubeconfig, { server, caFile, namespace, user: { tokenFile: join(account.folder, 'token') } });
  return { ...env, KUBECONFIG: kubeconfig };
}

/** The variables that the spec names, in its order: each may use those before it. */
async function environment(options: LaunchOptions, mounts: readonly Mount[]): Promise<Map<string, string>> {
  const variables = new Map<string, string>();
  for (const variable of options.container.env ?? []) {
    const value = await variableValue(variable, options, variables);
    if (value !== undefined) variables.set(variable.name, rewritePaths(value, mounts));
  }
  return variables;
}

async function variableValue(
  { name, value = '', valueFrom }: EnvVar,
  options: LaunchOptions,
  variables: ReadonlyMap<string, string>,
): Promise<string | undefined> {
  if (valueFrom === undefined) return expandVariables(value, variables);
  const { fieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
  if (fieldRef) {
    const field = fieldOf(options.pod, fieldRef.fieldPath, options.addresses);
    if (field !== undefined) return field;
  }
  for (const [kind, ref] of [
    ['configMaps', configMapKeyRef],
    ['secrets', secretKeyRef],
  ] as const) {
    if (ref === undefined) continue;
    const data = await readData(options, kind, ref).catch((error: Error) => {
      throw new CannotStart('CreateContainerConfigError', error.message);
    });
    const content = data.get(ref.key);
    if (content !== undefined) return content.toString('utf8');
    if (ref.optional) return undefined;
    throw new CannotStart('CreateContainerConfigError', `couldn't find key ${ref.key} in ${kind} ${ref.name}`);
  }
  throw new CannotStart('CreateContainerConfigError', `this kubelet cannot give the value of the variable ${name}`);
}
