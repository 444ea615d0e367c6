import { describe, expect, it } from 'vitest';
import { brokerLoads, meanUtilisation } from '../planner/figures.ts';
import { BrokerRole } from '../planner/input.ts';
import { at } from '../snapshot-builder.ts';
import { createLoadModel, type LoadModel, type LoadModelOptions } from './model.ts';
import type { LoadPicture } from './picture.ts';
import type { LoadResource } from './resources.ts';
import { createTestCluster, INTERVAL_SECONDS, type TestCluster, type TrueTopic } from './test-cluster.ts';
import { METRICS_UNUSABLE } from './topic-rows.ts';

/** `count` topics of that traffic on the broker. */
function topics(owner: string, count: number, kilobytesIn: number): Readonly<Record<string, TrueTopic>> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`/default/${owner}-${index}`, { owner, kilobytesIn }]),
  );
}

/** Samples and looks every 10 s, up to and with `until`. */
function watch(cluster: TestCluster, model: LoadModel, from: number, until: number): void {
  for (let second = from; second <= until; second += INTERVAL_SECONDS) {
    cluster.sample(second);
    model.observe(cluster.observation(second));
  }
}

function watched(cluster: TestCluster, until = 300, options: LoadModelOptions = {}): LoadModel {
  const model = createLoadModel(options);
  watch(cluster, model, 0, until);
  return model;
}

function usage(picture: LoadPicture, broker: string, resource: LoadResource): number | null | undefined {
  return picture.brokers.find((it) => it.broker === broker)?.usage[resource];
}

function loadOf({ input }: LoadPicture, topic: string, resource: string): number | undefined {
  return input.loads[input.topics.indexOf(topic) * input.resources.length + input.resources.indexOf(resource)];
}

function reasonsOf({ unplanned }: LoadPicture): Readonly<Record<string, string>> {
  return Object.fromEntries(unplanned.map(({ resource, reason }) => [resource, reason]));
}

const THREE = { '1': {}, '2': {}, '3': {} };

describe('the load of a broker', () => {
  it('is what its agent measures, explained by topics and the rest as a constant', () => {
    const cluster = createTestCluster(THREE, {
      ...topics('1', 20, 60),
      ...topics('2', 20, 30),
      ...topics('3', 20, 30),
    });

    const { input, brokers } = watched(cluster).picture();

    expect(input.resources).toEqual(['cpu', 'networkIn', 'networkOut', 'topics', 'connections']);
    expect(brokers[0]?.usage.cpu).toBeCloseTo(cluster.cpuOf('1'), 6);
    expect(brokers[0]?.capacity.cpu).toBe(4);
    const totals = brokerLoads(input);
    expect(totals[0]).toBeCloseTo(cluster.cpuOf('1'), 6);
    expect(input.background?.[0]).toBeCloseTo(0.1, 3);
    // 20 KB/s of network are no topic's.
    expect(input.background?.[1]).toBeCloseTo(20_000, 0);
  });

  it('is an average, so that one sample alone says little', () => {
    const cluster = createTestCluster(THREE, {
      ...topics('1', 20, 30),
      ...topics('2', 20, 30),
      ...topics('3', 20, 30),
    });
    const model = watched(cluster);
    const before = usage(model.picture(), '1', 'cpu') ?? 0;

    cluster.setBroker('1', { idleCpu: 2.1 });
    watch(cluster, model, 310, 310);
    const soon = usage(model.picture(), '1', 'cpu') ?? 0;
    watch(cluster, model, 320, 620);

    expect(soon - before).toBeGreaterThan(0.2);
    expect(soon - before).toBeLessThan(0.5);
    expect(usage(model.picture(), '1', 'cpu')).toBeCloseTo(cluster.cpuOf('1'), 1);
  });

  it('counts a sample once, however often it is looked at', () => {
    const cluster = createTestCluster(THREE, topics('1', 20, 30));
    const model = watched(cluster);
    cluster.setBroker('1', { idleCpu: 2.1 });
    cluster.sample(310);

    model.observe(cluster.observation(310));
    const once = usage(model.picture(), '1', 'cpu');
    for (let second = 311; second < 320; second++) model.observe(cluster.observation(second));

    expect(usage(model.picture(), '1', 'cpu')).toBe(once);
  });
});

