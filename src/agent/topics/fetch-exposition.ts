import { connect, type Socket } from 'node:net';
import type { Problem } from '../../api/problem.ts';
import { createAnswerReader } from './http-answer.ts';

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

const bufferBytes = 65_536;

/**
 * A client for one endpoint, one request at a time. It is no `fetch`: with 20,000 topics an exposition has tens of
 * megabytes, and every one of them would pass the heap. Here the body passes one buffer that is used again and again.
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
