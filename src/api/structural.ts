import type { Schema } from './crd.ts';

// What a structural schema may say, and nothing else: a keyword that the API server does not know is refused or ignored.
const keywords: ReadonlySet<string> = new Set([
  'type',
  'format',
  'description',
  'default',
  'enum',
  'pattern',
  'nullable',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'required',
  'properties',
  'additionalProperties',
  'items',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
  'x-kubernetes-validations',
]);

const types: ReadonlySet<string> = new Set(['object', 'array', 'string', 'integer', 'number', 'boolean']);

/**
 * What is wrong with a schema, as sentences that start with the path of the field; empty if nothing is.
 *
 * Two kinds of faults: what the API server would refuse (not structural, or too costly for CEL because nothing bounds it), and
 * what our own rules forbid (design §3). It cannot compile CEL; the suite against a real API server does that.
 */
export function structuralFaults(schema: Schema): string[] {
  return faultsOf(schema, { path: '', optional: false, inStatus: false });
}

interface Place {
  readonly path: string;
  /** Whether this field, or one that it is part of, can be left out. */
  readonly optional: boolean;
  readonly inStatus: boolean;
}

function faultsOf(schema: Schema, place: Place): string[] {
  const faults = [
    ...keywordFaults(schema),
    ...typeFaults(schema),
    ...boundFaults(schema),
    ...patternFaults(schema),
    ...listMapFaults(schema),
    ...documentationFaults(schema),
    ...enumFaults(schema, place),
    ...ruleFaults(schema),
  ].map((fault) => `${place.path || '(root)'}: ${fault}`);

  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const path = place.path === '' ? name : `${place.path}.${name}`;
    const optional = !(schema.required ?? []).includes(name);
    if (property.default !== undefined && place.optional) {
      faults.push(
        `${path}: has a default inside an optional block or a list, which makes GitOps tools see a difference for ever`,
      );
    }
    if (optional && !/\babsent\b/i.test(property.description ?? '')) {
      faults.push(`${path}: can be left out; let the description say what "absent" means`);
    }
    const inStatus = place.inStatus || path === 'status';
    faults.push(...faultsOf(property, { path, optional: place.optional || optional, inStatus }));
  }
  if (schema.items !== undefined) {
    faults.push(...faultsOf(schema.items, { ...place, path: `${place.path}[]`, optional: true }));
  }
  if (schema.additionalProperties !== undefined) {
    faults.push(...faultsOf(schema.additionalProperties, { ...place, path: `${place.path}{}`, optional: true }));
  }
  return faults;
}

function keywordFaults(schema: Schema): string[] {
  const unknown = Object.keys(schema).filter((keyword) => !keywords.has(keyword));
  const faults = unknown.map((keyword) => `the keyword ${keyword} is not part of a structural schema`);
  if (schema.properties !== undefined && schema.additionalProperties !== undefined) {
    faults.push('properties and additionalProperties exclude each other');
  }
  return faults;
}

function typeFaults(schema: Schema): string[] {
  if (schema.type === undefined || !types.has(schema.type)) {
    return [`needs a type, one of ${[...types].join(', ')}`];
  }
  const faults = [];
  if (schema.type === 'array' && schema.items === undefined) {
    faults.push('an array needs items');
  }
  if (schema.type === 'object' && schema.properties === undefined && schema.additionalProperties === undefined) {
    faults.push('an object needs properties or additionalProperties, or everything in it is pruned');
  }
  if (schema.type === 'integer' && schema.format !== 'int32' && schema.format !== 'int64') {
    faults.push('an integer needs the format int32 or int64');
  }
  const missing = (schema.required ?? []).filter((name) => schema.properties?.[name] === undefined);
  faults.push(...missing.map((name) => `requires ${name}, which is not among its properties`));
  return faults;
}

function boundFaults(schema: Schema): string[] {
  switch (schema.type) {
    case 'array':
      return schema.maxItems === undefined ? ['a list needs maxItems'] : [];
    case 'string':
      return schema.maxLength === undefined && schema.enum === undefined && schema.format === undefined
        ? ['a string needs maxLength, an enum or a format']
        : [];
    case 'object':
      return schema.additionalProperties !== undefined && schema.maxProperties === undefined
        ? ['a map needs maxProperties']
        : [];
    case 'integer':
    case 'number':
      return schema.minimum === undefined || schema.maximum === undefined ? ['a number needs minimum and maximum'] : [];
    default:
      return [];
  }
}

// Lookaround and backreferences, which RE2 has not. JavaScript would accept both.
const notRe2 = /\(\?(?:[=!]|<[=!])|\\[1-9]|\\k</;

function patternFaults(schema: Schema): string[] {
  return schema.pattern !== undefined && notRe2.test(schema.pattern)
    ? [`the pattern ${schema.pattern} uses lookaround or a backreference, which the API server's RE2 has not`]
    : [];
}

function listMapFaults(schema: Schema): string[] {
  if (schema['x-kubernetes-list-type'] !== 'map') {
    return [];
  }
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  if (keys.length === 0) {
    return ['a list of type map needs x-kubernetes-list-map-keys'];
  }
  return keys
    .filter((key) => {
      const present = schema.items?.required?.includes(key) ?? false;
      return !present && schema.items?.properties?.[key]?.default === undefined;
    })
    .map((key) => `the map key ${key} must be required or have a default`);
}

function documentationFaults(schema: Schema): string[] {
  return schema.description === undefined || schema.description.trim() === '' ? ['needs a description'] : [];
}

// Below status an enum may repeat the words of others, such as the agent's cgroup-v2.
function enumFaults(schema: Schema, place: Place): string[] {
  if (place.inStatus) {
    return [];
  }
  return (schema.enum ?? [])
    .filter((value) => !/^[A-Z][A-Za-z0-9]*$/.test(String(value)))
    .map((value) => `the enum value ${String(value)} is not CamelCase`);
}

function ruleFaults(schema: Schema): string[] {
  return (schema['x-kubernetes-validations'] ?? [])
    .filter(({ message }) => message === undefined || message === '')
    .map(({ rule }) => `the rule ${rule} needs a message that says what to write`);
}
