/** Small charts as SVG, drawn by hand: they take the colours of the page, light or dark, and need nothing to be looked at. */

const STYLE = `
  svg { --ink: #1f2328; --soft: #656d76; --line: #d0d7de; --ours: #0969da; --other: #8c959f; --band: #2da44e22; --paper: #ffffff }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --soft: #8d96a0; --line: #30363d; --ours: #4493f8; --other: #6e7681; --band: #3fb95033; --paper: #0d1117 }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--ink) }
  .title { font-weight: 600; font-size: 15px }
  .soft { fill: var(--soft) }
  .paper { fill: var(--paper) }
  .grid { stroke: var(--line); stroke-width: 1; fill: none }
  .ours { fill: var(--ours) }
  .other { fill: var(--other) }
  .ours-line { stroke: var(--ours); stroke-width: 2; fill: none }
  .other-line { stroke: var(--other); stroke-width: 2; fill: none }
  .dashed { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 4; fill: none }
  .band { fill: var(--band) }`;

const WIDTH = 720;

export interface Labelled {
  readonly label: string;
  readonly isOurs: boolean;
}

function svg(height: number, title: string, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeText(title)}">
<style>${STYLE}
</style>
<rect class="paper" width="${WIDTH}" height="${height}"/>
${text(16, 26, title, 'title')}
${parts.join('\n')}
</svg>
`;
}

function escapeText(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

function text(x: number, y: number, value: string, style = '', anchor = 'start'): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${style}" text-anchor="${anchor}">${escapeText(value)}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, style: string): string {
  return `<path class="${style}" d="M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}"/>`;
}

function dot(x: number, y: number, style: string, radius = 4): string {
  return `<circle class="${style}" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${radius}"/>`;
}

export interface BarRow extends Labelled {
  readonly value: number;
  /** Behind the bar. */
  readonly note: string;
}

/** Horizontal bars from 0, with a dashed line at `mark`. */
export function barChart(
  title: string,
  rows: readonly BarRow[],
  mark: { readonly value: number; readonly label: string },
): string {
  const [left, right, top, step] = [200, 520, 62, 30];
  const most = Math.max(mark.value, ...rows.map(({ value }) => value));
  const x = (value: number): number => left + (value / most) * (right - left);
  const bottom = top + rows.length * step;
  return svg(bottom + 20, title, [
    ...rows.flatMap(({ label, isOurs, value, note }, index) => {
      const y = top + index * step;
      return [
        text(left - 10, y + 15, label, '', 'end'),
        `<rect class="${isOurs ? 'ours' : 'other'}" x="${left}" y="${y}" width="${(x(value) - left).toFixed(1)}" height="20" rx="2"/>`,
        text(clearOf(x(mark.value), x(value)) + 8, y + 15, note, 'soft'),
      ];
    }),
    line(x(mark.value), top - 8, x(mark.value), bottom, 'dashed'),
    text(x(mark.value), top - 14, mark.label, 'soft', 'middle'),
  ]);
}

/** A text beside a bar starts behind the dashed line if it would stand on it. */
function clearOf(mark: number, end: number): number {
  return end < mark && mark < end + 16 ? mark : end;
}

export interface RangeRow extends Labelled {
  readonly low: number;
  readonly high: number;
}

