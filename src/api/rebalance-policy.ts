import { z } from 'zod';
import { conditions, count, neverReconciled, observedGeneration, rules, text, u64 } from './fields.ts';
import { matchLabels } from './label-selector.ts';
import { imbalance, planSummary, skipped } from './plan-status.ts';
import { type EffectiveRanking, effectiveRanking, effectiveRankingStatus, ranking } from './ranking.ts';
import {
  type EffectiveRebalance,
  effectiveRebalance,
  effectiveRebalanceStatus,
  placement,
  rebalance,
} from './rebalance.ts';
import { apiVersion, conditionPath, type ObjectMeta, type ResourceDefinition } from './resource.ts';

/** What applies where a policy says nothing. Resolved in code, published in `status.effective` (design §3). */
export const policyDefaults = {
  failover: { samePodWaitSeconds: 60, resumeOffsets: true, offsetMargin: 1_000_000 },
} as const;

// The forms of strings stand in the schema twice, as a pattern and in a rule with a readable message: the API server skips
// all rules when another field has a wrong enum value or is missing, and then the pattern still names the field.

const port = '([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])'; // 1 to 65535
const host = '([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:.]+\\])';
const endpointForm = `^https?://${host}:${port}$`;
const endpointExample = 'http://danube-core-etcd.messaging.svc:2379';
const endpointAdvice = `write http://<host>:<port> or https://<host>:<port> without a path, port 1 to 65535, for example ${endpointExample}`;

const rootPrefixForm = '^(/[A-Za-z0-9._-]+)+$';

const endpoint = z
  .string()
  .max(266)
  .regex(new RegExp(endpointForm), { error: endpointAdvice })
  .meta(
    rules(
      'The client address of one etcd member or of the Service in front of them, as http://<host>:<port>, or https:// where etcd speaks TLS; the operator is given certificates and passwords by --etcd-credentials-dir.',
      { rule: `self.matches(r'${endpointForm}')`, message: endpointAdvice },
    ),
  );

const spec = z
  .object({
    brokerSelector: z
      .object({
        matchLabels: matchLabels({
          description:
            'Labels of the broker Pods: a Pod of the namespace of this policy is a broker of this cluster if it has all of them.',
          advice:
            'write at least one label that all broker Pods have and no other Pod, for example app.kubernetes.io/component: broker',
        }),
      })
      .meta({ description: 'Which Pods of the namespace of this policy are the brokers.' }),
    etcd: z
      .object({
        endpoints: z
          .array(endpoint)
          .min(1)
          .max(8)
          .refine((list) => new Set(list).size === list.length, { error: 'write each endpoint once' })
          .meta({
            description:
              'Where the etcd of the brokers listens: 1 to 8 addresses of one etcd cluster. ' +
              'Services of the namespace of this policy only (<service>.<namespace>.svc, <pod>.<service>.<namespace>.svc, ' +
              'either with .cluster.local), unless the operator was started with --allow-any-etcd-endpoint.',
            'x-kubernetes-list-type': 'set',
          }),
        storageRootPrefix: z
          .string()
          .max(256)
          .regex(new RegExp(rootPrefixForm), { error: 'write the prefix with a leading and without a trailing slash' })
          .meta(
            rules(
              "The brokers' wal_cloud.uploader.root_prefix: the etcd prefix of what they stored of reliable topics. " +
                "Danube's shipped configuration says /danube-data. " +
                'Absent means: found from the keys of uploaded objects.',
              {
                rule: `self.matches(r'${rootPrefixForm}')`,
                message:
                  "write the brokers' wal_cloud.uploader.root_prefix with a leading and without a trailing slash, for example /danube-data",
              },
            ),
          )
          .exactOptional(),
      })
      .meta({ description: "The etcd that holds the brokers' metadata, the assignments of topics among them." }),
    mode: z.enum(['Observe', 'Approve']).meta({
      description:
        'What the operator may do. Observe: it ranks brokers and reports, and writes nothing to etcd; the brokers run themselves. ' +
        "Approve: it holds the brokers' leader key, assigns topics and fails them over, and waits for approval before it " +
        'moves a topic for balance (there are no such moves yet).',
    }),
    ranking: ranking.exactOptional(),
    placement: placement.exactOptional(),
    rebalance: rebalance.exactOptional(),
    failover: z
      .object({
        samePodWaitSeconds: z
          .int()
          .min(0)
          .max(3600)
          .meta({
            description:
              "Seconds, 0 to 3600. How long the reliable topics of a dead broker wait for the same Pod's next process, if its disk " +
              'survives, before another broker gets them. 0 means that they do not wait. ' +
              `Absent means ${policyDefaults.failover.samePodWaitSeconds}.`,
          })
          .exactOptional(),
        resumeOffsets: z
          .boolean()
          .meta({
            description:
              'Whether the next owner of a reliable topic goes on numbering messages above the last offset given out. With false a ' +
              `broker that takes over starts at 0, gives out offsets twice and messages are lost. Absent means ${policyDefaults.failover.resumeOffsets}.`,
          })
          .exactOptional(),
        offsetMargin: z
          .int()
          .min(0)
          .meta({
            description:
              'Offsets, 0 to 9007199254740991. How many offsets are skipped beyond the highest that is known, for messages that the dead ' +
              'broker acknowledged but had not uploaded. More than a topic receives between two uploads is safe; unused offsets cost ' +
              `nothing. Without effect if resumeOffsets is false. Absent means ${policyDefaults.failover.offsetMargin}.`,
          })
          .exactOptional(),
      })
      .meta({
        description: 'What happens to the topics of a broker that died. Absent means the default of each field.',
      })
      .exactOptional(),
  })
  .meta({ description: 'What is wanted. The operator never writes it.' });

