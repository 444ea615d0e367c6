import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { averagingSeconds, createRates, type Rates } from './rates.ts';

let seconds: number;
let rates: Rates;
beforeEach(() => {
  seconds = 0;
  rates = createRates(() => 5_000 + seconds * 1000);
});

describe('the rate of a counter', () => {
  beforeEach(() => {
    rates.perSecond('cpu', 'a', 1);
    seconds = 2;
  });

  it.each<[string, string, number | null, number | null]>([
    ['is its increase by the time since the last reading', 'a', 2, 0.5],
    ['is 0 when it stood still', 'a', 1, 0],
    ['is unknown in another series', 'b', 2, null],
    ['is unknown when it went back', 'a', 0.9, null],
    ['is unknown when the counter is', 'a', null, null],
  ])('%s', (_, series, counter, rate) => {
    expect(rates.perSecond('cpu', series, counter)).toBe(rate);
  });

  it('is unknown at first, and when no time has passed', () => {
    expect(rates.perSecond('disk', 'a', 1)).toBeNull();
    expect(rates.perSecond('disk', 'a', 2)).toBeNull();
  });

  it('goes on from where the counter went back to', () => {
    rates.perSecond('cpu', 'a', 0.2);
    seconds = 4;

    expect(rates.perSecond('cpu', 'a', 1.2)).toBe(0.5);
  });

  it('begins anew after a reading without the counter', () => {
    rates.perSecond('cpu', 'a', null);

    expect(rates.perSecond('cpu', 'a', 5)).toBeNull();
  });
});

describe('whatever a counter does', () => {
  const reading = fc.record({
    series: fc.constantFrom('a', 'b'),
    counter: fc.option(fc.integer({ min: 0, max: 1_000 })),
    elapsed: fc.integer({ min: 0, max: 20 }),
  });

  it('a rate is what it rose by since the reading before, in the same series; or there is none', () => {
    fc.assert(
      fc.property(fc.array(reading), (readings) => {
        rates = createRates(() => seconds * 1000);
        const outcomes = readings.map(({ series, counter, elapsed }) => {
          seconds += elapsed;
          return rates.perSecond('cpu', series, counter);
        });

        for (const [index, rate] of outcomes.entries()) {
          const [before, now] = [readings[index - 1], readings[index]];
          const rise = Number(now?.counter) - Number(before?.counter);
          const known = before?.series === now?.series && before?.counter != null && now?.counter != null;
          expect(rate).toBe(known && rise >= 0 && Number(now?.elapsed) > 0 ? rise / Number(now?.elapsed) : null);
        }
      }),
    );
  });
});

describe('the average of a figure', () => {
  it('begins with the first figure', () => {
    expect(rates.average('cpu', 'a', null)).toBeNull();
    expect(rates.average('cpu', 'a', 4)).toBe(4);
  });

  it('has gone 63 % of the way after the averaging time, in one step or in many', () => {
    rates.average('one', 'a', 0);
    rates.average('many', 'a', 0);
    for (seconds = 1; seconds < averagingSeconds; seconds += 1) rates.average('many', 'a', 10);

    expect(rates.average('one', 'a', 10)).toBeCloseTo(10 * (1 - 1 / Math.E), 9);
    expect(rates.average('many', 'a', 10)).toBeCloseTo(10 * (1 - 1 / Math.E), 9);
  });

  it('stays where a figure is missing', () => {
    rates.average('cpu', 'a', 4);
    seconds = 10;

    expect(rates.average('cpu', 'a', null)).toBe(4);
  });

  it('begins anew in another series', () => {
    rates.average('cpu', 'a', 4);
    seconds = 10;

    expect(rates.average('cpu', 'b', null)).toBeNull();
    expect(rates.average('cpu', 'b', 6)).toBe(6);
  });
});
