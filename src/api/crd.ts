import { z } from 'zod';
import { apiGroup, apiVersionName, type ResourceDefinition } from './resource.ts';

/** The part of OpenAPI v3 that a CustomResourceDefinition may use (a "structural schema"), as far as we use it. */
export interface Schema {
  type?: string;
  format?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  pattern?: string;
  nullable?: boolean;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  minProperties?: number;
  maxProperties?: number;
  required?: string[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema;
  items?: Schema;
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-validations'?: { rule: string; message?: string }[];
}

/** A CustomResourceDefinition, ready to be applied. */
export interface CustomResourceDefinition {
  readonly apiVersion: 'apiextensions.k8s.io/v1';
  readonly kind: 'CustomResourceDefinition';
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly scope: 'Namespaced';
    readonly names: Record<string, string | string[]>;
    readonly versions: readonly CrdVersion[];
  };
}

interface CrdVersion {
  readonly name: string;
  readonly served: true;
  readonly storage: true;
  readonly subresources: { readonly status: object };
  readonly additionalPrinterColumns: readonly object[];
  readonly schema: { readonly openAPIV3Schema: Schema };
}

/** The CustomResourceDefinition of a resource. */
export function toCrd(resource: ResourceDefinition): CustomResourceDefinition {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${resource.plural}.${apiGroup}` },
    spec: {
      group: apiGroup,
      scope: 'Namespaced',
      names: {
        kind: resource.kind,
        listKind: `${resource.kind}List`,
        plural: resource.plural,
        singular: resource.singular,
        shortNames: [resource.shortName],
        categories: [resource.category],
      },
      versions: [
        {
          name: apiVersionName,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: resource.columns.map(({ name, type, jsonPath, ...column }) => ({
            name,
            type,
            ...('wide' in column ? { priority: 1 } : {}),
            jsonPath,
          })),
          schema: { openAPIV3Schema: toStructural(resource.schema) },
        },
      ],
    },
  };
}

/**
 * The structural schema of a zod schema.
 *
 * zod's OpenAPI 3.0 output is nearly structural; what is left to do is in `rewrite`. What has no structural form (unions,
 * transforms) is not rewritten into something weaker: zod throws, or the linter of `structural.ts` finds it.
 */
export function toStructural(schema: z.ZodType): Schema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    reused: 'inline',
    unrepresentable: 'throw',
  });
  return rewrite(json as Schema);
}

// The order in which a reader of the YAML looks for things; the rest follows as zod has it.
const keywordOrder = ['description', 'type', 'format', 'enum', 'default', 'required', 'properties', 'items'] as const;

function rewrite(schema: Schema): Schema {
  const { properties, items, additionalProperties, ...own } = schema;
  const rewritten: Schema = {
    ...own,
    ...(own.type === 'integer'
      ? { format: own.maximum !== undefined && own.maximum <= 0x7fffffff ? 'int32' : 'int64' }
      : {}),
    ...(properties === undefined ? {} : { properties: mapValues(properties, rewrite) }),
    ...(items === undefined ? {} : { items: rewrite(items) }),
    ...(additionalProperties === undefined ? {} : { additionalProperties: rewrite(additionalProperties) }),
  };
  if (rewritten.format === 'date-time') {
    delete rewritten.pattern; // 300 characters for what the format says
  }
  if (rewritten.pattern !== undefined) {
    rewritten.pattern = rewritten.pattern.replaceAll('\\/', '/'); // JavaScript's source escapes slashes, RE2 need not
  }
  const first = keywordOrder.filter((keyword) => keyword in rewritten).map((keyword) => [keyword, rewritten[keyword]]);
  return { ...Object.fromEntries(first), ...rewritten };
}

function mapValues<A, B>(record: Record<string, A>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}
