/** Small clusters written by hand: `clusterOf(['cpu'], { b0: { t0: [3], t1: [1] }, b1: {} })`. */
import type { PlannerInput } from './input.ts';

/** Broker → its topics → their loads. */
export type TopicsByBroker = Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;

/** Capacities are 100 of everything unless `capacity` has a row for the broker. */
export function clusterOf(
  resources: readonly string[],
  topicsByBroker: TopicsByBroker,
  capacity: Readonly<Record<string, readonly number[]>> = {},
): PlannerInput {
  const brokers = Object.keys(topicsByBroker);
  const rows = Object.values(topicsByBroker).flatMap((topics, broker) =>
    Object.entries(topics).map(([topic, load]) => ({ topic, broker, load })),
  );
  return {
    resources,
    brokers,
    topics: rows.map(({ topic }) => topic),
    capacity: Float64Array.from(brokers.flatMap((broker) => capacity[broker] ?? resources.map(() => 100))),
    loads: Float64Array.from(rows.flatMap(({ load }) => [...load])),
    owner: Int32Array.from(rows, ({ broker }) => broker),
  };
}

/** `count` topics of the same load, named `prefix0`, `prefix1`, … */
export function topicsOf(
  prefix: string,
  count: number,
  load: readonly number[],
): Readonly<Record<string, readonly number[]>> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index}`, load]));
}
