import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { brokerLoadResource } from '../../src/api/broker-load.ts';
import { examplePolicy, readPolicySpec, rebalancePolicyResource } from '../../src/api/rebalance-policy.ts';
import { apiGroup, apiVersion, apiVersionName, type ResourceDefinition } from '../../src/api/resource.ts';
import { type KubeClient, KubeError, type Resource } from '../../src/kube/client.ts';
import { clientOf } from '../controlplane/api.ts';
import { applyManifests } from '../controlplane/apply.ts';
import { type ControlPlane, startControlPlane } from '../controlplane/start.ts';
import { until } from '../process/until.ts';

const root = join(import.meta.dirname, '../..');
const namespace = 'default';
const definitions: readonly ResourceDefinition[] = [rebalancePolicyResource, brokerLoadResource];
const policies = toResource(rebalancePolicyResource);
const brokers = toResource(brokerLoadResource);

let plane: ControlPlane;
let client: KubeClient;

beforeAll(async () => {
  plane = await startControlPlane({ log: (line) => process.stderr.write(`${line}\n`) });
  client = clientOf(plane.adminKubeconfig);
  await applyManifests(
    plane.adminKubeconfig,
    definitions.map(({ plural }) => join(root, `crds/${apiGroup}_${plural}.yaml`)),
  );
  // An established definition answers 429 "storage is (re)initializing" for a moment.
  for (const resource of [policies, brokers]) {
    await until(async () => (await client.list(resource, { namespace })).items.length === 0, {
      what: `the API server to serve ${resource.plural}`,
    });
  }
});

afterAll(async () => {
  client?.close();
  await plane?.stop();
});

afterEach(async () => {
  for (const resource of [policies, brokers]) {
    const { items } = await client.list(resource, { namespace });
    for (const { metadata } of items) {
      await client.delete(resource, { namespace, name: metadata.name });
    }
  }
});

describe('the API server', () => {
  it.each(definitions)('takes the definition of $kind without any reservation', async ({ plural }) => {
    const crd = await client.raw<Conditioned>(
      'GET',
      `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.${apiGroup}`,
    );

    const conditions = crd.status.conditions.map(({ type, status }) => `${type}=${status}`);
    expect(conditions.toSorted()).toEqual(['Established=True', 'NamesAccepted=True']);
  });

  it('finds the kinds by their short names and by their category', async () => {
    const { resources } = await client.raw<Discovery>('GET', `/apis/${apiVersion}`);

    const found = resources
      .filter(({ name }) => !name.includes('/'))
      .map(({ kind, shortNames, categories }) => ({ kind, shortNames, categories }));
    expect(found).toEqual(
      expect.arrayContaining([
        { kind: 'RebalancePolicy', shortNames: ['rbpol'], categories: ['danube'] },
        { kind: 'BrokerLoad', shortNames: ['bload'], categories: ['danube'] },
      ]),
    );
  });
});

describe('examples in the documentation', () => {
  const examples = ['README.md', 'docs/api.md'].filter((file) => existsSync(join(root, file))).flatMap(policiesIn);

  it('has a policy in the reference', () => {
    expect(examples.map(({ file }) => file)).toContain('docs/api.md');
  });

  it.each(examples)('accepts policy $index of $file', async ({ policy }) => {
    await client.raw(
      'POST',
      `${collection('rebalancepolicies')}?dryRun=All&fieldValidation=Strict`,
      inNamespace(policy),
    );
  });
});

const night = { name: 'night', schedule: '0 2 * * *', durationSeconds: 7200 };
const payments = {
  name: 'payments',
  topicPatterns: ['/payments/*'],
  brokerSelector: { matchLabels: { tier: 'fast' } },
};
const largestRule = {
  ...payments,
  topicPatterns: Array.from({ length: 16 }, (_, index) => `/default/${'t'.repeat(240)}-${index}`),
  brokerSelector: {
    matchLabels: Object.fromEntries(
      Array.from({ length: 16 }, (_, index) => [`example.com/label-${index}`, 'v'.repeat(63)]),
    ),
  },
  enforcement: 'Preferred',
};

