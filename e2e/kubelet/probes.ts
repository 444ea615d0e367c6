import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Container, Probe } from './types.ts';

export interface ProbeTarget {
  readonly podIP: string;
  readonly ports: Container['ports'];
  /** Runs a command as the container would; resolves with its exit code. */
  readonly exec: (command: readonly string[], timeoutMs: number) => Promise<number | null>;
}

export interface WatchProbeOptions {
  readonly probe: Probe;
  readonly target: ProbeTarget;
  /** What counts before the first result: a container is live until shown otherwise, and not ready until shown. */
  readonly initially: boolean;
  readonly onChange: (passes: boolean) => void;
  readonly signal: AbortSignal;
}

/** Repeats a probe until `signal` aborts, and tells each change of the verdict that the thresholds allow. */
export async function watchProbe({ probe, target, initially, onChange, signal }: WatchProbeOptions): Promise<void> {
  const verdict = createVerdict(probe, initially);
  const pause = (seconds: number) => delay(seconds * 1000, undefined, { signal });
  try {
    await pause(probe.initialDelaySeconds ?? 0);
    for (;;) {
      const passed = await passes(probe, target);
      signal.throwIfAborted();
      const changed = verdict(passed);
      if (changed !== undefined) onChange(changed);
      await pause(probe.periodSeconds ?? 10);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/**
 * The thresholds of a probe: takes results one by one and gives the new verdict whenever it changes. A failing verdict is given again
 * each time the failures reach the threshold anew, so that a container that is killed in vain is killed again.
 */
export function createVerdict(
  { successThreshold = 1, failureThreshold = 3 }: Probe,
  initially: boolean,
): (passed: boolean) => boolean | undefined {
  let verdict = initially;
  let last: boolean | undefined;
  let inARow = 0;
  return (passed) => {
    inARow = passed === last ? inARow + 1 : 1;
    last = passed;
    if (inARow < (passed ? successThreshold : failureThreshold)) return undefined;
    if (!passed) inARow = 0;
    if (passed && verdict) return undefined;
    verdict = passed;
    return passed;
  };
}

async function passes({ tcpSocket, httpGet, exec, timeoutSeconds = 1 }: Probe, target: ProbeTarget): Promise<boolean> {
  const timeoutMs = timeoutSeconds * 1000;
  try {
    if (tcpSocket) return await tcpPasses(tcpSocket.host ?? target.podIP, portOf(tcpSocket.port, target), timeoutMs);
    if (httpGet) return await httpPasses(httpGet, target, timeoutMs);
    if (exec) return (await target.exec(exec.command ?? [], timeoutMs)) === 0;
  } catch {
    // Refused, reset, too late: whatever the reason, the probe did not pass.
    return false;
  }
  // Another kind, which this kubelet does not know (gRPC).
  return false;
}

async function tcpPasses(host: string, port: number, timeoutMs: number): Promise<boolean> {
  const socket = connect({ host, port });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(timeoutMs) });
    return true;
  } finally {
    socket.destroy();
  }
}

async function httpPasses(
  get: NonNullable<Probe['httpGet']>,
  target: ProbeTarget,
  timeoutMs: number,
): Promise<boolean> {
  const transport = get.scheme === 'HTTPS' ? https : http;
  const request = transport.get({
    host: get.host ?? target.podIP,
    port: portOf(get.port, target),
    path: get.path ?? '/',
    headers: Object.fromEntries((get.httpHeaders ?? []).map(({ name, value }) => [name, value])),
    agent: false,
    // A kubelet does not check certificates either.
    rejectUnauthorized: false,
    signal: AbortSignal.timeout(timeoutMs),
  });
  const [response]: http.IncomingMessage[] = await once(request, 'response');
  response?.destroy();
  const status = response?.statusCode ?? 0;
  return status >= 200 && status < 400;
}

function portOf(port: number | string, { ports = [] }: ProbeTarget): number {
  return ports.find(({ name }) => name !== undefined && name === port)?.containerPort ?? Number(port);
}
