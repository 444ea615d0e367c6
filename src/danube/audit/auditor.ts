/**
 * The auditor: a pure fold over the whole history of the brokers' etcd that checks, at every revision, the rules that keep
 * messages safe. `kinds.ts` says what it finds. Memory: topics and subscriptions that exist, brokers ever seen, and a bounded
 * number of findings.
 */
import { parseKey } from '../keys.ts';
import { createAuthorityAudit } from './authority.ts';
import { createBrokerBook } from './brokers.ts';
import type { AuditedEntry, AuditedEvent } from './events.ts';
import type { Finding, FindingKind } from './kinds.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { createTopicAudit, type TopicEvent } from './topics.ts';

export interface AuditorOptions {
  /** The id that the operator holds `/cluster/leader` under. Without it, the first holder that is no broker is it. */
  readonly leaderId?: string;
  /** What stood when the history begins, if it does not begin with an empty etcd. */
  readonly snapshot?: { readonly revision: number; readonly entries: readonly AuditedEntry[] };
  /** How many findings of each kind are kept; all are counted. Default 100. */
  readonly examplesPerKind?: number;
}

export interface Auditor {
  /**
   * All events of one or more whole revisions, in order. `at`: epoch ms when they were seen, for the rules about time.
   * @throws Error when a revision comes twice or out of order: nothing could be said of such a history.
   */
  apply(events: readonly AuditedEvent[], at?: number): void;
  /** By revision. A topic that is half deleted, or half created, at this moment counts as what it looks like. */
  findings(): readonly Finding[];
  /** How often each kind was found, also beyond the examples kept. */
  counts(): ReadonlyMap<FindingKind, number>;
}

const DEFAULT_EXAMPLES = 100;

export function createAuditor(options: AuditorOptions = {}): Auditor {
  const ledger = createLedger(options.examplesPerKind ?? DEFAULT_EXAMPLES);
  const { snapshot } = options;
  let muted = snapshot !== undefined;
  const mutable: Ledger = {
    ...ledger,
    report: (...finding) => muted || ledger.report(...finding),
    confirm: (...topic) => muted || ledger.confirm(...topic),
  };
  const brokers = createBrokerBook(mutable);
  const authority = createAuthorityAudit({ ledger: mutable, brokers, leaderId: options.leaderId });
  let now: number | undefined;
  const topics = createTopicAudit({
    ledger: mutable,
    brokers,
    onForeignAssignment: (topic, broker, revision) => authority.foreignAssignment(topic, broker, revision, now),
  });
  let last = 0;

  function applyRevision(events: readonly AuditedEvent[], revision: number): void {
    const ofTopics: TopicEvent[] = [];
    for (const event of events) {
      const key = parseKey(event.entry.key);
      if ('topic' in key) ofTopics.push({ key, event });
      else if ('broker' in key) brokers.apply(key, event.type === 'put' ? event.entry.value : undefined, revision);
    }
    const ours = authority.apply(events, revision, now);
    if (ofTopics.length > 0) topics.apply(ofTopics, revision, ours);
  }

  if (snapshot !== undefined) {
    // In the order of writing, as if each key had been the last of its revision.
    for (const entry of snapshot.entries.toSorted((a, b) => a.modRevision - b.modRevision)) {
      applyRevision([{ type: 'put', entry }], entry.modRevision);
    }
    muted = false;
    topics.begin(snapshot.revision);
    last = snapshot.revision;
  }

  return {
    apply(events, at) {
      now = at;
      let start = 0;
      while (start < events.length) {
        const revision = events[start]?.entry.modRevision ?? 0;
        if (revision <= last)
          throw new Error(`revision ${revision} comes after ${last}: apply the history in order, once`);
        let end = start + 1;
        while (events[end]?.entry.modRevision === revision) end++;
        applyRevision(events.slice(start, end), revision);
        last = revision;
        start = end;
      }
    },
    findings: ledger.findings,
    counts: ledger.counts,
  };
}