const orders = { name: 'orders', topicPatterns: ['/shop/*'], maxPerBroker: 1 };
const largestSpread = {
  topicPatterns: largestRule.topicPatterns,
  scope: 'Topics',
  maxPerBroker: 1_000_000,
  topologyKey: `${'a'.repeat(253)}/${'z'.repeat(63)}`,
  maxPerDomain: 1_000_000,
  whenUnsatisfiable: 'AssignAnyway',
};

/** What is wrong, the change to the example that makes it so, and what the message must say. */
type Mistake = readonly [what: string, change: Record<string, unknown>, fragments: readonly string[]];

const mistakes: readonly Mistake[] = [
  ['no spec', { spec: undefined }, ['spec: Required value']],
  ['no mode', spec({ mode: undefined }), ['spec.mode: Required value']],
  [
    'a mode that does not exist yet',
    spec({ mode: 'Auto' }),
    ['spec.mode: Unsupported value: "Auto": supported values: "Observe", "Approve"'],
  ],
  [
    'a mode in small letters',
    spec({ mode: 'observe' }),
    ['spec.mode: Unsupported value: "observe": supported values: "Observe", "Approve"'],
  ],
  ['no broker selector', spec({ brokerSelector: undefined }), ['spec.brokerSelector: Required value']],
  ['a selector without labels', spec({ brokerSelector: {} }), ['spec.brokerSelector.matchLabels: Required value']],
  ['an empty selector', labels({}), ['spec.brokerSelector.matchLabels: Invalid value', 'write at least one label']],
  [
    'a selector of 17 labels',
    labels(Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`l${index}`, 'v']))),
    ['spec.brokerSelector.matchLabels: Too many: 17: must have at most 16 items'],
  ],
  [
    'a label key with a space',
    labels({ 'my app': 'a' }),
    ['spec.brokerSelector.matchLabels: Invalid value', 'write label keys as the Pods have them'],
  ],
  [
    'a label key that is too long',
    labels({ ['a'.repeat(64)]: 'a' }),
    ['spec.brokerSelector.matchLabels: Invalid value', 'write label keys as the Pods have them'],
  ],
  [
    'a label value with a space',
    labels({ app: 'a b' }),
    ['spec.brokerSelector.matchLabels.app: Invalid value: "a b"', 'write a label value as the Pods have it'],
  ],
  [
    'a label value that is too long',
    labels({ app: 'a'.repeat(64) }),
    ['spec.brokerSelector.matchLabels.app: Too long: may not be more than 63'],
  ],
  [
    'a label value that YAML read as a number',
    labels({ app: 5 }),
    ['spec.brokerSelector.matchLabels.app', 'must be of type string'],
  ],
  ['no etcd', spec({ etcd: undefined }), ['spec.etcd: Required value']],
  ['an etcd without endpoints', spec({ etcd: {} }), ['spec.etcd.endpoints: Required value']],
  ['no endpoint in the list', endpoints(), ['spec.etcd.endpoints', 'should have at least 1 items']],
  [
    'nine endpoints',
    endpoints(...Array.from({ length: 9 }, (_, index) => `http://e${index}:2379`)),
    ['spec.etcd.endpoints: Too many: 9: must have at most 8 items'],
  ],
  [
    'the same endpoint twice',
    endpoints('http://e:2379', 'http://e:2379'),
    ['spec.etcd.endpoints[1]: Duplicate value: "http://e:2379"'],
  ],
  [
    'an endpoint as a text instead of a list',
    spec({ etcd: { endpoints: 'http://e:2379' } }),
    ['spec.etcd.endpoints', 'must be of type array'],
  ],
  [
    'an endpoint of another scheme',
    endpoints('ftp://e:2379'),
    ['spec.etcd.endpoints[0]', 'write http://<host>:<port>'],
  ],
  ['an endpoint without scheme', endpoints('e:2379'), ['spec.etcd.endpoints[0]', 'write http://<host>:<port>']],
  ['an endpoint without port', endpoints('http://e'), ['spec.etcd.endpoints[0]', 'write http://<host>:<port>']],
  ['an endpoint with a path', endpoints('http://e:2379/v3'), ['spec.etcd.endpoints[0]', 'without a path']],
  [
    'an endpoint with a password',
    endpoints('http://u:p@e:2379'),
    ['spec.etcd.endpoints[0]', 'write http://<host>:<port>'],
  ],
  [
    'an endpoint with a port that does not exist',
    endpoints('http://e:65536'),
    ['spec.etcd.endpoints[0]', 'port 1 to 65535'],
  ],
  ['an endpoint with port 0', endpoints('http://e:0'), ['spec.etcd.endpoints[0]', 'write http://<host>:<port>']],
  [
    'an endpoint that is too long',
    endpoints(`http://${'a'.repeat(300)}:2379`),
    ['spec.etcd.endpoints[0]: Too long: may not be more than 266'],
  ],
  [
    'the second endpoint wrong',
    endpoints('http://e:2379', 'e:2379'),
    ['spec.etcd.endpoints[1]', 'write http://<host>:<port>'],
  ],
  [
    'a storage prefix without leading slash',
    etcd({ storageRootPrefix: 'danube' }),
    ['spec.etcd.storageRootPrefix', 'with a leading and without a trailing slash'],
  ],
  [
    'a storage prefix with trailing slash',
    etcd({ storageRootPrefix: '/danube/' }),
    ['spec.etcd.storageRootPrefix', 'with a leading and without a trailing slash'],
  ],
  [
    'an empty storage prefix',
    etcd({ storageRootPrefix: '' }),
    ['spec.etcd.storageRootPrefix', 'for example /danube-data'],
  ],
  ['a ranking that says nothing', spec({ ranking: {} }), ['spec.ranking.algorithm: Required value']],
  [
    'an algorithm that does not exist yet',
    spec({ ranking: { algorithm: 'Random' } }),
    [
      'spec.ranking.algorithm: Unsupported value: "Random": supported values: "DanubeFair", "DanubeBalanced", "DanubeWeightedLoad", "Weighted", "Bottleneck"',
    ],
  ],
  [
    'weights for an algorithm that has none',
    spec({ ranking: { algorithm: 'Bottleneck', weights: { cpu: 1 } } }),
    ['spec.ranking', 'only algorithm Weighted has weights: leave them out, or write algorithm: Weighted'],
  ],
  [
    'weights that weigh nothing',
    spec({ ranking: { algorithm: 'Weighted', weights: { cpu: 0, memory: 0 } } }),
    ['spec.ranking.weights', 'all weights are 0: write one above 0, for example cpu: 1'],
  ],
  [
    'a weight beyond its bounds',
    spec({ ranking: { algorithm: 'Weighted', weights: { cpu: 101 } } }),
    ['spec.ranking.weights.cpu', 'less than or equal to 100'],
  ],
  [
    'a negative wait',
    failover({ samePodWaitSeconds: -1 }),
    ['spec.failover.samePodWaitSeconds', 'greater than or equal to 0'],
  ],
  [
    'a wait of more than an hour',
    failover({ samePodWaitSeconds: 3601 }),
    ['spec.failover.samePodWaitSeconds', 'less than or equal to 3600'],
  ],
  [
    'a wait with a unit',
    failover({ samePodWaitSeconds: '60s' }),
    ['spec.failover.samePodWaitSeconds', 'must be of type integer'],
  ],
  [
    'half a second of wait',
    failover({ samePodWaitSeconds: 0.5 }),
    ['spec.failover.samePodWaitSeconds', 'must be of type int'],
  ],
  [
    'yes instead of true',
    failover({ resumeOffsets: 'yes' }),
    ['spec.failover.resumeOffsets', 'must be of type boolean'],
  ],
  ['a negative margin', failover({ offsetMargin: -1 }), ['spec.failover.offsetMargin', 'greater than or equal to 0']],
  [
    'a margin beyond what the operator can count',
    failover({ offsetMargin: 2 ** 53 }),
    ['spec.failover.offsetMargin', 'less than or equal to 9007199254740991'],
  ],
  [
    'a preset that does not exist',
    spec({ rebalance: { aggressiveness: 'Extreme' } }),
    ['spec.rebalance.aggressiveness: Unsupported value: "Extreme": supported values: "Low", "Medium", "High"'],
  ],
  [
    'no band at all',
    spec({ rebalance: { band: { abovePercent: 0 } } }),
    ['spec.rebalance.band.abovePercent', 'greater than or equal to 1'],
  ],
  [
    'more moves at once than in an hour',
    spec({ rebalance: { limits: { maxConcurrentMoves: 5, maxMovesPerHour: 4 } } }),
    ['spec.rebalance.limits: Invalid value', 'maxConcurrentMoves is above maxMovesPerHour', 'lower the one'],
  ],
  [
    'a pattern without a namespace',
    spec({ rebalance: { excludeTopicPatterns: ['audit-*'] } }),
    ['spec.rebalance.excludeTopicPatterns[0]', 'write /<namespace>/<topic>'],
  ],
  [
    'a schedule of four fields',
    window({ schedule: '0 2 * *' }),
    ['spec.rebalance.windows[0].schedule', 'write five fields of cron'],
  ],
  [
    'a time zone with a space',
    window({ timeZone: 'Central Europe' }),
    ['spec.rebalance.windows[0].timeZone', 'write an IANA time zone'],
  ],
  [
    'two windows of one name',
    spec({ rebalance: { windows: [night, night] } }),
    ['spec.rebalance.windows[1]: Duplicate value: {"name":"night"}'],
  ],
  [
    'a rule without topics',
    rule({ topicPatterns: [] }),
    ['spec.placement.rules[0].topicPatterns', 'should have at least 1 items'],
  ],
  [
    'a rule without labels',
    rule({ brokerSelector: { matchLabels: {} } }),
    ['spec.placement.rules[0].brokerSelector.matchLabels', 'write at least one label of the brokers'],
  ],
  [
    'a spread rule without a limit',
    spread({ maxPerBroker: undefined }),
    ['spec.placement.spread[0]', 'write maxPerBroker, or maxPerDomain with topologyKey'],
  ],
  [
    'a spread rule with a domain and no number for it',
    spread({ topologyKey: 'zone' }),
    ['spec.placement.spread[0]', 'write topologyKey and maxPerDomain together'],
  ],
  [
    'a spread rule with more on a broker than in its domain',
    spread({ maxPerBroker: 3, topologyKey: 'zone', maxPerDomain: 2 }),
    ['spec.placement.spread[0]', 'maxPerBroker is above maxPerDomain'],
  ],
  [
    'a domain that is no label',
    spread({ topologyKey: 'a zone', maxPerDomain: 2 }),
    ['spec.placement.spread[0].topologyKey', 'write label keys as the Pods have them'],
  ],
  [
    'spread rules with different domains',
    spec({
      placement: {
        spread: ['zone', 'rack'].map((topologyKey) => ({ ...orders, name: topologyKey, topologyKey, maxPerDomain: 2 })),
      },
    }),
    ['spec.placement.spread', 'write the same topologyKey in all spread rules'],
  ],
  [
    'a spread rule with the name of another rule',
    spec({ placement: { rules: [payments], spread: [{ ...orders, name: payments.name }] } }),
    ['spec.placement', 'give each rule of rules and of spread a name of its own'],
  ],
  [
    'a broker filled beyond its capacity',
    spec({ rebalance: { limits: { maxBrokerUtilizationPercent: 101 } } }),
    ['spec.rebalance.limits.maxBrokerUtilizationPercent', 'should be less than or equal to 100'],
  ],
  [
    'a name too long for a label',
    { metadata: { name: 'a'.repeat(64), namespace } },
    ['metadata.name', 'at most 63 characters'],
  ],
  ['a field of a later version', spec({ suspend: true }), ['unknown field "spec.suspend"']],
  ['a misspelt field', failover({ resumeOffset: true }), ['unknown field "spec.failover.resumeOffset"']],
  ['a field of another API', etcd({ tls: { secretRef: { name: 'x' } } }), ['unknown field "spec.etcd.tls"']],
];

