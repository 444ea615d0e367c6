export interface LineReader {
  /** Takes the next bytes of the text; they may be overwritten as soon as this returns. */
  readonly push: (chunk: Uint8Array) => void;
  /** Lines left out for their length so far. */
  readonly skipped: () => number;
}

export interface LineReaderOptions {
  /** Longer lines are left out and counted. */
  readonly maxLineBytes: number;
  /** Gets each line as `bytes` from `start` to before `end`, without its newline; the bytes are valid during the call. */
  readonly onLine: (bytes: Uint8Array, start: number, end: number) => void;
}

const newline = 0x0a;

/**
 * Cuts a text that comes in pieces into lines, in memory that does not grow with the text. What follows the last newline
 * is no line: in the exposition format every line ends with one, so it is cut off.
 */
export function createLineReader({ maxLineBytes, onLine }: LineReaderOptions): LineReader {
  const kept = new Uint8Array(maxLineBytes);
  let keptBytes = 0;
  let tooLong = false;
  let skipped = 0;

  function keep(chunk: Uint8Array, start: number, end: number): void {
    tooLong ||= keptBytes + (end - start) > maxLineBytes;
    if (tooLong) return;
    kept.set(chunk.subarray(start, end), keptBytes);
    keptBytes += end - start;
  }

  function endKept(): void {
    if (tooLong) skipped += 1;
    else onLine(kept, 0, keptBytes);
    keptBytes = 0;
    tooLong = false;
  }

  return {
    push(chunk) {
      let start = 0;
      let end = chunk.indexOf(newline);
      if (end !== -1 && (keptBytes > 0 || tooLong)) {
        keep(chunk, 0, end);
        endKept();
        start = end + 1;
        end = chunk.indexOf(newline, start);
      }
      while (end !== -1) {
        if (end - start > maxLineBytes) skipped += 1;
        else onLine(chunk, start, end);
        start = end + 1;
        end = chunk.indexOf(newline, start);
      }
      if (start < chunk.length) keep(chunk, start, chunk.length);
    },
    skipped: () => skipped,
  };
}