const effective = z
  .object({
    etcd: z
      .object({
        storageRootPrefixes: z.array(text(256, 'One prefix.')).max(8).meta({
          description:
            'The storage prefixes in use: the one of the spec, or those found. Empty means none found: no reliable topic has uploaded yet.',
          'x-kubernetes-list-type': 'set',
        }),
      })
      .meta({ description: 'Resolved spec.etcd.' }),
    ranking: effectiveRankingStatus,
    failover: z
      .object({
        samePodWaitSeconds: z.int().min(0).max(3600).meta({ description: 'Seconds; the wait in use.' }),
        resumeOffsets: z.boolean().meta({ description: 'Whether offsets are resumed.' }),
        offsetMargin: count('Offsets; the margin in use.'),
      })
      .meta({ description: 'Resolved spec.failover.' }),
    rebalance: effectiveRebalanceStatus.exactOptional(),
  })
  .meta({ description: 'The settings in use, defaults filled in. Absent until the spec has been accepted.' });

const status = z
  .object({
    observedGeneration: observedGeneration.exactOptional(),
    conditions: conditions.exactOptional(),
    effective: effective.exactOptional(),
    clusterUID: text(
      64,
      'The identity of the broker cluster, written to its etcd once by the first operator. Absent until etcd was read.',
    ).exactOptional(),
    brokers: z
      .object({
        total: count('Pods that the selector matches, and registered brokers without such a Pod.'),
        live: count('Brokers that are registered in etcd.'),
      })
      .meta({ description: 'Number of brokers. Absent until etcd was read.' })
      .exactOptional(),
    topics: z
      .object({
        total: count('Topics that exist; each partition counts as one.'),
        unserved: count('Topics without a live owner.'),
        reliable: count('Topics with reliable delivery.'),
      })
      .meta({ description: 'Number of topics. Absent until etcd was read.' })
      .exactOptional(),
    imbalance: imbalance.exactOptional(),
    plan: planSummary.exactOptional(),
    skipped: skipped.exactOptional(),
    fencingEpoch: count(
      'Grows by one each time that a replica takes over; every write to etcd is refused unless it carries the newest. ' +
        'Absent while the operator does not lead the brokers.',
    ).exactOptional(),
    leaderID: u64(
      "The value of the brokers' leader key /cluster/leader as last read: the operator's own id, or a broker's. Absent means that the key is absent or was not read yet.",
    ).exactOptional(),
    operator: text(
      253,
      'The replica of the operator that wrote this status, named by its Pod. Absent until one has looked at this policy.',
    ).exactOptional(),
  })
  .meta({ description: 'What the operator found. Absent means never looked at.', default: neverReconciled });

