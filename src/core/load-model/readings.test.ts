import { describe, expect, it } from 'vitest';
import { judgeBrokers } from '../brokers.ts';
import { at, buildSnapshot } from '../snapshot-builder.ts';
import { createLoadModel } from './model.ts';
import { readingsOf } from './readings.ts';

const snapshot = buildSnapshot({
  now: 1000,
  pods: ['true', 'lying', 'silent'].map((name) => ({ name, container: { runningSince: 0 } })),
  brokers: ['true', 'lying', 'silent'].map((pod, index) => ({ id: String(index + 1), pod })),
  agents: {
    true: { cpuCores: 0.5, cpuLimitCores: 2, seenAt: 995 },
    lying: {
      cpuCores: 0.5,
      sample: { identity: { state: 'unproven', reason: 'its cgroup is that of another container' } },
    },
  },
});

describe('what the agents say', () => {
  it('is their last sample, when it came, and whether it is believed', () => {
    const readings = readingsOf(snapshot);

    expect(readings.get('uid-of-true')).toMatchObject({
      seenAt: at(995),
      usable: true,
      sample: { cpu: { cores: 0.5 } },
    });
    expect(readings.get('uid-of-lying')?.usable).toMatch(/^WrongCgroup: .*another container/);
    expect(readings.has('uid-of-silent')).toBe(false);
  });

  it('does not hold the traffic of a node whose network the Pod has', () => {
    const shared = buildSnapshot({
      pods: [{ name: 'p', container: { runningSince: 0 }, hostNetwork: true }],
      agents: { p: { cpuCores: 0.5, cpuLimitCores: 2 } },
    });

    expect(readingsOf(shared).get('uid-of-p')).toMatchObject({
      usable: true,
      sample: { cpu: { cores: 0.5 }, network: { receivedBytesPerSecond: null, sentBytesPerSecond: null } },
    });
  });

  it('of topics is of the broker that runs in the Pod now, not of one that ran there before', () => {
    const restarted = buildSnapshot({
      pods: [{ name: 'p', container: { runningSince: 0, restartCount: 1 } }],
      brokers: [
        { id: '2', pod: 'p' },
        { id: '1', pod: 'p', registered: false, reportedAt: false },
      ],
      topics: [
        { name: '/default/old', owners: ['1'] },
        { name: '/default/new', owners: ['2'] },
      ],
      agents: { p: {} },
    });
    const { metadata, now } = restarted;
    const observation = { now, metadata, brokers: judgeBrokers(restarted), readings: readingsOf(restarted) };
    const model = createLoadModel();
    model.observe(observation);
    const figures = [1, 1, 1, 1, 1, 1, 5000, 1];

    model.noteTopics({
      podUID: 'uid-of-p',
      seenAt: now,
      report: {
        complete: true,
        entries: [
          ['/default/old', ...figures],
          ['/default/new', ...figures],
        ],
        rest: { topics: 0, figures: [] },
      },
    });
    model.observe(observation);

    expect([...observation.brokers.keys()]).toEqual(['2', '1']);
    expect(model.picture().brokers.map(({ broker, usage }) => [broker, usage.backlog])).toEqual([['2', 5000]]);
  });

  it('is what the load model takes', () => {
    const model = createLoadModel();
    const { metadata, now } = snapshot;

    model.observe({ now, metadata, brokers: judgeBrokers(snapshot), readings: readingsOf(snapshot) });

    expect(model.picture().brokers.map(({ usage }) => usage.cpu)).toEqual([0.5, null, null]);
    expect(model.picture().unplanned.find(({ resource }) => resource === 'cpu')?.message).toMatch(
      /known of 1 of 3 brokers.*WrongCgroup/,
    );
  });
});
