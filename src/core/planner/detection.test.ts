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

  it('also when it only went back just inside the edge: it leaves at half of the band', () => {
    const first = look(at(70, 50), 0);
    const edge = look(at(65, 55), 30, first.state);

    expect(look(at(65, 55), 30).verdict).toBe('WithinBand');
    expect(look(at(70, 50), 60, edge.state).verdict).toBe('Imbalanced');
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
