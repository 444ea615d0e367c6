/**
 * Agents that lie, beside two that do not: the operator names each lie on the BrokerLoad, ranks nobody by it, and believes
 * the agent again as soon as it tells the truth. The agents' server is the real one; only what it says is ours.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentReport } from '../../src/api/agent-report.ts';
import type { BrokerLoad } from '../../src/api/broker-load.ts';
import { parseKey } from '../../src/danube/keys.ts';
import { BROKER_LOADS, POLICIES } from '../../src/operator/publish.ts';
import { BROKER_NAMESPACE, POLICY_NAME } from '../demo/manifests.ts';
import { type Operator, type OperatorCluster, startOperatorCluster } from '../kube/operators.ts';
import { createTopics } from '../operator/topics.ts';
import { until } from '../process/until.ts';
import { AGENT_PORT, addBroker, type Broker, LIMITS } from './brokers.ts';
import { type CannedAgent, startCannedAgent } from './canned-agent.ts';
import { sampleAsTimePasses } from './samples.ts';

const HOUR_MS = 3_600_000;
const MiB = 1024 ** 2;

/** What is noticed only after half a minute is left to the long runs. */
const LONG = process.env.TEST_TIER === 'full';

/** What an agent makes of the truth. */
type Telling = (truth: AgentReport) => AgentReport;

interface Lie {
  readonly tell: Telling;
  readonly reason: string;
  readonly message: RegExp;
}

/** By the name of the Pod. */
const LIES: Readonly<Record<string, Lie>> = {
  'lies-about-cgroup': {
    tell: (truth) => ({ ...truth, identity: { state: 'unproven', reason: 'pid 42 is not in its cgroup.procs' } }),
    reason: 'WrongCgroup',
    message: /another container: pid 42 is not in its cgroup.procs/,
  },
  'has-other-limits': {
    tell: (truth) => ({ ...truth, memory: { ...truth.memory, limitBytes: 64 * MiB, workingSetBytes: MiB } }),
    reason: 'WrongCgroup',
    message: /memory limit of the cgroup is 67108864, that of the Pod 1073741824/,
  },
  'follows-a-reused-pid': {
    tell: (truth) => ({ ...truth, broker: { pid: 42, startedAt: truth.observedAt - HOUR_MS } }),
    reason: 'Implausible',
    message: /process 42 is \d+ s older than the broker's container/,
  },
  'counts-back': {
    tell: (truth) => ({ ...truth, cpu: { ...truth.cpu, usageSeconds: 1e6 - truth.sequence } }),
    reason: 'Implausible',
    message: /cpu.usageSeconds went back from \d+ to \d+/,
  },
  'reports-from-the-future': {
    tell: (truth) => ({ ...truth, observedAt: truth.observedAt + HOUR_MS }),
    reason: 'Implausible',
    message: /dated 3\d\d\d s in the future; check the clocks/,
  },
  'uses-more-than-there-is': {
    tell: (truth) => ({ ...truth, cpu: { ...truth.cpu, cores: 9, averageCores: 0 } }),
    reason: 'Implausible',
    message: /9 cores .*more than the 8 of the node/,
  },
  'averages-more-than-there-is': {
    tell: (truth) => ({ ...truth, cpu: { ...truth.cpu, averageCores: 1e9 } }),
    reason: 'Implausible',
    message: /1000000000 cores on average in use are more than the 8 of the node/,
  },
  'sends-more-than-any-machine': {
    tell: (truth) => ({ ...truth, network: { ...truth.network, sentBytesPerSecond: 1e300 } }),
    reason: 'Implausible',
    message: /network.sentBytesPerSecond is 1e\+300/,
  },
  'speaks-another-version': {
    tell: (truth) => ({ ...truth, version: 1 }) as unknown as AgentReport,
    reason: 'Implausible',
    message: /version: want 2, got 1/,
  },
  ...(LONG && {
    'never-changes': {
      tell: (truth) => ({ ...truth, sequence: 1, observedAt: truth.agentStartedAt }),
      reason: 'Stale',
      message: /answers with sample 1 again and again/,
    },
  }),
};
const LIARS = Object.keys(LIES);
/** Idle, if they were to be believed. */
const LIARS_USE = { cores: 0, memoryBytes: 0 };
const HONEST = {
  'is-calm': { cores: 0.2 * LIMITS.cores, memoryBytes: 0.2 * LIMITS.memoryBytes },
  'is-busy': { cores: 0.8 * LIMITS.cores, memoryBytes: 0.8 * LIMITS.memoryBytes },
  'is-restarted': { cores: 0.5 * LIMITS.cores, memoryBytes: 0.5 * LIMITS.memoryBytes },
} as const;

