/** Writes as the brokers do them: single keys, no comparison, no transaction over several keys (contract 2.1). */
import type { EtcdPort, Operation } from '../../etcd/port.ts';

/** @throws EtcdError when etcd refused or did not answer. */
export async function put(etcd: EtcdPort, key: string, value: string, lease?: string): Promise<void> {
  await write(etcd, lease === undefined ? { put: key, value } : { put: key, value, lease });
}

/** Deleting a key that is not there is no error. @throws EtcdError */
export async function remove(etcd: EtcdPort, key: string): Promise<void> {
  await write(etcd, { delete: key });
}

async function write(etcd: EtcdPort, operation: Operation): Promise<void> {
  const result = await etcd.commit([], [operation]);
  if (result.outcome === 'unknown') throw result.error;
}