describe('a policy', () => {
  it('is accepted with every field set to its extremes', async () => {
    const spec = {
      brokerSelector: {
        matchLabels: Object.fromEntries(
          Array.from({ length: 16 }, (_, index) => [`example.com/label-${index}`, 'v'.repeat(63)]),
        ),
      },
      etcd: {
        endpoints: [
          'http://127.0.0.1:1',
          'http://[::1]:65535',
          'http://localhost:2379',
          `http://${'a'.repeat(253)}:65535`,
          ...['a', 'b', 'c', 'd'].map((pod) => `http://${pod}.etcd.messaging.svc.cluster.local:2379`),
        ],
        storageRootPrefix: `/${'p'.repeat(255)}`,
      },
      mode: 'Approve',
      ranking: {
        algorithm: 'Weighted',
        weights: {
          cpu: 100,
          memory: 100,
          networkIn: 100,
          networkOut: 100,
          diskIO: 100,
          topics: 100,
          connections: 100,
          backlog: 100,
        },
      },
      placement: {
        rules: Array.from({ length: 16 }, (_, index) => ({ ...largestRule, name: `rule-${'r'.repeat(50)}-${index}` })),
        spread: Array.from({ length: 16 }, (_, index) => ({
          ...largestSpread,
          name: `spread-${'s'.repeat(50)}-${index}`,
        })),
      },
      rebalance: {
        aggressiveness: 'High',
        band: { abovePercent: 100, belowPercent: 1 },
        sustainedSeconds: 86_400,
        connectedTopics: 'Allow',
        excludeTopicPatterns: Array.from({ length: 64 }, (_, index) => `/default/${'t'.repeat(240)}-${index}`),
        limits: {
          maxConcurrentMoves: 256,
          maxMovesPerHour: 100_000,
          maxMovedLoadPercentPerHour: 100,
          topicCooldownSeconds: 0,
          minTopicAgeSeconds: 604_800,
          minActiveBrokers: 10_000,
          maxBrokerUtilizationPercent: 100,
        },
        windows: Array.from({ length: 16 }, (_, index) => ({
          name: `window-${index}`,
          schedule: '*/15 8-17 1,15 JAN-MAR MON-FRI',
          timeZone: 'America/Argentina/ComodRivadavia',
          durationSeconds: 604_800,
        })),
      },
      failover: { samePodWaitSeconds: 3600, resumeOffsets: false, offsetMargin: 2 ** 53 - 1 },
    };

    expect(await created({ spec })).toMatchObject({ spec });
    expect(readPolicySpec(spec)).toEqual({ spec });
  });

  it('is stored as written, without defaults that a GitOps tool would see as a difference', async () => {
    const { spec } = await created({ spec: { ...examplePolicy.spec, failover: {} } });

    expect(spec).toEqual({ ...examplePolicy.spec, failover: {} });
  });

  it('starts as never reconciled, whatever status its author wrote', async () => {
    const { status } = await created({ status: { observedGeneration: 1, leaderID: '7' } });

    expect(status).toEqual({ observedGeneration: -1 });
  });

  it.each(mistakes)('is refused with %s', async (_mistake, change, fragments) => {
    const message = await refusal(change);

    for (const fragment of fragments) {
      expect(message).toContain(fragment);
    }
  });

  it.each<[string, Record<string, unknown>, string[]]>([
    [
      'an enum and an endpoint',
      spec({ mode: 'Auto', etcd: { endpoints: ['ftp://e:2379'] } }),
      ['spec.mode', 'spec.etcd.endpoints[0]'],
    ],
    [
      'something missing and an endpoint',
      spec({ mode: undefined, etcd: { endpoints: ['e:2379'] } }),
      ['spec.mode', 'spec.etcd.endpoints[0]'],
    ],
    [
      'an enum and an empty selector',
      spec({ mode: 'Auto', brokerSelector: { matchLabels: {} } }),
      ['spec.mode', 'spec.brokerSelector.matchLabels'],
    ],
    [
      'an endpoint and a number',
      spec({ etcd: { endpoints: ['e:2379'] }, failover: { samePodWaitSeconds: 4000 } }),
      ['spec.etcd.endpoints[0]', 'spec.failover.samePodWaitSeconds'],
    ],
    ['two fields that do not exist', spec({ suspend: true, drain: {} }), ['spec.suspend', 'spec.drain']],
    [
      'a prefix and a type',
      spec({ etcd: { ...examplePolicy.spec.etcd, storageRootPrefix: 'x/' }, ranking: 'Fair' }),
      ['spec.etcd.storageRootPrefix', 'spec.ranking'],
    ],
  ])('with two mistakes, %s, is refused with both named', async (_mistakes, change, fields) => {
    const message = await refusal(change);

    for (const field of fields) {
      expect(message).toContain(field);
    }
  });

  // An operator may meet objects that an older definition let through.
  it.each(mistakes.filter(([, change, [fragment]]) => 'spec' in change && !fragment?.startsWith('unknown field')))(
    'with %s is not acted upon either, should it get past the API server',
    (_mistake, change) => {
      expect(readPolicySpec(change.spec)).toHaveProperty('problems');
    },
  );

  it('keeps its spec when somebody writes the status, and its status when somebody writes the spec', async () => {
    await created({});
    const ref = { namespace, name: 'prod' };
    const edit = { spec: { mode: 'Approve' }, status: { observedGeneration: 1, leaderID: '12' } };

    const afterStatus = await client.patch<Policy>(policies, ref, edit, { type: 'merge', subresource: 'status' });
    const afterSpec = await client.patch<Policy>(
      policies,
      ref,
      { ...edit, status: { leaderID: '13' } },
      { type: 'merge' },
    );

    expect(afterStatus).toMatchObject({ spec: { mode: 'Observe' }, status: { leaderID: '12' } });
    expect(afterStatus.metadata.generation).toBe(1);
    expect(afterSpec).toMatchObject({ spec: { mode: 'Approve' }, status: { leaderID: '12' } });
    expect(afterSpec.metadata.generation).toBe(2);
  });
});

