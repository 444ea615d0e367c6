import type { Container, Pod } from './types.ts';

/** A folder that stands for a mount point inside a container. */
export interface Mount {
  /** As the container's spec names it: /data */
  readonly mountPath: string;
  readonly folder: string;
}

/** Replaces $(NAME) by the variable's value; $$(NAME) stays as $(NAME), and an unknown name as it is. As Kubernetes does. */
export function expandVariables(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replace(/\$\$|\$\(([^)\s]*)\)/g, (match, name: string | undefined) => {
    if (name === undefined) return '$';
    return variables.get(name) ?? match;
  });
}

/**
 * Replaces mount points by the folders that stand for them, wherever one stands as a path or the beginning of one: `--dir=/data/topics`,
 * but not `/database`, `/old/data` or `http://host/data`. There are no mount namespaces here, so a program finds its volumes by what it
 * is told; one that has a mount point built in does not work.
 */
export function rewritePaths(text: string, mounts: readonly Mount[]): string {
  if (mounts.length === 0) return text;
  // The longest first, so that a mount inside another one wins.
  const byLength = mounts.toSorted((a, b) => b.mountPath.length - a.mountPath.length);
  const points = byLength.map(({ mountPath }) => escapeRegExp(trimSlash(mountPath))).join('|');
  return text.replace(new RegExp(`(?<![\\w./-])(?:${points})(?![\\w.-])`, 'g'), (match) => {
    return byLength.find(({ mountPath }) => trimSlash(mountPath) === match)?.folder ?? match;
  });
}

/**
 * A field of a Pod, as the downward API names it; undefined for one that the API server would not have let through.
 *
 * @param addresses the Pod's status may not say them yet.
 */
export function fieldOf(
  pod: Pod,
  path: string,
  addresses: { readonly podIP: string; readonly hostIP: string },
): string | undefined {
  const subscript = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (subscript) {
    const [, map, key = ''] = subscript;
    return (map === 'labels' ? pod.metadata.labels : pod.metadata.annotations)?.[key] ?? '';
  }
  switch (path) {
    case 'metadata.name':
      return pod.metadata.name;
    case 'metadata.namespace':
      return pod.metadata.namespace;
    case 'metadata.uid':
      return pod.metadata.uid;
    case 'metadata.labels':
      return lines(pod.metadata.labels);
    case 'metadata.annotations':
      return lines(pod.metadata.annotations);
    case 'spec.nodeName':
      return pod.spec.nodeName;
    case 'spec.serviceAccountName':
      return pod.spec.serviceAccountName;
    case 'status.podIP':
    case 'status.podIPs':
      return addresses.podIP;
    case 'status.hostIP':
    case 'status.hostIPs':
      return addresses.hostIP;
    default:
      return undefined;
  }
}

/** The command line of a container, variables and mount points replaced. An image has no command of its own here: the spec gives it. */
export function commandLine(
  { command = [], args = [] }: Container,
  variables: ReadonlyMap<string, string>,
  mounts: readonly Mount[],
): string[] {
  return [...command, ...args].map((word) => rewritePaths(expandVariables(word, variables), mounts));
}

/** Of "50m", "2", "0.5": cores. Of "64Mi", "1G": bytes. Of what is no quantity: undefined. */
export function parseQuantity(text: string | undefined): number | undefined {
  const match = /^([0-9.]+(?:e[+-]?\d+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$/.exec(text ?? '');
  if (!match) return undefined;
  const [, number, unit = ''] = match;
  const factor = UNITS.get(unit);
  return factor === undefined ? undefined : Number(number) * factor;
}

const UNITS = new Map([
  ['', 1],
  ['m', 1e-3],
  ...['k', 'M', 'G', 'T', 'P'].map((unit, i): [string, number] => [unit, 1000 ** (i + 1)]),
  ...['Ki', 'Mi', 'Gi', 'Ti', 'Pi'].map((unit, i): [string, number] => [unit, 1024 ** (i + 1)]),
]);

function lines(map: Readonly<Record<string, string>> = {}): string {
  return Object.entries(map)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}

function trimSlash(path: string): string {
  return path.replace(/\/+$/, '');
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
