/**
 * The planner: the fewest and cheapest moves that bring every resource of every broker into its band, under hard rules, with a
 * reason for each and a proof of how good the plan is (design §6).
 *
 * Phases: what hard rules ask for; shed (each hot broker gives the smallest set that cures it); place; repair (moves and exchanges,
 * cheaply first, then with more effort for what is left, at last by a walk through worse states); prune; cheapen; order. Each
 * leaves a valid state that is not worse than the one before.
 * The same input gives the same plan: nothing is random, and ties go to the lower index of broker or topic.
 */
import { balanceBounds } from './bounds.ts';
import { type Candidates, createCandidates } from './candidates.ts';
import { cheapen } from './cheapen.ts';
import { balanceFigures, loadsAfter } from './figures.ts';
import { type Forced, placeForced, refusedEverywhere } from './forced.ts';
import { contentHash } from './hash.ts';
import { type Blocked, BrokerRole, type Move, type Plan, type PlannerInput, type PlanOptions } from './input.ts';
import { largestLoads } from './largest-loads.ts';
import { moveBounds, type Reached } from './move-bounds.ts';
import { type Ordered, orderMoves } from './order.ts';
import { placeAll } from './place.ts';
import { prune } from './prune.ts';
import { relaxLow } from './relax.ts';
import { repair } from './repair.ts';
import { ruleName } from './rules.ts';
import { chooseShed } from './shed.ts';
import { createSearch, type Effort } from './steps.ts';
import { WALK, walk, walkToFewerMoves } from './tabu.ts';
import { createWork, energy, isInBand, isMovable, isSettled, isStopped, priceOf, setLimit, type Work } from './work.ts';

/** Largest topics of a hot broker that are weighed for shedding. */
const SHED_DEPTH = 64;
/** Repairs most clusters completely. */
const QUICK: Effort = { partners: 64, topics: 24, exchangePartners: 24, exchangeTopics: 24 };
/** For what is left: few brokers, each worth more work. */
const THOROUGH: Effort = { partners: 256, topics: 96, exchangePartners: 64, exchangeTopics: 64 };

/**
 * Evaluations that the phases may spend on hard cases: counted, not timed, so that the same input gives the same plan. Easy ones
 * need a tenth of it.
 */
const QUICK_LIMIT = 4_000_000;
const QUICK_LIMIT_PER_TOPIC = 10;
const THOROUGH_LIMIT = 4_000_000;
const WALK_LIMIT = 2_000_000;
const FEWER_MOVES_LIMIT = 1_000_000;
const CHEAPEN_LIMIT = 2_000_000;

/** Plans. Takes the input as it is: `readSnapshot` and the operator's gathering check it. */
export function plan(input: PlannerInput, options: PlanOptions = {}): Plan {
  const attempt = search(input, options);
  const { work, forced, stats } = regardlessOfCost(attempt) ?? attempt;
  const stopped = isStopped(work);
  const ordered = orderMoves(work, forced.wanted);
  return describePlan(work, forced, ordered, { ...stats, evaluations: work.evaluations, stopped });
}

interface Attempt {
  readonly work: Work;
  readonly candidates: Candidates;
  readonly forced: Forced;
  readonly stats: Pick<Plan['stats'], 'shed' | 'repaired' | 'pruned' | 'replaced'>;
}

function search(input: PlannerInput, options: PlanOptions): Attempt {
  const work = createWork(input, options);
  const candidates = createCandidates(work);
  relaxLow(work, candidates);
  const forced = placeForced(work, candidates.size);
  // Hard rules may cost balance, and the low side may be relaxed: what comes now is measured against this.
  setLimit(work);
  let shed = 0;
  let repaired = 0;
  let pruned = 0;
  let replaced = 0;
  if (options.mode !== 'Drain') {
    shed = shedAndPlace(work, candidates);
    const quick = QUICK_LIMIT + QUICK_LIMIT_PER_TOPIC * work.home.length;
    repaired = repair(work, candidates, QUICK, work.evaluations + quick);
    if (!isInBand(work)) repaired += repair(work, candidates, THOROUGH, work.evaluations + THOROUGH_LIMIT);
    if (!isInBand(work)) repaired += Number(walk(createSearch(work, candidates, WALK), work.evaluations + WALK_LIMIT));
    pruned = prune(work, candidates.size);
    pruned += walkToFewerMoves(
      createSearch(work, candidates, WALK),
      candidates.size,
      work.evaluations + FEWER_MOVES_LIMIT,
    );
    replaced = cheapen(work, candidates, forced.wanted, work.evaluations + CHEAPEN_LIMIT);
  }
  return { work, candidates, forced, stats: { shed, repaired, pruned, replaced } };
}

/**
 * The band comes before what it costs: where heeding costs has led past it, another attempt that does not, if that one reaches it.
 * Hard rules come before the band: it must not leave more of what they want elsewhere.
 */
