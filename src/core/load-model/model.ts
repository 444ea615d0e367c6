/**
 * What each broker and each topic cost, averaged over time and always as of now: a move counts at once, in what is remembered of both
 * brokers, and samples from before it are not used against either. So nobody sheds twice for what one move has already cured.
 *
 * Pure: it knows no clock and does nothing but remember what it was shown.
 */
import { type TopicsReport, topicColumns } from '../../api/agent-report.ts';
import { most } from '../agent-judgement.ts';
import type { BrokerFacts } from '../brokers.ts';
import type { ClusterMetadata, ReportedTopics } from '../snapshot.ts';
import { type Attribution, attribute, topicLoad } from './attribution.ts';
import type { Look } from './broker-rows.ts';
import { type LoadPicture, type PictureOptions, takePicture } from './picture.ts';
import { type MeasuredResource, measuredResources } from './resources.ts';
import { type BrokerState, newBroker } from './state.ts';
import { average, columnsFor, NOBODY, type TopicColumns, type TopicFigures, UNSEEN } from './topic-columns.ts';

/** The part of an agent's report that is not about topics. Null is unknown, and no limit. */
export interface LoadSample {
  readonly intervalSeconds: number;
  readonly cpu: { readonly cores: number | null; readonly limitCores: number | null };
  readonly memory: { readonly workingSetBytes: number | null; readonly limitBytes: number | null };
  readonly disk: { readonly readBytesPerSecond: number | null; readonly writeBytesPerSecond: number | null };
  readonly network: { readonly receivedBytesPerSecond: number | null; readonly sentBytesPerSecond: number | null };
  readonly node: { readonly cores: number | null; readonly memoryBytes: number | null };
}

export interface Reading {
  readonly sample: LoadSample;
  /** When this sample first came, by the operator's clock. */
  readonly seenAt: number;
  /** Or why it is not to be believed. */
  readonly usable: true | string;
}

export interface Observation {
  /** Epoch ms by a clock that never goes back. */
  readonly now: number;
  readonly metadata: Pick<ClusterMetadata, 'registrations' | 'reports' | 'topicNumbers'>;
  readonly brokers: ReadonlyMap<string, BrokerFacts>;
  /** Of the agents, by Pod uid. */
  readonly readings: ReadonlyMap<string, Reading>;
}

export interface TopicsReading {
  readonly podUID: string;
  readonly report: Pick<TopicsReport, 'complete' | 'entries' | 'rest'>;
  /** When it came, by the operator's clock. */
  readonly seenAt: number;
}

export interface LoadModel {
  /** Looks at the cluster. Every few seconds is enough; the same look twice changes nothing. */
  observe(observation: Observation): void;
  /** Takes in what a report says of topics, if the agent was believed at the last look. Those that it did not know are left out. */
  noteTopics(reading: TopicsReading): void;
  /** As of the last look. */
  picture(options?: PictureOptions): LoadPicture;
}

export interface LoadModelOptions {
  /** What is older than this many seconds counts 1/e. Default 60. */
  readonly averageSeconds?: number;
  /** A broker whose last usable figures are older is unknown. Default 180. */
  readonly staleAfterSeconds?: number;
}

