import { describe, expect, it } from 'vitest';
import { judgeAgent } from './agent-judgement.ts';
import { type BrokerFigures, brokerFigures } from './broker-figures.ts';
import { type AgentParts, at, buildAgent, buildSnapshot } from './snapshot-builder.ts';

const [POD] = buildSnapshot({ pods: [{ name: 'danube-0', container: { runningSince: 0 } }] }).pods;

function figuresOf(parts: AgentParts, pod = POD): BrokerFigures {
  const record = buildAgent(parts, 1000);
  return brokerFigures({ pod, agent: record.last, judgement: judgeAgent(record, pod, at(1000)), report: undefined });
}

const known = { cpuCores: 0.5, cpuLimitCores: 2, memoryBytes: 300e6, memoryLimitBytes: 1024 ** 3 };

describe('the figures of a broker', () => {
  it('are dated by when they came, not by the clock of their node', () => {
    const figures = figuresOf({ ...known, seenAt: 995, sample: { observedAt: at(900) } });

    expect(figures.usage?.observedAt).toBe(new Date(at(995)).toISOString());
  });

  it.each([
    ['fresh', 1000],
    ['old', 900],
  ])('leave out the traffic of the node, whose network the Pod has, when they are %s', (_age, seenAt) => {
    const own = figuresOf({ ...known, seenAt });
    const ofNode = figuresOf({ ...known, seenAt }, POD && { ...POD, hostNetwork: true });

    expect(own.usage).toMatchObject({ cpuCores: 0.5, networkSentBytesPerSecond: 3000, sources: { network: 'proc' } });
    expect(own.display?.out).toBeDefined();
    expect(ofNode.usage).toMatchObject({ cpuCores: 0.5 });
    expect(JSON.stringify(ofNode.usage)).not.toContain('network');
    expect(ofNode.display?.out).toBeUndefined();
  });

  it('leave out what is unknown', () => {
    const { usage, capacity, pressure, display, rates, topTopics } = figuresOf({
      sample: {
        disk: {
          source: null,
          readBytesPerSecond: null,
          writeBytesPerSecond: null,
          readsPerSecond: null,
          writesPerSecond: null,
          pressure: null,
        },
        network: { source: null, receivedBytesPerSecond: null, sentBytesPerSecond: null, errorsPerSecond: null },
        fileDescriptors: { source: null, open: null, limit: null },
      },
    });

    expect(usage).toEqual({
      cpuThrottledPercent: 10,
      sources: { cpu: 'cgroup-v2', memory: 'cgroup-v2' },
      observedAt: expect.any(String),
    });
    expect(capacity).toBeUndefined();
    expect(pressure).toEqual({ cpuPercent: 2, memoryPercent: 0 });
    expect(display).toEqual({});
    expect(rates).toBeUndefined();
    expect(topTopics).toBeUndefined();
  });

  it('are those of the topics where the agent reads them', () => {
    const { rates, topTopics, display } = figuresOf({
      ...known,
      sample: {
        topics: {
          messagesOutPerSecond: 12.34567,
          bytesOutPerSecond: 2_345_678.9,
          busiest: [
            {
              topic: '/default/orders',
              cpuCores: 0.20049,
              bytesInPerSecond: 1.6,
              bytesOutPerSecond: null,
              lagMessages: 3,
            },
          ],
        },
      },
    });

    expect(rates).toEqual({ messagesOutPerSecond: 12.346, bytesOutPerSecond: 2_345_679 });
    expect(topTopics).toEqual([{ topic: '/default/orders', cpuCores: 0.2, bytesInPerSecond: 2, lagMessages: 3 }]);
    expect(display?.out).toBe('2.35MB/s');
  });

  it.each<[string, Partial<AgentParts>]>([
    ['may be another container’s', { sample: { identity: { state: 'unproven', reason: 'x' } } }],
    ['cannot be true', { cpuCores: 100 }],
    ['are of no broker', { sample: { broker: null, reason: 'x' } }],
  ])('are not shown when they %s', (_what, lie) => {
    expect(figuresOf({ ...known, ...lie })).toEqual({ display: {} });
  });

  it('stay when they are only old', () => {
    expect(figuresOf({ ...known, seenAt: 900 })).toMatchObject({
      usage: { cpuCores: 0.5, observedAt: new Date(at(900)).toISOString() },
      display: { cpu: '0.50/2' },
    });
  });

  it('are cut to what can be written, so that no figure keeps a whole status from being written', () => {
    const { usage } = figuresOf({
      ...known,
      sample: { fileDescriptors: { source: 'proc', open: 2 ** 52, limit: null } },
    });

    expect(usage?.openFiles).toBe(1e15);
  });
});

describe('the columns', () => {
  it.each([
    [0, '0Mi'],
    [327_155_712, '312Mi'],
    [1024 ** 3, '1Gi'],
    [1.55 * 1024 ** 3, '1.6Gi'],
  ])('show %d bytes as %s', (memoryBytes, text) => {
    expect(figuresOf({ memoryBytes }).display?.memory).toBe(text);
  });

  it('show usage with the limit, if there is one', () => {
    expect(figuresOf(known).display).toMatchObject({ cpu: '0.50/2', memory: '286Mi/1Gi' });
    expect(figuresOf({ cpuCores: 0.5 }).display).toMatchObject({ cpu: '0.50' });
  });
});
