/**
 * What the auditor can find: each kind with what it means and what to do. A violation broke a rule that keeps messages
 * safe; a notice is for the reader of a history.
 */

export type Severity = 'violation' | 'notice';

export interface FindingKindEntry {
  readonly severity: Severity;
  readonly means: string;
  readonly todo: string;
}

export const FINDING_KINDS = {
  DoublyOwned: {
    severity: 'violation',
    means: 'Two brokers had the topic at one revision: both serve it, and offsets of a reliable topic collide.',
    todo: 'Unload the one that does not report the topic; find out who wrote the second assignment.',
  },
  Unowned: {
    severity: 'violation',
    means:
      'The topic had neither an owner nor a marker: whoever leads next does not know that it waits (contract 2.4).',
    todo: 'If it still has none, put a marker; delete an assignment only in one transaction with its marker.',
  },
  AssignmentRewritten: {
    severity: 'violation',
    means:
      'An assignment was put again on the broker that has it, which rebuilds the topic over its clients (contract 5.1).',
    todo: 'Compare the assignment as absent in the transaction that puts it.',
  },
  AssignedWithoutDelivery: {
    severity: 'violation',
    means:
      'The topic was assigned before its `delivery` key existed; a broker gives up after 1.5 s, for ever (contract M2).',
    todo: 'If no broker reports the topic, move it; wait for `delivery` before assigning.',
  },
  AssignedToUnregistered: {
    severity: 'violation',
    means: 'The topic was assigned to a broker that is not registered: nobody serves it.',
    todo: 'Assign it to a live broker; compare the registration in the transaction that assigns.',
  },
  AssignedToInactive: {
    severity: 'violation',
    means: 'The topic was assigned to a broker that is draining or drained, which sends it back (contract M19).',
    todo: 'Compare the state key of the target in the transaction that assigns.',
  },
  DestructiveDeletion: {
    severity: 'violation',
    means:
      'The assignment of a reliable topic was deleted on a live broker while no marker "unload" stood: the broker answers ' +
      'by destroying storage keys and cursors (contract 5.1, M3).',
    todo: 'Delete an assignment only with a marker "unload" or a proof of death; restore the topic from its source.',
  },
  MarkerRemovedBeforeSeal: {
    severity: 'violation',
    means:
      'The marker "unload" of a reliable topic went, or changed, before its source had sealed it: a source that looks ' +
      'late destroys the topic (contract 5.2 race A, M17).',
    todo: 'Keep the marker until the source has sealed or is proved dead, however long that takes.',
  },
  AssignedBeforeSeal: {
    severity: 'violation',
    means:
      'A reliable topic went to its target before its source had sealed it: the target starts at offset 0 (contract 5.2, race B).',
    todo: 'Wait for `state` by the source before assigning the target.',
  },
  ReturnToProcess: {
    severity: 'violation',
    means:
      'A reliable topic went back to a process that had it before another loaded it: it reuses its old log, and offsets ' +
      'are given out twice (contract M6).',
    todo: 'Choose a broker that never had the topic; restart the Pod of the one that has it now.',
  },
  StateLeftBehind: {
    severity: 'violation',
    means:
      'The owner serves the topic and has not removed the `state` that it should have started from: it did not look at it ' +
      '(contract M6, M18).',
    todo: 'Expect repeated offsets and missing uploads; restart the Pod of the owner soon.',
  },
  SeedMissing: {
    severity: 'violation',
    means:
      'A reliable topic with a past was assigned with no `state` that ends it: its offsets start at 0 again (contract M9).',
    todo: 'Seed `state` in the transaction that assigns (failover.resumeOffsets).',
  },
  SeedBehind: {
    severity: 'violation',
    means: 'The `state` that a topic was assigned with is behind what objects, cursors or earlier seeds prove.',
    todo: 'Seed beyond all that is known, with a margin.',
  },
  SealBehind: {
    severity: 'violation',
    means:
      'The source sealed a topic behind what objects and cursors prove: it had started at too low an offset itself.',
    todo: 'Look at how the source got the topic; raise the seed in the transaction that assigns the target.',
  },
  SeedWithoutDeadOwner: {
    severity: 'violation',
    means: 'Somebody wrote `state` for a topic whose owner lives and has not sealed it.',
    todo: 'Seed only with a proof of death.',
  },
  OffsetsRepeated: {
    severity: 'violation',
    means: 'An uploaded object covers offsets that another object already held: they were given out twice.',
    todo: 'Messages of that range are lost to subscriptions beyond it; look at the last change of owner.',
  },
  BacklogAtStake: {
    severity: 'violation',
    means:
      'A reliable topic moved while a subscription, by the cursor that the source wrote in unloading, had not caught up: ' +
      'the rest is never delivered (contract M4).',
    todo: 'Move only topics whose subscriptions have caught up, and check again after the seal.',
  },
  SubscriptionWithoutCursor: {
    severity: 'violation',
    means:
      'A reliable topic with messages moved while a subscription had no cursor: it goes on at the newest message (contract M5).',
    todo: 'Move such a topic only after its first stored cursor.',
  },
  StorageDestroyed: {
    severity: 'violation',
    means: 'Storage keys of a topic that exists were deleted: its history is gone.',
    todo: 'Look for the deletion of its assignment just before.',
  },
  CursorDestroyed: {
    severity: 'violation',
    means: 'The cursor of a subscription that exists was deleted: the subscription starts at the newest message.',
    todo: 'Look for the deletion of the assignment just before.',
  },
  DeadOwnerAlive: {
    severity: 'violation',
    means:
      'A broker whose reliable topics had been given away as dead wrote a report afterwards: two processes may serve them.',
    todo: 'Delete its Pod at once; check how its death was proved.',
  },
  FenceWentBack: {
    severity: 'violation',
    means: 'The epoch of the fence did not rise, or the fence was deleted: an old leader could write again.',
    todo: 'Leave the keys below /danube-load-manager alone; restart the operator.',
  },
  StaleEpoch: {
    severity: 'violation',
    means: 'A transaction of the operator was applied under another epoch than that of the fence.',
    todo: 'Report it: every write must compare the fence.',
  },
  NotLeading: {
    severity: 'violation',
    means: 'The operator changed something while `/cluster/leader` was not its own.',
    todo: 'Report it: every write must compare the leader key.',
  },
  ActedInQuietPeriod: {
    severity: 'violation',
    means: 'The operator acted within 10 s of taking the leader key from a broker, which may still lead (contract 3).',
    todo: 'Report it: the quiet period must outlive a change of replica.',
  },
  ForeignAssignment: {
    severity: 'violation',
    means: 'An assignment was written by no transaction of the operator while it held fence and leader key.',
    todo: 'Find the other writer: a broker that leads still, a script, a second operator.',
  },
  ForeignLeader: {
    severity: 'violation',
    means: 'The leader key holds an id that is neither a broker nor the operator.',
    todo: 'End the other operator; only one may lead these brokers.',
  },
  Move: {
    severity: 'notice',
    means: 'A topic went from one live broker to another.',
    todo: 'Nothing.',
  },
  Failover: {
    severity: 'notice',
    means: 'A topic of a dead broker went to another process.',
    todo: 'Nothing.',
  },
  Bounced: {
    severity: 'notice',
    means: 'A broker that takes no topics sent one back with a marker "drain_redirect" (contract M19).',
    todo: 'Nothing: the topic waits for an owner.',
  },
  ReturnToSource: {
    severity: 'notice',
    means: 'A sealed topic that nobody had loaded went back to its source (contract M18).',
    todo: 'Restart the Pod of the source soon: it does not upload new messages.',
  },
  CursorBehindHead: {
    severity: 'notice',
    means:
      'A reliable topic moved with a stored cursor behind its head. Cursors are up to 10 s of acknowledgements late (contract ' +
      'M5), so the keys do not tell whether messages were at stake.',
    todo: 'Compare with the lag that the source last reported.',
  },
  SeedWithoutMargin: {
    severity: 'notice',
    means:
      'The seed after a crash is exactly what is known; offsets not yet uploaded are given out again (contract M13).',
    todo: 'Seed with a margin (failover.offsetMargin).',
  },
  LeaderRace: {
    severity: 'notice',
    means:
      'A broker wrote the leader key over a holder: both lead for up to 10 s. Brokers do so at every start and after every ' +
      'release (contract 3); harm done shows as a violation of its own.',
    todo: 'Let the operator hold the key.',
  },
  LeaderTakenOver: {
    severity: 'notice',
    means: 'The operator took the leader key from a broker; a quiet period follows.',
    todo: 'Nothing.',
  },
  LateBarrier: {
    severity: 'notice',
    means: 'A replica that no longer leads made the outcome of its last transaction certain; it changed nothing else.',
    todo: 'Nothing.',
  },
  Undecodable: {
    severity: 'notice',
    means: 'A value is not what its key promises; it was taken as absent.',
    todo: 'Find its writer.',
  },
} as const satisfies Readonly<Record<string, FindingKindEntry>>;

export type FindingKind = keyof typeof FINDING_KINDS;

export interface Finding {
  readonly kind: FindingKind;
  readonly severity: Severity;
  readonly topic?: string;
  /** Decimal id. */
  readonly broker?: string;
  /** The etcd revision at which the rule was broken; it can be earlier than the one that proved it. */
  readonly revision: number;
  /** For a person, with the facts of this case. */
  readonly message: string;
}