export function createLoadModel({ averageSeconds = 60, staleAfterSeconds = 180 }: LoadModelOptions = {}): LoadModel {
  const brokers: (BrokerState | undefined)[] = [];
  const slotOf = new Map<string, number>();
  let slotOfPod: ReadonlyMap<string, number> = new Map();
  let columns: TopicColumns | undefined;
  let attribution: Attribution | undefined;
  let last: Observation | undefined;
  let passes = 0;

  /** What figures that cover `sinceMs` count against all that was before. */
  function weightOf(sinceMs: number): number {
    return 1 - Math.exp(-Math.max(0, sinceMs) / (averageSeconds * 1000));
  }

  function admit(observation: Observation): void {
    for (const id of observation.brokers.keys()) {
      if (slotOf.has(id)) continue;
      // What its Pod's agent saw until now may be of the process before it.
      const state = newBroker(id, last === undefined ? Number.NEGATIVE_INFINITY : observation.now);
      const free = brokers.indexOf(undefined);
      const slot = free === -1 ? brokers.length : free;
      brokers[slot] = state;
      slotOf.set(id, slot);
    }
  }

  /** Brokers that are gone own nothing: those that do are always among the brokers of an observation. */
  function dismiss(observation: Observation): void {
    for (const [id, slot] of slotOf) {
      if (observation.brokers.has(id)) continue;
      slotOf.delete(id);
      brokers[slot] = undefined;
    }
  }

  /** The broker that runs in a Pod now: those that ran there before are dead, and may still own topics. */
  function podSlots({ brokers: facts }: Observation): ReadonlyMap<string, number> {
    return new Map(
      [...facts.values()].flatMap(({ id, pod, liveness }): readonly (readonly [string, number])[] => {
        const slot = slotOf.get(id);
        return pod === undefined || slot === undefined || liveness.state !== 'Live' ? [] : [[pod.uid, slot]];
      }),
    );
  }

  function followMoves(current: TopicColumns, now: number): void {
    const { numbers, owner } = current;
    const slots = Int32Array.from(numbers.brokers, (id) => slotOf.get(id) ?? NOBODY);
    for (let number = 0; number < numbers.size; number++) {
      const index = numbers.ownerOf(number);
      const slot = index < 0 ? NOBODY : (slots[index] as number);
      const before = owner[number] as number;
      if (slot === before || (slot < 0 && before < UNSEEN)) continue;
      // On its way from one broker to another a topic has none for a while: remember where it came from.
      owner[number] = slot === NOBODY && before >= 0 ? leftFrom(before) : slot;
      const from = before <= LEFT ? leftFrom(before) : before;
      // Of what was there at the first look nobody knows since when.
      if (before === UNSEEN && last !== undefined) current.appearedAt[number] = now / 1000;
      if (from >= 0 && slot >= 0 && slot !== from) current.movedAt[number] = now / 1000;
      if (from >= 0) shift(current, { number, from, left: before >= 0, to: slot, now });
    }
  }

  interface Shift {
    readonly number: number;
    readonly from: number;
    /** Whether it only now left it. */
    readonly left: boolean;
    readonly to: number;
    readonly now: number;
  }

  /** Takes what the topic costs from one broker and gives it to the other. */
  function shift(current: TopicColumns, { number, from, left, to, now }: Shift): void {
    if (attribution === undefined) return;
    const source = left ? brokers[from] : undefined;
    const target = to >= 0 ? brokers[to] : undefined;
    const shares = { source: 0, target: 0 };
    for (const resource of measuredResources) {
      const load = topicLoad(attribution, current, resource, number, from);
      if (!(load > 0)) continue;
      if (source) {
        shares.source = Math.max(shares.source, shareOf(load, source, resource));
        source.measured[resource] = Math.max(0, source.measured[resource] - load);
      }
      if (target) {
        target.measured[resource] += load;
        shares.target = Math.max(shares.target, shareOf(load, target, resource));
      }
    }
    if (source) noteChange(source, shares.source, now);
    if (target) noteChange(target, shares.target, now);
  }

  /** Where small topics come and go all the time, samples must go on to count: what they hide adds up to little. */
  function noteChange(state: BrokerState, share: number, now: number): void {
    state.changedShare += share;
    if (state.changedShare > HIDDEN_SHARE) state.movedAt = now;
  }

  function takeSample(state: BrokerState, reading: Reading | undefined): void {
    state.problem = reading === undefined ? 'no agent has reported' : undefined;
    if (reading === undefined) return;
    if (reading.usable !== true) {
      state.problem = reading.usable;
      return;
    }
    const { sample, seenAt } = reading;
    state.cpuCapacity = sample.cpu.limitCores ?? sample.node.cores ?? Number.NaN;
    state.memoryCapacity = sample.memory.limitBytes ?? sample.node.memoryBytes ?? Number.NaN;
    // Looked at again it has no weight: no time has passed since it. It was up to one interval old when it came, and covers the interval before that.
    if (seenAt - 2 * sample.intervalSeconds * 1000 < state.movedAt) return;
    const weight = weightOf(seenAt - state.sampledAt);
    const figures = measuredBy(sample);
    for (const resource of measuredResources) {
      const figure = figures[resource];
      const before = state.measured[resource];
      state.measured[resource] = Number.isNaN(before) ? figure : before + weight * (figure - before);
    }
    state.sampledAt = seenAt;
    state.changedShare = 0;
  }

  function takeReport(current: TopicColumns, slot: number, { now, metadata }: Observation): void {
    const state = brokers[slot];
    const report = state && metadata.reports.get(state.id);
    if (state === undefined || report?.timestamp === undefined || report.modRevision === state.reportRevision) return;
    const isFirst = state.reportRevision === 0;
    const weight = weightOf(now - state.reportedAt);
    state.reportRevision = report.modRevision;
    state.reportedAt = now;
    const rows = [...report.topics.topic.entries()].filter(
      ([, number]) => number < current.numbers.size && current.owner[number] === slot,
    );
    // The agent's figures are of the same counters, and there are more of them; but it must not silence its broker by leaving topics out.
    const isTold = now - state.topicsAt <= staleAfterSeconds * 1000;
    const untold = isTold ? rows.filter(([, number]) => current.pass[number] !== state.topicsPass) : rows;
    if (isTold && untold.length < LEFT_OUT_SHARE * rows.length) return;
    // The first report of a process has rates of 0, whatever the traffic (contract 4.1).
    const hasRates = !isFirst || report.bytesPerSecond > 0 || report.messagesPerSecond > 0;
    for (const [row, number] of untold) average(current, number, reportedFigures(report.topics, row, hasRates), weight);
  }

  /** Topics below the agent's threshold count what they do on average, and are told by that. */
  function spreadRests(current: TopicColumns): void {
    if (!brokers.some((state) => state?.rest !== undefined)) return;
    for (let number = 0; number < current.numbers.size; number++) {
      const state = brokers[current.owner[number] as number];
      if (state?.rest === undefined || current.pass[number] === state.topicsPass) continue;
      average(current, number, state.rest.figures, state.rest.weight);
      current.pass[number] = state.topicsPass;
    }
    for (const state of brokers) if (state) state.rest = undefined;
  }

  function lastLook(): Look {
    if (columns === undefined || attribution === undefined || last === undefined) {
      throw new Error('the load model has not looked at the cluster yet: call observe first');
    }
    const state = { brokers, slotOf, columns };
    return { state, attribution, observation: last, staleAfterMs: staleAfterSeconds * 1000 };
  }

  return {
    observe(observation) {
      const { now, metadata } = observation;
      columns = columnsFor(metadata.topicNumbers, columns);
      admit(observation);
      followMoves(columns, now);
      dismiss(observation);
      slotOfPod = podSlots(observation);
      spreadRests(columns);
      for (const [id, facts] of observation.brokers) {
        const slot = slotOf.get(id);
        const state = slot === undefined ? undefined : brokers[slot];
        if (state === undefined || slot === undefined) continue;
        takeSample(state, facts.pod && observation.readings.get(facts.pod.uid));
        takeReport(columns, slot, observation);
      }
      attribution = attribute({ brokers, slotOf, columns });
      last = observation;
    },

    noteTopics({ podUID, report, seenAt }) {
      const slot = slotOfPod.get(podUID);
      const state = slot === undefined ? undefined : brokers[slot];
      if (columns === undefined || state === undefined || state.problem !== undefined) return;
      const weight = weightOf(seenAt - state.topicsAt);
      state.topicsAt = seenAt;
      state.topicsPass = ++passes;
      let untold = attribution?.sums.topics[slot as number] ?? 0;
      for (const [topic, ...figures] of report.entries) {
        const number = columns.numbers.numberOf(topic);
        if (number === undefined || columns.owner[number] !== slot) continue;
        untold -= 1;
        columns.pass[number] = passes;
        average(columns, number, agentFigures(figures, 1), weight);
      }
      const { rest } = report;
      // What a few do on average says nothing of the many that were left out.
      const hasRest = report.complete && rest.topics > 0 && rest.topics >= LEFT_OUT_SHARE * untold;
      state.rest = hasRest ? { figures: agentFigures(rest.figures, rest.topics), weight } : undefined;
    },

    picture: (options) => takePicture(lastLook(), options),
  };
}

