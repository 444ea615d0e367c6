import { Agent, get } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import type { AgentReport } from '../../../../src/api/agent-report.ts';
import { areConsecutive, haveKnownIntervals } from '../figures.ts';
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
  /** Those whose samples began at this moment or later. */
  readonly since: (moment: number) => readonly AgentReport[];
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

const ATTEMPTS = 20;
const POLL_MS = 100;
/** Long, because the machine under the machine may be busy. */
const PATIENCE_MS = 180_000;
const PULL_TIMEOUT_MS = 5_000;
const CONNECTIONS = new Agent({ keepAlive: true });

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
    since: (moment) => reports.filter(({ observedAt }) => observedAt >= moment),
    stop: async () => {
      stopping.abort();
      await following;
      await container.kill();
    },
  };
}

/** Null while the agent is not listening yet, or is just being stopped: `after` has the deadline. */
function pull(url: string): Promise<AgentReport | null> {
  return new Promise((resolve) => {
    const request = get(url, { agent: CONNECTIONS, timeout: PULL_TIMEOUT_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('error', () => resolve(null));
      response.on('end', () => resolve(JSON.parse(text)));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
  });
}

/**
 * A report beside the kernel's own figures, of a moment at which these stand still.
 *
 * @throws Error when they do not come to rest.
 */
export async function atRest<T>(
  agent: WatchedAgent,
  readKernel: () => T,
): Promise<{ readonly report: AgentReport; readonly kernel: T }> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const before = readKernel();
    const report = await agent.after(Date.now());
    const kernel = readKernel();
    if (isDeepStrictEqual(before, kernel)) return { report, kernel };
  }
  throw new Error(`the kernel's figures did not come to rest in ${ATTEMPTS} samples: ${JSON.stringify(readKernel())}`);
}

/**
 * Repeats an experiment on rates until the machine was calm enough for it: no sample missed, and each taken in one go, so that it is known
 * of which interval its rates are. Of others nothing follows, neither good nor bad.
 *
 * @throws Error when the machine never was.
 */
export function whenCalm<T extends { readonly reports: readonly AgentReport[] }>(
  experiment: () => Promise<T>,
  toleratedShare: number,
): Promise<T> {
  return repeatUntil(
    experiment,
    ({ reports }) => areConsecutive(reports) && haveKnownIntervals(reports, toleratedShare),
  );
}

/** Repeats an experiment of which a sample was missed. */
export function withAllSamples<T extends { readonly reports: readonly AgentReport[] }>(
  experiment: () => Promise<T>,
): Promise<T> {
  return repeatUntil(experiment, ({ reports }) => areConsecutive(reports));
}

/** @throws Error when none of many attempts was sound. */
export async function repeatUntil<T>(experiment: () => Promise<T>, isSound: (found: T) => boolean): Promise<T> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const found = await experiment();
    if (isSound(found)) return found;
  }
  throw new Error(`in none of ${ATTEMPTS} attempts the samples came on time: the machine is too busy`);
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
