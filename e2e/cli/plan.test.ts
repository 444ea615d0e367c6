/** The command `plan` as docs/plan.md describes it, in a process of its own. */
import { spawnSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from './command.ts';

const ROOT = join(import.meta.dirname, '../..');
const DOCUMENT = readFileSync(join(ROOT, 'docs/plan.md'), 'utf8');
const PUBLISHED = join(ROOT, 'src/core/planner/fixtures/skewed-20x2000.ndjson.gz');

/** The fenced blocks of a language, in the order of the document. */
function blocks(language: string): readonly string[] {
  return [...DOCUMENT.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    ([, text = '']) => text,
  );
}

const [SNAPSHOT = ''] = blocks('ndjson');
const [POLICY = ''] = blocks('yaml');
const EXAMPLE = ['--snapshot', 'cluster.ndjson', '--policy', 'policy.yaml', '--at', '2026-11-21T10:00:00Z'];

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'plan-'));
  writeFileSync(join(folder, 'cluster.ndjson'), SNAPSHOT);
  writeFileSync(join(folder, 'policy.yaml'), POLICY);
});

afterAll(() => rmSync(folder, { recursive: true }));

function plan(...args: readonly string[]) {
  return runCommand(['plan', ...args], { folder });
}

function planWith(input: string | Buffer, ...args: readonly string[]) {
  return runCommand(['plan', '--snapshot', '-', ...args], { folder, input });
}

describe('the documented example', () => {
  it('is this table', async () => {
    const { exitCode, out, err } = await plan(...EXAMPLE);

    const withoutTimes = (text: string) => text.replace(/^Took .*$/m, '');
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
    expect(withoutTimes(out)).toBe(withoutTimes(blocks('text')[0] ?? ''));
  });

  it('is this JSON, byte for byte but for the times', async () => {
    const { exitCode, out } = await plan(...EXAMPLE, '-o', 'json');

    const withoutTimes = (text: string) => text.replace(/"(loadMs|planMs)": [\d.]+/g, '"$1": 0');
    expect(exitCode).toBe(0);
    expect(withoutTimes(out)).toBe(withoutTimes(blocks('json')[0] ?? ''));
    expect(JSON.parse(out)).toMatchObject({ loadMs: expect.any(Number), planMs: expect.any(Number) });
  });

  it('explains a topic, and why another does not go somewhere', async () => {
    const explained = await plan(...EXAMPLE, '--explain', '/shop/clicks');
    const refused = await plan(...EXAMPLE, '--why-not', '/payments/cards', 'b0');
    const asJson = await plan(...EXAMPLE, '--why-not', '/payments/cards', 'b0', '-o', 'json');

    expect(explained.out).toBe(blocks('text')[1]);
    expect(DOCUMENT).toContain(`\`${refused.out.trimEnd()}\``);
    expect(JSON.parse(asJson.out)).toEqual({
      topic: '/payments/cards',
      on: 'b1',
      broker: 'b0',
      code: 'NotAllowed',
      text: 'rule payments does not allow b0',
    });
  });
});

describe('a snapshot', () => {
  it('may be gzip, by its content and whatever its name', async () => {
    const plain = await plan('--snapshot', 'cluster.ndjson', '-o', 'json');
    const packed = await planWith(gzipSync(SNAPSHOT), '-o', 'json');

    expect(hashOf(packed.out)).toBe(hashOf(plain.out));
  });

  it('may have a byte order mark, line ends of Windows and no end of the last line', async () => {
    const odd = `\ufeff${SNAPSHOT.trimEnd().replaceAll('\n', '\r\n')}`;

    expect(hashOf((await planWith(odd, '-o', 'json')).out)).toBe(hashOf((await planWith(SNAPSHOT, '-o', 'json')).out));
  });

  it('of the published workloads is brought into the band, with the same hash each time', async () => {
    const [first, second] = [
      await plan('--snapshot', PUBLISHED, '-o', 'json'),
      await plan('--snapshot', PUBLISHED, '-o', 'json'),
    ];

    const made = JSON.parse(first.out);
    expect(made.inBand).toBe(true);
    expect(made.moves.length).toBeLessThanOrEqual(36);
    expect(made.bounds.moves).toBe(21);
    expect(made.moves.at(-1).wave).toBe(made.waves.length);
    expect(hashOf(second.out)).toBe(hashOf(first.out));
  });
});

function hashOf(json: string): string {
  return JSON.parse(json).hash;
}

describe('mistakes end with code 2', () => {
  it('in the input, with the file, the line, the field and what was expected', async () => {
    const { exitCode, out, err } = await planWith(SNAPSHOT.replace('"broker":"b1"', '"broker":"b9"'));

    expect(err).toBe('standard input: line 7: broker: expected the id of a broker of the first line, found "b9"\n');
    expect({ exitCode, out }).toEqual({ exitCode: 2, out: '' });
  });

  it('in the command, with how it is used', async () => {
    const { exitCode, err } = await runCommand(['plane'], { folder });

    expect(err).toMatch(/^there is no command "plane"\nusage: danube-load-manager plan/);
    expect(exitCode).toBe(2);
  });
});

describe('hostile input', () => {
  it('of a gigabyte in one packed line is refused without unpacking it into memory', async () => {
    const bomb = join(folder, 'bomb.ndjson.gz');
    const block = Buffer.alloc(1024 ** 2, 0x20);
    await pipeline(
      Readable.from(Array.from({ length: 1024 }, () => block)),
      createGzip({ level: 1 }),
      createWriteStream(bomb),
    );

    const { exitCode, err, largestMemoryMiB } = await plan('--snapshot', bomb);

    expect(err).toContain('line 1: expected lines of at most 32 MiB');
    expect(exitCode).toBe(2);
    expect(largestMemoryMiB).toBeLessThan(400);
  });

  it('cannot give orders to the terminal', async () => {
    const topic = '/a/\u001b]0;owned\u0007\u202e';
    const lines = [0, 1, 2, 3].map((n) => JSON.stringify({ topic: `${topic}${n}`, broker: 'b0', load: [1, 4] }));

    const { out } = await planWith([SNAPSHOT.split('\n')[0], ...lines].join('\n'));
    const { err } = await planWith(
      `${SNAPSHOT.split('\n')[0]}\n${JSON.stringify({ topic: 'x', broker: topic, load: [] })}`,
    );

    expect(out).toContain('/a/\\u{1b}]0;owned\\u{7}\\u{202e}');
    for (const character of ['\u001b', '\u0007', '\u202e']) expect(`${out}${err}`).not.toContain(character);
  });
});

it('a reader that has seen enough ends it without a trace', () => {
  const command = `${process.execPath} ${join(ROOT, 'src/cli/main.ts')} plan --snapshot ${PUBLISHED} -o json | head -n 1`;

  const { stdout, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' });

  expect({ stdout, stderr }).toEqual({ stdout: '{\n', stderr: '' });
});
