import { describe, expect, it } from 'vitest';
import { parseSettings } from './settings.ts';

const env = { POD_NAME: 'broker-0', POD_NAMESPACE: 'messaging', POD_UID: '5b1f', PATH: '/bin' };
const args = ['--listen', '10.0.1.7:9091', '--broker-address', '10.0.1.7:6650'];

describe('the settings', () => {
  it('have an interval of 10 s and /proc unless told otherwise', () => {
    expect(parseSettings(args, env)).toEqual({
      listen: { ip: '10.0.1.7', port: 9091 },
      broker: { address: { ip: '10.0.1.7', port: 6650 } },
      brokerMetrics: null,
      intervalSeconds: 10,
      procRoot: '/proc',
      podLimits: { cores: null, memoryBytes: null },
      pod: { name: 'broker-0', namespace: 'messaging', uid: '5b1f' },
    });
  });

  it('can be told otherwise', () => {
    expect(parseSettings([...args, '--interval-seconds', '0.5', '--proc=/host/proc'], env)).toMatchObject({
      intervalSeconds: 0.5,
      procRoot: '/host/proc',
    });
  });

  it.each([
    ['http://10.0.1.7:9040/metrics', { ip: '10.0.1.7', port: 9040, path: '/metrics' }],
    ['http://[fd00::7]:9040/metrics?a=b', { ip: 'fd00::7', port: 9040, path: '/metrics?a=b' }],
    // As http://$(POD_IP):9040/metrics becomes.
    ['http://fd00::7:9040/metrics', { ip: 'fd00::7', port: 9040, path: '/metrics' }],
    ['http://127.0.0.1', { ip: '127.0.0.1', port: 80, path: '/' }],
  ])("take %s for the broker's metrics", (url, brokerMetrics) => {
    expect(parseSettings([...args, `--broker-metrics-url=${url}`], env)).toMatchObject({ brokerMetrics });
  });

  it.each([
    '',
    '10.0.1.7:9040',
    'http://fd00::7/metrics',
    'https://10.0.1.7:9040/metrics',
    'http://broker:9040/',
    'http://u:p@10.0.1.7/metrics',
  ])("do not take %j for the broker's metrics", (url) => {
    expect(parseSettings([...args, `--broker-metrics-url=${url}`], env)).toEqual({
      problem: expect.stringContaining('write http://10.0.0.7:9040/metrics'),
    });
  });

  it('know the broker by its program or its container as well', () => {
    const id = 'c0ffee'.repeat(10);
    const flags = ['--listen=10.0.1.7:9091', '--broker-process=danube-broker', `--broker-container=containerd://${id}`];

    expect(parseSettings(flags, env)).toMatchObject({
      broker: { address: undefined, program: 'danube-broker', containerId: id },
    });
  });

  it.each([
    ['1.5', '512Mi', 1.5, 536_870_912],
    ['1500m', '536870912', 1.5, 536_870_912],
    ['2', '1.5G', 2, 1_500_000_000],
    ['0', '0', null, null],
  ])('take the limits of the Pod: %s cores, %s', (cpu, memory, cores, memoryBytes) => {
    const outcome = parseSettings([...args, `--cpu-limit=${cpu}`, `--memory-limit=${memory}`], env);

    expect(outcome).toMatchObject({ podLimits: { cores, memoryBytes } });
  });

  it.each([
    '--cpu-limit=1.5 cores',
    '--cpu-limit=-1',
    '--cpu-limit=$(CPU_LIMIT)',
    '--memory-limit=512MiB',
    '--memory-limit=1m',
    '--memory-limit=',
    '--broker-container=broker',
  ])('do not take %s', (flag) => {
    expect(parseSettings([...args, flag], env)).toEqual({
      problem: expect.stringContaining(flag.slice(0, flag.indexOf('='))),
    });
  });

  it('name every mistake at once, with what to write', () => {
    const outcome = parseSettings(['--listen', 'agent:9091', '--interval-seconds', '0'], { POD_NAME: 'broker-0' });

    expect(outcome).toEqual({
      problem: [
        '--listen: "agent:9091" is no IP address and port; write 10.0.0.7:6650 or [fd00::7]:6650',
        '--broker-address is required, or --broker-process or --broker-container: by what the broker is known',
        '--interval-seconds: "0" is no number from 0.1 to 60',
        'POD_NAMESPACE is required in the environment: set it with fieldRef metadata.namespace',
        'POD_UID is required in the environment: set it with fieldRef metadata.uid',
      ].join('\n'),
    });
  });

  it.each(['', '-1', '61', '1e1', 'Infinity', '2s'])('do not take %j for an interval', (text) => {
    expect(parseSettings([...args, `--interval-seconds=${text}`], env)).toEqual({
      problem: expect.stringContaining('--interval-seconds'),
    });
  });

  it.each([['--port=1'], ['stray']])('do not take %j', (arg) => {
    expect(parseSettings([...args, arg], env)).toEqual({ problem: expect.stringContaining(arg.split('=')[0] ?? arg) });
  });
});
