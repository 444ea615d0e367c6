import type { Server } from 'node:http';
import { cpus, freemem, totalmem } from 'node:os';
import type { AgentReport } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import { formatSocketAddress } from './address.ts';
import { createDrainWait } from './drained.ts';
import { createOsSampler } from './os-sampler.ts';
import { type Clock, createSampler } from './sampler.ts';
import { startSamplingLoop } from './sampling-loop.ts';
import { createReportServer } from './server.ts';
import { defaultProcRoot, parseSettings, type Settings, usageText } from './settings.ts';
import { createExpositionClient } from './topics/fetch-exposition.ts';
import { type CpuCounter, createTopicSampler, type TopicSampler } from './topics/topic-sampler.ts';
import { readTopicsOwned } from './topics/topics-owned.ts';

/** The agent: a sidecar in every broker Pod that reports what the broker uses (design §2). */
function main(): void {
  const settings = parseSettings(process.argv.slice(2), process.env);
  if (isProblem(settings)) {
    process.stderr.write(`${settings.problem}\n${usageText}\n`);
    process.exitCode = 2;
    return;
  }
  run(settings);
}

function run(settings: Settings): void {
  const clock = { wallMilliseconds: Date.now, monotonicMilliseconds: () => performance.now() };
  // Elsewhere there is no /proc, and `--proc` may name one that was recorded.
  const hasProc = process.platform === 'linux' || settings.procRoot !== defaultProcRoot;
  const sample = hasProc
    ? createSampler({ ...settings, clock })
    : createOsSampler({ ...settings, clock, machine: { platform: process.platform, cpus, totalmem, freemem } });
  const logChanges = createChangeLog();
  let cpu: CpuCounter | null = null;
  const topics = createTopics(settings, clock, () => cpu);
  const loop = startSamplingLoop({
    sample,
    intervalSeconds: settings.intervalSeconds,
    clock,
    onReport: (report) => {
      logChanges(report);
      cpu = cpuCounterOf(report, clock.monotonicMilliseconds());
      void topics.sample();
    },
  });
  const drainWait = createDrainWait({
    podUid: settings.pod.uid,
    readTopicsOwned: createTopicsOwned(settings),
    monotonicMilliseconds: clock.monotonicMilliseconds,
  });
  const server = createReportServer({ ...loop, topics, drainWait });

  const stop = (): void => {
    loop.stop();
    server.close();
    server.closeAllConnections();
  };
  // A native sidecar is told to stop after the broker. Otherwise a hook of the broker may still wait, for as long as it
  // asked for, and for what the operator says with a pull: so all of it goes on until then.
  process.once('SIGTERM', () => drainWait.whenAllHaveGone(stop));
  process.once('SIGINT', stop);
  server.on('error', (error) => {
    log('error', `cannot serve on --listen ${formatSocketAddress(settings.listen)}: ${error.message}`);
    process.exitCode = 1;
    stop();
  });
  server.listen(settings.listen.port, settings.listen.ip, () => {
    log('info', 'listening', {
      address: addressOf(server),
      broker: settings.broker,
    });
  });
}

/** Of the broker's metrics a whole reading, however large, must be over before the next but one would begin. */
const expositionLimits = { milliseconds: 10_000, bodyBytes: 512 * 1024 * 1024 } as const;
const noMetricsUrl = "the broker's metrics endpoint is not configured: set --broker-metrics-url";

function createTopics({ brokerMetrics }: Settings, clock: Clock, readCpu: () => CpuCounter | null): TopicSampler {
  if (brokerMetrics === null) {
    return {
      sample: async () => undefined,
      report: () => ({ topics: null, topicsReason: noMetricsUrl }),
      readings: () => 0,
      skippedLines: () => 0,
    };
  }
  const fetchExposition = createExpositionClient({ endpoint: brokerMetrics, limits: expositionLimits });
  return createTopicSampler({ fetchExposition, clock, readCpu, agentStartedAt: clock.wallMilliseconds() });
}

function createTopicsOwned({ brokerMetrics }: Settings): () => Promise<number | Problem> {
  return async () =>
    brokerMetrics === null
      ? { problem: noMetricsUrl }
      : readTopicsOwned(createExpositionClient({ endpoint: brokerMetrics, limits: expositionLimits }));
}

function cpuCounterOf({ broker, cpu }: AgentReport, atMilliseconds: number): CpuCounter | null {
  if (broker === null || cpu.usageSeconds === null) return null;
  return { series: `${broker.pid} ${broker.startedAt} ${cpu.source}`, seconds: cpu.usageSeconds, atMilliseconds };
}

/** Logs which broker is reported on and how, whenever that changes. */
function createChangeLog(): (report: AgentReport) => void {
  let logged = '';
  return ({ broker, mode, identity, cpu: { source }, reason }) => {
    const fact = JSON.stringify({ broker, mode, identity, source, reason });
    if (fact === logged) return;
    logged = fact;
    log(source === null ? 'warn' : 'info', 'broker', { broker, mode, identity, source, reason });
  };
}

function addressOf(server: Server): string | null {
  const address = server.address();
  return address !== null && typeof address === 'object'
    ? formatSocketAddress({ ip: address.address, port: address.port })
    : null;
}

function log(level: 'info' | 'warn' | 'error', msg: string, fields: object = {}): void {
  process.stdout.write(`${JSON.stringify({ level, time: Date.now(), msg, ...fields })}\n`);
}

main();