describe('a BrokerLoad', () => {
  const name = 'danube-core-broker-0';
  const load = { apiVersion, kind: 'BrokerLoad', metadata: { name, namespace }, spec: { policyName: 'prod' } };

  it('keeps all digits of an id that no JavaScript number can hold', async () => {
    await client.create(brokers, load);

    const stored = await client.patch<Policy>(
      brokers,
      { namespace, name },
      { status: { brokerID: '18446744073709551615' } },
      { type: 'merge', subresource: 'status' },
    );

    expect(stored.status).toEqual({ observedGeneration: -1, brokerID: '18446744073709551615' });
  });

  it('cannot go to another policy', async () => {
    await client.create(brokers, load);

    const error = await client
      .patch(brokers, { namespace, name }, { spec: { policyName: 'other' } }, { type: 'merge' })
      .catch(String);

    expect(error).toContain('spec.policyName: Invalid value: "other": policyName cannot change');
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['no spec', { spec: undefined }, 'spec: Required value'],
    ['no policy', { spec: {} }, 'spec.policyName: Required value'],
    ['an empty policy', { spec: { policyName: '' } }, 'spec.policyName'],
    ['a policy name that no policy can have', { spec: { policyName: 'p'.repeat(64) } }, 'spec.policyName: Too long'],
    [
      'a wish of the user, which does not exist yet',
      { spec: { policyName: 'p', desiredState: 'Drained' } },
      'unknown field "spec.desiredState"',
    ],
  ])('is refused with %s', async (_mistake, change, fragment) => {
    const error = await strictly(collection('brokerloads'), { ...load, ...change }).catch(String);

    expect(error).toContain(fragment);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['an id as a number', { brokerID: 12 }, 'must be of type string'],
    ['an id that is not a number', { brokerID: 'x' }, 'brokerID'],
    [
      'a state that does not exist',
      { state: 'Busy' },
      'Unsupported value: "Busy": supported values: "Active", "Draining", "Drained", "Lost"',
    ],
    ['a rank from 0', { rank: 0 }, 'rank in body should be greater than or equal to 1'],
    ['a time that is none', { usage: { sources: { cpu: 'proc' }, observedAt: 'noon' } }, 'must be of type date-time'],
    ['two conditions of one type', { conditions: [condition('Ready'), condition('Ready')] }, 'Duplicate value'],
  ])('keeps %s out of its status', async (_mistake, status, fragment) => {
    await client.create(brokers, load);

    const error = await client
      .patch(brokers, { namespace, name }, { status }, { type: 'merge', subresource: 'status' })
      .catch(String);

    expect(error).toContain(fragment);
  });
});

