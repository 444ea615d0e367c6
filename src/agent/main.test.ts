import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it, vi } from 'vitest';
import { type AgentReport, parseReport } from '../api/agent-report.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
/** A machine that is busy with other things may need it; who waits in vain waits for an error. */
const PATIENCE = { timeout: 30_000 };
const podEnv = { POD_NAME: 'broker-0', POD_NAMESPACE: 'messaging', POD_UID: '5b1f' };

/** Takes a listener's address on the command line and says on which port it came to listen. */
const brokerProgram = `
  const server = require('node:net').createServer().listen(Number(process.argv[2] ?? 0), process.argv[1], () => {
    console.log(JSON.stringify({ port: server.address().port }));
  });
  process.stdin.on('end', () => process.exit()).resume();`;

const started: ChildProcess[] = [];
afterEach(async () => {
  for (const child of started.splice(0)) await end(child, 'SIGKILL');
});

function start(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
  started.push(child);
  return child;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}

/** The first line of JSON on stdout that has this key. */
async function lineWith(child: ChildProcess, key: string): Promise<Record<string, unknown>> {
  if (child.stdout === null) throw new Error('stdout is piped');
  for await (const line of createInterface(child.stdout)) {
    const fields: Record<string, unknown> = JSON.parse(line);
    if (key in fields) return fields;
  }
  throw new Error(`the process ended without saying its ${key}`);
}

async function startBroker(host: string, port = 0): Promise<{ child: ChildProcess; port: number }> {
  const child = start(['-e', brokerProgram, host, String(port)]);
  const { port: listening } = await lineWith(child, 'port');
  return { child, port: Number(listening) };
}

async function startAgent(
  brokerAddress: string,
  more: readonly string[] = [],
): Promise<{ child: ChildProcess; url: string }> {
  const flags = ['--listen', '127.0.0.1:0', '--broker-address', brokerAddress, '--interval-seconds', '0.1'];
  const child = start([main, ...flags, ...more], podEnv);
  const { address } = await lineWith(child, 'address');
  return { child, url: `http://${address}` };
}

async function fetchReport(url: string): Promise<AgentReport> {
  const report = parseReport(await (await fetch(`${url}/report?nonce=n-1`)).text());
  if ('problem' in report) throw new Error(report.problem);
  return report;
}

it('the agent finds a real broker by its address, notices its end and its return, and ends at once by SIGTERM', async () => {
  const broker = await startBroker('127.0.0.1');
  const beside = await startBroker('127.0.0.2', broker.port);
  const agent = await startAgent(`127.0.0.1:${broker.port}`);

  await vi.waitFor(async () => expect((await fetchReport(agent.url)).cpu.cores).not.toBeNull(), PATIENCE);
  const report = await fetchReport(agent.url);
  expect(report).toMatchObject({
    pod: { name: 'broker-0', namespace: 'messaging', uid: '5b1f' },
    nonce: 'n-1',
    broker: { pid: broker.child.pid },
    // Agent and broker are in the test's own cgroup here, which is not the broker's own.
    cpu: { source: 'proc' },
    reason: expect.stringContaining('the agent'),
  });
  expect(report.memory.workingSetBytes).toBeGreaterThan(10_000_000);
  expect(Math.abs(report.observedAt - Date.now())).toBeLessThan(60_000);

  await end(broker.child, 'SIGKILL');
  await vi.waitFor(async () => expect((await fetchReport(agent.url)).broker).toBeNull(), PATIENCE);

  const next = await startBroker('127.0.0.1', broker.port);
  await vi.waitFor(async () => expect((await fetchReport(agent.url)).broker?.pid).toBe(next.child.pid), PATIENCE);
  expect(next.child.pid).not.toBe(beside.child.pid);

  // A request that is not complete does not hold it up; it would for 30 s.
  const client = connect(Number(new URL(agent.url).port), '127.0.0.1').on('error', () => undefined);
  client.write('GET /report HTTP/1.1\r\n');
  await fetchReport(agent.url);
  const exit = once(agent.child, 'exit');
  const termination = performance.now();
  agent.child.kill('SIGTERM');
  expect(await exit).toEqual([0, null]);
  expect(performance.now() - termination).toBeLessThan(25_000);
  client.destroy();
}, 90_000);

