import { describe, expect, it } from 'vitest';
import type { PlanReport } from './plan-report.ts';
import { planTable } from './plan-table.ts';

const EVEN = { cpu: { maxOverMean: 1, minOverMean: 1, cv: 0 } };

function report(change: Partial<PlanReport>): PlanReport {
  return {
    loadMs: 1,
    planMs: 1,
    mode: 'Full',
    brokers: 2,
    topics: 1_000,
    band: { lowest: 0.91, highest: 1.09 },
    inBand: true,
    before: EVEN,
    after: EVEN,
    moves: [],
    bounds: { balance: { cpu: 1 }, moves: 0 },
    gap: { balance: { cpu: 0 }, moves: 0 },
    cost: 0,
    bindingConstraint: 'none',
    waves: [],
    durationSeconds: 0,
    heldBack: {},
    blocked: [],
    furthest: [],
    notes: [],
    hash: 'abc',
    ...change,
  };
}

function moves(count: number): PlanReport['moves'] {
  return Array.from({ length: count }, (_, n) => ({
    topic: `/a/t${n}`,
    from: 'b0',
    to: 'b1',
    resource: 'cpu',
    reason: 'Relieve',
    wave: 1,
  }));
}

function waves(count: number): PlanReport['waves'] {
  return Array.from({ length: count }, (_, n) => ({
    moves: 60,
    startsAfterSeconds: n * 3600,
    startsAt: null,
    lastsSeconds: 150,
    window: null,
    movedPercent: 5,
  }));
}

describe('the table', () => {
  it('says when there is nothing to do', () => {
    const text = planTable(report({}));

    expect(text).toMatch(/^Plan abc: Nothing moves; every broker ends within the band, 91 % to 109 % of the mean\.\n/);
    expect(text).not.toMatch(/WAVE|Moves|Time/);
  });

  it('says first of all when the band is not reached, and by what', () => {
    const text = planTable(
      report({ inBand: false, bindingConstraint: 'topic /a/giant alone: cpu cannot go below 1.60 × mean' }),
    );

    expect(text).toMatch(/^Plan abc: Nothing moves; NOT every broker ends within the band/);
    expect(text).toContain('Limited by  topic /a/giant alone: cpu cannot go below 1.60 × mean');
  });

  it('says what the moves cost where it is not their number', () => {
    const dear = report({ moves: moves(3), cost: 8.16 });
    const plain = report({ moves: moves(3), cost: 3.16 });

    expect(planTable(dear)).toContain('Cost        that of 8 moves of plain topics\n');
    expect(planTable(plain)).not.toContain('Cost');
  });

  it('shows the first moves and waves of many, and says how many more there are', () => {
    const text = planTable(report({ moves: moves(1_569), waves: waves(27), durationSeconds: 93_750 }));

    expect(text).toContain('1,569 of 1,000 topics on 2 brokers move');
    expect(text).toContain('Time        about 26.1 h in 27 waves');
    expect(text).toContain('   2      60   after 60 min        5.0 %   -');
    expect(text).toContain('… and 17 more waves: -o json has all');
    expect(text).toContain('… and 1,549 more moves: -o json has all');
    expect(text.split('\n').length).toBeLessThan(50);
  });

  it.each([
    ['what is just outside the band', { lowest: 0.91, highest: 1.09 }, 1.0904, '109.04 %'],
    ['what is just below it', { lowest: 0.91, highest: 1.09 }, 0.9096, '90.96 %'],
    ['what is just inside', { lowest: 0.91, highest: 1.086 }, 1.0852, '108.5 %'],
    ['what is far from its edges', { lowest: 0.91, highest: 1.09 }, 1.2345, '123 %'],
    ['the edge', { lowest: 0.91, highest: 1.09 }, 1.09, '109 %'],
    ['the edge itself of a band of fractions', { lowest: 0.91, highest: 1.095 }, 1.095, '109.5 %'],
  ])('rounds nothing across an edge: %s', (_what, band, level, shown) => {
    const after = { cpu: { maxOverMean: level, minOverMean: level, cv: 0 } };

    const [, resources = ''] = planTable(report({ band, after })).split('\n\n');

    expect(resources.split('\n')[1]?.split(/ {2,}/)).toEqual(['cpu', '100 %', '100 %', shown, shown, '100 %']);
  });

  it('says that draining waits for no window and no hourly limit', () => {
    const text = planTable(report({ mode: 'Drain', moves: moves(1), waves: waves(1), durationSeconds: 10 }));

    expect(text).toContain('about 10 s in 1 wave, whatever the windows and hourly limits of the policy');
  });

  it('says when waves never start', () => {
    const never = waves(2).map((wave) => ({ ...wave, startsAfterSeconds: null }));

    const text = planTable(report({ moves: moves(1), waves: never, durationSeconds: null }));

    expect(text).toContain('2 waves, of which not all can start: no window is long enough, or none opens for years');
    expect(text).toContain('never');
  });

  it('names what must move and cannot', () => {
    const text = planTable(
      report({ blocked: [{ topic: '/a/b', wanted: 'Drain', because: 'Backlog' }], notes: ['rule x covers no topic'] }),
    );

    expect(text).toContain('Must move and cannot:\nTOPIC   WANTED BY   BECAUSE\n/a/b    Drain       Backlog');
    expect(text).toContain('Note: rule x covers no topic');
  });
});
