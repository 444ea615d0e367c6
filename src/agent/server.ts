import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { type AgentReport, bounds, noncePattern } from '../api/agent-report.ts';
import { isProblem, type Problem } from '../api/problem.ts';
import { type DrainWait, drainBounds } from './drained.ts';
import { expositionType, formatExposition } from './exposition.ts';
import type { Selection } from './topics/listing.ts';
import type { TopicSampler } from './topics/topic-sampler.ts';

/**
 * Not imported: an import evaluates every export of the module, and `WebSocket` among them loads the clients for fetch, TLS
 * and HTTP/2, which is 13 MiB of memory in every broker Pod.
 */
const { createServer } = process.getBuiltinModule('node:http');

export interface ReportServerOptions {
  /** The last sample; what it says of topics is left to `topics`. */
  readonly latest: () => AgentReport;
  readonly isAlive: () => boolean;
  readonly topics: Pick<TopicSampler, 'report' | 'readings' | 'skippedLines'>;
  readonly drainWait: Pick<DrainWait, 'sayDone' | 'wait'>;
}

/**
 * Small, because every broker Pod carries this server and anyone in the cluster may reach it unless a NetworkPolicy says
 * otherwise. The operator keeps one connection open and pulls every few seconds.
 */
const limits = {
  /** A topic's name may be all escapes. */
  urlCharacters: 4_096,
  headerBytes: 8_192,
  connections: 64,
  requestMilliseconds: 5_000,
  /** For an answer of which nothing is taken. */
  answerMilliseconds: 30_000,
  idleMilliseconds: 60_000,
} as const;

/** Below this, compressing costs more than it saves. */
const leastGzipBytes = 1_024;

/**
 * An HTTP server, not yet listening, for
 * - `GET /report[?nonce=…][&since=CURSOR | &topic=NAME][&done=POD_UID]`: the last AgentReport as JSON, 304 when
 *   If-None-Match has its ETag; the nonce comes back in the header `Nonce` and in the report. With `done` the operator
 *   says that this Pod is drained;
 * - `GET /drained?timeout=SECONDS`: waits for that, see DrainOutcome; 200 also when the time is up, so that no hook fails;
 * - `GET /metrics`: the same figures for Prometheus;
 * - `GET /healthz`: 200 while sampling goes on, else 503.
 */
export function createReportServer(options: ReportServerOptions): Server {
  const reportBody = createReportBody();
  /** Sockets with an answer on its way. */
  const answering = new WeakSet<Socket>();
  const server = createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.requestMilliseconds,
      requestTimeout: limits.requestMilliseconds,
      connectionsCheckingInterval: limits.requestMilliseconds / 2,
      keepAliveTimeout: limits.idleMilliseconds,
    },
    (request, response) => {
      const { socket } = request;
      if (answering.has(socket)) {
        // Node would keep the answers to all requests that came at once, and whoever reads none of them would fill the memory.
        socket.destroy();
        return;
      }
      answering.add(socket);
      response.on('close', () => answering.delete(socket));
      const url = parseTarget(request);
      if (isRefusal(url)) send(response, url);
      else if (url.pathname === '/drained') waitUntilDrained(url, response, options.drainWait);
      else send(response, answer(url, request, options, reportBody));
    },
  );
  server.maxConnections = limits.connections;
  server.timeout = limits.answerMilliseconds;
  return server;
}

interface Answer {
  readonly status: number;
  readonly body: string | Buffer;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** For requests after which the connection is not to be used again, such as those with a body still to come. */
const close = { Connection: 'close' };

function isRefusal(outcome: URL | Answer): outcome is Answer {
  return 'status' in outcome;
}

function parseTarget({ url: target = '', method, headers }: IncomingMessage): URL | Answer {
  if (target.length > limits.urlCharacters) {
    return { status: 414, body: `the URL is longer than ${limits.urlCharacters} characters\n`, headers: close };
  }
  if (method !== 'GET') return { status: 405, body: 'only GET is served here\n', headers: { Allow: 'GET', ...close } };
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0) {
    return { status: 400, body: 'a GET request here has no body\n', headers: close };
  }
  return URL.parse(`http://agent${target}`) ?? notFound;
}

const notFound: Answer = { status: 404, body: 'there is /report, /drained, /metrics and /healthz\n' };

function send(response: ServerResponse, { status, body, type = 'text/plain; charset=utf-8', headers }: Answer): void {
  response.writeHead(status, {
    ...(status === 304 ? {} : { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }),
    'Cache-Control': 'no-store',
    ...headers,
  });
  response.end(body);
}

function answer(url: URL, { headers }: IncomingMessage, options: ReportServerOptions, reportBody: ReportBody): Answer {
  switch (url.pathname) {
    case '/report': {
      const query = parseReportQuery(url.searchParams);
      if (isProblem(query)) return { status: 400, body: `${query.problem}\n` };
      if (query.done !== null) options.drainWait.sayDone(query.done);
      return answerWithReport(query, headers, options, reportBody);
    }
    case '/metrics': {
      const report = { ...options.latest(), ...options.topics.report({ kind: 'all' }) };
      const body = formatExposition({ report, skippedLines: options.topics.skippedLines() });
      return compressed({ status: 200, type: expositionType, body }, headers);
    }
    case '/healthz':
      return options.isAlive() ? { status: 200, body: 'ok\n' } : { status: 503, body: 'sampling has stalled\n' };
    default:
      return notFound;
  }
}

