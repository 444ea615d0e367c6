import type { Manifest } from '../controlplane/apply.ts';
import { KUBELET_USER } from '../controlplane/start.ts';
import { PROVISIONER } from './provisioner.ts';

const NAME = 'e2e-kubelet';

/**
 * What the kubelet may do, and nothing else: it is kubelet, scheduler and provisioner in one, so more than a real kubelet in the count of
 * things, but far from an administrator. And the class of the volumes that it provisions, the default one.
 */
export const KUBELET_ACCESS: readonly Manifest[] = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: NAME },
    rules: [
      rule('', ['nodes'], ['get', 'list', 'watch', 'create', 'patch']),
      rule('', ['nodes/status', 'pods/status'], ['patch']),
      rule('', ['pods'], ['get', 'list', 'watch', 'delete']),
      rule('', ['pods/binding', 'serviceaccounts/token'], ['create']),
      rule('', ['configmaps', 'secrets'], ['get']),
      rule('', ['persistentvolumeclaims'], ['list', 'watch']),
      rule('', ['persistentvolumes'], ['list', 'watch', 'create', 'delete']),
      rule('storage.k8s.io', ['storageclasses'], ['list', 'watch']),
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: NAME },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: NAME },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: KUBELET_USER }],
  },
  {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'folder', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
    provisioner: PROVISIONER,
    reclaimPolicy: 'Delete',
    volumeBindingMode: 'Immediate',
  },
];

function rule(group: string, resources: readonly string[], verbs: readonly string[]) {
  return { apiGroups: [group], resources, verbs };
}
