import { describe, expect, it } from 'vitest';
import { type LedgerLine, summarize } from './ledger.ts';

const topic = '/default/t';

function subscribed(at: number, subscription = 's'): LedgerLine {
  return { kind: 'subscribed', topic, subscription, at };
}
function acked(messageId: string, offset: string | null, sentAt = 10): LedgerLine {
  return { kind: 'acked', topic, messageId, offset, sentAt, at: sentAt + 1 };
}
function received(messageId: string, offset: string | null, subscription = 's'): LedgerLine {
  return { kind: 'received', topic, subscription, messageId, offset, at: 20 };
}
function summaryOf(...lines: readonly LedgerLine[]) {
  return summarize(lines.map((line) => JSON.stringify(line)));
}

describe('lost', () => {
  it('is what was acknowledged and never received', () => {
    const summary = summaryOf(subscribed(1), acked('m1', '0'), acked('m2', '1'), received('m1', '0'));

    expect(summary).toMatchObject({
      lost: 1,
      perSubscription: [{ topic, subscription: 's', acked: 2, received: 1, lost: 1, redelivered: 0 }],
      lostExamples: [{ topic, subscription: 's', messageId: 'm2', offset: '1' }],
    });
  });

  it('counts for each subscription on its own', () => {
    const summary = summaryOf(subscribed(1, 'a'), subscribed(1, 'b'), acked('m1', '0'), received('m1', '0', 'b'));

    expect(summary.perSubscription.map(({ subscription, lost }) => [subscription, lost])).toEqual([
      ['a', 1],
      ['b', 0],
    ]);
  });

  it('is not what was sent before the subscription existed, nor what was never acknowledged', () => {
    const summary = summaryOf(acked('early', '0', 4), subscribed(5), acked('m1', '1', 5), received('m1', '1'));

    expect(summary.lost).toBe(0);
    expect(summary.perSubscription).toMatchObject([{ acked: 1 }]);
  });

  it('does not exist on non-reliable topics, which promise nothing', () => {
    const summary = summaryOf(subscribed(1), acked('m1', null), acked('m2', null), received('m1', null));

    expect(summary).toMatchObject({ lost: 0, perSubscription: [], messagesAcked: 2, messagesReceived: 1 });
  });

  it('does not depend on the order of lines, nor on which process wrote them', () => {
    const lines = [subscribed(1), acked('m1', '0'), received('m1', '0'), acked('m2', '1'), received('m2', '1')];

    expect(summaryOf(...lines.toReversed())).toEqual(summaryOf(...lines));
  });
});

describe('a repeated offset', () => {
  it('is one offset acknowledged for two different messages', () => {
    const summary = summaryOf(acked('m1', '7'), acked('m2', '7'));

    expect(summary.repeatedOffsets).toBe(1);
    expect(summary.repeatedExamples).toEqual([{ topic, offset: '7', messageIds: ['m1', 'm2'] }]);
  });

  it('is not the same message acknowledged at another offset after a retry', () => {
    expect(summaryOf(acked('m1', '7'), acked('m2', '8'), acked('m1', '9')).repeatedOffsets).toBe(0);
  });

  it('needs no number: offsets beyond 2^53 differ in their last digit', () => {
    expect(summaryOf(acked('m1', '9007199254740993'), acked('m2', '9007199254740992')).repeatedOffsets).toBe(0);
  });
});

describe('redelivery', () => {
  it('is counted apart, and is neither lost nor received twice', () => {
    const summary = summaryOf(subscribed(1), acked('m1', '0'), received('m1', '0'), received('m1', '0'));

    expect(summary).toMatchObject({ lost: 0, repeatedOffsets: 0, redelivered: 1 });
    expect(summary.perSubscription).toMatchObject([{ received: 1, redelivered: 1 }]);
  });
});

describe('the rest', () => {
  it('counts interruptions and orderly ends', () => {
    const summary = summaryOf(
      { kind: 'ready', at: 1 },
      { kind: 'interrupted', topic, role: 'topic', reason: 'x', at: 2 },
      { kind: 'final', complete: true, at: 3 },
      { kind: 'final', complete: false, at: 3 },
    );

    expect(summary).toMatchObject({ interruptions: 1, finals: 2, completeFinals: 1 });
  });

  it('counts a line that a kill tore apart, and goes on', () => {
    const summary = summarize([JSON.stringify(acked('m1', '0')), '{"kind":"acked","top', '']);

    expect(summary).toMatchObject({ unreadableLines: 1, messagesAcked: 1 });
  });
});
