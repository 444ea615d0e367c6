import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { isConflict, isNotFound, type KubeClient } from '../../src/kube/client.ts';
import { RESOURCES } from '../controlplane/api.ts';
import type { Claim, PersistentVolume, StorageClass } from './types.ts';

export const PROVISIONER = 'folder.e2e.loadmanager';
const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';

export interface ProvisionerOptions {
  readonly client: KubeClient;
  readonly claims: () => readonly Claim[];
  readonly volumes: () => readonly PersistentVolume[];
  readonly storageClasses: () => readonly StorageClass[];
  /** Volumes are folders in here; they survive the Pods that use them. */
  readonly folder: string;
}

/** One pass: makes a volume for each claim of our class that has none, and removes volumes whose claim is gone. */
export async function provision({
  client,
  claims,
  volumes,
  storageClasses,
  folder,
}: ProvisionerOptions): Promise<void> {
  const ours = new Map(
    storageClasses()
      .filter(({ provisioner }) => provisioner === PROVISIONER)
      .map((storageClass) => [storageClass.metadata.name, storageClass]),
  );
  const existing = new Set(volumes().map(({ metadata }) => metadata.name));
  for (const claim of claims()) {
    const storageClass = ours.get(claim.spec.storageClassName ?? '');
    const name = `pvc-${claim.metadata.uid}`;
    const wanted = claim.status?.phase === 'Pending' && !claim.spec.volumeName && !existing.has(name);
    if (storageClass === undefined || !wanted || claim.metadata.deletionTimestamp) continue;
    try {
      await client.create(RESOURCES.volumes, volumeFor(claim, storageClass, name, join(folder, name)));
    } catch (error) {
      // The cache was behind: an earlier pass made it.
      if (!isConflict(error)) throw error;
    }
  }
  for (const volume of volumes()) await removeIfReleased(client, volume);
}

/** The binder of the controller manager joins the two, by `claimRef`. */
function volumeFor(claim: Claim, storageClass: StorageClass, name: string, path: string): PersistentVolume {
  const { namespace, uid } = claim.metadata;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name, annotations: { [PROVISIONED_BY]: PROVISIONER } },
    spec: {
      capacity: { storage: claim.spec.resources?.requests?.storage ?? '1Gi' },
      accessModes: claim.spec.accessModes ?? ['ReadWriteOnce'],
      storageClassName: storageClass.metadata.name,
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? 'Delete',
      hostPath: { path, type: 'DirectoryOrCreate' },
      claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name: claim.metadata.name, uid },
    },
  };
}

async function removeIfReleased(client: KubeClient, { metadata, spec, status }: PersistentVolume): Promise<void> {
  const released = status?.phase === 'Released' && spec.persistentVolumeReclaimPolicy === 'Delete';
  if (!released || metadata.annotations?.[PROVISIONED_BY] !== PROVISIONER || metadata.deletionTimestamp) return;
  rmSync(spec.hostPath?.path ?? '', { recursive: true, force: true });
  try {
    await client.delete(RESOURCES.volumes, metadata);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
