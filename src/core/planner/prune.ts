/** Takes back moves that the plan does not need: the dearest first, home to where the topic was, as long as nothing gets worse. */
import { Refusal, refusal } from './rules.ts';
import { assign, costOf, energy, energyAfter, isStopped, movedTopics, type Work, worstOutside } from './work.ts';

/** Returns how many moves were taken back. What a hard rule wants elsewhere stays there: its home refuses it. */
export function prune(work: Work, size: Float64Array): number {
  const byCost = [...movedTopics(work)].sort(
    (a, b) => costOf(work, b) - costOf(work, a) || (size[a] as number) - (size[b] as number) || a - b,
  );
  let cancelled = 0;
  for (const topic of byCost) {
    if (isStopped(work)) break;
    const home = work.home[topic] as number;
    const at = work.owner[topic] as number;
    const worst = Math.max(worstOutside(work, home), worstOutside(work, at));
    const now = energy(work, home) + energy(work, at);
    if (energyAfter(work, home, topic, -1, worst) + energyAfter(work, at, -1, topic, worst) > now) continue;
    if (refusal(work, topic, home) !== Refusal.None) continue;
    assign(work, topic, home);
    cancelled++;
  }
  return cancelled;
}
