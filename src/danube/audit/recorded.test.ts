/**
 * The auditor reads what real brokers did: everything that it finds in the two recorded histories, and why. A brokers' id is
 * the last four digits in the comments. "Move" and "Failover" make the history readable and are no fault.
 */
import { describe, expect, it } from 'vitest';
import { createAuditor } from './auditor.ts';
import { FINDING_KINDS, type Finding, type FindingKind } from './kinds.ts';
import { standing } from './paper-cluster.ts';
import { recordedHistory } from './recorded.ts';

/** The external holder of the leader key in both recordings. */
const leaderId = '424242424242';

type Expected = readonly [FindingKind, revision: number];

function audit(file: 'history' | 'history-2'): readonly Finding[] {
  const auditor = createAuditor({ leaderId });
  auditor.apply(recordedHistory(file));
  return auditor.findings();
}

function about(findings: readonly Finding[], topic: string | undefined): readonly Expected[] {
  return findings.filter((finding) => finding.topic === topic).map(({ kind, revision }) => [kind, revision]);
}

function topicsOf(findings: readonly Finding[]): readonly string[] {
  return [...new Set(findings.flatMap(({ topic }) => topic ?? []))].toSorted();
}

const HISTORY: Readonly<Record<string, readonly Expected[]>> = {
  '/default/rel5': [
    // 53 marker and deletion, 54 seal at 79, 56 target: in order. sub1 (42) never got a cursor, and 80 messages are there.
    ['Move', 56],
    ['SubscriptionWithoutCursor', 56],
  ],
  '/default/rel6': [
    // Cursor 108 was stored at 151, before the unload (157), which sealed 164: behind, but not the source's last word.
    ['Move', 162],
    ['CursorBehindHead', 162],
  ],
  '/default/backlog': [
    // The source stored cursor 132 in unloading (273 and 278, after the deletion at 272) and sealed 199: 67 are at stake.
    ['Move', 279],
    ['BacklogAtStake', 279],
  ],
  // The assignment is 326, `delivery` 328. Never loaded, so never sealed: the drain assigns it to a broker gone at 622
  // (1188), without a seal by its owner, which lives, and takes the marker away (1191).
  '/default/nodeliv': [
    ['AssignedWithoutDelivery', 326],
    ['Move', 1188],
    ['AssignedBeforeSeal', 1188],
    ['AssignedToUnregistered', 1188],
    ['MarkerRemovedBeforeSeal', 1191],
  ],
  '/default/pingpong': [
    // A -> B (433) and B -> A (441). Cursor 109 is of 424; the heads are 119 and 129.
    ['Move', 433],
    ['CursorBehindHead', 433],
    // A (1117) had it from 411 to 428, B loaded it at 434 (state gone): A reuses its log of before.
    ['Move', 441],
    ['CursorBehindHead', 441],
    ['ReturnToProcess', 441],
    // The `state` of B's seal (439) still stands when A takes a producer (442): A has not looked at it.
    ['StateLeftBehind', 442],
    // The drain: sealed at 129 (1187), then assigned. Cursor 119 is of 444.
    ['Move', 1195],
    ['CursorBehindHead', 1195],
  ],
  '/default/rebal': [
    // The marker of 472 says "rebalance": the source destroys what it had, object by object from 477, the cursor at 482.
    ['DestructiveDeletion', 473],
    ['StorageDestroyed', 477],
    ['CursorDestroyed', 482],
  ],
  // Not reliable, moved by the two-phase sequence: clean.
  '/default/reconn': [['Move', 493]],
  '/default/fo-non': [
    // The owner is gone at 622, marker and deletion are one transaction (623).
    ['Failover', 627],
    // The drain of 1117; not reliable.
    ['Move', 1162],
    // The brokers' own failover: 1279 registration gone, 1280 deletion, 1281 marker: for one revision it has neither.
    ['Unowned', 1280],
    ['Failover', 1293],
  ],
  '/default/fo-rel': [
    // No `state` although objects reach 140 and a cursor 108: offset reset. Shows at 671: an object 0 to 19 again.
    ['Failover', 628],
    ['SeedMissing', 628],
    ['OffsetsRepeated', 671],
    // The drain: the source had started at 0 and seals at 19, behind 140.
    ['SealBehind', 1173],
    // fresh54 (675) has no cursor; s is still at 108 of 603. The target's registration ended at 622.
    ['Move', 1178],
    ['SubscriptionWithoutCursor', 1178],
    ['CursorBehindHead', 1178],
    ['AssignedToUnregistered', 1178],
  ],
  '/default/fo-resc': [
    // Seeded (626) with 139, the objects' end and no more: the next offset is 140, right by what the keys know.
    ['Failover', 629],
    ['SeedWithoutMargin', 629],
    // The drain, in order: 1152 marker, 1157 deletion, 1165 seal at 159, 1170 target. fresh580 has no cursor, s is at 107.
    ['Move', 1170],
    ['SubscriptionWithoutCursor', 1170],
    ['CursorBehindHead', 1170],
  ],
  '/default/nat-rel': [
    // The brokers' own unload: 1124 deletion, 1125 target (race B), 1126 marker gone (race A), 1127 seal at 129.
    ['Move', 1125],
    ['AssignedBeforeSeal', 1125],
    ['MarkerRemovedBeforeSeal', 1126],
    // Judged when the seal came: cursor 106 of 1117.
    ['CursorBehindHead', 1127],
    // The target had started at 0: what it seals in the drain is behind the objects (129).
    ['SealBehind', 1180],
    ['Move', 1185],
    ['CursorBehindHead', 1185],
    ['AssignedToUnregistered', 1185],
  ],
  '/default/backlognm': [
    // The drain: 1139 deletion, 1141 target, 1142 cursor 133, 1143 seal at 199, 1145 marker gone: race B without race A.
    ['Move', 1141],
    ['AssignedBeforeSeal', 1141],
    ['BacklogAtStake', 1143],
  ],
  '/default/backlognm2': [
    // The same: 1144 deletion, 1150 target, 1151 cursor 132, 1153 seal at 199, 1156 marker gone.
    ['Move', 1150],
    ['AssignedBeforeSeal', 1150],
    ['BacklogAtStake', 1153],
  ],
  // Native unload (1133) of a topic that is not reliable; then the native failover, as fo-non.
  '/default/nat-1': [
    ['Move', 1134],
    ['Unowned', 1282],
    ['Failover', 1295],
  ],
  '/default/nat-4': [
    // A fresh leader takes the broker that was gone at 622 for an active one (contract 4.4).
    ['Unowned', 1284],
    ['Failover', 1297],
    ['AssignedToUnregistered', 1297],
  ],
  '/default/nat-6': [
    ['Unowned', 1286],
    ['Failover', 1299],
  ],
  '/default/part-part-1': [
    ['Move', 1192],
    ['Unowned', 1288],
    ['Failover', 1301],
  ],
  '/default/part-part-2': [
    ['Unowned', 1290],
    ['Failover', 1303],
  ],
  // The brokers' own creation: assigned one revision before `delivery` (1223, 1228). These two were loaded, within the 1.5 s
  // that a broker waits; by the keys they are what nodeliv is.
  '/default/nat-b1': [['AssignedWithoutDelivery', 1222]],
  '/default/nat-b2': [['AssignedWithoutDelivery', 1227]],
  // A new topic, given to the broker that was gone at 622.
  '/orders/new': [['AssignedToUnregistered', 1265]],
};

