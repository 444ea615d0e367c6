import { parseArgs } from 'node:util';
import { bounds, type PodIdentity } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import { parseSocketAddress, type SocketAddress } from './address.ts';

export interface Settings {
  readonly listen: SocketAddress;
  readonly brokerAddress: SocketAddress;
  readonly intervalSeconds: number;
  readonly procRoot: string;
  readonly pod: PodIdentity;
}

export const usageText = `usage: agent --listen HOST:PORT --broker-address HOST:PORT [--interval-seconds 2] [--proc /proc]
with POD_NAME, POD_NAMESPACE and POD_UID in the environment (downward API)`;

const intervalBounds = { min: 0.1, max: 60 } as const;

/** Reads flags and environment; the problem names all mistakes, one a line. */
export function parseSettings(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Settings | Problem {
  const flags = parseFlags(args);
  if (isProblem(flags)) return flags;
  const listen = addressFlag('--listen', flags.listen);
  const brokerAddress = addressFlag('--broker-address', flags['broker-address']);
  const intervalSeconds = parseInterval(flags['interval-seconds']);
  const name = podVariable('POD_NAME', env);
  const namespace = podVariable('POD_NAMESPACE', env);
  const uid = podVariable('POD_UID', env);
  if (
    isProblem(listen) ||
    isProblem(brokerAddress) ||
    isProblem(intervalSeconds) ||
    isProblem(name) ||
    isProblem(namespace) ||
    isProblem(uid)
  ) {
    const outcomes = [listen, brokerAddress, intervalSeconds, name, namespace, uid];
    return {
      problem: outcomes
        .filter(isProblem)
        .map((it) => it.problem)
        .join('\n'),
    };
  }
  return { listen, brokerAddress, intervalSeconds, procRoot: flags.proc, pod: { name, namespace, uid } };
}

interface Flags {
  readonly listen?: string | undefined;
  readonly 'broker-address'?: string | undefined;
  readonly 'interval-seconds': string;
  readonly proc: string;
}

function parseFlags(args: readonly string[]): Flags | Problem {
  try {
    const { values } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        listen: { type: 'string' },
        'broker-address': { type: 'string' },
        'interval-seconds': { type: 'string', default: '2' },
        proc: { type: 'string', default: '/proc' },
      },
    });
    return values;
  } catch (error) {
    // The errors of parseArgs name the flag and say how to write it.
    if (error instanceof TypeError) return { problem: error.message };
    throw error;
  }
}

function addressFlag(flag: string, value: string | undefined): SocketAddress | Problem {
  if (value === undefined) return { problem: `${flag} is required: an IP address and port, as in 10.0.0.7:6650` };
  const address = parseSocketAddress(value);
  return isProblem(address) ? { problem: `${flag}: ${address.problem}` } : address;
}

function parseInterval(text: string): number | Problem {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  return seconds >= intervalBounds.min && seconds <= intervalBounds.max
    ? seconds
    : { problem: `--interval-seconds: "${text}" is no number from ${intervalBounds.min} to ${intervalBounds.max}` };
}

function podVariable(name: string, env: Readonly<Record<string, string | undefined>>): string | Problem {
  const value = env[name] ?? '';
  if (value !== '' && value.length <= bounds.nameCharacters) return value;
  const field = { POD_NAME: 'metadata.name', POD_NAMESPACE: 'metadata.namespace', POD_UID: 'metadata.uid' }[name];
  return { problem: `${name} is required in the environment: set it with fieldRef ${field}` };
}
