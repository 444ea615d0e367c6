import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_OWNER, SEVERAL_OWNERS } from '../core/snapshot.ts';
import { createTopicTable, type TopicColumns, type TopicTable } from './topic-table.ts';

const TOPICS = ['/default/a', '/default/b', '/orders/new', '/default/a-part-0'];
const BROKERS = ['1', '12', '18446744073709551615'];

type Step =
  | { readonly kind: 'own'; readonly topic: string; readonly broker: string; readonly revision: number }
  | { readonly kind: 'disown'; readonly topic: string; readonly broker: string }
  | { readonly kind: 'exists'; readonly topic: string; readonly exists: boolean }
  | { readonly kind: 'delivery'; readonly topic: string; readonly delivery: 'Reliable' | 'NonReliable' | undefined }
  | { readonly kind: 'snapshot' };

const topic = fc.constantFrom(...TOPICS);
const broker = fc.constantFrom(...BROKERS);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('own' as const), topic, broker, revision: fc.integer({ min: 1, max: 2 ** 40 }) }),
  fc.record({ kind: fc.constant('disown' as const), topic, broker }),
  fc.record({ kind: fc.constant('exists' as const), topic, exists: fc.boolean() }),
  fc.record({
    kind: fc.constant('delivery' as const),
    topic,
    delivery: fc.constantFrom('Reliable' as const, 'NonReliable' as const, undefined),
  }),
  fc.record({ kind: fc.constant('snapshot' as const) }),
);

/** The same, as simple as it can be written. */
interface Model {
  readonly owners: Record<string, Record<string, number>>;
  readonly existing: Record<string, boolean>;
  readonly deliveries: Record<string, string | undefined>;
}

function applyToModel(model: Model, change: Step): void {
  if (change.kind === 'own')
    model.owners[change.topic] = { ...model.owners[change.topic], [change.broker]: change.revision };
  if (change.kind === 'disown') delete model.owners[change.topic]?.[change.broker];
  if (change.kind === 'exists') model.existing[change.topic] = change.exists;
  if (change.kind === 'delivery') model.deliveries[change.topic] = change.delivery;
}

function applyToTable(table: TopicTable, change: Step): void {
  if (change.kind === 'snapshot') return;
  const index = table.intern(change.topic);
  if (change.kind === 'own') table.addOwner(index, change.broker, change.revision);
  if (change.kind === 'disown') table.removeOwner(index, change.broker);
  if (change.kind === 'exists') table.setExists(index, change.exists ? 1 : undefined);
  if (change.kind === 'delivery') table.setDelivery(index, change.delivery);
}

function readModel({ owners, existing, deliveries }: Model): unknown {
  return {
    owners: Object.fromEntries(TOPICS.map((name) => [name, owners[name] ?? {}])),
    existing: TOPICS.filter((name) => existing[name]),
    reliable: TOPICS.filter((name) => deliveries[name] === 'Reliable').length,
    deliveries: Object.fromEntries(TOPICS.map((name) => [name, deliveries[name]])),
    topicsOf: Object.fromEntries(BROKERS.map((id) => [id, TOPICS.filter((name) => owners[name]?.[id] !== undefined)])),
    onlyOwners: Object.fromEntries(
      TOPICS.map((name) => {
        const [owner, ...others] = Object.keys(owners[name] ?? {});
        return [name, owner === undefined ? 'nobody' : others.length > 0 ? 'several' : owner];
      }),
    ),
  };
}

function readColumns(columns: TopicColumns): unknown {
  const at = <T>(name: string, read: (index: number) => T): T | undefined => {
    const index = columns.indexOf(name);
    return index === undefined ? undefined : read(index);
  };
  for (const id of BROKERS) expect([...columns.topicsOf(id)]).toHaveLength(columns.owned.get(id) ?? 0);
  expect([...columns.existingTopics()]).toHaveLength(columns.existing);
  return {
    owners: Object.fromEntries(TOPICS.map((name) => [name, Object.fromEntries(at(name, columns.ownersOf) ?? [])])),
    existing: TOPICS.filter((name) => at(name, columns.exists) === true),
    reliable: columns.reliable,
    deliveries: Object.fromEntries(TOPICS.map((name) => [name, at(name, columns.deliveryOf)])),
    topicsOf: Object.fromEntries(
      BROKERS.map((id) => [id, TOPICS.filter((name) => [...columns.topicsOf(id)].includes(name))]),
    ),
    onlyOwners: Object.fromEntries(TOPICS.map((name) => [name, onlyOwner(columns, name)])),
  };
}

function onlyOwner({ numbers }: TopicColumns, name: string): string {
  const number = numbers.numberOf(name);
  if (number === undefined) return 'nobody';
  expect(numbers.nameOf(number)).toBe(name);
  const owner = numbers.ownerOf(number);
  return owner === NO_OWNER ? 'nobody' : owner === SEVERAL_OWNERS ? 'several' : (numbers.brokers[owner] ?? '?');
}

describe('the table of topics', () => {
  it('says what a plain model says after any sequence of changes, and snapshots never change', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const table = createTopicTable();
        const model: Model = { owners: {}, existing: {}, deliveries: {} };
        const taken: { columns: TopicColumns; meant: unknown }[] = [];
        for (const change of steps) {
          applyToModel(model, change);
          applyToTable(table, change);
          if (change.kind === 'snapshot')
            taken.push({ columns: table.snapshot(), meant: readModel(structuredClone(model)) });
        }

        expect(readColumns(table.snapshot())).toEqual(readModel(model));
        for (const { columns, meant } of taken) expect(readColumns(columns)).toEqual(meant);
      }),
      { numRuns: 300 },
    );
  });

  it('holds topics beyond one chunk', () => {
    const table = createTopicTable();
    for (let number = 0; number < 10_000; number++)
      table.addOwner(table.intern(`/default/t${number}`), '7', number + 1);

    const columns = table.snapshot();

    expect(columns.owned.get('7')).toBe(10_000);
    expect([...columns.topicsOf('7')].at(-1)).toBe('/default/t9999');
    expect(columns.ownersOf(columns.indexOf('/default/t5000') ?? -1)).toEqual(new Map([['7', 5001]]));
  });

  it('does not know topics that came after the snapshot', () => {
    const table = createTopicTable();
    const before = table.snapshot();

    table.setExists(table.intern('/default/late'), 9);

    expect(before.indexOf('/default/late')).toBeUndefined();
    expect([...before.existingTopics()]).toEqual([]);
  });
});
