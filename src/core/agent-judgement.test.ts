import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exampleReport } from '../api/example-report.ts';
import { judgeAgent, type UnusableReason } from './agent-judgement.ts';
import type { AgentSample } from './agent-record.ts';
import { type AgentParts, at, buildAgent, buildSnapshot, type ContainerParts } from './snapshot-builder.ts';

const NOW = 1000;

function podWith(container: ContainerParts | undefined = { runningSince: 0 }) {
  const [pod] = buildSnapshot({ pods: [{ name: 'danube-0', container }] }).pods;
  return pod;
}

function judge(agent: AgentParts, container?: ContainerParts) {
  return judgeAgent(buildAgent(agent, NOW), podWith(container), at(NOW));
}

const MiB = 1024 ** 2;
const figures = { cpuCores: 0.5, cpuLimitCores: 2, memoryBytes: 500 * MiB, memoryLimitBytes: 1024 * MiB };
const nodeOfUnknownSize = { node: { cores: null, memoryBytes: null } };
const broker = (startedAt: number) => ({ pid: 42, startedAt: at(startedAt) });

const topicOf = (bytesInPerSecond: number) => ({
  topic: '/default/orders',
  cpuCores: 0.1,
  bytesInPerSecond,
  bytesOutPerSecond: null,
  lagMessages: 1e9,
});

/** These and what else the agent says. */
function saying({
  cpu,
  memory,
}: {
  cpu?: Partial<AgentSample['cpu']>;
  memory?: Partial<AgentSample['memory']>;
}): AgentParts {
  const said = buildAgent(figures, NOW).last?.sample;
  if (said === undefined) throw new Error('an agent of a test says something');
  return { sample: { cpu: { ...said.cpu, ...cpu }, memory: { ...said.memory, ...memory } } };
}

/** What is said, and what the reader is told. */
type Case = readonly [string, AgentParts, ContainerParts | undefined, UnusableReason, RegExp];

