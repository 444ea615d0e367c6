/** The topics of a picture with their loads, in columns. */
import { type Attribution, topicLoad } from './attribution.ts';
import type { BrokerRow, Look } from './broker-rows.ts';
import type { PlannedResource } from './planned-resources.ts';
import type { LoadResource } from './resources.ts';
import type { TopicColumns } from './topic-columns.ts';

export interface TopicRows {
  readonly numbers: Int32Array;
  /** Index of the broker's row. */
  readonly owner: Int32Array;
  /** topics × planned resources. */
  readonly loads: Float64Array;
  readonly reliable: Uint8Array;
  /** Where they are unknown 1: clients that nobody knows of must not be cut off for it. */
  readonly connections: Float64Array;
  /** Seconds since it was created, and since it last moved; infinite where that was before anybody looked. */
  readonly ageSeconds: Float64Array;
  readonly movedSecondsAgo: Float64Array;
  /** 0 = it may move, n = `reasons[n - 1]`. */
  readonly immovable: Uint8Array;
  readonly reasons: readonly string[];
}

export interface TopicRowsInput {
  readonly look: Look;
  readonly rows: readonly BrokerRow[];
  readonly planned: readonly PlannedResource[];
  /** By row: whether its figures may be planned with. */
  readonly isKnown: readonly boolean[];
  readonly whyImmovable: (topic: number) => string | undefined;
}

/** What is given as a reason for topics of brokers whose figures are not known. */
export const METRICS_UNUSABLE = 'MetricsUnusable';
const MAX_REASONS = 255;

/** No topics, but for what must leave its broker: that counts for the others, as one lump of each broker. */
export function lumps(rows: readonly BrokerRow[], planned: readonly PlannedResource[]): TopicRows {
  const draining = [...rows.keys()].filter((row) => rows[row]?.isDraining);
  const table = tableFor(draining.length, planned.length, []);
  for (const [lump, row] of draining.entries()) {
    table.numbers[lump] = -1;
    table.owner[lump] = row;
    for (const [index, { resource }] of planned.entries()) {
      table.loads[lump * planned.length + index] = rows[row]?.explained[resource] ?? 0;
    }
  }
  return table;
}

export function topicRows({ look, rows, planned, isKnown, whyImmovable }: TopicRowsInput): TopicRows {
  const { columns, brokers } = look.state;
  const { owner, numbers } = columns;
  const rowOfSlot = new Int32Array(brokers.length).fill(-1);
  for (const [row, { slot }] of rows.entries()) rowOfSlot[slot] = row;
  const rowOf = (number: number) =>
    (owner[number] as number) < 0 ? -1 : (rowOfSlot[owner[number] as number] as number);

  let count = 0;
  for (let number = 0; number < numbers.size; number++) if (rowOf(number) >= 0) count++;
  const reasons: string[] = [];
  const resources = planned.map(({ resource }) => resource);
  const table = tableFor(count, resources.length, reasons);
  let topic = 0;
  for (let number = 0; number < numbers.size; number++) {
    const row = rowOf(number);
    if (row < 0) continue;
    const { isDraining, slot } = rows[row] as BrokerRow;
    const isUsable = isKnown[row] === true || isDraining;
    table.numbers[topic] = number;
    table.owner[topic] = row;
    table.reliable[topic] = Number(numbers.isReliable(number));
    const connections = columns.connections[number] as number;
    table.connections[topic] = Number.isNaN(connections) ? 1 : connections;
    table.ageSeconds[topic] = secondsSince(columns.appearedAt[number] as number, look.observation.now);
    table.movedSecondsAgo[topic] = secondsSince(columns.movedAt[number] as number, look.observation.now);
    const reason = whyImmovable(number) ?? (isUsable ? undefined : METRICS_UNUSABLE);
    if (reason !== undefined) table.immovable[topic] = codeOf(reason, reasons);
    for (let index = 0; isUsable && index < resources.length; index++) {
      const resource = resources[index] as LoadResource;
      table.loads[topic * resources.length + index] = loadOf(look.attribution, columns, resource, number, slot);
    }
    topic++;
  }
  return table;
}

function loadOf(
  attribution: Attribution,
  columns: TopicColumns,
  resource: LoadResource,
  number: number,
  slot: number,
): number {
  switch (resource) {
    case 'topics':
      return 1;
    case 'connections':
      return orZero(columns.connections[number]);
    case 'backlog':
      return orZero(columns.backlog[number]);
    default:
      return topicLoad(attribution, columns, resource, number, slot);
  }
}

function secondsSince(epochSeconds: number, now: number): number {
  return epochSeconds === 0 ? Number.POSITIVE_INFINITY : Math.max(0, now / 1000 - epochSeconds);
}

function orZero(figure: number | undefined): number {
  return figure === undefined || Number.isNaN(figure) ? 0 : figure;
}

function codeOf(reason: string, reasons: string[]): number {
  const known = reasons.indexOf(reason);
  if (known >= 0) return known + 1;
  if (reasons.length === MAX_REASONS)
    throw new Error(`more than ${MAX_REASONS} different reasons why topics may not move`);
  return reasons.push(reason);
}

function tableFor(topics: number, width: number, reasons: readonly string[]): TopicRows {
  return {
    numbers: new Int32Array(topics),
    owner: new Int32Array(topics),
    loads: new Float64Array(topics * width),
    reliable: new Uint8Array(topics),
    connections: new Float64Array(topics),
    ageSeconds: new Float64Array(topics).fill(Number.POSITIVE_INFINITY),
    movedSecondsAgo: new Float64Array(topics).fill(Number.POSITIVE_INFINITY),
    immovable: new Uint8Array(topics),
    reasons,
  };
}
