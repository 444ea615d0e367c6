/** What one topic's subscriptions still have to receive of what was acknowledged to its producer. */

export interface Progress {
  /** The one message that is being sent; it may be received before it is acknowledged. */
  sending(messageId: string): void;
  acked(messageId: string, now: number): void;
  received(subscription: string, messageId: string, now: number): void;
  /** Whether every subscription has received all that was acknowledged. */
  complete(): boolean;
  /** When the oldest of the messages acknowledged from `since` on that a subscription lacks was acknowledged. */
  oldestMissing(subscription: string, since: number): number | undefined;
  /** When a message was last acknowledged or received. */
  lastActivity(): number;
}

export function createProgress(subscriptions: readonly string[], now: number): Progress {
  const missing = new Map(subscriptions.map((name) => [name, new Map<string, number>()]));
  let inFlight = '';
  let early = new Set<string>();
  let activeAt = now;
  return {
    sending(messageId) {
      if (messageId === inFlight) return;
      inFlight = messageId;
      early = new Set();
    },
    acked(messageId, at) {
      activeAt = at;
      for (const [name, messages] of missing) if (!early.has(name)) messages.set(messageId, at);
    },
    received(subscription, messageId, at) {
      activeAt = at;
      if (messageId === inFlight) early.add(subscription);
      missing.get(subscription)?.delete(messageId);
    },
    complete: () => [...missing.values()].every((messages) => messages.size === 0),
    oldestMissing(subscription, since) {
      // In the order of acknowledgement.
      for (const at of missing.get(subscription)?.values() ?? []) if (at >= since) return at;
      return undefined;
    },
    lastActivity: () => activeAt,
  };
}
