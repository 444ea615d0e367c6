import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createListMatcher, createTopicMatcher } from './topic-patterns.ts';

describe('a pattern', () => {
  it.each([
    ['/payments/*', '/payments/card', true],
    ['/payments/*', '/payments/', true],
    ['/payments/*', '/payments2/card', false],
    ['/payments/card', '/payments/card', true],
    ['/payments/card', '/payments/card2', false],
    ['/default/audit-*', '/default/audit-2026', true],
    ['/default/audit-*', '/default/my-audit-2026', false],
    ['/*/audit', '/default/audit', true],
    ['/*/*', '/default/audit', true],
    ['/default/*-eu-*', '/default/orders-eu-3', true],
    ['/default/a*a', '/default/a', false],
    ['/default/a.c', '/default/abc', false],
    ['/default/[ab]', '/default/a', false],
    ['/default/*', '/other/default/x', false],
    ['/*/x', '/a/b/x', false],
    ['/*/*', 'audit', false],
  ])('%s and %s: %s', (pattern, topic, matches) => {
    expect(createTopicMatcher([pattern])(topic)).toBe(matches);
  });

  it('of a partitioned topic covers its partitions, and only those', () => {
    const matches = createTopicMatcher(['/default/orders']);

    expect(matches('/default/orders-part-0')).toBe(true);
    expect(matches('/default/orders-part-17')).toBe(true);
    expect(matches('/default/orders-part-')).toBe(false);
    expect(matches('/default/orders-partial')).toBe(false);
  });

  it('is one of several', () => {
    const matches = createTopicMatcher(['/a/*', '/b/x']);

    expect(['/a/1', '/b/x', '/b/y'].map(matches)).toEqual([true, true, false]);
    expect(createTopicMatcher([])('/a/1')).toBe(false);
  });

  it('matches what a plain recursion over both texts says', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '-'), maxLength: 8 });
    const glob = fc.string({ unit: fc.constantFrom('a', 'b', '-', '*', '*'), minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(glob, text, (pattern, name) => {
        expect(createTopicMatcher([`/n/${pattern}`])(`/n/${name}`)).toBe(plainly(pattern, name));
      }),
      { numRuns: 2_000 },
    );
  });

  it('takes no longer for one that would make a regular expression try for years', () => {
    const pattern = `/n/${'*a'.repeat(120)}*b`;
    const matches = createTopicMatcher([pattern]);

    expect(matches(`/n/${'a'.repeat(100_000)}`)).toBe(false);
    expect(matches(`/n/${'a'.repeat(100_000)}b`)).toBe(true);
  });
});

function plainly(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] !== '*') return pattern[0] === text[0] && plainly(pattern.slice(1), text.slice(1));
  return Array.from({ length: text.length + 1 }, (_, at) => text.slice(at)).some((rest) =>
    plainly(pattern.slice(1), rest),
  );
}

describe('several lists of patterns', () => {
  it('are asked at once: bit n tells of list n', () => {
    const listsOf = createListMatcher([['/a/*'], ['/b/x', '/a/x'], ['/*/y']]);

    expect(['/a/x', '/a/y', '/b/x-part-3', '/b/z', 'no topic'].map(listsOf)).toEqual([0b011, 0b101, 0b010, 0, 0]);
  });

  it('are at most 31', () => {
    const lists = Array.from({ length: 31 }, (_, index) => [`/a/t${index}`]);

    expect(createListMatcher(lists)('/a/t30')).toBe(1 << 30);
    expect(() => createListMatcher([...lists, ['/a/t31']])).toThrow('at most 31');
  });
});
