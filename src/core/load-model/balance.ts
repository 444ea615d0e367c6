/** What of a picture placement goes by, so that no new topic lands where the next plan would take it away again. */
import type { Balance } from '../snapshot.ts';
import type { LoadPicture } from './picture.ts';

/** `above`: how far a broker may be above the mean, as a share of it. Brokers that are not known are left out. */
export function balanceOf({ brokers }: Pick<LoadPicture, 'brokers'>, above: number): Balance {
  const levels = brokers
    .filter(({ isKnown }) => isKnown)
    .map(({ broker, level }) => {
      const known = Object.entries(level).filter(([, value]) => value !== null);
      return [broker, Object.fromEntries(known) as Readonly<Partial<Record<keyof typeof level, number>>>] as const;
    });
  return { levels: new Map(levels), highestLevel: 1 + above };
}
