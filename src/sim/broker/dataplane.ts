/** The broker's TCP server for clients; the protocol is `../protocol.ts`. */
import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import { onLines, writeLine } from '../lines.ts';
import { type Answer, type Push, type Request, RequestError, type Response } from '../protocol.ts';
import type { Discovery } from './discovery.ts';
import type { Metrics } from './metrics.ts';
import type { Service } from './service.ts';

interface DataPlaneDependencies {
  readonly service: Service;
  readonly discovery: Discovery;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export function createDataPlane(deps: DataPlaneDependencies): Server {
  return createServer((socket) => serve(deps, socket));
}

function serve(deps: DataPlaneDependencies, socket: Socket): void {
  const { service, log } = deps;
  const consumers = new Set<string>();
  socket.setNoDelay(true);
  socket.on('error', (error) => log.debug({ err: error }, 'client connection failed'));
  // Kinder than M12: the real broker notices that a consumer is gone only when it next has a message for it.
  socket.on('close', () => {
    for (const consumer of consumers) service.closeConsumer(consumer);
  });
  onLines(socket, (line) => {
    const request = readRequest(line);
    if (!request) {
      log.warn({ from: socket.remoteAddress }, 'connection closed: it does not speak our protocol');
      socket.destroy();
      return;
    }
    answer(deps, request, socket, consumers)
      .then((ok): Response => ({ id: request.id, ok }))
      .catch((error: unknown): Response => ({ id: request.id, error: toWireError(error, log) }))
      .then((response) => writeLine(socket, response));
  });
}

/** Both ends are ours, so the shape is not checked further; an unknown `op` is answered as an error. */
function readRequest(line: string): Request | undefined {
  try {
    return JSON.parse(line) as Request;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function answer(
  deps: DataPlaneDependencies,
  request: Request,
  socket: Socket,
  consumers: Set<string>,
): Promise<Answer> {
  const { service, discovery } = deps;
  switch (request.op) {
    case 'createTopic':
      return discovery.create(request.topic, request.delivery);
    case 'lookup': {
      const found = discovery.lookup(request.topic);
      if (found.redirect !== undefined) {
        const namespace = request.topic.split('/')[1] ?? '';
        deps.metrics.add('danube_client_redirects_total', { reason: 'not_local', topic_ns: namespace });
      }
      return found;
    }
    case 'producer':
      return { producer: await service.createProducer(request.topic, request.name) };
    case 'send': {
      const offset = service.send(request.producer, request.messageId, request.bytes);
      return offset === undefined ? {} : { offset: offset.toString() };
    }
    case 'subscribe': {
      const consumer = await service.subscribe({
        ...request,
        deliver: (id, message) => writeLine(socket, { consumer: id, message } satisfies Push),
        end: (id) => writeLine(socket, { consumer: id, end: true } satisfies Push),
      });
      // The client went away while its subscription was being written.
      if (socket.destroyed) service.closeConsumer(consumer);
      consumers.add(consumer);
      return { consumer };
    }
    case 'ack':
      service.ack(request.consumer, BigInt(request.offset));
      return {};
    case 'close':
      consumers.delete(request.consumer);
      service.closeConsumer(request.consumer);
      return {};
    default:
      throw new RequestError('INVALID_ARGUMENT', `unknown request ${JSON.stringify(request)}`);
  }
}

function toWireError(error: unknown, log: Logger): { code: RequestError['code']; message: string } {
  if (error instanceof RequestError) return { code: error.code, message: error.message };
  log.error({ err: error }, 'request failed');
  return { code: 'UNAVAILABLE', message: error instanceof Error ? error.message : String(error) };
}
