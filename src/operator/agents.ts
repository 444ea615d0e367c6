/**
 * Pulls the agents' reports. A thousand agents are asked one after the other, each at its own moment of the interval, and
 * those that hang hold up nobody: each has its deadline, and those that failed last time share a few slots of their own.
 */
import { createHash } from 'node:crypto';
import type { TopicsReport } from '../api/agent-report.ts';
import { type AgentRecord, noRecord, noteFailure, noteReport, noteUnchanged } from '../core/agent-record.ts';
import { type AgentAnswer, type AgentTarget, createAgentClient } from './agent-client.ts';

export interface AgentPullerOptions {
  readonly targets: () => readonly AgentTarget[];
  /** Each agent is asked once in it. */
  readonly intervalMs: number;
  /** An agent that has not answered in full by then has failed. */
  readonly timeoutMs: number;
  /**
   * What is known of an agent, whenever that has changed. Of its topics only a summary is kept; `topics` are all that the
   * report lists, null when it lists none or none came.
   */
  readonly onReport: (podUID: string, record: AgentRecord, topics: TopicsReport | null) => void;
  /** An agent did not answer, or answered nonsense. */
  readonly onProblem: (target: AgentTarget, problem: string) => void;
  /** The Pod may end now, for all we know: its agent is told with the next pull. */
  readonly isDone?: (podUID: string) => boolean;
  /** Epoch ms by a clock that never goes back. */
  readonly now?: () => number;
}

export interface AgentPuller {
  /** Nothing is called back after it. */
  stop(): void;
}

/** An interval is so many ticks: at each, those are asked whose moment has come. */
const TICKS = 50;
/** Looking through a thousand Pods is not free, and an agent is not there at once anyway. */
const TARGETS_EVERY_MS = 2_000;
/** What is being read is held in memory. */
const AT_ONCE = 128;
const FAILING_AT_ONCE = 32;
/** Connections outlive a missed pull or two. */
const IDLE_INTERVALS = 3;

interface Agent {
  target: AgentTarget;
  /** Its moment in the interval, in ms. */
  readonly phaseMs: number;
  record: AgentRecord;
  etag: string | undefined;
  isBusy: boolean;
}

export function startAgentPuller(options: AgentPullerOptions): AgentPuller {
  const { intervalMs, timeoutMs, now = monotonicNow } = options;
  const client = createAgentClient({ timeoutMs, idleMs: IDLE_INTERVALS * intervalMs });
  const slots = createSlots(AT_ONCE);
  const slotsOfFailing = createSlots(FAILING_AT_ONCE);
  const agents = new Map<string, Agent>();
  let listedAt = Number.NEGATIVE_INFINITY;
  let tickedAt = now();
  let isStopped = false;

  /** What is known of an agent goes with its Pod. */
  function refreshTargets(): void {
    const targets = new Map(options.targets().map((target) => [target.podUID, target]));
    for (const podUID of agents.keys()) if (!targets.has(podUID)) agents.delete(podUID);
    for (const [podUID, target] of targets) {
      const known = agents.get(podUID);
      if (known !== undefined) known.target = target;
      else {
        const phaseMs = phaseOf(podUID) * intervalMs;
        agents.set(podUID, { target, phaseMs, record: noRecord, etag: undefined, isBusy: false });
      }
    }
  }

  function tick(): void {
    const moment = now();
    if (moment - listedAt >= TARGETS_EVERY_MS) {
      refreshTargets();
      listedAt = moment;
    }
    for (const agent of agents.values()) {
      const roundAt = (at: number) => Math.floor((at - agent.phaseMs) / intervalMs);
      if (!agent.isBusy && roundAt(moment) > roundAt(tickedAt)) void pull(agent);
    }
    tickedAt = moment;
  }

  async function pull(agent: Agent): Promise<void> {
    const { target } = agent;
    agent.isBusy = true;
    const { run } = agent.record.failure?.kind === 'Unanswered' ? slotsOfFailing : slots;
    try {
      const answer = await run(() => {
        const isDone = options.isDone?.(target.podUID) ?? false;
        return client.ask({ target, etag: agent.etag, isDone });
      });
      // Its Pod may be gone by now, and another one have its place.
      if (!isStopped && agents.get(target.podUID) === agent) take(agent, answer);
    } finally {
      agent.isBusy = false;
    }
  }

  function take(agent: Agent, answer: AgentAnswer): void {
    const before = agent.record;
    agent.record = noteAnswer(before, answer, now());
    if (answer.kind === 'Report') agent.etag = answer.etag;
    if (answer.kind === 'Failure') options.onProblem(agent.target, answer.failure.message);
    if (agent.record === before) return;
    options.onReport(agent.target.podUID, agent.record, answer.kind === 'Report' ? answer.report.topics : null);
  }

  const timer = setInterval(tick, intervalMs / TICKS);
  return {
    stop() {
      isStopped = true;
      clearInterval(timer);
      client.close();
    },
  };
}

function noteAnswer(before: AgentRecord, answer: AgentAnswer, now: number): AgentRecord {
  switch (answer.kind) {
    case 'Report':
      return noteReport(before, answer.report, { now, wallNow: Date.now() });
    case 'Unchanged':
      return noteUnchanged(before);
    case 'Failure':
      return noteFailure(before, answer.failure);
  }
}

/** From 0 to 1, always the same for a Pod: so agents are spread over the interval, whoever asks them. */
function phaseOf(podUID: string): number {
  return createHash('sha256').update(podUID).digest().readUInt32BE() / 2 ** 32;
}

interface Slots {
  /** Runs the work when a slot is free; who waits longest is next. */
  run<T>(work: () => Promise<T>): Promise<T>;
}

function createSlots(count: number): Slots {
  const waiting: (() => void)[] = [];
  let free = count;

  return {
    async run(work) {
      if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
      else free -= 1;
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next === undefined) free += 1;
        else next();
      }
    },
  };
}

function monotonicNow(): number {
  return Math.round(performance.timeOrigin + performance.now());
}
