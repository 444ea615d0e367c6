/** What the agents of a snapshot say, for the load model: the last sample of each, and whether it is to be believed. */
import { judgeAgent, ownFigures } from '../agent-judgement.ts';
import type { Snapshot } from '../snapshot.ts';
import type { Reading } from './model.ts';

/** By Pod uid. Agents that have never reported are left out. */
export function readingsOf({
  pods,
  agents,
  now,
}: Pick<Snapshot, 'pods' | 'agents' | 'now'>): ReadonlyMap<string, Reading> {
  return new Map(
    pods.flatMap((pod): readonly (readonly [string, Reading])[] => {
      const agent = agents.get(pod.uid);
      if (agent?.last === undefined) return [];
      const judgement = judgeAgent(agent, pod, now);
      const { sample, seenAt } = agent.last;
      const usable = judgement.usable || `${judgement.reason}: ${judgement.message}`;
      return [[pod.uid, { sample: ownFigures(sample, pod), seenAt, usable }]];
    }),
  );
}