/** Samples count although topics with this share of a broker's load have come or gone since they began. */
const HIDDEN_SHARE = 0.01;

/** Of a broker without any sample all of it, since its first one must not be from before the move; of what its agent cannot tell, nothing. */
function shareOf(load: number, { measured, sampledAt }: BrokerState, resource: MeasuredResource): number {
  if (Number.isNaN(measured[resource])) return Number.isFinite(sampledAt) ? 0 : 1;
  return load / measured[resource];
}

/** An agent that leaves out this share of its broker's topics leaves them to the broker's own reports. */
const LEFT_OUT_SHARE = 0.5;

/** Of a topic without an owner: the slot that it left, and back. */
const LEFT = -3;
function leftFrom(slot: number): number {
  return LEFT - slot;
}

function measuredBy({ cpu, memory, network, disk }: LoadSample): Record<MeasuredResource, number> {
  const { readBytesPerSecond, writeBytesPerSecond } = disk;
  return {
    cpu: cpu.cores ?? Number.NaN,
    memory: memory.workingSetBytes ?? Number.NaN,
    networkIn: network.receivedBytesPerSecond ?? Number.NaN,
    networkOut: network.sentBytesPerSecond ?? Number.NaN,
    diskIO:
      readBytesPerSecond === null || writeBytesPerSecond === null
        ? Number.NaN
        : readBytesPerSecond + writeBytesPerSecond,
  };
}

