/** The demo's command line. */
import { parseArgs } from 'node:util';

export interface DemoOptions {
  /** From the moment that all is ready; undefined: until Ctrl-C. */
  readonly seconds: number | undefined;
  readonly killBrokerAt: number | undefined;
  readonly json: boolean;
  readonly kubeconfig: string | undefined;
  readonly brokers: number;
  readonly topics: number;
  readonly resumeOffsets: boolean;
}

export const USAGE = `usage: npm run demo -- [options]
  --seconds N          end by itself N seconds after all is ready (default: run until Ctrl-C)
  --kill-broker-at S   kill -9 a broker process S seconds after all is ready
  --kubeconfig FILE    write the admin kubeconfig there, for kubectl
  --json               print only the result, as JSON, on stdout at the end; what happens goes to stderr
  --brokers N          simulated brokers (default 5)
  --topics N           topics (default 40)
  --no-resume-offsets  set failover.resumeOffsets: false in the policy, to see what it prevents`;

/** @throws Error that says what is wrong and how to write it. */
export function parseOptions(args: readonly string[]): DemoOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string' },
      'kill-broker-at': { type: 'string' },
      json: { type: 'boolean', default: false },
      kubeconfig: { type: 'string' },
      brokers: { type: 'string', default: '5' },
      topics: { type: 'string', default: '40' },
      'no-resume-offsets': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const options = {
    seconds: optionalNumber('seconds', values.seconds),
    killBrokerAt: optionalNumber('kill-broker-at', values['kill-broker-at']),
    json: values.json,
    kubeconfig: values.kubeconfig,
    brokers: count('brokers', values.brokers, 2, 50),
    topics: count('topics', values.topics, 1, 2000),
    resumeOffsets: !values['no-resume-offsets'],
  };
  if (options.killBrokerAt !== undefined && options.seconds !== undefined && options.killBrokerAt >= options.seconds) {
    throw new Error(`--kill-broker-at ${options.killBrokerAt} must be less than --seconds ${options.seconds}`);
  }
  return options;
}

function optionalNumber(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new Error(`--${flag} ${text}: write a number of seconds`);
  }
  return value;
}

function count(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new Error(`--${flag} ${text}: write a whole number from ${min} to ${max}`);
  }
  return value;
}
