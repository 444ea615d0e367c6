/**
 * Whether a cluster needs a plan at all: which brokers have been outside the band for long enough. A broker counts once it has been
 * outside for `sustainedSeconds` without a break, so that a spike shorter than that moves nothing; from then on it counts until
 * it is inside half of the band, so that one that sits on the edge does not count anew each time.
 */
import { balanceFigures, brokerLoads, meanUtilisation } from './figures.ts';
import { BrokerRole, type PlannerInput, type ResourceFigures } from './input.ts';

export interface DetectionOptions {
  readonly band: { readonly above: number; readonly below: number };
  readonly sustainedSeconds: number;
  /** With fewer active brokers than this nothing is moved for balance, and nothing counts as sustained. */
  readonly minActiveBrokers: number;
  /** A resource is left alone while less than this share of the cluster's capacity is in use. */
  readonly activityFloor?: number;
}

export type Side = 'Above' | 'Below';

/** Broker, resource and side → its time outside. Kept by the caller between looks, from an empty map on. */
export type DetectionState = ReadonlyMap<string, TimeOutside>;

/** Seconds of the caller's clock. */
export interface TimeOutside {
  readonly since: number;
  readonly lookedAt: number;
  /** It has lasted: it counts until the broker is well inside. */
  readonly isSustained: boolean;
}

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
  /** Per resource, the spread over all brokers and the extremes: each hides what the other shows. */
  readonly figures: readonly ResourceFigures[];
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
  const state = new Map<string, TimeOutside>();
  const outside: OutsideBand[] = [];
  let active = 0;

  for (const [index, broker] of input.brokers.entries()) {
    if (input.roles?.[index] === BrokerRole.Draining) continue;
    if (input.roles?.[index] !== BrokerRole.Closed) active++;
    for (const [number, resource] of input.resources.entries()) {
      const mean = means[number] as number;
      const at = index * input.resources.length + number;
      const capacity = input.capacity[at] as number;
      if (mean <= 0 || mean < (options.activityFloor ?? 0) || capacity <= 0) continue;
      const level = (sums[at] as number) / (mean * capacity);
      const side: Side = level > 1 ? 'Above' : 'Below';
      const key = `${broker}\t${resource}\t${side}`;
      const width = side === 'Above' ? options.band.above : options.band.below;
      const time = timeOutside(Math.abs(level - 1) / width, previous.get(key), options.sustainedSeconds, nowSeconds);
      if (time === undefined) continue;
      state.set(key, time);
      outside.push({ broker, resource, side, level, forSeconds: nowSeconds - time.since });
    }
  }
  outside.sort((a, b) => Math.abs(b.level - 1) - Math.abs(a.level - 1));
  const isEnough = active >= options.minActiveBrokers;
  return {
    verdict: verdictOf(outside, state, isEnough),
    outside,
    figures: balanceFigures(input, sums),
    // The mean of a cluster that is mostly away, as in a roll-out, says nothing: what it shows must last anew.
    state: isEnough ? state : new Map(),
  };
}

/** `distance` from the mean, 1 = the band's edge; undefined if the broker is not outside. */
function timeOutside(
  distance: number,
  before: TimeOutside | undefined,
  sustainedSeconds: number,
  nowSeconds: number,
): TimeOutside | undefined {
  // Nobody knows what was between two looks that are further apart than what must last.
  const isFollowing = before !== undefined && nowSeconds - before.lookedAt <= Math.max(sustainedSeconds, 60);
  if (distance <= (isFollowing && before.isSustained ? 0.5 : 1)) return undefined;
  const since = isFollowing ? before.since : nowSeconds;
  const isSustained = (isFollowing && before.isSustained) || nowSeconds - since >= sustainedSeconds;
  return { since, lookedAt: nowSeconds, isSustained };
}

function verdictOf(outside: readonly OutsideBand[], state: DetectionState, isEnough: boolean): Detection['verdict'] {
  if (outside.length === 0) return 'WithinBand';
  if (!isEnough) return 'TooFewBrokers';
  return [...state.values()].some(({ isSustained }) => isSustained) ? 'Imbalanced' : 'NotSustained';
}
