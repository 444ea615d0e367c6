import { isProblem, type Problem } from '../../api/problem.ts';

/** The head of an answer that is no exposition may be anything. */
const headBytes = 8_192;

/** Reads one answer that comes in pieces. */
export interface AnswerReader {
  /** `complete` when the body has ended or was stopped. */
  readonly push: (chunk: Buffer) => 'more' | 'complete' | Problem;
  /** What was missing when the connection ended. */
  readonly missing: () => string;
}

export interface AnswerReaderOptions {
  readonly onChunk: (chunk: Buffer) => 'more' | 'stop';
  readonly maxBodyBytes: number;
}

/**
 * Reads an answer of HTTP/1.x whose body has a marked end: as long as announced, or in chunks. One that ends with the
 * connection could have been cut off, and topics that are missing would look like new ones the next time.
 */
export function createAnswerReader({ onChunk, maxBodyBytes }: AnswerReaderOptions): AnswerReader {
  let head = Buffer.alloc(0);
  let body: AnswerReader | null = null;

  return {
    push(chunk) {
      if (body !== null) return body.push(chunk);
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end > headBytes || (end === -1 && head.length > headBytes)) {
        return { problem: `the head of the answer is longer than ${headBytes} bytes` };
      }
      if (end === -1) return 'more';
      const framing = readHead(head.subarray(0, end).toString('latin1'), maxBodyBytes);
      if (isProblem(framing)) return framing;
      body =
        framing.length === null
          ? createChunkedReader({ onChunk, maxBodyBytes })
          : createLengthReader({ onChunk, length: framing.length });
      return body.push(head.subarray(end + 4));
    },
    missing: () => body?.missing() ?? 'the connection ended before the answer began',
  };
}

function createLengthReader({
  onChunk,
  length,
}: Pick<AnswerReaderOptions, 'onChunk'> & { length: number }): AnswerReader {
  let left = length;
  return {
    push(chunk) {
      const piece = chunk.subarray(0, left);
      left -= piece.length;
      if (piece.length > 0 && onChunk(piece) === 'stop') return 'complete';
      return left === 0 ? 'complete' : 'more';
    },
    missing: () => `the answer was cut off ${left} bytes early`,
  };
}

/** The chunked coding of HTTP/1.1 (RFC 9112, 7.1); extensions and trailers are passed over. */
function createChunkedReader({ onChunk, maxBodyBytes }: AnswerReaderOptions): AnswerReader {
  let bodyBytes = 0;
  /** The line with a chunk's size, or the empty one after its data; null while its data is read. */
  let line: string | null = '';
  let left = 0;

  function endLine(text: string): 'more' | 'complete' | Problem {
    line = '';
    if (text === '') return 'more';
    const size = /^([0-9a-fA-F]{1,8})[ \t]*(;.*)?$/.exec(text)?.[1];
    if (size === undefined) return { problem: 'the answer is broken: a chunk has no size' };
    left = Number.parseInt(size, 16);
    bodyBytes += left;
    if (bodyBytes > maxBodyBytes) return { problem: `the answer has more than ${maxBodyBytes} bytes` };
    if (left === 0) return 'complete';
    line = null;
    return 'more';
  }

  return {
    push(chunk) {
      let at = 0;
      while (at < chunk.length) {
        if (line === null) {
          const piece = chunk.subarray(at, at + left);
          at += piece.length;
          left -= piece.length;
          if (left === 0) line = '';
          if (onChunk(piece) === 'stop') return 'complete';
          continue;
        }
        const end = chunk.indexOf(0x0a, at);
        const text: string = line + Buffer.from(chunk.subarray(at, end === -1 ? chunk.length : end)).toString('latin1');
        if (text.length > headBytes) return { problem: 'the answer is broken: the size of a chunk does not end' };
        line = text;
        if (end === -1) return 'more';
        at = end + 1;
        const outcome = endLine(text.replace(/\r$/, ''));
        if (outcome !== 'more') return outcome;
      }
      return 'more';
    },
    missing: () => 'the answer was cut off',
  };
}

/** @returns the length of the body in bytes; null when it is chunked. */
function readHead(head: string, maxBodyBytes: number): { readonly length: number | null } | Problem {
  const [statusLine = '', ...lines] = head.split('\r\n');
  if (!/^HTTP\/1\.[01] 200( |$)/.test(statusLine)) return { problem: `the answer is "${statusLine.slice(0, 80)}"` };
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const type = headers.get('content-type') ?? 'nothing';
  if (!/^text\/plain(\s*;|$)/i.test(type)) {
    return { problem: `the Content-Type is ${type.slice(0, 80)}, not text/plain: is this a metrics endpoint?` };
  }
  const encoding = headers.get('content-encoding') ?? 'identity';
  if (encoding !== 'identity') {
    return { problem: `the Content-Encoding is ${encoding.slice(0, 80)}, which was not asked for` };
  }
  if (headers.get('transfer-encoding')?.toLowerCase() === 'chunked') return { length: null };
  const length = headers.get('content-length') ?? '';
  if (!/^\d{1,15}$/.test(length))
    return { problem: 'the answer has no Content-Length: whether it is whole is unknown' };
  if (Number(length) > maxBodyBytes) {
    return { problem: `the answer has ${length} bytes, more than ${maxBodyBytes}` };
  }
  return { length: Number(length) };
}
