/** Turns cumulative counters into rates, and figures into weighted averages. Keeps the last reading of each, by name. */
export interface Rates {
  /**
   * The mean rate per second since the last reading of this counter. Null when there is none of the same series, when the
   * counter went back, or when it is null now: whatever breaks a series costs one rate, and never makes a spike.
   *
   * @param series what is counted: another run of the broker, another cgroup or another device is another series.
   */
  readonly perSecond: (name: string, series: string, counter: number | null) => number | null;
  /**
   * The exponentially weighted average of a figure that holds since its last reading. Null until there was a figure in
   * this series; where a figure is missing, the average stays.
   */
  readonly average: (name: string, series: string, figure: number | null) => number | null;
}

/** After this time without change an average has gone 63 % of the way to a new figure; after thrice that, 95 %. */
export const averagingSeconds = 60;

interface Reading {
  readonly series: string;
  readonly value: number;
  readonly atMilliseconds: number;
}

/** @param monotonicMilliseconds for intervals: never set back. */
export function createRates(monotonicMilliseconds: () => number): Rates {
  const counters = new Map<string, Reading>();
  const averages = new Map<string, Reading>();

  return {
    perSecond: (name, series, counter) => {
      const last = counters.get(name);
      if (counter === null) {
        counters.delete(name);
        return null;
      }
      const atMilliseconds = monotonicMilliseconds();
      counters.set(name, { series, value: counter, atMilliseconds });
      const elapsedSeconds = last?.series === series ? (atMilliseconds - last.atMilliseconds) / 1000 : 0;
      const increase = counter - (last?.value ?? 0);
      return elapsedSeconds > 0 && increase >= 0 ? increase / elapsedSeconds : null;
    },
    average: (name, series, figure) => {
      const last = averages.get(name);
      if (figure === null) {
        if (last?.series !== series) averages.delete(name);
        return last?.series === series ? last.value : null;
      }
      const atMilliseconds = monotonicMilliseconds();
      const value = last?.series === series ? blend(last, figure, atMilliseconds) : figure;
      averages.set(name, { series, value, atMilliseconds });
      return value;
    },
  };
}

function blend(last: Reading, figure: number, atMilliseconds: number): number {
  const elapsedSeconds = (atMilliseconds - last.atMilliseconds) / 1000;
  const share = 1 - Math.exp(-elapsedSeconds / averagingSeconds);
  return last.value + share * (figure - last.value);
}