describe('figures are refused', () => {
  it.each<Case>([
    [
      'when the broker’s cgroup is not proved',
      { ...figures, sample: { identity: { state: 'unproven', reason: 'pid 42 is in the agent’s own cgroup' } } },
      undefined,
      'WrongCgroup',
      /another container: pid 42 is in the agent’s own cgroup/,
    ],
    [
      'when the CPU limit is not the Pod’s',
      figures,
      { runningSince: 0, limits: { cpuCores: 1 } },
      'WrongCgroup',
      /CPU limit of the cgroup is 2, that of the Pod 1/,
    ],
    [
      'when the memory limit is not the Pod’s',
      { ...figures, memoryLimitBytes: 64 * MiB, memoryBytes: MiB },
      { runningSince: 0, limits: { memoryBytes: 1024 * MiB } },
      'WrongCgroup',
      /memory limit/,
    ],
    [
      'when the broker is not found',
      { sample: { broker: null, reason: 'nothing listens on 10.0.1.7:6650' } },
      undefined,
      'BrokerNotFound',
      /nothing listens on/,
    ],
    [
      'when CPU is more than the node has',
      { ...figures, cpuCores: 4.5, cpuLimitCores: null },
      undefined,
      'Implausible',
      /4.5 cores in use are more than the 4 of the node/,
    ],
    [
      'when CPU is more than the limit allows',
      { ...figures, cpuCores: 2.3 },
      undefined,
      'Implausible',
      /2.3 cores in use are more than the 2 of its limit/,
    ],
    [
      'when memory is more than the limit allows',
      { ...figures, memoryBytes: 1100 * MiB },
      undefined,
      'Implausible',
      /1153433600 bytes of memory in use are more than the 1073741824 of the limit/,
    ],
    [
      'when memory is more than the node has',
      { ...figures, memoryLimitBytes: null, memoryBytes: 10_000 * MiB },
      undefined,
      'Implausible',
      /more than the 8589934592 of the node's memory/,
    ],
    [
      'when the average of CPU, by which topics are placed, is more than the limit allows',
      saying({ cpu: { averageCores: 1e9 } }),
      undefined,
      'Implausible',
      /1000000000 cores on average in use are more than the 4 of the node/,
    ],
    [
      'when the average of memory is more than there is',
      saying({ memory: { averageWorkingSetBytes: 1e18 } }),
      undefined,
      'Implausible',
      /bytes of memory on average in use are more than/,
    ],
    [
      'when an interval of nothing is to excuse more CPU than the limit allows',
      { ...figures, cpuCores: 3.9, sample: { intervalSeconds: 0 } },
      undefined,
      'Implausible',
      /3.9 cores in use are more than the 2 of its limit/,
    ],
    [
      'when CPU is more than the Pod’s limit, and the agent knows none',
      { ...figures, cpuCores: 2, cpuLimitCores: null, sample: nodeOfUnknownSize },
      { runningSince: 0, limits: { cpuCores: 1 } },
      'Implausible',
      /2 cores in use are more than the 1 of the Pod's limit/,
    ],
    [
      'when nothing bounds CPU',
      { ...figures, cpuLimitCores: null, sample: nodeOfUnknownSize },
      undefined,
      'Implausible',
      /neither a limit nor the size of the node is known; give the broker's container limits/,
    ],
    [
      'when nothing bounds memory',
      { ...figures, memoryLimitBytes: null, sample: nodeOfUnknownSize },
      undefined,
      'Implausible',
      /bytes of memory are in use, and neither/,
    ],
    [
      'when traffic is more than any machine does',
      { ...figures, sample: { network: { ...exampleReport.network, sentBytesPerSecond: 1.7e308 } } },
      undefined,
      'Implausible',
      /network.sentBytesPerSecond is 1.7e\+308, and nothing does or has more than 1000000000000;/,
    ],
    [
      'when a disk writes more than any machine does',
      { ...figures, sample: { disk: { ...exampleReport.disk, writeBytesPerSecond: 1.1e12 } } },
      undefined,
      'Implausible',
      /disk.writeBytesPerSecond is 1100000000000/,
    ],
    [
      'when a topic does',
      { ...figures, sample: { topics: { messagesOutPerSecond: 1, bytesOutPerSecond: 1, busiest: [topicOf(2e12)] } } },
      undefined,
      'Implausible',
      /bytes in of \/default\/orders is 2000000000000/,
    ],
    [
      'when the limit is more than any machine has: its broker would never be full',
      { ...figures, cpuLimitCores: 1e300 },
      undefined,
      'Implausible',
      /cpu.limitCores is 1e\+300/,
    ],
    [
      'when counters went back',
      { ...figures, seen: { contradiction: 'cpu.usageSeconds went back' } },
      undefined,
      'Implausible',
      /went back/,
    ],
    [
      'when the process is older than its container: a reused pid, another broker',
      { ...figures, sample: { broker: broker(0) } },
      { runningSince: 500, restartCount: 1 },
      'Implausible',
      /process 42 is 500 s older than the broker's container/,
    ],
    [
      'when it comes from the future',
      { ...figures, seen: { aheadMs: 3_600_000 } },
      undefined,
      'Implausible',
      /3600 s in the future; check the clocks/,
    ],
    [
      'when the agent answers nonsense',
      { ...figures, failure: { kind: 'Unusable', message: 'version: want 2, got 1' } },
      undefined,
      'Implausible',
      /version: want 2, got 1/,
    ],
    [
      'when nothing came for half a minute',
      { ...figures, seenAt: 969, failure: { kind: 'Unanswered', message: 'connect ECONNREFUSED' } },
      undefined,
      'Stale',
      /31 s old: connect ECONNREFUSED/,
    ],
    [
      'when the same sample comes again and again',
      { ...figures, seenAt: 969 },
      undefined,
      'Stale',
      /answers with sample 7 again and again; restart/,
    ],
    [
      'when the first sample may be of long ago, until another one comes',
      { ...figures, seen: { aheadMs: -3_600_000, isFollowing: false } },
      undefined,
      'Stale',
      /3600 s old by the clock of its node/,
    ],
    [
      'when they are of the process before the restart of the container',
      { ...figures, seenAt: 990, sample: { broker: broker(0) } },
      { runningSince: 995, restartCount: 1 },
      'Stale',
      /before the container was restarted/,
    ],
  ])('%s', (_when, agent, container, reason, message) => {
    expect(judge(agent, container)).toEqual({ usable: false, reason, message: expect.stringMatching(message) });
  });

  it('when no agent has answered, with what was tried', () => {
    const failure = { kind: 'Unanswered', message: 'connect ECONNREFUSED 10.0.1.7:9641' } as const;

    expect(judgeAgent(undefined, podWith(), at(NOW))).toMatchObject({ reason: 'NoAgent', message: /at Pod danube-0$/ });
    expect(judgeAgent({ last: undefined, failure }, podWith(), at(NOW))).toMatchObject({
      reason: 'NoAgent',
      message: /danube-0: connect ECONNREFUSED/,
    });
    expect(judgeAgent(buildAgent({}, NOW), undefined, at(NOW))).toMatchObject({ reason: 'NoAgent' });
  });
});

