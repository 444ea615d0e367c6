import { KubeConfig } from '@kubernetes/client-node';
import { createKubeClient, type KubeClient, type Resource } from '../../src/kube/client.ts';

/** A client for what a kubeconfig file names. */
export function clientOf(kubeconfig: string): KubeClient {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(kubeconfig);
  return createKubeClient({ kubeConfig });
}

/** The built-in resources that the test control plane and the kubelet use. */
export const RESOURCES = {
  nodes: { group: '', version: 'v1', plural: 'nodes', namespaced: false },
  pods: { group: '', version: 'v1', plural: 'pods', namespaced: true },
  configMaps: { group: '', version: 'v1', plural: 'configmaps', namespaced: true },
  secrets: { group: '', version: 'v1', plural: 'secrets', namespaced: true },
  serviceAccounts: { group: '', version: 'v1', plural: 'serviceaccounts', namespaced: true },
  claims: { group: '', version: 'v1', plural: 'persistentvolumeclaims', namespaced: true },
  volumes: { group: '', version: 'v1', plural: 'persistentvolumes', namespaced: false },
  storageClasses: { group: 'storage.k8s.io', version: 'v1', plural: 'storageclasses', namespaced: false },
  statefulSets: { group: 'apps', version: 'v1', plural: 'statefulsets', namespaced: true },
} as const satisfies Record<string, Resource>;
