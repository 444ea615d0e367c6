/**
 * Planning in the order of names. The planner breaks ties, and sums, by index: whoever lists the same cluster in another order is to
 * get the same plan, and so the same hash.
 */
import type { Plan, PlannerInput, PlanOptions } from './input.ts';
import { plan } from './plan.ts';

/** Plans as if brokers and topics were sorted by name; the answer has the indexes of `input` as it is. */
export function planInNameOrder(input: PlannerInput, options: PlanOptions = {}): Plan {
  const brokers = nameOrder(input.brokers);
  const topics = nameOrder(input.topics);
  if (brokers === undefined && topics === undefined) return plan(input, options);
  const brokerOrder = brokers ?? sameOrder(input.brokers.length);
  const topicOrder = topics ?? sameOrder(input.topics.length);
  const placeOf = placesIn(brokerOrder);
  const { scaleOutTo } = options;
  const made = plan(ordered(input, brokerOrder, topicOrder, placeOf), {
    ...options,
    ...(scaleOutTo !== undefined && { scaleOutTo: scaleOutTo.map((broker) => placeOf[broker] as number) }),
  });
  return {
    ...made,
    moves: made.moves.map((move) => ({
      ...move,
      topic: topicOrder[move.topic] as number,
      from: brokerOrder[move.from] as number,
      to: brokerOrder[move.to] as number,
    })),
    blocked: made.blocked.map((blocked) => ({ ...blocked, topic: topicOrder[blocked.topic] as number })),
  };
}

/** The indexes of the names, sorted by name; undefined where they are sorted already. Indexes, so that a million names stay where they are. */
function nameOrder(names: readonly string[]): Int32Array | undefined {
  const isSorted = names.every((name, at) => at === 0 || (names[at - 1] as string) <= name);
  if (isSorted) return undefined;
  return sameOrder(names.length).sort((a, b) => ((names[a] as string) < (names[b] as string) ? -1 : 1));
}

function sameOrder(count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, index) => index);
}

function placesIn(order: Int32Array): Int32Array {
  const places = new Int32Array(order.length);
  for (const [place, index] of order.entries()) places[index] = place;
  return places;
}

function ordered(input: PlannerInput, brokers: Int32Array, topics: Int32Array, placeOf: Int32Array): PlannerInput {
  const { background, immovable, cost, traffic, placement, spread, roles } = input;
  const width = input.resources.length;
  return {
    resources: input.resources,
    brokers: Array.from(brokers, (broker) => input.brokers[broker] as string),
    topics: Array.from(topics, (topic) => input.topics[topic] as string),
    capacity: rows(input.capacity, brokers, width),
    loads: rows(input.loads, topics, width),
    owner: topics.map((topic) => placeOf[input.owner[topic] as number] as number),
    ...(background !== undefined && { background: rows(background, brokers, width) }),
    ...(immovable !== undefined && {
      immovable: { ...immovable, of: picked(immovable.of, new Uint8Array(topics.length), topics) },
    }),
    ...(cost !== undefined && { cost: rows(cost, topics, 1) }),
    ...(traffic !== undefined && { traffic }),
    ...(placement !== undefined && {
      placement: {
        of: picked(placement.of, new Int32Array(topics.length), topics),
        rules: placement.rules.map(({ preferred, ...rule }) => ({
          ...rule,
          allowed: picked(rule.allowed, new Uint8Array(brokers.length), brokers),
          ...(preferred !== undefined && { preferred: picked(preferred, new Uint8Array(brokers.length), brokers) }),
        })),
      },
    }),
    ...(spread !== undefined && {
      spread: {
        ...spread,
        of: picked(spread.of, new Int32Array(topics.length), topics),
        ...(spread.domainOf !== undefined && {
          domainOf: picked(spread.domainOf, new Int32Array(brokers.length), brokers),
        }),
      },
    }),
    ...(roles !== undefined && { roles: picked(roles, new Uint8Array(brokers.length), brokers) }),
  };
}

/** The values at the indexes of `order`, into `into`. */
function picked<A extends Uint8Array | Int32Array>(from: A, into: A, order: Int32Array): A {
  for (let place = 0; place < order.length; place++) into[place] = from[order[place] as number] as number;
  return into;
}

function rows(from: Float64Array, order: Int32Array, width: number): Float64Array {
  const into = new Float64Array(order.length * width);
  for (let place = 0; place < order.length; place++) {
    const at = (order[place] as number) * width;
    for (let column = 0; column < width; column++) into[place * width + column] = from[at + column] as number;
  }
  return into;
}