let cluster: OperatorCluster;
let operator: Operator;
const brokers = new Map<string, Broker>();
/** What each agent says now, by Pod. */
const tellings = new Map<string, Telling>();
const truths = new Map<string, () => AgentReport>();
const agents: CannedAgent[] = [];

beforeAll(async () => {
  cluster = await startOperatorCluster({ brokers: 0 });
  // The agents' figures decide, not the number of topics.
  const ranking = { algorithm: 'DanubeBalanced' };
  await cluster.client.patch(POLICIES, policyRef, { spec: { ranking } }, { type: 'merge' });
  const pods = [...LIARS, ...Object.keys(HONEST)];
  await Promise.all(pods.map((pod, index) => start(pod, `${cluster.plane.block}.9.${1 + index}`, index)));
  operator = await cluster.startOperator('operator', ['--agent-interval-seconds=1']);
});

afterAll(async () => {
  for (const agent of agents) await agent.stop();
  await cluster?.stop();
});

const policyRef = { namespace: BROKER_NAMESPACE, name: POLICY_NAME };

async function start(pod: string, ip: string, index: number): Promise<void> {
  const broker = await addBroker({ cluster, pod, ip, id: String(2_000_000_000_000_000_000n + BigInt(index)) });
  brokers.set(pod, broker);
  tell(pod, broker.containerStartedAt);
  tellings.set(pod, LIES[pod]?.tell ?? ((truth) => truth));
  const latest = () => saying(pod)(sayingTruth(pod)());
  agents.push(await startCannedAgent({ host: ip, port: AGENT_PORT, latest }));
}

/** From now on the truth is of a process that was started then. */
function tell(pod: string, brokerStartedAt: number): void {
  const use = pod in HONEST ? HONEST[pod as keyof typeof HONEST] : LIARS_USE;
  const uid = brokers.get(pod)?.podUID ?? '';
  truths.set(pod, sampleAsTimePasses({ pod: { name: pod, uid }, brokerStartedAt, ...use, limits: LIMITS }));
}

function saying(pod: string): Telling {
  const telling = tellings.get(pod);
  if (telling === undefined) throw new Error(`${pod} says nothing`);
  return telling;
}

function sayingTruth(pod: string): () => AgentReport {
  const truth = truths.get(pod);
  if (truth === undefined) throw new Error(`${pod} has no truth`);
  return truth;
}

async function loads(): Promise<ReadonlyMap<string, BrokerLoad>> {
  const { items } = await cluster.client.list<BrokerLoad>(BROKER_LOADS, { namespace: BROKER_NAMESPACE });
  return new Map(items.map((load) => [load.metadata.name, load]));
}

function usableOf(load: Pick<BrokerLoad, 'status'> | undefined) {
  return load?.status?.conditions?.find(({ type }) => type === 'MetricsUsable');
}

/** Resolves with all BrokerLoads once each of these has MetricsUsable for that reason. */
function untilReasons(expected: Readonly<Record<string, string>>): Promise<ReadonlyMap<string, BrokerLoad>> {
  return until(
    async () => {
      const current = await loads();
      const wrong = Object.entries(expected).flatMap(([pod, reason]) => {
        const found = usableOf(current.get(pod));
        return found?.reason === reason
          ? []
          : [`${pod} is ${found?.reason ?? 'nothing'}, not ${reason}: ${found?.message}`];
      });
      if (wrong.length > 0) throw new Error(`${wrong.join('\n')}\n${operator.process.logTail()}`);
      return current;
    },
    { what: 'every BrokerLoad to say what its agent is worth', timeoutMs: 75_000, intervalMs: 250 },
  );
}

function scoresOf(current: ReadonlyMap<string, BrokerLoad>, pods: readonly string[]): readonly (number | undefined)[] {
  return pods.map((pod) => current.get(pod)?.status?.score);
}

/** Resolves with the Pod whose broker the operator gives the new topic to. */
async function podOfNew(topic: string): Promise<string> {
  await createTopics(cluster.etcd, [topic]);
  return until(
    async () => {
      const { entries } = await cluster.etcd.read('/cluster/brokers/');
      const assigned = entries
        .map(({ key }) => parseKey(key))
        .find((key) => key.kind === 'assignment' && key.topic === topic);
      return assigned?.kind === 'assignment' && [...brokers].find(([, { id }]) => id === assigned.broker)?.[0];
    },
    { what: `${topic} to be assigned` },
  );
}

