/** The agents' own server, with samples that a test makes up. */
import { once } from 'node:events';
import { createReportServer } from '../../src/agent/server.ts';
import type { AgentReport } from '../../src/api/agent-report.ts';

export interface CannedAgentOptions {
  readonly host: string;
  readonly port: number;
  readonly latest: () => AgentReport;
}

export interface CannedAgent {
  stop(): Promise<void>;
}

export async function startCannedAgent({ host, port, latest }: CannedAgentOptions): Promise<CannedAgent> {
  const server = createReportServer({
    latest,
    isAlive: () => true,
    topics: {
      report: () => {
        const { topics, topicsReason } = latest();
        return { topics, topicsReason };
      },
      readings: () => latest().sequence,
      skippedLines: () => 0,
    },
    drainWait: { sayDone: () => undefined, wait: () => ({ problem: 'nothing is drained here' }) },
  });
  server.listen(port, host);
  await once(server, 'listening');
  return {
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
