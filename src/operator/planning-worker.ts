/** The thread that plans: one request at a time, one answer each. See planning.ts. */
import { parentPort } from 'node:worker_threads';
import { planInNameOrder } from '../core/planner/name-order.ts';
import type { PlanningAnswer, PlanningRequest } from './planning.ts';

parentPort?.on('message', ({ id, input, options, deadlineMs, cancelled }: PlanningRequest) => {
  const started = performance.now();
  const shouldStop = (): boolean => performance.now() - started >= deadlineMs || Atomics.load(cancelled, 0) === id;
  const made = planInNameOrder(input, { ...options, shouldStop });
  const answer: PlanningAnswer = { id, plan: made, planMs: performance.now() - started };
  parentPort?.postMessage(answer);
});
