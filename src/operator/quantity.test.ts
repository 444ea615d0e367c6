import { describe, expect, it } from 'vitest';
import { parseQuantity } from './quantity.ts';

describe('a Kubernetes quantity', () => {
  it.each([
    ['2', 2],
    ['0.5', 0.5],
    ['.5', 0.5],
    ['1.', 1],
    ['50m', 0.05],
    ['100u', 0.0001],
    ['1k', 1000],
    ['1e3', 1000],
    ['12E-1', 1.2],
    ['1E', 1e18],
    ['64Mi', 67_108_864],
    ['1.5Gi', 1_610_612_736],
    ['1G', 1e9],
    ['-1', -1],
  ])('%s is %d', (text, value) => {
    expect(parseQuantity(text)).toBeCloseTo(value, 9);
  });

  it.each([undefined, '', 'x', '1KiB', '1 Gi', 'Gi', '1mi', '1e', '1e3Ki'])('is not what %s is', (text) => {
    expect(parseQuantity(text)).toBeUndefined();
  });
});
