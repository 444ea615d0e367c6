import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bounds } from '../api/agent-report.ts';
import { exampleReport } from '../api/example-report.ts';
import { type AgentAnswer, type AgentClient, type AgentRequest, createAgentClient } from './agent-client.ts';

type Answering = (request: IncomingMessage, response: ServerResponse) => void;

const PATIENT_MS = 60_000;
const { uid: podUID } = exampleReport.pod;

let server: Server;
let port: number;
let answering: Answering;
let requests: IncomingMessage[];
let clients: AgentClient[];

beforeEach(async () => {
  requests = [];
  clients = [];
  server = createServer((request, response) => {
    requests.push(request);
    answering(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
afterEach(async () => {
  for (const client of clients) client.close();
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
});

function newClient(timeoutMs = PATIENT_MS): AgentClient {
  const client = createAgentClient({ timeoutMs, idleMs: PATIENT_MS });
  clients.push(client);
  return client;
}

function requestOf(parts: Partial<AgentRequest> = {}): AgentRequest {
  return { target: { podUID, host: '127.0.0.1', port }, etag: undefined, isDone: false, ...parts };
}

function ask(parts: Partial<AgentRequest> = {}, timeoutMs = PATIENT_MS): Promise<AgentAnswer> {
  return newClient(timeoutMs).ask(requestOf(parts));
}

function nonceOf({ url = '' }: IncomingMessage): string {
  return new URL(url, 'http://agent').searchParams.get('nonce') ?? '';
}

/** The report as an agent serves it, with what a test changes. */
function reportFor(request: IncomingMessage, changes: object = {}): string {
  return JSON.stringify({ ...exampleReport, nonce: nonceOf(request), ...changes });
}

const asAgent: Answering = (request, response) => response.setHeader('ETag', '"7"').end(reportFor(request));

describe('an agent', () => {
  it('answers with its report', async () => {
    answering = asAgent;

    const answer = await ask();

    expect(answer).toEqual({
      kind: 'Report',
      etag: '"7"',
      report: { ...exampleReport, nonce: expect.stringMatching(/^[0-9a-f-]{36}$/) },
    });
  });

  it('answers packed', async () => {
    answering = (request, response) => {
      response.setHeader('Content-Encoding', request.headers['accept-encoding'] ?? '');
      response.end(gzipSync(reportFor(request)));
    };

    expect(await ask()).toMatchObject({ kind: 'Report', report: { sequence: exampleReport.sequence } });
  });

  it('says that it has no other report than ours', async () => {
    answering = (request, response) =>
      response.writeHead(request.headers['if-none-match'] === '"7"' ? 304 : 500, { Nonce: nonceOf(request) }).end();

    expect(await ask({ etag: '"7"' })).toEqual({ kind: 'Unchanged' });
  });

  it('is told that its Pod may end, once that is so', async () => {
    answering = asAgent;

    await ask();
    await ask({ isDone: true });

    expect(requests.map(({ url = '' }) => new URL(url, 'http://agent').searchParams.get('done'))).toEqual([
      null,
      podUID,
    ]);
  });

  it('is asked over one connection again and again', async () => {
    answering = asAgent;
    const client = newClient();

    for (let round = 0; round < 3; round++) expect(await client.ask(requestOf())).toMatchObject({ kind: 'Report' });

    expect(new Set(requests.map(({ socket }) => socket.remotePort)).size).toBe(1);
  });

  it('is asked over a new connection when it closes the kept one under our hands', async () => {
    const client = newClient();
    answering = asAgent;
    await client.ask(requestOf());
    const kept = requests[0]?.socket;
    answering = (request, response) => {
      if (request.socket === kept) kept?.resetAndDestroy();
      else asAgent(request, response);
    };

    expect(await client.ask(requestOf())).toMatchObject({ kind: 'Report' });
    expect(requests).toHaveLength(3);
  });
});

describe('nothing of this Pod’s agent is', () => {
  it.each<[string, Answering, RegExp]>([
    ['an answer of another Pod', (request, response) => response.end(reportFor(request, otherPod)), /of Pod broker-9 /],
    [
      'an answer to another request',
      (request, response) => response.end(reportFor(request, { nonce: 'another' })),
      /not to this request/,
    ],
    ['an answer without a nonce', (_, response) => response.end(JSON.stringify(exampleReport)), /not to this request/],
    ['a 304 of a cache', (_, response) => response.writeHead(304).end(), /not to this request/],
    [
      'a redirect',
      (request, response) => response.writeHead(302, { Location: `http://127.0.0.1:${port}/${request.url}` }).end(),
      /answers 302 Found/,
    ],
    ['an error', (_, response) => response.writeHead(503).end('no sample yet'), /answers 503/],
    ['a connection that ends', (_, response) => response.socket?.destroy(), /hang up|ECONNRESET/],
    [
      'half an answer',
      (_, response) => {
        response.setHeader('Content-Length', 1000);
        response.write('{');
        setImmediate(() => response.socket?.destroy());
      },
      /aborted/,
    ],
  ])('%s', async (_what, answer, message) => {
    answering = answer;

    const failure = await ask({ etag: '"7"' });

    expect(failure).toMatchObject({ kind: 'Failure', failure: { kind: 'Unanswered' } });
    expect(messageOf(failure)).toMatch(message);
    expect(messageOf(failure)).toContain(`127.0.0.1:${port}`);
    expect(requests).toHaveLength(1);
  });

  it('a 304 to the first request', async () => {
    answering = (request, response) => response.writeHead(304, { Nonce: nonceOf(request) }).end();

    expect(messageOf(await ask())).toMatch(/304 to an unconditional request/);
  });

  it('a closed port', async () => {
    expect(messageOf(await ask({ target: { podUID, host: '127.0.0.1', port: 1 } }))).toMatch(/ECONNREFUSED/);
  });

  it.each<[string, Answering]>([
    ['silence', () => undefined],
    [
      'a change of protocols',
      (_, response) =>
        response.socket?.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
    ],
    ['an answer that comes byte by byte', (request, response) => drip(response, reportFor(request))],
  ])('%s, and it is not waited for', async (_what, answer) => {
    answering = answer;

    expect(messageOf(await ask({}, 200))).toMatch(/no whole answer within 200 ms/);
  });

  it('anything after the end', async () => {
    answering = () => undefined;
    const client = newClient();
    const underWay = client.ask(requestOf());
    await once(server, 'request');

    client.close();

    expect(messageOf(await underWay)).toMatch(/hang up/);
    expect(messageOf(await client.ask(requestOf()))).toMatch(/stops/);
    expect(requests).toHaveLength(1);
  });
});

describe('an agent answers nonsense with', () => {
  const beyond = bounds.reportCharacters + 1;

  it.each<[string, Answering, RegExp]>([
    ['no JSON', (_, response) => response.end('<html>'), /not JSON/],
    ['an older report', (request, response) => response.end(reportFor(request, { version: 1 })), /of one release/],
    ['more than a report can be', (_, response) => response.end('x'.repeat(beyond)), /longer than/],
    [
      'little that unpacks to much',
      (_, response) => response.setHeader('Content-Encoding', 'gzip').end(gzipSync(Buffer.alloc(200 * 2 ** 20))),
      /longer than/,
    ],
    [
      'what is not packed as it says',
      (_, response) => response.setHeader('Content-Encoding', 'gzip').end('plain'),
      /not what gzip makes/,
    ],
    ['another way of packing', (_, response) => response.setHeader('Content-Encoding', 'br').end('x'), /encoded as br/],
  ])('%s', async (_what, answer, message) => {
    answering = answer;

    const failure = await ask();

    expect(failure).toMatchObject({ kind: 'Failure', failure: { kind: 'Unusable' } });
    expect(messageOf(failure)).toMatch(message);
  });
});

const otherPod = { pod: { name: 'broker-9', namespace: 'messaging', uid: 'another' } };

function messageOf(answer: AgentAnswer): string {
  return answer.kind === 'Failure' ? answer.failure.message : answer.kind;
}

/** Keeps the connection busy without ever getting to an end. */
function drip(response: ServerResponse, text: string): void {
  const bytes = Buffer.from(text);
  let sent = 0;
  const timer = setInterval(() => response.write(bytes.subarray(sent, ++sent)), 20);
  response.on('close', () => clearInterval(timer));
}