export const rebalancePolicyResource = {
  kind: 'RebalancePolicy',
  plural: 'rebalancepolicies',
  singular: 'rebalancepolicy',
  shortName: 'rbpol',
  category: 'danube',
  schema: z.object({ spec, status: status.exactOptional() }).meta(
    rules(
      'RebalancePolicy is the wish of a user for one cluster of Danube brokers: which Pods are the brokers, where their etcd is, and what ' +
        'the operator may do. One per cluster; the operator makes one BrokerLoad per broker for it.',
      {
        rule: 'size(self.metadata.name) <= 63',
        message: 'metadata.name is a label value on every BrokerLoad: write a name of at most 63 characters',
      },
    ),
  ),
  columns: [
    { name: 'Mode', type: 'string', jsonPath: '.spec.mode' },
    { name: 'Ready', type: 'string', jsonPath: conditionPath('Ready', 'status') },
    { name: 'Served', type: 'string', jsonPath: conditionPath('TopicsServed', 'status') },
    { name: 'Leading', type: 'string', jsonPath: conditionPath('Leading', 'status') },
    { name: 'Balanced', type: 'string', jsonPath: conditionPath('Balanced', 'status') },
    { name: 'Imbalance', type: 'integer', jsonPath: '.status.imbalance.currentPercent' },
    { name: 'Plan', type: 'string', jsonPath: '.status.plan.name' },
    { name: 'Brokers', type: 'integer', jsonPath: '.status.brokers.live' },
    { name: 'Topics', type: 'integer', jsonPath: '.status.topics.total' },
    { name: 'Unserved', type: 'integer', jsonPath: '.status.topics.unserved', wide: true },
    { name: 'Epoch', type: 'integer', jsonPath: '.status.fencingEpoch', wide: true },
    { name: 'Message', type: 'string', jsonPath: conditionPath('Ready', 'message'), wide: true },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
} as const satisfies ResourceDefinition;

export type RebalancePolicySpec = z.infer<typeof spec>;
export type RebalancePolicyStatus = z.infer<typeof status>;
export type PolicyMode = RebalancePolicySpec['mode'];

export interface RebalancePolicy {
  readonly apiVersion: typeof apiVersion;
  readonly kind: 'RebalancePolicy';
  readonly metadata: ObjectMeta;
  readonly spec: RebalancePolicySpec;
  readonly status?: RebalancePolicyStatus;
}

/** A spec with every default filled in, `storageRootPrefix` excepted: that one is found in etcd. */
export interface EffectiveSpec extends RebalancePolicySpec {
  readonly ranking: EffectiveRanking;
  readonly failover: Required<NonNullable<RebalancePolicySpec['failover']>>;
  readonly rebalance: EffectiveRebalance;
}

/** Fills in what the spec leaves out. */
export function effectiveSpec(spec: RebalancePolicySpec): EffectiveSpec {
  return {
    ...spec,
    ranking: effectiveRanking(spec.ranking),
    failover: { ...policyDefaults.failover, ...spec.failover },
    rebalance: effectiveRebalance(spec.rebalance),
  };
}

/**
 * Reads the spec of a policy that came from the API server.
 *
 * The server has checked it already, by the definition that was installed at that time.
 * Unknown fields are dropped. `problems` are sentences for the condition Stalled, each with the path of its field in front.
 */
export function readPolicySpec(
  spec: unknown,
): { readonly spec: RebalancePolicySpec } | { readonly problems: readonly string[] } {
  const read = rebalancePolicyResource.schema.shape.spec.safeParse(spec);
  if (read.success) {
    return { spec: read.data };
  }
  return {
    problems: read.error.issues.map((issue) => {
      const field = issue.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
      const message =
        issue.code === 'invalid_key' ? issue.issues.map((inner) => inner.message).join(', ') : issue.message;
      return `spec${field}: ${message}`;
    }),
  };
}

/**
 * Says why the operator may not connect to `endpoint` for a policy of `namespace`, or null if it may.
 *
 * Whoever may write a policy could otherwise make the operator talk to any address that it can reach. Only names that the
 * cluster's DNS gives to Services of that namespace are accepted, written in full: a shorter name would be looked up from the
 * namespace of the operator.
 */
export function endpointProblem(endpoint: string, namespace: string): string | null {
  const name = new RegExp(endpointForm).exec(endpoint)?.[1];
  if (name === undefined) {
    return `${endpoint}: ${endpointAdvice}`;
  }
  const [, owner] = /^(?:[a-z0-9-]+\.)?[a-z0-9-]+\.([a-z0-9-]+)\.svc(?:\.cluster\.local)?$/.exec(name) ?? [];
  if (owner === namespace) {
    return null;
  }
  const found = owner === undefined ? 'is not the full name of a Service' : `is a Service of namespace ${owner}`;
  return (
    `${endpoint}: ${name} ${found}; write http://<service>.${namespace}.svc:<port>, ` +
    'or start the operator with --allow-any-etcd-endpoint'
  );
}

/** A complete policy for documentation, with every optional block left out. */
export const examplePolicy = {
  apiVersion,
  kind: 'RebalancePolicy',
  metadata: { name: 'prod', namespace: 'messaging' },
  spec: {
    brokerSelector: {
      matchLabels: { 'app.kubernetes.io/instance': 'danube-core', 'app.kubernetes.io/component': 'broker' },
    },
    etcd: { endpoints: [endpointExample] },
    mode: 'Observe',
  } satisfies RebalancePolicySpec,
} as const;
