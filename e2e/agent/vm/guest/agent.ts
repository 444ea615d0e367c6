import type { AgentReport } from '../../../../src/api/agent-report.ts';
import { type Container, type ContainerOptions, type Pod, startContainer } from './containers.ts';

export const BROKER_PORT = 6650;

export interface AgentOptions extends Omit<ContainerOptions, 'command' | 'env' | 'name' | 'processNamespace'> {
  readonly name?: string;
  readonly processNamespace?: 'pod' | 'own';
  /** Where the broker listens; default: on BROKER_PORT. */
  readonly brokerPort?: number;
  readonly port?: number;
  readonly intervalSeconds?: number;
  readonly flags?: readonly string[];
}

/** An agent and all the reports that it has made, as far as they were caught. */
export interface WatchedAgent {
  readonly container: Container;
  readonly reports: readonly AgentReport[];
  /** The first report whose sample began at this moment (epoch ms) or later, when there is one. */
  readonly after: (moment: number) => Promise<AgentReport>;
  readonly stop: () => Promise<void>;
}

export function agentCommand({
  brokerPort = BROKER_PORT,
  port = 9700,
  intervalSeconds = 1,
  flags = [],
}: Omit<AgentOptions, 'pod'>): readonly string[] {
  return [
    ...['node', '/app/agent.mjs', '--listen', `0.0.0.0:${port}`, '--broker-address', `0.0.0.0:${brokerPort}`],
    ...['--interval-seconds', `${intervalSeconds}`, ...flags],
  ];
}

export function podEnvironment(pod: Pod): Readonly<Record<string, string>> {
  return { POD_NAME: 'danube-core-broker-0', POD_NAMESPACE: 'messaging', POD_UID: pod.uid };
}

/** Starts an agent as a sidecar with the uid of the broker. */
export function startAgent(options: AgentOptions): WatchedAgent {
  const { name = 'agent', processNamespace = 'pod', pod, port = 9700 } = options;
  const container = startContainer({
    ...options,
    name,
    processNamespace,
    env: podEnvironment(pod),
    command: agentCommand(options),
  });
  return watchAgent(container, `http://${pod.ip}:${port}/report`);
}

const POLL_MS = 200;
const PATIENCE_MS = 60_000;

export function watchAgent(container: Container, url: string): WatchedAgent {
  const reports: AgentReport[] = [];
  const stopping = new AbortController();
  const following = (async () => {
    while (!stopping.signal.aborted) {
      const report = await pull(url);
      if (report !== null && report.observedAt !== reports.at(-1)?.observedAt) reports.push(report);
      await pause(POLL_MS);
    }
  })();
  return {
    container,
    reports,
    after: async (moment) => {
      const deadline = performance.now() + PATIENCE_MS;
      for (;;) {
        const report = reports.find(({ observedAt }) => observedAt >= moment);
        if (report !== undefined) return report;
        if (performance.now() > deadline) {
          throw new Error(`no report from ${url} since ${moment}; the last is ${JSON.stringify(reports.at(-1))}`);
        }
        await pause(POLL_MS);
      }
    },
    stop: async () => {
      stopping.abort();
      await following;
      await container.kill();
    },
  };
}

async function pull(url: string): Promise<AgentReport | null> {
  const response = await fetch(url).catch((error: unknown) => {
    // Not listening yet, or just being stopped: `after` has the deadline.
    if (error instanceof TypeError) return null;
    throw error;
  });
  return response === null ? null : ((await response.json()) as AgentReport);
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