function regardlessOfCost({ work, forced }: Attempt): Attempt | undefined {
  const { input, options } = work;
  const { cost, ...plain } = input;
  if (cost === undefined || options.mode === 'Drain' || isInBand(work) || isStopped(work)) return undefined;
  const floors = balanceBounds(work, largestLoads(work));
  if (floors.some(({ level }, resource) => level > (work.high[resource] as number))) return undefined;
  const attempt = search(plain, options);
  if (!isInBand(attempt.work) || attempt.forced.blocked.length > forced.blocked.length) return undefined;
  const priced = { ...attempt.work, input, evaluations: work.evaluations + attempt.work.evaluations };
  const until = priced.evaluations + CHEAPEN_LIMIT;
  const replaced = attempt.stats.replaced + cheapen(priced, attempt.candidates, attempt.forced.wanted, until);
  return { ...attempt, work: priced, stats: { ...attempt.stats, replaced } };
}

function shedAndPlace(work: Work, candidates: Candidates): number {
  const leaving: number[] = [];
  for (let broker = 0; broker < work.brokerCount && !isStopped(work); broker++) {
    if (work.draining[broker] === 1) continue;
    // Not push(...list): a broker may shed more topics than a call may have arguments.
    for (const topic of chooseShed(work, candidates, broker, SHED_DEPTH)) leaving.push(topic);
  }
  placeAll(work, leaving, candidates.size);
  return leaving.length;
}

function describePlan(work: Work, forced: Forced, ordered: Ordered, stats: Plan['stats']): Plan {
  const { input } = work;
  const moves = ordered.topics.map((topic) => describeMove(work, forced, topic));
  const before = balanceFigures(input, work.sums);
  const after = balanceFigures(input, loadsAfter(input, work.sums, moves));
  const largest = largestLoads(work);
  const floors = balanceBounds(work, largest);
  const least = Math.max(
    ...reachedBands(work).flatMap((reached) => Object.values(moveBounds(work, forced, reached, largest))),
  );
  return {
    moves,
    cuts: ordered.cuts,
    cost: moves.reduce((sum, { topic }) => sum + priceOf(work, topic), 0),
    before,
    after,
    inBand: isInBand(work),
    bounds: { balance: floors.map(({ level }) => level), moves: least },
    gap: {
      balance: after.map(({ maxOverMean }, resource) => Math.max(0, maxOverMean / (floors[resource]?.level ?? 1) - 1)),
      moves: least > 0 ? moves.length / least - 1 : 0,
    },
    bindingConstraint: bindingConstraint(work, forced, ordered, floors),
    blocked: forced.blocked.map((blocked) => withRule(input, blocked)),
    hash: contentHash(
      moves.map(({ topic, from, to }) => `${input.topics[topic]}\t${input.brokers[from]}\t${input.brokers[to]}`),
    ),
    stats,
  };
}

/**
 * What any plan that does as well ends within: the band widened to what this plan leaves outside, and the band itself but for as many
 * brokers as this plan leaves outside. The first says little once a giant topic is above the band, the second little once many brokers are.
 */
function reachedBands(work: Work): readonly Reached[] {
  const high = work.high.slice();
  const low = work.low.slice();
  let exempt = 0;
  for (let broker = 0; broker < work.brokerCount; broker++) {
    if (work.draining[broker] === 1) continue;
    if (!isSettled(work, broker)) exempt++;
    for (let resource = 0; resource < work.width; resource++) {
      const level = work.level[broker * work.width + resource] as number;
      high[resource] = Math.max(high[resource] as number, level);
      low[resource] = Math.min(low[resource] as number, level);
    }
  }
  const widened = { high, low, exempt: 0 };
  return exempt === 0 ? [widened] : [widened, { high: work.high, low: work.low, exempt }];
}

function withRule(input: PlannerInput, { topic, wanted, because }: Blocked): Blocked {
  const rule = ruleName(input, topic, wanted);
  return { topic, wanted, ...(rule !== undefined && { rule }), because };
}

function describeMove(work: Work, forced: Forced, topic: number): Move {
  const from = work.home[topic] as number;
  const to = work.owner[topic] as number;
  const wanted = forced.wanted.get(topic);
  if (wanted !== undefined) return { topic, from, to, resource: -1, reason: wanted };
  const over = worstResource(work, from, (level, resource) => level - (work.high[resource] as number), -1);
  if (over !== undefined) return { topic, from, to, resource: over, reason: 'Relieve' };
  const under = worstResource(work, to, (level, resource) => (work.low[resource] as number) - level, 1);
  if (under !== undefined) return { topic, from, to, resource: under, reason: 'Fill' };
  return { topic, from, to, resource: largestResource(work, topic, from), reason: 'Exchange' };
}

