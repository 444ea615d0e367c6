/** Names come from files that anyone may have written: what a terminal would obey or hide is shown as what it is. */

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;

export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/** The same over several lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}
