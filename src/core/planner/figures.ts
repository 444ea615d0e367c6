/** How even a cluster is: the figures that users see before and after a plan. */
import { BrokerRole, type Move, type PlannerInput, type ResourceFigures } from './input.ts';

/** Load of each broker with its background, brokers × resources, in the units of the capacities. */
export function brokerLoads(input: PlannerInput): Float64Array {
  const width = input.resources.length;
  const { owner } = input;
  const sums = input.background === undefined ? new Float64Array(input.capacity.length) : input.background.slice();
  const { loads } = input;
  for (let topic = 0, at = 0; topic < owner.length; topic++) {
    const row = (owner[topic] as number) * width;
    for (let resource = 0; resource < width; resource++, at++) {
      sums[row + resource] = (sums[row + resource] as number) + (loads[at] as number);
    }
  }
  return sums;
}

/** The same after moves, from what it was before. */
export function loadsAfter(input: PlannerInput, before: Float64Array, moves: readonly Move[]): Float64Array {
  const width = input.resources.length;
  const sums = before.slice();
  for (const { topic, from, to } of moves) {
    for (let resource = 0; resource < width; resource++) {
      const load = input.loads[topic * width + resource] as number;
      sums[from * width + resource] = (sums[from * width + resource] as number) - load;
      sums[to * width + resource] = (sums[to * width + resource] as number) + load;
    }
  }
  return sums;
}

/**
 * Per resource Σ load / Σ capacity, over the brokers that are not draining: what these hold has to fit on the others. What has to
 * stay on a draining broker counts nowhere: nobody else will ever have it.
 */
export function meanUtilisation(input: PlannerInput, sums: Float64Array): Float64Array {
  const width = input.resources.length;
  const means = new Float64Array(width);
  const stuck = stuckLoads(input);
  for (let resource = 0; resource < width; resource++) {
    let load = -(stuck[resource] as number);
    let capacity = 0;
    for (let broker = 0; broker < input.brokers.length; broker++) {
      const at = broker * width + resource;
      const draining = isDraining(input, broker);
      // The background of a draining broker goes when the broker goes.
      load += draining ? (sums[at] as number) - (input.background?.[at] ?? 0) : (sums[at] as number);
      if (!draining) capacity += input.capacity[at] as number;
    }
    means[resource] = capacity > 0 ? Math.max(0, load) / capacity : 0;
  }
  return means;
}

/** Per resource, the load of the topics that cannot leave a draining broker: they may not move, or no active broker may have them. */
function stuckLoads(input: PlannerInput): Float64Array {
  const width = input.resources.length;
  const { owner } = input;
  const stuck = new Float64Array(width);
  if (input.roles?.includes(BrokerRole.Draining) !== true) return stuck;
  const active = Uint8Array.from(input.brokers, (_, b) => Number(input.roles?.[b] === BrokerRole.Active));
  const hasBroker = active.includes(1);
  const ruleHasBroker = input.placement?.rules.map(({ allowed }) =>
    allowed.some((own, b) => own === 1 && active[b] === 1),
  );
  for (let topic = 0; topic < owner.length; topic++) {
    if (!isDraining(input, owner[topic] as number)) continue;
    const mayMove = input.immovable === undefined || input.immovable.of[topic] === 0;
    const canMove = ruleHasBroker?.[input.placement?.of[topic] ?? -1] ?? hasBroker;
    if (mayMove && canMove) continue;
    for (let resource = 0; resource < width; resource++) {
      stuck[resource] = (stuck[resource] as number) + (input.loads[topic * width + resource] as number);
    }
  }
  return stuck;
}

function isDraining(input: PlannerInput, broker: number): boolean {
  return input.roles?.[broker] === BrokerRole.Draining;
}

/** Figures per resource; an unused resource is perfectly even. `sums` as `brokerLoads` gives them. */
export function balanceFigures(input: PlannerInput, sums: Float64Array): readonly ResourceFigures[] {
  const means = meanUtilisation(input, sums);
  return input.resources.map((_, resource) => figuresOf(input, sums, resource, means[resource] as number));
}

function figuresOf(input: PlannerInput, sums: Float64Array, resource: number, mean: number): ResourceFigures {
  let max = 0;
  let min = Number.POSITIVE_INFINITY;
  let total = 0;
  let squares = 0;
  let count = 0;
  for (let broker = 0; broker < input.brokers.length; broker++) {
    const at = broker * input.resources.length + resource;
    const capacity = input.capacity[at] as number;
    if (isDraining(input, broker) || capacity <= 0) continue;
    const level = mean > 0 ? (sums[at] as number) / (mean * capacity) : 1;
    max = Math.max(max, level);
    min = Math.min(min, level);
    total += level;
    squares += level * level;
    count++;
  }
  if (count === 0) return { maxOverMean: 1, minOverMean: 1, cv: 0 };
  const average = total / count;
  const variance = Math.max(0, squares / count - average * average);
  return { maxOverMean: max, minOverMean: min, cv: average > 0 ? Math.sqrt(variance) / average : 0 };
}