/** The resource of which the broker was furthest outside the band, of those that the plan changes in the direction of `sign`. */
function worstResource(
  work: Work,
  broker: number,
  distanceOf: (level: number, resource: number) => number,
  sign: number,
): number | undefined {
  let worst: number | undefined;
  let furthest = 0;
  for (let resource = 0, at = broker * work.width; resource < work.width; resource++, at++) {
    const before = work.levelBefore[at] as number;
    const distance = distanceOf(before, resource);
    if (distance <= furthest || sign * ((work.level[at] as number) - before) <= 0) continue;
    worst = resource;
    furthest = distance;
  }
  return worst;
}

function largestResource(work: Work, topic: number, broker: number): number {
  let best = 0;
  let most = -1;
  for (let resource = 0; resource < work.width; resource++) {
    const at = broker * work.width + resource;
    const level = (work.input.loads[topic * work.width + resource] as number) * (work.scale[at] as number);
    if (level > most) {
      most = level;
      best = resource;
    }
  }
  return best;
}

/** What keeps the plan from being better, in words for the person who can change it. */
function bindingConstraint(
  work: Work,
  forced: Forced,
  ordered: Ordered,
  floors: ReturnType<typeof balanceBounds>,
): string {
  const { input } = work;
  const [blocked] = forced.blocked;
  if (blocked !== undefined) {
    const name = input.topics[blocked.topic];
    const broker = input.brokers[work.home[blocked.topic] as number];
    const others = forced.blocked.length > 1 ? ` and ${forced.blocked.length - 1} more` : '';
    const rule = ruleName(input, blocked.topic, blocked.wanted);
    const wanted = rule === undefined ? blocked.wanted : `${blocked.wanted}, rule ${rule}`;
    return `topic ${name}${others} cannot leave broker ${broker} (${wanted}): ${blocked.because}`;
  }
  if (ordered.cut) return `the budget ends the plan after ${ordered.topics.length} moves`;
  // What a bound says is not what keeps a plan from being better that moves nothing for balance.
  if (work.options.mode === 'Drain' && !isInBand(work)) return stuckBecause(work);
  let tightest = -1;
  for (let r = 0; r < floors.length; r++) {
    const slack = (floors[r]?.level ?? 1) - (work.high[r] as number);
    if (slack > 0 && (tightest < 0 || slack > (floors[tightest]?.level ?? 1) - (work.high[tightest] as number)))
      tightest = r;
  }
  const floor = floors[tightest];
  if (floor !== undefined) {
    return `${floor.because}: ${input.resources[tightest]} cannot go below ${floor.level.toFixed(2)} × mean`;
  }
  if (!isInBand(work)) return stuckBecause(work);
  const isOneSided = work.options.mode === 'HotSpots';
  return isOneSided ? 'none: no broker is above the band' : 'none: every resource of every broker is within the band';
}

/** The band is not reached, and no bound says why: the mode, or what keeps topics from the worst broker or on it. */
function stuckBecause(work: Work): string {
  const { input } = work;
  let worst = 0;
  for (let broker = 1; broker < work.brokerCount; broker++) {
    if (energy(work, broker) > energy(work, worst)) worst = broker;
  }
  let resource = 0;
  let distance = 0;
  for (let r = 0; r < work.width; r++) {
    const level = work.level[worst * work.width + r] as number;
    const own = Math.max(level - (work.high[r] as number), (work.low[r] as number) - level);
    if (own > distance) {
      distance = own;
      resource = r;
    }
  }
  const level = work.level[worst * work.width + resource] as number;
  const where = `broker ${input.brokers[worst]} stays at ${level.toFixed(2)} × mean of ${input.resources[resource]}`;
  if (work.options.mode === 'Drain') return `${where}: only what must leave its broker moves, nothing for balance`;
  if (isStopped(work)) return `the time allowed: ${where}`;
  if (!work.receives.includes(1)) return `${where}: no broker may receive topics`;
  if (level < 1) return `${where}: ${roomUnusedBecause(work, worst)}`;
  let largest = -1;
  for (let topic = 0; topic < work.home.length; topic++) {
    if (work.owner[topic] !== worst || !isMovable(work, topic)) continue;
    const at = topic * work.width + resource;
    if (largest < 0 || (input.loads[at] as number) > (input.loads[largest * work.width + resource] as number))
      largest = topic;
  }
  if (largest < 0) return `${where}: none of its topics may move`;
  return `${where}: its largest movable topic is ${input.topics[largest]}; ${refusedEverywhere(work, largest)}`;
}

/** Why a broker stays below the band. */
function roomUnusedBecause(work: Work, broker: number): string {
  if (work.receives[broker] === 1) return 'no topic fits there without taking another broker out of the band';
  return work.input.roles?.[broker] === BrokerRole.Closed
    ? 'it takes no topics now'
    : 'this plan moves topics only to others';
}
