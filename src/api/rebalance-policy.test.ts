import { describe, expect, it } from 'vitest';
import { effectiveRebalance, rebalanceStatus } from './rebalance.ts';
import {
  effectiveSpec,
  endpointProblem,
  examplePolicy,
  policyDefaults,
  type RebalancePolicySpec,
  readPolicySpec,
  rebalancePolicyResource,
} from './rebalance-policy.ts';

const minimal: RebalancePolicySpec = structuredClone(examplePolicy.spec);

describe('effectiveSpec', () => {
  it('fills in every default of a policy that only says what is required', () => {
    expect(effectiveSpec(minimal)).toEqual({
      ...minimal,
      ranking: { algorithm: 'DanubeBalanced' },
      failover: { samePodWaitSeconds: 60, resumeOffsets: true, offsetMargin: 1_000_000 },
      rebalance: effectiveRebalance(),
    });
  });

  it('keeps what the user wrote, also where it looks like nothing', () => {
    const failover = { samePodWaitSeconds: 0, resumeOffsets: false, offsetMargin: 0 };

    const effective = effectiveSpec({ ...minimal, ranking: { algorithm: 'DanubeFair' }, failover });

    expect(effective.failover).toEqual(failover);
    expect(effective.ranking.algorithm).toBe('DanubeFair');
  });

  it('fills in one field of a block without touching its neighbours', () => {
    const effective = effectiveSpec({ ...minimal, failover: { samePodWaitSeconds: 5 } });

    expect(effective.failover).toEqual({ ...policyDefaults.failover, samePodWaitSeconds: 5 });
  });

  it('can be published in the status as it is', () => {
    const { ranking, failover, rebalance } = effectiveSpec(minimal);
    const etcd = { storageRootPrefixes: ['/danube-data'] };
    const status = { effective: { ranking, failover, rebalance: rebalanceStatus(rebalance), etcd } };

    expect(rebalancePolicyResource.schema.shape.status.parse(status)).toEqual(status);
  });
});

describe('readPolicySpec', () => {
  it('returns the spec of the documented example', () => {
    expect(readPolicySpec(examplePolicy.spec)).toEqual({ spec: examplePolicy.spec });
  });

  it('drops fields of a later version', () => {
    expect(readPolicySpec({ ...minimal, suspend: true })).toEqual({ spec: minimal });
  });

  it('names a label key that no Pod can have', () => {
    const read = readPolicySpec({ ...minimal, brokerSelector: { matchLabels: { 'not a key': 'x' } } });

    expect(read).toEqual({
      problems: [expect.stringMatching(/^spec\.brokerSelector\.matchLabels\.not a key: .*write label keys/)],
    });
  });

  it('names every mistake with its field', () => {
    const read = readPolicySpec({
      brokerSelector: { matchLabels: {} },
      etcd: { endpoints: ['etcd:2379'] },
      mode: 'Auto',
    });

    expect(read).toEqual({
      problems: [
        'spec.brokerSelector.matchLabels: write at least one label',
        expect.stringMatching(/^spec\.etcd\.endpoints\[0\]: write http:/),
        expect.stringMatching(/^spec\.mode: .*"Observe"\|"Approve"/),
      ],
    });
  });

  it('wants each endpoint once', () => {
    const read = readPolicySpec({ ...minimal, etcd: { endpoints: ['http://e:2379', 'http://e:2379'] } });

    expect(read).toEqual({ problems: ['spec.etcd.endpoints: write each endpoint once'] });
  });

  it('needs a spec', () => {
    expect(readPolicySpec(undefined)).toEqual({ problems: [expect.stringMatching(/^spec: /)] });
  });
});

describe('endpointProblem', () => {
  it.each([
    'http://etcd.messaging.svc:2379',
    'http://etcd.messaging.svc.cluster.local:2379',
    'http://etcd-0.etcd.messaging.svc:2379',
    'http://etcd-0.etcd.messaging.svc.cluster.local:2379',
  ])('allows %s, a Service of the namespace', (endpoint) => {
    expect(endpointProblem(endpoint, 'messaging')).toBeNull();
  });

  it.each([
    ['http://etcd.kube-system.svc:2379', 'another namespace'],
    ['http://messaging.kube-system.svc:2379', 'a Service that is called like the namespace'],
    ['http://messaging.svc.kube-system.svc:2379', 'a Pod and Service that look like the namespace'],
    ['http://etcd.messaging.svc.evil.example:2379', 'a name outside the cluster'],
    ['http://etcd.messaging.svcx:2379', 'a top-level domain that begins like svc'],
    ['http://etcd.messaging:2379', 'a name that is not complete'],
    ['http://etcd:2379', 'a name that would be looked up from the namespace of the operator'],
    ['http://a.b.c.messaging.svc:2379', 'more labels than a Pod has'],
    ['http://127.0.0.1:2379', 'an address'],
    ['http://169.254.169.254:80', 'the metadata service of a cloud'],
    ['http://[::1]:2379', 'an IPv6 address'],
    ['http://ETCD.MESSAGING.SVC:2379', 'capitals, which no Service has'],
  ])('refuses %s, %s, and says what to write', (endpoint) => {
    const problem = endpointProblem(endpoint, 'messaging');

    expect(problem).toContain(endpoint);
    expect(problem).toContain('write http://<service>.messaging.svc:<port>');
    expect(problem).toContain('--allow-any-etcd-endpoint');
  });

  it.each([
    'ftp://etcd.messaging.svc:2379',
    'http://etcd.messaging.svc',
    'http://etcd.messaging.svc:2379/',
    'http://user:secret@etcd.messaging.svc:2379',
    'http://evil.example:80#.messaging.svc:2379',
    'http://etcd.messaging.svc:65536',
    'http://etcd.messaging.svc:0',
    'etcd.messaging.svc:2379',
    '',
  ])('refuses %j, which is not http://<host>:<port>', (endpoint) => {
    expect(endpointProblem(endpoint, 'messaging')).toContain('write http://<host>:<port>');
  });
});
