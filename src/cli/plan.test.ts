/** What the command does, without a process around it; e2e/cli has the process and the documented example. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MoveReason } from '../core/planner/input.ts';
import { Refusal } from '../core/planner/rules.ts';
import { heldBack } from '../core/policy/apply-policy.ts';
import { runPlan } from './plan.ts';

const DOCUMENT = readFileSync(join(import.meta.dirname, '../../docs/plan.md'), 'utf8');
const OPERATIONS = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');

function block(language: string): string {
  return new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(DOCUMENT)?.[1] ?? '';
}

const MOVE_REASONS: readonly MoveReason[] = ['Drain', 'NotAllowed', 'Spread', 'Relieve', 'Fill', 'Exchange'];

const SNAPSHOT = block('ndjson');
const POLICY = block('yaml');

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'plan-'));
  written('cluster.ndjson', SNAPSHOT);
});

afterAll(() => rmSync(folder, { recursive: true }));

function written(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** `cluster.ndjson` and other names stand for files of the folder. */
async function plan(...args: readonly string[]) {
  const { exitCode, out, err } = await runPlan(
    args.map((arg) => (/\.(ndjson|yaml)$|^\.$/.test(arg) ? join(folder, arg) : arg)),
    Date.parse('2026-11-21T10:00:00Z'),
  );
  return { exitCode, out, err: err.replaceAll(`${folder}/`, '').replaceAll(folder, '.') };
}

async function planOf(content: string | Buffer, ...args: readonly string[]) {
  written('other.ndjson', content);
  return plan('--snapshot', 'other.ndjson', ...args);
}

describe('the placement of operations.md', () => {
  const [, placement = ''] = /^```yaml\n(placement:\n[\s\S]*?)^```$/m.exec(OPERATIONS) ?? [];
  const policy = `${POLICY.slice(0, POLICY.indexOf('  placement:'))}${placement.replaceAll(/^(?=.)/gm, '  ')}`;
  const brokers = ['a', 'a', 'b', 'b'].map((zone, index) => ({
    id: `b${index}`,
    capacity: [10],
    labels: { 'topology.kubernetes.io/zone': zone, tier: index === 3 ? 'fast' : 'slow' },
  }));
  const header = { kind: 'ClusterSnapshot', version: 1, resources: ['cpu'], brokers };
  const topics = {
    '/payments/cards': 'b0',
    '/shop/orders-part-0': 'b0',
    '/shop/orders-part-1': 'b0',
    '/bank/ledger-eu': 'b1',
    '/bank/ledger-us': 'b1',
  };
  const rows = Object.entries(topics).map(([topic, broker]) => ({ topic, broker, load: [1] }));
  const snapshot = [header, ...rows].map((row) => `${JSON.stringify(row)}\n`).join('');

  it('moves what is against it, and each move names its rule', async () => {
    written('placement.yaml', policy);

    const { exitCode, out, err } = await planOf(snapshot, '--policy', 'placement.yaml', '-o', 'json');

    expect([exitCode, err]).toEqual([0, '']);
    const moves = JSON.parse(out).moves.filter(({ rule }: { rule?: string }) => rule !== undefined);
    expect(moves.map(({ reason, rule }: Record<string, string>) => `${reason} ${rule}`).toSorted()).toEqual([
      'NotAllowed payments',
      'Spread ledgers',
      'Spread orders for /shop/orders',
    ]);
    expect(moves.find(({ rule }: { rule: string }) => rule === 'payments').to).toBe('b3');
  });

  it('says of what cannot move which rule wants it to', async () => {
    written('placement.yaml', policy.replace('maxPerDomain: 2', 'maxPerDomain: 1'));
    const partitions = Array.from({ length: 3 }, (_, index) => ({
      topic: `/shop/orders-part-${index}`,
      broker: `b${index}`,
      load: [1],
    }));
    const content = [header, ...partitions].map((row) => `${JSON.stringify(row)}\n`).join('');

    const { out } = await planOf(content, '--policy', 'placement.yaml');

    expect(out).toMatch(
      /TOPIC +WANTED BY +BECAUSE\n\/shop\/orders-part-\d +Spread, rule orders for \/shop\/orders +no broker takes it/,
    );
  });
});

