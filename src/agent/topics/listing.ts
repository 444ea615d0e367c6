import { gzipSync } from 'node:zlib';
import { type TopicEntry, type TopicsReport, topicColumns } from '../../api/agent-report.ts';
import type { TopicTable } from './topic-table.ts';

/** What of the topics is asked for: all above the threshold, those changed since a cursor, or one by its name. */
export type Selection =
  | { readonly kind: 'all' }
  | { readonly kind: 'since'; readonly cursor: string }
  | { readonly kind: 'topic'; readonly topic: string };

export interface TopicListing {
  /** Chooses anew which topics are listed, after a reading was finished. `owned`: topics served, by the broker's gauge. */
  readonly update: (reading: { readonly observedAt: number; readonly owned: number }) => void;
  /** @throws when nothing was read yet. */
  readonly report: (selection: Selection) => TopicsReport;
}

export interface ListingOptions {
  readonly table: TopicTable;
  /** What the cursors of this listing begin with; no other listing may have had it. */
  readonly cursorPrefix: string;
}

/**
 * What the list of all topics may take after gzip, in bytes: 9 kB up to 1,000 topics, growing to 60 kB for 20,000, so
 * that the whole report stays below 10 and 64 kB.
 */
const budget = { leastTopics: 1_000, leastBytes: 9_000, mostTopics: 20_000, mostBytes: 60_000 } as const;
/**
 * What the list may take as it is, and the names of topics that have gone since a cursor: long names compress so well that
 * the first budget alone would let a report grow beyond what the operator takes (bounds.reportCharacters).
 */
const plainBytes = { list: 512 * 1_024, gone: 256 * 1_024 } as const;
/** What an entry takes after gzip, in bytes, before it was measured: no less than it can. */
const leastEntryBytes = 16;

/** A listed topic stays until others weigh this much more, so that those near the threshold do not come and go. */
const incumbency = 1.5;

/**
 * A figure is told again to those who ask for changes when it has moved by a tenth, and by more than a thousandth of
 * what all topics have together. Connections are told again also when the first comes or the last goes.
 */
const band = { ofFigure: 0.1, ofTotal: 0.001 } as const;
const rateColumns = topicColumns.indexOf('producers');
const lagColumn = topicColumns.indexOf('lag');
const connectionColumns: readonly number[] = [topicColumns.indexOf('producers'), topicColumns.indexOf('consumers')];

/**
 * Chooses the topics that a report lists, and remembers for cursors what has changed. A topic is listed for its largest
 * share among the broker's messages and bytes, in and out: as many of the largest as the budget allows. All others are
 * summed.
 */
