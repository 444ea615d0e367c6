/** When rules begin to keep topics waiting: told once for each rule, however many topics wait and however often they are looked at. */
import type { Wait } from '../core/assignment.ts';

export interface RuleEpisodes {
  /** One wait for each rule that keeps topics waiting now, and kept none at the last call. */
  begun(waits: readonly Wait[]): readonly Wait[];
}

export function createRuleEpisodes(): RuleEpisodes {
  let before: ReadonlyMap<string, Wait> = new Map();

  return {
    begun(waits) {
      const now = new Map<string, Wait>();
      for (const wait of waits) if (wait.rule !== undefined && !now.has(wait.rule)) now.set(wait.rule, wait);
      const begun = [...now].filter(([rule]) => !before.has(rule));
      before = now;
      return begun.map(([, wait]) => wait);
    },
  };
}