describe('a move', () => {
  const hot = () =>
    createTestCluster(THREE, { ...topics('1', 20, 90), ...topics('2', 20, 30), ...topics('3', 20, 30) });

  it('counts at once for both brokers, before any sample shows it', () => {
    const cluster = hot();
    const model = watched(cluster);
    const before = model.picture();
    const load = loadOf(before, '/default/1-0', 'cpu') ?? Number.NaN;

    cluster.move('/default/1-0', '2');
    model.observe(cluster.observation(301));

    const after = model.picture();
    expect(load).toBeGreaterThan(0.1);
    expect(usage(after, '1', 'cpu')).toBeCloseTo((usage(before, '1', 'cpu') ?? 0) - load, 9);
    expect(usage(after, '2', 'cpu')).toBeCloseTo((usage(before, '2', 'cpu') ?? 0) + load, 9);
    expect(loadOf(after, '/default/1-0', 'cpu')).toBeCloseTo(load, 1);
  });

  it('counts the same when nobody has the topic for a while in between', () => {
    const [direct, twoSteps] = [hot(), hot()];
    const models = [watched(direct), watched(twoSteps)] as const;

    direct.move('/default/1-0', '2');
    models[0].observe(direct.observation(301));
    twoSteps.move('/default/1-0', undefined);
    models[1].observe(twoSteps.observation(301));
    const between = models[1].picture();
    twoSteps.move('/default/1-0', '2');
    models[1].observe(twoSteps.observation(305));

    for (const picture of [between, models[1].picture()]) {
      expect(usage(picture, '1', 'cpu')).toBeCloseTo(usage(models[0].picture(), '1', 'cpu') ?? 0, 9);
    }
    expect(usage(models[1].picture(), '2', 'cpu')).toBeCloseTo(usage(models[0].picture(), '2', 'cpu') ?? 0, 2);
  });

  it('is not undone by samples from before it', () => {
    const cluster = hot();
    const model = watched(cluster);
    cluster.sample(305);

    for (let index = 0; index < 10; index++) cluster.move(`/default/1-${index}`, index % 2 === 0 ? '2' : '3');
    model.observe(cluster.observation(306));

    expect(usage(model.picture(), '1', 'cpu')).toBeCloseTo(cluster.cpuOf('1'), 1);
    expect(usage(model.picture(), '2', 'cpu')).toBeCloseTo(cluster.cpuOf('2'), 1);
  });

  it('lets samples count again once they are wholly from after it', () => {
    const cluster = hot();
    const model = watched(cluster);
    cluster.move('/default/1-0', '2');
    model.observe(cluster.observation(301));
    const corrected = usage(model.picture(), '1', 'cpu');

    cluster.setBroker('1', { idleCpu: 1.1 });
    watch(cluster, model, 310, 320);
    const early = usage(model.picture(), '1', 'cpu');
    watch(cluster, model, 330, 330);

    expect(early).toBe(corrected);
    expect(usage(model.picture(), '1', 'cpu')).toBeGreaterThan((corrected ?? 0) + 0.1);
  });

  it.each([
    ['gives', '2', '1'],
    ['takes', '1', '2'],
  ])('is not undone either by the first sample of a broker that %s', (_what, from, to) => {
    const cluster = hot();
    cluster.setBroker('2', { hasAgent: false });
    const model = watched(cluster);
    cluster.setBroker('2', { hasAgent: true });
    cluster.sample(305);

    cluster.move(`/default/${from}-0`, to);
    model.observe(cluster.observation(306));
    const early = usage(model.picture(), '2', 'cpu');
    watch(cluster, model, 310, 330);

    expect(early).toBeNull();
    expect(usage(model.picture(), '2', 'cpu')).toBeCloseTo(cluster.cpuOf('2'), 6);
  });

  it('of a topic that nobody has heard of yet holds up no sample: new topics come all the time', () => {
    const cluster = hot();
    const model = watched(cluster);
    cluster.setTopic('/default/new', { owner: '1', kilobytesIn: 0 });
    model.observe(cluster.observation(301));
    const before = usage(model.picture(), '1', 'cpu') ?? 0;

    cluster.setBroker('1', { idleCpu: 1.1 });
    watch(cluster, model, 310, 310);

    expect(usage(model.picture(), '1', 'cpu')).toBeGreaterThan(before + 0.1);
  });

  it('of an idle topic holds up no sample either', () => {
    const cluster = createTestCluster(THREE, { ...topics('1', 20, 30), ...topics('2', 20, 30), ...topics('3', 20, 0) });
    const model = watched(cluster);
    cluster.move('/default/3-0', '1');
    model.observe(cluster.observation(301));
    const before = usage(model.picture(), '1', 'cpu') ?? 0;

    cluster.setBroker('1', { idleCpu: 1.1 });
    watch(cluster, model, 310, 310);

    expect(usage(model.picture(), '1', 'cpu')).toBeGreaterThan(before + 0.1);
  });

  it('leaves the topic with what it does; what its former owner says of it later does not count', () => {
    const cluster = hot();
    const model = watched(cluster);
    const before = loadOf(model.picture(), '/default/1-0', 'networkIn') ?? Number.NaN;
    cluster.setTopic('/default/1-0', { kilobytesIn: 900 });
    cluster.sample(305);

    cluster.move('/default/1-0', '2');
    model.observe(cluster.observation(306));

    expect(loadOf(model.picture(), '/default/1-0', 'networkIn')).toBeCloseTo(before, 6);
  });

  it('is forgotten by nobody when everything is read anew and topics get other numbers', () => {
    const cluster = hot();
    const model = watched(cluster);
    const before = loadOf(model.picture(), '/default/1-5', 'networkIn');

    // Every look of this cluster has a table of its own; a topic more shifts nothing, and nothing is lost.
    cluster.setTopic('/default/0', { owner: '3', kilobytesIn: 1 });
    model.observe(cluster.observation(301));

    expect(loadOf(model.picture(), '/default/1-5', 'networkIn')).toBe(before);
  });
});

