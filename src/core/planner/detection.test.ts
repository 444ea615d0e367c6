import { describe, expect, it } from 'vitest';
import { clusterOf } from './cluster-builder.ts';
import { type DetectionOptions, type DetectionState, detect } from './detection.ts';
import { BrokerRole, type PlannerInput } from './input.ts';

const OPTIONS: DetectionOptions = { band: { above: 0.1, below: 0.1 }, sustainedSeconds: 60, minActiveBrokers: 2 };

/** Brokers b0, b1, … at the given cpu, of 100. */
function at(...loads: readonly number[]): PlannerInput {
  return clusterOf(['cpu'], Object.fromEntries(loads.map((load, index) => [`b${index}`, { [`t${index}`]: [load] }])));
}

function look(input: PlannerInput, nowSeconds: number, previous: DetectionState = new Map(), options = OPTIONS) {
  return detect({ input, options, previous, nowSeconds });
}

describe('a cluster needs a plan', () => {
  it('only when a broker has been outside the band for long enough', () => {
    const first = look(at(70, 50), 0);
    const later = look(at(70, 50), 60, first.state);

    expect(first.verdict).toBe('NotSustained');
    expect(later.verdict).toBe('Imbalanced');
    expect(later.outside).toEqual([
      { broker: 'b0', resource: 'cpu', side: 'Above', level: 70 / 60, forSeconds: 60 },
      { broker: 'b1', resource: 'cpu', side: 'Below', level: 50 / 60, forSeconds: 60 },
    ]);
  });

  it('not when it went back to the middle in between', () => {
    const first = look(at(70, 50), 0);
    const calm = look(at(61, 59), 30, first.state);

    expect(calm.verdict).toBe('WithinBand');
    expect(look(at(70, 50), 60, calm.state).verdict).toBe('NotSustained');
  });

  it('not when it went back just inside the edge: nothing has lasted that had a break', () => {
    const first = look(at(70, 50), 0);
    const edge = look(at(65, 55), 30, first.state);

    expect(edge.verdict).toBe('WithinBand');
    expect(look(at(70, 50), 60, edge.state).verdict).toBe('NotSustained');
  });

  it('once it lasts, until it is inside half of the band', () => {
    const lasting = look(at(70, 50), 60, look(at(70, 50), 0).state);
    const edge = look(at(64, 56), 70, lasting.state);

    expect(edge.verdict).toBe('Imbalanced');
    expect(look(at(62, 58), 80, edge.state).verdict).toBe('WithinBand');
  });

  it('not for a spike that a gap between two looks makes look long', () => {
    const first = look(at(70, 50), 0);

    expect(look(at(70, 50), 200, first.state).verdict).toBe('NotSustained');
  });

  it('not for what it was like while brokers were missing, as in a roll-out', () => {
    const [active, closed] = [BrokerRole.Active, BrokerRole.Closed];
    const rollingOut = { ...at(70, 50, 60), roles: Uint8Array.of(active, closed, closed) };
    const during = look(rollingOut, 60, look(rollingOut, 0).state);

    expect(during.verdict).toBe('TooFewBrokers');
    expect(look(at(70, 50, 60), 90, during.state).verdict).toBe('NotSustained');
    expect(look(at(70, 50, 60), 150, look(at(70, 50, 60), 90, during.state).state).verdict).toBe('Imbalanced');
  });

  it('for one hot broker among a hundred, which the spread alone hides', () => {
    const hot = at(150, ...Array.from({ length: 99 }, () => 50));
    const { verdict, figures } = look(hot, 60, look(hot, 0).state);

    expect(verdict).toBe('Imbalanced');
    expect(figures[0]?.cv).toBeLessThan(0.2);
    expect(figures[0]?.maxOverMean).toBeGreaterThan(2.9);
  });

  it('not for a broker that offers none of the resource', () => {
    const input = { ...at(50, 50, 0), capacity: Float64Array.of(100, 100, 0) };

    expect(look(input, 0).outside).toEqual([]);
  });

  it('not with fewer active brokers than asked for', () => {
    const input = {
      ...at(70, 50, 20),
      roles: Uint8Array.of(BrokerRole.Active, BrokerRole.Active, BrokerRole.Draining),
    };
    const options = { ...OPTIONS, minActiveBrokers: 3 };

    expect(look(input, 60, look(input, 0, new Map(), options).state, options).verdict).toBe('TooFewBrokers');
  });

  it('not for a resource that is hardly used', () => {
    expect(look(at(0.7, 0.5), 0, new Map(), { ...OPTIONS, activityFloor: 0.05 }).outside).toEqual([]);
    expect(look(at(0, 0), 0).verdict).toBe('WithinBand');
  });
});
