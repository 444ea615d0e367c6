import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { bounds, type PodIdentity } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import { parseSocketAddress, type SocketAddress } from './address.ts';
import type { BrokerTraits } from './find-broker.ts';
import type { PodLimits } from './identity.ts';
import { parseBytes, parseCores } from './quantities.ts';
import type { Endpoint } from './topics/fetch-exposition.ts';

export interface Settings {
  readonly listen: SocketAddress;
  readonly broker: BrokerTraits;
  /** The broker's Prometheus endpoint; null when there is none. */
  readonly brokerMetrics: Endpoint | null;
  readonly intervalSeconds: number;
  readonly procRoot: string;
  readonly hostCgroupRoot: string | undefined;
  readonly pod: PodIdentity;
  readonly podLimits: PodLimits;
}

export const usageText = `usage: agent --listen HOST:PORT, and by what the broker is known, one or more of
  --broker-address HOST:PORT   where it listens
  --broker-process NAME        the name of its program
  --broker-container ID        the id of its container, or how it begins
optional:
  --broker-metrics-url URL     its Prometheus endpoint, as in http://10.0.0.7:9040/metrics: figures of single topics
  --interval-seconds 10
  --host-cgroup DIR            the node's /sys/fs/cgroup, mounted read-only: the broker's cgroup is looked up there
  --cpu-limit 1500m, --memory-limit 512Mi   the limits of the broker's container (downward API): its cgroup must agree
  --proc /proc
with POD_NAME, POD_NAMESPACE and POD_UID in the environment (downward API)`;

export const defaultProcRoot = '/proc';
const intervalBounds = { min: 0.1, max: 60 } as const;

/** Reads flags and environment; the problem names all mistakes, one a line. */
export function parseSettings(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Settings | Problem {
  const flags = parseFlags(args);
  if (isProblem(flags)) return flags;
  const read = {
    listen:
      addressFlag('--listen', flags.listen) ??
      missing('--listen is required: an IP address and port, as in 10.0.0.7:9641'),
    broker: parseTraits(flags),
    brokerMetrics: parseMetricsUrl(flags['broker-metrics-url']),
    intervalSeconds: parseInterval(flags['interval-seconds']),
    cores: limitFlag('--cpu-limit', flags['cpu-limit'], parseCores, '1.5 or 1500m'),
    memoryBytes: limitFlag('--memory-limit', flags['memory-limit'], parseBytes, '536870912 or 512Mi'),
    name: podVariable('POD_NAME', 'metadata.name', env),
    namespace: podVariable('POD_NAMESPACE', 'metadata.namespace', env),
    uid: podVariable('POD_UID', 'metadata.uid', env),
  };
  if (!isComplete(read)) {
    const problems = Object.values(read).filter(isProblem);
    return { problem: problems.map((it) => it.problem).join('\n') };
  }
  const { listen, broker, brokerMetrics, intervalSeconds, cores, memoryBytes, name, namespace, uid } = read;
  return {
    listen,
    broker,
    brokerMetrics,
    intervalSeconds,
    procRoot: flags.proc,
    hostCgroupRoot: flags['host-cgroup'],
    pod: { name, namespace, uid },
    podLimits: { cores, memoryBytes },
  };
}

/** The same, when none is a problem. */
type Complete<T> = { readonly [K in keyof T]: Exclude<T[K], Problem> };

function isComplete<T extends object>(read: T): read is T & Complete<T> {
  return !Object.values(read).some(isProblem);
}

type Flags = Readonly<Record<(typeof optionalFlags)[number], string | undefined>> &
  Readonly<Record<'interval-seconds' | 'proc', string>>;

const optionalFlags = [
  'listen',
  'broker-address',
  'broker-process',
  'broker-container',
  'broker-metrics-url',
  'host-cgroup',
  'cpu-limit',
  'memory-limit',
] as const;

function parseFlags(args: readonly string[]): Flags | Problem {
  try {
    const { values } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        listen: { type: 'string' },
        'broker-address': { type: 'string' },
        'broker-process': { type: 'string' },
        'broker-container': { type: 'string' },
        'broker-metrics-url': { type: 'string' },
        'interval-seconds': { type: 'string', default: '10' },
        'host-cgroup': { type: 'string' },
        'cpu-limit': { type: 'string' },
        'memory-limit': { type: 'string' },
        proc: { type: 'string', default: defaultProcRoot },
      },
    });
    return values as Flags;
  } catch (error) {
    // The errors of parseArgs name the flag and say how to write it.
    if (error instanceof TypeError) return { problem: error.message };
    throw error;
  }
}

function missing(problem: string): Problem {
  return { problem };
}

function addressFlag(flag: string, value: string | undefined): SocketAddress | Problem | undefined {
  if (value === undefined) return undefined;
  const address = parseSocketAddress(value);
  return isProblem(address) ? { problem: `${flag}: ${address.problem}` } : address;
}

const containerIdPattern = /^[0-9a-f]{12,64}$/;

function parseTraits(flags: Flags): BrokerTraits | Problem {
  const address = addressFlag('--broker-address', flags['broker-address']);
  if (isProblem(address)) return address;
  const program = flags['broker-process'];
  // A Pod's status writes it with the runtime's name before it.
  const containerId = flags['broker-container']?.replace(/^[a-z-]+:\/\//, '');
  if (containerId !== undefined && !containerIdPattern.test(containerId)) {
    return { problem: `--broker-container: "${containerId}" is no container id; write 12 to 64 of 0-9 a-f` };
  }
  return address === undefined && !program && containerId === undefined
    ? missing('--broker-address is required, or --broker-process or --broker-container: by what the broker is known')
    : { address, program, containerId };
}

/** An IPv6 address without brackets and a port, in a URL. */
const bareIpv6 = /^http:\/\/([\da-f.]*:[\da-f:.]*):(\d{1,5})(?=\/|$)/i;

/** Plain HTTP to an address, as the broker serves it; names are not resolved. */
function parseMetricsUrl(text: string | undefined): Endpoint | null | Problem {
  if (text === undefined) return null;
  const url = URL.parse(text.replace(bareIpv6, 'http://[$1]:$2'));
  const ip = url?.hostname.replace(/^\[(.*)\]$/, '$1') ?? '';
  return url?.protocol === 'http:' && isIP(ip) !== 0 && url.username === '' && url.password === ''
    ? { ip, port: Number(url.port || 80), path: url.pathname + url.search }
    : { problem: `--broker-metrics-url: "${text}" is no URL with an IP address; write http://10.0.0.7:9040/metrics` };
}

function parseInterval(text: string): number | Problem {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  return seconds >= intervalBounds.min && seconds <= intervalBounds.max
    ? seconds
    : { problem: `--interval-seconds: "${text}" is no number from ${intervalBounds.min} to ${intervalBounds.max}` };
}

/** @returns null when it is not given, or 0, which is how Kubernetes writes that there is none. */
function limitFlag(
  flag: string,
  text: string | undefined,
  parse: (text: string) => number | null,
  examples: string,
): number | null | Problem {
  if (text === undefined) return null;
  const limit = parse(text);
  if (limit === null) return { problem: `${flag}: "${text}" is no quantity; write ${examples}` };
  return limit === 0 ? null : limit;
}

function podVariable(
  name: string,
  fieldPath: string,
  env: Readonly<Record<string, string | undefined>>,
): string | Problem {
  const value = env[name] ?? '';
  return value !== '' && value.length <= bounds.nameCharacters
    ? value
    : { problem: `${name} is required in the environment: set it with fieldRef ${fieldPath}` };
}