describe('what is not known', () => {
  const even = () => ({ ...topics('1', 20, 50), ...topics('2', 20, 50), ...topics('3', 20, 50) });

  it('is not planned, and says so: without agents there is no CPU, memory, traffic out, disk or backlog', () => {
    const without = { hasAgent: false };
    const cluster = createTestCluster({ '1': without, '2': without, '3': without }, even());

    const picture = watched(cluster).picture();

    expect(picture.input.resources).toEqual(['networkIn', 'topics', 'connections']);
    expect(reasonsOf(picture)).toEqual({
      cpu: 'Unknown',
      memory: 'Unknown',
      networkOut: 'Unknown',
      diskIO: 'Unknown',
      backlog: 'Unknown',
    });
    expect(picture.unplanned[0]?.message).toContain('known of 0 of 3 brokers');
    expect(usage(picture, '1', 'cpu')).toBeNull();
    expect(loadOf(picture, '/default/1-0', 'networkIn')).toBeCloseTo(50 * 1024, 6);
  });

  it('of one broker takes that one out: it stands at the mean, and its topics stay', () => {
    const cluster = createTestCluster(
      { ...THREE, '4': { lie: 'its figures are of another cgroup' } },
      {
        ...topics('1', 20, 90),
        ...topics('2', 20, 30),
        ...topics('3', 20, 30),
        ...topics('4', 20, 900),
      },
    );

    const { input, brokers } = watched(cluster).picture();

    const cpu = input.resources.indexOf('cpu');
    const at4 = 3 * input.resources.length + cpu;
    const loads = brokerLoads(input);
    const known = [0, 1, 2].reduce((sum, row) => sum + (loads[row * input.resources.length + cpu] ?? 0), 0);
    expect(input.resources).toContain('cpu');
    expect(input.roles?.[3]).toBe(BrokerRole.Closed);
    expect(loads[at4]).toBeCloseTo(known / 3, 9);
    expect(brokers[3]).toMatchObject({ isKnown: false, usage: { cpu: null }, level: { cpu: null } });
    const ofFour = input.topics.map((name, topic) => ({ name, code: input.immovable?.of[topic] ?? 0 }));
    for (const { name, code } of ofFour) {
      expect(input.immovable?.reasons[code - 1]).toBe(name.startsWith('/default/4') ? METRICS_UNUSABLE : undefined);
    }
  });

  it('of too many brokers takes the resource out', () => {
    const lie = { lie: 'its figures are of another cgroup' };
    const cluster = createTestCluster({ '1': {}, '2': lie, '3': lie }, even());

    const picture = watched(cluster).picture();

    expect(reasonsOf(picture).cpu).toBe('Unknown');
    expect(picture.unplanned.find(({ resource }) => resource === 'cpu')?.message).toContain(
      'known of 1 of 3 brokers, and needed of two thirds (of broker 2: its figures are of another cgroup)',
    );
  });

  it('is anything of a broker whose agent is no longer believed, at once', () => {
    const cluster = createTestCluster({ ...THREE, '4': {} }, { ...even(), ...topics('4', 20, 50) });
    const model = watched(cluster);
    const before = model.picture();

    cluster.setBroker('4', { lie: 'its counters went back' });
    watch(cluster, model, 310, 310);

    expect(before.brokers[3]?.isKnown).toBe(true);
    expect(model.picture().brokers[3]).toMatchObject({ isKnown: false, usage: { cpu: null, memory: null } });
  });

  it('is what the process before a restart used: a new broker is unknown until a sample is all its own', () => {
    const cluster = createTestCluster(THREE, even());
    const model = watched(cluster);
    cluster.setBroker('4', {});
    watch(cluster, model, 310, 320);
    const early = usage(model.picture(), '4', 'cpu');
    watch(cluster, model, 330, 330);

    expect(early).toBeNull();
    expect(usage(model.picture(), '4', 'cpu')).toBeCloseTo(0.1, 6);
  });

  it('is the traffic in the first report of a process, which is 0 whatever goes on', () => {
    const without = { hasAgent: false };
    const cluster = createTestCluster({ '1': without, '2': without, '3': without }, even());
    for (const name of Object.keys(even())) cluster.setTopic(name, { kilobytesIn: 0 });
    const model = watched(cluster, 0);
    for (const name of Object.keys(even())) cluster.setTopic(name, { kilobytesIn: 50 });

    watch(cluster, model, 10, 10);

    // Not an average with that 0.
    expect(loadOf(model.picture(), '/default/1-0', 'networkIn')).toBeCloseTo(50 * 1024, 3);
  });

  it('says why, for one of the brokers', () => {
    const without = { hasAgent: false };
    const agentless = watched(createTestCluster({ '1': without, '2': without, '3': without }, even())).picture();
    const stalled = createTestCluster(THREE, even());
    const model = watched(stalled);
    for (let second = 310; second <= 510; second += 10) model.observe(stalled.observation(second));
    const messages = ({ unplanned }: LoadPicture) =>
      Object.fromEntries(
        unplanned.map(({ resource, message }) => [resource, /\(of broker 1: (.*)\)/.exec(message)?.[1]]),
      );

    expect(messages(agentless)).toMatchObject({ cpu: 'no agent has reported', backlog: 'no agent has reported' });
    expect(messages(model.picture())).toMatchObject({
      cpu: 'no sample has come that began after its last move or start',
      networkIn: 'it has written no load report for a while',
      connections: 'it has written no load report for a while',
      backlog: 'its agent says nothing of topics',
    });
  });

  it('becomes of figures that are too old', () => {
    const cluster = createTestCluster(THREE, even());
    const model = watched(cluster);
    for (let second = 310; second <= 490; second += 10) {
      cluster.sample(second, ['1', '2']);
      model.observe(cluster.observation(second));
    }

    expect(model.picture().brokers.map(({ isKnown }) => isKnown)).toEqual([true, true, false]);
    expect(usage(model.picture(), '3', 'connections')).toBeNull();
    expect(usage(model.picture(), '3', 'topics')).toBe(20);
  });

  it('keeps nobody from becoming empty: what drains counts for the others', () => {
    const cluster = createTestCluster(
      { ...THREE, '4': { hasAgent: false, mode: 'draining' } },
      {
        ...even(),
        ...topics('4', 20, 50),
      },
    );

    const model = watched(cluster);
    const { input } = model.picture();

    expect(input.roles?.[3]).toBe(BrokerRole.Draining);
    expect(input.immovable).toBeUndefined();
    const liar = createTestCluster(
      { ...THREE, '4': { mode: 'draining' }, '5': { lie: 'a lie' } },
      {
        ...even(),
        ...topics('4', 20, 50),
        ...topics('5', 20, 50),
      },
    );
    const beside = watched(liar).picture().input;
    const level = (broker: number) =>
      (brokerLoads(beside)[broker * beside.resources.length] ?? 0) /
      ((meanUtilisation(beside, brokerLoads(beside))[0] ?? 0) *
        (beside.capacity[broker * beside.resources.length] ?? 0));
    // With what drains to come, the three are below the mean; who is not known is at it.
    expect(level(0)).toBeLessThan(0.9);
    expect(level(4)).toBeCloseTo(1, 9);
    expect(loadOf(model.picture(), '/default/4-0', 'cpu')).toBeCloseTo(
      loadOf(model.picture(), '/default/1-0', 'cpu') ?? 0,
      6,
    );
    const [whole, lumps] = [model.picture(), model.picture({ topics: false })].map((it) =>
      meanUtilisation(it.input, brokerLoads(it.input)),
    );
    expect([...(lumps ?? [])].map(rounded)).toEqual([...(whole ?? [])].map(rounded));
  });
});

