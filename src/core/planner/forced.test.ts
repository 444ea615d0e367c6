/** What hard rules ask for: no more than they must. */
import { describe, expect, it } from 'vitest';
import { clusterOf } from './cluster-builder.ts';
import { BrokerRole, type PlannerInput } from './input.ts';
import { plan } from './plan.ts';

it('leaves a member of a group where it is once another rule has taken the one that stood too close', () => {
  const input = clusterOf(['cpu'], { b0: { ruled: [6], beside: [5], rest: [4] }, b1: { other: [15] }, b2: {} });

  const made = plan(
    {
      ...input,
      placement: { of: Int32Array.of(0, -1, -1, -1), rules: [{ name: 'new', allowed: Uint8Array.of(0, 1, 1) }] },
      spread: { of: Int32Array.of(0, 0, -1, -1), groups: [{ name: 'apart', maxPerBroker: 1 }] },
    },
    { mode: 'Drain' },
  );

  expect(made.moves.map(({ topic, reason }) => [input.topics[topic], reason])).toEqual([['ruled', 'NotAllowed']]);
});

it('lets a topic go to the broker that another one of its group has to leave', () => {
  const input = clusterOf(['cpu'], { b0: { first: [2] }, b1: { second: [1] }, b2: {} });
  const made = plan(
    {
      ...input,
      placement: {
        of: Int32Array.of(0, 1),
        rules: [
          { name: 'to b1', allowed: Uint8Array.of(0, 1, 0) },
          { name: 'to b2', allowed: Uint8Array.of(0, 0, 1) },
        ],
      },
      spread: { of: Int32Array.of(0, 0), groups: [{ name: 'apart', maxPerBroker: 1 }] },
    },
    { mode: 'Drain' },
  );

  expect(made.blocked).toEqual([]);
  expect(made.moves.map(({ topic, to }) => [input.topics[topic], input.brokers[to]])).toEqual([
    ['second', 'b2'],
    ['first', 'b1'],
  ]);
});

it('has no wish for a group whose members are far enough apart', () => {
  const input = clusterOf(['cpu'], { b0: { pinned: [50], hot: [20] }, b1: { apart: [30] }, b2: {} });

  const made = plan(
    {
      ...input,
      immovable: { of: Uint8Array.of(1, 0, 0), reasons: ['Excluded'] },
      spread: { of: Int32Array.of(0, 1, 0), groups: [{ name: 'apart', maxPerBroker: 1 }, { name: 'alone' }] },
    },
    { band: { above: 0.5, below: 0.5 } },
  );

  expect(made.blocked).toEqual([]);
  expect(made.moves.map(({ topic, reason }) => [input.topics[topic], reason])).toEqual([['hot', 'Relieve']]);
});

it.each([
  { name: 'that it takes out of the band least', band: 0.05 },
  { name: 'with most room, if none leaves the band', band: 0.9 },
])('sends what must leave to the broker $name', ({ band }) => {
  const input = clusterOf(['cpu'], { b0: { gone: [10] }, b1: { t1: [40] }, b2: { t2: [20] }, b3: { t3: [40] } });

  const made = plan(
    { ...input, roles: Uint8Array.of(BrokerRole.Draining, 0, 0, 0) },
    { mode: 'Drain', band: { above: band, below: band } },
  );

  expect(made.moves.map(({ to }) => input.brokers[to])).toEqual(['b2']);
});

it('says of a topic that cannot leave how many brokers refuse it, and why', () => {
  const input = clusterOf(['cpu'], { b0: { stuck: [10] }, b1: {}, b2: {} });

  const made = plan({ ...input, roles: Uint8Array.of(BrokerRole.Draining, BrokerRole.Closed, BrokerRole.Closed) });

  expect(made.blocked).toEqual([{ topic: 0, wanted: 'Drain', because: 'no broker takes it: 2 BrokerClosed' }]);
});

describe('a rule that selects no broker', () => {
  const topics = 2_000;
  const brokers = 500;
  const input: PlannerInput = {
    resources: ['cpu'],
    brokers: Array.from({ length: brokers }, (_, broker) => `b${broker}`),
    topics: Array.from({ length: topics }, (_, topic) => `t${topic}`),
    capacity: new Float64Array(brokers).fill(100),
    loads: new Float64Array(topics).fill(1),
    owner: Int32Array.from({ length: topics }, (_, topic) => topic % brokers),
    placement: { of: new Int32Array(topics), rules: [{ name: 'nowhere', allowed: new Uint8Array(brokers) }] },
  };

  it('blocks all its topics at once, and weighs no broker for them', () => {
    const made = plan(input);

    expect(made.blocked.length).toBe(topics);
    expect(new Set(made.blocked.map(({ because }) => because))).toEqual(
      new Set([`no broker takes it: ${brokers - 1} NotAllowed`]),
    );
    expect(made.stats.evaluations).toBeLessThan(topics);
  });
});

it('leaves the rest where it is once the time is over, and says so', () => {
  const input = clusterOf(['cpu'], { b0: { large: [3], middle: [2], small: [1] }, b1: {}, b2: {} });
  let asked = 0;

  const made = plan(
    { ...input, roles: Uint8Array.of(BrokerRole.Draining, 0, 0) },
    { mode: 'Drain', shouldStop: () => ++asked > 1 },
  );

  expect(made.moves.map(({ topic }) => input.topics[topic])).toEqual(['large']);
  expect(made.blocked.map(({ topic, because }) => [input.topics[topic], because])).toEqual([
    ['middle', 'the time allowed'],
    ['small', 'the time allowed'],
  ]);
});
