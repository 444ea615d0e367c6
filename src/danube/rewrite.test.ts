import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyDifference } from './rewrite.ts';

describe('applyDifference', () => {
  it.each([
    ['a changed member', '{"a":1,"x":0.0,"b":2}', '{"a":1,"b":2}', '{"a":1,"b":3}', '{"a":1,"x":0.0,"b":3}'],
    ['a new member', '{"a":1,"x":1e-7}', '{"a":1}', '{"a":1,"b":3}', '{"a":1,"x":1e-7,"b":3}'],
    ['a removed member', '{"a":1,"x":-0,"b":2}', '{"a":1,"b":2}', '{"b":2}', '{"x":-0,"b":2}'],
    ['a nested member', '{"a":{"b":1,"x":[1.0]}}', '{"a":{"b":1}}', '{"a":{"b":2}}', '{"a":{"b":2,"x":[1.0]}}'],
    ['an item', '[{"a":1,"x":1},{"a":1}]', '[{"a":1},{"a":1}]', '[{"a":2},{"a":1}]', '[{"a":2,"x":1},{"a":1}]'],
    ['a longer list', '{"a":[1,2],"x":9}', '{"a":[1,2]}', '{"a":[1,2,3]}', '{"a":[1,2,3],"x":9}'],
    ['a default that stays away', '{"x":1}', '{"a":0,"b":0}', '{"a":0,"b":1}', '{"x":1,"b":1}'],
    ['a list where the original has another', '{"a":[1]}', '{"a":[1,2]}', '{"a":[1,3]}', '{"a":[1,3]}'],
    ['a list that grows to what the original has', '{"a":[1,2]}', '{"a":[1]}', '{"a":[1,3]}', '{"a":[1,3]}'],
    ['a value of another kind', '{"a":"1","x":2}', '{"a":1}', '{"a":null}', '{"a":null,"x":2}'],
    ['a lone number', '18446744073709551615', '18446744073709551615', '7', '7'],
  ])('applies %s', (_what, original, before, after, expected) => {
    expect(applyDifference(original, before, after)).toBe(expected);
  });

  it.each([
    ['names like array indexes, which JavaScript would sort', '{"10":1,"b":2,"2":3}'],
    ['escapes', '{"\\u0062":"\\/\\u00e9\\"","c\\\\":1}'],
    ['numbers that JavaScript would print differently', '{"n":[0.0,-0,1e-7,1E5,1.50,123456789012345678901234567890]}'],
    ['a member called __proto__', '{"__proto__":{"a":1}}'],
    ['white space around and between', ' {"n" : [ 1 ,2 ] , "o":{ } ,"p":[ ]} '],
  ])('keeps %s', (_what, original) => {
    const changed = applyDifference(original, '{"changed":1}', '{"changed":2}');

    expect(changed.replace(/[{,]"changed":2/, '').replaceAll(' ', '')).toBe(original.replaceAll(' ', ''));
  });

  it('keeps what it does not know of any object, in its order, to the byte', () => {
    const member = fc.tuple(
      fc.string({ unit: 'binary', maxLength: 5 }).map((name) => JSON.stringify(`${name}?`)),
      fc.oneof(
        fc.json(),
        fc.bigInt().map(String),
        fc.constantFrom('0.0', '-0', '1e-7', '2.227373840923975e-8', '1E+2', '[ 1 , {"a" : 0.10}]', '"\\u0041"'),
      ),
    );
    fc.assert(
      fc.property(fc.uniqueArray(member, { selector: ([name]) => name }), fc.nat(), (unknown, seed) => {
        const members = unknown.map(([name, text]) => `${name}:${text}`);
        const at = seed % (members.length + 1);
        const original = `{${members.toSpliced(at, 0, '"ours":1').join(',')}}`;

        const changed = applyDifference(original, '{"ours":1}', '{"ours":12345678901234567890}');

        expect(changed).toBe(`{${members.toSpliced(at, 0, '"ours":12345678901234567890').join(',')}}`);
      }),
    );
  });
});
