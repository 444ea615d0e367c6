/**
 * Planning beside the event loop: a plan for a large cluster takes a second of processor, and a leader that computes for a second
 * renews nothing. The planner runs in a thread of its own, which also keeps a failure of it, such as no memory, from ending the
 * operator.
 */
import { totalmem } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Plan, PlannerInput, PlanOptions } from '../core/planner/input.ts';

export interface Planning {
  /**
   * Plans. The input's arrays are handed over to the thread and are empty here afterwards; its names are copied, 0.1 µs a topic.
   * Plans wait for each other. Never rejects: that a plan fails is an outcome, too.
   */
  plan(input: PlannerInput, options: PlanningOptions): Promise<PlanningOutcome>;
  /** Ends the thread. Plans that have not been made fail. */
  close(): Promise<void>;
}

export interface PlanningOptions {
  readonly options: Omit<PlanOptions, 'shouldStop'>;
  /** Milliseconds of planning. After this the plan is what there is by then: valid, no worse than nothing, `stats.stopped` is true. */
  readonly deadlineMs: number;
  /** No longer wanted: the outcome is `Cancelled`. */
  readonly signal?: AbortSignal;
}

export type PlanningOutcome =
  | { readonly kind: 'Planned'; readonly plan: Plan; readonly planMs: number }
  | { readonly kind: 'Cancelled' }
  /** The thread ended or did not answer. What is known is not changed by it: try again later. */
  | { readonly kind: 'Failed'; readonly problem: string };

/** What goes to the thread and comes back. `cancelled` holds the id of a request that is no longer wanted. */
export interface PlanningRequest {
  readonly id: number;
  readonly input: PlannerInput;
  readonly options: Omit<PlanOptions, 'shouldStop'>;
  readonly deadlineMs: number;
  readonly cancelled: Int32Array;
}

export interface PlanningAnswer {
  readonly id: number;
  readonly plan: Plan;
  readonly planMs: number;
}

export interface PlanningSettings {
  /** Bytes that the whole process may use; the thread gets its share. Default: what the container may, or the machine has. */
  readonly memoryBytes?: number;
  /** After the deadline, the time that the planner has to come to an end before its thread is ended. */
  readonly graceMs?: number;
}

/** Both run from sources and from bundles, where the thread has a bundle of its own beside this one. */
const WORKER = new URL(import.meta.url.endsWith('.ts') ? 'planning-worker.ts' : 'planning-worker.js', import.meta.url);

/** Node gives the operator's own heap about half; what is left is for arrays and buffers. A million topics need about 200 MB. */
const HEAP_SHARE = 0.3;
const MAX_HEAP_MEGABYTES = 1024;
/** A plan lives in arrays: room for short-lived objects makes it no faster, and would take 100 MB more with a million topics. */
const MAX_YOUNG_MEGABYTES = 8;

const CLOSED = 'planning is closed';

/** The thread starts with the first plan. */
export function createPlanning({ memoryBytes = availableMemory(), graceMs = 5_000 }: PlanningSettings = {}): Planning {
  const maxOldGenerationSizeMb = Math.min((HEAP_SHARE * memoryBytes) / 2 ** 20, MAX_HEAP_MEGABYTES);
  const cancelled = new Int32Array(new SharedArrayBuffer(4));
  let worker: Worker | undefined;
  let closed = false;
  let lastId = 0;
  /** Never rejects. */
  let queue: Promise<unknown> = Promise.resolve();

  function startWorker(): Worker {
    const started = new Worker(WORKER, {
      resourceLimits: { maxOldGenerationSizeMb, maxYoungGenerationSizeMb: MAX_YOUNG_MEGABYTES },
    });
    const forget = (): void => {
      if (worker === started) worker = undefined;
    };
    started.on('error', forget).on('exit', forget);
    // A thread that waits for work keeps no process alive.
    started.unref();
    return started;
  }

  function run(input: PlannerInput, { options, deadlineMs, signal }: PlanningOptions): Promise<PlanningOutcome> {
    if (closed) return Promise.resolve({ kind: 'Failed', problem: CLOSED });
    if (signal?.aborted) return Promise.resolve({ kind: 'Cancelled' });
    const thread = worker ?? startWorker();
    worker = thread;
    const id = nextId();
    return new Promise((resolve) => {
      const end = (outcome: PlanningOutcome): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', cancel);
        thread.off('message', onAnswer).off('error', onError).off('exit', onExit);
        thread.unref();
        resolve(outcome);
      };
      const onAnswer = (answer: PlanningAnswer): void => {
        // That of a plan that was cancelled comes, too.
        if (answer.id === id) end({ kind: 'Planned', plan: answer.plan, planMs: answer.planMs });
      };
      const onError = (error: Error): void => end(toFailure(error));
      const onExit = (code: number): void => {
        end({ kind: 'Failed', problem: closed ? CLOSED : `the planner's thread ended with ${code}` });
      };
      // Who ends waits for nothing: the thread, which looks now and then, comes to an end by itself.
      const cancel = (): void => {
        Atomics.store(cancelled, 0, id);
        end({ kind: 'Cancelled' });
      };
      const timer = setTimeout(() => {
        if (worker === thread) worker = undefined;
        void thread.terminate();
        end({ kind: 'Failed', problem: `the planner did not answer within ${deadlineMs + graceMs} ms` });
      }, deadlineMs + graceMs);
      thread.ref();
      thread.on('message', onAnswer).on('error', onError).on('exit', onExit);
      signal?.addEventListener('abort', cancel, { once: true });
      const request: PlanningRequest = { id, input, options, deadlineMs, cancelled };
      try {
        thread.postMessage(request, buffersOf(input));
      } catch (error) {
        end(toFailure(error));
      }
    });
  }

  /** Below 2^31, and never that of the plan before. */
  function nextId(): number {
    lastId = (lastId % 0x7fff_ffff) + 1;
    return lastId;
  }

  return {
    plan(input, options) {
      // What fails must not fail all that wait behind it.
      const outcome = queue.then(() => run(input, options)).catch(toFailure);
      queue = outcome;
      return outcome;
    },
    async close() {
      closed = true;
      await worker?.terminate();
    },
  };
}

function toFailure(error: unknown): PlanningOutcome {
  return { kind: 'Failed', problem: `the planner's thread: ${error instanceof Error ? error.message : String(error)}` };
}

/** 0 is no constraint, and so is more than there is. */
function availableMemory(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** Of the arrays that grow with the cluster. Two arrays may share a buffer. */
function buffersOf(input: PlannerInput): ArrayBuffer[] {
  const arrays = [
    input.capacity,
    input.loads,
    input.owner,
    input.background,
    input.immovable?.of,
    input.cost,
    input.placement?.of,
    input.spread?.of,
    input.spread?.domainOf,
    input.roles,
  ];
  const buffers = new Set<ArrayBuffer>();
  for (const array of arrays) if (array?.buffer instanceof ArrayBuffer) buffers.add(array.buffer);
  return [...buffers];
}
