/**
 * What share of a broker's load each of its topics has. A topic's load of a resource is its weight there × the factor of its broker;
 * what the topics do not explain stays with the broker whatever is moved.
 *
 * - networkIn, networkOut, diskIO: the topic's own bytes, in, out, and in if reliable (those are written); scaled down where the topics
 *   together would be more than was measured. The rest is protocol, uploads, and what else the Pod does.
 * - cpu: the agent's attribution to topics; without it in proportion to traffic, above what an idle broker would use.
 * - memory: the same for each topic, as much as brokers with more topics use more. Where they do not, topics explain none of it:
 *   a process that keeps its memory after a move must not be emptied for it.
 */
import { type MeasuredResource, measuredResources } from './resources.ts';
import type { ModelState } from './state.ts';
import type { TopicColumns } from './topic-columns.ts';

/** Sums over the topics of each broker, by slot. */
export interface TopicSums {
  readonly topics: Float64Array;
  /** Those whose traffic has been heard of. */
  readonly measuredTopics: Float64Array;
  readonly connections: Float64Array;
  readonly backlog: Float64Array;
  readonly bytesIn: Float64Array;
  readonly bytesOut: Float64Array;
  readonly writtenBytes: Float64Array;
  /** In units of `trafficOf`. */
  readonly traffic: Float64Array;
  /** Of topics whose CPU the agent does not tell. */
  readonly trafficWithoutCpu: Float64Array;
  readonly cpu: Float64Array;
}

export interface Attribution {
  readonly sums: TopicSums;
  /** By slot: load of a topic / its weight. */
  readonly factors: Readonly<Record<MeasuredResource, Float64Array>>;
  /** By slot: 1 = the CPU of topics is what the agent says, 0 = in proportion to traffic. */
  readonly hasTopicCpu: Uint8Array;
}

/** A message costs about as much as a KiB: what matters is only how topics compare. */
const BYTES_PER_UNIT = 1024;
/** The agent's attribution counts if it covers all but this share of a broker's traffic. */
const CPU_GAP = 0.1;

export function attribute(state: ModelState): Attribution {
  const sums = sumTopics(state);
  const { brokers } = state;
  const slots = brokers.length;
  const hasTopicCpu = Uint8Array.from({ length: slots }, (_, slot) =>
    Number(at(sums.cpu, slot) > 0 && at(sums.trafficWithoutCpu, slot) <= CPU_GAP * at(sums.traffic, slot)),
  );
  const totals = (resource: MeasuredResource) =>
    Float64Array.from(brokers, (broker) => broker?.measured[resource] ?? Number.NaN);

  const cpu = totals('cpu');
  const idleCpu = Math.max(0, fitLine(sums.traffic, cpu)?.intercept ?? 0);
  const perTopic = Math.max(0, fitLine(sums.topics, totals('memory'))?.slope ?? 0);
  const explained: Readonly<Record<MeasuredResource, (slot: number) => number>> = {
    cpu: (slot) =>
      hasTopicCpu[slot] === 1 ? at(sums.cpu, slot) : Math.max(0, at(cpu, slot) - Math.min(idleCpu, at(cpu, slot))),
    memory: (slot) => perTopic * at(sums.topics, slot),
    networkIn: (slot) => at(sums.bytesIn, slot),
    networkOut: (slot) => at(sums.bytesOut, slot),
    diskIO: (slot) => at(sums.writtenBytes, slot),
  };
  const weights: Readonly<Record<MeasuredResource, (slot: number) => number>> = {
    ...explained,
    cpu: (slot) => at(hasTopicCpu[slot] === 1 ? sums.cpu : sums.traffic, slot),
    memory: (slot) => at(sums.topics, slot),
  };
  const factors = Object.fromEntries(
    measuredResources.map((resource) => [
      resource,
      factorsOf({
        totals: totals(resource),
        explained: explained[resource],
        weight: weights[resource],
        usual: resource === 'cpu' || resource === 'memory' ? 0 : 1,
      }),
    ]),
  ) as Record<MeasuredResource, Float64Array>;
  return { sums, factors, hasTopicCpu };
}

interface FactorInput {
  readonly totals: Float64Array;
  readonly explained: (slot: number) => number;
  readonly weight: (slot: number) => number;
  /** Where no broker is known: bytes count as they are, and of CPU and memory nothing is known. */
  readonly usual: number;
}