const allFresh = (pods: readonly string[]) => Object.fromEntries(pods.map((pod) => [pod, 'Fresh']));

describe('an agent that lies', () => {
  it('is named on the BrokerLoad, with what to do, and its figures are not shown', async () => {
    const noticedAtOnce = Object.entries(LIES).filter(([, { reason }]) => reason !== 'Stale');

    const reasons = Object.fromEntries(noticedAtOnce.map(([pod, { reason }]) => [pod, reason]));
    const current = await untilReasons({ ...reasons, ...allFresh(Object.keys(HONEST)) });

    for (const [pod, { message }] of noticedAtOnce) {
      expect(usableOf(current.get(pod)), pod).toMatchObject({
        status: 'False',
        message: expect.stringMatching(message),
      });
      expect(current.get(pod)?.status, pod).not.toHaveProperty('usage');
    }
    expect(current.get('is-busy')?.status).toMatchObject({
      usage: { cpuCores: 1.6, memoryBytes: Math.round(0.8 * LIMITS.memoryBytes), sources: { cpu: 'cgroup-v2' } },
      display: { cpu: '1.60/2', memory: '819Mi/1Gi' },
    });
  });
});

describe('a broker that is restarted between two samples', () => {
  it('misses one rate, and its figures are used again', async () => {
    await untilReasons(allFresh(['is-restarted']));
    await brokers.get('is-restarted')?.restartContainer();
    const restartedAt = Date.now();
    tell('is-restarted', restartedAt);
    tellings.set('is-restarted', (truth) => {
      const { sequence, cpu } = truth;
      const rate = sequence === 1 ? { cores: null, averageCores: null } : {};
      return { ...truth, cpu: { ...cpu, usageSeconds: sequence, ...rate } };
    });

    const after = await until(
      async () => {
        const { status } = (await loads()).get('is-restarted') ?? {};
        if (status === undefined) return undefined;
        const isNext = Date.parse(status.usage?.observedAt ?? '') > restartedAt;
        return isNext && usableOf({ status })?.reason === 'Fresh' && status.usage?.cpuCores !== undefined && status;
      },
      { what: 'figures of the next process', intervalMs: 250 },
    );

    expect(after.usage?.cpuCores).toBe(1);
  });
});

describe.runIf(LONG)('an agent that says the same again and again', () => {
  it('is noticed after half a minute, its last figures stay to be seen', async () => {
    const current = await untilReasons({ 'never-changes': 'Stale' });

    expect(usableOf(current.get('never-changes'))?.message).toMatch(LIES['never-changes']?.message ?? /^$/);
    expect(current.get('never-changes')?.status?.usage?.cpuCores).toBe(0);
  });
});

describe('a broker whose agent is not believed', () => {
  it('gets no better rank by it: it counts as the mean of those whose agents are', async () => {
    await until(
      async () => {
        const current = await loads();
        const scores = { liars: scoresOf(current, LIARS), honest: scoresOf(current, Object.keys(HONEST)) };
        // Ranks are written in turn.
        expect(scores).toEqual({ liars: LIARS.map(() => 35), honest: [14, 56, 35] });
        return true;
      },
      { what: 'every liar to score the mean', intervalMs: 250 },
    );
  });

  it('draws no topics by it', async () => {
    expect(await podOfNew('/default/placed-among-liars')).toBe('is-calm');
  });

  it('is named by the policy, by reason', async () => {
    await until(
      async () => {
        const policy = await cluster.client.get<BrokerLoad>(POLICIES, policyRef);
        expect(usableOf(policy)).toMatchObject({
          status: 'False',
          reason: 'Unusable',
          message: expect.stringMatching(
            LONG
              ? /7 Implausible \(averages-more-than-there-is, .*2 WrongCgroup \(.*1 Stale \(never-changes\)/
              : /7 Implausible \(averages-more-than-there-is, .*2 WrongCgroup \(/,
          ),
        });
        return true;
      },
      { what: 'the policy to name them' },
    );
  });
});

describe('an agent that stops lying', () => {
  it('is believed with its next report', async () => {
    for (const pod of LIARS) {
      tell(pod, brokers.get(pod)?.containerStartedAt ?? 0);
      tellings.set(pod, (truth) => truth);
    }

    const current = await untilReasons(allFresh([...LIARS, ...Object.keys(HONEST)]));

    expect(LIARS.map((pod) => current.get(pod)?.status?.usage?.cpuCores)).toEqual(LIARS.map(() => 0));
  });

  it('has topics placed by it again', async () => {
    expect(LIARS).toContain(await podOfNew('/default/placed-among-the-honest'));
  });
});
