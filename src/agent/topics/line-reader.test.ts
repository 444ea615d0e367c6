import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLineReader } from './line-reader.ts';

/**
 * The lines that come out when the text goes in cut at these places; each piece is overwritten after it was read. After
 * a line that ends with `!`, those before the next comment are not wanted.
 */
function read(text: string, cuts: readonly number[], maxLineBytes = 1_000): { lines: string[]; skipped: number } {
  const lines: string[] = [];
  const reader = createLineReader({
    maxLineBytes,
    onLine: (bytes, start, end) => {
      const line = Buffer.from(bytes.subarray(start, end)).toString();
      lines.push(line);
      return line.endsWith('!') ? 'skip' : 'next';
    },
  });
  const all = Buffer.from(text);
  const places = [0, ...cuts.map((it) => Math.min(it, all.length)).sort((a, b) => a - b), all.length];
  for (const [index, place] of places.entries()) {
    const piece = Buffer.from(all.subarray(places[index - 1] ?? 0, place));
    reader.push(piece);
    piece.fill('x');
  }
  return { lines, skipped: reader.skipped() };
}

describe('the lines of a text in pieces', () => {
  it('are those between the newlines', () => {
    expect(read('a\n\nbc\n', [2, 4])).toEqual({ lines: ['a', '', 'bc'], skipped: 0 });
  });

  it('end with a newline: what follows the last one was cut off', () => {
    expect(read('a 1\nb 12', [])).toEqual({ lines: ['a 1'], skipped: 0 });
  });

  it('that are too long are left out and counted, and those after them are read', () => {
    expect(read(`${'x'.repeat(9)}\n${'y'.repeat(8)}\n${'z'.repeat(999)}\nend\n`, [], 8)).toEqual({
      lines: ['y'.repeat(8), 'end'],
      skipped: 2,
    });
  });

  it('that are not wanted are passed over, up to the next comment', () => {
    const text = '# a!\na 1\na# 2\n\n# b\nb 1\n# c!\n# d\nd 1\n# e!\n';

    expect(read(text, [])).toEqual({ lines: ['# a!', '# b', 'b 1', '# c!', '# d', 'd 1', '# e!'], skipped: 0 });
  });

  it('are the same however the text is cut, wanted or not', () => {
    const textOfLines = fc.array(fc.stringMatching(/^#?[a-z#é" ]{0,12}!?$/)).map((lines) => lines.join('\n'));

    fc.assert(
      fc.property(textOfLines, fc.array(fc.nat(200)), (text, cuts) => {
        expect(read(text, cuts)).toEqual(read(text, []));
      }),
    );
  });

  it('are all there however the text is cut, but for those too long', () => {
    const textOfLines = fc.array(fc.stringMatching(/^[a-zé{}" ]{0,12}$/)).map((lines) => lines.join('\n'));

    fc.assert(
      fc.property(textOfLines, fc.array(fc.nat(200)), fc.integer({ min: 1, max: 14 }), (text, cuts, maxLineBytes) => {
        const all = text.split('\n').slice(0, -1);
        const short = all.filter((line) => Buffer.byteLength(line) <= maxLineBytes);

        expect(read(text, cuts, maxLineBytes)).toEqual({ lines: short, skipped: all.length - short.length });
      }),
    );
  });
});
