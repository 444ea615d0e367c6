import { describe, expect, it } from 'vitest';
import type { Wait } from '../core/assignment.ts';
import { createRuleEpisodes } from './rule-episodes.ts';

const ruledOut = (topic: string, rule: string): Wait => ({
  kind: 'Wait',
  topic,
  reason: 'NoBrokerAllowed',
  message: `rule ${rule} allows no broker`,
  rule,
});
const other: Wait = { kind: 'Wait', topic: '/x/o', reason: 'NoBroker', message: 'no broker takes assignments' };

describe('a rule that keeps topics waiting', () => {
  it('is told once, with the first of its topics, for as long as any of them waits', () => {
    const { begun } = createRuleEpisodes();
    const [a, b] = [ruledOut('/x/a', 'fast'), ruledOut('/x/b', 'fast')];

    expect(begun([other, a, b])).toEqual([a]);
    expect(begun([a, b])).toEqual([]);
    expect(begun([b])).toEqual([]);
  });

  it('is told again when it has kept none waiting in between', () => {
    const { begun } = createRuleEpisodes();
    const wait = ruledOut('/x/a', 'fast');

    expect([[wait], [other], [wait]].map(begun)).toEqual([[wait], [], [wait]]);
  });

  it('is told for itself where others did so before', () => {
    const { begun } = createRuleEpisodes();
    const [a, b] = [ruledOut('/x/a', 'fast'), ruledOut('/x/b', 'apart')];

    expect([[a], [a, b]].map(begun)).toEqual([[a], [b]]);
  });
});
