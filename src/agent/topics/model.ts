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
 *   it carried next to nothing, 0 as long as there was none. What a move takes along is the traffic's part alone.
 * - A topic without traffic costs nothing. Connections are not charged: in Danube an idle one costs memory, not CPU.
 *
 * The parts always add up to the broker's CPU without its idle part: errors of the model are errors of distribution.
 */
const bytesPerMessageCost = 8_192;

/** Below this, in messages per second, an interval shows the broker's idle CPU. */
const nextToNothing = 1;

/** What a topic's traffic weighs, in messages per second. */
export function trafficWeight(messagesPerSecond: number, bytesPerSecond: number): number {
  return messagesPerSecond + bytesPerSecond / bytesPerMessageCost;
}

/** The CPU of a broker's process while it has nothing to do, in cores, learned from its quiet intervals. */
export interface IdleCost {
  /** @returns the cores to be attributed to topics in this interval, whose traffic weighs `totalWeight`. */
  readonly attributable: (cores: number, totalWeight: number) => number;
  /** Another process has taken the broker's place. */
  readonly forget: () => void;
}

export function createIdleCost(): IdleCost {
  let idleCores = Number.POSITIVE_INFINITY;
  return {
    attributable(cores, totalWeight) {
      if (totalWeight < nextToNothing) idleCores = Math.min(idleCores, cores);
      return Math.max(0, cores - (Number.isFinite(idleCores) ? idleCores : 0));
    },
    forget() {
      idleCores = Number.POSITIVE_INFINITY;
    },
  };
}
