/**
 * Where a topic without an owner goes: of the brokers that its rules allow the least loaded by the policy's ranking, counting what was
 * just placed. What the ranking calls idle may be above the band for moves all the same; such a broker gets nothing while another one
 * that is as good by the rules is not.
 */
import type { EffectiveRanking } from '../api/ranking.ts';
import type { PlacementSpec } from '../api/rebalance.ts';
import { judgeAgent } from './agent-judgement.ts';
import type { BrokerFacts } from './brokers.ts';
import { type Combination, compileRules, labelsOf, rulesOnBrokers } from './policy/placement-rules.ts';
import { createTopicGroups, type TopicGroups } from './policy/topic-groups.ts';
import { compareScored, type Scored } from './rank-order.ts';
import { createScorer, type Levels, type RankingInput } from './ranking.ts';
import { nobodyAllowed, onlyAvoided, type RuledOut, tooClose } from './ruled-out.ts';
import type { BrokerPod, Snapshot } from './snapshot.ts';
import { createSpreadRoom, type PlaceOf } from './spread-room.ts';

export interface Placement {
  /**
   * The least loaded broker that takes assignments, that the topic's rules allow, and that is not in `avoid`; `wanted` if that is one.
   * Undefined when there is none. The topic counts for it from then on, so that a burst of topics does not end on one broker.
   */
  place(topic: string, avoid: ReadonlySet<string>, wanted?: string): string | undefined;
  /** The topic goes to this broker, whatever the rules say; others of its group must not go there, too. */
  note(topic: string, broker: string): void;
  /** Why rules leave the topic no broker; undefined where they do not. */
  ruledOut(topic: string, avoid: ReadonlySet<string>): RuledOut | undefined;
}

export interface PlacementPolicy {
  readonly ranking: EffectiveRanking;
  readonly placement?: PlacementSpec;
  /** Of `placement.spread`. Absent: made anew, so that all topics are looked at once more. */
  readonly groups?: TopicGroups;
  /** See `SpreadFacts`. */
  readonly placeOf?: PlaceOf;
}

export function createPlacement(
  snapshot: Snapshot,
  brokers: ReadonlyMap<string, BrokerFacts>,
  policy: PlacementPolicy,
): Placement {
  const { ranking, placement: { rules = [], spread = [] } = {}, groups = createTopicGroups(spread) } = policy;
  const { placeOf = (owner) => (owner.liveness.state === 'Live' ? owner : undefined) } = policy;
  const accepting = [...brokers.values()].filter((broker) => broker.accepting);
  const inputs = rankingInputs(snapshot, accepting);
  let scorer = createScorer(ranking, inputs);
  // Scored once: there may be ten thousand topics to place on a thousand brokers.
  const candidates = inputs.map((input): Scored => ({ input, score: scorer.score(input) }));
  const ids = accepting.map(({ id }) => id);
  const onBrokers = rulesOnBrokers(compileRules(rules), { labels: accepting.map(labelsOf), takes: () => true });
  const room = createSpreadRoom({ metadata: snapshot.metadata, brokers, candidates: ids, groups, placeOf });
  // Thousands of topics may wait, and are looked at again and again: what is said of them is found once for all that are alike.
  const allowedOf = new Map<Combination | undefined, readonly BrokerFacts[]>();
  const refusals = new Map<string, RuledOut>();

  /** The candidates, least loaded first. */
  const order = Int32Array.from(candidates.keys()).sort(inOrder);

  function inOrder(left: number, right: number): number {
    return left === right ? 0 : compareScored(candidates[left] as Scored, candidates[right] as Scored);
  }

  function count(at: number, { input }: Scored): void {
    const next = scorer.withTopic(input);
    candidates[at] = { input: next, score: scorer.score(next) };
    if (scorer.isFitting(next)) {
      moveInOrder(at);
      return;
    }
    scorer = createScorer(
      ranking,
      candidates.map((candidate) => candidate.input),
    );
    for (const [index, candidate] of candidates.entries()) {
      candidates[index] = { ...candidate, score: scorer.score(candidate.input) };
    }
    order.sort(inOrder);
  }

  /** The others are in order already. */
  function moveInOrder(at: number): void {
    const from = order.indexOf(at);
    order.copyWithin(from, from + 1);
    let low = 0;
    let high = order.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (inOrder(order[middle] as number, at) < 0) low = middle + 1;
      else high = middle;
    }
    order.copyWithin(low + 1, low);
    order[low] = at;
  }

  /** Among the brokers that both masks allow. */
  function leastLoaded(avoid: ReadonlySet<string>, mask?: Uint8Array, other?: Uint8Array): number | undefined {
    for (const index of order) {
      if (mask?.[index] !== 0 && other?.[index] !== 0 && !avoid.has(ids[index] as string)) return index;
    }
    return undefined;
  }

  function choose(topic: string, avoid: ReadonlySet<string>, wanted: string | undefined): number | undefined {
    const { allowed, preferred } = onBrokers.of(topic) ?? {};
    const free = room.of(topic);
    const named = wanted === undefined || avoid.has(wanted) ? -1 : ids.indexOf(wanted);
    if (named >= 0 && allowed?.[named] !== 0 && free?.[named] !== 0) return named;
    const best = (preferred && leastLoaded(avoid, preferred, free)) ?? leastLoaded(avoid, allowed, free);
    if (best !== undefined || groups.groupOf(topic)?.rule.whenUnsatisfiable !== 'AssignAnyway') return best;
    const fewest = room.fewest(topic, (index) => allowed?.[index] !== 0 && !avoid.has(ids[index] ?? ''));
    return leastLoaded(avoid, fewest);
  }

  function allowedBy(combination: Combination | undefined): readonly BrokerFacts[] {
    const known = allowedOf.get(combination) ?? accepting.filter((_, at) => combination?.allowed[at] !== 0);
    allowedOf.set(combination, known);
    return known;
  }

  function once(key: string, make: () => RuledOut): RuledOut {
    const known = refusals.get(key) ?? make();
    refusals.set(key, known);
    return known;
  }

  return {
    place(topic, avoid, wanted) {
      const best = choose(topic, avoid, wanted);
      const chosen = best === undefined ? undefined : candidates[best];
      if (best === undefined || chosen === undefined) return undefined;
      count(best, chosen);
      room.count(topic, chosen.input.broker);
      return chosen.input.broker;
    },

    note: room.count,

    ruledOut(topic, avoid) {
      const combination = onBrokers.of(topic);
      const { required = [] } = combination ?? {};
      if (ids.every((id) => avoid.has(id))) return undefined;
      const own = allowedBy(combination);
      if (own.length === 0) return once(`${combination?.index}`, () => nobodyAllowed(required, snapshot.pods));
      if (own.every(({ id }) => avoid.has(id))) {
        return onlyAvoided(
          required,
          own.map(({ id }) => id),
        );
      }
      const group = groups.groupOf(topic);
      return group && once(`${combination?.index} ${group.index}`, () => tooClose(group, required, own.map(labelsOf)));
    },
  };
}

