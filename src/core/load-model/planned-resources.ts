/** Which resources are planned, in which capacities, and why the others are not. */
import { type BrokerRow, isKnownOfEnough } from './broker-rows.ts';
import { floors, type LoadResource, type MeasuredResource } from './resources.ts';

/** Why a resource is not planned. */
export interface Unplanned {
  readonly resource: LoadResource;
  /** `Unknown`: of too many brokers. `Idle`: below its floor. `Unexplained`: no topic causes it, so no move would change it. */
  readonly reason: 'Unknown' | 'Idle' | 'Unexplained';
  /** For a person, with what to do. */
  readonly message: string;
}

export interface PlannedResource {
  readonly resource: LoadResource;
  /** By row, in the unit of the resource. */
  readonly capacity: readonly number[];
  /** Whether these are limits; otherwise they only say how to share out. */
  readonly isLimited: boolean;
  /** Load / capacity of the whole cluster: at the mean a broker has that share of its capacity in use. */
  readonly mean: number;
}

/** Less than this share of a resource explained by topics: nothing can be won by moving them. */
const EXPLAINED_SHARE = 0.1;
const UNEXPLAINED_MEDIANS = 10;
/** Where there are no limits, capacities only say how to share out: they are chosen so that this share of them is in use, far from any floor. */
const SHARE_IN_USE = 0.5;

export function planResource(resource: LoadResource, rows: readonly BrokerRow[]): PlannedResource | Unplanned {
  const counting = rows.filter(({ isDraining }) => !isDraining);
  const isCounted = ({ isDraining, usage }: BrokerRow) => !isDraining && !Number.isNaN(usage[resource]);
  const known = rows.filter(isCounted);
  if (!isKnownOfEnough(resource, rows)) return unknown(resource, counting, known.length);

  // What drains must fit on the others; what its broker uses for itself goes with it.
  const sum = (of: readonly BrokerRow[], figure: 'usage' | 'explained') =>
    of.reduce((total, row) => total + row[figure][resource], 0);
  const draining = rows.filter(({ isDraining }) => isDraining);
  const load = sum(known, 'usage') + sum(draining, 'explained');
  const { sizes, isLimited } = sizesFor(resource, rows);
  const size = rows.reduce((total, row, index) => total + (isCounted(row) ? (sizes[index] as number) : 0), 0);

  const { share, perBroker = 0 } = floors[resource];
  const floor = isLimited && share !== undefined ? share * size : perBroker * known.length;
  if (load === 0 || load < floor) {
    return { resource, reason: 'Idle', message: 'so little of it is in use that moves would win nothing' };
  }
  if (!isExplained(resource, known, sum(draining, 'explained'))) {
    return {
      resource,
      reason: 'Unexplained',
      message: 'the topics cause next to none of it, so moving them would not change it',
    };
  }
  const scale = isLimited ? 1 : load / (size * SHARE_IN_USE);
  return { resource, capacity: sizes.map((own) => own * scale), isLimited, mean: load / (size * scale) };
}

/**
 * What topics do not explain counts of each broker only so many times what it is of the median broker: one that does other things, or
 * whose agent says so, must not keep the others from being balanced.
 */
function isExplained(resource: LoadResource, known: readonly BrokerRow[], draining: number): boolean {
  const unexplained = known.map(({ usage, explained }) => Math.max(0, usage[resource] - explained[resource]));
  const median = [...unexplained].sort((a, b) => a - b)[Math.floor((unexplained.length - 1) / 2)] ?? 0;
  const rest = unexplained.reduce((sum, own) => sum + Math.min(own, UNEXPLAINED_MEDIANS * median), 0);
  const explained = known.reduce((sum, row) => sum + row.explained[resource], draining);
  return explained > EXPLAINED_SHARE * (explained + rest);
}

/** The limit of a resource; NaN where it has none or none is known. */
export function limitOf(resource: LoadResource, { state }: BrokerRow): number {
  if (resource === 'cpu') return state.cpuCapacity;
  if (resource === 'memory') return state.memoryCapacity;
  return Number.NaN;
}

/**
 * Limits where most are known. Else a broker with twice the CPU is meant for twice of everything, and where that is not known
 * either, all are alike. The few that are not known count as the average.
 */
function sizesFor(
  resource: LoadResource,
  rows: readonly BrokerRow[],
): { readonly sizes: readonly number[]; readonly isLimited: boolean } {
  for (const by of [resource, 'cpu'] as const) {
    const limits = rows.map((row) => limitOf(by, row));
    const known = limits.filter((limit) => limit > 0);
    if (known.length === 0 || known.length * 3 < rows.length * 2) continue;
    const average = known.reduce((sum, limit) => sum + limit, 0) / known.length;
    return { sizes: limits.map((limit) => (limit > 0 ? limit : average)), isLimited: by === resource };
  }
  return { sizes: rows.map(() => 1), isLimited: false };
}

function unknown(resource: LoadResource, counting: readonly BrokerRow[], known: number): Unplanned {
  const example = counting.find(({ usage }) => Number.isNaN(usage[resource]));
  const why = example === undefined ? '' : ` (of broker ${example.facts.id}: ${whyUnknown(resource, example)})`;
  return {
    resource,
    reason: 'Unknown',
    message: `it is known of ${known} of ${counting.length} brokers, and needed of two thirds${why}: see MetricsUsable of their BrokerLoads`,
  };
}

function whyUnknown(resource: LoadResource, { state }: BrokerRow): string {
  if (resource === 'connections' || resource === 'networkIn') return 'it has written no load report for a while';
  if (state.problem !== undefined) return state.problem;
  if (resource === 'backlog') return 'its agent says nothing of topics';
  return Number.isFinite(state.sampledAt) && Number.isNaN(state.measured[resource as MeasuredResource])
    ? 'its agent cannot tell'
    : 'no sample has come that began after its last move or start';
}
