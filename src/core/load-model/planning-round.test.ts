/** A round of planning as the operator does it: from etcd and agents by way of the policy to a plan and the policy's status. */
import { describe, expect, it } from 'vitest';
import { effectiveRebalance, type RebalanceSpec } from '../../api/rebalance.ts';
import { summarisePlanning } from '../plan-status.ts';
import { detect } from '../planner/detection.ts';
import { plan } from '../planner/plan.ts';
import { applyPolicy } from '../policy/apply-policy.ts';
import { createLoadModel } from './model.ts';
import { createTestCluster, type TestCluster, type TrueTopic } from './test-cluster.ts';

function hotCluster(consumers: number): TestCluster {
  const topics: Record<string, TrueTopic> = {};
  for (const [owner, kilobytesIn] of [
    ['1', 60],
    ['2', 20],
    ['3', 20],
  ] as const) {
    for (let index = 0; index < 30; index++) topics[`/default/${owner}-${index}`] = { owner, kilobytesIn, consumers };
  }
  return createTestCluster({ '1': {}, '2': {}, '3': {} }, topics);
}

function round(cluster: TestCluster, spec: RebalanceSpec) {
  const rebalance = effectiveRebalance(spec);
  const { band, sustainedSeconds, limits } = rebalance;
  const model = createLoadModel();
  for (let second = 0; second <= 300; second += 10) {
    cluster.sample(second);
    model.observe(cluster.observation(second));
  }
  const look = model.picture({ topics: false });
  const options = {
    band: { above: band.abovePercent / 100, below: band.belowPercent / 100 },
    sustainedSeconds,
    minActiveBrokers: limits.minActiveBrokers,
  };
  const first = detect({ input: look.input, options, previous: new Map(), nowSeconds: 0 });
  const detection = detect({ input: look.input, options, previous: first.state, nowSeconds: sustainedSeconds });

  const picture = model.picture();
  const labels = picture.input.brokers.map(() => ({}));
  const policy = applyPolicy({
    snapshot: { ...picture, labels, ignored: [] },
    rebalance,
    mode: 'Full',
    brokers: [],
  });
  const made = plan(policy.input, policy.options);
  const summary = summarisePlanning({
    policy: 'prod',
    look: { picture: look, detection },
    settings: { sustainedSeconds, minActiveBrokers: limits.minActiveBrokers },
    made: { purpose: 'Balance', plan: made, input: policy.input, expiresAt: 0 },
  });
  return { made, summary, picture };
}

describe('a round of planning', () => {
  it('plans, and says in the status what the plan would do', () => {
    const { made, summary } = round(hotCluster(1), { connectedTopics: 'Allow' });

    expect(made.inBand).toBe(true);
    expect(made.moves.length).toBeGreaterThan(5);
    expect(summary.balanced).toMatchObject({ status: 'False', reason: 'Imbalanced' });
    expect(summary.status.plan?.moves).toBe(made.moves.length);
    expect(summary.status.imbalance?.currentPercent).toBeGreaterThan(50);
    expect(summary.status.imbalance?.plannedPercent).toBeLessThanOrEqual(9);
  });

  it('plans nothing where every topic has clients and none may be cut off', () => {
    const { made, summary } = round(hotCluster(1), { connectedTopics: 'Never' });

    expect(made.moves).toEqual([]);
    expect(summary.balanced.reason).toBe('OnlyUnmovableLeft');
    expect(summary.status.skipped).toMatchObject([{ reason: 'ConnectedClients', count: 90 }]);
  });

  it('takes a topic of which nothing has been heard for one with a client', () => {
    const cluster = hotCluster(1);
    const model = createLoadModel();
    cluster.sample(0);
    cluster.setTopic('/default/new', { owner: '1', kilobytesIn: 0 });
    model.observe(cluster.observation(1));
    const { input, connections } = model.picture();

    expect(connections[input.topics.indexOf('/default/new')]).toBe(1);
    expect(connections[input.topics.indexOf('/default/1-0')]).toBe(2);
  });
});
