import { describe, expect, it } from 'vitest';
import { KubeError, type KubeObject, type Resource } from '../kube/client.ts';
import { createMetricsAccess } from './metrics-access.ts';

/** Knows the token `good` of an account that may read, and `other` of one that may not. */
function start() {
  const asked: string[] = [];
  let now = 0;
  let isAway = false;
  const access = createMetricsAccess({
    monotonic: () => now,
    client: {
      async create<T extends KubeObject>({ plural }: Resource, object: T): Promise<T> {
        asked.push(plural);
        if (isAway) throw new KubeError('no answer', { status: 0, reason: 'Unreachable' });
        const { spec } = object as unknown as { spec: { token?: string; user?: string } };
        const status =
          plural === 'tokenreviews'
            ? { authenticated: ['good', 'other'].includes(spec.token ?? ''), user: { username: spec.token } }
            : { allowed: spec.user === 'good' };
        return { ...object, status };
      },
    },
  });
  return {
    access,
    asked,
    wait: (ms: number) => {
      now += ms;
    },
    goAway: () => {
      isAway = true;
    },
  };
}

describe('the metrics', () => {
  it('are for an account that may get /metrics', async () => {
    const { access } = start();

    expect(await access('Bearer good')).toBeUndefined();
  });

  it.each<[string, string | undefined, number, string]>([
    ['without a token', undefined, 401, 'Authorization: Bearer'],
    ['with a password', 'Basic Z29vZDpnb29k', 401, 'Authorization: Bearer'],
    ['with a token that nobody knows', 'Bearer bad', 401, 'does not know this token'],
    ['of an account without the right', 'Bearer other', 403, 'other may not get /metrics: bind it to ClusterRole'],
  ])('are refused %s, with what to do', async (_, authorization, status, message) => {
    const { access } = start();

    const refusal = await access(authorization);

    expect(refusal).toMatchObject({ status });
    expect(refusal?.body).toContain(message);
  });

  it('are asked for once a minute for each token', async () => {
    const { access, asked, wait } = start();
    await access('Bearer good');
    await access('Bearer good');
    expect(asked).toEqual(['tokenreviews', 'subjectaccessreviews']);

    wait(61_000);
    await access('Bearer good');

    expect(asked).toHaveLength(4);
  });

  it('are refused while the API server is away, but for those that are known', async () => {
    const { access, goAway } = start();
    await access('Bearer good');
    goAway();

    expect(await access('Bearer good')).toBeUndefined();
    expect(await access('Bearer other')).toMatchObject({ status: 503 });
  });

  it('remember a hundred tokens at most', async () => {
    const { access, asked } = start();
    await access('Bearer good');
    for (let index = 0; index < 100; index++) await access(`Bearer guess-${index}`);
    const before = asked.length;

    await access('Bearer good');

    expect(asked.length).toBe(before + 2);
  });
});
