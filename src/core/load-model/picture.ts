/** What the model knows, as the planner's input and as facts for people, with a reason for everything that is left out. */
import { brokerLoads, meanUtilisation } from '../planner/figures.ts';
import { BrokerRole, type PlannerInput } from '../planner/input.ts';
import { type BrokerRow, brokerRows, type Look, roleOf } from './broker-rows.ts';
import { limitOf, type PlannedResource, planResource, type Unplanned } from './planned-resources.ts';
import { type LoadResource, loadResources } from './resources.ts';
import { lumps, topicRows } from './topic-rows.ts';

export interface PictureOptions {
  /** With false the input serves detection alone, and costs next to nothing: its few topics are lumps. Default true. */
  readonly topics?: boolean;
  /** Those that may be planned. Default all. */
  readonly resources?: readonly LoadResource[];
  /** Brokers that must become empty, besides those whose own state says so. */
  readonly draining?: ReadonlySet<string>;
  /** Why the topic of that number may not move; undefined if it may. At most 254 different reasons. */
  readonly whyImmovable?: (topic: number) => string | undefined;
}

/** Per resource, null is unknown. */
export type FigurePerResource = Readonly<Record<LoadResource, number | null>>;

export interface BrokerLoadFigures {
  readonly broker: string;
  /** Number of its topics whose traffic has been heard of. */
  readonly measuredTopics: number;
  /** In the unit of the resource. */
  readonly usage: FigurePerResource;
  /** Null also where there is no limit: what has none is shared out by the size of the brokers. */
  readonly capacity: FigurePerResource;
  /** Load / (mean × capacity), 1 = the mean; null also where the resource is not planned. */
  readonly level: FigurePerResource;
  /** Whether it takes part in moves for balance; a broker that does not stands at the mean, so that it neither pulls nor pushes. */
  readonly isKnown: boolean;
}

export interface LoadPicture {
  /** Live brokers, the resources that are planned, and the topics that exactly one of these brokers has. */
  readonly input: PlannerInput;
  /** Per topic of the input its number in the metadata. */
  readonly topicNumbers: Int32Array;
  /** Per topic: 1 = its messages must survive a move. */
  readonly reliable: Uint8Array;
  /** Per topic: producers and consumers; where they are unknown 1, so that clients that nobody knows of are not cut off. */
  readonly connections: Float64Array;
  /** Per topic, as of the look: seconds since it was created, and since it last moved; infinite where that was before the first look. */
  readonly ageSeconds: Float64Array;
  readonly movedSecondsAgo: Float64Array;
  readonly unplanned: readonly Unplanned[];
  readonly brokers: readonly BrokerLoadFigures[];
}

export function takePicture(look: Look, options: PictureOptions = {}): LoadPicture {
  const { topics = true, resources = loadResources, draining = new Set(), whyImmovable = () => undefined } = options;
  const rows = brokerRows(look, draining);
  const judged = resources.map((resource) => planResource(resource, rows));
  const planned = judged.filter((it) => 'capacity' in it);
  const isKnown = rows.map(({ usage }) => planned.every(({ resource }) => !Number.isNaN(usage[resource])));
  const table = topics ? topicRows({ look, rows, planned, isKnown, whyImmovable }) : lumps(rows, planned);

  const background = totalsOf(rows, planned, isKnown);
  const width = planned.length;
  for (let topic = 0; topic < table.owner.length; topic++) {
    const row = (table.owner[topic] as number) * width;
    for (let resource = 0; resource < width; resource++) {
      background[row + resource] =
        (background[row + resource] as number) - (table.loads[topic * width + resource] as number);
    }
  }
  const input: PlannerInput = {
    resources: planned.map(({ resource }) => resource),
    brokers: rows.map(({ facts }) => facts.id),
    topics: Array.from(table.numbers, look.state.columns.numbers.nameOf),
    capacity: Float64Array.from(rows.flatMap((_, row) => planned.map(({ capacity }) => capacity[row] as number))),
    unlimited: [...planned.keys()].filter((resource) => planned[resource]?.isLimited === false),
    loads: table.loads,
    owner: table.owner,
    // Sums of many small numbers leave a little less than nothing.
    background: background.map((rest) => Math.max(0, rest)),
    roles: Uint8Array.from(rows, (row, index) => roleWith(row, isKnown[index] === true)),
    ...(table.reasons.length > 0 && { immovable: { of: table.immovable, reasons: table.reasons } }),
  };
  return {
    input,
    topicNumbers: table.numbers,
    reliable: table.reliable,
    connections: table.connections,
    ageSeconds: table.ageSeconds,
    movedSecondsAgo: table.movedSecondsAgo,
    unplanned: judged.filter((it) => 'reason' in it),
    brokers: describeBrokers(rows, input, isKnown),
  };
}

/** A broker of which not all is known gets nothing. It may still have to become empty. */
function roleWith(row: BrokerRow, isKnown: boolean): number {
  return isKnown || row.isDraining ? roleOf(row) : BrokerRole.Closed;
}

/** rows × planned resources: what each has, or, where that is not known, what it would have at the mean. */
function totalsOf(
  rows: readonly BrokerRow[],
  planned: readonly PlannedResource[],
  isKnown: readonly boolean[],
): Float64Array {
  return Float64Array.from(
    rows.flatMap((row, index) =>
      planned.map(({ resource, capacity, mean }) => {
        if (isKnown[index]) return row.usage[resource];
        return row.isDraining ? row.explained[resource] : mean * (capacity[index] as number);
      }),
    ),
  );
}

function describeBrokers(
  rows: readonly BrokerRow[],
  input: PlannerInput,
  isKnown: readonly boolean[],
): readonly BrokerLoadFigures[] {
  const loads = brokerLoads(input);
  const means = meanUtilisation(input, loads);
  const width = input.resources.length;
  return rows.map((row, index) => {
    const levelOf = (resource: LoadResource) => {
      const at = input.resources.indexOf(resource);
      if (at === -1 || !isKnown[index]) return null;
      return (
        (loads[index * width + at] as number) / ((means[at] as number) * (input.capacity[index * width + at] as number))
      );
    };
    return {
      broker: row.facts.id,
      measuredTopics: row.measuredTopics,
      usage: perResource((resource) => row.usage[resource]),
      capacity: perResource((resource) => limitOf(resource, row)),
      level: perResource(levelOf),
      isKnown: isKnown[index] === true,
    };
  });
}

function perResource(of: (resource: LoadResource) => number | null): FigurePerResource {
  const known = (figure: number | null) => (Number.isNaN(figure) ? null : figure);
  return Object.fromEntries(loadResources.map((resource) => [resource, known(of(resource))])) as Record<
    LoadResource,
    number | null
  >;
}