describe('kubectl', () => {
  it.each(definitions)('explains every field of $kind', async ({ kind }) => {
    const openapi = await client.raw<OpenApi>('GET', `/openapi/v3/apis/${apiVersion}`);

    const schema = Object.entries(openapi.components.schemas).find(([name]) => name.endsWith(`.${kind}`))?.[1];
    expect(schema?.properties?.spec).toBeDefined();
    // metadata is Kubernetes' own and refers to a schema of its own.
    expect(
      withoutDescription({ ...schema, properties: { ...schema?.properties, metadata: { description: '-' } } }, kind),
    ).toEqual([]);
  });

  it('shows the columns of a policy', async () => {
    await created({});
    await client.patch(
      policies,
      { namespace, name: 'prod' },
      {
        status: {
          observedGeneration: 1,
          brokers: { total: 5, live: 4 },
          topics: { total: 200, unserved: 3, reliable: 50 },
          fencingEpoch: 7,
          imbalance: { resource: 'cpu', currentPercent: 31, plannedPercent: 9, floorPercent: 4 },
          plan: {
            name: 'prod-7f3a91c2d4e0',
            moves: 14,
            minMoves: 12,
            bindingConstraint: 'nothing',
            expiresAt: '2026-11-21T11:00:00.000Z',
          },
          skipped: [{ reason: 'Cooldown', count: 2, examples: ['/default/a', '/default/b'] }],
          conditions: [
            condition('Ready', 'True', 'All is well.'),
            condition('TopicsServed', 'False'),
            condition('Balanced', 'False'),
            condition('Leading', 'Unknown'),
          ],
        },
      },
      { type: 'merge', subresource: 'status' },
    );

    expect(await table('rebalancepolicies')).toEqual({
      shown: {
        Name: 'prod',
        Mode: 'Observe',
        Ready: 'True',
        Served: 'False',
        Leading: 'Unknown',
        Balanced: 'False',
        Imbalance: 31,
        Plan: 'prod-7f3a91c2d4e0',
        Brokers: 4,
        Topics: 200,
        Age: expect.any(String),
      },
      wide: { Unserved: 3, Epoch: 7, Message: 'All is well.' },
    });
  });

  it('shows the columns of a broker', async () => {
    await client.create(brokers, {
      apiVersion,
      kind: 'BrokerLoad',
      metadata: { name: 'b-0', namespace },
      spec: { policyName: 'prod' },
    });
    await client.patch(
      brokers,
      { namespace, name: 'b-0' },
      {
        status: {
          state: 'Active',
          brokerID: '18446744073709551615',
          usage: { sources: { cpu: 'cgroup-v2' }, observedAt: '2026-11-21T06:00:00Z' },
          display: { cpu: '0.42/2', memory: '312Mi/1Gi', in: '1.2MB/s', out: '2.4MB/s' },
          topics: 12,
          rank: 1,
          score: 28,
          conditions: [{ ...condition('MetricsUsable'), reason: 'Fresh' }],
        },
      },
      { type: 'merge', subresource: 'status' },
    );

    expect(await table('brokerloads')).toEqual({
      shown: {
        Name: 'b-0',
        State: 'Active',
        CPU: '0.42/2',
        Memory: '312Mi/1Gi',
        In: '1.2MB/s',
        Out: '2.4MB/s',
        Topics: 12,
        Rank: 1,
        Metrics: 'Fresh',
        Age: expect.any(String),
      },
      wide: { Broker: '18446744073709551615', Policy: 'prod', Source: 'cgroup-v2', Score: 28 },
    });
  });
});

