import { cpus, freemem, totalmem } from 'node:os';
import { expect, it } from 'vitest';
import { type AgentReport, parseReport } from '../api/agent-report.ts';
import { createOsSampler, type Machine } from './os-sampler.ts';

const pod = { name: 'broker-0', namespace: 'messaging', uid: '5b1f' };

function createSampler(machine: Partial<Machine>, elapsed = { milliseconds: 0 }): () => AgentReport {
  const sample = createOsSampler({
    pod,
    intervalSeconds: 10,
    clock: {
      wallMilliseconds: () => 1_700_000_000_000 + elapsed.milliseconds,
      monotonicMilliseconds: () => elapsed.milliseconds,
    },
    machine: { platform: 'darwin', cpus, totalmem, freemem, ...machine },
  });
  return () => {
    const report = sample();
    expect(parseReport(JSON.stringify(report))).toEqual(report);
    return report;
  };
}

it('figures are those of the whole machine, and said to be: nobody’s proof', () => {
  const elapsed = { milliseconds: 0 };
  const times = { user: 1_000, nice: 0, sys: 500, irq: 0, idle: 9_000 };
  const machine = { cpus: () => [{ times }, { times }], totalmem: () => 8_000, freemem: () => 3_000 };
  const sample = createSampler(machine, elapsed);
  sample();
  times.user += 2_000;
  elapsed.milliseconds = 10_000;

  expect(sample()).toMatchObject({
    sequence: 2,
    mode: null,
    broker: null,
    identity: { state: 'unproven', reason: expect.stringContaining('no /proc on darwin') },
    cpu: { source: 'os', usageSeconds: 7, cores: 0.4, limitCores: null },
    memory: { source: 'os', usageBytes: 5_000, workingSetBytes: null },
    disk: { source: null },
    network: { source: null },
    node: { cores: 2, memoryBytes: 8_000 },
  });
});

it('a real machine gives figures, too', () => {
  const { cpu, memory } = createSampler({})();

  expect(cpu.usageSeconds).toBeGreaterThan(0);
  expect(memory.usageBytes).toBeGreaterThan(0);
});

it('a machine that does not tell its processors has an unknown number of them, used for an unknown time', () => {
  expect(createSampler({ cpus: () => [] })()).toMatchObject({ node: { cores: null }, cpu: { usageSeconds: null } });
});
