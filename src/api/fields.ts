import { z } from 'zod';

/** A rule in the Common Expression Language, as `x-kubernetes-validations` takes it. */
export interface CelRule {
  readonly rule: string;
  /** What is wrong and what to write instead. The API server puts the field's path in front of it. */
  readonly message: string;
}

/** The metadata of a field: its description, and the rules that zod cannot express. */
export function rules(description: string, ...cel: CelRule[]): Record<string, unknown> {
  return { description, 'x-kubernetes-validations': cel };
}

/** A count of things: 0 or more, exact in JavaScript, so below 2^53. */
export function count(description: string) {
  return z.int().min(0).meta({ description });
}

/** A u64 of the brokers, as decimal digits: most are above 2^53, so they are never numbers (contract 2.1). */
export function u64(description: string) {
  return z
    .string()
    .max(20)
    .regex(/^[0-9]+$/)
    .meta({ description });
}

/** A moment, RFC 3339 in UTC. */
export function time(description: string) {
  return z.iso.datetime().meta({ description });
}

/** A short text that programs of ours write and people read. */
export function text(maxLength: number, description: string) {
  return z.string().max(maxLength).meta({ description });
}

export const observedGeneration = z
  .int()
  .min(-1)
  .meta({
    description:
      'The metadata.generation that this status was made from. -1 means that the operator has never looked at this object. ' +
      'Absent means the same.',
  });

const condition = z
  .object({
    type: z
      .string()
      .max(316)
      .regex(/^[A-Z][A-Za-z0-9]*$/)
      .meta({ description: 'What the condition is about; the types are listed in the API reference.' }),
    status: z.enum(['True', 'False', 'Unknown']).meta({ description: 'Whether the condition holds.' }),
    observedGeneration: z.int().min(0).exactOptional().meta({
      description: 'The metadata.generation that the condition was judged from. Absent means not recorded.',
    }),
    lastTransitionTime: time('When the status last changed; a new reason or message alone does not move it.'),
    reason: z
      .string()
      .max(1024)
      .regex(/^[A-Z][A-Za-z0-9]*$/)
      .meta({ description: 'Why, in one word for programs; the reasons are listed in the API reference.' }),
    message: text(32768, 'Why, in a sentence for people, with what to do next.'),
  })
  .meta({ description: 'One condition, as everywhere in Kubernetes.' });

/** One condition of an object, as it is stored. */
export type Condition = z.infer<typeof condition>;

export const conditions = z
  .array(condition)
  .max(16)
  .meta({
    description:
      'What the operator found, one entry per type; the API reference lists types and reasons with what to do. ' +
      'Absent means that the operator has not looked at this object yet.',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
  });

/** Status of an object that the operator has never seen, so that nobody takes it for current (design §3). */
export const neverReconciled = { observedGeneration: -1 };
