import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseReport } from '../api/agent-report.ts';
import { exampleReport } from '../api/example-report.ts';
import { createReportServer } from './server.ts';

const report = exampleReport;

let server: Server;
let port: number;
let alive: boolean;

beforeEach(async () => {
  alive = true;
  server = createReportServer({ latest: () => report, isAlive: () => alive });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
afterEach(async () => {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
});

function get(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}${path}`, init);
}

/** Sends these bytes and gives all that comes back until the server closes the connection. */
async function exchange(bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(bytes);
  return text(socket);
}

describe('GET /report', () => {
  it('is the last report, never to be cached', async () => {
    const response = await get('/report');

    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(parseReport(await response.text())).toEqual(report);
  });

  it('gives the nonce back', async () => {
    const nonce = 'aZ-09'.padEnd(64, 'x');

    const response = await get(`/report?nonce=${nonce}`);

    expect(parseReport(await response.text())).toEqual({ ...report, nonce });
  });

  it.each(['', 'a%20b', '"', 'x'.repeat(65), 'a&nonce=b'])('refuses the nonce %j', async (nonce) => {
    const response = await get(`/report?nonce=${nonce}`);

    expect(response.status).toBe(400);
    expect(await response.text()).toContain('1 to 64 of A-Z a-z 0-9 -');
  });
});

describe('GET /healthz', () => {
  it('is 200 while sampling goes on, else 503', async () => {
    expect((await get('/healthz')).status).toBe(200);
    alive = false;

    expect((await get('/healthz')).status).toBe(503);
  });
});

describe('what is not served', () => {
  it.each(['/', '/reports', '/report/', '//report', '/metrics'])('%s is 404', async (path) => {
    expect((await get(path)).status).toBe(404);
  });

  it.each(['POST', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])('%s is 405', async (method) => {
    const response = await get('/report', { method });

    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET');
  });

  it('a proxy request for another host is 404', async () => {
    expect(await exchange('GET http://example.com/report HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1.1 404 /,
    );
  });
});

describe('a request is refused and its connection closed when', () => {
  it('its URL is too long', async () => {
    expect(await exchange(`GET /report?nonce=${'x'.repeat(300)} HTTP/1.1\r\nHost: x\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 414 /,
    );
  });

  it('its headers are too long', async () => {
    expect(await exchange(`GET /report HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(5_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 431 /,
    );
  });

  it.each(['Content-Length: 1000000', 'Transfer-Encoding: chunked'])('it has a body (%s)', async (header) => {
    expect(await exchange(`GET /report HTTP/1.1\r\nHost: x\r\n${header}\r\n\r\n`)).toMatch(/^HTTP\/1.1 400 /);
  });

  it('it is no HTTP', async () => {
    expect(await exchange('hello\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /);
  });

  it('it does not end, or does not begin, in time', { timeout: 15_000 }, async () => {
    const answers = await Promise.all([exchange('GET /report HTTP/1.1\r\nHost: x\r\n'), exchange('')]);

    expect(answers).toEqual([expect.stringMatching(/^HTTP\/1.1 408 /), expect.stringMatching(/^HTTP\/1.1 408 /)]);
  });
});

describe('connections beyond the limit', () => {
  it('are dropped, and those within it are served on', async () => {
    const served = connect(port, '127.0.0.1');
    await once(served, 'connect');
    const others = await Promise.all(
      Array.from({ length: 63 }, async () => {
        const socket = connect(port, '127.0.0.1');
        await once(socket, 'connect');
        return socket;
      }),
    );

    const refused = await exchange('GET /report HTTP/1.1\r\nHost: x\r\n\r\n').catch(
      (error: NodeJS.ErrnoException) => error.code,
    );
    served.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const answer = await text(served);
    for (const socket of others) socket.destroy();

    expect(['', 'ECONNRESET', 'EPIPE']).toContain(refused);
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
  });
});
