import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createKubeClient, type KubeClient, type KubeClientOptions, KubeError, type KubeObject } from './client.ts';
import { type FakeApiServer, type Fault, startFakeApiServer } from './fake-api-server.ts';

const RESOURCE = { group: 'test', version: 'v1', plural: 'things', namespaced: true };
const REF = { namespace: 'n', name: 'a' };
const PATIENCE = { timeout: 30_000 };

let server: FakeApiServer<KubeObject>;
let client: KubeClient;
let responses: string[] = [];

beforeEach(async () => {
  server = await startFakeApiServer<KubeObject>();
  responses = [];
  server.put({ metadata: REF });
});

afterEach(async () => {
  vi.restoreAllMocks();
  client.close();
  await server.close();
});

function kubeConfigOfServer(): KubeConfig {
  // The library refuses plain HTTP otherwise.
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromClusterAndUser({ name: 'fake', server: server.url, skipTLSVerify: true }, { name: 'nobody' });
  return kubeConfig;
}

function connect(options: Partial<KubeClientOptions> = {}): KubeClient {
  const host = new URL(server.url).host;
  const observer: KubeClientOptions['observer'] = {
    onResponse: (response) => responses.push(`${response.method} ${response.host === host} ${response.status}`),
  };
  client = createKubeClient({ kubeConfig: kubeConfigOfServer(), observer, ...options });
  return client;
}

/** Fails the next `times` requests. */
function failNext(fault: Fault, times = 1): void {
  let left = times;
  server.failWith(() => (left-- > 0 ? fault : undefined));
}

async function failureOf(call: Promise<unknown>): Promise<KubeError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof KubeError)) throw new Error(`expected a KubeError, got ${String(error)}`);
  return error;
}

describe('a server that puts a call off with Retry-After', () => {
  it('is asked again after that time', async () => {
    failNext({ status: 429, retryAfter: 1 });
    const startedAt = performance.now();

    const found = await connect().get(RESOURCE, REF);

    expect(found.metadata.name).toBe('a');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1000);
    expect(responses).toEqual(['GET true 429', 'GET true 200']);
  });

  it('is not asked again after the deadline of the call', async () => {
    const now = performance.now.bind(performance);
    server.failWith(() => {
      // By the second answer all of the call's time but half a second has passed.
      if (server.requests.length === 2) vi.spyOn(performance, 'now').mockImplementation(() => now() + 58_500);
      return { status: 429, retryAfter: 1 };
    });

    const error = await failureOf(connect({ timeoutMs: 60_000 }).get(RESOURCE, REF));

    expect([error.status, error.retryAfterSeconds]).toEqual([429, 1]);
    expect(server.requests).toHaveLength(2);
  });

  it('is not asked again at all when the time is longer than the deadline', async () => {
    failNext({ status: 429, retryAfter: 60 });

    const error = await failureOf(connect().get(RESOURCE, REF));

    expect(error.retryAfterSeconds).toBe(60);
    expect(server.requests).toHaveLength(1);
  });

  it('gets no second POST', async () => {
    failNext({ status: 429, retryAfter: 1 });

    const error = await failureOf(connect().create(RESOURCE, { metadata: { namespace: 'n', name: 'b' } }));

    expect(error.status).toBe(429);
    expect(server.requests).toHaveLength(1);
  });

  it.each<Fault>([{ status: 429 }, { status: 503 }, 'reset'])('only then: not after %j', async (fault) => {
    failNext(fault);

    await failureOf(connect().get(RESOURCE, REF));

    expect(server.requests).toHaveLength(1);
  });
});

