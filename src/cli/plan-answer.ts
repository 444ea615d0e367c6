/** Answers to --explain and --why-not. */
import type { Problem } from '../api/problem.ts';
import type { Explainer } from '../core/planner/explain.ts';
import type { PlannerInput } from '../core/planner/input.ts';
import { type HeldBack, heldBack } from '../core/policy/apply-policy.ts';
import type { Question } from './plan-options.ts';
import { printable } from './printable.ts';

export interface Answer {
  readonly topic: string;
  /** Where it is now. */
  readonly on: string;
  /** Of --why-not: the broker that was asked about. */
  readonly broker?: string;
  /** Of --why-not: the first reason against. */
  readonly code?: string;
  readonly text: string;
  /** Why the policy holds it back, if it does. */
  readonly heldBack?: string;
  /** Of --explain: for all other brokers, why the topic does not go there. */
  readonly others?: readonly { readonly code: string; readonly count: number }[];
}

export function answerQuestion(question: Question, input: PlannerInput, explainer: Explainer): Answer | Problem {
  const topic = input.topics.indexOf(question.topic);
  if (topic < 0) return { problem: `expected a topic of the snapshot, found ${JSON.stringify(question.topic)}` };
  const meaning = meaningOf(input.immovable?.reasons[(input.immovable.of[topic] ?? 0) - 1]);
  const about = {
    topic: question.topic,
    on: input.brokers[input.owner[topic] as number] as string,
    ...(meaning !== undefined && { heldBack: meaning }),
  };
  if (question.broker === undefined) {
    const { text, others } = explainer.explain(topic);
    return { ...about, text, others };
  }
  const broker = input.brokers.indexOf(question.broker);
  if (broker < 0) {
    return { problem: `expected the id of a broker of the snapshot, found ${JSON.stringify(question.broker)}` };
  }
  return { ...about, broker: question.broker, ...explainer.whyNot(topic, broker) };
}

function meaningOf(reason: string | undefined): string | undefined {
  return reason !== undefined && Object.hasOwn(heldBack, reason) ? heldBack[reason as HeldBack] : undefined;
}

export function answerJson(answer: Answer): string {
  return `${JSON.stringify(answer, null, 2)}\n`;
}

export function answerText({ text, code, heldBack: meaning, others = [] }: Answer): string {
  const lines = [code === undefined ? text : `${code}: ${text}`];
  if (meaning !== undefined) lines.push(`That is: ${meaning}`);
  if (others.length > 0)
    lines.push(
      'Why not elsewhere:',
      ...others.map(({ code: why, count }) => `  ${why} on ${count} of the other brokers`),
    );
  return `${lines.map(printable).join('\n')}\n`;
}
