import { readFileSync, writeFileSync } from 'node:fs';

export interface KubeconfigOptions {
  /** https://127.42.0.1:41234 */
  readonly server: string;
  readonly caFile: string;
  readonly namespace?: string;
  /**
   * A token, or a file whose content may change while it is used. The second is written in the form that @kubernetes/client-node reads
   * anew every minute, as it does in a cluster; kubectl does not know it.
   */
  readonly user: { readonly token: string } | { readonly tokenFile: string };
}

/** Writes a kubeconfig (JSON, which is YAML), complete in itself but for a token file, readable by its owner alone. */
export function writeKubeconfig(
  file: string,
  { server, caFile, namespace = 'default', user }: KubeconfigOptions,
): void {
  const name = 'danube-load-manager';
  const credentials =
    'token' in user ? user : { 'auth-provider': { name: 'tokenFile', config: { tokenFile: user.tokenFile } } };
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server, 'certificate-authority-data': readFileSync(caFile).toString('base64') } }],
    users: [{ name, user: credentials }],
    contexts: [{ name, context: { cluster: name, user: name, namespace } }],
  };
  writeFileSync(file, `${JSON.stringify(kubeconfig, null, 2)}\n`, { mode: 0o600 });
}