describe('figures are used', () => {
  it.each<[string, AgentParts, ContainerParts?]>([
    ['when all is well', figures],
    ['when nothing is known of use and limits', {}],
    ['when the agent did not answer once', { ...figures, failure: { kind: 'Unanswered', message: 'timed out' } }],
    ['when they are not quite half a minute old', { ...figures, seenAt: 970.1 }],
    ['when a slow agent’s next sample is not due yet', { ...figures, seenAt: 850, sample: { intervalSeconds: 60 } }],
    ['when the clock of the node is behind, and samples keep coming', { ...figures, seen: { aheadMs: -3_600_000 } }],
    ['when clocks differ by minutes', { ...figures, seen: { aheadMs: 240_000 } }],
    ['when the limit let through a burst', { ...figures, cpuCores: 2.2 }],
    [
      'when a short interval ended with a whole period too much',
      { ...figures, cpuCores: 2.5, sample: { intervalSeconds: 1 } },
    ],
    ['when the kernel charged a batch of memory too much', { ...figures, memoryBytes: 1030 * MiB }],
    ['when the Pod has these limits', figures, { runningSince: 0, limits: { cpuCores: 2, memoryBytes: 1024 * MiB } }],
    ['when the Pod has no limits', figures, { runningSince: 0 }],
    [
      'when the limit is below the smallest quota of the kernel',
      { ...figures, cpuCores: 0.01, cpuLimitCores: 0.01 },
      { runningSince: 0, limits: { cpuCores: 0.001 } },
    ],
    [
      'when the kubelet sets no CPU quota',
      { ...figures, cpuLimitCores: null },
      { runningSince: 0, limits: { cpuCores: 2 } },
    ],
    [
      'when the limit of all Pods of the node is the lower one',
      { ...figures, memoryLimitBytes: 7000 * MiB },
      { runningSince: 0, limits: { memoryBytes: 16_384 * MiB } },
    ],
    [
      'when the broker was made just before its container counted as started',
      { ...figures, sample: { broker: broker(493) } },
      { runningSince: 500 },
    ],
    ['when a supervisor restarted the broker in its container', { ...figures, sample: { broker: broker(900) } }],
    ['when the container’s status is not known', { ...figures, sample: { broker: broker(0) } }, {}],
  ])('%s', (_when, agent, container) => {
    const judgement = judge(agent, container);

    expect(judgement).toMatchObject({ usable: true });
  });
});

it('an agent that says its interval is a year goes stale all the same', () => {
  expect(judge({ seenAt: 690, sample: { intervalSeconds: 31_536_000 } })).toMatchObject({ reason: 'Stale' });
});

it('every refusal says something, whatever the figures are', () => {
  const figure = fc.option(fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }), { nil: null });
  const agent = fc.record({
    cpuCores: figure,
    cpuLimitCores: figure,
    memoryBytes: figure,
    memoryLimitBytes: figure,
    seenAt: fc.double({ min: 0, max: NOW, noNaN: true }),
    sample: fc.record({ intervalSeconds: fc.double({ min: 0, max: 1e9, noNaN: true }) }),
    seen: fc.record({ aheadMs: fc.double({ min: -1e13, max: 1e13, noNaN: true }), isFollowing: fc.boolean() }),
  });

  fc.assert(
    fc.property(agent, (parts) => {
      const judgement = judge(parts);

      expect(judgement.usable || judgement.message).toBeTruthy();
      expect(JSON.stringify(judgement)).not.toMatch(/undefined|NaN|Infinity/);
    }),
  );
});
