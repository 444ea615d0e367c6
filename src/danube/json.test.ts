import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatJson, jsonFloat, parseJson } from './json.ts';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

describe('lossless JSON', () => {
  it('keeps every u64, as a value and inside of others', () => {
    fc.assert(
      fc.property(u64, (id) => {
        const parsed = parseJson(`{"id":${id},"list":[${id}]}`) as { id: number | bigint; list: (number | bigint)[] };

        expect(BigInt(parsed.id)).toBe(id);
        expect(formatJson(parsed)).toBe(`{"id":${id},"list":[${id}]}`);
      }),
    );
  });

  it('shows why: JSON.parse rounds a recorded broker id', () => {
    const recorded = '10214734126173535086';

    expect(String(JSON.parse(recorded))).not.toBe(recorded);
    expect(formatJson(parseJson(recorded))).toBe(recorded);
  });

  it('reads what any other JSON writer writes', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        // Big integers are the only difference.
        const plain = JSON.parse(text) as unknown;
        const ours = parseJson(text);

        expect(JSON.stringify(ours, (_key, value) => (typeof value === 'bigint' ? Number(value) : value))).toBe(
          JSON.stringify(plain),
        );
      }),
    );
  });

  it.each([
    [0, '0.0'],
    [-0, '-0.0'],
    [0.000014, '0.000014'],
    [0.0000046, '4.6e-6'],
    [2.1014345819025958e-8, '2.1014345819025958e-8'],
    [627384766, '627384766.0'],
    [1e16, '1e16'],
  ])('writes the float %d as the brokers do: %s', (value, text) => {
    expect(formatJson({ usage: jsonFloat(value) })).toBe(`{"usage":${text}}`);
  });
});