const HISTORY_2: Readonly<Record<string, readonly Expected[]>> = {
  '/default/st-nostate': [
    // Objects reach 186 and the cursor 106: no `state`. The next process uploads 0 to 14 over them at 119.
    ['SeedMissing', 102],
    ['Failover', 102],
    ['OffsetsRepeated', 119],
  ],
  '/default/st-seeded': [
    // Seeded with 187, exactly the objects' end; the rest of the old log (188 to 199) is uploaded at 108, and at 130 an object
    // 188 to 202 takes its place: proof that the seed was behind the head.
    ['Failover', 105],
    ['SeedWithoutMargin', 105],
    ['OffsetsRepeated', 130],
  ],
  '/default/sg-a': [
    ['Failover', 232],
    // In order, and all was received; the stored cursor (107 of 190) just does not show it.
    ['Move', 270],
    ['CursorBehindHead', 270],
  ],
  '/default/sg-b': [['Failover', 236]],
  // The next process registered at the same address (346), which ends the old one; its lease ran until 369.
  '/default/ip-rel': [['Failover', 350]],
  '/default/ip-non': [['Failover', 351]],
  '/default/idle2': [
    // Sealed at 139 twice: nothing was written on B. Cursor 110 is of 1636, older than both unloads.
    ['Move', 1645],
    ['CursorBehindHead', 1645],
    ['Move', 1652],
    ['CursorBehindHead', 1652],
  ],
  '/default/backsrc': [
    // Sealed at 1690 and back at the source (1693) with `state` untouched; a producer is there at 1694, and `state` still.
    ['ReturnToSource', 1693],
    ['StateLeftBehind', 1694],
  ],
  '/default/bounce': [
    // The target drains since 1727. It deletes the assignment (1733) and says so (1734): not an unowned topic.
    ['Move', 1732],
    ['CursorBehindHead', 1732],
    ['AssignedToInactive', 1732],
    ['Bounced', 1734],
  ],
  '/default/late': [
    // Rolled back at 1763, before the stopped source had looked: it destroys objects from 1766 and the cursor at 1771.
    ['MarkerRemovedBeforeSeal', 1763],
    ['StorageDestroyed', 1766],
    ['CursorDestroyed', 1771],
  ],
};

