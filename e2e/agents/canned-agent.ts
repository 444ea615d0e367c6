/** The agents' own server, with samples that a test makes up. */
import { once } from 'node:events';
import type { Server } from 'node:http';
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

/** Not yet listening. */
export function createCannedServer(latest: () => AgentReport): Server {
  return createReportServer({
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
    drainWait: { sayDone: () => undefined, wait: async () => ({ drained: false, why: 'TimeUp', waitedSeconds: 0 }) },
  });
}

export async function startCannedAgent({ host, port, latest }: CannedAgentOptions): Promise<CannedAgent> {
  const server = createCannedServer(latest);
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
