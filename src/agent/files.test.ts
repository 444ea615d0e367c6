import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeMachine, type FakeMachine } from './fake-machine.ts';
import { listFolders, readParsed, readSize, readText } from './files.ts';

let machine: FakeMachine;
let folder: string;
beforeEach(() => {
  machine = createFakeMachine();
  folder = `${machine.procRoot}/..`;
});
afterEach(() => machine.delete());

describe('a file', () => {
  it.each([0, 1, 3_999, 4_000, 4_001, 70_000])('of %i bytes is read whole', (length) => {
    const text = 'x'.repeat(length);
    machine.write({ '/a': text });

    expect(readText(`${folder}/a`)).toBe(text);
  });

  it('with characters that lie across the bounds of reads is read whole', () => {
    const text = 'ä'.repeat(5_000);
    machine.write({ '/a': `x${text}` });

    expect(readText(`${folder}/a`)).toBe(`x${text}`);
  });

  it('that is longer than it may be is not read to its end', () => {
    expect(readText('/dev/zero')).toEqual({
      problem: '/dev/zero: longer than 1048576 bytes, so not what it should be',
      gone: false,
    });
  });

  it('may be as long as it may be', () => {
    machine.write({ '/a': 'x'.repeat(10) });

    expect(readText(`${folder}/a`, 10)).toBe('x'.repeat(10));
    expect(readText(`${folder}/a`, 9)).toHaveProperty('problem');
  });

  it('that is not there is gone, which is no news', () => {
    expect(readText(`${folder}/none`)).toEqual({ problem: `${folder}/none: not there`, gone: true });
  });

  it('that is a directory is said to be one', () => {
    machine.write({ '/a/b': '' });

    expect(readText(`${folder}/a`)).toEqual({
      problem: `${folder}/a: a directory, where the kernel has a file`,
      gone: false,
    });
  });

  it('that is a pipe which nobody writes to does not hold the agent up', () => {
    execFileSync('mkfifo', [`${folder}/pipe`]);

    expect(readText(`${folder}/pipe`)).toBe('');
  });

  it('in another format is named', () => {
    machine.write({ '/a': 'x' });

    expect(readParsed(`${folder}/a`, () => null)).toEqual({
      problem: `${folder}/a: not in the format that the agent knows`,
      gone: false,
    });
  });
});

describe('a directory', () => {
  it('gives its directories, without files and links', () => {
    machine.write({ '/d/file': '', '/d/one/x': '', '/d/two/x': '' });

    expect(listFolders(`${folder}/d`)).toEqual(['one', 'two']);
    expect(listFolders(`${folder}/d/file`)).toHaveProperty('problem');
  });

  it('has a size', () => {
    expect(readSize(folder)).toBeGreaterThanOrEqual(0);
    expect(readSize(`${folder}/none`)).toMatchObject({ gone: true });
  });
});
