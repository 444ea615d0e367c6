/** Pulls the agents' reports, each Pod on its own, so that a slow one does not delay the others. */
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { type AgentReport, parseReport } from '../api/agent-report.ts';
import type { AgentUsage } from '../core/snapshot.ts';

export interface AgentTarget {
  readonly podUID: string;
  readonly host: string;
  readonly port: number;
}

export interface AgentPullerOptions {
  readonly targets: () => readonly AgentTarget[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly onReport: (podUID: string, usage: AgentUsage) => void;
  /** An agent did not answer or answered nonsense. */
  readonly onProblem: (target: AgentTarget, problem: string) => void;
}

export interface AgentPuller {
  stop(): void;
}

export function startAgentPuller(options: AgentPullerOptions): AgentPuller {
  const busy = new Set<string>();

  async function pull(target: AgentTarget): Promise<void> {
    if (busy.has(target.podUID)) return;
    busy.add(target.podUID);
    try {
      const nonce = randomUUID();
      const report = parseReport(await fetchText(target, nonce, options.timeoutMs));
      const problem = 'problem' in report ? report.problem : foreignAnswer(report, target, nonce);
      if ('problem' in report || problem !== undefined) options.onProblem(target, problem ?? '');
      else options.onReport(target.podUID, toUsage(report));
    } catch (error) {
      options.onProblem(target, error instanceof Error ? error.message : String(error));
    } finally {
      busy.delete(target.podUID);
    }
  }

  const timer = setInterval(() => {
    for (const target of options.targets()) void pull(target);
  }, options.intervalMs);
  return { stop: () => clearInterval(timer) };
}

/** An answer of another Pod or to another request: a reused address, a cache in between. */
function foreignAnswer(report: AgentReport, target: AgentTarget, nonce: string): string | undefined {
  if (report.nonce !== nonce) return 'the answer does not carry the nonce of the request';
  if (report.pod.uid !== target.podUID) return `the answer is of Pod uid ${report.pod.uid}, not ${target.podUID}`;
  return undefined;
}

function toUsage(report: AgentReport): AgentUsage {
  return {
    observedAt: report.observedAt,
    cpuCores: report.cpu.cores,
    memoryBytes: report.memory.workingSetBytes,
    cpuLimitCores: report.cpu.limitCores,
    memoryLimitBytes: report.memory.limitBytes,
    source: report.cpu.source === 'os' ? null : report.cpu.source,
    reason: report.reason,
  };
}

const MAX_ANSWER_BYTES = 256 * 1024;

function fetchText({ host, port }: AgentTarget, nonce: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const request = http.get({ host, port, path: `/report?nonce=${nonce}`, signal }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) request.destroy(new Error(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`));
        chunks.push(chunk);
      });
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`HTTP ${response.statusCode}: ${text.slice(0, 200)}`));
      });
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}
