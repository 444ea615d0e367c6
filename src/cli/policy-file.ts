/** A RebalancePolicy from a file, for `plan`: what concerns a live cluster is passed over, mistakes are named with their line. */
import { type Document, isNode, LineCounter, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { isProblem, type Problem } from '../api/problem.ts';
import {
  type EffectiveRebalance,
  effectiveRebalance,
  type PlacementSpec,
  placement,
  rebalance,
} from '../api/rebalance.ts';
import { rebalancePolicyResource } from '../api/rebalance-policy.ts';
import { apiVersion } from '../api/resource.ts';
import { type Calendar, createCalendar } from '../core/policy/windows.ts';

export interface PolicyFile {
  readonly rebalance: EffectiveRebalance;
  readonly placement: PlacementSpec;
  readonly calendar: Calendar;
  /** Fields that mean nothing, each with its line. */
  readonly ignored: readonly string[];
}

/** What applies without a file. */
export const noPolicy: PolicyFile = {
  rebalance: effectiveRebalance(),
  placement: {},
  calendar: alwaysOpen(),
  ignored: [],
};

function alwaysOpen(): Calendar {
  const calendar = createCalendar([]);
  if (isProblem(calendar)) throw new Error(calendar.problem);
  return calendar;
}

const planned = z.object({ rebalance: rebalance.exactOptional(), placement: placement.exactOptional() });

type Path = readonly (string | number)[];

/** Reads YAML or JSON. Problems start with the line. */
export function readPolicy(text: string): PolicyFile | Problem {
  const lines = new LineCounter();
  let documents: readonly Document[];
  try {
    documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, logLevel: 'silent' }) as Document[];
  } catch (error) {
    // The parser goes as deep as the text does.
    if (error instanceof RangeError) return { problem: 'expected a policy, found lists in lists without end' };
    throw error;
  }
  for (const { errors } of documents) {
    const [error] = errors;
    if (error !== undefined) return { problem: `line ${lines.linePos(error.pos[0]).line}: ${error.message}` };
  }
  const policies = documents.filter((document) => document.get('kind') === rebalancePolicyResource.kind);
  const [policy] = policies;
  if (policy === undefined || policies.length > 1) {
    return { problem: `expected one document with "kind: ${rebalancePolicyResource.kind}", found ${policies.length}` };
  }
  return readDocument(policy, lines);
}

function readDocument(document: Document, lines: LineCounter): PolicyFile | Problem {
  const at = (path: Path): string => `line ${lineOf(document, lines, path)}: ${pathText(path)}`;
  const content = toValue(document);
  if (isProblem(content)) return content;
  if (content.apiVersion !== apiVersion) {
    return { problem: `${at(['apiVersion'])}: expected ${apiVersion}, found ${shown(content.apiVersion)}` };
  }
  const { spec } = content;
  if (!isMap(spec)) return { problem: `${at(['spec'])}: expected the fields of a policy, found ${shown(spec)}` };
  const read = planned.safeParse(spec);
  if (!read.success) {
    return { problem: read.error.issues.map((issue) => issueText(issue, spec, at)).join('\n') };
  }
  const effective = effectiveRebalance(read.data.rebalance);
  const calendar = createCalendar(effective.windows);
  if (isProblem(calendar)) {
    const [, index = '0', field = ''] = /^windows\[(\d+)\]\.(\w+)/.exec(calendar.problem) ?? [];
    const place = lineOf(document, lines, ['spec', 'rebalance', 'windows', Number(index), field]);
    return { problem: `line ${place}: spec.rebalance.${calendar.problem}` };
  }
  const known = Object.keys(rebalancePolicyResource.schema.shape.spec.shape);
  const unknown: Path[] = [
    ...Object.keys(spec)
      .filter((key) => !known.includes(key))
      .map((key) => ['spec', key]),
    ...strippedPaths(spec.rebalance, read.data.rebalance, ['spec', 'rebalance']),
    ...strippedPaths(spec.placement, read.data.placement, ['spec', 'placement']),
  ];
  return {
    rebalance: effective,
    placement: read.data.placement ?? {},
    calendar,
    ignored: unknown.map((path) => `${at(path)} is not a field`),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function isMap(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function toValue(document: Document): Fields | Problem {
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return isMap(value) ? value : { problem: 'expected a policy' };
  } catch (error) {
    // Aliases of aliases grow without end.
    return { problem: `expected a policy: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** Fields that are in what was written and not in what was read. */
function strippedPaths(written: unknown, read: unknown, path: Path): readonly Path[] {
  if (Array.isArray(written) && Array.isArray(read)) {
    return written.flatMap((item, index) => strippedPaths(item, read[index], [...path, index]));
  }
  if (!isMap(written) || !isMap(read)) return [];
  return Object.keys(written).flatMap((key) =>
    Object.hasOwn(read, key) ? strippedPaths(written[key], read[key], [...path, key]) : [[...path, key]],
  );
}

function issueText(issue: z.core.$ZodIssue, spec: Fields, at: (path: Path) => string): string {
  const path = issue.path.map((key) => (typeof key === 'number' ? key : String(key)));
  let found: unknown = spec;
  for (const key of path) found = typeof found === 'object' && found !== null ? (found as Fields)[key] : undefined;
  const message = issue.code === 'invalid_key' ? issue.issues.map((inner) => inner.message).join(', ') : issue.message;
  const wanted = message
    .replace(/^(Invalid input|Invalid option|Too big|Too small): /, '')
    .replace(/, received .*$/, '');
  return `${at(['spec', ...path])}: ${wanted}, found ${shown(found)}`;
}

function pathText(path: Path): string {
  return path.map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index > 0 ? '.' : ''}${key}`)).join('');
}

/** Of the field, or of the nearest one around it that is there. */
function lineOf(document: Document, lines: LineCounter, path: Path): number {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

function shown(value: unknown): string {
  const text = value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