interface Policy {
  readonly metadata: { readonly name: string; readonly generation: number };
  readonly spec: Record<string, unknown>;
  readonly status: Record<string, unknown>;
}

interface Conditioned {
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
}

interface Discovery {
  readonly resources: readonly {
    readonly name: string;
    readonly kind: string;
    readonly shortNames?: string[];
    readonly categories?: string[];
  }[];
}

interface OpenApiSchema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, OpenApiSchema>>;
  readonly items?: OpenApiSchema;
  readonly additionalProperties?: OpenApiSchema;
}

interface OpenApi {
  readonly components: { readonly schemas: Readonly<Record<string, OpenApiSchema>> };
}

interface Table {
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[];
  readonly rows: readonly { readonly cells: readonly unknown[] }[];
}

function toResource({ plural }: ResourceDefinition): Resource {
  return { group: apiGroup, version: apiVersionName, plural, namespaced: true };
}

function collection(plural: string): string {
  return `/apis/${apiVersion}/namespaces/${namespace}/${plural}`;
}

function inNamespace(policy: object): object {
  return { ...policy, metadata: { name: 'prod', namespace } };
}

/** As kubectl writes: fields that the schema does not know are refused. */
function strictly<T>(path: string, object: object): Promise<T> {
  return client.raw<T>('POST', `${path}?fieldValidation=Strict`, object);
}

