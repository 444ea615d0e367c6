/** A file or standard input, line by line, unpacked if it is gzip: never more of it in memory than one line and one block. */
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { Problem } from '../api/problem.ts';

/** A snapshot's first line names all brokers. */
const LONGEST_LINE = 32 * 1024 ** 2;
/** A small packed file may unpack to anything. */
const MOST_BYTES = 4 * 1024 ** 3;
const MOST_LINES = 20_000_000;

const LINE_END = 0x0a;
const GZIP = [0x1f, 0x8b];
const BYTE_ORDER_MARK = '\ufeff';

/**
 * Gives each line, without its end, to `onLine` until that returns false. `path` "-" is standard input. The problem names the file and,
 * where it can, the line.
 */
export async function readLines(path: string, onLine: (line: string) => boolean): Promise<Problem | undefined> {
  const name = inputName(path);
  const lines = createLineSplitter(onLine);
  for await (const block of blocksOf(path)) {
    if (!Buffer.isBuffer(block)) return { problem: `${name}: ${readProblem(block.error, lines.number())}` };
    const outcome = lines.add(block);
    if (outcome === false) return undefined;
    if (outcome !== true) return { problem: `${name}: line ${lines.number()}: ${outcome.problem}` };
  }
  const outcome = lines.end();
  return typeof outcome === 'boolean' ? undefined : { problem: `${name}: line ${lines.number()}: ${outcome.problem}` };
}

/** What messages call it. */
export function inputName(path: string): string {
  return path === '-' ? 'standard input' : path;
}

interface Unreadable {
  readonly error: NodeJS.ErrnoException;
}

/** Why the file cannot be read comes as the last of its blocks: what is thrown while a block is used is no fault of the file. */
async function* blocksOf(path: string): AsyncGenerator<Buffer | Unreadable> {
  try {
    yield* unpacked(path === '-' ? process.stdin : createReadStream(path));
  } catch (error) {
    yield { error: error as NodeJS.ErrnoException };
  }
}

async function* unpacked(source: Readable): AsyncGenerator<Buffer> {
  const blocks = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let first = Buffer.alloc(0);
  while (first.length < GZIP.length) {
    const { value, done } = await blocks.next();
    if (done === true) break;
    first = Buffer.concat([first, value]);
  }
  const whole = prepended(first, blocks);
  const isPacked = GZIP.every((byte, index) => first[index] === byte);
  if (!isPacked) yield* whole;
  else yield* unzip(whole);
}

async function* prepended(first: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (first.length > 0) yield first;
  for (let { value, done } = await rest.next(); done !== true; { value, done } = await rest.next()) yield value;
}

async function* unzip(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const source = Readable.from(packed, { objectMode: false });
  const gunzip = createGunzip();
  source.on('error', (error) => gunzip.destroy(error));
  try {
    yield* source.pipe(gunzip) as AsyncIterable<Buffer>;
  } finally {
    source.destroy();
  }
}

interface LineSplitter {
  /** False: no more is wanted. */
  add(block: Buffer): boolean | Problem;
  /** What follows the last line end is a line too. */
  end(): boolean | Problem;
  /** Of the line that was given last, from 1. */
  number(): number;
}

function createLineSplitter(onLine: (line: string) => boolean): LineSplitter {
  let number = 0;
  let total = 0;
  let pending: Buffer[] = [];
  let pendingLength = 0;

  function give(bytes: Buffer): boolean | Problem {
    number++;
    if (number > MOST_LINES) return { problem: `expected at most ${MOST_LINES} lines` };
    if (!isUtf8(bytes)) return { problem: 'expected UTF-8' };
    const text = bytes.toString();
    return onLine(number === 1 && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);
  }

  function keep(rest: Buffer): true | Problem {
    if (rest.length === 0) return true;
    pending.push(rest);
    pendingLength += rest.length;
    if (pendingLength <= LONGEST_LINE) return true;
    number++;
    return { problem: `expected lines of at most ${LONGEST_LINE / 1024 ** 2} MiB` };
  }

  function taken(): Buffer {
    const line = pending.length === 1 ? (pending[0] as Buffer) : Buffer.concat(pending);
    pending = [];
    pendingLength = 0;
    return line;
  }

  return {
    number: () => number,
    add(block) {
      total += block.length;
      if (total > MOST_BYTES) return { problem: `expected at most ${MOST_BYTES / 1024 ** 3} GiB` };
      let from = 0;
      for (let to = block.indexOf(LINE_END); to >= 0; to = block.indexOf(LINE_END, from)) {
        const kept = keep(block.subarray(from, to));
        if (kept !== true) return kept;
        const outcome = give(taken());
        if (outcome !== true) return outcome;
        from = to + 1;
      }
      return keep(block.subarray(from));
    },
    end: () => (pendingLength === 0 ? true : give(taken())),
  };
}

/** Why a file could not be read, in words. */
export function fileProblem(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EISDIR':
      return 'expected a file, found a folder';
    case 'EACCES':
      return 'this user may not read it';
    default:
      return error.message;
  }
}

function readProblem(error: NodeJS.ErrnoException, line: number): string {
  const isPacking = error.code?.startsWith('Z_') === true;
  return isPacking ? `broken gzip data after line ${line}: ${error.message}` : fileProblem(error);
}
