import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AgentReport, TopicsReport } from '../api/agent-report.ts';
import { exampleReport } from '../api/example-report.ts';
import type { AgentRecord } from '../core/agent-record.ts';
import { type AgentPuller, type AgentPullerOptions, startAgentPuller } from './agents.ts';

/** The test turns the clock, so an interval takes as long as its answers do. */
const INTERVAL_MS = 1000;
const TICK_MS = 20;

interface Asked {
  readonly podUID: string;
  readonly at: number;
}

let server: Server;
let port: number;
let clock: number;
let answering: (request: IncomingMessage, response: ServerResponse) => void;
let puller: AgentPuller | undefined;
let asked: Asked[];
let records: Map<string, AgentRecord>;
let calls: { readonly podUID: string; readonly record: AgentRecord; readonly topics: TopicsReport | null }[];
let problems: string[];

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  [clock, asked, records, calls, problems] = [1_000_000, [], new Map(), [], []];
  answering = answerWith();
  server = createServer((request, response) => answering(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
afterEach(async () => {
  puller?.stop();
  puller = undefined;
  vi.useRealTimers();
  vi.restoreAllMocks();
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
});

function start(podUIDs: () => readonly string[], options: Partial<AgentPullerOptions> = {}): void {
  puller = startAgentPuller({
    targets: () => podUIDs().map((podUID) => ({ podUID, host: '127.0.0.1', port })),
    intervalMs: INTERVAL_MS,
    timeoutMs: 60_000,
    onReport(podUID, record, topics) {
      records.set(podUID, record);
      calls.push({ podUID, record, topics });
    },
    onProblem: ({ podUID }, problem) => problems.push(`${podUID}: ${problem}`),
    isDone(podUID) {
      asked.push({ podUID, at: clock });
      // So that the one server that stands for all agents is told which of them is asked.
      return true;
    },
    now: () => clock,
    ...options,
  });
}

/** Lets time pass, in ticks, without letting any answer arrive. */
function pass(ms: number): void {
  for (let passed = 0; passed < ms; passed += TICK_MS) {
    clock += TICK_MS;
    vi.advanceTimersByTime(TICK_MS);
  }
}

function parameter({ url = '' }: IncomingMessage, name: 'nonce' | 'done'): string {
  return new URL(url, 'http://agent').searchParams.get(name) ?? '';
}

function answerWith(changes: Partial<AgentReport> = {}) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    const pod = { ...exampleReport.pod, uid: parameter(request, 'done') };
    response.end(JSON.stringify({ ...exampleReport, pod, nonce: parameter(request, 'nonce'), ...changes }));
  };
}

/** For what has come over the network to be taken. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

/** Deadlines are the test's: what it gives ends the time of all those that are asked now and hang. */
function deadlinesByHand(hangs: (podUID: string) => boolean): () => true {
  const deadlines: AbortController[] = [];
  vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => {
    const deadline = new AbortController();
    deadlines.push(deadline);
    return deadline.signal;
  });
  return () => {
    for (const [index, deadline] of deadlines.entries()) if (hangs(asked[index]?.podUID ?? '')) deadline.abort();
    return true;
  };
}

const pods = (count: number) => Array.from({ length: count }, (_, index) => `pod-${index}`);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

describe('many agents', () => {
  it('are asked once in each interval, and spread over it', () => {
    start(() => pods(1000));

    pass(INTERVAL_MS);
    const perTick = [...Map.groupBy(asked, ({ at }) => at).values()].map((of) => of.length);

    // As many as can be under way; the others wait for them.
    expect(new Set(asked.map(({ podUID }) => podUID)).size).toBe(asked.length);
    expect(asked).toHaveLength(128);
    expect(Math.max(...perTick)).toBeLessThan(40);
  });

  it('all bring their reports', async () => {
    start(() => pods(300));

    pass(INTERVAL_MS);
    await until(() => records.size === 300);

    expect(problems).toEqual([]);
    expect([...records.values()].filter(({ last }) => last === undefined)).toEqual([]);
  });
});

