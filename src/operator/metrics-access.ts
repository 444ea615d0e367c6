/**
 * Who may read the metrics: whom Kubernetes lets get `/metrics`, by a bearer token. The API server says whose token it is and
 * what that account may do.
 */
import { createHash } from 'node:crypto';
import { type KubeClient, KubeError, type KubeObject, type Resource } from '../kube/client.ts';
import { plain, type Route } from '../server/http.ts';

const TOKEN_REVIEWS: Resource = {
  group: 'authentication.k8s.io',
  version: 'v1',
  plural: 'tokenreviews',
  namespaced: false,
};
const ACCESS_REVIEWS: Resource = {
  group: 'authorization.k8s.io',
  version: 'v1',
  plural: 'subjectaccessreviews',
  namespaced: false,
};

interface TokenReview extends KubeObject {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly user?: { readonly username?: string; readonly uid?: string; readonly groups?: readonly string[] };
  };
}

interface AccessReview extends KubeObject {
  readonly status?: { readonly allowed?: boolean };
}

/** An answer counts for this long: Prometheus comes every few seconds. */
const KEPT_MS = 60_000;
const KEPT_AT_MOST = 100;

export interface MetricsAccessOptions {
  readonly client: Pick<KubeClient, 'create'>;
  /** Monotonic milliseconds. */
  readonly monotonic?: () => number;
}

/** For the header `Authorization`: undefined if the metrics may be read, else what is answered instead. */
export function createMetricsAccess({
  client,
  monotonic = () => performance.now(),
}: MetricsAccessOptions): (authorization: string | undefined) => Promise<Route | undefined> {
  const known = new Map<string, { readonly until: number; readonly refusal: Route | undefined }>();

  async function review(token: string): Promise<Route | undefined> {
    const asked = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', metadata: {}, spec: { token } };
    const { status } = await client.create<TokenReview>(TOKEN_REVIEWS, asked as unknown as TokenReview);
    const user = status?.user;
    if (status?.authenticated !== true || user?.username === undefined) {
      return plain(401, 'the API server does not know this token');
    }
    const spec = {
      user: user.username,
      uid: user.uid,
      groups: user.groups,
      nonResourceAttributes: { path: '/metrics', verb: 'get' },
    };
    const right = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', metadata: {}, spec };
    const { status: answer } = await client.create<AccessReview>(ACCESS_REVIEWS, right as unknown as AccessReview);
    if (answer?.allowed === true) return undefined;
    return plain(
      403,
      `${user.username} may not get /metrics: bind it to ClusterRole danube-load-manager-metrics-reader`,
    );
  }

  return async (authorization) => {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) return plain(401, 'send the token of an account: Authorization: Bearer …');
    const key = createHash('sha256').update(token).digest('hex');
    const before = known.get(key);
    if (before !== undefined && before.until > monotonic()) return before.refusal;
    try {
      const refusal = await review(token);
      known.delete(key);
      // The oldest goes: whoever sends token after token fills nothing.
      for (const oldest of known.keys()) if (known.size >= KEPT_AT_MOST) known.delete(oldest);
      known.set(key, { until: monotonic() + KEPT_MS, refusal });
      return refusal;
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      return plain(503, `the API server could not be asked: ${error.message}`);
    }
  };
}
