import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import type { Problem } from '../../api/problem.ts';
import { createExpositionClient } from './fetch-exposition.ts';

const limits = { milliseconds: 60_000, bodyBytes: 10_000_000 };
const started: Server[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of started.splice(0)) server.close();
});

async function serve(server: Server): Promise<number> {
  started.push(server);
  server.on('connection', (socket: Socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Answers every request with these pieces of text or bytes, and ends the connection unless told not to. */
function serveRaw(pieces: readonly (string | Uint8Array)[], { ends = true } = {}): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', async () => {
      for (const piece of pieces) await new Promise((sent) => socket.write(piece, sent));
      if (ends) socket.end();
    });
  });
  return serve(server);
}

async function fetchFrom(port: number, some = limits): Promise<{ outcome: Problem | null; text: string }> {
  const fetchOnce = createExpositionClient({ endpoint: { ip: '127.0.0.1', port, path: '/metrics' }, limits: some });
  let text = '';
  const outcome = await fetchOnce((chunk) => {
    text += Buffer.from(chunk).toString();
    return 'more';
  });
  return { outcome, text };
}

function headWith(...lines: readonly string[]): string {
  return `${['HTTP/1.1 200 OK', ...lines].join('\r\n')}\r\n\r\n`;
}
const plain = 'Content-Type: text/plain; version=0.0.4';
const chunked = 'Transfer-Encoding: chunked';

describe('an exposition', () => {
  it('is handed on as it comes, asked for in plain text', async () => {
    let headers: object = {};
    const body = 'a 1\n'.repeat(200_000);
    const server = createHttpServer((request, response) => {
      headers = { url: request.url, ...request.headers };
      response.writeHead(200, { 'Content-Type': 'text/plain' }).end(body);
    });
    const port = await serve(server);

    const { outcome, text } = await fetchFrom(port);

    expect(outcome).toBeNull();
    expect(text).toBe(body);
    expect(headers).toMatchObject({ url: '/metrics', host: `127.0.0.1:${port}`, 'accept-encoding': 'identity' });
  });

  it('may be empty', async () => {
    expect(await fetchFrom(await serveRaw([headWith(plain, 'Content-Length: 0')]))).toEqual({
      outcome: null,
      text: '',
    });
  });

  it('may come a byte at a time, and be followed by more than was announced', async () => {
    const port = await serveRaw([...headWith(plain, 'content-length:4'), 'a', ' 1', '\nb 2\n']);

    expect(await fetchFrom(port)).toEqual({ outcome: null, text: 'a 1\n' });
  });

  it('may come in chunks, themselves in pieces', async () => {
    const body = '4\r\na 1\n\r\n0008;x=y\r\nb 2\nc 3\n\r\n0\r\n\r\n';

    for (const pieces of [[body], [...body]]) {
      const port = await serveRaw([headWith(plain, chunked), ...pieces]);
      expect(await fetchFrom(port)).toEqual({ outcome: null, text: 'a 1\nb 2\nc 3\n' });
    }
  });

  it('is not read on when enough was read', async () => {
    const port = await serveRaw([headWith(plain, 'Content-Length: 1000000'), 'a 1\n'], { ends: false });
    const fetchOnce = createExpositionClient({ endpoint: { ip: '127.0.0.1', port, path: '/' }, limits });

    expect(await fetchOnce(() => 'stop')).toBeNull();
  });

  it('can be fetched again and again by one client', async () => {
    const port = await serveRaw([headWith(plain, 'Content-Length: 4'), 'a 1\n']);
    const fetchOnce = createExpositionClient({ endpoint: { ip: '127.0.0.1', port, path: '/' }, limits });

    expect([await fetchOnce(() => 'more'), await fetchOnce(() => 'more')]).toEqual([null, null]);
  });
});

describe('what is no whole exposition is a problem', () => {
  it.each([
    ['an error', ['HTTP/1.1 404 Not Found\r\n\r\n'], 'the answer is "HTTP/1.1 404 Not Found"'],
    ['no HTTP', ['SSH-2.0-OpenSSH\r\n\r\n'], 'the answer is "SSH-2.0-OpenSSH"'],
    ['a web page', [headWith('Content-Type: text/html', 'Content-Length: 3'), 'abc'], 'Content-Type is text/html'],
    ['no type', [headWith('Content-Length: 3'), 'abc'], 'Content-Type is nothing'],
    [
      'compressed',
      [headWith(plain, 'Content-Encoding: gzip', 'Content-Length: 24'), gzipSync('a 1\n')],
      'Content-Encoding is gzip',
    ],
    ['cut off in a chunk', [headWith(plain, chunked), '8\r\na 1\n'], 'was cut off'],
    ['cut off before the last chunk', [headWith(plain, chunked), '4\r\na 1\n\r\n'], 'was cut off'],
    ['chunks without a size', [headWith(plain, chunked), 'a 1\n'], 'a chunk has no size'],
    ['a chunk whose size does not end', [headWith(plain, chunked), 'a'.repeat(10_000)], 'does not end'],
    ['chunks that are too long', [headWith(plain, chunked), 'ffffffff\r\n'], 'more than 10000000'],
    ['otherwise encoded', [headWith(plain, 'Transfer-Encoding: gzip, chunked'), '0\r\n\r\n'], 'no Content-Length'],
    ['of no known length', [headWith(plain), 'a 1\n'], 'no Content-Length'],
    ['too long', [headWith(plain, 'Content-Length: 10000001')], 'has 10000001 bytes, more than 10000000'],
    ['cut off', [headWith(plain, 'Content-Length: 8'), 'a 1\n'], 'cut off 4 bytes early'],
    ['cut off in its head', ['HTTP/1.1 200 OK\r\n'], 'ended before the answer began'],
    ['nothing but a head', ['HTTP/1.1 200 OK\r\n', `X: ${'x'.repeat(100_000)}`], 'longer than 8192 bytes'],
  ])('%s', async (_, pieces, problem) => {
    const { outcome } = await fetchFrom(await serveRaw(pieces));

    expect(outcome).toEqual({ problem: expect.stringContaining(problem) });
  });

  it.each([
    ['never answers', []],
    ['stops in the middle', [headWith(plain, 'Content-Length: 8'), 'a 1\n']],
  ])('a server that %s', async (_, pieces) => {
    const { outcome } = await fetchFrom(await serveRaw(pieces, { ends: false }), { ...limits, milliseconds: 50 });

    expect(outcome).toEqual({ problem: 'the answer took longer than 0.05 s' });
  });

  it('a server that is not there', async () => {
    const port = await serveRaw([]);
    for (const server of started.splice(0)) server.close();

    expect((await fetchFrom(port)).outcome).toEqual({ problem: expect.stringContaining('ECONNREFUSED') });
  });
});
