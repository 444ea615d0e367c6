import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readLines } from './read-lines.ts';

let folder: string;
let path: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lines-'));
  path = join(folder, 'file');
});

afterAll(() => rmSync(folder, { recursive: true }));

/** All lines, and the problem if there is one; stops before the line `until`. */
async function linesOf(content: string | Buffer, until?: string) {
  writeFileSync(path, content);
  const lines: string[] = [];
  const problem = await readLines(path, (line) => {
    if (line === until) return false;
    lines.push(line);
    return true;
  });
  return { lines, problem: problem?.problem.replace(folder, '') };
}

describe('a file', () => {
  it.each([
    ['', []],
    ['a', ['a']],
    ['a\n', ['a']],
    ['a\n\nb', ['a', '', 'b']],
    ['\n', ['']],
    ['\ufeffa\n\ufeffb', ['a', '\ufeffb']],
    ['é\n', ['é']],
  ])('of %j has the lines %j, packed or not', async (content, lines) => {
    expect(await linesOf(content)).toEqual({ lines, problem: undefined });
    expect(await linesOf(gzipSync(content))).toEqual({ lines, problem: undefined });
  });

  it('may be longer than one block, with characters and lines across the blocks', async () => {
    const lines = Array.from({ length: 5_000 }, (_, index) => `é${'x'.repeat(index % 97)}ü`);
    lines.push('y'.repeat(300_000));

    expect((await linesOf(lines.join('\n'))).lines).toEqual(lines);
    expect((await linesOf(gzipSync(lines.join('\n')))).lines).toEqual(lines);
  });

  it('is read no further than wanted', async () => {
    expect(await linesOf('a\nb\nc', 'b')).toEqual({ lines: ['a'], problem: undefined });
    expect(await linesOf(gzipSync(`a\nb\n${'x'.repeat(40 * 1024 ** 2)}`), 'b')).toEqual({
      lines: ['a'],
      problem: undefined,
    });
  });

  it('is refused from where it is no text', async () => {
    expect(await linesOf(Buffer.from([0x61, 0x0a, 0xff, 0x0a]))).toEqual({
      lines: ['a'],
      problem: '/file: line 2: expected UTF-8',
    });
  });

  it('is refused where a line has no end', async () => {
    const { lines, problem } = await linesOf(`a\n${'x'.repeat(33 * 1024 ** 2)}`);

    expect({ lines, problem }).toEqual({ lines: ['a'], problem: '/file: line 2: expected lines of at most 32 MiB' });
  });

  it('is not blamed for a fault of its reader', async () => {
    writeFileSync(path, 'a\n');

    const read = readLines(path, () => {
      throw new RangeError('a fault');
    });

    await expect(read).rejects.toThrow('a fault');
  });

  it('is refused when it is packed and broken', async () => {
    const packed = gzipSync('a\nb\n'.repeat(10_000));

    expect((await linesOf(packed.subarray(0, packed.length - 20))).problem).toMatch(
      /^\/file: broken gzip data after line \d+: unexpected end of file$/,
    );
    expect((await linesOf(Buffer.concat([packed.subarray(0, 12), Buffer.alloc(50, 0xff)]))).problem).toMatch(
      /broken gzip data after line 0/,
    );
  });
});
