import { describe, expect, it } from 'vitest';
import { brokerLoadResource } from './broker-load.ts';
import { type Schema, toStructural } from './crd.ts';
import { rebalancePolicyResource } from './rebalance-policy.ts';
import { structuralFaults } from './structural.ts';

const name: Schema = { type: 'string', maxLength: 10, description: 'A name. Absent means none.' };

function object(properties: Record<string, Schema>, more: Partial<Schema> = {}): Schema {
  return { type: 'object', description: 'An object. Absent means none.', properties, ...more };
}

describe('our own schemas', () => {
  it.each([rebalancePolicyResource, brokerLoadResource])('has no faults in $kind', ({ schema }) => {
    expect(structuralFaults(toStructural(schema))).toEqual([]);
  });
});

describe('planted faults', () => {
  it('finds nothing in a small schema that is right', () => {
    expect(structuralFaults(object({ name }))).toEqual([]);
  });

  it.each<[string, Schema, string]>([
    [
      'an unknown keyword',
      { ...name, const: 'a' } as Schema,
      'x: the keyword const is not part of a structural schema',
    ],
    ['a union', { ...name, oneOf: [] } as Schema, 'x: the keyword oneOf is not part of a structural schema'],
    ['a reference', { ...name, $ref: '#/x' } as Schema, 'x: the keyword $ref is not part of a structural schema'],
    ['a missing type', { description: 'A thing. Absent means none.' }, 'x: needs a type'],
    [
      'properties beside additionalProperties',
      object({ name }, { additionalProperties: name, maxProperties: 1 }),
      'x: properties and additionalProperties exclude',
    ],
    ['a list without items', { ...name, type: 'array', maxItems: 1 }, 'x: an array needs items'],
    ['an object that prunes everything', { ...name, type: 'object' }, 'x: an object needs properties'],
    [
      'an integer without format',
      { ...name, type: 'integer', minimum: 0, maximum: 1 },
      'x: an integer needs the format',
    ],
    ['a number without bounds', { ...name, type: 'number', minimum: 0 }, 'x: a number needs minimum and maximum'],
    ['a required field that does not exist', object({ name }, { required: ['nmae'] }), 'x: requires nmae'],
    ['an unbounded list', { ...name, type: 'array', items: name }, 'x: a list needs maxItems'],
    ['an unbounded map', { ...name, type: 'object', additionalProperties: name }, 'x: a map needs maxProperties'],
    ['an unbounded string', { type: 'string', description: name.description ?? '' }, 'x: a string needs maxLength'],
    ['lookahead', { ...name, pattern: '^(?!a).*$' }, "which the API server's RE2 has not"],
    ['lookbehind', { ...name, pattern: '(?<=a)b' }, "which the API server's RE2 has not"],
    ['a backreference', { ...name, pattern: '(a)\\1' }, "which the API server's RE2 has not"],
    [
      'a list of type map whose key can be left out',
      {
        ...name,
        type: 'array',
        maxItems: 1,
        items: object({ name }),
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      },
      'x: the map key name must be required or have a default',
    ],
    [
      'a list of type map without keys',
      { ...name, type: 'array', maxItems: 1, items: object({ name }), 'x-kubernetes-list-type': 'map' },
      'x: a list of type map needs',
    ],
    ['a missing description', { type: 'boolean' }, 'x: needs a description'],
    ['a description that does not say what absent means', { ...name, description: 'A name.' }, 'x: can be left out'],
    ['an enum in another case', { ...name, enum: ['observe'] }, 'x: the enum value observe is not CamelCase'],
    [
      'a rule without a message',
      { ...name, 'x-kubernetes-validations': [{ rule: 'true' }] },
      'x: the rule true needs a message',
    ],
    [
      'a default inside an optional block',
      object({ name: { ...name, default: 'a' } }),
      'x.name: has a default inside an optional block',
    ],
  ])('finds %s', (_fault, x, message) => {
    const faults = structuralFaults(object({ x }));

    expect(faults.join('\n')).toContain(message);
  });

  it('finds a fault at any depth and says where', () => {
    const items = object({
      labels: {
        type: 'object',
        description: 'Absent means none.',
        maxProperties: 1,
        additionalProperties: { type: 'string', maxLength: 1 },
      },
    });

    const faults = structuralFaults(
      object({ list: { type: 'array', description: 'Absent means none.', maxItems: 1, items } }),
    );

    expect(faults).toEqual(['list[].labels{}: needs a description']);
  });

  it('allows a default where nothing above it is optional', () => {
    const schema = object({ spec: object({ name: { ...name, default: 'a' } }) }, { required: ['spec'] });

    expect(structuralFaults(schema)).toEqual([]);
  });
});
