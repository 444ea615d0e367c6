/**
 * What is known of the load of each topic, averaged over time, by the topics' numbers. A topic keeps its figures when it moves to
 * another broker: they say what its clients do. NaN is unknown.
 */
import type { TopicNumbers } from '../snapshot.ts';

export interface TopicFigures {
  /** Per second, from producers. */
  readonly messagesIn: number;
  readonly bytesIn: number;
  /** Bytes per second to consumers. */
  readonly bytesOut: number;
  readonly connections: number;
  /** Messages not yet consumed. */
  readonly backlog: number;
  /** Cores, as the agent attributes them. */
  readonly cpu: number;
}

const FIGURES = ['messagesIn', 'bytesIn', 'bytesOut', 'connections', 'backlog', 'cpu'] as const;

type Columns = { readonly [name in keyof TopicFigures]: Float32Array };

export interface TopicColumns extends Columns {
  /** Slot of the broker that has the topic alone, `NOBODY`, or `UNSEEN` for a topic that is new here. */
  readonly owner: Int32Array;
  /** When it was first seen, and when it last came from one broker to another: epoch seconds; 0 = before anybody looked. */
  readonly appearedAt: Uint32Array;
  readonly movedAt: Uint32Array;
  /** Which pass last brought figures of the topic. */
  readonly pass: Int32Array;
  readonly numbers: TopicNumbers;
}

export const NOBODY = -1;
export const UNSEEN = -2;

/** Room for the topics of `numbers`, with what was known before: by number while the table is the same, else by name. */
export function columnsFor(numbers: TopicNumbers, before: TopicColumns | undefined): TopicColumns {
  if (before?.numbers.table === numbers.table && before.owner.length >= numbers.size) return { ...before, numbers };
  // Some more than needed, so that new topics do not mean new columns each time.
  const room = Math.ceil(numbers.size * 1.1) + 64;
  const columns: TopicColumns = {
    numbers,
    owner: new Int32Array(room).fill(UNSEEN),
    appearedAt: new Uint32Array(room),
    movedAt: new Uint32Array(room),
    pass: new Int32Array(room),
    messagesIn: unknown(room),
    bytesIn: unknown(room),
    bytesOut: unknown(room),
    connections: unknown(room),
    backlog: unknown(room),
    cpu: unknown(room),
  };
  if (before === undefined) return columns;
  const same = before.numbers.table === numbers.table;
  for (let number = 0; number < numbers.size; number++) {
    const old = same ? number : before.numbers.numberOf(numbers.nameOf(number));
    if (old === undefined || old >= before.owner.length) continue;
    columns.owner[number] = before.owner[old] as number;
    columns.appearedAt[number] = before.appearedAt[old] as number;
    columns.movedAt[number] = before.movedAt[old] as number;
    columns.pass[number] = before.pass[old] as number;
    for (const name of FIGURES) columns[name][number] = before[name][old] as number;
  }
  return columns;
}

/** `weight` is what the new figures count, 0 to 1; the first of a kind count in full, and unknown ones change nothing. */
export function average(columns: TopicColumns, number: number, figures: TopicFigures, weight: number): void {
  for (const name of FIGURES) {
    const figure = figures[name];
    if (Number.isNaN(figure)) continue;
    const before = columns[name][number] as number;
    columns[name][number] = Number.isNaN(before) ? figure : before + weight * (figure - before);
  }
}

function unknown(room: number): Float32Array {
  return new Float32Array(room).fill(Number.NaN);
}