describe('a resource is not planned', () => {
  it('while hardly any of it is in use', () => {
    const cluster = createTestCluster(THREE, { ...topics('1', 2, 1), ...topics('2', 1, 1) });

    const picture = watched(cluster).picture();

    expect(picture.input.resources).toEqual([]);
    expect(reasonsOf(picture)).toMatchObject({ cpu: 'Idle', networkIn: 'Idle', topics: 'Idle', connections: 'Idle' });
  });

  it('if no topic causes it', () => {
    const cluster = createTestCluster(
      { '1': { idleCpu: 3 }, '2': { idleCpu: 1 }, '3': { idleCpu: 2 } },
      { ...topics('1', 20, 0), ...topics('2', 20, 0), ...topics('3', 20, 0) },
    );

    expect(reasonsOf(watched(cluster).picture()).cpu).toBe('Unexplained');
  });

  it('but not because one broker does other things, or says so: the others are to be balanced', () => {
    const cluster = createTestCluster(THREE, {
      ...topics('1', 30, 60),
      ...topics('2', 30, 60),
      ...topics('3', 30, 60),
    });
    const model = createLoadModel();
    for (let second = 0; second <= 300; second += INTERVAL_SECONDS) {
      cluster.sample(second);
      const observation = cluster.observation(second);
      const reading = observation.readings.get('uid-of-pod-1');
      if (reading === undefined) throw new Error('broker 1 has an agent');
      const sample = { ...reading.sample, network: { receivedBytesPerSecond: 1e12, sentBytesPerSecond: 1e12 } };
      const readings = new Map(observation.readings).set('uid-of-pod-1', { ...reading, sample });
      model.observe({ ...observation, readings });
    }

    expect(model.picture().input.resources).toEqual(expect.arrayContaining(['networkIn', 'networkOut']));
  });

  it('if memory does not follow the number of topics: no broker is emptied for what it would keep', () => {
    const cluster = createTestCluster(THREE, {
      ...topics('1', 20, 30),
      ...topics('2', 20, 30),
      ...topics('3', 20, 30),
    });

    expect(reasonsOf(watched(cluster).picture()).memory).toBe('Unexplained');
  });

  it('if brokers hardly differ in the number of topics: then the line could point anywhere', () => {
    const cluster = createTestCluster(THREE, {
      ...topics('1', 61, 30),
      ...topics('2', 60, 30),
      ...topics('3', 60, 30),
    });

    expect(reasonsOf(watched(cluster).picture()).memory).toBe('Unexplained');
  });

  it('if memory differs between two brokers: a line goes through any two points', () => {
    const cluster = createTestCluster({ '1': {}, '2': {} }, { ...topics('1', 60, 30), ...topics('2', 20, 30) });

    expect(reasonsOf(watched(cluster).picture()).memory).toBe('Unexplained');
  });

  it('unless it does', () => {
    const cluster = createTestCluster(THREE, {
      ...topics('1', 60, 30),
      ...topics('2', 20, 30),
      ...topics('3', 20, 30),
    });
    const picture = watched(cluster).picture();

    expect(picture.input.resources).toContain('memory');
    expect(loadOf(picture, '/default/1-0', 'memory')).toBeCloseTo(64 * 1024 ** 2, 0);
  });
});

