/** What every benchmark prints: its bars, each with the limit that it has to keep to, and figures without a limit. */

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** The value may be as high as this. */
  readonly limit: number;
  readonly unit: string;
  readonly holds: boolean;
}

export interface BenchResult {
  readonly bars: readonly Bar[];
  readonly figures: Readonly<Record<string, number>>;
}

export function bar(name: string, value: number, limit: number, unit: string): Bar {
  return { name, value, limit, unit, holds: value <= limit };
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** As one line of JSON, or as a table for people. A missed bar is shown, and is the reader's to judge: the exit code stays 0. */
export function printResult(result: BenchResult, isJson: boolean): void {
  process.stdout.write(isJson ? `${JSON.stringify(result)}\n` : toTable(result));
}

function toTable({ bars, figures }: BenchResult): string {
  const width = Math.max(
    28,
    ...bars.map(({ name }) => name.length),
    ...Object.keys(figures).map((name) => name.length),
  );
  const lines = bars.map(
    ({ name, value, limit, unit, holds }) =>
      `${holds ? 'holds ' : 'MISSED'}  ${name.padEnd(width)} ${value} ${unit} (at most ${limit})`,
  );
  for (const [name, value] of Object.entries(figures)) lines.push(`        ${name.padEnd(width)} ${value}`);
  return `${lines.join('\n')}\n`;
}
