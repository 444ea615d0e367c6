import { connect, type Socket } from 'node:net';
import { isProblem, type Problem } from '../../api/problem.ts';

export interface Endpoint {
  readonly ip: string;
  readonly port: number;
  /** Path and query. */
  readonly path: string;
}

export interface ExpositionLimits {
  /** For connection, head and body together. */
  readonly milliseconds: number;
  readonly bodyBytes: number;
}

/**
 * Fetches the exposition once. `onChunk` gets the body in pieces that are valid during the call, and may return `stop`
 * when it has read enough.
 *
 * @returns null when the body was complete or was stopped, else why it was not; pieces may have been handed on then.
 */
export type FetchExposition = (onChunk: (chunk: Buffer) => 'more' | 'stop') => Promise<Problem | null>;

export interface FetchOptions {
  readonly endpoint: Endpoint;
  readonly limits: ExpositionLimits;
}

/** The head of an answer that is no exposition may be anything. */
const headBytes = 8_192;
const bufferBytes = 65_536;

/**
 * A client for one endpoint, one request at a time. It is no `fetch`: with 20,000 topics an exposition has tens of
 * megabytes, and every one of them would pass the heap. Here the body passes one buffer that is used again and again.
 *
 * Only a body whose end is marked is taken: one that ends with the connection could have been cut off, and topics that
 * are missing would look like new ones the next time.
 */
export function createExpositionClient({ endpoint, limits }: FetchOptions): FetchExposition {
  const buffer = Buffer.alloc(bufferBytes);
  const { ip, port, path } = endpoint;
  const host = ip.includes(':') ? `[${ip}]` : ip;
  const request = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}:${port}`,
    'Accept: text/plain;version=0.0.4',
    'Accept-Encoding: identity',
    'Connection: close',
    '\r\n',
  ].join('\r\n');

  return (onChunk) =>
    new Promise((resolve) => {
      const answer = createAnswerReader({ onChunk, maxBodyBytes: limits.bodyBytes });
      const seconds = limits.milliseconds / 1000;
      const timer = setTimeout(() => end({ problem: `the answer took longer than ${seconds} s` }), limits.milliseconds);
      const socket: Socket = connect({
        host: ip,
        port,
        onread: {
          buffer,
          callback: (bytes) => {
            const outcome = answer.push(buffer.subarray(0, bytes));
            if (outcome !== 'more') end(outcome === 'complete' ? null : outcome);
            return outcome === 'more';
          },
        },
      });
      function end(outcome: Problem | null): void {
        clearTimeout(timer);
        socket.destroy();
        // Only the first of these counts.
        resolve(outcome);
      }
      socket.on('error', (error) => end({ problem: error.message || String(error) }));
      socket.on('end', () => end({ problem: answer.missing() }));
      socket.on('connect', () => socket.write(request));
      // Without a reader the end of what is received would not be noticed.
      socket.resume();
    });
}

interface AnswerReader {
  readonly push: (chunk: Buffer) => 'more' | 'complete' | Problem;
  /** What was missing when the connection ended. */
  readonly missing: () => string;
}

interface AnswerReaderOptions {
  readonly onChunk: (chunk: Buffer) => 'more' | 'stop';
  readonly maxBodyBytes: number;
}

function createAnswerReader({ onChunk, maxBodyBytes }: AnswerReaderOptions): AnswerReader {
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
