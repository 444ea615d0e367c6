/** What every suite of the operator needs: one cluster for the file, topics in it, and waiting for what users would see. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { Condition } from '../../src/api/conditions.ts';
import type { RebalancePolicy } from '../../src/api/rebalance-policy.ts';
import type { FindingKind } from '../../src/danube/audit/kinds.ts';
import { type DemoCluster, type DemoClusterOptions, startDemoCluster } from '../demo/cluster.ts';
import { OPERATOR_NAMESPACE } from '../demo/manifests.ts';
import { until } from '../process/until.ts';

const LOG_LINES = 40;

export interface SuiteOptions extends Partial<DemoClusterOptions> {
  /** Violations that the tests commit by their own hand, so that the auditor is right to find them. */
  readonly planted?: readonly FindingKind[];
}

/**
 * One cluster for all tests of a file; call what it gives to have it. When a test fails, the ends of the operators' logs
 * are shown: the files go with the cluster.
 */
export function useCluster({ planted = [], ...options }: SuiteOptions = {}): () => DemoCluster {
  let cluster: DemoCluster | undefined;

  beforeAll(async () => {
    cluster = await startDemoCluster({
      // Shown only if the start fails or takes long (the first build of the binaries).
      log: (line) => process.stderr.write(`${line}\n`),
      brokers: 3,
      // Tests kill the same container again and again.
      backoffSeconds: { base: 0.5, max: 2 },
      ...options,
    });
  });

  afterEach(({ task }) => {
    if (task.result?.state === 'fail' && cluster !== undefined) process.stderr.write(`${operatorLogs(cluster)}\n`);
  });

  // A broken rule is a fault of the suite, whatever its tests looked at.
  afterAll(async () => {
    try {
      await cluster?.history.upToDate();
      const broken = (cluster?.history.fold.auditor.findings() ?? []).filter(
        ({ severity, kind }) => severity === 'violation' && !planted.includes(kind),
      );
      expect(broken).toEqual([]);
    } finally {
      await cluster?.stop();
    }
  });

  return () => {
    if (cluster === undefined) throw new Error('the cluster is there only within tests');
    return cluster;
  };
}

/** The last lines of each operator's log. */
export function operatorLogs({ kubelet }: DemoCluster): string {
  const files = readdirSync(kubelet.logsFolder).filter((name) => name.startsWith(`${OPERATOR_NAMESPACE}_`));
  return files
    .map((name) => {
      const lines = readFileSync(join(kubelet.logsFolder, name), 'utf8').trimEnd().split('\n');
      return `--- ${name}\n${lines.slice(-LOG_LINES).join('\n')}`;
    })
    .join('\n');
}

/** Resolves with the condition once a policy has it so; `message` is part of it. */
export function untilCondition(
  readPolicy: () => Promise<RebalancePolicy>,
  wanted: Pick<Condition, 'type' | 'status'> & { readonly reason?: string; readonly message?: string },
  timeoutMs = 60_000,
): Promise<Condition> {
  let last: Condition | undefined;
  return until(
    async () => {
      last = (await readPolicy()).status?.conditions?.find(({ type }) => type === wanted.type);
      const { status, reason = last?.reason, message = '' } = wanted;
      if (last?.status === status && last.reason === reason && last.message.includes(message)) return last;
      throw new Error(last === undefined ? 'it is absent' : `it is ${last.status} ${last.reason}: ${last.message}`);
    },
    { what: `condition ${JSON.stringify(wanted)}`, timeoutMs, intervalMs: 100 },
  );
}

/** Resolves when the policy no longer has a condition of that type. */
export function untilConditionGone(readPolicy: () => Promise<RebalancePolicy>, type: string): Promise<true> {
  return until(
    async () => !(await readPolicy()).status?.conditions?.some((condition) => condition.type === type) || undefined,
    { what: `condition ${type} to go`, intervalMs: 100 },
  );
}
