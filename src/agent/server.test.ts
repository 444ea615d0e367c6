import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AgentReport, parseReport } from '../api/agent-report.ts';
import { exampleReport } from '../api/example-report.ts';
import { createDrainWait, drainBounds } from './drained.ts';
import { createReportServer } from './server.ts';
import type { Selection } from './topics/listing.ts';

let report: AgentReport;
let server: Server;
let port: number;
let alive: boolean;
let readings: number;
let selections: Selection[];

beforeEach(async () => {
  report = exampleReport;
  alive = true;
  readings = 1;
  selections = [];
  const { topics } = exampleReport;
  if (topics === null) throw new Error('the example has topics');
  server = createReportServer({
    latest: () => ({ ...report, topics: null, topicsReason: 'not yet' }),
    isAlive: () => alive,
    topics: {
      report: (selection) => {
        selections.push(selection);
        return { topics, topicsReason: null };
      },
      readings: () => readings,
      skippedLines: () => 0,
    },
    drainWait: createDrainWait({
      podUid: exampleReport.pod.uid,
      readTopicsOwned: async () => 3,
      monotonicMilliseconds: () => performance.now(),
    }),
  });
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
    expect(await response.text()).toMatch(/^nonce: (write 1 to 64 of A-Z a-z 0-9 -|give it once)\n$/);
  });
});

describe('GET /report of some topics', () => {
  it.each([
    ['', { kind: 'all' }],
    ['?since=1699999900000.1.7', { kind: 'since', cursor: '1699999900000.1.7' }],
    ['?topic=%2Fdefault%2F%C3%A4%26b', { kind: 'topic', topic: '/default/ä&b' }],
  ])('%s', async (query, selection) => {
    expect(parseReport(await (await get(`/report${query}`)).text())).toEqual(report);
    expect(selections).toEqual([selection]);
  });

  it.each([
    ['topic=', 'topic: a name has 1 to 1024 characters'],
    [`topic=${'x'.repeat(1_025)}`, 'topic: a name has 1 to 1024 characters'],
    [`since=${'1'.repeat(129)}`, 'since: a cursor has at most 128 characters'],
    ['since=1&since=2', 'since: give it once'],
    ['since=1&topic=a', 'give since or topic, not both'],
  ])('refuses %s', async (query, problem) => {
    const response = await get(`/report?${query}`);

    expect(response.status).toBe(400);
    expect(await response.text()).toContain(problem);
  });
});

describe('the ETag', () => {
  async function etag(query = ''): Promise<string> {
    return (await get(`/report${query}`)).headers.get('etag') ?? '';
  }

  it('of a sample is answered with 304 and the nonce, without a body', async () => {
    const response = await get('/report?nonce=n-2', {
      headers: { 'If-None-Match': `"x", ${await etag('?nonce=n-1')}` },
    });

    expect(response.status).toBe(304);
    expect(response.headers.get('nonce')).toBe('n-2');
    expect(response.headers.get('etag')).toBe(await etag());
    expect(await response.text()).toBe('');
  });

  it('changes with the sample, the run of the agent, the reading of topics, and what is asked for', async () => {
    const etags = [await etag(), await etag('?since=1'), await etag('?topic=1')];
    report = { ...report, sequence: report.sequence + 1 };
    etags.push(await etag());
    report = { ...report, agentStartedAt: report.agentStartedAt + 1 };
    etags.push(await etag());
    readings += 1;
    etags.push(await etag());

    expect(new Set(etags).size).toBe(6);
    const [first = ''] = etags;
    expect((await get('/report', { headers: { 'If-None-Match': first } })).status).toBe(200);
  });

  it('goes with the nonce of the request, also when the body was made for an earlier one', async () => {
    await get('/report?nonce=n-1');
    const response = await get('/report?nonce=n-2');

    expect(response.headers.get('nonce')).toBe('n-2');
    expect(parseReport(await response.text())).toEqual({ ...report, nonce: 'n-2' });
  });
});

describe('compression', () => {
  it.each([
    ['gzip', 'gzip'],
    ['br, GZIP;q=0.5', 'gzip'],
    ['gzip;q=0', null],
    ['br', null],
    ['identity', null],
  ])('of a report for whom accepts %s is %s', async (accepted, encoding) => {
    const response = await get('/report', { headers: { 'Accept-Encoding': accepted } });

    expect(response.headers.get('content-encoding')).toBe(encoding);
    expect(response.headers.get('vary')).toBe('Accept-Encoding');
    expect(parseReport(await response.text())).toEqual(report);
  });

  it('is not worth it for a short answer', async () => {
    expect((await get('/healthz', { headers: { 'Accept-Encoding': 'gzip' } })).headers.get('content-encoding')).toBe(
      null,
    );
  });
});

