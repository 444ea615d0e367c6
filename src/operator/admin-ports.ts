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
}

const INTERVAL_MS = 100;
const TIMEOUT_MS = 1000;

export function startAdminProber({ targets, onAnswer }: AdminProberOptions): { stop(): void } {
  const busy = new Set<string>();
  const timer = setInterval(() => {
    for (const { broker, host, port } of targets()) {
      if (busy.has(broker)) continue;
      busy.add(broker);
      const socket = net.connect({ host, port, timeout: TIMEOUT_MS });
      socket.on('connect', () => {
        onAnswer(broker);
        socket.destroy();
      });
      socket.on('timeout', () => socket.destroy());
      // Not open yet: tried again. If it never opens to us, the broker counts as watching some time after its report.
      socket.on('error', () => socket.destroy());
      socket.on('close', () => busy.delete(broker));
    }
  }, INTERVAL_MS);
  return { stop: () => clearInterval(timer) };
}