export function createTopicListing({ table, cursorPrefix }: ListingOptions): TopicListing {
  let reading = 0;
  let observedAt = 0;
  let total = 0;
  /** Whether the last reading left nothing out. */
  let isWhole = true;
  /** What an entry takes, as measured: how many of them are tried. */
  let entryBytes: number = leastEntryBytes;
  /** The listed topics by number, in the order of their names, and the entries that tell of them. */
  let listed: readonly number[] = [];
  let entries: readonly TopicEntry[] = [];
  let isListed = new Uint8Array(0);
  /** The reading in which the topic was told last to those who ask for changes, and what was told. */
  let toldIn = new Int32Array(0);
  let told: Float32Array[] = [];
  /** The reading in which it was last taken off the list; 0 is never. */
  let takenOffIn = new Int32Array(0);

  function makeRoom(): void {
    const length = table.figures()[0]?.length ?? 0;
    if (length === isListed.length) return;
    isListed = copied(new Uint8Array(length), isListed);
    toldIn = copied(new Int32Array(length), toldIn);
    takenOffIn = copied(new Int32Array(length), takenOffIn);
    told = topicColumns.map((_, column) => copied(new Float32Array(length), told[column] ?? new Float32Array(0)));
  }

  /** The topic's largest share of the rates, the incumbents' raised; 0 for those that are not to be listed. */
  function weigh(sums: readonly number[]): Float64Array {
    const weights = new Float64Array(table.size());
    for (let column = 0; column < rateColumns; column += 1) {
      const figures = table.figures()[column];
      const sum = sums[column] ?? 0;
      if (figures === undefined || !(sum > 0)) continue;
      for (let topic = 0; topic < weights.length; topic += 1) {
        const share = (figures[topic] ?? 0) / sum;
        if (share > (weights[topic] ?? 0)) weights[topic] = share;
      }
    }
    for (const topic of listed) weights[topic] = (weights[topic] ?? 0) * incumbency;
    return weights;
  }

  /** The numbers of the `count` heaviest, ascending; of equal ones the first. */
  function heaviest(weights: Float64Array, count: number): number[] {
    if (count <= 0) return [];
    const sorted = weights.slice().sort();
    const threshold = sorted[Math.max(0, sorted.length - count)] ?? 0;
    let ties = count - weights.reduce((above, weight) => above + (weight > threshold ? 1 : 0), 0);
    const chosen: number[] = [];
    for (const [topic, weight] of weights.entries()) {
      if (weight === 0 || weight < threshold) continue;
      if (weight === threshold) ties -= 1;
      if (weight > threshold || ties >= 0) chosen.push(topic);
    }
    return chosen;
  }

  function entryOf(topic: number): TopicEntry {
    return [table.name(topic), ...table.figures().map((column) => rounded(column[topic] ?? Number.NaN))];
  }

  /** As many of the heaviest as the budget allows. */
  function choose(weights: Float64Array): { topic: number; entry: TopicEntry }[] {
    const bytes = budgetFor(total);
    for (;;) {
      const count = Math.floor(bytes / entryBytes);
      const chosen = heaviest(weights, count).map((topic) => ({ topic, entry: entryOf(topic) }));
      const json = Buffer.from(JSON.stringify(chosen.map(({ entry }) => entry)));
      const filled = Math.max(gzipSync(json).length / bytes, json.length / plainBytes.list);
      if (filled > 1) {
        entryBytes = ((filled * bytes) / chosen.length) * 1.05;
        continue;
      }
      // Only where much is left, so that the list keeps its length while its figures change.
      if (chosen.length === count && filled < 0.7) entryBytes = Math.max(leastEntryBytes, entryBytes * 0.9);
      return chosen.sort((a, b) => (a.entry[0] < b.entry[0] ? -1 : 1));
    }
  }

  function hasMoved(topic: number, column: number, sum: number): boolean {
    const before = told[column]?.[topic] ?? Number.NaN;
    const now = table.figures()[column]?.[topic] ?? Number.NaN;
    if (Number.isNaN(before) || Number.isNaN(now)) return Number.isNaN(before) !== Number.isNaN(now);
    if (connectionColumns.includes(column) && (before === 0) !== (now === 0)) return true;
    return Math.abs(now - before) > Math.max(before * band.ofFigure, sum * band.ofTotal);
  }

  function tell(topic: number, sums: readonly number[]): void {
    if (isListed[topic] === 1 && !sums.some((sum, column) => hasMoved(topic, column, sum))) return;
    toldIn[topic] = reading;
    for (const [column, figures] of told.entries()) figures[topic] = table.figures()[column]?.[topic] ?? Number.NaN;
  }

  /** The topics' sums, all or those not listed. NaN where one of them is unknown and `strict`. */
  function sum(column: Float32Array, { strict, all }: { strict: boolean; all: boolean }): number {
    let result = 0;
    for (let topic = 0; topic < table.size(); topic += 1) {
      const figure = column[topic] ?? Number.NaN;
      if ((strict || !Number.isNaN(figure)) && (all || isListed[topic] === 0)) result += figure;
    }
    return result;
  }

  /** Whether the topic has traffic or connections, so that it is served for sure. */
  function isEvident(topic: number): boolean {
    for (let column = 0; column < lagColumn; column += 1) {
      if ((table.figures()[column]?.[topic] ?? 0) > 0) return true;
    }
    return false;
  }

  function countEvident(): number {
    let evident = 0;
    for (let topic = 0; topic < table.size(); topic += 1) if (isEvident(topic)) evident += 1;
    return evident;
  }

  function rest(named: number): TopicsReport['rest'] {
    const isRest = named !== -1 && isListed[named] === 0;
    const figures = table.figures().map((column) => {
      const rest = sum(column, { strict: true, all: false }) - (isRest ? (column[named] ?? Number.NaN) : 0);
      return isWhole ? rounded(Math.max(0, rest)) : null;
    });
    return { topics: Math.max(0, total - listed.length - (isRest ? 1 : 0)), figures };
  }

  /** Null for a cursor that is not of this listing. */
  function changesSince(cursor: string): Pick<TopicsReport, 'complete' | 'entries' | 'gone'> | null {
    const since = cursor.startsWith(`${cursorPrefix}.`) ? Number(cursor.slice(cursorPrefix.length + 1)) : Number.NaN;
    if (!(Number.isSafeInteger(since) && since >= 1 && since <= reading)) return null;
    const gone: string[] = [];
    for (let topic = 0; topic < table.size(); topic += 1) {
      if (isListed[topic] === 0 && (takenOffIn[topic] ?? 0) > since) gone.push(table.name(topic));
    }
    // After a long while all is less than what has gone meanwhile.
    if (gone.length > listed.length || Buffer.byteLength(JSON.stringify(gone)) > plainBytes.gone) return null;
    const changed = entries.filter((_, index) => (toldIn[listed[index] ?? -1] ?? 0) > since);
    return { complete: false, entries: changed, gone: gone.sort((a, b) => (a < b ? -1 : 1)) };
  }

  function select(selection: Selection): Pick<TopicsReport, 'complete' | 'entries' | 'gone'> {
    if (selection.kind === 'topic') {
      const topic = table.find(selection.topic);
      return { complete: false, entries: topic !== -1 && isEvident(topic) ? [entryOf(topic)] : [] };
    }
    const changes = selection.kind === 'since' ? changesSince(selection.cursor) : null;
    return changes ?? { complete: true, entries };
  }

  return {
    update(now) {
      reading += 1;
      observedAt = now.observedAt;
      isWhole = table.refused() === 0;
      makeRoom();
      // The gauge is read at another moment than the rest, and has been seen to be wrong (contract 5.1).
      total = Math.max(now.owned, countEvident());
      const sums = table.figures().map((column) => sum(column, { strict: false, all: true }));
      const chosen = choose(weigh(sums));
      for (const { topic } of chosen) tell(topic, sums);
      const before = listed;
      for (const topic of before) isListed[topic] = 0;
      for (const { topic } of chosen) isListed[topic] = 1;
      for (const topic of before) if (isListed[topic] === 0) takenOffIn[topic] = reading;
      listed = chosen.map(({ topic }) => topic);
      entries = chosen.map(({ entry }) => entry);
    },
    report(selection) {
      if (reading === 0) throw new Error('no reading was finished yet: ask update first');
      const named = selection.kind === 'topic' ? table.find(selection.topic) : -1;
      return {
        observedAt,
        cursor: `${cursorPrefix}.${reading}`,
        total,
        columns: topicColumns,
        rest: rest(named !== -1 && isEvident(named) ? named : -1),
        ...select(selection),
      };
    },
  };
}

/** In bytes after gzip. */
function budgetFor(topics: number): number {
  const { leastTopics, leastBytes, mostTopics, mostBytes } = budget;
  const share = (Math.min(Math.max(topics, leastTopics), mostTopics) - leastTopics) / (mostTopics - leastTopics);
  return leastBytes + share * (mostBytes - leastBytes);
}

/** To three significant digits; null for what is unknown. */
function rounded(figure: number): number | null {
  return Number.isFinite(figure) ? Number(figure.toPrecision(3)) : null;
}

function copied<T extends Float32Array | Int32Array | Uint8Array>(to: T, from: T): T {
  to.set(from);
  return to;
}
