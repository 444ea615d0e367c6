/*
 * What the names of cgroups say, as the kubelet and container runtimes give them:
 *   cgroupfs driver  /kubepods/burstable/pod<uid>/<container id>
 *   systemd driver   /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid with _>.slice/cri-containerd-<id>.scope
 *                    (crio-<id>.scope, docker-<id>.scope; in kind below kubelet.slice)
 */

const uuid = '[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}';
// Pods that a node starts from files have the hash of their manifest for a uid.
const podName = new RegExp(`(?:^|-)pod(${uuid}|[0-9a-f]{32})(?:\\.slice)?$`);
const containerName = /(?:^|[-:])[0-9a-f]{64}(?:\.scope)?$/;

/** The uid of the Pod whose directory this is, with `-` between its parts; null for any other name. */
export function podUidOfName(name: string): string | null {
  return podName.exec(name)?.[1]?.replaceAll('_', '-') ?? null;
}

/** The uid of the Pod that a path leads through; null when it names none. */
export function podUidOf(path: string): string | null {
  return path.split('/').reduce<string | null>((found, name) => podUidOfName(name) ?? found, null);
}

/** Whether a path ends in a container: by its id, or because it lies in a Pod. */
export function isContainer(path: string): boolean {
  const names = path.split('/');
  return containerName.test(names.at(-1) ?? '') || podUidOfName(names.at(-2) ?? '') !== null;
}

/** The paths above one, up to that of its Pod, nearest first; none when it leads through no Pod. */
export function podLevels(path: string): readonly string[] {
  const names = path.split('/');
  const pod = names.findLastIndex((name) => podUidOfName(name) !== null);
  if (pod === -1) return [];
  return Array.from({ length: names.length - 1 - pod }, (_, index) =>
    names.slice(0, names.length - 1 - index).join('/'),
  );
}