/** A line from the lowest to the highest value of each, over a band. */
export function rangeChart(
  title: string,
  rows: readonly RangeRow[],
  band: { readonly low: number; readonly high: number; readonly label: string },
): string {
  const [left, right, top, step] = [200, 690, 62, 30];
  const least = Math.min(0.9, ...rows.map(({ low }) => low)) - 0.2;
  const most = Math.max(1.1, ...rows.map(({ high }) => high)) + 0.1;
  const x = (value: number): number => left + ((value - least) / (most - least)) * (right - left);
  const bottom = top + rows.length * step;
  const width = (x(band.high) - x(band.low)).toFixed(1);
  return svg(bottom + 20, title, [
    `<rect class="band" x="${x(band.low).toFixed(1)}" y="${top - 8}" width="${width}" height="${bottom - top + 8}"/>`,
    text((x(band.low) + x(band.high)) / 2, top - 14, band.label, 'soft', 'middle'),
    ...rows.flatMap(({ label, isOurs, low, high }, index) => {
      const y = top + index * step + 10;
      const style = isOurs ? 'ours' : 'other';
      return [
        text(left - 10, y + 5, label, '', 'end'),
        line(x(low), y, x(high), y, `${style}-line`),
        dot(x(low), y, style),
        dot(x(high), y, style),
        text(x(low) - 9, y + 5, low.toFixed(2), 'soft', 'end'),
        text(x(high) + 9, y + 5, high.toFixed(2), 'soft'),
      ];
    }),
  ]);
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Points on two logarithmic axes, joined, with a dashed line of reference. */
export function logChart(
  title: string,
  points: readonly Point[],
  reference: { readonly points: readonly Point[]; readonly label: string },
  axes: { readonly x: string; readonly y: string },
): string {
  const [left, right, top, bottom] = [60, 660, 60, 310];
  const all = [...points, ...reference.points];
  const [x, y] = [
    logScale(
      all.map((point) => point.x),
      left,
      right,
    ),
    logScale(
      all.map((point) => point.y),
      bottom,
      top,
    ),
  ];
  const path = (list: readonly Point[]): string =>
    list.map((point, index) => `${index === 0 ? 'M' : 'L'}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`).join('');
  const end = reference.points.at(-1) ?? { x: 1, y: 1 };
  return svg(bottom + 88, title, [
    line(left, bottom + 36, right, bottom + 36, 'grid'),
    `<path class="dashed" d="${path(reference.points)}"/>`,
    text(x(end.x) - 8, y(end.y) - 4, reference.label, 'soft', 'end'),
    `<path class="ours-line" d="${path(points)}"/>`,
    ...points.flatMap((point) => [
      dot(x(point.x), y(point.y), 'ours'),
      text(x(point.x), y(point.y) + 22, axes.y.replace('#', point.y.toFixed(0)), '', 'middle'),
      text(x(point.x), bottom + 56, point.x.toLocaleString('en'), 'soft', 'middle'),
    ]),
    text((left + right) / 2, bottom + 78, axes.x, 'soft', 'middle'),
  ]);
}

function logScale(values: readonly number[], from: number, to: number): (value: number) => number {
  const [least, most] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))];
  return (value) => from + ((Math.log(value) - least) / (most - least || 1)) * (to - from);
}

export interface StripRow {
  readonly label: string;
  readonly values: readonly number[];
  readonly note: string;
}

/** One dot a value, in rows, with a tick at each tenth. */
export function stripChart(title: string, rows: readonly StripRow[], axis: string): string {
  const [left, right, top, step] = [130, 530, 60, 44];
  const all = rows.flatMap(({ values }) => values);
  const [least, most] = [1, Math.ceil(Math.max(...all) * 10) / 10];
  const x = (value: number): number => left + ((value - least) / (most - least)) * (right - left);
  const bottom = top + rows.length * step;
  const ticks = Array.from({ length: Math.round((most - least) * 10) + 1 }, (_, index) => least + index / 10);
  return svg(bottom + 56, title, [
    ...ticks.flatMap((tick) => [
      line(x(tick), top - 10, x(tick), bottom, 'grid'),
      text(x(tick), bottom + 18, tick.toFixed(1), 'soft', 'middle'),
    ]),
    ...rows.flatMap(({ label, values, note }, index) => {
      const y = top + index * step + step / 2 - 5;
      return [
        text(left - 12, y + 5, label, '', 'end'),
        ...values.map(
          (value) => `<circle class="ours" fill-opacity="0.45" cx="${x(value).toFixed(1)}" cy="${y}" r="5"/>`,
        ),
        text(right + 12, y + 5, note, 'soft'),
      ];
    }),
    text((left + right) / 2, bottom + 42, axis, 'soft', 'middle'),
  ]);
}