/** Brokers report no traffic out: what came in, once for each consumer. Their backlog is always 0, that is, unknown (contract 4.1). */
function reportedFigures(topics: ReportedTopics, row: number, hasRates: boolean): TopicFigures {
  const consumers = topics.consumers[row] as number;
  const bytesIn = hasRates ? (topics.bytesPerSecond[row] as number) : Number.NaN;
  return {
    messagesIn: hasRates ? (topics.messagesPerSecond[row] as number) : Number.NaN,
    bytesIn,
    bytesOut: bytesIn * consumers,
    connections: (topics.producers[row] as number) + consumers,
    backlog: Number.NaN,
    cpu: Number.NaN,
  };
}

const COLUMN = {
  messagesIn: topicColumns.indexOf('messagesIn'),
  bytesIn: topicColumns.indexOf('bytesIn'),
  bytesOut: topicColumns.indexOf('bytesOut'),
  producers: topicColumns.indexOf('producers'),
  consumers: topicColumns.indexOf('consumers'),
  lag: topicColumns.indexOf('lag'),
  cpu: topicColumns.indexOf('cpu'),
} as const;

/** Figures of `topics` topics together, each of them. What is more than there can be is unknown. */
function agentFigures(figures: readonly (number | null)[], topics: number): TopicFigures {
  const of = (column: number, bound: number) => {
    const figure = figures[column] ?? Number.NaN;
    return figure <= bound ? figure / topics : Number.NaN;
  };
  return {
    messagesIn: of(COLUMN.messagesIn, most.count),
    bytesIn: of(COLUMN.bytesIn, most.bytesPerSecond),
    bytesOut: of(COLUMN.bytesOut, most.bytesPerSecond),
    connections: of(COLUMN.producers, most.count) + of(COLUMN.consumers, most.count),
    backlog: of(COLUMN.lag, most.messages),
    cpu: of(COLUMN.cpu, most.cores),
  };
}
