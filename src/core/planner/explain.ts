/** Why a topic moves, stays, or may not go somewhere: asked of the same rules and the same sums that made the plan. */
import { immovableBecause } from './forced.ts';
import type { Move, Plan, PlannerInput, PlanOptions } from './input.ts';
import { Refusal, refusal, ruleName } from './rules.ts';
import { assign, createWork, isMovable, isSettled, levelOf, type Work } from './work.ts';

export type WhyNotCode =
  | 'Planned'
  | 'AlreadyThere'
  | 'NotMovable'
  | 'BrokerDraining'
  | 'BrokerClosed'
  | 'BrokerNotInScope'
  | 'NotAllowed'
  | 'SpreadOverBrokers'
  | 'SpreadOverDomains'
  | 'Headroom'
  | 'NotPreferred'
  | 'LeavesBand'
  | 'SourceLeavesBand'
  | 'NotNeeded';

export interface WhyNot {
  readonly code: WhyNotCode;
  readonly text: string;
}

export interface Explanation {
  readonly move: Move | undefined;
  readonly text: string;
  /** For every broker but the topic's own and its target, why the topic does not go there. */
  readonly others: readonly { readonly code: WhyNotCode; readonly count: number }[];
}

export interface Explainer {
  explain(topic: number): Explanation;
  /** Against the state that the plan reaches. */
  whyNot(topic: number, broker: number): WhyNot;
}

/** `input` and `options` must be those of the plan. */
export function createExplainer(input: PlannerInput, options: PlanOptions, plan: Plan): Explainer {
  const work = createWork(input, options);
  const moves = new Map(plan.moves.map((move) => [move.topic, move]));
  for (const { topic, to } of plan.moves) assign(work, topic, to);
  return {
    whyNot: (topic, broker) => whyNot(work, moves.get(topic), topic, broker),
    explain(topic) {
      const move = moves.get(topic);
      const counts = new Map<WhyNotCode, number>();
      for (let broker = 0; broker < work.brokerCount; broker++) {
        if (broker === work.owner[topic] || broker === work.home[topic]) continue;
        const { code } = whyNot(work, move, topic, broker);
        counts.set(code, (counts.get(code) ?? 0) + 1);
      }
      const others = [...counts].map(([code, count]) => ({ code, count })).sort((a, b) => b.count - a.count);
      return { move, text: move === undefined ? stayText(work, topic) : moveText(work, move), others };
    },
  };
}

function whyNot(work: Work, move: Move | undefined, topic: number, broker: number): WhyNot {
  const { input } = work;
  const name = input.topics[topic];
  const target = input.brokers[broker];
  if (move?.to === broker) return { code: 'Planned', text: `the plan moves ${name} to ${target}` };
  const hard = refusal(work, topic, broker);
  if (hard !== Refusal.None) return hardText(work, topic, broker, hard);
  const above = worstAfter(work, topic, broker, 1);
  if (above !== undefined) return { code: 'LeavesBand', text: `${target} would be at ${above}` };
  const from = work.owner[topic] as number;
  const below = isSettled(work, from) ? worstAfter(work, topic, from, -1) : undefined;
  if (below !== undefined)
    return { code: 'SourceLeavesBand', text: `without it, ${input.brokers[from]} would be at ${below}` };
  return { code: 'NotNeeded', text: `${target} could take ${name}; the plan needs no further move of it` };
}

/** The resource that would be furthest outside the band if the topic came (sign 1) or left (sign −1); undefined if none would be. */
function worstAfter(work: Work, topic: number, broker: number, sign: number): string | undefined {
  let worst = 0;
  let text: string | undefined;
  for (let resource = 0; resource < work.width; resource++) {
    const change = sign * levelOf(work, topic, broker, resource);
    const level = (work.level[broker * work.width + resource] as number) + change;
    const limit = (sign > 0 ? work.high[resource] : work.low[resource]) as number;
    const distance = sign * (level - limit);
    if (distance <= worst) continue;
    worst = distance;
    text = `${level.toFixed(2)} × mean of ${work.input.resources[resource]}, and the band ends at ${limit.toFixed(2)}`;
  }
  return text;
}

function hardText(work: Work, topic: number, broker: number, hard: number): WhyNot {
  const { input } = work;
  const name = input.topics[topic];
  const target = input.brokers[broker];
  const group = ruleName(input, topic, 'Spread');
  const domain = input.spread?.domains?.[input.spread.domainOf?.[broker] ?? -1] ?? 'its domain';
  const rule = ruleName(input, topic, 'NotAllowed');
  switch (hard) {
    case Refusal.NotMovable:
      return { code: 'NotMovable', text: `${name} may not move: ${immovableBecause(work, topic)}` };
    case Refusal.AlreadyThere:
      return { code: 'AlreadyThere', text: `${name} is on ${target}` };
    case Refusal.BrokerDraining:
      return { code: 'BrokerDraining', text: `${target} is being drained` };
    case Refusal.BrokerClosed:
      return { code: 'BrokerClosed', text: `${target} takes no topics now` };
    case Refusal.BrokerNotInScope:
      return { code: 'BrokerNotInScope', text: `this plan moves topics only to the brokers it was made for` };
    case Refusal.NotAllowed:
      return { code: 'NotAllowed', text: `rule ${rule} does not allow ${target}` };
    case Refusal.SpreadOverBrokers:
      return { code: 'SpreadOverBrokers', text: `${target} already has as many topics of rule ${group} as it may` };
    case Refusal.SpreadOverDomains:
      return { code: 'SpreadOverDomains', text: `${domain} already has as many topics of rule ${group} as it may` };
    case Refusal.NotPreferred:
      return { code: 'NotPreferred', text: `rule ${rule} prefers other brokers than ${target}` };
    default:
      return {
        code: 'Headroom',
        text: `${target} would be filled beyond ${Math.round(100 * (work.options.headroom ?? 1))} % of its capacity`,
      };
  }
}

function stayText(work: Work, topic: number): string {
  const { input } = work;
  const broker = work.owner[topic] as number;
  const name = input.topics[topic];
  if (!isMovable(work, topic)) return `${name} may not move: ${immovableBecause(work, topic)}`;
  if (isSettled(work, broker)) return `${name} stays: ${input.brokers[broker]} is within the band with it`;
  return `${name} stays: no move of it brings the cluster nearer to the band`;
}

function moveText(work: Work, move: Move): string {
  const { input } = work;
  const [name, from, to] = [input.topics[move.topic], input.brokers[move.from], input.brokers[move.to]];
  const broker = move.reason === 'Fill' ? move.to : move.from;
  const at = broker * work.width + move.resource;
  const rule = ruleName(input, move.topic, move.reason);
  const change = `${work.levelBefore[at]?.toFixed(2)} to ${work.level[at]?.toFixed(2)} × mean of ${input.resources[move.resource]}`;
  switch (move.reason) {
    case 'Drain':
      return `${name} leaves ${from}, which is being drained, for ${to}`;
    case 'NotAllowed':
      return `${name} goes to ${to}: rule ${rule} does not allow ${from}`;
    case 'Spread':
      return `${name} goes to ${to}: ${from} or its domain has too many topics of rule ${rule}`;
    case 'Relieve':
      return `${name} goes to ${to}: the plan brings ${from} from ${change}`;
    case 'Fill':
      return `${name} goes to ${to}: the plan brings it from ${change}`;
    case 'Exchange':
      return `${name} goes to ${to} in exchange, so that another move fits`;
  }
}
