/** What a run of the demo proves, and whether it is what should be. Pure. */
import type { BrokerLoad } from '../../src/api/broker-load.ts';
import type { LedgerSummary } from '../../src/sim/client/ledger.ts';
import type { Incarnation } from './cluster.ts';
import type { HistoryFold } from './history.ts';

/** Ids are strings, times epoch milliseconds. */
export interface DemoResult {
  readonly topics: number;
  readonly assigned: number;
  readonly unassigned: number;
  /** At any time of the run. */
  readonly doublyOwned: number;
  /** Acknowledged to a producer on a reliable topic and not received by a subscription that should have. */
  readonly lost: number;
  /** Offsets acknowledged for two different messages. */
  readonly repeatedOffsets: number;
  readonly leader: { readonly identity: string; readonly epoch: number };
  readonly failovers: readonly DemoFailover[];
  readonly brokers: readonly DemoBroker[];
}

export interface DemoFailover {
  readonly pod: string;
  readonly oldId: string;
  /** null when the demo did not kill it itself. */
  readonly killedAt: number | null;
  readonly provenAt: number;
  readonly proof: string;
  /** When the Pod's next process took assignments; null when none has come. */
  readonly acceptsAt: number | null;
  /** When the last of its topics had its new owner. */
  readonly assignedAt: number;
  readonly topics: number;
}

export interface DemoBroker {
  readonly pod: string;
  readonly id: string | null;
  readonly state: string | null;
  readonly cpuCores: number | null;
  readonly memoryBytes: number | null;
  readonly source: string | null;
  readonly topics: number | null;
  readonly rank: number | null;
}

export interface Kill {
  readonly pod: string;
  readonly at: number;
}

export interface ResultInput {
  readonly history: HistoryFold;
  readonly ledger: LedgerSummary;
  readonly brokerLoads: readonly BrokerLoad[];
  readonly leader: { readonly identity: string; readonly epoch: number };
  readonly kills: readonly Kill[];
  readonly incarnations: ReadonlyMap<string, readonly Incarnation[]>;
}

export function demoResult(input: ResultInput): DemoResult {
  const { history, ledger } = input;
  const assigned = [...history.topics].filter((topic) => hasOneLiveOwner(history, topic)).length;
  return {
    topics: history.topics.size,
    assigned,
    unassigned: history.topics.size - assigned,
    doublyOwned: history.doublyOwned.size,
    lost: ledger.lost,
    repeatedOffsets: ledger.repeatedOffsets,
    leader: input.leader,
    failovers: failoversOf(input),
    brokers: input.brokerLoads.map(({ metadata, status }) => ({
      pod: metadata.name,
      id: status?.brokerID ?? null,
      state: status?.state ?? null,
      cpuCores: status?.usage?.cpuCores ?? null,
      memoryBytes: status?.usage?.memoryBytes ?? null,
      source: status?.usage?.sources.cpu ?? null,
      topics: status?.topics ?? null,
      rank: status?.rank ?? null,
    })),
  };
}

function hasOneLiveOwner(history: HistoryFold, topic: string): boolean {
  const [owner, ...others] = history.owners.get(topic) ?? [];
  return owner !== undefined && others.length === 0 && history.registered.has(owner);
}

/** A broker's topics may fail over in several transactions: non-reliable ones at once, reliable ones later. */
function failoversOf({ history, kills, incarnations }: ResultInput): readonly DemoFailover[] {
  const byBroker = Map.groupBy(history.failovers, ({ broker }) => broker);
  return [...byBroker].flatMap(([oldId, records]) => {
    const [first] = records;
    if (first === undefined) return [];
    const pod = first.pod ?? '';
    const processes = incarnations.get(pod) ?? [];
    const started = processes.find(({ id }) => id === oldId)?.startedAt ?? 0;
    const next = processes.find(({ startedAt }) => startedAt > started);
    const kill = kills.find(({ pod: killed, at }) => killed === pod && at >= started && at <= first.committedAt);
    return [
      {
        pod,
        oldId,
        killedAt: kill?.at ?? null,
        provenAt: Math.min(...records.map(({ provenAt }) => provenAt)),
        proof: first.proof,
        acceptsAt: next?.acceptsAt ?? null,
        assignedAt: Math.max(...records.map((record) => assignedAt(history, record))),
        topics: records.reduce((sum, { topics }) => sum + topics, 0),
      },
    ];
  });
}

/** By the history, not by the operator's own word: when the assignments of that record's transaction were seen. */
function assignedAt(history: HistoryFold, { committedAt, to }: HistoryFold['failovers'][number]): number {
  const seen = history.assigned.find(({ broker, at }) => to.includes(broker) && at >= committedAt);
  return seen?.at ?? committedAt;
}

const FAILOVER_WITHIN_MS = 2000;

/** Why the run is not what it should be; empty when it is. `violations` are the auditor's. */
export function faults(
  result: DemoResult,
  kills: readonly Kill[],
  violations: readonly string[],
  ledger: Pick<LedgerSummary, 'messagesAcked' | 'finals' | 'completeFinals'>,
): readonly string[] {
  const found: string[] = [];
  // Where nothing was sent, nothing can be lost.
  if (ledger.messagesAcked === 0) found.push('not one message was acknowledged');
  if (ledger.completeFinals < ledger.finals || ledger.finals === 0) found.push('clients ended before all had arrived');
  if (result.topics === 0) found.push('there are no topics');
  if (result.unassigned > 0) found.push(`${result.unassigned} of ${result.topics} topics have no live owner`);
  if (result.doublyOwned > 0) found.push(`${result.doublyOwned} topics had two owners`);
  if (result.lost > 0) found.push(`${result.lost} acknowledged messages were lost`);
  if (result.repeatedOffsets > 0) found.push(`${result.repeatedOffsets} offsets were given out twice`);
  for (const { pod } of kills) {
    if (!result.failovers.some((failover) => failover.pod === pod))
      found.push(`Pod ${pod} was killed and not failed over`);
  }
  for (const { pod, acceptsAt, assignedAt, killedAt } of result.failovers) {
    const lateMs = assignedAt - (acceptsAt ?? Number.POSITIVE_INFINITY);
    if (killedAt !== null && lateMs > FAILOVER_WITHIN_MS) {
      found.push(`the topics of Pod ${pod} had an owner only ${lateMs} ms after its next process took assignments`);
    }
  }
  found.push(...violations);
  return found;
}
