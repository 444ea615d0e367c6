import { describe, expect, it } from 'vitest';
import { isBrokerId, isTopicName, nameProblem, quote, textProblem } from './names.ts';

describe('topic names', () => {
  it.each(['/default/t', '/größe/t_1-x', '/default/t-part-0', '/0/_', '/हिदी/t', '/Ⅷ/½', '/system/_events_topic'])(
    '%s is one',
    (name) => {
      expect(isTopicName(name)).toBe(true);
    },
  );

  it.each([
    'default/t',
    '/default',
    '/default/a.b',
    '/default/a/b',
    '/default/',
    '//t',
    '',
    '/default/a b',
    '/default/t\n',
    '/default/😀',
    '/default/a\0',
    '/default/\ud800',
    // The virama is neither a letter nor a digit to Rust, nor to us.
    '/default/हिन्दी',
  ])('%j is none', (name) => {
    expect(isTopicName(name)).toBe(false);
  });

  it('are refused with the character that is the reason', () => {
    expect(nameProblem('topic', 'a.b')).toBe('the topic "a.b" holds "."; brokers take letters, digits, "_" and "-"');
    expect(nameProblem('namespace', '')).toBe('the namespace is empty');
    expect(nameProblem('topic', 'x\ufffd')).toContain('bytes that are not UTF-8?');
    expect(nameProblem('topic', 'größe')).toBeUndefined();
  });
});

describe('free names', () => {
  it('may hold anything that can be printed', () => {
    expect(textProblem('subscription', 'a.b c/😀')).toBeUndefined();
  });

  it.each(['', 'a\0', 'a\u0085', '\udfff', 'a\ufffdb'])('are refused when they are %j', (name) => {
    expect(textProblem('subscription', name)).toContain('the subscription');
  });
});

describe('broker ids', () => {
  it.each(['0', '7', '18446744073709551615', '9999999999999999999'])('%s is one', (text) => {
    expect(isBrokerId(text)).toBe(true);
  });

  it.each(['', '-1', '+1', '01', '1e3', '1.0', ' 1', '1\n', '18446744073709551616', '99999999999999999999', '１'])(
    '%j is none',
    (text) => {
      expect(isBrokerId(text)).toBe(false);
    },
  );
});

describe('quoted text', () => {
  it('is one printable line of bounded length', () => {
    expect(quote('a\n\u0000\u009f"')).toBe('"a\\n\\u0000\\u009f\\""');
    expect(quote('x'.repeat(2 ** 20)).length).toBeLessThan(70);
  });
});