describe('an agent', () => {
  it('is asked at the same moment of each interval', async () => {
    start(() => pods(1));
    for (let round = 1; round <= 3; round++) {
      pass(INTERVAL_MS);
      await until(() => asked.length === round && records.get('pod-0')?.last !== undefined);
      // The answer of this round must have been taken before the next begins.
      await settle();
    }

    const moments = asked.map(({ at }) => at % INTERVAL_MS);
    expect(new Set(moments).size).toBe(1);
  });

  it('that has nothing new to say changes nothing', async () => {
    const etags: (string | undefined)[] = [];
    answering = (request, response) => {
      etags.push(request.headers['if-none-match']);
      if (request.headers['if-none-match'] === '"7"')
        response.writeHead(304, { Nonce: parameter(request, 'nonce') }).end();
      else {
        response.setHeader('ETag', '"7"');
        answerWith()(request, response);
      }
    };
    start(() => pods(1));

    for (const expected of [1, 2, 3]) {
      pass(INTERVAL_MS);
      await until(() => etags.length === expected);
      await settle();
    }

    expect(etags).toEqual([undefined, '"7"', '"7"']);
    expect(calls).toHaveLength(1);
  });

  it('that fails keeps its last sample, says why, and is asked again', async () => {
    start(() => pods(1));
    pass(INTERVAL_MS);
    await until(() => calls.length === 1);
    answering = (_, response) => response.writeHead(500).end();
    pass(INTERVAL_MS);
    await until(() => calls.length === 2);
    answering = answerWith({ sequence: 8 });
    pass(INTERVAL_MS);
    await until(() => calls.length === 3);

    expect(problems).toEqual([expect.stringMatching(/^pod-0: it answers 500/)]);
    expect(calls.map(({ record }) => [record.last?.sample.sequence, record.failure?.kind])).toEqual([
      [7, undefined],
      [7, 'Unanswered'],
      [8, undefined],
    ]);
    expect(calls.map(({ topics }) => topics?.total ?? null)).toEqual([3, null, 3]);
  });

  it('is not asked a second time while it has not answered', async () => {
    answering = () => undefined;
    start(() => pods(1));

    pass(5 * INTERVAL_MS);

    expect(asked).toHaveLength(1);
  });

  it('is forgotten with its Pod, even if it still answers', async () => {
    let current = pods(2);
    const open: (() => void)[] = [];
    answering = (request, response) => {
      open.push(() => answerWith()(request, response));
    };
    start(() => current);
    pass(INTERVAL_MS);
    await until(() => open.length === 2);

    current = ['pod-0'];
    pass(2 * INTERVAL_MS);
    for (const finish of open) finish();
    await until(() => records.size === 1);
    await settle();

    expect([...records.keys()]).toEqual(['pod-0']);
  });

  it('is not heard any more after the end', async () => {
    start(() => pods(1));
    pass(INTERVAL_MS);
    puller?.stop();
    await settle();

    expect([calls, problems]).toEqual([[], []]);
  });
});

describe('agents that hang', () => {
  it('hold up no others: they share a few slots of their own from the second time on', async () => {
    const hung = 150;
    let underWay = 0;
    answering = (request, response) => {
      if (parameter(request, 'done') === `pod-${hung}`) return answerWith()(request, response);
      underWay += 1;
      response.on('close', () => {
        underWay -= 1;
      });
    };
    const giveUp = deadlinesByHand((podUID) => podUID !== `pod-${hung}`);
    start(() => pods(hung + 1));
    pass(INTERVAL_MS);
    await until(() => giveUp() && problems.length === hung && records.get(`pod-${hung}`)?.last !== undefined);
    await until(() => underWay === 0);

    // The second time, all ask at once, and the one that is well is answered before the first of the others has failed.
    answering = ((before) => (request: IncomingMessage, response: ServerResponse) => {
      if (parameter(request, 'done') !== `pod-${hung}`) return before(request, response);
      answerWith({ sequence: 8 })(request, response);
    })(answering);
    pass(INTERVAL_MS);
    await until(() => records.get(`pod-${hung}`)?.last?.sample.sequence === 8);

    expect(problems).toHaveLength(hung);
    await until(() => underWay >= 32);
    await settle();
    expect(underWay).toBe(32);
    await until(() => giveUp() && problems.length === 2 * hung);
  });
});