describe('capacities', () => {
  it('are limits, and the size of a broker where there is no limit: twice the CPU, twice the topics', () => {
    const cluster = createTestCluster(
      { '1': { cpuLimit: 2 }, '2': { cpuLimit: 2 }, '3': { cpuLimit: 4 } },
      { ...topics('1', 20, 50), ...topics('2', 20, 50), ...topics('3', 40, 50) },
    );

    const picture = watched(cluster).picture();

    for (const { level } of picture.brokers) {
      for (const resource of ['networkIn', 'topics', 'connections'] as const) expect(level[resource]).toBeCloseTo(1, 1);
    }
    expect(picture.brokers.map(({ capacity }) => capacity.cpu)).toEqual([2, 2, 4]);
    expect(picture.brokers[0]?.capacity.topics).toBeNull();
    const { resources, unlimited = [] } = picture.input;
    expect(unlimited).toEqual([...resources.keys()].filter((at) => !['cpu', 'memory'].includes(resources[at] ?? '')));
    expect(unlimited.map((at) => resources[at])).toContain('networkIn');
  });

  it('are by size also when one of many is not known', () => {
    const cluster = createTestCluster(
      { '1': { cpuLimit: 2 }, '2': { cpuLimit: 2 }, '3': { cpuLimit: 4 }, '4': { hasAgent: false } },
      { ...topics('1', 20, 50), ...topics('2', 20, 50), ...topics('3', 40, 50), ...topics('4', 20, 50) },
    );

    const { brokers, input } = watched(cluster).picture();

    expect(brokers.map(({ isKnown }) => isKnown)).toEqual([true, true, true, false]);
    expect(brokers[2]?.level.topics).toBeCloseTo(brokers[0]?.level.topics ?? 0, 9);
    expect([...input.capacity].every((capacity) => capacity > 0)).toBe(true);
  });

  it('are those of the node where a broker has no limit', () => {
    const unlimited = { cpuLimit: null };
    const cluster = createTestCluster({ '1': unlimited, '2': unlimited, '3': unlimited }, topics('1', 20, 500));

    expect(watched(cluster).picture().brokers[0]?.capacity.cpu).toBe(16);
  });
});

