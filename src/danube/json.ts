/**
 * JSON as the brokers write it: ids are u64 and mostly beyond 2^53, where JSON.parse would round them (contract 2.1).
 * Integers that a JavaScript number cannot hold exactly are read as bigint, and bigints are written as bare numbers.
 */

export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

// ES2026 (proposal-json-parse-with-source), in Node since 22; not yet in TypeScript's library.
interface LosslessJson {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
  stringify(value: unknown, replacer: (key: string, value: unknown) => unknown): string;
}
const lossless = JSON as unknown as LosslessJson;

const INTEGER = /^-?\d+$/;

/** @throws SyntaxError when the text is not JSON. */
export function parseJson(text: string): Json {
  return lossless.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined && INTEGER.test(source)
      ? BigInt(source)
      : value,
  ) as Json;
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
 */
export function jsonFloat(value: number): Json {
  return lossless.rawJSON(formatFloat(value)) as Json;
}

function formatFloat(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  if (value !== 0 && (Math.abs(value) < 1e-5 || Math.abs(value) >= 1e16))
    return value.toExponential().replace('e+', 'e');
  return Number.isInteger(value) ? `${value}.0` : value.toString();
}
