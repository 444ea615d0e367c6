/** Versions of one kind of object are ordered numbers of any length (KEP-5504, stable in Kubernetes 1.35). */

/** Whether `a` is certainly older than `b`; false if one of them is absent or no number. */
export function isOlder(a: string | undefined, b: string | undefined): boolean {
  const [left, right] = [parse(a), parse(b)];
  return left !== undefined && right !== undefined && left < right;
}

function parse(resourceVersion: string | undefined): bigint | undefined {
  return resourceVersion !== undefined && /^\d+$/.test(resourceVersion) ? BigInt(resourceVersion) : undefined;
}
