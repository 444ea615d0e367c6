/**
 * Which range to ask for next. etcd counts all keys of a range in every reply, also those beyond the limit: to page
 * through millions of keys with an open end costs the square of their number. So each request ends where, by the keys
 * seen so far, about a page more may be: any cut is right, only the cost depends on it.
 */

/** Bytes of keys; `to` is the first key that is not included, a single NUL byte the end of all keys. */
export interface KeyRange {
  readonly from: Buffer;
  readonly to: Buffer;
}

/** The range after a page that was full: as much as shares one byte more with its last key than the page has in common. */
export function afterFullPage(first: Buffer, last: Buffer, end: Buffer): KeyRange {
  const prefix = last.subarray(0, commonLength(first, last) + 1);
  return { from: afterKey(last), to: earlier(successor(prefix), end) };
}

/** The range after one that is exhausted: one level wider. Undefined when that was the end. */
export function afterExhausted({ to }: KeyRange, end: Buffer): KeyRange | undefined {
  if (to.equals(end)) return undefined;
  return { from: to, to: earlier(successor(to.subarray(0, -1)), end) };
}

/** The first key after this one. The copy lets go of the page that the key is a view of. */
export function afterKey(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.from([0])]);
}

/** The first key after all that start with `prefix`. */
export function successor(prefix: Buffer): Buffer {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const byte = prefix[at] ?? 0xff;
    if (byte < 0xff) return Buffer.concat([prefix.subarray(0, at), Buffer.from([byte + 1])]);
  }
  return END;
}

const END = Buffer.from([0]);

function earlier(a: Buffer, b: Buffer): Buffer {
  if (a.equals(END)) return b;
  if (b.equals(END)) return a;
  return Buffer.compare(a, b) <= 0 ? a : b;
}

function commonLength(a: Buffer, b: Buffer): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return at;
  return length;
}
