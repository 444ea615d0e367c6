import { describe, expect, it } from 'vitest';
import { toEtcdError } from './errors.ts';

function grpcError(code: number, details: string): Error {
  return Object.assign(new Error(`${code}: ${details}`), { code, details });
}

describe('an error of etcd or gRPC', () => {
  it.each([
    ['Unreachable', 14, 'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:2379'],
    ['Unreachable', 14, 'Connection dropped'],
    [
      'BadCertificate',
      14,
      'No connection established. Last error: Error: self-signed certificate in certificate chain',
    ],
    ['BadCertificate', 14, 'No connection established. Last error: Error: write EPROTO … wrong version number'],
    ['BadPassword', 3, 'etcdserver: authentication failed, invalid user ID or password'],
    ['BadPassword', 3, 'etcdserver: user name is empty'],
    ['PermissionDenied', 7, 'etcdserver: permission denied'],
    ['Compacted', 11, 'etcdserver: mvcc: required revision has been compacted'],
    ['TooLarge', 3, 'etcdserver: too many operations in txn request'],
    ['TooLarge', 3, 'etcdserver: request is too large'],
    ['TooLarge', 8, 'Received message larger than max (7200033 vs 4194304)'],
    ['NoQuorum', 14, 'etcdserver: no leader'],
    ['NoQuorum', 14, 'etcdserver: request timed out, possibly due to previous leader failure'],
    ['NoQuorum', 14, 'etcdserver: leader changed'],
    ['Timeout', 4, 'Deadline exceeded after 5s'],
    ['Unknown', 8, 'etcdserver: mvcc: database space exceeded'],
    ['Unknown', 13, 'something new'],
  ])('is %s for %i "%s"', (kind, code, details) => {
    const error = toEtcdError('read of "/x*"', 'http://etcd:2379', grpcError(code, details));

    expect(error.kind).toBe(kind);
    expect(error.message).toContain(`read of "/x*" at http://etcd:2379 failed: ${details}`);
  });

  it('that is told already is told no second time', () => {
    const error = toEtcdError('read', 'http://etcd:2379', grpcError(14, 'Connection dropped'));

    expect(toEtcdError('something else', 'elsewhere', error)).toBe(error);
  });
});
