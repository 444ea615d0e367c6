/**
 * Whether a cluster needs a plan at all: which brokers have been outside the band for long enough. A broker enters at the band's edge
 * and leaves at half of it, so that one that sits on the edge does not count anew each time; a spike shorter than
 * `sustainedSeconds` moves nothing.
 */
import { brokerLoads, meanUtilisation } from './figures.ts';
import { BrokerRole, type PlannerInput } from './input.ts';

export interface DetectionOptions {
  readonly band: { readonly above: number; readonly below: number };
  readonly sustainedSeconds: number;
  /** With fewer active brokers than this nothing is moved for balance. */
  readonly minActiveBrokers: number;
  /** A resource is left alone while less than this share of the cluster's capacity is in use. */
  readonly activityFloor?: number;
}

export type Side = 'Above' | 'Below';

/** Broker, resource and side → since when, in seconds. Kept by the caller between looks. */
export type DetectionState = ReadonlyMap<string, number>;

export interface OutsideBand {
  readonly broker: string;
  readonly resource: string;
  readonly side: Side;
  /** Load / (mean × capacity). */
  readonly level: number;
  readonly forSeconds: number;
}

export interface Detection {
  readonly verdict: 'WithinBand' | 'NotSustained' | 'TooFewBrokers' | 'Imbalanced';
  /** Everything outside now, the furthest first. */
  readonly outside: readonly OutsideBand[];
  readonly state: DetectionState;
}

export interface DetectionInput {
  readonly input: PlannerInput;
  readonly options: DetectionOptions;
  /** Of the look before; empty at the start. */
  readonly previous: DetectionState;
  readonly nowSeconds: number;
}

export function detect({ input, options, previous, nowSeconds }: DetectionInput): Detection {
  const sums = brokerLoads(input);
  const means = meanUtilisation(input, sums);
  const state = new Map<string, number>();
  const outside: OutsideBand[] = [];
  let active = 0;

  for (const [index, broker] of input.brokers.entries()) {
    if (input.roles?.[index] === BrokerRole.Draining) continue;
    active++;
    for (const [number, resource] of input.resources.entries()) {
      const mean = means[number] as number;
      if (mean <= 0 || mean < (options.activityFloor ?? 0)) continue;
      const at = index * input.resources.length + number;
      const level = (sums[at] as number) / (mean * (input.capacity[at] as number));
      const side: Side = level > 1 ? 'Above' : 'Below';
      const key = `${broker}\t${resource}\t${side}`;
      const known = previous.get(key);
      const width = side === 'Above' ? options.band.above : options.band.below;
      if (Math.abs(level - 1) <= (known === undefined ? width : width / 2)) continue;
      const since = known ?? nowSeconds;
      state.set(key, since);
      outside.push({ broker, resource, side, level, forSeconds: nowSeconds - since });
    }
  }
  outside.sort((a, b) => Math.abs(b.level - 1) - Math.abs(a.level - 1));
  return { verdict: verdictOf(outside, active, options), outside, state };
}

function verdictOf(outside: readonly OutsideBand[], active: number, options: DetectionOptions): Detection['verdict'] {
  if (outside.length === 0) return 'WithinBand';
  if (active < options.minActiveBrokers) return 'TooFewBrokers';
  return outside.some(({ forSeconds }) => forSeconds >= options.sustainedSeconds) ? 'Imbalanced' : 'NotSustained';
}