describe('the disk', () => {
  it('is written to for reliable topics alone', () => {
    const reliable = { owner: '1', kilobytesIn: 500, reliable: true };
    const cluster = createTestCluster(THREE, {
      ...topics('1', 20, 50),
      ...topics('2', 20, 50),
      '/default/kept-0': reliable,
      '/default/kept-1': reliable,
    });

    const picture = watched(cluster).picture();

    expect(loadOf(picture, '/default/kept-0', 'diskIO')).toBeCloseTo(500 * 1024, 0);
    expect(loadOf(picture, '/default/1-0', 'diskIO')).toBe(0);
    expect(picture.reliable[picture.input.topics.indexOf('/default/kept-0')]).toBe(1);
    expect(picture.connections[picture.input.topics.indexOf('/default/kept-0')]).toBe(2);
  });
});

describe('what agents say of topics', () => {
  const columnsOf = (cpu: number | null, lag: number | null, kilobytes: number) => [
    kilobytes,
    kilobytes * 1024,
    kilobytes,
    kilobytes * 1024,
    1,
    2,
    lag,
    cpu,
  ];

  function told() {
    const cluster = createTestCluster(THREE, {
      ...topics('1', 20, 50),
      ...topics('2', 20, 50),
      ...topics('3', 20, 50),
    });
    const model = watched(cluster);
    for (let second = 310; second <= 600; second += 10) {
      cluster.sample(second);
      for (const broker of ['1', '2', '3']) {
        model.noteTopics({
          podUID: `uid-of-pod-${broker}`,
          seenAt: at(second),
          report: {
            complete: true,
            entries: [[`/default/${broker}-0`, ...columnsOf(1, 50_000, 500)]],
            rest: { topics: 19, figures: [19 * 5, 19 * 5 * 1024, 19 * 5, 19 * 5 * 1024, 19, 38, 19 * 1000, 19 * 0.1] },
          },
        });
      }
      model.observe(cluster.observation(second));
    }
    return model.picture();
  }

  it('counts more than the brokers’ reports: CPU as it attributes it, traffic out, backlog, and the rest shared out', () => {
    const picture = told();

    expect(picture.input.resources).toContain('backlog');
    expect(loadOf(picture, '/default/1-0', 'backlog')).toBe(50_000);
    expect(loadOf(picture, '/default/1-1', 'backlog')).toBe(1000);
    expect(loadOf(picture, '/default/1-0', 'connections')).toBe(3);
    const [big = 0, small = 0] = ['/default/1-0', '/default/1-1'].map((topic) => loadOf(picture, topic, 'cpu'));
    expect(big / small).toBeCloseTo(10, 0);
  });

  const noRest = { topics: 0, figures: [0, 0, 0, 0, 0, 0, 0, 0] };

  function afterHearing(...entries: readonly (readonly [string, ...(number | null)[]])[]) {
    const cluster = createTestCluster(THREE, {
      ...topics('1', 20, 50),
      ...topics('2', 20, 50),
      ...topics('3', 20, 50),
    });
    const model = watched(cluster);
    for (const [index, entry] of entries.entries()) {
      model.noteTopics({
        podUID: 'uid-of-pod-1',
        seenAt: at(301 + index),
        report: { complete: false, entries: [entry], rest: noRest },
      });
    }
    model.observe(cluster.observation(305));
    return model.picture();
  }

  it('is scaled down where it would be more than was measured of all of them together', () => {
    const picture = afterHearing(['/default/1-0', ...columnsOf(null, null, 90_000)]);
    const { input } = picture;
    const networkIn = input.resources.indexOf('networkIn');

    const sum = [...input.owner.keys()]
      .filter((topic) => input.owner[topic] === 0)
      .reduce((total, topic) => total + (input.loads[topic * input.resources.length + networkIn] ?? 0), 0);
    expect(sum).toBeCloseTo(usage(picture, '1', 'networkIn') ?? 0, 3);
    expect(input.background?.[networkIn]).toBeCloseTo(0, 3);
  });

  it('of CPU counts only if it covers the traffic', () => {
    const picture = afterHearing(['/default/1-0', ...columnsOf(0.01, null, 50)]);

    expect(loadOf(picture, '/default/1-1', 'cpu')).toBeGreaterThan(0.05);
  });

  it('stays when the next report does not know it', () => {
    const picture = afterHearing(
      ['/default/1-0', ...columnsOf(null, 7000, 50)],
      ['/default/1-0', ...columnsOf(null, null, 50)],
    );

    expect(picture.unplanned.find(({ resource }) => resource === 'backlog')?.reason).toBe('Unknown');
    expect(usage(picture, '1', 'backlog')).toBe(7000);
  });

  it.each([
    ['none', { complete: true, entries: [], rest: noRest }],
    ['one', { complete: true, entries: [['/default/1-0', ...columnsOf(0, 0, 0)]], rest: noRest }],
    ['the average of one, as if it were that of all', { complete: true, entries: [], rest: { ...noRest, topics: 1 } }],
  ] as const)('of %s of many topics does not silence the reports of their broker', (_what, report) => {
    const cluster = createTestCluster(THREE, {
      ...topics('1', 20, 50),
      ...topics('2', 20, 50),
      ...topics('3', 20, 50),
    });
    const model = watched(cluster);

    cluster.setTopic('/default/1-7', { kilobytesIn: 500 });
    for (let second = 310; second <= 600; second += INTERVAL_SECONDS) {
      cluster.sample(second);
      model.noteTopics({ podUID: 'uid-of-pod-1', seenAt: at(second), report });
      model.observe(cluster.observation(second));
    }

    const picture = model.picture();
    const [big = 0, usual = 0] = ['/default/1-7', '/default/1-8'].map((topic) => loadOf(picture, topic, 'networkIn'));
    expect(big / usual).toBeGreaterThan(8);
  });

  it('of one is unknown where it is more than there can be', () => {
    const picture = afterHearing(['/default/1-0', ...columnsOf(1, 1e300, 50)]);

    expect(loadOf(picture, '/default/1-0', 'backlog') ?? 0).toBe(0);
    expect(usage(picture, '1', 'backlog')).toBe(0);
  });

  it('does not count of an agent that is not believed', () => {
    const cluster = createTestCluster({ ...THREE, '1': { lie: 'a lie' } }, topics('1', 20, 50));
    const model = watched(cluster);

    model.noteTopics({
      podUID: 'uid-of-pod-1',
      seenAt: at(301),
      report: { complete: false, entries: [['/default/1-0', ...columnsOf(null, 7000, 50)]], rest: noRest },
    });
    model.observe(cluster.observation(302));

    expect(usage(model.picture(), '1', 'backlog')).toBeNull();
  });

  it('is left out of topics that another broker has', () => {
    const cluster = createTestCluster(THREE, {
      ...topics('1', 20, 50),
      ...topics('2', 20, 50),
      ...topics('3', 20, 50),
    });
    const model = watched(cluster);
    const before = loadOf(model.picture(), '/default/2-0', 'networkIn');

    model.noteTopics({
      podUID: 'uid-of-pod-1',
      seenAt: at(301),
      report: {
        complete: false,
        entries: [
          ['/default/2-0', ...columnsOf(9, 9, 9000)],
          ['/default/unheard-of', ...columnsOf(9, 9, 9000)],
        ],
        rest: noRest,
      },
    });
    model.observe(cluster.observation(302));

    expect(loadOf(model.picture(), '/default/2-0', 'networkIn')).toBe(before);
  });
});

