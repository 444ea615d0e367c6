/** Puts what gRPC and etcd say into one kind each, with a message that names the endpoint and what to check. */
import { EtcdError, type EtcdErrorKind } from './port.ts';

interface Rule {
  readonly pattern: RegExp;
  readonly kind: EtcdErrorKind;
  readonly advice: string;
}

/** First match wins; matched against the text, since one gRPC status stands for many causes (UNAVAILABLE above all). */
const RULES: readonly Rule[] = [
  {
    pattern: /invalid user ID or password|user name is empty|user name not found/i,
    kind: 'BadPassword',
    advice: 'check username and password',
  },
  { pattern: /permission denied/i, kind: 'PermissionDenied', advice: 'grant the user a role that covers these keys' },
  { pattern: /required revision has been compacted/i, kind: 'Compacted', advice: 'read at a newer revision' },
  {
    pattern: /too many operations|request is too large|message larger than max/i,
    kind: 'TooLarge',
    advice: 'send less at once, or raise --max-txn-ops and --max-request-bytes of etcd',
  },
  {
    pattern: /no leader|not leader|leader changed|request timed out|leader failure|lost leader/i,
    kind: 'NoQuorum',
    advice: 'check that a majority of the etcd members runs and that they reach each other',
  },
  {
    pattern:
      /certificate|self.signed|unable to (get|verify)|altname|_SSL_|\bSSL\b|\bTLS\b|wrong version number|EPROTO/i,
    kind: 'BadCertificate',
    advice: 'check that the port speaks TLS, that ca.crt signed its certificate for this name, and tls.crt and tls.key',
  },
  {
    pattern: /database space exceeded/i,
    kind: 'Unknown',
    advice: 'etcd is full: compact, defragment and disarm the NOSPACE alarm',
  },
  {
    pattern: /deadline exceeded|no answer within/i,
    kind: 'Timeout',
    advice: 'check that etcd runs and is not overloaded',
  },
];

/** gRPC's UNAVAILABLE and CANCELLED: the connection is gone, whatever the text says. */
const CONNECTION_CODES = new Set([1, 14]);

/** `what` is the call in the user's words: 'read of "/cluster/*"'. */
export function toEtcdError(what: string, endpoint: string, error: unknown): EtcdError {
  if (error instanceof EtcdError) return error;
  const reason = reasonOf(error);
  const rule = RULES.find(({ pattern }) => pattern.test(reason));
  if (rule !== undefined) {
    return new EtcdError(`${what} at ${endpoint} failed: ${reason}; ${rule.advice}`, { cause: error, kind: rule.kind });
  }
  if (CONNECTION_CODES.has(codeOf(error) ?? 0)) {
    return new EtcdError(
      `${what} at ${endpoint} failed: ${reason}; check that etcd runs there, the network between, and http or https`,
      { cause: error, kind: 'Unreachable' },
    );
  }
  return new EtcdError(`${what} at ${endpoint} failed: ${reason}`, { cause: error });
}

/** etcd no longer knows our token (it restarted, or users changed) and did nothing: authenticate and ask again. */
export function isStaleToken(error: unknown): boolean {
  return /invalid auth token|revision of auth store is old/.test(reasonOf(error));
}

export function isAuthDisabled(error: unknown): boolean {
  return /authentication is not enabled/.test(reasonOf(error));
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ('details' in error && typeof error.details === 'string' && error.details !== '') return error.details;
  return error.message;
}

function codeOf(error: unknown): number | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}
