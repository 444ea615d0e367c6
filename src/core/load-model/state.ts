/** What the load model remembers of brokers between looks. It is the model's own: only `model.ts` changes it. */
import type { MeasuredResource } from './resources.ts';
import type { TopicColumns, TopicFigures } from './topic-columns.ts';

export interface BrokerState {
  readonly id: string;
  /** Averages; NaN is unknown. What a move took or brought is in them at once, long before a sample shows it. */
  readonly measured: Record<MeasuredResource, number>;
  /** Limits; NaN is unknown. */
  cpuCapacity: number;
  memoryCapacity: number;
  /** When the last sample that was used came; epoch ms, as all times here. */
  sampledAt: number;
  /** When it was last noticed that topics with load came or went. */
  movedAt: number;
  /** The share of its load that came and went since the last sample that was used. */
  changedShare: number;
  /** When the last report of the broker was noticed, and which it was. */
  reportedAt: number;
  reportRevision: number;
  /** When the agent last told of topics; -Infinity: never. */
  topicsAt: number;
  topicsPass: number;
  /** What each topic that the agent did not list counts, until it has been counted. */
  rest: { readonly figures: TopicFigures; readonly weight: number } | undefined;
  /** Why the agent's figures cannot be used. */
  problem: string | undefined;
}

export function newBroker(id: string, movedAt: number): BrokerState {
  const never = Number.NEGATIVE_INFINITY;
  return {
    id,
    measured: {
      cpu: Number.NaN,
      memory: Number.NaN,
      networkIn: Number.NaN,
      networkOut: Number.NaN,
      diskIO: Number.NaN,
    },
    cpuCapacity: Number.NaN,
    memoryCapacity: Number.NaN,
    sampledAt: never,
    movedAt,
    changedShare: 0,
    reportedAt: never,
    reportRevision: 0,
    topicsAt: never,
    topicsPass: 0,
    rest: undefined,
    problem: undefined,
  };
}

/** Brokers by slot; a slot is reused when its broker is gone. */
export interface Slots {
  readonly brokers: readonly (BrokerState | undefined)[];
  readonly slotOf: ReadonlyMap<string, number>;
}

export interface ModelState extends Slots {
  readonly columns: TopicColumns;
}
