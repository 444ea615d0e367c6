/** Health and metrics over HTTP. */
import http from 'node:http';
import https from 'node:https';

export interface Route {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Exact paths, GET and HEAD only. A handler that throws answers 500 with its message. */
export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly routes: Readonly<Record<string, () => Route | Promise<Route>>>;
  /** Serves https with these, in PEM. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
  /** For the header `Authorization`: undefined if the request may be answered, else what is answered instead. */
  readonly authorize?: (authorization: string | undefined) => Promise<Route | undefined>;
}

export interface HttpServer {
  stop(): Promise<void>;
}

/** @throws when the address cannot be listened on. */
export async function startHttpServer({ host, port, routes, tls, authorize }: HttpServerOptions): Promise<HttpServer> {
  const onRequest: http.RequestListener = (request, response) => {
    answer(request).then(
      ({ status, contentType, body }) => response.writeHead(status, { 'content-type': contentType }).end(body),
      (error: unknown) => response.writeHead(500, TEXT).end(error instanceof Error ? error.message : String(error)),
    );
  };
  const server = tls === undefined ? http.createServer(onRequest) : https.createServer(tls, onRequest);

  async function answer(request: http.IncomingMessage): Promise<Route> {
    if (request.method !== 'GET' && request.method !== 'HEAD') return plain(405, 'only GET is answered here');
    const refusal = await authorize?.(request.headers.authorization);
    if (refusal !== undefined) return refusal;
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    return route === undefined ? plain(404, `try ${Object.keys(routes).join(', ')}`) : route();
  }

  server.requestTimeout = 10_000;
  server.headersTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

const TEXT = { 'content-type': 'text/plain; charset=utf-8' };

export function plain(status: number, body: string): Route {
  return { status, contentType: TEXT['content-type'], body: `${body}\n` };
}
