/** Model, detection and planner together, in the cases in which balancers that trust stale or false figures fail. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DetectionOptions, type DetectionState, detect } from '../planner/detection.ts';
import { balanceFigures, brokerLoads } from '../planner/figures.ts';
import type { Plan, PlannerInput } from '../planner/input.ts';
import { plan } from '../planner/plan.ts';
import { createLoadModel, type LoadModel } from './model.ts';
import { createTestCluster, type TestCluster, type TrueTopic } from './test-cluster.ts';

const DETECTION: DetectionOptions = { band: { above: 0.09, below: 0.09 }, sustainedSeconds: 180, minActiveBrokers: 2 };
/** What is worth balancing in these clusters; counts of topics are not. */
const RESOURCES = ['cpu', 'networkIn', 'networkOut'] as const;

function topics(owner: string, count: number, kilobytesIn: number): Readonly<Record<string, TrueTopic>> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`/default/${owner}-${index}`, { owner, kilobytesIn }]),
  );
}

function watch(cluster: TestCluster, model: LoadModel, from: number, until: number): void {
  for (let second = from; second <= until; second += 10) {
    cluster.sample(second);
    model.observe(cluster.observation(second));
  }
}

function planFor(model: LoadModel): { readonly input: PlannerInput; readonly made: Plan } {
  const { input } = model.picture({ resources: RESOURCES });
  return { input, made: plan(input, { band: DETECTION.band }) };
}

function carryOut(cluster: TestCluster, input: PlannerInput, made: Plan): void {
  for (const { topic, to } of made.moves) cluster.move(input.topics[topic] ?? '', input.brokers[to]);
}

describe('a broker that has shed', () => {
  const hot = () =>
    createTestCluster(
      { '1': {}, '2': {}, '3': {} },
      { ...topics('1', 60, 20), ...topics('2', 40, 10), ...topics('3', 40, 10) },
    );

  it('does not shed again for samples and reports from before its moves', () => {
    const cluster = hot();
    const model = createLoadModel();
    watch(cluster, model, 0, 300);
    const first = planFor(model);
    cluster.sample(310);

    carryOut(cluster, first.input, first.made);
    const later = [311, 320, 340, 380, 450].map((second) => {
      model.observe(cluster.observation(second));
      return planFor(model).made.moves.length;
    });

    expect(first.made.moves.length).toBeGreaterThan(5);
    expect(later).toEqual([0, 0, 0, 0, 0]);
  });

  it('does not shed again for an average that still remembers how it was', () => {
    const cluster = hot();
    const model = createLoadModel();
    watch(cluster, model, 0, 300);
    const first = planFor(model);

    carryOut(cluster, first.input, first.made);
    let moves = 0;
    for (let second = 310; second <= 900; second += 10) {
      watch(cluster, model, second, second);
      moves += planFor(model).made.moves.length;
    }

    expect(moves).toBe(0);
  });

  it('does so for load that has really come since', () => {
    const cluster = hot();
    const model = createLoadModel();
    watch(cluster, model, 0, 300);
    const first = planFor(model);
    carryOut(cluster, first.input, first.made);
    watch(cluster, model, 310, 600);

    const stayed = first.input.topics.find(
      (name, topic) => name.startsWith('/default/1') && !first.made.moves.some((move) => move.topic === topic),
    );
    cluster.setTopic(stayed ?? '', { kilobytesIn: 400 });
    watch(cluster, model, 610, 900);

    expect(planFor(model).made.moves.length).toBeGreaterThan(0);
  });
});

describe('a broker that is changed all the time', () => {
  it('becomes unknown, and is left alone until a sample shows what came of it', () => {
    const ids = ['1', '2', '3', '4', '5', '6', '7', '8'];
    const cluster = createTestCluster(
      Object.fromEntries(ids.map((id) => [id, {}])),
      Object.assign({}, ...ids.map((id) => topics(id, 40, id === '1' ? 30 : 10))),
    );
    const model = createLoadModel();
    watch(cluster, model, 0, 300);
    const isKnown = () => model.picture().brokers.find(({ broker }) => broker === '1')?.isKnown;

    // To and fro, every ten seconds, for more than three minutes.
    for (let second = 310; second <= 500; second += 10) {
      cluster.move('/default/1-0', second % 20 === 0 ? '1' : '2');
      watch(cluster, model, second, second);
    }
    const { input, made } = planFor(model);

    expect(isKnown()).toBe(false);
    expect(made.moves.filter(({ from }) => input.brokers[from] === '1')).toEqual([]);
    watch(cluster, model, 510, 530);
    expect(isKnown()).toBe(true);
  });
});