/** The example of the documentation with top-level fields changed, as the API server stored it. */
function created(change: Record<string, unknown>): Promise<Policy> {
  return strictly(collection('rebalancepolicies'), { ...inNamespace(examplePolicy), ...change });
}

/** What the API server says to the example of the documentation with top-level fields changed. */
async function refusal(change: Record<string, unknown>): Promise<string> {
  const error = await created(change).catch((thrown: unknown) => thrown);
  if (!(error instanceof KubeError) || (error.status !== 422 && error.status !== 400)) {
    throw new Error(`the API server did not refuse it: ${JSON.stringify(error)}`);
  }
  return error.message;
}

function spec(change: Record<string, unknown>): Record<string, unknown> {
  return { spec: { ...examplePolicy.spec, ...change } };
}

function labels(matchLabels: Record<string, unknown>): Record<string, unknown> {
  return spec({ brokerSelector: { matchLabels } });
}

function etcd(change: Record<string, unknown>): Record<string, unknown> {
  return spec({ etcd: { ...examplePolicy.spec.etcd, ...change } });
}

function endpoints(...list: string[]): Record<string, unknown> {
  return etcd({ endpoints: list });
}

function window(fields: Record<string, unknown>): Record<string, unknown> {
  return spec({ rebalance: { windows: [{ ...night, ...fields }] } });
}