describe('a credential plugin', () => {
  it('that hangs holds a call up no longer than its deadline, and is then asked anew', async () => {
    const kubeConfig = kubeConfigOfServer();
    const ask = vi.spyOn(kubeConfig, 'applyToHTTPSOptions').mockImplementationOnce(() => new Promise(() => undefined));
    connect({ kubeConfig, maxInFlight: 1, timeoutMs: 1_500 });

    const error = await failureOf(client.get(RESOURCE, REF));
    const found = await client.get(RESOURCE, REF);

    expect(error).toMatchObject({ status: 0, reason: 'Timeout' });
    expect(error.message).toContain('no answer within 1500 ms');
    expect(found.metadata.name).toBe('a');
    expect(ask).toHaveBeenCalledTimes(2);
  });

  it('that hangs holds a watch up no longer than its idle time', async () => {
    const kubeConfig = kubeConfigOfServer();
    vi.spyOn(kubeConfig, 'applyToHTTPSOptions').mockImplementation(() => new Promise(() => undefined));
    connect({ kubeConfig });
    const selection = { namespace: 'n', resourceVersion: '1', timeoutSeconds: 60 };
    const events = client.watch(RESOURCE, selection, { signal: new AbortController().signal, idleMs: 200 });

    const error = await failureOf(events[Symbol.asyncIterator]().next());

    expect(error.message).toContain('no answer within 200 ms');
  });

  it('is asked once by calls that wait for its answer, and again by the next', async () => {
    const kubeConfig = kubeConfigOfServer();
    const answer = Promise.withResolvers<void>();
    const ask = vi.spyOn(kubeConfig, 'applyToHTTPSOptions').mockImplementationOnce(() => answer.promise);
    connect({ kubeConfig });

    const calls = Promise.all([client.get(RESOURCE, REF), client.get(RESOURCE, REF)]);
    answer.resolve();
    await calls;
    expect(ask).toHaveBeenCalledTimes(1);

    await client.get(RESOURCE, REF);
    expect(ask).toHaveBeenCalledTimes(2);
  });

  it('that fails, fails the call with its reason', async () => {
    const kubeConfig = kubeConfigOfServer();
    vi.spyOn(kubeConfig, 'applyToHTTPSOptions').mockRejectedValueOnce(new Error('log in first'));
    connect({ kubeConfig });

    const error = await failureOf(client.get(RESOURCE, REF));

    expect(error).toMatchObject({ status: 0, reason: 'Unreachable' });
    expect(error.message).toContain('log in first');
  });
});

describe('calls at the same time', () => {
  it('are no more than allowed', async () => {
    server.failWith(() => 'hang');
    const limited = connect({ maxInFlight: 3, timeoutMs: 3_000 });
    const calls = Promise.all(Array.from({ length: 20 }, () => failureOf(limited.get(RESOURCE, REF))));
    await vi.waitFor(() => expect(server.requests).toHaveLength(3), PATIENCE);

    // One round trip of somebody else: a fourth call would have arrived before it.
    server.failWith(() => undefined);
    const other = connect();
    await other.get(RESOURCE, REF);

    expect(server.requests).toHaveLength(3 + 1);
    other.close();
    await calls;
    limited.close();
  });

  it('take their turns', async () => {
    connect({ maxInFlight: 3 });

    const found = await Promise.all(Array.from({ length: 20 }, () => client.get(RESOURCE, REF)));

    expect(found).toHaveLength(20);
  });

  it('fail by their deadline while they wait, too, and leave their place to others', async () => {
    const kubeConfig = kubeConfigOfServer();
    const credentials = Promise.withResolvers<void>();
    vi.spyOn(kubeConfig, 'applyToHTTPSOptions').mockImplementationOnce(() => credentials.promise);
    connect({ kubeConfig, maxInFlight: 1, timeoutMs: 100 });
    // Of two deadlines of the same length the first would free the place just before the second.
    const later = new AbortController();
    vi.spyOn(AbortSignal, 'timeout').mockReturnValueOnce(later.signal);
    const stuck = failureOf(client.get(RESOURCE, REF));

    const waiting = await failureOf(client.get(RESOURCE, REF));
    later.abort(new DOMException('The operation timed out', 'TimeoutError'));
    credentials.resolve();
    const first = await stuck;

    expect([first.message, waiting.message]).toEqual([
      expect.stringContaining('no answer within 100 ms'),
      expect.stringContaining('no answer within 100 ms'),
    ]);
    expect(server.requests).toHaveLength(0);
    vi.spyOn(AbortSignal, 'timeout').mockReturnValueOnce(new AbortController().signal);
    expect((await client.get(RESOURCE, REF)).metadata.name).toBe('a');
    expect(server.requests).toHaveLength(1);
  });

  it('are not held up by watches', async () => {
    connect({ maxInFlight: 1 });
    const stop = new AbortController();
    const selection = { namespace: 'n', resourceVersion: '1', timeoutSeconds: 60 };
    const watching = (async () => {
      for await (const event of client.watch(RESOURCE, selection, { signal: stop.signal, idleMs: 10_000 })) void event;
    })();
    await vi.waitFor(() => expect(server.openWatches()).toBe(1), PATIENCE);

    expect((await client.get(RESOURCE, REF)).metadata.name).toBe('a');

    stop.abort();
    await watching;
    expect(responses).toEqual(['GET true 200', 'GET true 200']);
  });
});
