import { bounds, type TopicsReport } from '../../api/agent-report.ts';
import { isProblem, type Problem } from '../../api/problem.ts';
import type { FetchExposition } from './fetch-exposition.ts';
import { createLineReader } from './line-reader.ts';
import { createTopicListing, type Selection, type TopicListing } from './listing.ts';
import { createSeriesReader } from './series.ts';
import { createTopicTable, type TopicTable } from './topic-table.ts';

/** The broker's cumulative CPU. Two of one series make a rate. */
export interface CpuCounter {
  readonly series: string;
  readonly seconds: number;
  /** Monotonic. */
  readonly atMilliseconds: number;
}

export interface TopicSamplerOptions {
  readonly fetchExposition: FetchExposition;
  readonly clock: { readonly wallMilliseconds: () => number; readonly monotonicMilliseconds: () => number };
  /** The broker's CPU as measured last; null when it is unknown. */
  readonly readCpu: () => CpuCounter | null;
  /** Distinguishes this run of the agent from others of the same Pod. */
  readonly agentStartedAt: number;
}

export type TopicsOutcome = Pick<
  { topics: TopicsReport; topicsReason: null } | { topics: null; topicsReason: string },
  'topics' | 'topicsReason'
>;

export interface TopicSampler {
  /** Reads the broker's exposition once. While one reading goes on, asking for another gives the same. */
  readonly sample: () => Promise<void>;
  /** What the last reading said of these topics, or why there is nothing. */
  readonly report: (selection: Selection) => TopicsOutcome;
  /** Counts the readings, failed ones too: while it stands still, so does every report. */
  readonly readings: () => number;
  /** Lines of the last reading that were wanted and left out: too long, broken, or of more topics than there is room for. */
  readonly skippedLines: () => number;
}

/** Names may have 1,024 bytes; other labels come on top. */
const maxLineBytes = 8_192;
/** Series of topics that have moved away stay until the broker restarts: more of them than a broker may serve. */
const maxTopics = 65_536;

/** What belongs to one process of the broker. */
interface Run {
  /** Null until its first reading is complete. */
  readonly broker: string | null;
  readonly table: TopicTable;
  readonly listing: TopicListing;
}

/** Reads per topic figures from the broker's Prometheus endpoint. Nothing of the text is held in memory. */
export function createTopicSampler(options: TopicSamplerOptions): TopicSampler {
  const { agentStartedAt } = options;
  let runs = 0;
  let run = startRun();
  let lastCpu: CpuCounter | null = null;
  let reason: string | null = "the broker's metrics have not been read yet";
  let readings = 0;
  let skippedLines = 0;
  let underway: Promise<void> | null = null;

  function startRun(): Run {
    runs += 1;
    const table = createTopicTable({ maxTopics });
    return { broker: null, table, listing: createTopicListing({ table, cursorPrefix: `${agentStartedAt}.${runs}` }) };
  }

  /** @returns a problem, or null when the reading was finished. */
  async function read(): Promise<Problem | null> {
    const body = await readExposition(options, run.table);
    if (isProblem(body)) return body;
    const { atMilliseconds, observedAt, cpu, owned } = body;
    if (run.broker !== null && run.broker !== body.broker) {
      // Another process counts from 0, and none of the topics of the last one need be here. The next reading begins anew.
      const { broker } = run;
      run = startRun();
      lastCpu = null;
      return { problem: `the broker restarted: it was ${broker} and is ${body.broker}` };
    }
    run = { ...run, broker: body.broker };
    skippedLines = body.skippedLines;
    if (run.table.isFull() && run.table.refused() > 0) return tooManyTopics;
    run.table.finish({ atMilliseconds, cores: coresBetween(lastCpu, cpu) });
    run.listing.update({ observedAt, owned });
    lastCpu = cpu;
    return null;
  }

  async function sample(): Promise<void> {
    const outcome = await read();
    reason = outcome && `the broker's metrics are not known: ${outcome.problem}`.slice(0, bounds.reasonCharacters);
    readings += 1;
  }

  return {
    sample() {
      underway ??= sample().finally(() => {
        underway = null;
      });
      return underway;
    },
    report: (selection) =>
      reason === null
        ? { topics: run.listing.report(selection), topicsReason: null }
        : { topics: null, topicsReason: reason },
    readings: () => readings,
    skippedLines: () => skippedLines,
  };
}

/** Those left out may be the busiest, and what is said of the others would look like all. */
const tooManyTopics: Problem = {
  problem: `they are of more than ${maxTopics} topics, those that have moved away included: restart the broker to be rid of these`,
};

interface Exposition {
  /** The id of the broker's process, which every series carries; empty when it does not. */
  readonly broker: string;
  /** The topics that it serves. */
  readonly owned: number;
  readonly skippedLines: number;
  /** When its figures were taken, monotonic and by the wall, and the broker's CPU then. */
  readonly atMilliseconds: number;
  readonly observedAt: number;
  readonly cpu: CpuCounter | null;
}

async function readExposition(
  { fetchExposition, clock, readCpu }: TopicSamplerOptions,
  table: TopicTable,
): Promise<Exposition | Problem> {
  let taken: Pick<Exposition, 'atMilliseconds' | 'observedAt' | 'cpu'> | null = null as typeof taken;
  let served: { readonly broker: string; readonly owned: number } | null = null as typeof served;
  const series = createSeriesReader({
    onTopicFigure: table.add,
    onTopicsOwned: (owned, broker) => {
      served = { owned, broker };
    },
  });
  const lines = createLineReader({ maxLineBytes, onLine: series.readLine });
  table.begin();
  const problem = await fetchExposition((chunk) => {
    // The broker takes its figures when it gets to answering, which may be long after it was asked.
    taken ??= {
      atMilliseconds: clock.monotonicMilliseconds(),
      observedAt: clock.wallMilliseconds(),
      cpu: readCpu(),
    };
    lines.push(chunk);
    return 'more';
  });
  if (problem !== null) return problem;
  if (served === null || taken === null) {
    return { problem: 'there is no danube_broker_topics_owned: is this the endpoint of a broker?' };
  }
  return { ...served, ...taken, skippedLines: lines.skipped() + series.unreadable() + table.refused() };
}

function coresBetween(earlier: CpuCounter | null, later: CpuCounter | null): number | null {
  if (earlier === null || later === null || earlier.series !== later.series) return null;
  const seconds = (later.atMilliseconds - earlier.atMilliseconds) / 1000;
  const used = later.seconds - earlier.seconds;
  return seconds > 0 && used >= 0 ? used / seconds : null;
}
