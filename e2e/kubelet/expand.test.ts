import { describe, expect, it } from 'vitest';
import { commandLine, expandVariables, fieldOf, parseQuantity, rewritePaths } from './expand.ts';
import type { Pod } from './types.ts';

describe('variables in a command', () => {
  const variables = new Map([
    ['NAME', 'broker-0'],
    ['EMPTY', ''],
  ]);

  it.each([
    ['$(NAME)', 'broker-0'],
    ['http://$(NAME).svc:$(NAME)', 'http://broker-0.svc:broker-0'],
    ['[$(EMPTY)]', '[]'],
    ['$(UNKNOWN)', '$(UNKNOWN)'],
    ['$$(NAME)', '$(NAME)'],
    ['$NAME and $(date', '$NAME and $(date'],
  ])('%s becomes %s', (text, expected) => {
    expect(expandVariables(text, variables)).toBe(expected);
  });
});

describe('mount points in a command', () => {
  const mounts = [
    { mountPath: '/data', folder: '/run/v1' },
    { mountPath: '/data/store', folder: '/run/v2' },
    { mountPath: '/etc/conf.d/', folder: '/run/v3' },
  ];

  it.each([
    ['/data', '/run/v1'],
    ['/data/topics', '/run/v1/topics'],
    ['--dir=/data', '--dir=/run/v1'],
    ['/data/store/x', '/run/v2/x'],
    ['/data/storehouse', '/run/v1/storehouse'],
    ['cat "/data/a" /data/b;ls /data', 'cat "/run/v1/a" /run/v1/b;ls /run/v1'],
    ['/data:/data', '/run/v1:/run/v1'],
    ['/etc/conf.d/x', '/run/v3/x'],
    ['/etc/confXd/x', '/etc/confXd/x'],
    ['/database', '/database'],
    ['/data-2', '/data-2'],
    ['/old/data', '/old/data'],
    ['http://host/data', 'http://host/data'],
  ])('%s becomes %s', (text, expected) => {
    expect(rewritePaths(text, mounts)).toBe(expected);
  });

  it('are replaced after the variables', () => {
    const container = { name: 'c', image: 'i', command: ['run'], args: ['$(DIR)/a'] };

    expect(commandLine(container, new Map([['DIR', '/data']]), mounts)).toEqual(['run', '/run/v1/a']);
  });
});

describe('fields of a Pod', () => {
  const pod: Pod = {
    metadata: { name: 'web-0', namespace: 'prod', uid: 'u1', labels: { app: 'web', 'example.test/x': 'y' } },
    spec: { nodeName: 'node-1', serviceAccountName: 'web', containers: [] },
  };

  it.each([
    ['metadata.name', 'web-0'],
    ['metadata.namespace', 'prod'],
    ['metadata.uid', 'u1'],
    ["metadata.labels['example.test/x']", 'y'],
    ["metadata.labels['missing']", ''],
    ['metadata.labels', 'app="web"\nexample.test/x="y"'],
    ['spec.nodeName', 'node-1'],
    ['spec.serviceAccountName', 'web'],
    ['status.podIP', '127.9.1.1'],
    ['status.hostIP', '127.9.0.11'],
    ['spec.unknown', undefined],
  ])('%s is %j', (path, expected) => {
    expect(fieldOf(pod, path, { podIP: '127.9.1.1', hostIP: '127.9.0.11' })).toBe(expected);
  });
});

describe('quantities', () => {
  it.each([
    ['500m', 0.5],
    ['2', 2],
    ['0.25', 0.25],
    ['256Mi', 268_435_456],
    ['1Gi', 1_073_741_824],
    ['1G', 1_000_000_000],
    ['lots', undefined],
    [undefined, undefined],
  ])('%s is %s', (text, expected) => {
    expect(parseQuantity(text)).toBe(expected);
  });
});
