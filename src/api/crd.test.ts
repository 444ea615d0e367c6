import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { toCrd, toStructural } from './crd.ts';
import { rebalancePolicyResource } from './rebalance-policy.ts';

describe('toStructural', () => {
  it('gives integers a format, the smallest that holds their maximum', () => {
    const schema = toStructural(z.object({ small: z.int().min(0).max(3600), large: z.int().min(0) }));

    expect(schema.properties?.small).toEqual({ type: 'integer', format: 'int32', minimum: 0, maximum: 3600 });
    expect(schema.properties?.large).toEqual({ type: 'integer', format: 'int64', minimum: 0, maximum: 2 ** 53 - 1 });
  });

  it('says date-time without the pattern', () => {
    expect(toStructural(z.iso.datetime())).toEqual({ type: 'string', format: 'date-time' });
  });

  it('writes slashes in patterns as RE2 has them', () => {
    expect(toStructural(z.string().regex(/^\/a/)).pattern).toBe('^/a');
  });

  it('keeps CEL rules and list types as they are', () => {
    const extensions = {
      'x-kubernetes-list-type': 'set',
      'x-kubernetes-validations': [{ rule: 'true', message: 'm' }],
    };

    expect(toStructural(z.array(z.string()).meta(extensions))).toMatchObject(extensions);
  });

  it('rewrites at any depth', () => {
    const schema = toStructural(z.object({ a: z.array(z.object({ b: z.record(z.string(), z.int()) })) }));

    expect(schema.properties?.a?.items?.properties?.b?.additionalProperties?.format).toBe('int64');
  });

  it('refuses what a CRD cannot say', () => {
    expect(() => toStructural(z.object({ a: z.bigint() }))).toThrow(/BigInt/);
  });
});

describe('toCrd', () => {
  const crd = toCrd(rebalancePolicyResource);

  it('names the definition as the API server demands', () => {
    expect(crd.metadata.name).toBe('rebalancepolicies.loadmanager.danube.io');
    expect(crd.spec.names).toEqual({
      kind: 'RebalancePolicy',
      listKind: 'RebalancePolicyList',
      plural: 'rebalancepolicies',
      singular: 'rebalancepolicy',
      shortNames: ['rbpol'],
      categories: ['danube'],
    });
  });

  it('has a status subresource, and a status that starts as never reconciled', () => {
    const [version] = crd.spec.versions;

    expect(version?.subresources).toEqual({ status: {} });
    expect(version?.schema.openAPIV3Schema.properties?.status?.default).toEqual({ observedGeneration: -1 });
  });

  it('shows wide columns by priority', () => {
    const wide = crd.spec.versions[0]?.additionalPrinterColumns.filter((column) => 'priority' in column);

    expect(wide).toMatchObject([{ name: 'Unserved' }, { name: 'Epoch' }, { name: 'Message' }]);
  });
});
