/**
 * How the broker's CPU is attributed to its topics. The broker does not measure it, so this is a model; it is stated here
 * alone.
 *
 *     cpu of a topic = (cpu of the broker - idle cpu) × traffic of the topic / traffic of all topics
 *     traffic        = messages + bytes / 8192, each in and out, per second
 *
 * - **A message costs as much as 8 KiB of payload.** Handling one costs some microseconds whatever its size (a frame, a
 *   dispatch, an acknowledgement); a byte costs around a nanosecond (copies, encryption, the log). Fixed shares instead,
 *   such as half by messages and half by bytes, would charge one topic with few large messages half of a broker that is
 *   busy with millions of small ones.
 * - **Out counts as much as in**: each delivery is a message to a consumer, so fan-out is paid for by the topic that has it.
 * - **Idle CPU is the broker's own** (its polling, its watches): the least that this process used in an interval in which
 *   it carried next to nothing, 0 until there were two. What it does in its first minute is no sign of it: a broker that
 *   starts is busy without any traffic. What a move takes along is the traffic's part alone.
 * - A topic without traffic costs nothing. Connections are not charged: in Danube an idle one costs memory, not CPU.
 *
 * The parts always add up to the broker's CPU without its idle part: errors of the model are errors of distribution.
 */
const bytesPerMessageCost = 8_192;

/** Below this, in messages per second, an interval shows the broker's idle CPU. */
const nextToNothing = 1;
/** One alone may have work in it that no topic shows. */
const leastQuietIntervals = 2;
/** While these last, since the agent first saw it, a process may be starting: a minute at the agent's usual interval of 10 s. */
const startingIntervals = 6;

/** What a topic's traffic weighs, in messages per second. */
export function trafficWeight(messagesPerSecond: number, bytesPerSecond: number): number {
  return messagesPerSecond + bytesPerSecond / bytesPerMessageCost;
}

/** The CPU of a broker's process while it has nothing to do, in cores, learned from its quiet intervals. Each process has its own. */
export interface IdleCost {
  /** @returns the cores to be attributed to topics in this interval, whose traffic weighs `totalWeight`. */
  readonly attributable: (cores: number, totalWeight: number) => number;
}

export function createIdleCost(): IdleCost {
  let intervals = 0;
  let quietIntervals = 0;
  let leastCores = Number.POSITIVE_INFINITY;
  return {
    attributable(cores, totalWeight) {
      intervals += 1;
      if (intervals > startingIntervals && totalWeight < nextToNothing) {
        quietIntervals += 1;
        leastCores = Math.min(leastCores, cores);
      }
      return Math.max(0, cores - (quietIntervals < leastQuietIntervals ? 0 : leastCores));
    },
  };
}