describe('how long ago', () => {
  const timesOf = ({ input, ageSeconds, movedSecondsAgo }: LoadPicture, topic: string) => {
    const index = input.topics.indexOf(topic);
    return { age: ageSeconds[index], moved: movedSecondsAgo[index] };
  };
  const even = () => createTestCluster(THREE, { ...topics('1', 5, 30), ...topics('2', 5, 30), ...topics('3', 5, 30) });

  it('is unknown of what was there at the first look', () => {
    expect(timesOf(watched(even()).picture(), '/default/1-0')).toEqual({ age: Infinity, moved: Infinity });
  });

  it('a topic was created counts from the look that saw it', () => {
    const cluster = even();
    const model = watched(cluster);
    cluster.setTopic('/default/new', { owner: '1', kilobytesIn: 30 });

    watch(cluster, model, 310, 340);

    expect(timesOf(model.picture(), '/default/new')).toEqual({ age: 30, moved: Infinity });
  });

  it('a topic moved counts from where it arrived, also if nobody had it in between', () => {
    const cluster = even();
    const model = watched(cluster);
    cluster.move('/default/1-0', undefined);
    watch(cluster, model, 310, 310);
    cluster.move('/default/1-0', '2');

    watch(cluster, model, 320, 340);

    expect(timesOf(model.picture(), '/default/1-0')).toEqual({ age: Infinity, moved: 20 });
  });

  it('does not begin anew when a topic comes back to the broker that it left', () => {
    const cluster = even();
    const model = watched(cluster);
    cluster.move('/default/1-0', undefined);
    watch(cluster, model, 310, 310);
    cluster.move('/default/1-0', '1');

    watch(cluster, model, 320, 340);

    expect(timesOf(model.picture(), '/default/1-0')).toEqual({ age: Infinity, moved: Infinity });
  });
});

describe('a topic may not move', () => {
  it('for a reason that the caller gives', () => {
    const cluster = createTestCluster(THREE, topics('1', 20, 50));
    const { input, topicNumbers } = watched(cluster).picture({
      whyImmovable: (topic) => (topic === 3 ? 'Cooldown' : undefined),
    });

    const row = topicNumbers.indexOf(3);
    expect(input.immovable?.of[row]).toBe(1);
    expect(input.immovable?.reasons).toEqual(['Cooldown']);
    expect(input.immovable?.of.filter((code) => code > 0)).toHaveLength(1);
  });
});

function rounded(value: number): number {
  return Math.round(value * 1e9) / 1e9;
}
