import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isOwnerAlive, ownerTag } from '../process/owner.ts';

/** Names a container among all Pods: by these a test finds its process, to kill it or look into it. */
export interface ContainerName {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

/** Writes down a container's process, for `pidOf`; gives a function that takes the record back. */
export function recordPid(folder: string, name: ContainerName, pid: number): () => void {
  const file = fileOf(folder, name);
  const tag = tagOf(pid);
  if (tag === undefined) return () => undefined;
  writeFileSync(file, tag);
  return () => {
    // A Pod of the same name may have written its own since.
    if (readTag(file) === tag) rmSync(file);
  };
}

/** The pid of a container's process; undefined when it has none, also in the moment before the kubelet knows that. */
export function pidOf(folder: string, name: ContainerName): number | undefined {
  const tag = readTag(fileOf(folder, name));
  return tag !== undefined && isOwnerAlive(tag) ? Number.parseInt(tag, 10) : undefined;
}

function fileOf(folder: string, { namespace, pod, container }: ContainerName): string {
  return join(folder, `${namespace}_${pod}_${container}`);
}

function readTag(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Undefined for a process that ended before anybody could look. */
function tagOf(pid: number): string | undefined {
  try {
    return ownerTag(pid);
  } catch {
    // `ownerTag` refuses for this reason only.
    return undefined;
  }
}
