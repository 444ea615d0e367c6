/** A short name for a content, the same on every machine. Not for secrets. */

/** Twelve hexadecimal digits of the texts in their order: two 32-bit FNV-1a sums with different starts, mixed at the end. */
export function contentHash(texts: Iterable<string>): string {
  let a = 0x811c9dc5;
  let b = 0x1000193;
  for (const text of texts) {
    for (let at = 0; at <= text.length; at++) {
      // The end of a text counts too: ['ab', 'c'] is not ['a', 'bc'].
      const code = at < text.length ? text.charCodeAt(at) : 0x10000;
      a = Math.imul(a ^ code, 0x01000193);
      b = Math.imul(b ^ code, 0x85ebca6b);
      b ^= b >>> 13;
    }
  }
  return hex(mix(a ^ (b >>> 7))) + hex(mix(b ^ (a << 5))).slice(0, 4);
}

function mix(value: number): number {
  const once = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  const twice = Math.imul(once ^ (once >>> 15), 0x846ca68b);
  return (twice ^ (twice >>> 16)) >>> 0;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}
