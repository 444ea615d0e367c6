/**
 * Asks one agent for its report. What answers may be anything that listens at the address of a Pod, so an answer is bounded
 * in time and in bytes, packed and unpacked, and must show that it is this Pod's and to this request.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { gunzipSync } from 'node:zlib';
import { type AgentReport, bounds, parseReport } from '../api/agent-report.ts';
import { isProblem } from '../api/problem.ts';
import type { AgentFailure } from '../core/agent-record.ts';

export interface AgentTarget {
  readonly podUID: string;
  readonly host: string;
  readonly port: number;
}

export interface AgentRequest {
  readonly target: AgentTarget;
  /** Of the report that we have. */
  readonly etag: string | undefined;
  /** The Pod may end now: the agent ends its `/drained`. */
  readonly isDone: boolean;
}

export type AgentAnswer =
  | { readonly kind: 'Report'; readonly report: AgentReport; readonly etag: string | undefined }
  /** The report that we have is still the last one. */
  | { readonly kind: 'Unchanged' }
  | ({ readonly kind: 'Failure' } & { readonly failure: AgentFailure });

export interface AgentClientOptions {
  /** For the whole answer. */
  readonly timeoutMs: number;
  /** Connections that are not used for so long are closed. */
  readonly idleMs: number;
}

export interface AgentClient {
  /** Never rejects: that an agent fails is an answer, too. */
  ask(request: AgentRequest): Promise<AgentAnswer>;
  /** Ends all connections, those in use as well. */
  close(): void;
}

/** Thrown here and caught in `ask`. */
class Unusable extends Error {}
class Unanswered extends Error {}

export function createAgentClient({ timeoutMs, idleMs }: AgentClientOptions): AgentClient {
  const connections = new http.Agent({ keepAlive: true, maxFreeSockets: 1, timeout: idleMs });
  let isClosed = false;

  async function exchange(request: AgentRequest, signal: AbortSignal): Promise<AgentAnswer> {
    if (isClosed) throw new Unanswered('the operator stops');
    const nonce = randomUUID();
    const response = await send(request, nonce, signal);
    switch (response.statusCode) {
      case 200:
        return readReport(response, request.target, nonce);
      case 304:
        response.resume();
        if (request.etag === undefined) throw new Unanswered('it answers 304 to an unconditional request');
        if (response.headers.nonce !== nonce) throw new Unanswered(NO_NONCE);
        return { kind: 'Unchanged' };
      default:
        // A redirect, too: it would lead the operator wherever the one who answers wants.
        response.destroy();
        throw new Unanswered(`it answers ${response.statusCode} ${response.statusMessage} instead of a report`);
    }
  }

  async function send(request: AgentRequest, nonce: string, signal: AbortSignal): Promise<http.IncomingMessage> {
    const { target, etag, isDone } = request;
    const headers = { 'Accept-Encoding': 'gzip', ...(etag !== undefined && { 'If-None-Match': etag }) };
    const path = `/report?nonce=${nonce}${isDone ? `&done=${encodeURIComponent(target.podUID)}` : ''}`;
    const sent = http.get({ host: target.host, port: target.port, path, headers, agent: connections, signal });
    // After the response, or the deadline, nobody else listens for what goes wrong; it is an error of the response, too.
    sent.on('error', () => undefined);
    try {
      // With the signal: of an answer such as 101 Node says nothing at all, not even that it gave up.
      const [response] = await once(sent, 'response', { signal });
      return response as http.IncomingMessage;
    } catch (error) {
      // The agent closed a connection that was kept while our request was on its way.
      if (sent.reusedSocket && hasCode(error, 'ECONNRESET')) return send(request, nonce, signal);
      throw error;
    }
  }

  return {
    async ask(request) {
      const signal = AbortSignal.timeout(timeoutMs);
      try {
        return await exchange(request, signal);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        if (error instanceof Unusable) return toFailure('Unusable', error.message);
        const what = signal.aborted ? `no whole answer within ${timeoutMs} ms` : error.message;
        return toFailure('Unanswered', `${what} (${request.target.host}:${request.target.port})`);
      }
    },
    close() {
      isClosed = true;
      connections.destroy();
    },
  };
}

const NO_NONCE = 'the answer is not to this request: see what stands between the operator and the Pod';

async function readReport(response: http.IncomingMessage, target: AgentTarget, nonce: string): Promise<AgentAnswer> {
  const report = parseReport(await readText(response));
  if (isProblem(report)) throw new Unusable(report.problem);
  if (report.nonce !== nonce) throw new Unanswered(NO_NONCE);
  if (report.pod.uid !== target.podUID) {
    throw new Unanswered(`the answer is of Pod ${report.pod.name} with uid ${report.pod.uid}, not ${target.podUID}`);
  }
  return { kind: 'Report', report, etag: response.headers.etag };
}

async function readText(response: http.IncomingMessage): Promise<string> {
  const body = await readBody(response);
  const encoding = response.headers['content-encoding'] ?? 'identity';
  if (encoding === 'identity') return body.toString();
  if (encoding !== 'gzip') throw new Unusable(`its answer is encoded as ${encoding.slice(0, 40)}`);
  try {
    // At once: the bound makes it milliseconds at worst, and a stream for each of many small answers costs more.
    return gunzipSync(body, { maxOutputLength: bounds.reportCharacters }).toString();
  } catch (error) {
    if (hasCode(error, 'ERR_BUFFER_TOO_LARGE')) throw new Unusable(TOO_LONG);
    throw new Unusable('its answer is not what gzip makes');
  }
}

const TOO_LONG = `its answer is longer than ${bounds.reportCharacters} bytes`;

async function readBody(response: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += chunk.length;
    if (bytes > bounds.reportCharacters) throw new Unusable(TOO_LONG);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function toFailure(kind: AgentFailure['kind'], message: string): AgentAnswer {
  return { kind: 'Failure', failure: { kind, message } };
}
