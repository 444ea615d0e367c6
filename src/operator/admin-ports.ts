/**
 * Whether brokers watch their assignments: a broker opens its admin port last of all (contract §6), so a connection to it
 * after the broker's registration was seen is the earliest sure sign, well before the kubelet's next readiness probe.
 */
import net from 'node:net';

export interface AdminTarget {
  readonly broker: string;
  readonly host: string;
  readonly port: number;
}

export interface AdminProberOptions {
  /** Registered brokers that have not answered yet. */
  readonly targets: () => readonly AdminTarget[];
  readonly onAnswer: (broker: string) => void;
  /** Begins a connection; default `net.connect`. */
  readonly connect?: (options: net.TcpNetConnectOpts) => net.Socket;
  /** Milliseconds by a clock that never goes back. */
  readonly now?: () => number;
}

const INTERVAL_MS = 100;
const TIMEOUT_MS = 1000;
/**
 * A broker is asked again after this share of the time for which it has been asked: one that starts is noticed at once, and a
 * thousand whose ports never open to us, behind a firewall for instance, cost next to nothing.
 */
const PATIENCE = 0.1;
const MAX_WAIT_MS = 10_000;

interface Probe {
  readonly since: number;
  isBusy: boolean;
  nextAt: number;
}

export function startAdminProber(options: AdminProberOptions): { stop(): void } {
  const { targets, onAnswer, connect = net.connect, now = () => performance.now() } = options;
  const probes = new Map<string, Probe>();

  function probe({ broker, host, port }: AdminTarget, state: Probe): void {
    state.isBusy = true;
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    socket.on('connect', () => {
      onAnswer(broker);
      socket.destroy();
    });
    socket.on('timeout', () => socket.destroy());
    // Not open yet: tried again. If it never opens to us, the broker counts as watching some time after its report.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      state.isBusy = false;
      state.nextAt = now() + Math.min(PATIENCE * (now() - state.since), MAX_WAIT_MS);
    });
  }

  const timer = setInterval(() => {
    const asked = targets();
    const brokers = new Set(asked.map(({ broker }) => broker));
    for (const broker of probes.keys()) if (!brokers.has(broker)) probes.delete(broker);
    const moment = now();
    for (const target of asked) {
      const state = probes.get(target.broker) ?? { since: moment, isBusy: false, nextAt: moment };
      probes.set(target.broker, state);
      if (!state.isBusy && moment >= state.nextAt) probe(target, state);
    }
  }, INTERVAL_MS);
  return { stop: () => clearInterval(timer) };
}