describe('modes', () => {
  it.each([
    [['--mode', 'drain', '--broker', 'b1'], ['Drain'], 'b1'],
    [['--mode', 'hot-spots'], ['Relieve'], 'b0'],
    [['--mode', 'scale-out', '--broker', 'b2'], ['Relieve'], 'b0'],
  ])('%j', async (args, reasons, from) => {
    const { exitCode, out } = await plan('--snapshot', 'cluster.ndjson', '-o', 'json', ...args);

    const { moves } = JSON.parse(out);
    expect(exitCode).toBe(0);
    expect(new Set(moves.map((move: { reason: string }) => move.reason))).toEqual(new Set(reasons));
    expect(new Set(moves.map((move: { from: string }) => move.from))).toEqual(new Set([from]));
  });

  it('drain waits for no window and no hourly limit', async () => {
    written('policy.yaml', POLICY);

    const { out } = await plan(
      ...['--snapshot', 'cluster.ndjson', '--policy', 'policy.yaml', '--mode', 'drain', '--broker', 'b0', '-o', 'json'],
    );

    const { moves, waves, durationSeconds } = JSON.parse(out);
    expect({ moves: moves.length, waves: waves.length, durationSeconds }).toEqual({
      moves: 6,
      waves: 1,
      durationSeconds: 60,
    });
  });

  it('drain names what cannot leave', async () => {
    const { out } = await plan('--snapshot', 'cluster.ndjson', '-o', 'json', '--mode', 'drain', '--broker', 'b1');

    expect(JSON.parse(out).blocked).toEqual([{ topic: '/shop/mails', wanted: 'Drain', because: 'Backlog' }]);
  });

  it('scale-out goes by default to the brokers without topics, and asks for them where there are none', async () => {
    const empty = SNAPSHOT.replaceAll('"broker":"b2"', '"broker":"b1"');

    const { out } = await planOf(empty, '-o', 'json', '--mode', 'scale-out');
    const { exitCode, err } = await plan('--snapshot', 'cluster.ndjson', '--mode', 'scale-out');

    expect(new Set(JSON.parse(out).moves.map((move: { to: string }) => move.to))).toEqual(new Set(['b2']));
    expect({ exitCode, err }).toEqual({
      exitCode: 2,
      err: '--mode scale-out: name the new brokers with --broker, since no Active one in the snapshot is without topics\n',
    });
  });
});

describe('scale-out', () => {
  it.each(['Cordoned', 'Draining'])('never goes to a broker that is %s: it takes no topics', async (state) => {
    const more = `{"id":"b3","capacity":[4,16],"state":"${state}"},{"id":"b4","capacity":[4,16]}]`;
    const grown = SNAPSHOT.replace(/\}\]\}\n/, `},${more}}\n`);

    const { exitCode, err } = await planOf(grown, '--mode', 'scale-out', '--broker', 'b4', '--broker', 'b3');

    expect({ exitCode, err }).toEqual({
      exitCode: 2,
      err: '--broker: expected an Active broker for --mode scale-out, found "b3"\n',
    });
  });

  it('asks for its brokers where all without topics take none', async () => {
    const grown = SNAPSHOT.replace(/\}\]\}\n/, '},{"id":"b3","capacity":[4,16],"state":"Cordoned"}]}\n');

    const { exitCode, err } = await planOf(grown, '--mode', 'scale-out');

    expect({ exitCode, err }).toEqual({ exitCode: 2, err: expect.stringContaining('no Active one in the snapshot') });
  });
});

describe('the documentation', () => {
  it.each([...Object.keys(heldBack), ...Object.keys(Refusal).filter((name) => name !== 'None'), ...MOVE_REASONS])(
    'names %s',
    (word) => {
      expect(DOCUMENT).toContain(`\`${word}\``);
    },
  );
});

describe('a topic that the policy holds back', () => {
  it('is explained with the setting that holds it', async () => {
    written('policy.yaml', POLICY);

    const { out } = await plan(
      '--snapshot',
      'cluster.ndjson',
      '--policy',
      'policy.yaml',
      '--explain',
      '/shop/audit-log',
    );

    expect(out).toBe(
      '/shop/audit-log may not move: Excluded\n' +
        'That is: rebalance.excludeTopicPatterns covers it\n' +
        'Why not elsewhere:\n  NotMovable on 2 of the other brokers\n',
    );
  });
});

describe('a time limit', () => {
  it('ends the planning with what there is, and says so', async () => {
    const path = join(import.meta.dirname, '../core/planner/fixtures/skewed-20x2000.ndjson.gz');

    const { exitCode, out } = await runPlan(['--snapshot', path, '--time-limit', '0.000001', '-o', 'json'], 0);

    const { bindingConstraint, inBand } = JSON.parse(out);
    expect({ exitCode, inBand }).toEqual({ exitCode: 0, inBand: false });
    expect(bindingConstraint).toMatch(/^the time allowed: broker /);
  });
});

it('says what the moves cost, with the share of the traffic that moves', async () => {
  const header = {
    kind: 'ClusterSnapshot',
    version: 1,
    resources: ['networkIn'],
    brokers: ['b0', 'b1'].map((id) => ({ id, capacity: [10] })),
  };
  const topics = [1, 2, 3, 4].map((n) => ({ topic: `/a/t${n}`, broker: 'b0', load: [1], reliable: true }));

  const { out } = await planOf([header, ...topics].map((line) => JSON.stringify(line)).join('\n'), '-o', 'json');

  const { moves, cost } = JSON.parse(out);
  expect([moves.length, cost]).toEqual([2, 4.5]);
});

