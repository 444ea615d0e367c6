import type { AgentReport } from '../../../../src/api/agent-report.ts';
import { type Container, type ContainerOptions, type Pod, startContainer } from './containers.ts';

export const BROKER_PORT = 6650;

export interface AgentOptions extends Omit<ContainerOptions, 'command' | 'env' | 'name' | 'processNamespace'> {
  readonly name?: string;
  readonly processNamespace?: 'pod' | 'own';
  /** How it knows the broker; default: by its listening on BROKER_PORT. */
  readonly broker?: readonly string[];
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
  broker = brokerOn(BROKER_PORT),
  port = 9700,
  intervalSeconds = 1,
  flags = [],
}: Omit<AgentOptions, 'pod'>): readonly string[] {
  return [
    ...['node', '/app/agent.mjs', '--listen', `0.0.0.0:${port}`, ...broker],
    ...['--interval-seconds', `${intervalSeconds}`, ...flags],
  ];
}

export function brokerOn(port: number): readonly string[] {
  return ['--broker-address', `0.0.0.0:${port}`];
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
/** Long, because the machine under the machine may be busy. */
const PATIENCE_MS = 180_000;
const PULL_TIMEOUT_MS = 5_000;

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
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PULL_TIMEOUT_MS) });
    return (await response.json()) as AgentReport;
  } catch (error) {
    // Not listening yet, or just being stopped: `after` has the deadline.
    if (error instanceof TypeError || error instanceof DOMException) return null;
    throw error;
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
