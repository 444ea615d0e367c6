/** The topics with the largest loads of each resource, found in one pass: what most bounds are made of. */
import { isMovable, type Work } from './work.ts';

/** As many of each resource are known. */
export const LARGEST = 64;

/** Per resource, movable topics by their load, largest first, at most `LARGEST`; ties by index. */
export function largestLoads(work: Work): readonly (readonly number[])[] {
  const { width } = work;
  const { loads } = work.input;
  const tops: number[][] = Array.from({ length: width }, () => []);
  const least = new Float64Array(width);
  for (let topic = 0, at = 0; topic < work.home.length; topic++) {
    for (let resource = 0; resource < width; resource++, at++) {
      if ((loads[at] as number) <= (least[resource] as number) || !isMovable(work, topic)) continue;
      const top = tops[resource] as number[];
      top.push(topic);
      if (top.length < 4 * LARGEST) continue;
      cut(top, resource);
      least[resource] = loads[(top.at(-1) as number) * width + resource] as number;
    }
  }
  for (const [resource, top] of tops.entries()) cut(top, resource);
  return tops;

  function cut(top: number[], resource: number): void {
    top.sort((a, b) => (loads[b * width + resource] as number) - (loads[a * width + resource] as number) || a - b);
    if (top.length > LARGEST) top.length = LARGEST;
  }
}
