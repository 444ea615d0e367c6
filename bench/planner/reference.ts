/**
 * A plain planner to compare with in the same run, since machines differ and ratios do not: hot brokers shed their best topic one at a
 * time to the best of all brokers, hot and cold brokers then exchange topics, and brokers below the band are filled. No cached lists, no
 * search for small sets, no pruning: what one writes first.
 */
import { brokerLoads, meanUtilisation } from '../../src/core/planner/figures.ts';
import type { PlannerInput } from '../../src/core/planner/input.ts';

export interface ReferencePlan {
  readonly moves: number;
  readonly inBand: boolean;
}

const HIGH = 1.09;
const LOW = 0.91;
/** Largest topics of a broker that are weighed. */
const TOPICS = 160;
const EXCHANGE_TOPICS = 60;
const EXCHANGE_BROKERS = 12;

export function referencePlan(input: PlannerInput): ReferencePlan {
  const width = input.resources.length;
  const count = input.brokers.length;
  const means = meanUtilisation(input, brokerLoads(input));
  const owner = input.owner.slice();
  const level = brokerLoads(input).map(
    (sum, at) => sum / ((means[at % width] as number) * (input.capacity[at] as number)),
  );
  const lists: number[][] = Array.from({ length: count }, () => []);
  for (let topic = 0; topic < owner.length; topic++) lists[owner[topic] as number]?.push(topic);

  function part(topic: number, broker: number, resource: number): number {
    const at = broker * width + resource;
    return (
      (input.loads[topic * width + resource] as number) / ((means[resource] as number) * (input.capacity[at] as number))
    );
  }

  function size(topic: number, broker: number): number {
    let most = 0;
    for (let r = 0; r < width; r++) most = Math.max(most, part(topic, broker, r));
    return most;
  }

  function top(broker: number, most: number): readonly number[] {
    return [...(lists[broker] ?? [])].sort((a, b) => size(b, broker) - size(a, broker) || a - b).slice(0, most);
  }

  function move(topic: number, to: number): void {
    const from = owner[topic] as number;
    for (let r = 0; r < width; r++) {
      level[from * width + r] = (level[from * width + r] as number) - part(topic, from, r);
      level[to * width + r] = (level[to * width + r] as number) + part(topic, to, r);
    }
    lists[from]?.splice(lists[from]?.indexOf(topic) ?? 0, 1);
    lists[to]?.push(topic);
    owner[topic] = to;
  }

  function energy(broker: number, incoming = -1, outgoing = -1): number {
    let sum = 0;
    for (let r = 0; r < width; r++) {
      let next = level[broker * width + r] as number;
      if (incoming >= 0) next += part(incoming, broker, r);
      if (outgoing >= 0) next -= part(outgoing, broker, r);
      sum += Math.max(0, next - HIGH, LOW - next) ** 2;
    }
    return sum;
  }

  function over(broker: number, outgoing = -1): number {
    let sum = 0;
    for (let r = 0; r < width; r++) {
      const next = (level[broker * width + r] as number) - (outgoing < 0 ? 0 : part(outgoing, broker, r));
      sum += Math.max(0, next - HIGH) ** 2;
    }
    return sum;
  }

  function harm(topic: number, broker: number): number {
    let sum = 0;
    for (let r = 0; r < width; r++) {
      const now = level[broker * width + r] as number;
      const added = part(topic, broker, r);
      if (now + added > HIGH) return Infinity;
      sum += added * (2 * (now - 1) + added);
    }
    return sum;
  }

  const brokers = Array.from({ length: count }, (_, broker) => broker);
  const hottest = (): readonly number[] =>
    [...brokers].sort((a, b) => over(b) - over(a) || a - b).filter((b) => over(b) > 0);
  const fullness = (broker: number): number =>
    level.subarray(broker * width, broker * width + width).reduce((a, b) => a + b, 0);

  for (const broker of hottest()) {
    while (over(broker) > 0) {
      const ranked = top(broker, TOPICS)
        .map((topic) => ({ topic, left: over(broker, topic) }))
        .sort((a, b) => a.left - b.left);
      let target = -1;
      const chosen = ranked.find(({ topic, left }) => {
        if (left >= over(broker)) return false;
        let least = Infinity;
        for (const other of brokers) {
          const own = other === broker ? Infinity : harm(topic, other);
          if (own < least) {
            least = own;
            target = other;
          }
        }
        return least < Infinity;
      });
      if (chosen === undefined || target < 0) break;
      move(chosen.topic, target);
    }
  }

  exchange(hottest());
  for (const broker of [...brokers].sort((a, b) => fullness(a) - fullness(b))) {
    while (energy(broker) > 1e-18) {
      const best = bestFill(broker);
      if (best < 0) break;
      move(best, broker);
    }
  }
  exchange(brokers.filter((broker) => energy(broker) > 1e-18));

  function bestFill(broker: number): number {
    const now = energy(broker);
    let best = -1;
    let most = 1e-15;
    for (const giver of [...brokers].sort((a, b) => fullness(b) - fullness(a)).slice(0, 64)) {
      if (giver === broker) continue;
      const giverNow = energy(giver);
      for (const topic of top(giver, 40)) {
        const gain = now - energy(broker, topic) + giverNow - energy(giver, -1, topic);
        if (gain > most) {
          most = gain;
          best = topic;
        }
      }
    }
    return best;
  }

  function exchange(outside: readonly number[]): void {
    for (const broker of outside) {
      for (let step = 0; step < 20 && energy(broker) > 1e-18; step++) {
        const partners = [...brokers].sort((a, b) => fullness(a) - fullness(b));
        let best: readonly [number, number, number] | undefined;
        let most = 1e-15;
        for (const partner of [...partners.slice(0, EXCHANGE_BROKERS), ...partners.slice(-EXCHANGE_BROKERS)]) {
          if (partner === broker) continue;
          const now = energy(broker) + energy(partner);
          const theirs = top(partner, EXCHANGE_TOPICS);
          for (const out of top(broker, EXCHANGE_TOPICS)) {
            for (const back of theirs) {
              const gain = now - energy(broker, back, out) - energy(partner, out, back);
              if (gain > most) {
                most = gain;
                best = [out, back, partner];
              }
            }
          }
        }
        if (best === undefined) break;
        move(best[0], best[2]);
        move(best[1], broker);
      }
    }
  }

  let moves = 0;
  for (let topic = 0; topic < owner.length; topic++) moves += Number(owner[topic] !== input.owner[topic]);
  return { moves, inBand: brokers.every((broker) => energy(broker) <= 1e-18) };
}