describe('a broker with topics that live for seconds', () => {
  it('stays known: what the end of one changes is next to nothing', () => {
    const shortLived = (second: number) => `/default/short-${second}`;
    const ids = ['1', '2', '3'];
    const cluster = createTestCluster(
      Object.fromEntries(ids.map((id) => [id, {}])),
      Object.assign({}, ...ids.map((id) => topics(id, 40, 20))),
    );
    const model = createLoadModel();
    watch(cluster, model, 0, 300);

    for (let second = 310; second <= 700; second += 10) {
      cluster.setTopic(shortLived(second), { owner: '1', kilobytesIn: 1 });
      cluster.move(shortLived(second - 20), undefined);
      watch(cluster, model, second, second);
    }

    const { brokers, unplanned } = model.picture();
    expect(brokers.map(({ isKnown }) => isKnown)).toEqual([true, true, true]);
    expect(unplanned.filter(({ reason }) => reason === 'Unknown').map(({ resource }) => resource)).toEqual(['backlog']);
    expect(brokers[0]?.usage.cpu).toBeCloseTo(cluster.cpuOf('1'), 1);
  });
});

describe('detection on the model', () => {
  function verdicts(cluster: TestCluster, from: number, until: number, change: (second: number) => void) {
    const model = createLoadModel();
    watch(cluster, model, from - 300, from - 10);
    let state: DetectionState = new Map();
    const seen: string[] = [];
    for (let second = from; second <= until; second += 10) {
      change(second);
      watch(cluster, model, second, second);
      const { input } = model.picture({ topics: false, resources: RESOURCES });
      const detection = detect({ input, options: DETECTION, previous: state, nowSeconds: second });
      state = detection.state;
      seen.push(detection.verdict);
    }
    return seen;
  }

  const even = () =>
    createTestCluster(
      { '1': {}, '2': {}, '3': {} },
      { ...topics('1', 30, 20), ...topics('2', 30, 20), ...topics('3', 30, 20) },
    );

  it('moves nothing for a spike of two minutes, and moves when it lasts', () => {
    const load = (cluster: TestCluster, kilobytesIn: number) => cluster.setTopic('/default/1-0', { kilobytesIn });
    const [spiking, lasting] = [even(), even()];

    const spike = verdicts(spiking, 300, 1200, (second) => load(spiking, second >= 320 && second < 440 ? 300 : 20));
    const last = verdicts(lasting, 300, 1200, (second) => load(lasting, second >= 320 ? 300 : 20));

    expect(spike).toContain('NotSustained');
    expect(spike).not.toContain('Imbalanced');
    expect(spike.at(-1)).toBe('WithinBand');
    expect(last.indexOf('Imbalanced')).toBeGreaterThanOrEqual(20);
    expect(last.at(-1)).toBe('Imbalanced');
  });

  it('sees one hot broker among a hundred, which the coefficient of variation hides', () => {
    const ids = Array.from({ length: 100 }, (_, index) => String(index + 1));
    const cluster = createTestCluster(
      Object.fromEntries(ids.map((id) => [id, {}])),
      Object.assign({}, ...ids.map((id) => topics(id, 10, id === '7' ? 80 : 40))),
    );
    const model = createLoadModel();
    watch(cluster, model, 0, 0);
    const { input } = model.picture({ topics: false, resources: ['cpu'] });

    const { outside, figures } = detect({ input, options: DETECTION, previous: new Map(), nowSeconds: 0 });

    expect(outside.map(({ broker, side }) => [broker, side])).toEqual([['7', 'Above']]);
    expect(figures[0]?.cv).toBeLessThan(0.1);
    expect(figures[0]?.maxOverMean).toBeGreaterThan(1.7);
  });
});

describe('brokers that differ', () => {
  it('get load by their size: 1 : 1 : 2', () => {
    const cluster = createTestCluster(
      { '1': { cpuLimit: 2 }, '2': { cpuLimit: 2 }, '3': { cpuLimit: 4 } },
      { ...topics('1', 60, 10), ...topics('2', 10, 10), ...topics('3', 10, 10) },
    );
    const model = createLoadModel();
    watch(cluster, model, 0, 300);

    const { input, made } = planFor(model);
    carryOut(cluster, input, made);

    const [one, two, three] = ['1', '2', '3'].map((id) => cluster.cpuOf(id)) as [number, number, number];
    expect(made.inBand).toBe(true);
    for (const ratio of [one / two, (2 * one) / three, (2 * two) / three]) {
      expect(ratio).toBeGreaterThan(0.83);
      expect(ratio).toBeLessThan(1.2);
    }
  });
});

