import type { z } from 'zod';

export const apiGroup = 'loadmanager.danube.io';
export const apiVersionName = 'v1alpha1';
export const apiVersion = `${apiGroup}/${apiVersionName}` as const;

/** What the generator needs to know about one kind to write its CustomResourceDefinition and its reference. */
export interface ResourceDefinition {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortName: string;
  readonly category: string;
  /** The columns of `kubectl get`, in order; `AGE` comes from here too, because the server adds it only to lists without columns. */
  readonly columns: readonly PrinterColumn[];
  /** The whole object below `apiVersion`, `kind` and `metadata`: an object with `spec` and `status`. */
  readonly schema: z.ZodObject;
}

/** One column, as `additionalPrinterColumns` wants it. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  /** Shown only by `kubectl get -o wide`. */
  readonly wide?: true;
}

/** The part of an object's metadata that the operator reads. Times are RFC 3339 strings, as the API server sends them. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly generation: number;
  readonly resourceVersion: string;
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** The condition's column: its status or its reason. */
export function conditionPath(type: string, field: 'status' | 'reason' | 'message'): string {
  return `.status.conditions[?(@.type=="${type}")].${field}`;
}
