import { describe, expect, it } from 'vitest';
import {
  brokerConditions,
  type Condition,
  type ConditionCatalogue,
  type ConditionUpdate,
  type PolicyConditionUpdate,
  policyConditions,
  removeCondition,
  setCondition,
} from './conditions.ts';
import { rebalancePolicyResource } from './rebalance-policy.ts';

const monday = new Date('2026-11-16T08:00:00.123Z');
const tuesday = new Date('2026-11-17T08:00:00Z');

function ready(change: Partial<ConditionUpdate> = {}): ConditionUpdate {
  return {
    type: 'Ready',
    status: 'True',
    reason: 'Reconciled',
    message: 'All is well.',
    observedGeneration: 1,
    ...change,
  };
}

describe('setCondition', () => {
  it('adds a condition with the time to the second', () => {
    const list = setCondition([], ready(), monday);

    expect(list).toEqual([{ ...ready(), lastTransitionTime: '2026-11-16T08:00:00Z' }]);
  });

  it('keeps the time of the transition while only reason, message and generation change', () => {
    const before = setCondition([], ready({ status: 'False', reason: 'NoBrokers' }), monday);

    const update = ready({ status: 'False', reason: 'EtcdUnreachable', message: 'No answer.', observedGeneration: 2 });
    const after = setCondition(before, update, tuesday);

    expect(after).toEqual([{ ...update, lastTransitionTime: '2026-11-16T08:00:00Z' }]);
  });

  it('moves the time of the transition when the status changes', () => {
    const before = setCondition([], ready(), monday);

    const after = setCondition(before, ready({ status: 'False', reason: 'NoBrokers' }), tuesday);

    expect(after[0]?.lastTransitionTime).toBe('2026-11-17T08:00:00Z');
  });

  it('leaves the other conditions and the order alone, and its argument unchanged', () => {
    const before = setCondition(setCondition([], ready(), monday), ready({ type: 'Leading', reason: 'Held' }), monday);
    const copy = structuredClone(before);

    const after = setCondition(before, ready({ status: 'False', reason: 'NoBrokers' }), tuesday);

    expect(after.map(({ type }) => type)).toEqual(['Ready', 'Leading']);
    expect(after[1]).toEqual(before[1]);
    expect(before).toEqual(copy);
  });

  it('cuts a message that the API server would refuse together with the whole status', () => {
    const [condition] = setCondition([], ready({ message: 'x'.repeat(40_000) }), monday);

    expect(condition?.message).toHaveLength(32_768);
    expect(condition?.message.endsWith('…')).toBe(true);
  });

  it('makes conditions that the schema accepts', () => {
    const conditions = setCondition([], ready({ message: 'x'.repeat(40_000) }), monday);

    const status = rebalancePolicyResource.schema.shape.status.parse({ observedGeneration: 1, conditions });

    expect(status).toEqual({ observedGeneration: 1, conditions });
  });
});

describe('removeCondition', () => {
  it('takes away that type only', () => {
    const list: Condition[] = setCondition(setCondition([], ready(), monday), ready({ type: 'Stalled' }), monday);

    expect(removeCondition(list, 'Stalled').map(({ type }) => type)).toEqual(['Ready']);
  });
});

describe.each<[string, ConditionCatalogue]>([
  ['RebalancePolicy', policyConditions],
  ['BrokerLoad', brokerConditions],
])('the catalogue of %s', (_kind, catalogue) => {
  const reasons = Object.entries(catalogue).flatMap(([type, { reasons, absentUnlessTrue }]) =>
    Object.entries(reasons).map(([reason, entry]) => ({ type, reason, absentUnlessTrue, ...entry })),
  );

  it.each(reasons)('says for $type/$reason in whole sentences what it means and what to do', ({ means, action }) => {
    expect(means).toMatch(/^[A-Z].*\.$/);
    expect(action).toMatch(/^[A-Z].*\.$/);
  });

  it.each(reasons)('names $type and $reason as the schema wants it', ({ type, reason }) => {
    expect(type).toMatch(/^[A-Z][A-Za-z0-9]*$/);
    expect(reason).toMatch(/^[A-Z][A-Za-z0-9]*$/);
  });

  it('gives conditions that are absent unless True no other status', () => {
    const others = reasons.filter(({ absentUnlessTrue, status }) => absentUnlessTrue && status !== 'True');

    expect(others).toEqual([]);
  });
});

describe('the type of an update', () => {
  it('refuses a reason with the wrong status when it is compiled', () => {
    const right: PolicyConditionUpdate = {
      type: 'Ready',
      status: 'True',
      reason: 'Reconciled',
      message: '',
      observedGeneration: 1,
    };
    // @ts-expect-error EtcdUnreachable never goes with Ready=True
    const wrong: PolicyConditionUpdate = { ...right, reason: 'EtcdUnreachable' };

    expect(wrong.type).toBe(right.type);
  });
});
