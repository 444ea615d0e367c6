/** Which broker processes live, by the keys alone: registrations, their addresses, and the operator's own proofs of death. */
import type { ParsedKey } from '../keys.ts';
import { decodeBrokerState, decodeRegistration } from '../values.ts';
import type { Ledger } from './ledger.ts';

export interface BrokerBook {
  /** A key of a broker changed; `value` is absent for a deletion. */
  apply(key: ParsedKey, value: Uint8Array | undefined, revision: number): void;
  /** The operator recorded a proof of death that no key shows, such as a terminated container. */
  declareDead(broker: string): void;
  /** Its reliable topics were given away: from now on it must not write. */
  bury(broker: string): void;
  isRegistered(broker: string): boolean;
  isDead(broker: string): boolean;
  /** `active`, `draining`, `drained` or whatever the key says; a broker without a state key is active (contract 4.3). */
  modeOf(broker: string): string;
  /** Whether the id was ever a broker's. */
  isKnown(broker: string): boolean;
}

interface Broker {
  registered: boolean;
  /** A proof other than the end of its registration. */
  dead: boolean;
  mode: string;
  buried: boolean;
}

const UNSPECIFIED = /^https?:\/\/(0\.0\.0\.0|\[::\])[:/]/;

/** Memory: one small record per broker process ever seen. */
export function createBrokerBook(ledger: Ledger): BrokerBook {
  const brokers = new Map<string, Broker>();
  /** Address → the process that registered there last. */
  const atAddress = new Map<string, string>();

  function recordOf(id: string): Broker {
    const known = brokers.get(id);
    if (known !== undefined) return known;
    const fresh = { registered: false, dead: false, mode: 'active', buried: false };
    brokers.set(id, fresh);
    return fresh;
  }

  function register(id: string, value: Uint8Array, revision: number): void {
    recordOf(id).registered = true;
    const decoded = decodeRegistration(value);
    if (!decoded.ok) {
      ledger.report(
        'Undecodable',
        { broker: id, revision },
        () => `the registration of broker ${id} ${decoded.problem}`,
      );
      return;
    }
    const address = decoded.value.brokerUrl;
    if (UNSPECIFIED.test(address)) return;
    // A new process at an address is the end of the one before (contract M15).
    const before = atAddress.get(address);
    if (before !== undefined && before !== id) recordOf(before).dead = true;
    atAddress.set(address, id);
  }

  return {
    apply(key, value, revision) {
      if (key.kind === 'registration') {
        if (value === undefined) recordOf(key.broker).registered = false;
        else register(key.broker, value, revision);
      } else if (key.kind === 'brokerState') {
        const decoded = value === undefined ? undefined : decodeBrokerState(value);
        recordOf(key.broker).mode = decoded?.ok === true ? decoded.value.mode : 'active';
      } else if (key.kind === 'loadReport' && value !== undefined) {
        const broker = recordOf(key.broker);
        if (!broker.buried) return;
        broker.buried = false;
        ledger.report(
          'DeadOwnerAlive',
          { broker: key.broker, revision },
          () => `broker ${key.broker} wrote a report after its reliable topics had gone to others as a dead broker's`,
        );
      }
    },
    declareDead(id) {
      recordOf(id).dead = true;
    },
    bury(id) {
      recordOf(id).buried = true;
    },
    isRegistered: (id) => brokers.get(id)?.registered ?? false,
    isDead: (id) => {
      const broker = brokers.get(id);
      return broker === undefined || !broker.registered || broker.dead;
    },
    modeOf: (id) => brokers.get(id)?.mode ?? 'active',
    isKnown: (id) => brokers.has(id),
  };
}
