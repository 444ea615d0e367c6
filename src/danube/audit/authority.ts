/** Who may write: the leader key, the fence, and the mark that every transaction of the operator leaves (design §4). */
import { LEADER_KEY } from '../keys.ts';
import { OWN_PREFIX } from '../metadata.ts';
import { decodeLeader } from '../values.ts';
import type { BrokerBook } from './brokers.ts';
import type { AuditedEvent } from './events.ts';
import { textOf } from './events.ts';
import type { Ledger } from './ledger.ts';

const FENCE_KEY = `${OWN_PREFIX}fence`;
const LANES = `${OWN_PREFIX}commits/`;
const RECORDS = `${OWN_PREFIX}history/`;

/** A broker that lost the key looks again after at most this long (contract 3). */
const DETHRONED_AFTER_MS = 10_000;

export interface AuthorityAudit {
  /** All events of one revision; `at` in epoch ms, where the time is known. Returns whether the operator wrote it. */
  apply(events: readonly AuditedEvent[], revision: number, at: number | undefined): boolean;
  /** An assignment in a revision that the operator did not write. */
  foreignAssignment(topic: string, broker: string, revision: number, at: number | undefined): void;
}

export interface AuthorityAuditOptions {
  readonly ledger: Ledger;
  readonly brokers: BrokerBook;
  /** The id that the operator holds the key under; without it, the first that is no broker's. */
  readonly leaderId: string | undefined;
}

export function createAuthorityAudit({ ledger, brokers, leaderId }: AuthorityAuditOptions): AuthorityAudit {
  let operator = leaderId;
  let leader: string | undefined;
  let takenFromBrokerAt: number | undefined;
  let fence: { readonly value: string; readonly epoch: number } | undefined;

  function isQuiet(at: number | undefined): boolean {
    return at !== undefined && takenFromBrokerAt !== undefined && at - takenFromBrokerAt < DETHRONED_AFTER_MS;
  }

  function putLeader(value: Uint8Array, revision: number, at: number | undefined): void {
    const decoded = decodeLeader(value);
    const before = leader;
    if (!decoded.ok) {
      leader = undefined;
      ledger.report(
        'ForeignLeader',
        { revision },
        () => `${LEADER_KEY} ${decoded.problem}: every broker's election stops`,
      );
      return;
    }
    const id = decoded.value;
    leader = id;
    if (brokers.isKnown(id) && id !== operator) {
      if (before === undefined || before === id) return;
      ledger.report('LeaderRace', { broker: id, revision }, () => `broker ${id} wrote the leader key over ${before}`);
      return;
    }
    operator ??= id;
    if (id !== operator) {
      ledger.report('ForeignLeader', { revision }, () => `${LEADER_KEY} holds ${id}; the operator's id is ${operator}`);
    } else if (before !== undefined && before !== id) {
      takenFromBrokerAt = at;
      ledger.report('LeaderTakenOver', { revision }, () => `the operator took the leader key from ${before}`);
    }
  }

  function changeFence(value: Uint8Array | undefined, revision: number): void {
    const text = value === undefined ? undefined : textOf(value);
    if (text !== undefined && text === fence?.value) return;
    const epoch = text === undefined ? undefined : epochIn(text);
    const before = fence?.epoch ?? 0;
    if (text === undefined || epoch === undefined || epoch <= before) {
      const now = text === undefined ? 'was deleted' : `holds epoch ${epoch ?? 'none'}`;
      ledger.report('FenceWentBack', { revision }, () => `the fence ${now} after epoch ${before}`);
    }
    // After a deletion the epoch is remembered: it may still only rise.
    fence = { value: text ?? '', epoch: Math.max(epoch ?? before, before) };
  }

  function checkTransaction(lane: AuditedEvent, changes: boolean, revision: number, at: number | undefined): void {
    const epoch = epochIn(textOf(lane.entry.value));
    const current = fence?.epoch;
    if (epoch === undefined || epoch !== current) {
      const say = () => `${lane.entry.key} names epoch ${epoch ?? 'none'} while the fence holds ${current ?? 'none'}`;
      ledger.report(changes ? 'StaleEpoch' : 'LateBarrier', { revision }, say);
    }
    if (!changes) return;
    if (leader === undefined || leader !== operator) {
      ledger.report(
        'NotLeading',
        { revision },
        () => `a transaction was applied while the leader key held ${leader ?? 'nothing'}`,
      );
    }
    if (isQuiet(at)) {
      const ms = (at ?? 0) - (takenFromBrokerAt ?? 0);
      ledger.report(
        'ActedInQuietPeriod',
        { revision },
        () => `a transaction ${ms} ms after the key was taken from a broker`,
      );
    }
  }

  return {
    apply(events, revision, at) {
      const lane = events.find(({ type, entry }) => type === 'put' && entry.key.startsWith(LANES));
      if (lane !== undefined) checkTransaction(lane, events.length > 1, revision, at);
      for (const { type, entry } of events) {
        if (entry.key === LEADER_KEY) {
          if (type === 'put') putLeader(entry.value, revision, at);
          else leader = undefined;
        } else if (entry.key === FENCE_KEY) changeFence(type === 'put' ? entry.value : undefined, revision);
        else if (lane !== undefined && type === 'put' && entry.key.startsWith(RECORDS)) {
          const dead = fieldOf(textOf(entry.value), 'broker');
          if (typeof dead === 'string') brokers.declareDead(dead);
        }
      }
      return lane !== undefined;
    },

    foreignAssignment(topic, broker, revision, at) {
      if (fence === undefined || leader === undefined || leader !== operator || isQuiet(at)) return;
      ledger.report(
        'ForeignAssignment',
        { topic, broker, revision },
        () => `${topic} was assigned to ${broker} by no transaction of the operator, which leads`,
      );
    },
  };
}

function epochIn(text: string): number | undefined {
  const epoch = fieldOf(text, 'epoch');
  return typeof epoch === 'number' && Number.isSafeInteger(epoch) ? epoch : undefined;
}

/** A field of a value of ours; undefined when it is not JSON of the form that we write. */
function fieldOf(text: string, field: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[field] : undefined;
  } catch {
    return undefined;
  }
}
