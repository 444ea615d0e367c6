/**
 * Keeps findings: all are counted, some of each kind are kept as examples. A suspicion is a finding that a later event may
 * explain (a topic that is being deleted); until then it counts.
 */
import { FINDING_KINDS, type Finding, type FindingKind } from './kinds.ts';

export interface FindingFacts {
  readonly topic?: string;
  readonly broker?: string;
  readonly revision: number;
}

export interface Ledger {
  /** `message` is called only if the finding is kept. */
  report(kind: FindingKind, facts: FindingFacts, message: () => string): void;
  /** At most one suspicion per topic and subject: the first stays. */
  suspect(subject: string, kind: FindingKind, facts: FindingFacts & { readonly topic: string }, message: string): void;
  /** The topic's suspicions were right: all, or those about some subjects. */
  confirm(topic: string, subjects?: readonly string[]): void;
  /** They were wrong: all of the topic's, or those about one subject. */
  withdraw(topic: string, subject?: string): void;
  /** By revision. */
  findings(): readonly Finding[];
  /** How often each kind was found, kept or not. */
  counts(): ReadonlyMap<FindingKind, number>;
}

export function createLedger(examplesPerKind: number): Ledger {
  const kept = new Map<FindingKind, Finding[]>();
  const counted = new Map<FindingKind, number>();
  const suspicions = new Map<string, Map<string, Finding>>();

  function add(kind: FindingKind, finding: () => Finding): void {
    const count = (counted.get(kind) ?? 0) + 1;
    counted.set(kind, count);
    if (count > examplesPerKind) return;
    const examples = kept.get(kind) ?? [];
    examples.push(finding());
    kept.set(kind, examples);
  }

  function standing(): readonly Finding[] {
    return [...suspicions.values()].flatMap((ofTopic) => [...ofTopic.values()]);
  }

  return {
    report: (kind, facts, message) => add(kind, () => toFinding(kind, facts, message())),

    suspect(subject, kind, facts, message) {
      const ofTopic = suspicions.get(facts.topic) ?? new Map<string, Finding>();
      if (!ofTopic.has(subject)) ofTopic.set(subject, toFinding(kind, facts, message));
      suspicions.set(facts.topic, ofTopic);
    },

    confirm(topic, subjects) {
      const ofTopic = suspicions.get(topic);
      if (ofTopic === undefined) return;
      for (const [subject, finding] of ofTopic) {
        if (subjects !== undefined && !subjects.includes(subject)) continue;
        add(finding.kind, () => finding);
        ofTopic.delete(subject);
      }
      if (ofTopic.size === 0) suspicions.delete(topic);
    },

    withdraw(topic, subject) {
      const ofTopic = suspicions.get(topic);
      if (subject !== undefined) ofTopic?.delete(subject);
      if (subject === undefined || ofTopic?.size === 0) suspicions.delete(topic);
    },

    findings() {
      const byKind = new Map([...kept].map(([kind, examples]) => [kind, [...examples]]));
      for (const finding of standing()) {
        const examples = byKind.get(finding.kind) ?? [];
        if (examples.length < examplesPerKind) examples.push(finding);
        byKind.set(finding.kind, examples);
      }
      return [...byKind.values()].flat().toSorted(inOrder);
    },

    counts() {
      const all = new Map(counted);
      for (const { kind } of standing()) all.set(kind, (all.get(kind) ?? 0) + 1);
      return all;
    },
  };
}

const CATALOGUE = Object.keys(FINDING_KINDS);

/** The same for the same history, whatever was reported first: by revision, topic and the order of the catalogue. */
function inOrder(a: Finding, b: Finding): number {
  if (a.revision !== b.revision) return a.revision - b.revision;
  const [one, other] = [a.topic ?? '', b.topic ?? ''];
  if (one !== other) return one < other ? -1 : 1;
  return CATALOGUE.indexOf(a.kind) - CATALOGUE.indexOf(b.kind);
}

function toFinding(kind: FindingKind, facts: FindingFacts, message: string): Finding {
  return { kind, severity: FINDING_KINDS[kind].severity, ...facts, message };
}