function rule(fields: Record<string, unknown>): Record<string, unknown> {
  return spec({ placement: { rules: [{ ...payments, ...fields }] } });
}

function spread(fields: Record<string, unknown>): Record<string, unknown> {
  return spec({ placement: { spread: [{ ...orders, ...fields }] } });
}

function failover(block: Record<string, unknown>): Record<string, unknown> {
  return spec({ failover: block });
}

function condition(type: string, status = 'True', message = ''): Record<string, string> {
  return { type, status, reason: 'Test', message, lastTransitionTime: '2026-11-21T06:00:00Z' };
}

function policiesIn(file: string): { file: string; index: number; policy: object }[] {
  const blocks = [...readFileSync(join(root, file), 'utf8').matchAll(/^```yaml\n(.*?)^```/gms)].map(([, yaml]) =>
    parse(yaml ?? ''),
  );
  return blocks.filter((block) => block?.kind === 'RebalancePolicy').map((policy, index) => ({ file, index, policy }));
}

function withoutDescription(schema: OpenApiSchema, path: string): string[] {
  const own = schema.description === undefined || schema.description === '' ? [path] : [];
  const properties = Object.entries(schema.properties ?? {}).flatMap(([name, property]) =>
    withoutDescription(property, `${path}.${name}`),
  );
  const inner = [schema.items, schema.additionalProperties].flatMap((element) =>
    element === undefined ? [] : withoutDescription(element, `${path}[]`),
  );
  return [...own, ...properties, ...inner];
}

/** The only row of the table that `kubectl get` would print, by column. */
async function table(plural: string): Promise<{ shown: Record<string, unknown>; wide: Record<string, unknown> }> {
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
  const { columnDefinitions, rows } = await client.raw<Table>('GET', collection(plural), undefined, { accept });
  const cells = columnDefinitions.map(({ name, priority }, index) => ({ name, priority, cell: rows[0]?.cells[index] }));
  const pick = (wide: boolean) =>
    Object.fromEntries(cells.filter(({ priority }) => priority > 0 === wide).map(({ name, cell }) => [name, cell]));
  return { shown: pick(false), wide: pick(true) };
}
