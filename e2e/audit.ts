/** The auditor on a live etcd: it follows every revision, and a suite asks at its end what it has found. */
import { type Auditor, createAuditor } from '../src/danube/audit/auditor.ts';
import { FINDING_KINDS } from '../src/danube/audit/kinds.ts';
import type { EtcdPort, WatchedEvent } from '../src/etcd/port.ts';
import { until } from './process/until.ts';

export interface Follower {
  /** Resolves when all that is in etcd now has been seen. @throws Error when the history has a gap or etcd is away. */
  upToDate(): Promise<void>;
  /** Idempotent. @throws Error when the history had a gap. */
  stop(): Promise<void>;
}

export interface AttachedAuditor extends Follower {
  readonly auditor: Auditor;
}

export interface AttachOptions {
  /** The id that the operator holds the leader key under, if it is known. */
  readonly leaderId?: string;
}

/** Audits from what stands now. @throws EtcdError */
export async function attachAuditor(etcd: EtcdPort, options: AttachOptions = {}): Promise<AttachedAuditor> {
  const snapshot = await etcd.read('');
  const auditor = createAuditor({ ...options, snapshot });
  return { auditor, ...followEvents(etcd, snapshot.revision, auditor.apply) };
}

/** Hands over every event after a revision; `at` is the time of reading in epoch ms. */
export function followEvents(
  etcd: EtcdPort,
  after: number,
  onEvents: (events: readonly WatchedEvent[], at: number) => void,
): Follower {
  const stopped = new AbortController();
  let seen = after;
  let failure: unknown;

  async function follow(): Promise<void> {
    for await (const message of etcd.watch('', after + 1, stopped.signal)) {
      if (message.kind === 'compacted') {
        throw new Error(
          `the history before ${message.compactRevision} is gone: what happened since ${seen} is unknown`,
        );
      }
      if (message.kind !== 'events') continue;
      onEvents(message.events, Date.now());
      seen = message.events.at(-1)?.entry.modRevision ?? seen;
    }
  }

  // Kept until somebody asks: nobody awaits it before.
  const following = follow().catch((error: unknown) => {
    failure = error;
  });

  function throwFailure(): void {
    if (failure !== undefined) throw failure;
  }

  return {
    async upToDate() {
      // Any read tells the revision, and every revision has an event, so the last one comes.
      const { revision } = await etcd.read('/cluster/leader');
      const what = `the events up to revision ${revision}`;
      await until(() => failure !== undefined || seen >= revision, { what });
      throwFailure();
    },

    async stop() {
      stopped.abort();
      await following;
      throwFailure();
    },
  };
}

/** A line for each rule that was broken: how often, the first case, what to do. Empty when all was well. */
export function violations(auditor: Auditor): readonly string[] {
  const broken = auditor.findings().filter(({ severity }) => severity === 'violation');
  return [...Map.groupBy(broken, ({ kind }) => kind)].map(([kind, [first]]) => {
    const count = auditor.counts().get(kind) ?? 0;
    return `${kind}, ${count} times, first at revision ${first?.revision}: ${first?.message}. ${FINDING_KINDS[kind].todo}`;
  });
}
