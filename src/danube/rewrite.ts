/**
 * Changing a few members of a JSON value that others wrote, too. What we do not change stays as its writer wrote it, in
 * its place and to the byte (`0.0`, `1e-7`, ids of any length): it is copied from the text and never becomes a
 * JavaScript value.
 */
import { endOfString } from './json.ts';

/** A value as text, and its parts. */
interface Node {
  readonly text: string;
  readonly members?: ReadonlyMap<string, Member>;
  readonly items?: readonly Node[];
}

interface Member {
  /** The name as written, with its quotes. */
  readonly label: string;
  readonly value: Node;
}

/**
 * `original` with the difference between `before` and `after` applied: members that differ are replaced, new ones are
 * added at the end, those that are gone are removed. Objects are compared member by member and lists of equal length
 * item by item; anything else is replaced whole. All three must be JSON.
 */
export function applyDifference(original: string, before: string, after: string): string {
  return merge(readNode(original, 0).node, readNode(before, 0).node, readNode(after, 0).node);
}

function merge(original: Node, before: Node, after: Node): string {
  if (before.text === after.text) return original.text;
  if (original.members && before.members && after.members)
    return mergeMembers(original.members, before.members, after.members);
  if (original.items && before.items && after.items && sameLength(original.items, before.items, after.items))
    return mergeItems(original.items, before.items, after.items);
  return after.text;
}

function sameLength(first: readonly Node[], ...others: readonly (readonly Node[])[]): boolean {
  return others.every(({ length }) => length === first.length);
}

type Members = ReadonlyMap<string, Member>;

function mergeMembers(original: Members, before: Members, after: Members): string {
  const merged: string[] = [];
  for (const [name, { label, value }] of original) {
    const was = before.get(name);
    const is = after.get(name);
    if (was && is) merged.push(`${label}:${merge(value, was.value, is.value)}`);
    else if (is) merged.push(`${label}:${is.value.text}`);
    else if (!was) merged.push(`${label}:${value.text}`);
  }
  for (const [name, { label, value }] of after) {
    // A default that the original left out is no change.
    if (!original.has(name) && before.get(name)?.value.text !== value.text) merged.push(`${label}:${value.text}`);
  }
  return `{${merged.join(',')}}`;
}

function mergeItems(original: readonly Node[], before: readonly Node[], after: readonly Node[]): string {
  const merged = original.map((item, index) => {
    const was = before[index];
    const is = after[index];
    return was && is ? merge(item, was, is) : item.text;
  });
  return `[${merged.join(',')}]`;
}

const SCALAR = /[^\s,\]}]+/y;
const SPACE = /\s*/y;

/** The value that starts at `at` or after white space, and where it ends. */
function readNode(text: string, at: number): { readonly node: Node; readonly end: number } {
  const start = skip(SPACE, text, at);
  switch (text[start]) {
    case '{':
      return readObject(text, start);
    case '[':
      return readList(text, start);
    default: {
      const end = text[start] === '"' ? endOfString(text, start, true) + 1 : skip(SCALAR, text, start);
      return { node: { text: text.slice(start, end) }, end };
    }
  }
}

function readObject(text: string, start: number): { readonly node: Node; readonly end: number } {
  const members = new Map<string, Member>();
  let at = skip(SPACE, text, start + 1);
  while (text[at] !== '}') {
    const labelEnd = endOfString(text, at, true) + 1;
    const label = text.slice(at, labelEnd);
    const { node: value, end } = readNode(text, skip(SPACE, text, labelEnd) + 1);
    members.set(JSON.parse(label) as string, { label, value });
    at = nextPart(text, end);
  }
  return { node: { text: text.slice(start, at + 1), members }, end: at + 1 };
}

function readList(text: string, start: number): { readonly node: Node; readonly end: number } {
  const items: Node[] = [];
  let at = skip(SPACE, text, start + 1);
  while (text[at] !== ']') {
    const { node, end } = readNode(text, at);
    items.push(node);
    at = nextPart(text, end);
  }
  return { node: { text: text.slice(start, at + 1), items }, end: at + 1 };
}

/** From the end of one part to the start of the next, or to the closing bracket. */
function nextPart(text: string, end: number): number {
  const at = skip(SPACE, text, end);
  return text[at] === ',' ? skip(SPACE, text, at + 1) : at;
}

function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return at + (pattern.exec(text)?.[0].length ?? 0);
}
