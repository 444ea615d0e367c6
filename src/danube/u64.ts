/** Writing ids and offsets: what is not a u64 would stop a broker's task (contract 3), so it is never written. */
import { isBrokerId, quote } from './names.ts';

/** @throws RangeError when it is not a u64 in decimal. */
export function u64(value: string | bigint): bigint {
  const digits = value.toString();
  if (!isBrokerId(digits))
    throw new RangeError(`${quote(digits)} is not a u64 and cannot be written as an id or offset`);
  return BigInt(digits);
}
