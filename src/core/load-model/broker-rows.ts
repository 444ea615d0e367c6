/** The live brokers of a look, with what is known of each: the rows that all further steps go by. */
import type { BrokerFacts } from '../brokers.ts';
import { BrokerRole } from '../planner/input.ts';
import type { Attribution } from './attribution.ts';
import type { Observation } from './model.ts';
import type { LoadResource, MeasuredResource } from './resources.ts';
import type { BrokerState, ModelState } from './state.ts';

export interface Look {
  readonly state: ModelState;
  readonly attribution: Attribution;
  readonly observation: Observation;
  readonly staleAfterMs: number;
}

export interface BrokerRow {
  readonly facts: BrokerFacts;
  readonly slot: number;
  readonly state: BrokerState;
  readonly isDraining: boolean;
  /** Number of its topics whose traffic has been heard of. */
  readonly measuredTopics: number;
  /** NaN is unknown. */
  readonly usage: Readonly<Record<LoadResource, number>>;
  /** What its topics cause of that, and moves could take away. */
  readonly explained: Readonly<Record<LoadResource, number>>;
}

/** A resource is planned if it is known of this share of the brokers: the mean of fewer would be that of some. */
const KNOWN_SHARE = 2 / 3;

export function brokerRows(look: Look, draining: ReadonlySet<string>): readonly BrokerRow[] {
  const { state, observation } = look;
  const rows: BrokerRow[] = [];
  for (const facts of observation.brokers.values()) {
    const slot = state.slotOf.get(facts.id);
    const broker = slot === undefined ? undefined : state.brokers[slot];
    const isLive = facts.liveness.state === 'Live' && observation.metadata.registrations.has(facts.id);
    if (!isLive || slot === undefined || broker === undefined) continue;
    const isDraining = facts.mode === 'draining' || facts.mode === 'drained' || draining.has(facts.id);
    const measuredTopics = look.attribution.sums.measuredTopics[slot] as number;
    rows.push({ facts, slot, state: broker, isDraining, measuredTopics, ...figuresOf(look, broker, slot) });
  }
  if (isKnownOfEnough('networkIn', rows)) return rows;
  // Where most have no agent, it is what all report of their topics: that and what agents measure must not be compared.
  return rows.map((row) => {
    const bytesIn = isTold(look, row.state) ? row.explained.networkIn : Number.NaN;
    return { ...row, usage: { ...row.usage, networkIn: bytesIn } };
  });
}

/** Whether the resource is known of so many brokers that its mean means something. Those that drain do not count. */
export function isKnownOfEnough(resource: LoadResource, rows: readonly BrokerRow[]): boolean {
  const counting = rows.filter(({ isDraining }) => !isDraining);
  const known = counting.filter(({ usage }) => !Number.isNaN(usage[resource]));
  return known.length >= Math.max(1, KNOWN_SHARE * counting.length);
}

export function roleOf({ facts, isDraining }: BrokerRow): number {
  if (isDraining) return BrokerRole.Draining;
  return facts.accepting ? BrokerRole.Active : BrokerRole.Closed;
}

function figuresOf(look: Look, broker: BrokerState, slot: number): Pick<BrokerRow, 'usage' | 'explained'> {
  const { attribution, observation, staleAfterMs } = look;
  const { sums, factors, hasTopicCpu } = attribution;
  const isMeasured = broker.problem === undefined && observation.now - broker.sampledAt <= staleAfterMs;
  const measured = (resource: MeasuredResource) => (isMeasured ? broker.measured[resource] : Number.NaN);
  const sum = (column: Float64Array) => column[slot] as number;
  const weighed = (resource: MeasuredResource, weight: Float64Array) => sum(factors[resource]) * sum(weight);
  return {
    usage: {
      cpu: measured('cpu'),
      memory: measured('memory'),
      networkIn: measured('networkIn'),
      networkOut: measured('networkOut'),
      diskIO: measured('diskIO'),
      topics: sum(sums.topics),
      connections: isTold(look, broker) ? sum(sums.connections) : Number.NaN,
      backlog: isToldByAgent(look, broker) ? sum(sums.backlog) : Number.NaN,
    },
    explained: {
      cpu: weighed('cpu', hasTopicCpu[slot] === 1 ? sums.cpu : sums.traffic),
      memory: weighed('memory', sums.topics),
      networkIn: weighed('networkIn', sums.bytesIn),
      networkOut: weighed('networkOut', sums.bytesOut),
      diskIO: weighed('diskIO', sums.writtenBytes),
      topics: sum(sums.topics),
      connections: sum(sums.connections),
      backlog: sum(sums.backlog),
    },
  };
}

function isToldByAgent({ observation, staleAfterMs }: Look, { topicsAt }: BrokerState): boolean {
  return observation.now - topicsAt <= staleAfterMs;
}

function isTold(look: Look, broker: BrokerState): boolean {
  return isToldByAgent(look, broker) || look.observation.now - broker.reportedAt <= look.staleAfterMs;
}
