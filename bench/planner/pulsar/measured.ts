/**
 * What the real classes of pulsar-broker 4.0.8 did, driven minute by minute with perfect and immediate load data on the clusters that
 * `skewedCluster(brokers, 100 × brokers, 4, 42)` makes. Balance is the worst of cpu, networkIn and networkOut, of the mean.
 */
import { createRandom } from '../random.ts';
import type { Placement, Shedder } from './cluster.ts';
import { leastMessageRate, leastUsageWithWeight } from './placements.ts';
import { avgShedder, TRANSFER_DEFAULTS, thresholdShedder, transferShedder, uniformLoadShedder } from './shedders.ts';

export interface Measured {
  readonly brokers: number;
  readonly rule: string;
  /** The lowest and highest of several runs; the rule draws its targets by lot. */
  readonly moves: readonly [number, number];
  readonly minutes: number;
  readonly max: number;
  readonly min: number;
}

export const MEASURED: readonly Measured[] = [
  { brokers: 20, rule: 'Threshold', moves: [259, 294], minutes: 63, max: 1.22, min: 0.78 },
  { brokers: 20, rule: 'Uniform', moves: [30, 30], minutes: 10, max: 1.29, min: 0.7 },
  { brokers: 20, rule: 'Avg', moves: [40, 40], minutes: 24, max: 1.2, min: 0.66 },
  { brokers: 20, rule: 'Transfer', moves: [17, 17], minutes: 4, max: 1.44, min: 0.4 },
  { brokers: 20, rule: 'Transfer, tuned', moves: [108, 108], minutes: 5, max: 1.09, min: 0.81 },
  { brokers: 100, rule: 'Threshold', moves: [969, 4_610], minutes: 74, max: 1.26, min: 0.48 },
  { brokers: 100, rule: 'Uniform', moves: [165, 165], minutes: 54, max: 1.37, min: 0.56 },
  { brokers: 100, rule: 'Avg', moves: [244, 244], minutes: 40, max: 1.2, min: 0.63 },
  { brokers: 100, rule: 'Transfer', moves: [88, 88], minutes: 22, max: 1.54, min: 0.39 },
  { brokers: 100, rule: 'Transfer, tuned', moves: [548, 548], minutes: 5, max: 1.1, min: 0.6 },
  { brokers: 300, rule: 'Avg', moves: [607, 607], minutes: 24, max: 1.2, min: 0.46 },
  { brokers: 300, rule: 'Transfer', moves: [269, 269], minutes: 58, max: 1.56, min: 0.43 },
  { brokers: 300, rule: 'Transfer, tuned', moves: [1_612, 1_612], minutes: 6, max: 1.11, min: 0.59 },
];

export interface Rule {
  readonly name: string;
  /** A rule keeps what it has seen: each run needs a new one. */
  create(brokers: number): { readonly shedder: Shedder; readonly placement: Placement };
}

/** The models, by the names of `MEASURED`. */
export const RULES: readonly Rule[] = [
  {
    name: 'Threshold',
    create: () => ({ shedder: thresholdShedder(), placement: leastUsageWithWeight(createRandom(1)) }),
  },
  { name: 'Uniform', create: () => ({ shedder: uniformLoadShedder(), placement: leastMessageRate() }) },
  { name: 'Avg', create: () => ({ shedder: avgShedder(), placement: leastMessageRate() }) },
  { name: 'Transfer', create: () => ({ shedder: transferShedder(), placement: leastMessageRate() }) },
  {
    name: 'Transfer, tuned',
    create: (brokers) => ({
      shedder: transferShedder({
        ...TRANSFER_DEFAULTS,
        targetDeviation: 0.01,
        brokersPerCycle: brokers / 2,
        hits: 0,
        delayMinutes: 1,
      }),
      placement: leastMessageRate(),
    }),
  },
];
