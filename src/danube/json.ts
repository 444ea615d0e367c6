/**
 * JSON as the brokers read and write it. Ids are u64 and mostly beyond 2^53, where JSON.parse would round them
 * (contract 2.1). So ids are taken from the text: as digits by `readJson`, as bigint by `parseJson`.
 */
import { printable } from './names.ts';

export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** A value, and the numbers at its top exactly as they are written; numbers further down are rounded to doubles. */
export interface JsonDocument {
  readonly value: Json;
  /** Source text of the numbers that are members of the top object, by name; a number that stands alone is under ''. */
  readonly numbers: ReadonlyMap<string, string>;
}

// ES2026 (proposal-json-parse-with-source), in Node since 22; not yet in TypeScript's library.
interface LosslessJson {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
  stringify(value: unknown, replacer: (key: string, value: unknown) => unknown): string;
}
const lossless = JSON as unknown as LosslessJson;

const INTEGER = /^-?\d+$/;
const NUMBER = /[-+.\deE]+/y;

/** serde_json, which the brokers use, refuses anything deeper. */
const MAX_DEPTH = 127;

/**
 * The whole value; integers that a JavaScript number cannot hold exactly are bigint, at any depth.
 * @throws SyntaxError when the text is not JSON, or is nested deeper than brokers can read.
 */
export function parseJson(text: string): Json {
  parseNative(text);
  return lossless.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined && INTEGER.test(source)
      ? BigInt(source)
      : value,
  ) as Json;
}

/**
 * The value, several times faster than `parseJson` (a reviver is slow), and only if brokers can read it, too: no lone
 * surrogates, no numbers beyond a double. A name that an object holds twice is refused, since a rewrite could not tell
 * which of the two it means.
 * @throws SyntaxError that says what is wrong.
 */
export function readJson(text: string): JsonDocument {
  const { value, outline } = parseNative(text);
  if (countMembers(value, outline.escapes) !== outline.members) throw new SyntaxError('has a name twice in one object');
  return { value, numbers: outline.numbers };
}

function parseNative(text: string): { readonly value: Json; readonly outline: Outline } {
  const value = parse(text);
  const outline = outlineOf(text);
  if (outline.depth > MAX_DEPTH)
    throw new SyntaxError(`is nested deeper than the ${MAX_DEPTH} levels that brokers read`);
  return { value, outline };
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SyntaxError(`is not JSON: ${printable(reason)}`, { cause: error });
  }
}

interface Outline {
  readonly depth: number;
  /** Of all objects together. */
  readonly members: number;
  readonly escapes: boolean;
  readonly numbers: ReadonlyMap<string, string>;
}

/** What JSON.parse does not tell, in one pass over a text that is known to be JSON. */
function outlineOf(text: string): Outline {
  const numbers = new Map<string, string>();
  const escapes = text.includes('\\');
  const isList = text.trimStart().startsWith('[');
  let depth = 0;
  let deepest = 0;
  let members = 0;
  let name = '';
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '"': {
        const end = endOfString(text, at, escapes);
        if (depth === 1) name = text.slice(at, end + 1);
        at = end;
        break;
      }
      case ':':
        members++;
        break;
      case '{':
      case '[':
        depth++;
        if (depth > deepest) deepest = depth;
        break;
      case '}':
      case ']':
        depth--;
        break;
      default:
        if (depth <= 1 && !isList && isNumberStart(text.charCodeAt(at))) {
          const source = numberAt(text, at);
          numbers.set(name === '' ? '' : (JSON.parse(name) as string), source);
          at += source.length - 1;
        }
    }
  }
  return { depth: deepest, members, escapes, numbers };
}

/** Index of the closing quote of the string that opens at `at`, in a text that is JSON; `escapes`: it may hold some. */
export function endOfString(text: string, at: number, escapes: boolean): number {
  let end = text.indexOf('"', at + 1);
  while (escapes && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end;
}

function isEscaped(text: string, at: number): boolean {
  let before = at;
  while (text[before - 1] === '\\') before--;
  return (at - before) % 2 === 1;
}

function isNumberStart(code: number): boolean {
  return (code >= 48 && code <= 57) || code === 45;
}

function numberAt(text: string, at: number): string {
  NUMBER.lastIndex = at;
  return NUMBER.exec(text)?.[0] ?? '';
}

/** Members of all objects in the value, each name once. @throws SyntaxError for what brokers cannot read. */
function countMembers(value: Json, escapes: boolean): number {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new SyntaxError('has a number beyond a double');
  if (typeof value === 'string' && escapes && !value.isWellFormed())
    throw new SyntaxError('has half of a surrogate pair (\\ud800 to \\udfff) in a string');
  if (typeof value !== 'object' || value === null) return 0;
  let members = 0;
  if (Array.isArray(value)) {
    for (const item of value as readonly Json[]) members += countMembers(item, escapes);
    return members;
  }
  const object = value as JsonObject;
  for (const name in object) {
    if (escapes) countMembers(name, escapes);
    members += 1 + countMembers(object[name] ?? null, escapes);
  }
  return members;
}

/** Compact JSON text, as the brokers' serde_json writes it; object keys keep the order given. */
export function formatJson(value: Json): string {
  return lossless.stringify(value, (_key, member) =>
    typeof member === 'bigint' ? lossless.rawJSON(member.toString()) : member,
  );
}

/**
 * A float as serde_json writes it: `0.0` and not `0`, exponents below 1e-5. For encoders whose output is compared with
 * recorded values; reading needs no such distinction.
 * @throws RangeError for NaN and the infinities, which JSON does not have.
 */
export function jsonFloat(value: number): Json {
  if (!Number.isFinite(value)) throw new RangeError(`${value} cannot be written as JSON; give a finite number`);
  return lossless.rawJSON(formatFloat(value)) as Json;
}

function formatFloat(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  if (value !== 0 && (Math.abs(value) < 1e-5 || Math.abs(value) >= 1e16))
    return value.toExponential().replace('e+', 'e');
  return Number.isInteger(value) ? `${value}.0` : value.toString();
}
