export interface LineReader {
  /** Takes the next bytes of the text; they may be overwritten as soon as this returns. */
  readonly push: (chunk: Buffer) => void;
  /** Lines left out for their length so far. */
  readonly skipped: () => number;
}

export interface LineReaderOptions {
  /** Longer lines are left out and counted. */
  readonly maxLineBytes: number;
  /**
   * Gets each line as `bytes` from `start` to before `end`, without its newline; the bytes are valid during the call.
   * May say `skip`, when no line before the next comment is wanted.
   */
  readonly onLine: (bytes: Uint8Array, start: number, end: number) => 'next' | 'skip';
}

const newline = 0x0a;
const numberSign = 0x23;
const commentStart = Buffer.from('\n#');

/**
 * Cuts a text that comes in pieces into lines, in memory that does not grow with the text. What follows the last newline
 * is no line: in the exposition format every line ends with one, so it is cut off. What is skipped is only searched, by
 * native code: most of what a broker says of its topics is not wanted here.
 */
export function createLineReader({ maxLineBytes, onLine }: LineReaderOptions): LineReader {
  const kept = new Uint8Array(maxLineBytes);
  let keptBytes = 0;
  let tooLong = false;
  let skipped = 0;
  let isSkipping = false;
  /** Whether the last piece ended with its line. */
  let atLineStart = true;

  function keep(chunk: Buffer, start: number, end: number): void {
    tooLong ||= keptBytes + (end - start) > maxLineBytes;
    if (tooLong) return;
    kept.set(chunk.subarray(start, end), keptBytes);
    keptBytes += end - start;
  }

  function endLine(bytes: Uint8Array, start: number, end: number): void {
    if (end - start > maxLineBytes) skipped += 1;
    else isSkipping = onLine(bytes, start, end) === 'skip';
  }

  /** Ends the line that the last piece began. */
  function endKept(): void {
    if (tooLong) skipped += 1;
    else endLine(kept, 0, keptBytes);
    keptBytes = 0;
    tooLong = false;
  }

  /** Where the next comment begins at or after the start of a line; the chunk's end when there is none. */
  function findComment(chunk: Buffer, start: number): number {
    const isLineStart = start > 0 || atLineStart;
    if (isLineStart && chunk[start] === numberSign) return start;
    const found = chunk.indexOf(commentStart, start);
    return found === -1 ? chunk.length : found + 1;
  }

  return {
    push(chunk) {
      let start = 0;
      while (start < chunk.length) {
        if (isSkipping) start = findComment(chunk, start);
        if (start === chunk.length) break;
        isSkipping = false;
        const end = chunk.indexOf(newline, start);
        if (end === -1) {
          keep(chunk, start, chunk.length);
          break;
        }
        if (keptBytes === 0 && !tooLong) {
          endLine(chunk, start, end);
        } else {
          keep(chunk, start, end);
          endKept();
        }
        start = end + 1;
      }
      if (chunk.length > 0) atLineStart = chunk[chunk.length - 1] === newline;
    },
    skipped: () => skipped,
  };
}
