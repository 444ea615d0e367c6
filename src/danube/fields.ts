/** Reading the members of a JSON value: each function returns what was asked for or throws a `ValueError` in words. */
import { type Json, type JsonObject, readJson } from './json.ts';
import { isBrokerId, quote } from './names.ts';

export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string };

/** A value that is JSON, but not what its key promises. */
export class ValueError extends Error {}

/** An object at the top of a value, with the source text of its numbers. */
export interface Fields {
  readonly members: JsonObject;
  readonly numbers: ReadonlyMap<string, string>;
}

// A byte order mark is not JSON: it must reach the parser.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The value's text, if it is UTF-8. */
function textOf(bytes: Uint8Array): string {
  if (bytes.length === 0) throw new ValueError('is empty; brokers write JSON, "nothing" is null');
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new ValueError('is not UTF-8', { cause: error });
  }
}

/** Runs `read` on the value's text; what is wrong with the value becomes a problem, anything else is thrown on. */
export function decodeText<T>(bytes: Uint8Array, read: (text: string) => T): Decoded<T> {
  try {
    return { ok: true, value: read(textOf(bytes)) };
  } catch (error) {
    if (error instanceof ValueError || error instanceof SyntaxError) return { ok: false, problem: error.message };
    throw error;
  }
}

export function decodeValue<T>(bytes: Uint8Array, read: (value: Json) => T): Decoded<T> {
  return decodeText(bytes, (text) => read(readJson(text).value));
}

export function decodeFields<T>(bytes: Uint8Array, what: string, read: (fields: Fields) => T): Decoded<T> {
  return decodeText(bytes, (text) => {
    const { value, numbers } = readJson(text);
    return read({ members: asObject(value, what), numbers });
  });
}

/** A value that is one u64, digit by digit as written. */
export function decodeU64(bytes: Uint8Array, what: string): Decoded<string> {
  return decodeText(bytes, (text) => {
    const { value, numbers } = readJson(text);
    return asU64(value, numbers.get(''), what);
  });
}

export function asObject(json: Json | undefined, what: string): JsonObject {
  if (json === undefined || json === null || typeof json !== 'object' || Array.isArray(json))
    throw new ValueError(`${what} is ${describe(json)}, not an object`);
  return json as JsonObject;
}

export function asList(json: Json | undefined, what: string): readonly Json[] {
  if (!Array.isArray(json)) throw new ValueError(`${what} is ${describe(json)}, not a list`);
  return json;
}

export function asString(json: Json | undefined, what: string): string {
  if (typeof json !== 'string') throw new ValueError(`${what} is ${describe(json)}, not a string`);
  return json;
}

export function asBoolean(json: Json | undefined, what: string): boolean {
  if (typeof json !== 'boolean') throw new ValueError(`${what} is ${describe(json)}, not true or false`);
  return json;
}

/** For quantities, where rounding does no harm; ids and offsets are read with `idField` and `offsetField`. */
export function asNumber(json: Json | undefined, what: string): number {
  if (typeof json !== 'number') throw new ValueError(`${what} is ${describe(json)}, not a number`);
  return json;
}

/** A number that may be left out; then it is 0. */
export function orZero(json: Json | undefined, what: string): number {
  return json === undefined ? 0 : asNumber(json, what);
}

/** The digits of a u64 such as a broker's id. */
export function idField({ members, numbers }: Fields, name: string): string {
  return asU64(members[name], numbers.get(name), name);
}

export function offsetField(fields: Fields, name: string): bigint {
  return BigInt(idField(fields, name));
}

/** Left out and null are the same to the brokers. */
export function isAbsent(json: Json | undefined): json is null | undefined {
  return json === undefined || json === null;
}

function asU64(json: Json | undefined, source: string | undefined, what: string): string {
  // 1e3 and 5.0 are floats to the brokers, which then read no id at all.
  if (typeof json === 'number' && source !== undefined && isBrokerId(source)) return source;
  throw new ValueError(`${what} is ${describe(json, source)}, not a whole number from 0 to 2^64 - 1 in plain digits`);
}

const LONGEST_NUMBER = 40;

function describe(json: Json | undefined, source?: string): string {
  if (json === undefined) return 'missing';
  if (json === null) return 'null';
  if (Array.isArray(json)) return 'a list';
  if (typeof json === 'object') return 'an object';
  if (typeof json === 'string') return `the string ${quote(json)}`;
  const text = source ?? String(json);
  return text.length > LONGEST_NUMBER ? `${text.slice(0, LONGEST_NUMBER)}…` : text;
}
