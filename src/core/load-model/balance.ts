/** What of a picture placement goes by, so that no new topic lands where the next plan would take it away again. */
import type { Balance, BrokerBalance } from '../snapshot.ts';
import type { LoadPicture } from './picture.ts';

/**
 * `above`: how far a broker may be above the mean, as a share of it. Placement may go half that far: what averages do not show yet
 * must fit into the other half.
 */
export function balanceOf({ brokers }: Pick<LoadPicture, 'brokers'>, above: number): Balance {
  const known = brokers
    .filter(({ isKnown }) => isKnown)
    .map(({ broker, level, usage, measuredTopics }): readonly [string, BrokerBalance] => {
      const levels = Object.fromEntries(Object.entries(level).filter(([, value]) => value !== null));
      return [broker, { levels, topics: usage.topics ?? 0, measuredTopics }];
    });
  return { brokers: new Map(known), highestLevel: 1 + above / 2 };
}
