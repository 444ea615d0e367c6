/** The balance bound against every plan there is, of small random clusters with rules, closed and draining brokers and stuck topics. */
import { expect, it } from 'vitest';
import { createRandom, type Random } from '../../../bench/planner/random.ts';
import { balanceFigures, brokerLoads } from './figures.ts';
import { BrokerRole, type PlannerInput, type PlanOptions } from './input.ts';
import { plan } from './plan.ts';

const CASES = 600;
const SEED = 1;

interface Case {
  readonly input: PlannerInput;
  readonly options: PlanOptions;
}

function smallCase(random: Random): Case {
  const brokers = 2 + random.index(2);
  const topics = 3 + random.index(3);
  const width = 1 + random.index(2);
  const isLikely = (share: number): boolean => random.uniform() < share;
  const rules = Array.from({ length: isLikely(0.5) ? 1 + random.index(2) : 0 }, (_, rule) => ({
    name: `rule${rule}`,
    allowed: Uint8Array.from({ length: brokers }, () => Number(isLikely(0.6))),
  }));
  const mode = (['Full', 'Full', 'HotSpots', 'ScaleOut'] as const)[random.index(4)] ?? 'Full';
  return {
    input: {
      resources: Array.from({ length: width }, (_, resource) => `r${resource}`),
      brokers: Array.from({ length: brokers }, (_, broker) => `b${broker}`),
      topics: Array.from({ length: topics }, (_, topic) => `t${topic}`),
      capacity: Float64Array.from({ length: brokers * width }, () => (isLikely(0.3) ? 20 : 10)),
      loads: Float64Array.from({ length: topics * width }, () => random.index(isLikely(0.2) ? 9 : 4)),
      owner: Int32Array.from({ length: topics }, () => (isLikely(0.5) ? 0 : random.index(brokers))),
      roles: Uint8Array.from({ length: brokers }, () => (isLikely(0.3) ? 1 + random.index(2) : 0)),
      immovable: { of: Uint8Array.from({ length: topics }, () => Number(isLikely(0.15))), reasons: ['Excluded'] },
      placement: { of: Int32Array.from({ length: topics }, () => random.index(rules.length + 1) - 1), rules },
      ...(isLikely(0.3) && { background: Float64Array.from({ length: brokers * width }, () => random.index(3)) }),
    },
    options: { mode, ...(mode === 'ScaleOut' && { scaleOutTo: [brokers - 1] }) },
  };
}

/** Where a plan may leave a topic. Written from the rules, not from the planner. */
function placesOf({ input, options }: Case, topic: number): readonly number[] {
  const home = input.owner[topic] ?? 0;
  if (input.immovable?.of[topic] === 1) return [home];
  const rule = input.placement?.rules[input.placement.of[topic] ?? -1];
  const isInScope = (broker: number): boolean => options.scaleOutTo?.includes(broker) ?? true;
  const others = [...input.brokers.keys()].filter(
    (broker) =>
      broker !== home &&
      input.roles?.[broker] === BrokerRole.Active &&
      isInScope(broker) &&
      rule?.allowed[broker] !== 0,
  );
  const mustLeave = input.roles?.[home] === BrokerRole.Draining || rule?.allowed[home] === 0;
  return mustLeave && others.length > 0 ? others : [home, ...others];
}

/** Per resource, the lowest max/mean of all plans. */
function lowestOfAll(one: Case): readonly number[] {
  const { input } = one;
  const places = input.topics.map((_, topic) => placesOf(one, topic));
  const owner = input.owner.slice();
  const lowest = input.resources.map(() => Infinity);
  const visit = (topic: number): void => {
    if (topic < input.topics.length) {
      for (const broker of places[topic] ?? []) {
        owner[topic] = broker;
        visit(topic + 1);
      }
      return;
    }
    // The mean is that of the cluster as it is: what is stuck where it is does not change with the plan.
    for (const [resource, { maxOverMean }] of balanceFigures(input, brokerLoads({ ...input, owner })).entries()) {
      lowest[resource] = Math.min(lowest[resource] ?? Infinity, maxOverMean);
    }
  };
  visit(0);
  return lowest;
}

it(`is never above what some plan reaches, in ${CASES} small cases, seed ${SEED}`, { timeout: 120_000 }, () => {
  const random = createRandom(SEED);
  const wrong: string[] = [];
  let reached = 0;
  for (let number = 0; number < CASES; number++) {
    const one = smallCase(random);
    const { balance } = plan(one.input, one.options).bounds;
    for (const [resource, lowest] of lowestOfAll(one).entries()) {
      const bound = balance[resource] ?? Infinity;
      if (bound > lowest + 1e-6) wrong.push(`case ${number}, r${resource}: ${bound} above ${lowest}`);
      else if (bound > lowest - 1e-6) reached++;
    }
  }
  console.info(`seed ${SEED}: the bound is reached by some plan for ${reached} resources of ${CASES} cases`);

  expect(wrong).toEqual([]);
  expect(reached).toBeGreaterThan(CASES / 2);
});