describe('a policy with short windows', () => {
  it('gives a whole plan in waves that fit into them', async () => {
    written(
      'short.yaml',
      POLICY.replace('durationSeconds: 7200', 'durationSeconds: 60')
        .replace('maxMovesPerHour: 2', 'maxMovesPerHour: 50')
        .replace('PercentPerHour: 25', 'PercentPerHour: 100')
        .replace('"/shop/audit-*"', '"/none/*"'),
    );
    const many = Array.from({ length: 40 }, (_, n) =>
      JSON.stringify({ topic: `/many/t${n}`, broker: 'b0', load: [0.1, 0.4] }),
    );

    const { out } = await planOf([SNAPSHOT.split('\n')[0], ...many].join('\n'), '--policy', 'short.yaml', '-o', 'json');

    const { moves, waves, inBand } = JSON.parse(out);
    expect(moves.length).toBeGreaterThan(20);
    expect(inBand).toBe(true);
    for (const [night, wave] of waves.entries()) {
      expect(wave).toMatchObject({ window: 'night', startsAfterSeconds: (15 + 24 * night) * 3600 });
      expect(wave.lastsSeconds).toBeLessThanOrEqual(60);
    }
  });
});

describe('bad input ends with code 2 and says where, which field, and what was expected', () => {
  const header = SNAPSHOT.split('\n')[0] ?? '';

  it.each([
    [
      'a broker that does not exist',
      `${header}\n{"topic":"/a/b","broker":"b9","load":[1,2]}`,
      'line 2: broker: expected the id of a broker of the first line, found "b9"',
    ],
    [
      'a load too few',
      `${header}\n{"topic":"/a/b","broker":"b0","load":[1]}`,
      'line 2: load: expected a list of 2 numbers',
    ],
    ['half a line', `${header}\n{"topic":"/a/b","bro`, 'line 2: expected a JSON object'],
    ['no header', '{"topic":"/a/b"}', 'line 1: kind: expected "ClusterSnapshot"'],
    ['nothing', '', 'the snapshot is empty'],
    ['bytes that are no text', Buffer.from([0x7b, 0xff, 0xfe, 0x0a]), 'line 1: expected UTF-8'],
    ['broken gzip', gzipSync(SNAPSHOT).subarray(0, 200), 'broken gzip data after line'],
  ])('%s', async (_what, input, problem) => {
    const { exitCode, out, err } = await planOf(input);

    expect(err).toContain(problem);
    expect({ exitCode, out }).toEqual({ exitCode: 2, out: '' });
  });

  it.each([
    [['--snapshot', 'missing.ndjson'], 'missing.ndjson: there is no such file'],
    [['--snapshot', '.'], '.: expected a file, found a folder'],
    [[], '--snapshot: expected the file of a snapshot'],
    [['--snapshot', 'cluster.ndjson', '--policy', 'missing.yaml'], 'missing.yaml: there is no such file'],
    [['--snapshot', 'cluster.ndjson', '--explain', '/no/topic'], 'expected a topic of the snapshot, found "/no/topic"'],
    [
      ['--snapshot', 'cluster.ndjson', '--mode', 'drain', '--broker', 'b9'],
      '--broker: expected the id of a broker of the snapshot, found "b9"',
    ],
    [['--snapshot', 'cluster.ndjson', '--fast'], "Unknown option '--fast'"],
  ])('%j', async (args, problem) => {
    const { exitCode, err } = await plan(...args);

    expect(err).toContain(problem);
    expect(exitCode).toBe(2);
  });

  it('a policy, with the line of the field', async () => {
    writeFileSync(join(folder, 'wrong.yaml'), POLICY.replace('maxMovesPerHour: 2', 'maxMovesPerHour: many'));

    const { exitCode, err } = await plan('--snapshot', 'cluster.ndjson', '--policy', 'wrong.yaml');

    expect(err).toBe('wrong.yaml: line 13: spec.rebalance.limits.maxMovesPerHour: expected number, found "many"\n');
    expect(exitCode).toBe(2);
  });

  it.each([
    ['as long as a disk', 'x'.repeat(1024 ** 2 + 1), 'expected a policy of at most 1 MiB'],
    ['that is no text', Buffer.of(0xff), 'expected UTF-8'],
    ['that is another object', 'kind: Service', 'expected one document with "kind: RebalancePolicy", found 0'],
  ])('a policy %s', async (_what, content, problem) => {
    written('odd.yaml', content);

    const { exitCode, err } = await plan('--snapshot', 'cluster.ndjson', '--policy', 'odd.yaml');

    expect({ exitCode, err }).toEqual({ exitCode: 2, err: `odd.yaml: ${problem}\n` });
  });

  it('but a field that means nothing is only warned of', async () => {
    writeFileSync(join(folder, 'misspelt.yaml'), POLICY.replace('aggressiveness:', 'agressiveness:'));

    const { exitCode, err } = await plan('--snapshot', 'cluster.ndjson', '--policy', 'misspelt.yaml');

    expect(err).toBe('warning: misspelt.yaml: line 11: spec.rebalance.agressiveness is not a field: it is ignored\n');
    expect(exitCode).toBe(0);
  });
});

describe('names', () => {
  it('that objects have of themselves are like any other', async () => {
    const odd = SNAPSHOT.replaceAll('"cpu"', '"__proto__"').replaceAll('"b0"', '"constructor"');

    const { exitCode, out } = await planOf(odd, '-o', 'json');

    expect(exitCode).toBe(0);
    expect(Object.keys(JSON.parse(out).before)).toEqual(['__proto__', 'memory']);
  });
});
