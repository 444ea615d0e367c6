import { describe, expect, it } from 'vitest';
import { createProgress } from './progress.ts';

describe('progress of a topic', () => {
  it('is complete when every subscription has what was acknowledged', () => {
    const progress = createProgress(['a', 'b'], 0);
    progress.sending('m1');
    progress.acked('m1', 1);
    progress.received('a', 'm1', 2);

    expect(progress.complete()).toBe(false);
    progress.received('b', 'm1', 3);
    expect(progress.complete()).toBe(true);
    expect(progress.lastActivity()).toBe(3);
  });

  it('knows a message that arrives before its acknowledgement', () => {
    const progress = createProgress(['a'], 0);
    progress.sending('m1');
    progress.received('a', 'm1', 1);
    progress.acked('m1', 2);

    expect(progress.complete()).toBe(true);
  });

  it('keeps that knowledge when the message is sent again', () => {
    const progress = createProgress(['a'], 0);
    progress.sending('m1');
    progress.received('a', 'm1', 1);
    progress.sending('m1');
    progress.acked('m1', 2);

    expect(progress.complete()).toBe(true);
  });

  it('names the oldest missing message of a period', () => {
    const progress = createProgress(['a'], 0);
    for (const [messageId, at] of [
      ['m1', 5],
      ['m2', 8],
    ] as const) {
      progress.sending(messageId);
      progress.acked(messageId, at);
    }

    expect(progress.oldestMissing('a', 0)).toBe(5);
    expect(progress.oldestMissing('a', 6)).toBe(8);
    expect(progress.oldestMissing('a', 9)).toBeUndefined();
  });
});