/** Not about a topic: brokers elect themselves at the start and after each release; the external holder takes over. */
const LEADERS: readonly Expected[] = [
  ['LeaderRace', 16],
  ['LeaderRace', 17],
  ['LeaderTakenOver', 30],
  ['LeaderRace', 66],
  ['LeaderRace', 67],
  ['LeaderTakenOver', 125],
  ['LeaderRace', 197],
  ['LeaderRace', 198],
  ['LeaderTakenOver', 235],
  ['LeaderRace', 334],
  ['LeaderRace', 335],
  ['LeaderTakenOver', 354],
  ['LeaderRace', 517],
  ['LeaderRace', 518],
  ['LeaderTakenOver', 561],
  // Two brokers: the third was killed (622).
  ['LeaderRace', 639],
  ['LeaderTakenOver', 662],
];
const LEADERS_2: readonly Expected[] = [
  ['LeaderRace', 19],
  ['LeaderRace', 20],
  ['LeaderTakenOver', 30],
  ['LeaderTakenOver', 154],
  ['LeaderRace', 284],
  ['LeaderTakenOver', 312],
  ['LeaderTakenOver', 1610],
];

/** At one revision in the order of the catalogue. */
function inOrder(expected: readonly Expected[]): readonly Expected[] {
  const kinds = Object.keys(FINDING_KINDS);
  return expected.toSorted(([one, a], [other, b]) => a - b || kinds.indexOf(one) - kinds.indexOf(other));
}

describe.each([
  { file: 'history', expected: HISTORY, leaders: LEADERS },
  { file: 'history-2', expected: HISTORY_2, leaders: LEADERS_2 },
] as const)('in $file the auditor finds', ({ file, expected, leaders }) => {
  const findings = audit(file);

  it.each(Object.entries(expected))('of %s exactly this', (topic, kinds) => {
    expect(about(findings, topic)).toEqual(inOrder(kinds));
  });

  it('of the leader key exactly this', () => {
    expect(about(findings, undefined)).toEqual(leaders);
  });

  it('of other topics nothing', () => {
    expect(topicsOf(findings)).toEqual(Object.keys(expected).toSorted());
  });
});

describe('a clean topic', () => {
  const findings = [...audit('history'), ...audit('history-2')];

  it.each(['reconn', 'sg-a', 'sg-b', 'ip-rel', 'ip-non', 'idle2'])('(%s) has no violation', (name) => {
    const violations = findings.filter(
      ({ topic, severity }) => topic === `/default/${name}` && severity === 'violation',
    );

    expect(violations).toEqual([]);
  });
});

describe('the auditor', () => {
  it('takes the first holder of the leader key that is no broker for the operator, if nobody says who it is', () => {
    const auditor = createAuditor();

    auditor.apply(recordedHistory('history'));

    expect(about(auditor.findings(), undefined)).toEqual(LEADERS);
  });

  it('reports the external holder when the operator is another', () => {
    const auditor = createAuditor({ leaderId: '7' });

    auditor.apply(recordedHistory('history-2'));

    expect(about(auditor.findings(), undefined)).toContainEqual(['ForeignLeader', 30]);
  });

  it.each(['history', 'history-2'] as const)('that starts in the middle of %s finds the same from there on', (file) => {
    const events = recordedHistory(file);
    const whole = audit(file);
    const middle = 600;
    const entries = standing(events.filter(({ entry }) => entry.modRevision <= middle));
    const auditor = createAuditor({ leaderId, snapshot: { revision: middle, entries } });

    auditor.apply(events.filter(({ entry }) => entry.modRevision > middle));

    const later = (findings: readonly Finding[]) => findings.filter(({ revision }) => revision > middle);
    expect(later(auditor.findings())).toEqual(later(whole));
  });
});