describe('GET /metrics', () => {
  it('has the figures of the report, topics included', async () => {
    const response = await get('/metrics');
    const text = await response.text();

    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(text).toContain('\ndanube_load_manager_agent_cpu_cores{source="cgroup-v2"} 0.25\n');
    expect(text).toContain('\ndanube_load_manager_agent_topics 3\n');
  });
});

describe('GET /drained', () => {
  it('returns when the operator says with its pull that this Pod is done', async () => {
    const answer = get('/drained?timeout=60').then((response) => response.json());
    await get('/report?done=another-pod');
    const pull = await get(`/report?done=${exampleReport.pod.uid}`);

    expect(pull.status).toBe(200);
    expect(await answer).toMatchObject({ drained: true, why: 'OperatorDone' });
  });

  it('is 200 also when the time is up', async () => {
    const response = await get('/drained?timeout=0.05');

    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ drained: false, why: 'TimeUp' });
  });

  it.each(['', '?timeout=', '?timeout=-1', '?timeout=3601', '?timeout=1e1', '?timeout=1&timeout=2'])(
    'refuses %j',
    async (query) => {
      const response = await get(`/drained${query}`);

      expect(response.status).toBe(400);
      expect(await response.text()).toContain('in seconds, 0 to 3600');
    },
  );

  it('is taken by a hook however many wait already: who waits longest is answered', async () => {
    const answers: number[] = [];
    const gone = new AbortController();
    const wait = (name: number): Promise<unknown> =>
      get('/drained?timeout=60', { signal: gone.signal })
        .then((response) => response.text())
        .then((outcome) => outcome.includes('"TimeUp"') && answers.push(name))
        .catch((error: Error) => error.name);
    const first = wait(0);
    await get('/healthz');
    const others = Array.from({ length: drainBounds.waiters }, (_, index) => wait(index + 1));

    await first;
    expect(answers).toEqual([0]);
    gone.abort();
    await Promise.all(others);
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
  it.each(['/', '/reports', '/report/', '//report', '/drained/'])('%s is 404', async (path) => {
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
    expect(await exchange(`GET /report?nonce=${'x'.repeat(5_000)} HTTP/1.1\r\nHost: x\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 414 /,
    );
  });

  it('its headers are too long', async () => {
    expect(await exchange(`GET /report HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(9_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 431 /,
    );
  });

  it.each(['Content-Length: 1000000', 'Transfer-Encoding: chunked'])('it has a body (%s)', async (header) => {
    expect(await exchange(`GET /report HTTP/1.1\r\nHost: x\r\n${header}\r\n\r\n`)).toMatch(/^HTTP\/1.1 400 /);
  });

  it('it is no HTTP', async () => {
    expect(await exchange('hello\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /);
  });

  it('it does not end, or does not begin, in time', { timeout: 60_000 }, async () => {
    const answers = await Promise.all([exchange('GET /report HTTP/1.1\r\nHost: x\r\n'), exchange('')]);

    expect(answers).toEqual([expect.stringMatching(/^HTTP\/1.1 408 /), expect.stringMatching(/^HTTP\/1.1 408 /)]);
  });
});

describe('a client that does not take its answers', () => {
  const patience = { timeout: 30_000 };
  const request = 'GET /report HTTP/1.1\r\nHost: x\r\n\r\n';

  async function connectWith(bytes: string): Promise<Socket> {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(bytes);
    return socket;
  }

  async function connections(): Promise<number> {
    return new Promise((resolve, reject) => {
      server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
    });
  }

  it('is cut off when it asks again before it has them', { timeout: 60_000 }, async () => {
    const socket = await connectWith(request.repeat(1_600));

    await vi.waitFor(async () => expect(await connections()).toBe(0), patience);
    expect(selections.length).toBe(1);
    socket.destroy();
  });

  it('is cut off after half a minute', { timeout: 90_000 }, async () => {
    expect(server.timeout).toBe(30_000);
    server.timeout = 500;
    // More than the kernel takes for both ends.
    report = { ...report, reason: 'x'.repeat(30_000_000) };
    const socket = await connectWith(request);

    await vi.waitFor(() => expect(selections.length).toBe(1), patience);
    await vi.waitFor(async () => expect(await connections()).toBe(0), patience);
    socket.destroy();
  });

  it('is served on when it has taken them, also later than that', { timeout: 60_000 }, async () => {
    server.timeout = 2_000;
    const socket = await connectWith(request);
    await once(socket, 'data');
    const waited = await new Promise((resolve) => {
      socket.once('data', (bytes) => resolve(bytes.toString()));
      socket.write('GET /drained?timeout=3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    });

    expect(waited).toContain('"TimeUp"');
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
