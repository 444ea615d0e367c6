import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type AdminProberOptions, startAdminProber } from './admin-ports.ts';

const TICK_MS = 100;
const MINUTE_MS = 60_000;

let clock: number;
let prober: { stop(): void } | undefined;
let answered: string[];
/** When it was tried, in ms since the start. */
let tries: number[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  [clock, answered, tries] = [0, [], []];
});
afterEach(() => {
  prober?.stop();
  vi.useRealTimers();
});

function start(options: Partial<AdminProberOptions> = {}): void {
  prober = startAdminProber({
    targets: () => [{ broker: '1', host: '127.0.0.1', port: 50051 }],
    onAnswer: (broker) => answered.push(broker),
    connect() {
      tries.push(clock);
      return new net.Socket().destroy(new Error('connect ECONNREFUSED'));
    },
    now: () => clock,
    ...options,
  });
}

/** Lets time pass, and each refusal arrive before the next moment. */
async function pass(ms: number): Promise<void> {
  for (const end = clock + ms; clock < end; ) {
    clock += TICK_MS;
    const before = tries.length;
    vi.advanceTimersByTime(TICK_MS);
    if (tries.length > before) await new Promise((resolve) => setImmediate(resolve));
  }
}

it('a broker that has opened its admin port is noticed', async () => {
  const server = net.createServer((socket) => socket.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  start({ targets: () => [{ broker: '7', host: '127.0.0.1', port }], connect: net.connect });

  vi.advanceTimersByTime(TICK_MS);
  await once(server, 'connection');
  await vi.waitUntil(() => answered.length > 0, { timeout: 30_000 });
  server.close();
  await once(server, 'close');

  expect(answered).toEqual(['7']);
});

it('a broker that starts is tried ten times a second', async () => {
  start();

  await pass(1_000);

  expect(tries).toHaveLength(10);
});

it('a broker whose port stays closed is tried less and less often, and every ten seconds for ever', async () => {
  start();

  await pass(10 * MINUTE_MS);
  const first = tries.length;
  await pass(10 * MINUTE_MS);

  expect(first).toBeLessThan(120);
  expect(tries.length - first).toBeGreaterThanOrEqual(58);
  expect(tries.length - first).toBeLessThanOrEqual(61);
});

it('a broker that registers again is tried as one that starts', async () => {
  let brokers = ['1'];
  start({ targets: () => brokers.map((broker) => ({ broker, host: '127.0.0.1', port: 50051 })) });
  await pass(10 * MINUTE_MS);

  brokers = [];
  await pass(TICK_MS);
  brokers = ['1'];
  const before = tries.length;
  await pass(1_000);

  expect(tries.length - before).toBe(10);
});

it('nobody is tried after the end', async () => {
  start();

  prober?.stop();
  await pass(1_000);

  expect(tries).toEqual([]);
});