it('a broker on every IPv4 address is found by one of them', async () => {
  const broker = await startBroker('0.0.0.0');
  const agent = await startAgent(`127.0.0.9:${broker.port}`);

  expect((await fetchReport(agent.url)).broker?.pid).toBe(broker.child.pid);
}, 90_000);

/** Takes a listener's address, and answers every request for metrics with how many topics it serves: what it last read. */
const metricsProgram = `
  let topics = 2;
  let messages = 0;
  const server = require('node:http').createServer((request, response) => {
    messages += 100;
    response.setHeader('Content-Type', 'text/plain').end(
      'danube_topic_messages_in_total{broker="7",topic="/default/a"} ' + messages + '\\n' +
      'danube_broker_topics_owned{broker="7"} ' + topics + '\\n');
  }).listen(0, process.argv[1], () => console.log(JSON.stringify({ port: server.address().port })));
  process.stdin.on('data', (text) => { topics = Number(text); }).on('end', () => process.exit());`;

async function startBrokerWithMetrics(): Promise<{ child: ChildProcess; flags: string[]; address: string }> {
  const child = start(['-e', metricsProgram, '127.0.0.1']);
  const { port } = await lineWith(child, 'port');
  const address = `127.0.0.1:${port}`;
  return { child, address, flags: ['--broker-metrics-url', `http://${address}/metrics`] };
}

it("topics are read from the broker's endpoint, and their CPU is that of the broker", async () => {
  const broker = await startBrokerWithMetrics();
  const agent = await startAgent(broker.address, broker.flags);

  await vi.waitFor(async () => {
    const { topics } = await fetchReport(agent.url);
    expect(topics).toMatchObject({ total: 2, rest: { topics: 1 } });
    expect(topics?.entries[0]).toEqual(['/default/a', expect.any(Number), 0, 0, 0, 0, 0, null, expect.any(Number)]);
  }, PATIENCE);
}, 90_000);

it('a hook that waits is answered after SIGTERM as well, when the broker serves nothing; then the agent ends', async () => {
  const broker = await startBrokerWithMetrics();
  const agent = await startAgent(broker.address, broker.flags);
  const drained = fetch(`${agent.url}/drained?timeout=20`).then((response) => response.json());
  await vi.waitFor(async () => expect((await fetchReport(agent.url)).topics?.total).toBe(2), PATIENCE);

  const exit = once(agent.child, 'exit');
  agent.child.kill('SIGTERM');
  await fetchReport(agent.url);
  broker.child.stdin?.write('0');

  expect(await drained).toMatchObject({ drained: true, why: 'ServesNothing' });
  expect(await exit).toEqual([0, null]);
}, 90_000);

it('the start of the broker is that of its process', async () => {
  const before = Date.now();
  const broker = await startBroker('127.0.0.1');
  const after = Date.now();
  const agent = await startAgent(`127.0.0.1:${broker.port}`);

  const startedAt = (await fetchReport(agent.url)).broker?.startedAt ?? 0;

  // The kernel gives start and uptime in hundredths of a second.
  expect(startedAt).toBeGreaterThanOrEqual(before - 50);
  expect(startedAt).toBeLessThanOrEqual(after + 50);
}, 90_000);

it('mistaken flags end it with code 2, all of them named, and the usage', async () => {
  const agent = start([main, '--listen', 'nowhere']);
  const chunks: Buffer[] = [];
  agent.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk));

  const [code] = await once(agent, 'close');

  expect(code).toBe(2);
  expect(Buffer.concat(chunks).toString()).toMatch(
    /--listen: "nowhere".*--broker-address is.*POD_UID is.*usage: agent/s,
  );
}, 90_000);

it('an address that is taken ends it with code 1', async () => {
  const taken = await startBroker('127.0.0.1');
  const flags = ['--listen', `127.0.0.1:${taken.port}`, '--broker-address', '127.0.0.1:1'];
  const agent = start([main, ...flags], podEnv);
  const exit = once(agent, 'exit');

  expect(await lineWithMessage(agent, 'error')).toContain(`cannot serve on --listen 127.0.0.1:${taken.port}`);
  expect(await exit).toEqual([1, null]);
}, 90_000);

async function lineWithMessage(child: ChildProcess, level: string): Promise<string> {
  if (child.stdout === null) throw new Error('stdout is piped');
  for await (const line of createInterface(child.stdout)) {
    const fields: Record<string, unknown> = JSON.parse(line);
    if (fields.level === level) return String(fields.msg);
  }
  throw new Error(`no line of level ${level}`);
}