describe('an agent that is not believed', () => {
  it('neither attracts nor sheds topics, whatever it says', () => {
    const cluster = createTestCluster(
      { '1': {}, '2': {}, '3': {}, '4': { idleCpu: 3.9, lie: 'its figures are of another cgroup' } },
      { ...topics('1', 60, 20), ...topics('2', 40, 10), ...topics('3', 40, 10), ...topics('4', 40, 10) },
    );
    const model = createLoadModel();
    watch(cluster, model, 0, 300);

    const { input, made } = planFor(model);

    const liar = input.brokers.indexOf('4');
    expect(made.moves.length).toBeGreaterThan(0);
    expect(made.moves.filter(({ from, to }) => from === liar || to === liar)).toEqual([]);
    expect(made.inBand).toBe(true);
  });
});

describe('whatever happens', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('move' as const), topic: fc.nat(29), to: fc.nat(3) }),
    fc.record({ kind: fc.constant('unown' as const), topic: fc.nat(29) }),
    fc.record({ kind: fc.constant('sample' as const), broker: fc.nat(3) }),
    fc.record({ kind: fc.constant('traffic' as const), topic: fc.nat(29), kilobytesIn: fc.nat(500) }),
    fc.record({ kind: fc.constant('agent' as const), broker: fc.nat(3), lies: fc.boolean() }),
    fc.record({ kind: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 300 }) }),
  );
  const names = Array.from({ length: 30 }, (_, index) => `/default/t${index}`);
  const ids = ['1', '2', '3', '4'];

  it('the planner gets loads, capacities and a rest that are finite and not negative, and in the end the truth', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const cluster = createTestCluster(
          Object.fromEntries(ids.map((id) => [id, {}])),
          Object.fromEntries(names.map((name, index) => [name, { owner: ids[index % 4] ?? '1', kilobytesIn: 40 }])),
        );
        const model = createLoadModel();
        let second = 0;
        watch(cluster, model, second, second);
        for (const change of steps) {
          if (change.kind === 'move') cluster.move(names[change.topic] ?? '', ids[change.to]);
          if (change.kind === 'unown') cluster.move(names[change.topic] ?? '', undefined);
          if (change.kind === 'sample') cluster.sample(second, [ids[change.broker] ?? '']);
          if (change.kind === 'traffic') {
            cluster.setTopic(names[change.topic] ?? '', { kilobytesIn: change.kilobytesIn });
          }
          if (change.kind === 'agent') {
            cluster.setBroker(ids[change.broker] ?? '', change.lies ? { lie: 'a lie' } : { hasAgent: true });
          }
          if (change.kind === 'wait') second += change.seconds;
          second += 1;
          model.observe(cluster.observation(second));

          const { input, brokers } = model.picture();
          for (const column of [input.loads, input.capacity, input.background ?? []]) {
            for (const figure of column) expect(figure).toBeGreaterThanOrEqual(0);
          }
          for (const figure of input.loads) expect(figure).toBeLessThan(1e12);
          for (const figures of balanceFigures(input, brokerLoads(input))) expect(figures.maxOverMean).not.toBeNaN();
          for (const { usage } of brokers) expect(usage.topics).not.toBeNull();
        }

        // Nothing that was remembered stays wrong.
        for (const id of ids) cluster.setBroker(id, { hasAgent: true });
        for (let later = second + 60; later <= second + 900; later += 60) {
          cluster.sample(later);
          model.observe(cluster.observation(later));
        }
        for (const { broker, usage, isKnown } of model.picture().brokers) {
          const isBelieved = isKnown && usage.cpu !== null;
          if (isBelieved) expect(usage.cpu).toBeCloseTo(cluster.cpuOf(broker), 2);
        }
      }),
      { numRuns: 25 },
    );
  });

  it('moves by themselves make and lose nothing: what one broker has less the other has more', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(29), fc.nat(3)), { minLength: 1, maxLength: 20 }), (moves) => {
        const cluster = createTestCluster(
          Object.fromEntries(ids.map((id) => [id, {}])),
          Object.fromEntries(
            names.map((name, index) => [name, { owner: ids[index % 4] ?? '1', kilobytesIn: 10 * (index % 7) }]),
          ),
        );
        const model = createLoadModel();
        for (const second of [0, 100, 200, 300]) watch(cluster, model, second, second);
        const total = () => model.picture().brokers.reduce((sum, { usage }) => sum + (usage.cpu ?? Number.NaN), 0);
        const before = total();

        for (const [index, [topic, to]] of moves.entries()) {
          cluster.move(names[topic] ?? '', ids[to]);
          model.observe(cluster.observation(301 + index));
        }

        expect(total()).toBeCloseTo(before, 6);
        for (const { broker, usage } of model.picture().brokers) {
          expect(Math.abs((usage.cpu ?? Number.NaN) - cluster.cpuOf(broker))).toBeLessThan(0.15);
        }
      }),
      { numRuns: 40 },
    );
  });
});
