/** The numbers behind `spec.rebalance.aggressiveness`: a preset is a name for a row of settings that can all be written out. */

export const aggressivenessLevels = ['Low', 'Medium', 'High'] as const;
export type Aggressiveness = (typeof aggressivenessLevels)[number];

/** Every number of `spec.rebalance` that a preset has a value for. */
export interface RebalanceNumbers {
  readonly band: { readonly abovePercent: number; readonly belowPercent: number };
  readonly sustainedSeconds: number;
  readonly limits: {
    readonly maxConcurrentMoves: number;
    readonly maxMovesPerHour: number;
    readonly maxMovedLoadPercentPerHour: number;
    readonly topicCooldownSeconds: number;
    readonly minTopicAgeSeconds: number;
    readonly minActiveBrokers: number;
  };
}

/**
 * Each level allows about four times the churn of the one before. Medium's band is that of the other balancers' defaults; High's
 * is near what topics of everyday sizes can reach at all.
 */
export const presets: Readonly<Record<Aggressiveness, RebalanceNumbers>> = {
  Low: {
    band: { abovePercent: 20, belowPercent: 20 },
    sustainedSeconds: 600,
    limits: {
      maxConcurrentMoves: 1,
      maxMovesPerHour: 15,
      maxMovedLoadPercentPerHour: 2,
      topicCooldownSeconds: 3600,
      minTopicAgeSeconds: 900,
      minActiveBrokers: 2,
    },
  },
  Medium: {
    band: { abovePercent: 9, belowPercent: 9 },
    sustainedSeconds: 180,
    limits: {
      maxConcurrentMoves: 4,
      maxMovesPerHour: 60,
      maxMovedLoadPercentPerHour: 5,
      topicCooldownSeconds: 900,
      minTopicAgeSeconds: 300,
      minActiveBrokers: 2,
    },
  },
  High: {
    band: { abovePercent: 5, belowPercent: 5 },
    sustainedSeconds: 60,
    limits: {
      maxConcurrentMoves: 16,
      maxMovesPerHour: 240,
      maxMovedLoadPercentPerHour: 20,
      topicCooldownSeconds: 300,
      minTopicAgeSeconds: 60,
      minActiveBrokers: 2,
    },
  },
};

export const defaultAggressiveness: Aggressiveness = 'Medium';

/** One row per setting: its path below `spec.rebalance`, then its value at Low, Medium and High. */
export function presetRows(): readonly (readonly string[])[] {
  const columns = aggressivenessLevels.map((level) => {
    const { band, sustainedSeconds, limits } = presets[level];
    return [
      ...Object.entries(band).map(([name, value]) => [`band.${name}`, value] as const),
      ['sustainedSeconds', sustainedSeconds] as const,
      ...Object.entries(limits).map(([name, value]) => [`limits.${name}`, value] as const),
    ];
  });
  return (columns[0] ?? []).map(([path], row) => [`\`${path}\``, ...columns.map((column) => String(column[row]?.[1]))]);
}