interface ReportQuery {
  readonly nonce: string | null;
  readonly done: string | null;
  readonly selection: Selection;
}

function parseReportQuery(params: URLSearchParams): ReportQuery | Problem {
  for (const name of ['nonce', 'since', 'topic', 'done']) {
    if (params.getAll(name).length > 1) return { problem: `${name}: give it once` };
  }
  const nonce = params.get('nonce');
  const cursor = params.get('since');
  const topic = params.get('topic');
  const done = params.get('done');
  if (nonce !== null && !noncePattern.test(nonce)) {
    return { problem: 'nonce: write 1 to 64 of A-Z a-z 0-9 -' };
  }
  if (cursor !== null && cursor.length > bounds.cursorCharacters) {
    return { problem: `since: a cursor has at most ${bounds.cursorCharacters} characters` };
  }
  if (topic !== null && (topic === '' || topic.length > bounds.topicCharacters)) {
    return { problem: `topic: a name has 1 to ${bounds.topicCharacters} characters` };
  }
  if (cursor !== null && topic !== null) return { problem: 'give since or topic, not both' };
  if (topic !== null) return { nonce, done, selection: { kind: 'topic', topic } };
  if (cursor !== null) return { nonce, done, selection: { kind: 'since', cursor } };
  return { nonce, done, selection: { kind: 'all' } };
}

function answerWithReport(
  { nonce, selection }: ReportQuery,
  requestHeaders: IncomingMessage['headers'],
  { latest, topics }: ReportServerOptions,
  reportBody: ReportBody,
): Answer {
  const sample = latest();
  // Weak: the nonce and the compression may differ.
  const etag = `W/"${sample.agentStartedAt}.${sample.sequence}.${topics.readings()}.${selectionKey(selection)}"`;
  const headers = { ETag: etag, ...(nonce === null ? {} : { Nonce: nonce }) };
  if (matches(requestHeaders['if-none-match'], etag)) return { status: 304, body: '', headers };

  const json = reportBody(etag, () => ({ ...sample, ...topics.report(selection) }));
  // Whole but for its last brace, so that the nonce needs no second serialization.
  const body = nonce === null ? json : `${json.slice(0, -1)},"nonce":${JSON.stringify(nonce)}}`;
  return compressed({ status: 200, type: 'application/json', body, headers }, requestHeaders);
}

/** In characters that an ETag may have. */
function selectionKey(selection: Selection): string {
  switch (selection.kind) {
    case 'all':
      return 'all';
    case 'since':
      return `since-${encodeURIComponent(selection.cursor)}`;
    case 'topic':
      return `topic-${encodeURIComponent(selection.topic)}`;
  }
}

/** Serializes a report once for as long as its ETag is asked for. */
type ReportBody = (etag: string, report: () => AgentReport) => string;

function createReportBody(): ReportBody {
  let last = { etag: '', body: '' };
  return (etag, report) => {
    if (last.etag !== etag) last = { etag, body: JSON.stringify(report()) };
    return last.body;
  };
}

function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  const known = ifNoneMatch?.split(',').map((it) => it.trim()) ?? [];
  return known.includes(etag) || known.includes('*');
}

function compressed(answer: Answer, headers: IncomingMessage['headers']): Answer {
  const varying = { ...answer, headers: { ...answer.headers, Vary: 'Accept-Encoding' } };
  if (answer.body.length < leastGzipBytes || !acceptsGzip(String(headers['accept-encoding'] ?? ''))) return varying;
  return { ...varying, body: gzipSync(answer.body), headers: { ...varying.headers, 'Content-Encoding': 'gzip' } };
}

function acceptsGzip(accepted: string): boolean {
  return accepted.split(',').some((it) => {
    const [coding = '', quality = 'q=1'] = it.split(';').map((part) => part.trim().toLowerCase());
    return coding === 'gzip' && Number(quality.slice('q='.length)) > 0;
  });
}

function waitUntilDrained(url: URL, response: ServerResponse, drainWait: Pick<DrainWait, 'wait'>): void {
  const timeoutSeconds = parseTimeout(url.searchParams.getAll('timeout'));
  if (isProblem(timeoutSeconds)) {
    send(response, { status: 400, body: `${timeoutSeconds.problem}\n` });
    return;
  }
  // Nothing is sent while somebody waits. The timer for connections without a request follows the answer.
  response.setTimeout(0);
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  drainWait
    .wait(timeoutSeconds, gone.signal)
    .then((outcome) => send(response, { status: 200, type: 'application/json', body: `${JSON.stringify(outcome)}\n` }));
}

function parseTimeout([text = '', ...more]: readonly string[]): number | Problem {
  const seconds = /^\d+(\.\d+)?$/.test(text) && more.length === 0 ? Number(text) : Number.NaN;
  return seconds <= drainBounds.timeoutSeconds
    ? seconds
    : { problem: `timeout: give it once, in seconds, 0 to ${drainBounds.timeoutSeconds}` };
}
