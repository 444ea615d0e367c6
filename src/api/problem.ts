/** Why something could not be had, in words for the person who can change it. A value, because unknown is an everyday outcome here. */
export interface Problem {
  readonly problem: string;
}

export function isProblem(outcome: unknown): outcome is Problem {
  return typeof outcome === 'object' && outcome !== null && 'problem' in outcome;
}
