import type { Server } from 'node:http';
import { cpus, freemem, totalmem } from 'node:os';
import type { AgentReport } from '../api/agent-report.ts';
import { isProblem } from '../api/problem.ts';
import { formatSocketAddress } from './address.ts';
import { createOsSampler } from './os-sampler.ts';
import { createSampler } from './sampler.ts';
import { startSamplingLoop } from './sampling-loop.ts';
import { createReportServer } from './server.ts';
import { defaultProcRoot, parseSettings, type Settings, usageText } from './settings.ts';

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
  const loop = startSamplingLoop({
    sample,
    intervalSeconds: settings.intervalSeconds,
    clock,
    onReport: createChangeLog(),
  });
  const server = createReportServer(loop);

  const stop = (): void => {
    loop.stop();
    server.close();
    server.closeAllConnections();
  };
  process.once('SIGTERM', stop);
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
