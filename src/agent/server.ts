import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AgentReport, noncePattern } from '../api/agent-report.ts';

export interface ReportServerOptions {
  readonly latest: () => AgentReport;
  readonly isAlive: () => boolean;
}

/**
 * Small, because every broker Pod carries this server and anyone in the cluster may reach it unless a NetworkPolicy says
 * otherwise. The operator keeps one connection open and pulls every few seconds.
 */
const limits = {
  urlCharacters: 256,
  headerBytes: 4_096,
  connections: 64,
  requestMilliseconds: 5_000,
  idleMilliseconds: 60_000,
} as const;

/**
 * An HTTP server, not yet listening, for
 * - `GET /report[?nonce=…]`: the last AgentReport as JSON;
 * - `GET /healthz`: 200 while sampling goes on, else 503.
 */
export function createReportServer(options: ReportServerOptions): Server {
  const server = createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.requestMilliseconds,
      requestTimeout: limits.requestMilliseconds,
      connectionsCheckingInterval: limits.requestMilliseconds / 2,
      keepAliveTimeout: limits.idleMilliseconds,
    },
    (request, response) => {
      const { status, body, type = 'text/plain; charset=utf-8', headers = {} } = answer(request, options);
      response.writeHead(status, {
        'Content-Type': type,
        'Content-Length': Buffer.byteLength(body),
        'Cache-Control': 'no-store',
        ...headers,
      });
      response.end(body);
    },
  );
  server.maxConnections = limits.connections;
  return server;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** For requests after which the connection is not to be used again, such as those with a body still to come. */
const close = { Connection: 'close' };

function answer({ url: target = '', method, headers }: IncomingMessage, options: ReportServerOptions): Answer {
  if (target.length > limits.urlCharacters) {
    return { status: 414, body: `the URL is longer than ${limits.urlCharacters} characters\n`, headers: close };
  }
  if (method !== 'GET') return { status: 405, body: 'only GET is served here\n', headers: { Allow: 'GET', ...close } };
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0) {
    return { status: 400, body: 'a GET request here has no body\n', headers: close };
  }
  const url = URL.parse(`http://agent${target}`);
  switch (url?.pathname) {
    case '/report':
      return answerWithReport(url.searchParams.getAll('nonce'), options.latest());
    case '/healthz':
      return options.isAlive() ? { status: 200, body: 'ok\n' } : { status: 503, body: 'sampling has stalled\n' };
    default:
      return { status: 404, body: 'there is /report and /healthz\n' };
  }
}

function answerWithReport(nonces: readonly string[], report: AgentReport): Answer {
  const [nonce] = nonces;
  const type = 'application/json';
  if (nonce === undefined) return { status: 200, type, body: JSON.stringify(report) };
  if (nonces.length > 1 || !noncePattern.test(nonce)) {
    return { status: 400, body: 'nonce: give it once, 1 to 64 of A-Z a-z 0-9 -\n' };
  }
  return { status: 200, type, body: JSON.stringify({ ...report, nonce }) };
}
