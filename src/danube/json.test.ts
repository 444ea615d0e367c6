import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatJson, jsonFloat, parseJson, readJson } from './json.ts';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

describe('parseJson', () => {
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

  it('refuses what is nested too deeply for a recursive reader', () => {
    expect(() => parseJson(nested(100_000))).toThrow(SyntaxError);
  });
});

describe('readJson', () => {
  it('reads the same as JSON.parse, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json({ stringUnit: 'binary' }), fc.string()), (text) => {
        const plain = outcome(() => JSON.parse(text));

        expect(outcome(() => readJson(text).value)).toEqual(plain);
      }),
    );
  });

  it('tells the digits of every number at the top, as they are written', () => {
    expect(
      readJson(' {"a":10214734126173535086,"b":{"c":1},"d":[2],"\\u0065":-0, "f" : 1e3 ,"g":5.0}').numbers,
    ).toEqual(
      new Map([
        ['a', '10214734126173535086'],
        ['e', '-0'],
        ['f', '1e3'],
        ['g', '5.0'],
      ]),
    );
    expect(readJson(' 18446744073709551615\n').numbers).toEqual(new Map([['', '18446744073709551615']]));
    expect(readJson('["a",5]').numbers).toEqual(new Map());
  });

  it.each([
    ['a name that an object has twice', '{"list":[{"a":1,"a":1}]}', 'has a name twice in one object'],
    ['the same name in two spellings', '{"a":1,"\\u0061":2}', 'has a name twice in one object'],
    ['128 levels', nested(128), 'is nested deeper than the 127 levels that brokers read'],
    ['half a surrogate pair in a string', '["\\ud800"]', 'has half of a surrogate pair'],
    ['half a surrogate pair in a name', '{"\\udc00x":0}', 'has half of a surrogate pair'],
    ['a number that no double holds', '{"a":{"b":1e400}}', 'has a number beyond a double'],
    ['no JSON', '{"a":', 'is not JSON: '],
    ['a byte order mark', '\ufeffnull', 'is not JSON: '],
  ])('refuses %s', (_what, text, problem) => {
    expect(() => readJson(text)).toThrow(SyntaxError);
    expect(() => readJson(text)).toThrow(problem);
  });

  it.each([
    ['127 levels', nested(127)],
    ['one name in two objects', '[{"a":1},{"a":{"a":2}}]'],
    ['names and colons inside of strings', '{"a":"\\"a\\":1,","b":"\\\\","c":"{[:"}'],
    ['a whole surrogate pair', '"\\ud83d\\ude00"'],
    ['__proto__ as a name like any other', '{"__proto__":{"polluted":true},"constructor":1}'],
  ])('takes %s', (_what, text) => {
    expect(readJson(text).value).toEqual(JSON.parse(text));
    expect({}).not.toHaveProperty('polluted');
  });

  it('takes time in proportion to the size', () => {
    const strings = [
      '"'.padEnd(2 ** 20 + 1, '\\\\').concat('"'),
      `"${'\\"'.repeat(2 ** 19)}"`,
      `[${'0,'.repeat(2 ** 19)}0]`,
    ];

    const started = performance.now();
    for (const text of strings) readJson(text);

    // About 20 ms; anything quadratic takes minutes.
    expect(performance.now() - started).toBeLessThan(30_000);
  }, 60_000);
});

describe('jsonFloat', () => {
  it.each([
    [0, '0.0'],
    [-0, '-0.0'],
    [0.00001, '0.00001'],
    [0.000014, '0.000014'],
    [0.0000046, '4.6e-6'],
    [2.1014345819025958e-8, '2.1014345819025958e-8'],
    [627384766, '627384766.0'],
    [1e15, '1000000000000000.0'],
    [1e16, '1e16'],
    [-1.5e300, '-1.5e300'],
  ])('writes the float %d as the brokers do: %s', (value, text) => {
    expect(formatJson({ usage: jsonFloat(value) })).toBe(`{"usage":${text}}`);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('refuses %d, which JSON does not have', (value) => {
    expect(() => jsonFloat(value)).toThrow('give a finite number');
  });
});

function nested(levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels);
}

/** The value; undefined for a text that is no JSON. */
function outcome(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