/**
 * Topic counts from the assignments, which are always fresh; rates from the broker's report; CPU and memory from the
 * agent alone, since what brokers say of themselves on Kubernetes means nothing (contract M11). A broker whose agent
 * cannot be used counts as the mean of the others: taken for idle it would get every new topic, taken for busy none.
 */
export function rankingInputs(snapshot: Snapshot, brokers: readonly BrokerFacts[]): readonly RankingInput[] {
  const usages = brokers.map(({ pod }) => percentagesOf(snapshot, pod));
  const usual = {
    cpu: meanOfKnown(usages.map(({ cpu }) => cpu)),
    memory: meanOfKnown(usages.map(({ memory }) => memory)),
  };
  const levels = expectedLevels(snapshot, brokers);
  return brokers.map(({ id }, index) => {
    const report = snapshot.metadata.reports.get(id);
    const megabytesPerSecond = (report?.bytesPerSecond ?? 0) / 1e6;
    return {
      broker: id,
      topicCount: snapshot.metadata.topicsOf.get(id)?.size ?? 0,
      megabytesPerSecond,
      connections: report?.connections ?? 0,
      backlogMessages: report?.backlogMessages ?? 0,
      cpuPercent: usages[index]?.cpu ?? usual.cpu,
      memoryPercent: usages[index]?.memory ?? usual.memory,
      diskIo: 0,
      networkIo: megabytesPerSecond,
      throughput: megabytesPerSecond,
      ...(snapshot.balance !== undefined && {
        levels: levels[index] ?? {},
        highestLevel: snapshot.balance.highestLevel,
      }),
    };
  });
}

/**
 * By broker, what the load model says, and on top of it for each topic that is not in there yet what topics cost on average: between two
 * looks of the model a burst of them may come. A broker that is not known is taken to be at the mean.
 */
function expectedLevels({ balance, metadata }: Snapshot, brokers: readonly BrokerFacts[]): readonly Levels[] {
  if (balance === undefined) return [];
  const known = [...balance.brokers.values()];
  const usual = Object.fromEntries(known.flatMap(({ levels }) => Object.keys(levels)).map((resource) => [resource, 1]));
  const counts = brokers.map(({ id }) => metadata.topicsOf.get(id)?.size ?? 0);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const perTopic = total > 0 ? brokers.length / total : 0;
  const isMeasured = known.some(({ measuredTopics }) => measuredTopics > 0);
  return brokers.map(({ id }, index) => {
    const broker = balance.brokers.get(id);
    if (broker === undefined) return usual;
    const newTopics = (resource: string) => {
      if (resource === 'topics') return (counts[index] ?? 0) - broker.topics;
      return isMeasured ? (counts[index] ?? 0) - broker.measuredTopics : 0;
    };
    return Object.fromEntries(
      Object.entries(broker.levels).map(([resource, level]) => [
        resource,
        level + perTopic * Math.max(0, newTopics(resource)),
      ]),
    );
  });
}

interface Percentages {
  readonly cpu: number | undefined;
  readonly memory: number | undefined;
}

/** Of the limits, or of the node where there are none. */
function percentagesOf(snapshot: Snapshot, pod: BrokerPod | undefined): Percentages {
  const judgement = judgeAgent(pod && snapshot.agents.get(pod.uid), pod, snapshot.now);
  if (!judgement.usable) return { cpu: undefined, memory: undefined };
  const { cpu, memory, node } = judgement.sample;
  return {
    cpu: percent(cpu.averageCores ?? cpu.cores, cpu.limitCores ?? node.cores),
    memory: percent(memory.averageWorkingSetBytes ?? memory.workingSetBytes, memory.limitBytes ?? node.memoryBytes),
  };
}

function percent(used: number | null, limit: number | null): number | undefined {
  return used === null || limit === null || limit <= 0 ? undefined : (100 * used) / limit;
}

/** 0 if none is known: then only the other figures tell brokers apart. */
function meanOfKnown(values: readonly (number | undefined)[]): number {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? 0 : known.reduce((sum, value) => sum + value, 0) / known.length;
}