/** Where a broker's total is unknown its topics count as they do elsewhere: they may have to go somewhere all the same. */
function factorsOf({ totals, explained, weight, usual }: FactorInput): Float64Array {
  const factors = new Float64Array(totals.length);
  let explainedSum = 0;
  let weightSum = 0;
  for (const [slot, total] of totals.entries()) {
    const own = weight(slot);
    if (Number.isNaN(total) || own <= 0) continue;
    const part = Math.min(total, explained(slot));
    factors[slot] = part / own;
    explainedSum += part;
    weightSum += own;
  }
  const elsewhere = weightSum > 0 ? explainedSum / weightSum : usual;
  for (const [slot, total] of totals.entries()) if (Number.isNaN(total)) factors[slot] = elsewhere;
  return factors;
}

function sumTopics({ brokers, columns }: ModelState): TopicSums {
  const column = () => new Float64Array(brokers.length);
  const sums: TopicSums = {
    topics: column(),
    measuredTopics: column(),
    connections: column(),
    backlog: column(),
    bytesIn: column(),
    bytesOut: column(),
    writtenBytes: column(),
    traffic: column(),
    trafficWithoutCpu: column(),
    cpu: column(),
  };
  const { numbers, owner } = columns;
  for (let number = 0; number < numbers.size; number++) {
    const slot = owner[number] as number;
    if (slot < 0) continue;
    const traffic = trafficOf(columns, number);
    const cpu = columns.cpu[number] as number;
    add(sums.topics, slot, 1);
    if (!Number.isNaN(columns.bytesIn[number] as number)) add(sums.measuredTopics, slot, 1);
    add(sums.connections, slot, known(columns.connections, number));
    add(sums.backlog, slot, known(columns.backlog, number));
    add(sums.bytesIn, slot, known(columns.bytesIn, number));
    add(sums.bytesOut, slot, known(columns.bytesOut, number));
    add(sums.writtenBytes, slot, writtenBytesOf(columns, number));
    add(sums.traffic, slot, traffic);
    if (Number.isNaN(cpu)) add(sums.trafficWithoutCpu, slot, traffic);
    else add(sums.cpu, slot, cpu);
  }
  return sums;
}

/** Load of a topic of the broker in `slot`, in the unit of the resource. */
export function topicLoad(
  { factors, hasTopicCpu }: Attribution,
  columns: TopicColumns,
  resource: MeasuredResource,
  number: number,
  slot: number,
): number {
  const factor = at(factors[resource], slot);
  switch (resource) {
    case 'cpu':
      return factor * (hasTopicCpu[slot] === 1 ? known(columns.cpu, number) : trafficOf(columns, number));
    case 'memory':
      return factor;
    case 'networkIn':
      return factor * known(columns.bytesIn, number);
    case 'networkOut':
      return factor * known(columns.bytesOut, number);
    case 'diskIO':
      return factor * writtenBytesOf(columns, number);
  }
}

function trafficOf(columns: TopicColumns, number: number): number {
  const bytes = known(columns.bytesIn, number) + known(columns.bytesOut, number);
  return known(columns.messagesIn, number) + bytes / BYTES_PER_UNIT;
}

function writtenBytesOf(columns: TopicColumns, number: number): number {
  return columns.numbers.isReliable(number) ? known(columns.bytesIn, number) : 0;
}

/** Least squares over the brokers that are known; undefined with fewer than three, or when x does not differ. */
function fitLine(x: Float64Array, y: Float64Array): { readonly slope: number; readonly intercept: number } | undefined {
  const rows = [...y.keys()].filter((row) => !Number.isNaN(at(y, row)));
  if (rows.length < 3) return undefined;
  const mean = (of: Float64Array) => rows.reduce((sum, row) => sum + at(of, row), 0) / rows.length;
  const [meanX, meanY] = [mean(x), mean(y)];
  const sum = (of: (row: number) => number) => rows.reduce((total, row) => total + of(row), 0);
  const spread = sum((row) => (at(x, row) - meanX) ** 2);
  // Brokers that are alike but for a few per cent say nothing of what the differences cost.
  if (spread <= rows.length * (0.05 * meanX) ** 2) return undefined;
  const slope = sum((row) => (at(x, row) - meanX) * (at(y, row) - meanY)) / spread;
  return { slope, intercept: meanY - slope * meanX };
}

function known(column: Float32Array, number: number): number {
  const figure = column[number] as number;
  return Number.isNaN(figure) ? 0 : figure;
}

function at(column: Float64Array, index: number): number {
  return column[index] as number;
}

function add(column: Float64Array, index: number, amount: number): void {
  column[index] = at(column, index) + amount;
}
